//! What goes wrong on a disk: by rate, or the next time on demand.

use std::ops::Range;

use crate::rng::Rng;

/// Which kind of call a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// [`jobbie_io::Disk::open`].
    Open,
    /// [`jobbie_io::DiskFile::write_at`].
    Write,
    /// [`jobbie_io::DiskFile::read_at`].
    Read,
    /// [`jobbie_io::DiskFile::sync_data`], `sync_all` and [`jobbie_io::Disk::sync_dir`].
    Sync,
    /// [`jobbie_io::DiskFile::set_len`].
    SetLen,
    /// [`jobbie_io::Disk::rename`] and `remove`.
    Name,
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `EIO`. A write leaves any subset of its sectors; a sync drops what it should have flushed.
    Error,
    /// `ENOSPC`, nothing written.
    NoSpace,
    /// A write stops early and says so (`WriteZero`).
    ShortWrite,
    /// One bit of what is read or written turns over, silently.
    BitFlip,
    /// A write lands one block later in the file, or nowhere if that is not in the file, silently.
    Misdirected,
    /// A write is reported done and never happened.
    Lost,
    /// The call waits until [`super::SimDisk::release`].
    Hang,
}

/// How often each fault happens by itself, in calls of its operation per million.
#[derive(Clone, Debug, Default)]
pub struct FaultRates {
    /// [`Fault::Error`] on writes.
    pub write_error_ppm: u32,
    /// [`Fault::Error`] on reads.
    pub read_error_ppm: u32,
    /// [`Fault::Error`] on syncs.
    pub sync_error_ppm: u32,
    /// [`Fault::ShortWrite`].
    pub short_write_ppm: u32,
    /// [`Fault::BitFlip`] on writes.
    pub bit_flip_ppm: u32,
    /// [`Fault::Misdirected`].
    pub misdirected_ppm: u32,
    /// [`Fault::Lost`].
    pub lost_ppm: u32,
}

/// Speed, size and faults of a simulated disk.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    /// Bytes of blocks that fit.
    pub capacity_bytes: u64,
    /// How long a write takes, in nanoseconds of virtual time.
    pub write_nanos: Range<u64>,
    /// How long a read takes.
    pub read_nanos: Range<u64>,
    /// How long a sync, a change of names or of lengths takes.
    pub sync_nanos: Range<u64>,
    /// How many calls in a million take `spike_nanos` more.
    pub spike_ppm: u32,
    /// Length of a latency spike.
    pub spike_nanos: Range<u64>,
    /// Faults that come by themselves.
    pub faults: FaultRates,
}

impl Default for DiskConfig {
    fn default() -> Self {
        Self {
            capacity_bytes: 1 << 40,
            write_nanos: 40_000..160_000,
            read_nanos: 20_000..90_000,
            sync_nanos: 40_000..200_000,
            spike_ppm: 1_000,
            spike_nanos: 1_000_000..30_000_000,
            faults: FaultRates::default(),
        }
    }
}

impl DiskConfig {
    pub(super) fn latency_nanos(&self, operation: Operation, rng: &mut Rng) -> u64 {
        let range = match operation {
            Operation::Write => &self.write_nanos,
            Operation::Read => &self.read_nanos,
            _ => &self.sync_nanos,
        };
        let spike = rng.chance_ppm(self.spike_ppm);
        rng.within(range) + if spike { rng.within(&self.spike_nanos) } else { 0 }
    }
}

impl FaultRates {
    pub(super) fn draw(&self, operation: Operation, rng: &mut Rng) -> Option<Fault> {
        let rates: &[(u32, Fault)] = match operation {
            Operation::Write => &[
                (self.write_error_ppm, Fault::Error),
                (self.short_write_ppm, Fault::ShortWrite),
                (self.bit_flip_ppm, Fault::BitFlip),
                (self.misdirected_ppm, Fault::Misdirected),
                (self.lost_ppm, Fault::Lost),
            ],
            Operation::Read => &[(self.read_error_ppm, Fault::Error)],
            Operation::Sync => &[(self.sync_error_ppm, Fault::Error)],
            _ => &[],
        };
        rates.iter().find(|(ppm, _)| rng.chance_ppm(*ppm)).map(|(_, fault)| *fault)
    }
}

/// A fault asked for by a test.
pub(super) struct Planned {
    pub(super) operation: Operation,
    /// Calls of the operation that go well before it.
    pub(super) after: u64,
    pub(super) fault: Fault,
}
