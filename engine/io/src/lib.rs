//! The operating system as a shard sees it: aligned buffers, a disk, a thread with a ring.
//!
//! Everything above this crate is written against [`Disk`] and [`DiskFile`], so the log runs
//! unchanged on io_uring and on the simulator's disk. All unsafe code of the workspace is here.

pub mod aligned;
pub mod disk;
pub mod lock;
pub mod notify;
pub mod offline;
mod pool;
pub mod runtime;
mod sys;
pub mod uring;

pub use aligned::AlignedBuf;
pub use disk::{BLOCK_BYTES, Disk, DiskFile, FileInfo, OpenMode};
pub use lock::{DirLock, LockError};
pub use notify::{EventNotifier, EventWaiter, event_notify};
pub use offline::OfflineReader;
pub use uring::{UringDisk, UringFile};
