//! What the fuzz targets share: a disk in memory, files made from few bytes, and checksums put right.
//!
//! Behind a checksum a fuzzer finds nothing, because it never guesses one. So the targets of the disk formats put the
//! checksums of what they are given right before they hand it on, unless the input's first byte says not to; then the
//! decoders see what no accident of a disk makes, and must still refuse it or give a value that can be used.
//!
//! Frames between nodes have no target: they have no encoding yet, since replication is not built.

pub mod disk;
pub mod fix;
pub mod log;
pub mod snapshot;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Runs what never has to wait, because its disk is [`disk::MemDisk`].
///
/// # Panics
/// When it waits all the same.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("reading a disk in memory waits for something"),
    }
}
