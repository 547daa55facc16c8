//! A disk that gives exactly what [`jobbie_io::disk`] promises and nothing more.
//!
//! What a test may rely on:
//! - the content belongs to the [`SimDisk`], not to whoever opened it: a killed node is started
//!   again on the same disk, and a killed node's unfinished writes leave any subset of sectors;
//! - [`SimDisk::crash`] is a power loss: everything not flushed becomes, sector by sector, name by
//!   name and length by length, either old or new, as the seed says. Whoever used the disk before
//!   never hears from it again, as a dead process does not;
//! - writes in flight complete in any order.

mod astray;
mod fault;
mod file;
mod inode;
mod names;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::task::{Poll, Waker};

use jobbie_io::{AlignedBuf, Disk, FileInfo, OpenMode};

use crate::executor::Handle;
use crate::rng::Rng;

pub use astray::Astray;
pub use fault::{DiskConfig, Fault, FaultRates, Operation};
pub use file::SimFile;

use fault::Planned;
use inode::Durability;
use names::{Directory, InodeRef};

/// A simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    shared: Rc<RefCell<Shared>>,
    /// The power cycle this handle belongs to.
    epoch: u64,
}

struct Shared {
    config: DiskConfig,
    rng: Rng,
    directory: Directory,
    /// Rises with each write completed and each flush begun.
    stamp: u64,
    epoch: u64,
    operations: u64,
    power_fails_at: Option<u64>,
    power_cut: Option<PowerCut>,
    next_write: u64,
    in_flight: BTreeMap<u64, InFlight>,
    planned: Vec<Planned>,
    wrongs: Vec<astray::Wrong>,
    /// Rises with [`SimDisk::release`]; a hanging call waits for a rise.
    releases: u64,
    waiting: Vec<Waker>,
}

/// A power loss that waits for writes.
#[derive(Clone, Copy)]
struct PowerCut {
    /// Writes still to begin before it.
    writes: u64,
    /// Writes to one file that must be in flight.
    in_flight: usize,
}

/// A write the disk has been given and has not completed.
struct InFlight {
    inode: InodeRef,
    buf: Rc<AlignedBuf>,
    range: Range<usize>,
    offset: u64,
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64, config: DiskConfig) -> Self {
        let shared = Shared {
            config,
            rng: Rng::new(seed),
            directory: Directory::default(),
            stamp: 0,
            epoch: 0,
            operations: 0,
            power_fails_at: None,
            power_cut: None,
            next_write: 0,
            in_flight: BTreeMap::new(),
            planned: Vec::new(),
            wrongs: Vec::new(),
            releases: 0,
            waiting: Vec::new(),
        };
        Self { shared: Rc::new(RefCell::new(shared)), epoch: 0 }
    }

    /// The power fails. Gives the disk as the next boot finds it; handles and files from before
    /// stay silent for ever.
    pub fn crash(&self) -> Self {
        let mut shared = self.shared.borrow_mut();
        shared.power_loss();
        Self { shared: self.shared.clone(), epoch: shared.epoch }
    }

    /// The same disk for whoever comes after a crash, also one by [`SimDisk::fail_power_at`].
    #[must_use]
    pub fn reboot(&self) -> Self {
        Self { shared: self.shared.clone(), epoch: self.shared.borrow().epoch }
    }

    /// Loses power the moment call number `operation` begins, counted as [`SimDisk::operations`].
    pub fn fail_power_at(&self, operation: u64) {
        self.shared.borrow_mut().power_fails_at = Some(operation);
    }

    /// Loses power the moment a write begins, when `writes` have begun before it and, itself included,
    /// `in_flight` to its file are on their way. That is when tails are torn, and what comes right after a start is hit.
    pub fn fail_power_with_writes(&self, writes: u64, in_flight: usize) {
        self.shared.borrow_mut().power_cut = Some(PowerCut { writes, in_flight });
    }

    /// Takes back [`SimDisk::fail_power_at`] and [`SimDisk::fail_power_with_writes`].
    pub fn keep_power(&self) {
        let mut shared = self.shared.borrow_mut();
        (shared.power_fails_at, shared.power_cut) = (None, None);
    }

    /// Ends when this handle's power cycle does. Race it against the work of a node.
    pub async fn power_failure(&self) {
        std::future::poll_fn(|cx| {
            let mut shared = self.shared.borrow_mut();
            if shared.epoch != self.epoch {
                return Poll::Ready(());
            }
            shared.waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Calls begun so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.shared.borrow().operations
    }

    /// Another disk with the same content, doubts included, and dice of its own.
    #[must_use]
    pub fn fork(&self, seed: u64) -> Self {
        let shared = self.shared.borrow();
        let fork = Self::new(seed, shared.config.clone());
        {
            let mut copy = fork.shared.borrow_mut();
            copy.directory = shared.directory.deep_clone();
            copy.stamp = shared.stamp;
        }
        fork
    }

    /// Makes the call of `operation` that comes after `after` good ones go wrong.
    pub fn plan(&self, operation: Operation, after: u64, fault: Fault) {
        self.shared.borrow_mut().planned.push(Planned { operation, after, fault });
    }

    /// Lets every hanging call go on.
    pub fn release(&self) {
        let mut shared = self.shared.borrow_mut();
        shared.releases += 1;
        shared.wake_all();
    }

    /// Changes speed, size or fault rates from now on.
    pub fn configure(&self, change: impl FnOnce(&mut DiskConfig)) {
        change(&mut self.shared.borrow_mut().config);
    }

    /// What readers see of `name`.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let inode = self.shared.borrow().directory.now.get(name)?.clone();
        let inode = inode.borrow();
        let mut bytes = vec![0; usize::try_from(inode.len()).expect("a file that fits in memory")];
        inode.read(0, &mut bytes);
        Some(bytes)
    }

    /// Names and lengths as they are now.
    #[must_use]
    pub fn files(&self) -> Vec<FileInfo> {
        let shared = self.shared.borrow();
        let info = |(name, inode): (&String, &InodeRef)| FileInfo {
            name: name.clone(),
            len: inode.borrow().len(),
        };
        shared.directory.now.iter().map(info).collect()
    }

    /// Puts a durable file there, replacing what had the name.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let inode = InodeRef::default();
        inode.borrow_mut().write(0, 0, bytes, Durability::AfterFlush, || true);
        inode.borrow_mut().settle();
        self.shared.borrow_mut().directory.put(name, inode);
    }

    /// Turns over the bits of `mask` in one byte of `name`, durably.
    ///
    /// # Panics
    /// If there is no such byte.
    pub fn corrupt(&self, name: &str, offset: u64, mask: u8) {
        let inode = self.existing(name);
        let mut inode = inode.borrow_mut();
        let mut byte = [0];
        assert_eq!(inode.read(offset, &mut byte), 1, "{name} ends before {offset}");
        inode.write(0, offset, &[byte[0] ^ mask], Durability::AfterFlush, || true);
        inode.settle();
    }

    /// Overwrites part of `name`, durably.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn overwrite(&self, name: &str, offset: u64, bytes: &[u8]) {
        let inode = self.existing(name);
        inode.borrow_mut().write(0, offset, bytes, Durability::AfterFlush, || true);
        inode.borrow_mut().settle();
    }

    /// Cuts or extends `name`, durably.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn cut(&self, name: &str, len: u64) {
        let inode = self.existing(name);
        inode.borrow_mut().set_len(0, len);
        inode.borrow_mut().settle();
    }

    /// Removes `name`, durably.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn delete(&self, name: &str) {
        assert!(self.shared.borrow_mut().directory.take(name), "there is no file {name}");
    }

    fn existing(&self, name: &str) -> InodeRef {
        let shared = self.shared.borrow();
        shared.directory.now.get(name).unwrap_or_else(|| panic!("there is no file {name}")).clone()
    }

    /// Begins a call: counts it, folds it into the trace, takes its time and draws its fault.
    async fn begin(&self, operation: Operation, detail: u64) -> Option<Fault> {
        let fault = self.begin_now(operation, detail).await;
        self.take_time(operation, fault).await;
        fault
    }

    /// The part of [`SimDisk::begin`] that happens before any time passes.
    async fn begin_now(&self, operation: Operation, detail: u64) -> Option<Fault> {
        self.silent_after_power_loss().await;
        let fault = {
            let mut shared = self.shared.borrow_mut();
            let number = shared.operations;
            shared.operations += 1;
            if shared.power_fails_at == Some(number) {
                shared.power_loss();
            }
            shared.draw_fault(operation)
        };
        self.silent_after_power_loss().await;
        Handle::current().trace((operation as u64) << 56 ^ detail);
        fault
    }

    async fn take_time(&self, operation: Operation, fault: Option<Fault>) {
        let nanos = {
            let mut shared = self.shared.borrow_mut();
            let Shared { config, rng, .. } = &mut *shared;
            config.latency_nanos(operation, rng)
        };
        let handle = Handle::current();
        handle.sleep_until(handle.now_nanos() + nanos).await;
        if fault == Some(Fault::Hang) {
            self.hang().await;
        }
        self.silent_after_power_loss().await;
    }

    async fn silent_after_power_loss(&self) {
        if self.shared.borrow().epoch != self.epoch {
            std::future::pending::<()>().await;
        }
    }

    async fn hang(&self) {
        let before = self.shared.borrow().releases;
        std::future::poll_fn(|cx| {
            let mut shared = self.shared.borrow_mut();
            if shared.releases != before {
                return Poll::Ready(());
            }
            shared.waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Shared {
    fn power_loss(&mut self) {
        self.epoch += 1;
        (self.power_fails_at, self.power_cut) = (None, None);
        for (_, write) in std::mem::take(&mut self.in_flight) {
            // What the disk got done of it is done, where the blocks were its own; the rest is drawn below.
            self.leave_partly(&write, Durability::Immediate);
        }
        let Self { directory, rng, .. } = self;
        directory.crash(rng);
        for inode in directory.now.values() {
            inode.borrow_mut().crash(rng);
        }
        self.wake_all();
    }

    /// A write to `inode` has begun; whether the power fails now.
    fn cuts_power(&mut self, inode: &InodeRef) -> bool {
        let to_it = |write: &&InFlight| Rc::ptr_eq(&write.inode, inode);
        let in_flight = self.in_flight.values().filter(to_it).count();
        let Some(cut) = &mut self.power_cut else { return false };
        if cut.writes > 0 {
            cut.writes -= 1;
            return false;
        }
        in_flight >= cut.in_flight
    }

    /// A write nobody waits for any more: any of its sectors may have happened, all or none of them more often
    /// than chance would have it.
    fn leave_partly(&mut self, write: &InFlight, durability: Durability) {
        self.stamp += 1;
        let Self { stamp, rng, .. } = self;
        let bytes = &write.buf[write.range.clone()];
        let mut inode = write.inode.borrow_mut();
        let whole = (rng.below(4) == 0).then(|| rng.coin());
        let keep = || whole.unwrap_or_else(|| rng.coin());
        inode.write(*stamp, write.offset, bytes, durability, keep);
    }

    fn draw_fault(&mut self, operation: Operation) -> Option<Fault> {
        let mut due = None;
        self.planned.retain_mut(|planned| {
            if planned.operation != operation || due.is_some() {
                return true;
            }
            if planned.after > 0 {
                planned.after -= 1;
                return true;
            }
            due = Some(planned.fault);
            false
        });
        due.or_else(|| self.config.faults.draw(operation, &mut self.rng))
    }

    fn wake_all(&mut self) {
        std::mem::take(&mut self.waiting).into_iter().for_each(Waker::wake);
    }

    fn available_bytes(&self) -> u64 {
        let occupied: u64 =
            self.directory.now.values().map(|inode| inode.borrow().occupied_bytes()).sum();
        self.config.capacity_bytes.saturating_sub(occupied)
    }
}

/// The error a fault that stops a call gives; `None` for one that only spoils its effect.
fn stopping_error(fault: Option<Fault>) -> Option<io::Error> {
    match fault {
        Some(Fault::Error) => Some(io::Error::other("simulated I/O error")),
        Some(Fault::NoSpace) => Some(io::ErrorKind::StorageFull.into()),
        Some(Fault::ShortWrite) => Some(io::ErrorKind::WriteZero.into()),
        _ => None,
    }
}

fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0, |hash, byte| crate::rng::mix(hash ^ u64::from(byte)))
}

impl Disk for SimDisk {
    type File = SimFile;

    async fn open(&self, name: &str, mode: OpenMode) -> io::Result<SimFile> {
        let fault = self.begin(Operation::Open, name_hash(name) ^ mode as u64).await;
        stopping_error(fault).map_or(Ok(()), Err)?;
        let mut shared = self.shared.borrow_mut();
        let there = shared.directory.now.get(name).cloned();
        let inode = match (mode, there) {
            (OpenMode::Create, None) => shared.directory.create(name),
            (OpenMode::Create, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (_, None) => return Err(io::ErrorKind::NotFound.into()),
            (_, Some(inode)) => inode,
        };
        Ok(SimFile::new(self.clone(), inode, mode))
    }

    async fn list(&self) -> io::Result<Vec<FileInfo>> {
        let fault = self.begin(Operation::Open, 0).await;
        stopping_error(fault).map_or(Ok(()), Err)?;
        Ok(self.files())
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let fault = self.begin(Operation::Name, name_hash(from) ^ name_hash(to)).await;
        stopping_error(fault).map_or(Ok(()), Err)?;
        let renamed = self.shared.borrow_mut().directory.rename(from, to);
        if renamed { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        let fault = self.begin(Operation::Name, name_hash(name)).await;
        stopping_error(fault).map_or(Ok(()), Err)?;
        let removed = self.shared.borrow_mut().directory.remove(name);
        if removed { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    async fn sync_dir(&self) -> io::Result<()> {
        let fault = self.begin_now(Operation::Sync, 0).await;
        let last = self.shared.borrow().directory.last_change();
        self.take_time(Operation::Sync, fault).await;
        stopping_error(fault).map_or(Ok(()), Err)?;
        if fault != Some(Fault::Lost) {
            self.shared.borrow_mut().directory.sync(last);
        }
        Ok(())
    }

    async fn available_bytes(&self) -> io::Result<u64> {
        self.silent_after_power_loss().await;
        Ok(self.shared.borrow().available_bytes())
    }

    async fn sleep(&self, nanos: u64) {
        let handle = Handle::current();
        handle.sleep_until(handle.now_nanos().saturating_add(nanos)).await;
        self.silent_after_power_loss().await;
    }
}

#[cfg(test)]
mod tests;
