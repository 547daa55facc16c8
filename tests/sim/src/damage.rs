//! What a disk did to the log in silence, and what the log is to say about it when it is opened.
//!
//! One member has one copy, so damage is not survived: it is refused, naming file and offset, whenever anything on the
//! disk still says that the record was there. Where nothing can say so (the very last records before a power
//! loss) the damage is mended before anybody looks, and counted.

use std::cell::RefCell;
use std::ops::Range;

use jobbie_sim::{Astray, Rng, SimDisk};

use crate::check::violated;
use crate::records::{self, Record};

/// A bit that turned over at rest.
#[derive(Clone, Debug)]
struct Flip {
    file: String,
    offset: u64,
    mask: u8,
    /// The byte as it is now.
    byte: u8,
    spoils: Spoils,
}

#[derive(Clone, Debug)]
enum Spoils {
    Record(Record),
    /// The header of a segment.
    Header,
    /// One of two copies.
    Superblock,
    /// Snapshots have predecessors, and the log from there on.
    Snapshot,
}

/// What opening the log must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Sound,
    /// It must refuse, at this offset of this file. If `sealed`, a start that does not verify sealed segments may serve.
    Refused { file: String, offset: u64, sealed: bool },
    /// It may serve, or refuse and name the file.
    Either { file: String },
}

/// Flips of one node's disk.
pub(crate) struct Damage {
    store: u128,
    flip: RefCell<Option<Flip>>,
}

impl Damage {
    pub(crate) fn new(store: u128) -> Self {
        Self { store, flip: RefCell::default() }
    }

    /// Whether anything is wrong with the disk.
    pub(crate) fn is_there(&self, disk: &SimDisk) -> bool {
        self.flip.borrow().is_some() || !disk.astray().is_empty()
    }

    /// Turns over one bit of something that must be noticed, or survived. False when there is nothing to hit.
    pub(crate) fn flip(&self, disk: &SimDisk, rng: &mut Rng) -> bool {
        self.mend(disk);
        let Some((file, range, spoils)) = self.target(disk, rng) else { return false };
        let (offset, mask) = (range.start + rng.below(range.end - range.start), 1 << rng.below(8));
        disk.corrupt(&file, offset, mask);
        let byte = byte_at(disk, &file, offset).expect("it was just corrupted");
        *self.flip.borrow_mut() = Some(Flip { file, offset, mask, byte, spoils });
        true
    }

    fn target(&self, disk: &SimDisk, rng: &mut Rng) -> Option<(String, Range<u64>, Spoils)> {
        match rng.below(8) {
            0 => Some((one_of(rng, &records::segments(disk))?.clone(), 0..60, Spoils::Header)),
            1 => Some(("superblock".to_owned(), 0..8192, Spoils::Superblock)),
            2 => {
                let names = disk.files().into_iter().map(|file| file.name);
                let snapshots: Vec<_> = names.filter(|name| name.starts_with("snap-")).collect();
                let file = one_of(rng, &snapshots)?.clone();
                let len = disk.content(&file)?.len() as u64;
                (len > 0).then_some((file, 0..len, Spoils::Snapshot))
            }
            _ => {
                let all = records::all(disk, self.store);
                let covered: Vec<&Record> = all.iter().filter(|r| is_covered(&all, r)).collect();
                let hit = (*one_of(rng, &covered)?).clone();
                let range = hit.offset..hit.offset + hit.bytes;
                Some((hit.file.clone(), range, Spoils::Record(hit)))
            }
        }
    }

    /// What opening the log must say now. Mends what nobody could notice; true beside if it did.
    pub(crate) fn judge(&self, disk: &SimDisk) -> (Verdict, bool) {
        let gone = self
            .flip
            .borrow()
            .as_ref()
            .is_some_and(|flip| byte_at(disk, &flip.file, flip.offset) != Some(flip.byte));
        if gone {
            *self.flip.borrow_mut() = None;
        }
        if let Some(flip) = &*self.flip.borrow() {
            return (self.judge_flip(disk, flip), false);
        }
        let astray = disk.astray();
        let Some(first) = astray.first() else { return (Verdict::Sound, false) };
        match self.judge_astray(disk, first) {
            Some(verdict) => (verdict, false),
            None => {
                disk.mend();
                (Verdict::Sound, true)
            }
        }
    }

    fn judge_flip(&self, disk: &SimDisk, flip: &Flip) -> Verdict {
        let file = flip.file.clone();
        let all = records::all(disk, self.store);
        match &flip.spoils {
            Spoils::Superblock | Spoils::Snapshot => Verdict::Sound,
            Spoils::Header => {
                let oldest = records::oldest_segment(&all);
                match all.iter().find(|record| record.file == file && record.segment() >= oldest) {
                    Some(_) => Verdict::Refused { file, offset: 0, sealed: false },
                    None => Verdict::Either { file },
                }
            }
            Spoils::Record(record) => refusal(disk, &all, record),
        }
    }

    /// `None` if nothing on the disk can tell.
    fn judge_astray(&self, disk: &SimDisk, astray: &Astray) -> Option<Verdict> {
        let Astray { file, offset, intended, found } = astray;
        let records = records::written(self.store, file, *offset, intended);
        let differs = |record: &&Record| {
            let at = (record.offset - offset) as usize;
            let end = (at + record.bytes as usize).min(intended.len());
            intended[at..end] != found[at..end]
        };
        let Some(spoilt) = records.iter().find(differs) else {
            return Some(Verdict::Either { file: file.clone() });
        };
        let all = records::all(disk, self.store);
        if !is_covered(&all, spoilt) {
            return None;
        }
        Some(refusal(disk, &all, spoilt))
    }

    /// Puts everything right.
    pub(crate) fn mend(&self, disk: &SimDisk) {
        if let Some(flip) = self.flip.take()
            && byte_at(disk, &flip.file, flip.offset) == Some(flip.byte)
        {
            disk.corrupt(&flip.file, flip.offset, flip.mask);
        }
        disk.mend();
    }
}

/// A record that must be there is not.
fn refusal(disk: &SimDisk, all: &[Record], record: &Record) -> Verdict {
    let file = record.file.clone();
    if record.segment() < records::oldest_segment(all) {
        return Verdict::Either { file };
    }
    let sealed = records::has_footer(disk, &file);
    Verdict::Refused { file, offset: record.offset, sealed }
}

fn one_of<'a, T>(rng: &mut Rng, all: &'a [T]) -> Option<&'a T> {
    all.get(rng.below(all.len().max(1) as u64) as usize)
}

/// Whether another record says that this one was durable.
fn is_covered(all: &[Record], record: &Record) -> bool {
    let others = all.iter().filter(|other| other.sequence != record.sequence);
    others.map(|other| other.durable).max() >= Some(record.sequence)
}

fn byte_at(disk: &SimDisk, file: &str, offset: u64) -> Option<u8> {
    disk.content(file)?.get(offset as usize).copied()
}

impl Verdict {
    /// What a start that verifies sealed segments or not must be.
    pub(crate) fn check_refusal(&self, error: &str) {
        match self {
            Self::Sound => violated!("r04", "an undamaged log is refused: {error}"),
            Self::Refused { file, offset, .. } => {
                let expected = format!("{file} is damaged at offset {offset}:");
                if !error.contains(&expected) {
                    violated!("r04", "the error does not say {expected} but {error}");
                }
            }
            Self::Either { file } => {
                if !error.contains(file) {
                    violated!("r04", "the error does not name {file}: {error}");
                }
            }
        }
    }

    /// It serves.
    pub(crate) fn check_service(&self, verify_sealed: bool) {
        if let Self::Refused { file, offset, sealed } = self
            && (verify_sealed || !sealed)
        {
            violated!("r04", "damage of {file} at {offset} was not noticed");
        }
    }
}
