//! A disk in memory that is always ready.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::rc::Rc;

use jobbie_io::{AlignedBuf, BLOCK_BYTES, Disk, DiskFile, FileInfo, OpenMode};

/// One directory of files. Clones are the same directory.
#[derive(Clone, Default)]
pub struct MemDisk {
    files: Rc<RefCell<BTreeMap<String, MemFile>>>,
}

/// An open file. Copies of a disk share its bytes until one is written.
#[derive(Clone, Default)]
pub struct MemFile {
    content: Rc<RefCell<Rc<Content>>>,
}

const ZEROS: &[u8; BLOCK_BYTES] = &[0; BLOCK_BYTES];

/// What is in a file: blocks of zeros are not there, so that segments cost little.
#[derive(Clone, Default)]
struct Content {
    len: usize,
    blocks: BTreeMap<usize, Rc<[u8; BLOCK_BYTES]>>,
}

impl Content {
    fn write(&mut self, mut offset: usize, mut bytes: &[u8]) {
        self.len = self.len.max(offset + bytes.len());
        while !bytes.is_empty() {
            let (number, from) = (offset / BLOCK_BYTES, offset % BLOCK_BYTES);
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - from));
            // Compared as a whole: what the fuzzer watches byte by byte takes a hundred times longer.
            if self.blocks.contains_key(&number) || *now != ZEROS[..now.len()] {
                let block = self.blocks.entry(number).or_insert_with(|| Rc::new([0; BLOCK_BYTES]));
                Rc::make_mut(block)[from..from + now.len()].copy_from_slice(now);
            }
            (offset, bytes) = (offset + now.len(), later);
        }
    }

    fn read(&self, offset: usize, out: &mut [u8]) -> usize {
        let count = out.len().min(self.len.saturating_sub(offset));
        out[..count].fill(0);
        let numbers = offset / BLOCK_BYTES..(offset + count).div_ceil(BLOCK_BYTES);
        for (number, block) in self.blocks.range(numbers) {
            let begin = number * BLOCK_BYTES;
            let (from, to) = (begin.max(offset), (begin + BLOCK_BYTES).min(offset + count));
            out[from - offset..to - offset].copy_from_slice(&block[from - begin..to - begin]);
        }
        count
    }
}

impl MemDisk {
    /// Puts a file there.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut content = Content::default();
        content.write(0, bytes);
        self.share(name, Rc::new(content));
    }

    fn share(&self, name: &str, content: Rc<Content>) {
        let file = MemFile { content: Rc::new(RefCell::new(content)) };
        self.files.borrow_mut().insert(name.to_owned(), file);
    }

    /// Another disk with the same files.
    #[must_use]
    pub fn copy(&self) -> Self {
        let copy = Self::default();
        for (name, file) in &*self.files.borrow() {
            copy.share(name, Rc::clone(&file.content.borrow()));
        }
        copy
    }
}

fn no_such_file() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for MemDisk {
    type File = MemFile;

    async fn open(&self, name: &str, mode: OpenMode) -> io::Result<MemFile> {
        let mut files = self.files.borrow_mut();
        if mode == OpenMode::Create {
            if files.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            files.insert(name.to_owned(), MemFile::default());
        }
        files.get(name).cloned().ok_or_else(no_such_file)
    }

    async fn list(&self) -> io::Result<Vec<FileInfo>> {
        let files = self.files.borrow();
        let info = |(name, file): (&String, &MemFile)| FileInfo {
            name: name.clone(),
            len: file.content.borrow().len as u64,
        };
        Ok(files.iter().map(info).collect())
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files.borrow_mut();
        let file = files.remove(from).ok_or_else(no_such_file)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        self.files.borrow_mut().remove(name).map(drop).ok_or_else(no_such_file)
    }

    async fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    async fn available_bytes(&self) -> io::Result<u64> {
        Ok(1 << 40)
    }

    async fn sleep(&self, _nanos: u64) {}
}

impl DiskFile for MemFile {
    async fn write_at(
        &self,
        buf: Rc<AlignedBuf>,
        buf_range: Range<usize>,
        offset: u64,
    ) -> io::Result<()> {
        let mut content = self.content.borrow_mut();
        Rc::make_mut(&mut content).write(offset as usize, &buf[buf_range]);
        Ok(())
    }

    async fn read_at(&self, mut buf: AlignedBuf, offset: u64) -> (io::Result<usize>, AlignedBuf) {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let count = self.content.borrow().read(offset, &mut buf);
        (Ok(count), buf)
    }

    async fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    async fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    async fn len(&self) -> io::Result<u64> {
        Ok(self.content.borrow().len as u64)
    }

    async fn set_len(&self, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
