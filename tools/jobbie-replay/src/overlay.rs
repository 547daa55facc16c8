//! A disk that is only read: what is written to it stays in memory and is gone at the end.
//!
//! Opening a log repairs it. An offline tool must not, and must see what the server would see; so it opens the log on
//! this.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::rc::Rc;

use jobbie_io::{AlignedBuf, BLOCK_BYTES, Disk, DiskFile, FileInfo, OpenMode};

/// Bytes of a file that are looked at together when it is frozen.
const FREEZE_BYTES: usize = 256 << 10;
/// How often they are read until two reads are alike. A write in between takes far longer than a read.
const FREEZE_READS_MAX: usize = 1000;

/// What has been written to one file.
#[derive(Debug)]
struct Written {
    /// Blocks that differ from the file below, by their number.
    blocks: BTreeMap<u64, Vec<u8>>,
    len: u64,
    /// Blocks from this one on are zeros unless they are in `blocks`, whatever becomes of the file below.
    frozen_from: u64,
}

impl Default for Written {
    fn default() -> Self {
        Self { blocks: BTreeMap::new(), len: 0, frozen_from: u64::MAX }
    }
}

/// A name as it would be on a real disk.
enum Name<F> {
    Gone,
    There { below: Option<F>, written: Rc<RefCell<Written>> },
}

impl<F: Clone> Clone for Name<F> {
    fn clone(&self) -> Self {
        match self {
            Self::Gone => Self::Gone,
            Self::There { below, written } => {
                Self::There { below: below.clone(), written: Rc::clone(written) }
            }
        }
    }
}

/// A disk over which nothing can be changed.
pub(crate) struct Overlay<D: Disk> {
    below: D,
    names: Rc<RefCell<BTreeMap<String, Name<D::File>>>>,
    /// The files there were, once they are frozen.
    files: Rc<RefCell<Option<Vec<FileInfo>>>>,
}

impl<D: Disk> Clone for Overlay<D> {
    fn clone(&self) -> Self {
        Self {
            below: self.below.clone(),
            names: Rc::clone(&self.names),
            files: Rc::clone(&self.files),
        }
    }
}

impl<D: Disk> Overlay<D> {
    pub(crate) fn new(below: D) -> Self {
        Self { below, names: Rc::default(), files: Rc::default() }
    }

    /// The name as it is now, read in from below when it has not been used yet.
    async fn find(&self, name: &str) -> io::Result<Name<D::File>> {
        if let Some(found) = self.names.borrow().get(name) {
            return Ok(found.clone());
        }
        let found = match self.below.open(name, OpenMode::Read).await {
            Ok(file) => {
                let written = Written { len: file.len().await?, ..Written::default() };
                Name::There { below: Some(file), written: Rc::new(RefCell::new(written)) }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Name::Gone,
            Err(e) => return Err(e),
        };
        self.names.borrow_mut().insert(name.to_owned(), found.clone());
        Ok(found)
    }
}

impl<D: Disk> Overlay<D> {
    async fn files(&self) -> io::Result<Vec<FileInfo>> {
        let frozen = self.files.borrow().clone();
        match frozen {
            Some(files) => Ok(files),
            None => self.below.list().await,
        }
    }

    /// From now on, the directory has the files that it has now.
    pub(crate) async fn freeze_names(&self) -> io::Result<()> {
        let files = self.below.list().await?;
        *self.files.borrow_mut() = Some(files);
        Ok(())
    }

    /// From now on, the file ends with its first block: what comes behind it is zeros.
    pub(crate) async fn freeze_empty(&self, name: &str) -> io::Result<()> {
        let Name::There { written, .. } = self.find(name).await? else {
            return Err(io::ErrorKind::NotFound.into());
        };
        written.borrow_mut().frozen_from = 1;
        Ok(())
    }

    /// From now on, the file is what it is now, although somebody may be appending to it: nothing is in it that was
    /// written when something before it, which is not in it, was there already. For that it is read from its end.
    pub(crate) async fn freeze(&self, name: &str) -> io::Result<()> {
        let Name::There { below: Some(file), written } = self.find(name).await? else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let len = written.borrow().len;
        let mut blocks = BTreeMap::new();
        for piece in (0..len.div_ceil(FREEZE_BYTES as u64)).rev() {
            let offset = piece * FREEZE_BYTES as u64;
            let bytes = steady(&file, offset).await?;
            for (nth, block) in (0..).zip(bytes.chunks(BLOCK_BYTES)) {
                if block.iter().any(|byte| *byte != 0) {
                    let mut block = block.to_vec();
                    block.resize(BLOCK_BYTES, 0);
                    blocks.insert(offset / BLOCK_BYTES as u64 + nth, block);
                }
            }
        }
        let mut written = written.borrow_mut();
        (written.blocks, written.frozen_from) = (blocks, 0);
        Ok(())
    }
}

/// A piece of a file, read until it did not change while it was read: blocks of one read may be of different times.
async fn steady(file: &impl DiskFile, offset: u64) -> io::Result<Vec<u8>> {
    let mut before = Vec::new();
    for reads in 0..FREEZE_READS_MAX {
        let (read, buf) = file.read_at(AlignedBuf::zeroed(FREEZE_BYTES), offset).await;
        let now = buf[..read?].to_vec();
        if reads > 0 && now == before {
            return Ok(now);
        }
        before = now;
    }
    Err(io::Error::other("it is written to without a pause"))
}

impl<D: Disk> Disk for Overlay<D> {
    type File = OverlayFile<D::File>;

    async fn open(&self, name: &str, mode: OpenMode) -> io::Result<Self::File> {
        let found = self.find(name).await?;
        match (found, mode) {
            (Name::There { .. }, OpenMode::Create) => Err(io::ErrorKind::AlreadyExists.into()),
            (Name::There { below, written }, _) => Ok(OverlayFile { below, written }),
            (Name::Gone, OpenMode::Create) => {
                let written = Rc::new(RefCell::new(Written::default()));
                let new = Name::There { below: None, written: Rc::clone(&written) };
                self.names.borrow_mut().insert(name.to_owned(), new);
                Ok(OverlayFile { below: None, written })
            }
            (Name::Gone, _) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    async fn list(&self) -> io::Result<Vec<FileInfo>> {
        let mut all: BTreeMap<String, u64> =
            self.files().await?.into_iter().map(|f| (f.name, f.len)).collect();
        for (name, state) in self.names.borrow().iter() {
            match state {
                Name::Gone => all.remove(name),
                Name::There { written, .. } => all.insert(name.clone(), written.borrow().len),
            };
        }
        Ok(all.into_iter().map(|(name, len)| FileInfo { name, len }).collect())
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let found = self.find(from).await?;
        if matches!(found, Name::Gone) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut names = self.names.borrow_mut();
        names.insert(from.to_owned(), Name::Gone);
        names.insert(to.to_owned(), found);
        Ok(())
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        self.names.borrow_mut().insert(name.to_owned(), Name::Gone);
        Ok(())
    }

    async fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    async fn available_bytes(&self) -> io::Result<u64> {
        self.below.available_bytes().await
    }

    async fn sleep(&self, nanos: u64) {
        self.below.sleep(nanos).await;
    }
}

/// A file of an [`Overlay`].
pub(crate) struct OverlayFile<F> {
    below: Option<F>,
    written: Rc<RefCell<Written>>,
}

impl<F: Clone> Clone for OverlayFile<F> {
    fn clone(&self) -> Self {
        Self { below: self.below.clone(), written: Rc::clone(&self.written) }
    }
}

impl<F: DiskFile> OverlayFile<F> {
    /// One block as it would be on a real disk.
    async fn block(&self, number: u64) -> io::Result<Vec<u8>> {
        if let Some(block) = self.written.borrow().blocks.get(&number) {
            return Ok(block.clone());
        }
        let mut bytes = vec![0; BLOCK_BYTES];
        let is_frozen = number >= self.written.borrow().frozen_from;
        if let (false, Some(below)) = (is_frozen, &self.below) {
            let (read, buf) =
                below.read_at(AlignedBuf::zeroed(BLOCK_BYTES), number * BLOCK_BYTES as u64).await;
            let read = read?;
            bytes[..read].copy_from_slice(&buf[..read]);
        }
        Ok(bytes)
    }
}

impl<F: DiskFile> DiskFile for OverlayFile<F> {
    async fn write_at(
        &self,
        buf: Rc<AlignedBuf>,
        range: Range<usize>,
        offset: u64,
    ) -> io::Result<()> {
        let bytes = &buf[range];
        let end = offset + bytes.len() as u64;
        let mut at = offset;
        while at < end {
            let (number, within) = (at / BLOCK_BYTES as u64, (at % BLOCK_BYTES as u64) as usize);
            let len = (BLOCK_BYTES - within).min((end - at) as usize);
            let mut block = self.block(number).await?;
            let from = (at - offset) as usize;
            block[within..within + len].copy_from_slice(&bytes[from..from + len]);
            self.written.borrow_mut().blocks.insert(number, block);
            at += len as u64;
        }
        let mut written = self.written.borrow_mut();
        written.len = written.len.max(end);
        Ok(())
    }

    async fn read_at(&self, mut buf: AlignedBuf, offset: u64) -> (io::Result<usize>, AlignedBuf) {
        let (has_changes, len) = {
            let written = self.written.borrow();
            let has_changes = !written.blocks.is_empty() || written.frozen_from != u64::MAX;
            (has_changes, written.len)
        };
        if let (false, Some(below)) = (has_changes, &self.below) {
            return below.read_at(buf, offset).await;
        }
        let wanted = (buf.len() as u64).min(len.saturating_sub(offset)) as usize;
        let mut done = 0;
        while done < wanted {
            let at = offset + done as u64;
            let (number, within) = (at / BLOCK_BYTES as u64, (at % BLOCK_BYTES as u64) as usize);
            let block = match self.block(number).await {
                Ok(block) => block,
                Err(e) => return (Err(e), buf),
            };
            let part = (BLOCK_BYTES - within).min(wanted - done);
            buf[done..done + part].copy_from_slice(&block[within..within + part]);
            done += part;
        }
        (Ok(wanted), buf)
    }

    async fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    async fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    async fn len(&self) -> io::Result<u64> {
        Ok(self.written.borrow().len)
    }

    async fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written.borrow_mut();
        assert!(len >= written.len, "files of a log are never cut");
        written.len = len;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
