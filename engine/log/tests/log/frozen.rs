//! A disk that is only read, with one thing wrong with it: cheap enough for every bit to have its turn.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use jobbie_io::{AlignedBuf, Disk, DiskFile, FileInfo, OpenMode};
use jobbie_sim::SimDisk;

/// What is wrong, in the file that is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wrong {
    Nothing,
    /// The bits of the mask are turned over in the byte at this offset.
    Flip(u64, u8),
    /// The file ends here.
    Cut(u64),
}

/// Files as another disk had them. Clones are the same disk.
#[derive(Clone)]
pub(crate) struct FrozenDisk {
    files: Rc<BTreeMap<String, Rc<Vec<u8>>>>,
    spoilt: &'static str,
    wrong: Wrong,
}

#[derive(Clone)]
pub(crate) struct FrozenFile {
    bytes: Rc<Vec<u8>>,
    wrong: Wrong,
}

impl FrozenDisk {
    pub(crate) fn of(disk: &SimDisk) -> Self {
        let content = |name: &String| Rc::new(disk.content(name).expect("it is listed"));
        let files =
            disk.files().into_iter().map(|file| (file.name.clone(), content(&file.name))).collect();
        Self { files: Rc::new(files), spoilt: "", wrong: Wrong::Nothing }
    }

    /// The same, with this wrong in `file`.
    pub(crate) fn with(&self, file: &'static str, wrong: Wrong) -> Self {
        Self { files: Rc::clone(&self.files), spoilt: file, wrong }
    }

    pub(crate) fn content(&self, name: &str) -> &[u8] {
        &self.files[name]
    }

    fn file(&self, name: &str) -> Option<FrozenFile> {
        let wrong = if name == self.spoilt { self.wrong } else { Wrong::Nothing };
        Some(FrozenFile { bytes: Rc::clone(self.files.get(name)?), wrong })
    }
}

impl FrozenFile {
    fn len_now(&self) -> u64 {
        match self.wrong {
            Wrong::Cut(len) => len,
            Wrong::Nothing | Wrong::Flip(..) => self.bytes.len() as u64,
        }
    }
}

/// Runs what never has to wait.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("a disk in memory is waited for"),
    }
}

const READ_ONLY: &str = "reading a log that needs no repair writes to it";

impl Disk for FrozenDisk {
    type File = FrozenFile;

    async fn open(&self, name: &str, mode: OpenMode) -> io::Result<FrozenFile> {
        assert!(mode != OpenMode::Create, "{READ_ONLY}");
        self.file(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    async fn list(&self) -> io::Result<Vec<FileInfo>> {
        let info = |name: &String| FileInfo {
            name: name.clone(),
            len: self.file(name).expect("it is there").len_now(),
        };
        Ok(self.files.keys().map(info).collect())
    }

    async fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        panic!("{READ_ONLY}")
    }

    async fn remove(&self, _name: &str) -> io::Result<()> {
        panic!("{READ_ONLY}")
    }

    async fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    async fn available_bytes(&self) -> io::Result<u64> {
        Ok(1 << 40)
    }

    async fn sleep(&self, _nanos: u64) {
        panic!("{READ_ONLY}")
    }
}

impl DiskFile for FrozenFile {
    async fn write_at(&self, _: Rc<AlignedBuf>, _: Range<usize>, _: u64) -> io::Result<()> {
        panic!("{READ_ONLY}")
    }

    async fn read_at(&self, mut buf: AlignedBuf, offset: u64) -> (io::Result<usize>, AlignedBuf) {
        let end = self.len_now().min(offset + buf.len() as u64);
        let count = end.saturating_sub(offset) as usize;
        let from = (offset as usize).min(self.bytes.len());
        let there = count.min(self.bytes.len() - from);
        buf[..there].copy_from_slice(&self.bytes[from..from + there]);
        buf[there..count].fill(0);
        if let Wrong::Flip(at, mask) = self.wrong
            && (offset..end).contains(&at)
        {
            buf[(at - offset) as usize] ^= mask;
        }
        (Ok(count), buf)
    }

    async fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    async fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    async fn len(&self) -> io::Result<u64> {
        Ok(self.len_now())
    }

    async fn set_len(&self, _len: u64) -> io::Result<()> {
        panic!("{READ_ONLY}")
    }
}
