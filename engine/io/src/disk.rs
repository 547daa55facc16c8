//! The disk a log lives on: one flat directory of files.
//!
//! The contract is the weakest one that real hardware gives, because the simulator implements
//! exactly this and no more:
//!
//! - a write that has *completed* on a file opened with [`OpenMode::Durable`] survives power loss,
//!   provided the file's size and name were made durable before ([`DiskFile::sync_all`] and
//!   [`Disk::sync_dir`]);
//! - a write that has not completed may have happened in any subset of its 512-byte sectors;
//! - a created, renamed or removed name is durable only after [`Disk::sync_dir`];
//! - a failed write or sync leaves the file in an unknown state: the caller stops using it
//!   and recovers by reading the disk again after a restart. It never retries.

use std::future::Future;
use std::io;
use std::rc::Rc;

use crate::AlignedBuf;

/// Unit of every offset, length and buffer address on a [`OpenMode::Durable`] file, in bytes.
pub const BLOCK_BYTES: usize = 4096;

/// How a file is used, which decides the flags it is opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, written in aligned blocks, each write durable when it completes
    /// (`O_DIRECT | O_DSYNC`).
    Durable,
    /// An existing file, written in aligned blocks, durable after [`DiskFile::sync_data`]
    /// (`O_DIRECT`).
    Direct,
    /// A new file, refused when the name exists; durable after [`DiskFile::sync_all`] and
    /// [`Disk::sync_dir`]. Buffered, so offsets and lengths are free.
    Create,
    /// An existing file, only read. Buffered, so offsets and lengths are free.
    Read,
}

/// A name in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// File name, without any directory.
    pub name: String,
    /// Length in bytes.
    pub len: u64,
}

/// One directory of files.
pub trait Disk: Clone + 'static {
    /// An open file.
    type File: DiskFile;

    /// Opens `name` for `mode`.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists` (for [`OpenMode::Create`]) or whatever the system reports.
    fn open(&self, name: &str, mode: OpenMode) -> impl Future<Output = io::Result<Self::File>>;

    /// Every file in the directory, sorted by name.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn list(&self) -> impl Future<Output = io::Result<Vec<FileInfo>>>;

    /// Renames `from` to `to`, replacing `to`. Durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// Whatever the system reports.
    fn rename(&self, from: &str, to: &str) -> impl Future<Output = io::Result<()>>;

    /// Removes `name`. Durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// Whatever the system reports.
    fn remove(&self, name: &str) -> impl Future<Output = io::Result<()>>;

    /// Makes every earlier create, rename and remove durable.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn sync_dir(&self) -> impl Future<Output = io::Result<()>>;

    /// Bytes that may still be written before the disk is full.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn available_bytes(&self) -> impl Future<Output = io::Result<u64>>;

    /// Waits for `nanos` of this disk's clock: real time in production, virtual in simulation.
    fn sleep(&self, nanos: u64) -> impl Future<Output = ()>;
}

/// An open file. Clones share the descriptor.
#[expect(
    clippy::len_without_is_empty,
    reason = "an asynchronous, fallible length is no container's"
)]
pub trait DiskFile: Clone + 'static {
    /// Writes `buf_range` of `buf` at `offset` of the file, all of it or none that counts: a
    /// short write is continued inside, or reported as `WriteZero`.
    ///
    /// # Errors
    /// Whatever the system reports; the range written is then unknown.
    fn write_at(
        &self,
        buf: Rc<AlignedBuf>,
        buf_range: std::ops::Range<usize>,
        offset: u64,
    ) -> impl Future<Output = io::Result<()>>;

    /// Reads into the whole of `buf` (its current length) from `offset`; returns the buffer and
    /// how many bytes were there, fewer only at the end of the file.
    fn read_at(
        &self,
        buf: AlignedBuf,
        offset: u64,
    ) -> impl Future<Output = (io::Result<usize>, AlignedBuf)>;

    /// Makes written data durable.
    ///
    /// # Errors
    /// Whatever the system reports; the file must then not be used again.
    fn sync_data(&self) -> impl Future<Output = io::Result<()>>;

    /// Makes written data and the file's length durable.
    ///
    /// # Errors
    /// As [`DiskFile::sync_data`].
    fn sync_all(&self) -> impl Future<Output = io::Result<()>>;

    /// Current length in bytes.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn len(&self) -> impl Future<Output = io::Result<u64>>;

    /// Cuts or extends the file. A range added reads as zeros and is *not* yet fit for
    /// [`OpenMode::Durable`] writes: zeros have to be written and synced first.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn set_len(&self, len: u64) -> impl Future<Output = io::Result<()>>;

    /// Makes the file at least `len` bytes long and takes the disk space for it now, so that later
    /// writes inside do not fail for want of space. What is added reads as zeros. [`OpenMode::Durable`]
    /// writes are fit for it after [`DiskFile::sync_all`], but slower than on written zeros.
    ///
    /// Without an implementation of its own it only makes the file longer: right where space does not run out.
    ///
    /// # Errors
    /// `StorageFull` or whatever the system reports.
    fn allocate(&self, len: u64) -> impl Future<Output = io::Result<()>> {
        async move {
            if self.len().await? < len {
                self.set_len(len).await?;
            }
            Ok(())
        }
    }
}
