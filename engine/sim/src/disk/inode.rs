//! One file's bytes: what readers see, and what each sector may be after a power loss.

use std::collections::{BTreeMap, BTreeSet};

use jobbie_io::disk::BLOCK_BYTES;

use crate::rng::Rng;

/// What a disk writes whole or not at all, in bytes.
pub(super) const SECTOR_BYTES: usize = 512;
const BLOCK: u64 = BLOCK_BYTES as u64;
const SECTOR: u64 = SECTOR_BYTES as u64;

type Block = Box<[u8; BLOCK_BYTES]>;
/// `None` is all zeros.
type Sector = Option<Box<[u8; SECTOR_BYTES]>>;

/// Orders writes and flushes of one disk: a flush covers the writes that completed before it began.
pub(super) type Stamp = u64;

/// A sector with writes that power loss may undo.
#[derive(Clone)]
struct Unflushed {
    /// What the sector may be after a crash, oldest (the durable one) first; the newest is what
    /// readers see. Never empty.
    versions: Vec<(Stamp, Sector)>,
    /// A flush failed since the last write: the kernel dropped the page, no later flush helps.
    dropped: bool,
}

#[derive(Clone, Default)]
pub(super) struct Inode {
    len: u64,
    /// Lengths this file may have after a crash beside `len`: the durable one first.
    unflushed_lens: Vec<(Stamp, u64)>,
    blocks: BTreeMap<u64, Block>,
    unflushed: BTreeMap<u64, Unflushed>,
    /// Blocks the file system has given to the file, and when each was given or last written.
    written: BTreeMap<u64, Stamp>,
    /// Blocks whose allocation is durable too: the only ones a durable write is durable on.
    allocated: BTreeSet<u64>,
}

/// How a range reaches the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Durable at once, where the blocks were allocated and flushed before.
    Immediate,
    /// Durable after a flush.
    AfterFlush,
}

impl Inode {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of the disk this file occupies.
    pub(super) fn occupied_bytes(&self) -> u64 {
        self.written.len() as u64 * BLOCK
    }

    /// Bytes of the disk that writing the range would occupy beside those.
    pub(super) fn growth_bytes(&self, offset: u64, len: u64) -> u64 {
        blocks_of(offset, len).filter(|block| !self.written.contains_key(block)).count() as u64
            * BLOCK
    }

    /// What a reader sees; returns how many bytes there were before the end of the file.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> usize {
        let available = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = out.len().min(available);
        let mut done = 0;
        while done < count {
            let at = offset + done as u64;
            let (block, start) = (at / BLOCK, to_usize(at % BLOCK));
            let step = (BLOCK_BYTES - start).min(count - done);
            match self.blocks.get(&block) {
                Some(bytes) => {
                    out[done..done + step].copy_from_slice(&bytes[start..start + step]);
                }
                None => out[done..done + step].fill(0),
            }
            done += step;
        }
        count
    }

    /// Writes the sectors of the range that `keep` chooses, and the length that reaches them.
    pub(super) fn write(
        &mut self,
        stamp: Stamp,
        offset: u64,
        bytes: &[u8],
        durability: Durability,
        mut keep: impl FnMut() -> bool,
    ) {
        let end = self.write_sectors(stamp, offset, bytes, durability, &mut keep);
        if end > self.len {
            self.change_len(stamp, end);
        }
    }

    /// Returns where the last sector kept ends.
    fn write_sectors(
        &mut self,
        stamp: Stamp,
        offset: u64,
        bytes: &[u8],
        durability: Durability,
        keep: &mut impl FnMut() -> bool,
    ) -> u64 {
        let (mut done, mut end) = (0, 0);
        while done < bytes.len() {
            let at = offset + done as u64;
            if self.is_zero_over_zero(at, &bytes[done..]) {
                for sector in 0..BLOCK / SECTOR {
                    if keep() {
                        self.written.insert(at / BLOCK, stamp);
                        end = at + (sector + 1) * SECTOR;
                    }
                }
                done += BLOCK_BYTES;
                continue;
            }
            let step = to_usize(SECTOR - at % SECTOR).min(bytes.len() - done);
            if keep() {
                self.write_in_sector(stamp, at, &bytes[done..done + step], durability);
                end = at + step as u64;
            }
            done += step;
        }
        end
    }

    /// A whole block of zeros where there are only zeros: preparing a segment, which is most of
    /// what a log writes in a short run, costs no step for each sector.
    fn is_zero_over_zero(&self, at: u64, bytes: &[u8]) -> bool {
        let Some(block) = bytes.get(..BLOCK_BYTES) else { return false };
        let sectors = at / SECTOR..(at + BLOCK) / SECTOR;
        at.is_multiple_of(BLOCK)
            && !self.blocks.contains_key(&(at / BLOCK))
            && self.unflushed.range(sectors).next().is_none()
            && block.iter().all(|byte| *byte == 0)
    }

    fn write_in_sector(&mut self, stamp: Stamp, at: u64, part: &[u8], durability: Durability) {
        let (block, sector) = (at / BLOCK, at / SECTOR);
        self.written.insert(block, stamp);
        if durability == Durability::Immediate && self.allocated.contains(&block) {
            self.put_part(at, part);
            self.unflushed.remove(&sector);
            return;
        }
        let old = self.sector(sector);
        self.put_part(at, part);
        let new = self.sector(sector);
        if old == new && !self.unflushed.contains_key(&sector) {
            return;
        }
        let entry = self
            .unflushed
            .entry(sector)
            .or_insert_with(|| Unflushed { versions: vec![(0, old)], dropped: false });
        entry.versions.push((stamp, new));
        entry.dropped = false;
    }

    fn put_part(&mut self, at: u64, part: &[u8]) {
        let (block, start) = (at / BLOCK, to_usize(at % BLOCK));
        if self.blocks.contains_key(&block) || part.iter().any(|byte| *byte != 0) {
            let bytes = self.blocks.entry(block).or_insert_with(|| Box::new([0; BLOCK_BYTES]));
            bytes[start..start + part.len()].copy_from_slice(part);
        }
    }

    fn sector(&self, sector: u64) -> Sector {
        let bytes = self.blocks.get(&(sector * SECTOR / BLOCK))?;
        let start = to_usize(sector * SECTOR % BLOCK);
        let part: [u8; SECTOR_BYTES] =
            bytes[start..start + SECTOR_BYTES].try_into().expect("a sector lies in one block");
        part.iter().any(|byte| *byte != 0).then(|| Box::new(part))
    }

    fn put_sector(&mut self, sector: u64, content: &Sector) {
        match content {
            Some(content) => self.put_part(sector * SECTOR, &content[..]),
            None => self.put_part(sector * SECTOR, &[0; SECTOR_BYTES]),
        }
    }

    fn change_len(&mut self, stamp: Stamp, len: u64) {
        if self.unflushed_lens.is_empty() {
            self.unflushed_lens.push((0, self.len));
        }
        self.unflushed_lens.push((stamp, len));
        self.len = len;
    }

    /// Cuts or extends; what is cut off reads as zeros if the file grows again.
    pub(super) fn set_len(&mut self, stamp: Stamp, len: u64) {
        if len < self.len {
            let blocks: Vec<u64> = self.blocks.range(len / BLOCK..).map(|(b, _)| *b).collect();
            for block in blocks {
                let start = (block * BLOCK).max(len);
                let zeros = vec![0; to_usize((block + 1) * BLOCK - start)];
                self.write_sectors(stamp, start, &zeros, Durability::AfterFlush, &mut || true);
            }
            // Freed blocks are given out anew, so nothing on them is durable any more.
            let freed = len.div_ceil(BLOCK);
            self.written.retain(|block, _| *block < freed);
            self.allocated.retain(|block| *block < freed);
        }
        if len != self.len {
            self.change_len(stamp, len);
        }
    }

    /// Takes blocks for the first `len` bytes, which a flush makes fit for durable writes, and makes the
    /// file at least that long. False if `available` bytes of the disk are too few: then as many
    /// blocks as there were are taken, as a file system does.
    pub(super) fn allocate(&mut self, stamp: Stamp, len: u64, available: u64) -> bool {
        let missing = blocks_of(0, len).filter(|block| !self.written.contains_key(block));
        let missing: Vec<u64> = missing.collect();
        let room = to_usize(available / BLOCK);
        for block in missing.iter().take(room) {
            self.written.insert(*block, stamp);
        }
        if missing.len() > room {
            return false;
        }
        if len > self.len {
            self.change_len(stamp, len);
        }
        true
    }

    /// Makes every write at or before `stamp` durable, and the length if `with_len`.
    pub(super) fn flush(&mut self, stamp: Stamp, with_len: bool) {
        let mut late_blocks = BTreeSet::new();
        self.unflushed.retain(|sector, entry| {
            if entry.dropped {
                late_blocks.insert(sector * SECTOR / BLOCK);
                return true;
            }
            let flushed = entry.versions.iter().rposition(|(at, _)| *at <= stamp).unwrap_or(0);
            entry.versions.drain(..flushed);
            if entry.versions.len() > 1 {
                late_blocks.insert(sector * SECTOR / BLOCK);
            }
            entry.versions.len() > 1
        });
        let flushed = self.written.iter().filter(|(_, at)| **at <= stamp).map(|(block, _)| *block);
        self.allocated.extend(flushed.filter(|block| !late_blocks.contains(block)));
        if with_len {
            flush_versions(&mut self.unflushed_lens, stamp);
        }
    }

    /// A flush failed: what it should have made durable never will be.
    pub(super) fn fail_flush(&mut self) {
        self.unflushed.values_mut().for_each(|entry| entry.dropped = true);
        self.written.values_mut().for_each(|at| *at = Stamp::MAX);
    }

    /// What the power loss leaves: for every unflushed sector, and for the length, any version.
    pub(super) fn crash(&mut self, rng: &mut Rng) {
        let unflushed = std::mem::take(&mut self.unflushed);
        for (sector, entry) in unflushed {
            let (_, content) = &entry.versions[pick(rng, entry.versions.len())];
            self.put_sector(sector, content);
        }
        if !self.unflushed_lens.is_empty() {
            let lens = std::mem::take(&mut self.unflushed_lens);
            self.len = lens[pick(rng, lens.len())].1;
        }
        self.settle_after_crash();
    }

    /// Nothing is in doubt any more: the file is what it is now.
    pub(super) fn settle(&mut self) {
        self.unflushed.clear();
        self.unflushed_lens.clear();
        self.allocated.extend(self.written.keys());
    }

    fn settle_after_crash(&mut self) {
        let len = self.len;
        self.blocks.retain(|block, _| block * BLOCK < len);
        if let Some(bytes) = self.blocks.get_mut(&(len / BLOCK)) {
            bytes[to_usize(len % BLOCK)..].fill(0);
        }
        self.allocated.retain(|block| block * BLOCK < len);
        // A block whose allocation was not flushed has lost it: what reads as zeros is a hole, and
        // even where bytes stayed only another flush makes it fit for durable writes.
        let (blocks, allocated) = (&self.blocks, &self.allocated);
        self.written.retain(|block, _| {
            block * BLOCK < len && (allocated.contains(block) || blocks.contains_key(block))
        });
    }
}

/// Keeps the newest version at or before `stamp` and everything after it.
fn flush_versions(versions: &mut Vec<(Stamp, u64)>, stamp: Stamp) {
    if let Some(flushed) = versions.iter().rposition(|(at, _)| *at <= stamp) {
        versions.drain(..flushed);
    }
    if versions.len() <= 1 {
        versions.clear();
    }
}

fn pick(rng: &mut Rng, count: usize) -> usize {
    to_usize(rng.below(count as u64))
}

fn blocks_of(offset: u64, len: u64) -> std::ops::Range<u64> {
    offset / BLOCK..(offset + len).div_ceil(BLOCK)
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).expect("a length within one block or buffer")
}
