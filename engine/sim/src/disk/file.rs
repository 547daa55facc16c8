//! An open file of a simulated disk.

use std::io;
use std::ops::Range;
use std::rc::Rc;

use jobbie_io::disk::BLOCK_BYTES;
use jobbie_io::{AlignedBuf, DiskFile, OpenMode};

use super::astray::Watch;
use super::inode::{Durability, SECTOR_BYTES};
use super::names::InodeRef;
use super::{Fault, InFlight, Operation, SimDisk, stopping_error};

/// An open file. Clones share it.
#[derive(Clone)]
pub struct SimFile {
    disk: SimDisk,
    inode: InodeRef,
    mode: OpenMode,
}

impl SimFile {
    pub(super) fn new(disk: SimDisk, inode: InodeRef, mode: OpenMode) -> Self {
        Self { disk, inode, mode }
    }

    /// The kernel refuses these with `EINVAL`; here they are a bug to be found at once.
    fn assert_aligned(&self, offset: u64, start: usize, len: usize) {
        if matches!(self.mode, OpenMode::Durable | OpenMode::Direct) {
            assert_eq!(offset % BLOCK_BYTES as u64, 0, "offset {offset} is not on a block");
            assert_eq!(start % BLOCK_BYTES, 0, "buffer position {start} is not on a block");
            assert_eq!(len % BLOCK_BYTES, 0, "{len} bytes are not whole blocks");
        }
    }

    fn assert_writable(&self) {
        assert!(self.mode != OpenMode::Read, "a file opened for reading is written");
    }

    fn no_space_for(&self, offset: u64, len: usize) -> bool {
        let growth = self.inode.borrow().growth_bytes(offset, len as u64);
        growth > 0 && growth > self.disk.shared.borrow().available_bytes()
    }

    /// What the write does to the file once the disk is done with it.
    fn settle_write(&self, write: &InFlight, fault: Option<Fault>) {
        let silent = matches!(fault, Some(Fault::Lost | Fault::Misdirected | Fault::BitFlip));
        let watch = silent.then(|| Watch::new(write));
        self.change_file(write, fault);
        let wrongs = watch.map_or_else(Vec::new, |watch| watch.wrongs(write));
        self.disk.shared.borrow_mut().wrongs.extend(wrongs);
    }

    fn change_file(&self, write: &InFlight, fault: Option<Fault>) {
        let mut shared = self.disk.shared.borrow_mut();
        if matches!(fault, Some(Fault::Error)) {
            shared.leave_partly(write, Durability::AfterFlush);
            return;
        }
        shared.stamp += 1;
        let stamp = shared.stamp;
        let durability = match self.mode {
            OpenMode::Durable => Durability::Immediate,
            _ => Durability::AfterFlush,
        };
        let bytes = &write.buf[write.range.clone()];
        let mut inode = self.inode.borrow_mut();
        let rng = &mut shared.rng;
        match fault {
            Some(Fault::Lost | Fault::NoSpace) => {}
            Some(Fault::ShortWrite) => {
                let sectors = rng.below(bytes.len().div_ceil(SECTOR_BYTES).max(1) as u64);
                let mut left = sectors;
                inode.write(stamp, write.offset, bytes, Durability::AfterFlush, || {
                    let keep = left > 0;
                    left = left.saturating_sub(1);
                    keep
                });
            }
            Some(Fault::BitFlip) => {
                let mut bytes = bytes.to_vec();
                flip_bit(rng, &mut bytes);
                inode.write(stamp, write.offset, &bytes, durability, || true);
            }
            Some(Fault::Misdirected) => {
                let offset = write.offset + BLOCK_BYTES as u64;
                // Elsewhere is elsewhere in this file, or the write is lost.
                if offset + bytes.len() as u64 <= inode.len() {
                    inode.write(stamp, offset, bytes, durability, || true);
                }
            }
            Some(Fault::Hang | Fault::Error) | None => {
                inode.write(stamp, write.offset, bytes, durability, || true);
            }
        }
    }

    async fn sync(&self, with_len: bool) -> io::Result<()> {
        let fault = self.disk.begin_now(Operation::Sync, 1 + u64::from(with_len)).await;
        let stamp = self.disk.shared.borrow().stamp;
        self.disk.take_time(Operation::Sync, fault).await;
        if let Some(error) = stopping_error(fault) {
            self.inode.borrow_mut().fail_flush();
            return Err(error);
        }
        if fault != Some(Fault::Lost) {
            self.inode.borrow_mut().flush(stamp, with_len);
        }
        Ok(())
    }
}

fn flip_bit(rng: &mut crate::rng::Rng, bytes: &mut [u8]) {
    if !bytes.is_empty() {
        let bit = rng.below(bytes.len() as u64 * 8);
        bytes[usize::try_from(bit / 8).expect("an index of the buffer")] ^= 1 << (bit % 8);
    }
}

/// A submitted write. Dropped before it completed (its node was killed), it leaves any subset of
/// its sectors, unless a power loss has already decided.
struct Submitted<'a> {
    disk: &'a SimDisk,
    id: u64,
}

impl<'a> Submitted<'a> {
    fn new(disk: &'a SimDisk, write: InFlight) -> Self {
        let mut shared = disk.shared.borrow_mut();
        let id = shared.next_write;
        shared.next_write += 1;
        shared.in_flight.insert(id, write);
        Self { disk, id }
    }

    fn take(&self) -> Option<InFlight> {
        self.disk.shared.borrow_mut().in_flight.remove(&self.id)
    }
}

impl Drop for Submitted<'_> {
    fn drop(&mut self) {
        if let Some(write) = self.take() {
            self.disk.shared.borrow_mut().leave_partly(&write, Durability::AfterFlush);
        }
    }
}

impl DiskFile for SimFile {
    async fn write_at(
        &self,
        buf: Rc<AlignedBuf>,
        buf_range: Range<usize>,
        offset: u64,
    ) -> io::Result<()> {
        self.assert_writable();
        self.assert_aligned(offset, buf_range.start, buf_range.len());
        let fault = self.disk.begin_now(Operation::Write, offset ^ buf_range.len() as u64).await;
        let full = self.no_space_for(offset, buf_range.len());
        let write = InFlight { inode: self.inode.clone(), buf, range: buf_range, offset };
        let submitted = Submitted::new(&self.disk, write);
        {
            let mut shared = self.disk.shared.borrow_mut();
            if shared.cuts_power(&self.inode) {
                shared.power_loss();
            }
        }
        self.disk.take_time(Operation::Write, fault).await;
        let write = submitted.take().expect("only a power loss takes it, and then we sleep");
        let fault = if full { Some(Fault::NoSpace) } else { fault };
        self.settle_write(&write, fault);
        stopping_error(fault).map_or(Ok(()), Err)
    }

    async fn read_at(&self, mut buf: AlignedBuf, offset: u64) -> (io::Result<usize>, AlignedBuf) {
        self.assert_aligned(offset, 0, buf.len());
        let fault = self.disk.begin(Operation::Read, offset ^ buf.len() as u64).await;
        if let Some(error) = stopping_error(fault) {
            return (Err(error), buf);
        }
        let count = self.inode.borrow().read(offset, &mut buf);
        if fault == Some(Fault::BitFlip) {
            flip_bit(&mut self.disk.shared.borrow_mut().rng, &mut buf[..count]);
        }
        (Ok(count), buf)
    }

    async fn sync_data(&self) -> io::Result<()> {
        self.sync(false).await
    }

    async fn sync_all(&self) -> io::Result<()> {
        self.sync(true).await
    }

    async fn len(&self) -> io::Result<u64> {
        self.disk.silent_after_power_loss().await;
        Ok(self.inode.borrow().len())
    }

    async fn set_len(&self, len: u64) -> io::Result<()> {
        self.assert_writable();
        let fault = self.disk.begin(Operation::SetLen, len).await;
        stopping_error(fault).map_or(Ok(()), Err)?;
        let mut shared = self.disk.shared.borrow_mut();
        shared.stamp += 1;
        self.inode.borrow_mut().set_len(shared.stamp, len);
        Ok(())
    }

    async fn allocate(&self, len: u64) -> io::Result<()> {
        self.assert_writable();
        let fault = self.disk.begin(Operation::SetLen, !len).await;
        stopping_error(fault).map_or(Ok(()), Err)?;
        let mut shared = self.disk.shared.borrow_mut();
        shared.stamp += 1;
        let (stamp, available) = (shared.stamp, shared.available_bytes());
        if self.inode.borrow_mut().allocate(stamp, len, available) {
            Ok(())
        } else {
            Err(io::ErrorKind::StorageFull.into())
        }
    }
}
