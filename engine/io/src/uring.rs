//! The production disk: a directory on the shard runtime's own ring.

use std::fs::File as StdFile;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use monoio::buf::{IoBuf, IoBufMut};
use monoio::fs::{File, OpenOptions};

use crate::disk::{BLOCK_BYTES, Disk, DiskFile, FileInfo, OpenMode};
use crate::{AlignedBuf, sys};

/// One real directory. Use it on the thread of the runtime that opened it.
#[derive(Clone)]
pub struct UringDisk {
    dir: Rc<PathBuf>,
    dir_file: Rc<File>,
}

impl UringDisk {
    /// Uses the directory `dir`, which must exist.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub fn open(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = dir.into();
        let dir_file = File::from_std(StdFile::open(&dir)?)?;
        Ok(Self { dir: Rc::new(dir), dir_file: Rc::new(dir_file) })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }
}

/// An open file of a [`UringDisk`].
#[derive(Clone)]
pub struct UringFile {
    file: Rc<File>,
    direct: bool,
}

impl Disk for UringDisk {
    type File = UringFile;

    async fn open(&self, name: &str, mode: OpenMode) -> io::Result<UringFile> {
        let mut options = OpenOptions::new();
        options.read(true).mode(0o600);
        match mode {
            OpenMode::Durable => options.write(true).custom_flags(libc::O_DIRECT | libc::O_DSYNC),
            OpenMode::Direct => options.write(true).custom_flags(libc::O_DIRECT),
            OpenMode::Create => options.write(true).create_new(true),
            OpenMode::Read => &mut options,
        };
        let file = Rc::new(options.open(self.dir.join(name)).await?);
        Ok(UringFile { file, direct: matches!(mode, OpenMode::Durable | OpenMode::Direct) })
    }

    async fn list(&self) -> io::Result<Vec<FileInfo>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&*self.dir)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let name = entry.file_name().into_string().map_err(|name| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("file name {name:?} is not UTF-8"),
                )
            })?;
            if metadata.is_file() {
                files.push(FileInfo { name, len: metadata.len() });
            }
        }
        files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        // monoio's own rename does not build without its epoll driver; this one only changes two
        // directory entries in memory, the disk sees it in `sync_dir`.
        std::fs::rename(self.dir.join(from), self.dir.join(to))
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        monoio::fs::remove_file(self.dir.join(name)).await
    }

    async fn sync_dir(&self) -> io::Result<()> {
        self.dir_file.sync_all().await
    }

    async fn available_bytes(&self) -> io::Result<u64> {
        sys::available_bytes(&self.dir)
    }

    async fn sleep(&self, nanos: u64) {
        monoio::time::sleep(Duration::from_nanos(nanos)).await;
    }
}

impl UringFile {
    fn fd(&self) -> BorrowedFd<'_> {
        #[expect(unsafe_code, reason = "monoio lends only the raw number")]
        // SAFETY: `self.file` owns the descriptor and the result borrows `self`.
        unsafe {
            BorrowedFd::borrow_raw(self.file.as_raw_fd())
        }
    }
}

impl DiskFile for UringFile {
    async fn write_at(
        &self,
        buf: Rc<AlignedBuf>,
        range: Range<usize>,
        offset: u64,
    ) -> io::Result<()> {
        assert!(range.start <= range.end && range.end <= buf.len(), "write beyond the buffer");
        let mut rest = WriteBuf { buf, range };
        let mut offset = offset;
        while !rest.range.is_empty() {
            if self.direct {
                let aligned = offset.is_multiple_of(BLOCK_BYTES as u64)
                    && rest.range.start.is_multiple_of(BLOCK_BYTES)
                    && rest.range.len().is_multiple_of(BLOCK_BYTES);
                if !aligned {
                    // Also the fate of a write that stopped inside a block: it cannot be continued.
                    return Err(io::Error::from(io::ErrorKind::WriteZero));
                }
            }
            let (written, back) = self.file.write_at(rest, offset).await;
            rest = back;
            let written = written?;
            if written == 0 {
                return Err(io::Error::from(io::ErrorKind::WriteZero));
            }
            assert!(written <= rest.range.len(), "more written than asked for");
            rest.range.start += written;
            offset += written as u64;
        }
        Ok(())
    }

    async fn read_at(&self, buf: AlignedBuf, offset: u64) -> (io::Result<usize>, AlignedBuf) {
        let wanted = buf.len();
        let mut rest = ReadBuf { buf, filled: 0, limit: wanted };
        while rest.filled < wanted {
            let at = offset + rest.filled as u64;
            let (read, back) = self.file.read_at(rest, at).await;
            rest = back;
            match read {
                Ok(0) => break,
                Ok(read) => {
                    rest.filled += read;
                    assert!(rest.filled <= wanted, "more read than asked for");
                    if self.direct && !rest.filled.is_multiple_of(BLOCK_BYTES) {
                        // A direct read stops inside a block only where the file ends.
                        break;
                    }
                }
                Err(error) => return (Err(error), rest.buf),
            }
        }
        (Ok(rest.filled), rest.buf)
    }

    async fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data().await
    }

    async fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all().await
    }

    async fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata().await?.len())
    }

    async fn set_len(&self, len: u64) -> io::Result<()> {
        sys::set_len(self.fd(), len)
    }

    async fn allocate(&self, len: u64) -> io::Result<()> {
        sys::allocate(self.fd(), len)
    }
}

/// Part of a shared buffer on its way to the kernel, which only reads it.
struct WriteBuf {
    buf: Rc<AlignedBuf>,
    range: Range<usize>,
}

// SAFETY: the pointer leads into the heap allocation of an `AlignedBuf`, which does not move with
// this value. monoio keeps this value, and so the `Rc`, until the kernel has completed the
// operation, even if the future is dropped before. While any `Rc` clone besides it exists nobody
// can get `&mut` to the buffer, so it is neither freed, regrown nor changed meanwhile.
#[expect(unsafe_code, reason = "promises the kernel a stable address")]
unsafe impl IoBuf for WriteBuf {
    fn read_ptr(&self) -> *const u8 {
        self.buf[self.range.clone()].as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.range.len()
    }
}

/// An owned buffer on its way to the kernel, which fills it from `filled` on.
struct ReadBuf {
    buf: AlignedBuf,
    filled: usize,
    limit: usize,
}

// SAFETY: the pointer leads into the heap allocation of an `AlignedBuf` that this value owns, and
// `filled..limit` lies within its length (asserted by the slicing below). The allocation does not
// move with the value, and monoio keeps the value until the kernel has completed the operation.
#[expect(unsafe_code, reason = "promises the kernel a stable address")]
unsafe impl IoBufMut for ReadBuf {
    fn write_ptr(&mut self) -> *mut u8 {
        self.buf[self.filled..self.limit].as_mut_ptr()
    }

    fn bytes_total(&mut self) -> usize {
        self.limit - self.filled
    }

    // Every byte of an `AlignedBuf` is initialised from the start; `read_at` counts by itself.
    unsafe fn set_init(&mut self, _pos: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::os::unix::fs::PermissionsExt;

    fn on_disk(test: impl AsyncFnOnce(UringDisk)) {
        // Not in /tmp, which may be a tmpfs without O_DIRECT.
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        crate::runtime::block_on(async { test(UringDisk::open(dir.path()).unwrap()).await })
            .unwrap();
    }

    fn filled(len: usize) -> Rc<AlignedBuf> {
        let mut buf = AlignedBuf::zeroed(len);
        for (i, byte) in buf.iter_mut().enumerate() {
            *byte = (i * 7 + i / 4096) as u8;
        }
        Rc::new(buf)
    }

    #[test]
    fn durable_blocks_are_read_back() {
        on_disk(async |disk| {
            let file = disk.open("a", OpenMode::Create).await.unwrap();
            file.write_at(Rc::new(AlignedBuf::zeroed(16384)), 0..16384, 0).await.unwrap();
            file.sync_all().await.unwrap();
            disk.sync_dir().await.unwrap();
            let durable = disk.open("a", OpenMode::Durable).await.unwrap();
            let data = filled(8192);
            durable.write_at(Rc::clone(&data), 4096..8192, 8192).await.unwrap();
            let (read, back) = durable.read_at(AlignedBuf::zeroed(16384), 0).await;
            assert_eq!(read.unwrap(), 16384);
            assert_eq!(back[8192..12288], data[4096..]);
            assert!(back[..8192].iter().chain(&back[12288..]).all(|b| *b == 0));
            let (read, back) = durable.read_at(AlignedBuf::zeroed(8192), 12288).await;
            assert_eq!((read.unwrap(), back.len()), (4096, 8192));
        });
    }

    #[test]
    fn unaligned_direct_write_is_refused() {
        on_disk(async |disk| {
            disk.open("a", OpenMode::Create).await.unwrap().set_len(8192).await.unwrap();
            let file = disk.open("a", OpenMode::Direct).await.unwrap();
            let error = file.write_at(filled(8192), 0..100, 0).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WriteZero);
        });
    }

    #[test]
    fn names_modes_and_lengths() {
        on_disk(async |disk| {
            let file = disk.open("b", OpenMode::Create).await.unwrap();
            file.write_at(filled(4096), 1..11, 3).await.unwrap();
            assert_eq!(file.len().await.unwrap(), 13);
            file.allocate(5000).await.unwrap();
            let again = disk.open("b", OpenMode::Create).await.err().unwrap();
            assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
            let missing = disk.open("c", OpenMode::Read).await.err().unwrap();
            assert_eq!(missing.kind(), io::ErrorKind::NotFound);
            disk.rename("b", "a").await.unwrap();
            disk.sync_dir().await.unwrap();
            assert_eq!(disk.list().await.unwrap(), [FileInfo { name: "a".into(), len: 5000 }]);
            let mode = std::fs::metadata(disk.path().join("a")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            assert!(disk.available_bytes().await.unwrap() > 0);
            disk.remove("a").await.unwrap();
            assert!(disk.list().await.unwrap().is_empty());
        });
    }

    #[test]
    fn dropped_write_keeps_its_buffer_until_the_kernel_is_done() {
        on_disk(async |disk| {
            let file = disk.open("a", OpenMode::Create).await.unwrap();
            file.set_len(1 << 20).await.unwrap();
            for _ in 0..50 {
                let mut write = Box::pin(file.write_at(filled(1 << 20), 0..1 << 20, 0));
                let polled =
                    std::future::poll_fn(|cx| std::task::Poll::Ready(write.as_mut().poll(cx)))
                        .await;
                assert!(polled.is_pending());
                drop(write);
            }
            file.sync_all().await.unwrap();
            let (read, back) = file.read_at(AlignedBuf::zeroed(1 << 20), 0).await;
            assert_eq!(read.unwrap(), 1 << 20);
            // The runtime cancels what is dropped, so a block may be missing, never wrong.
            let whole = filled(1 << 20);
            for (got, sent) in back.chunks(4096).zip(whole.chunks(4096)) {
                assert!(got == sent || got.iter().all(|b| *b == 0));
            }
        });
    }
}
