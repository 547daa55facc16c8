//! The operating system as a shard sees it: aligned buffers and a disk.
//!
//! Everything above this crate is written against [`Disk`] and [`DiskFile`], so the log runs
//! unchanged on io_uring and on the simulator's disk.

pub mod aligned;
pub mod disk;

pub use aligned::AlignedBuf;
pub use disk::{Disk, DiskFile, FileInfo, OpenMode};
