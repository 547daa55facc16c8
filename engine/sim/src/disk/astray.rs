//! Writes that a disk said it had done and had not. It remembers what should be there, so that a test can
//! judge what a log says about it, and mend the disk to go on.

use jobbie_io::disk::BLOCK_BYTES;

use super::inode::{Durability, Inode};
use super::names::{Directory, InodeRef};
use super::{InFlight, SimDisk};
use std::rc::Rc;

/// A write that went wrong in silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Astray {
    /// The file's name now.
    pub file: String,
    /// Where it should have been written.
    pub offset: u64,
    /// What should be there.
    pub intended: Vec<u8>,
    /// What is there.
    pub found: Vec<u8>,
}

/// One such write, or what another destroyed.
pub(super) struct Wrong {
    inode: InodeRef,
    offset: u64,
    intended: Vec<u8>,
    /// What was there right after.
    found: Vec<u8>,
    /// Not asked for at all: another write landed there.
    collateral: bool,
}

/// What a write does to the bytes it should not and those it should, as seen before and after.
pub(super) struct Watch {
    before: Vec<u8>,
}

/// The block behind a write, where a misdirected one ends.
fn behind(write: &InFlight) -> u64 {
    write.offset + write.range.len() as u64
}

fn read(inode: &Inode, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    inode.read(offset, &mut bytes);
    bytes
}

impl Watch {
    /// Before a write that goes wrong.
    pub(super) fn new(write: &InFlight) -> Self {
        Self { before: read(&write.inode.borrow(), behind(write), BLOCK_BYTES) }
    }

    /// After it.
    pub(super) fn wrongs(self, write: &InFlight) -> Vec<Wrong> {
        let inode = write.inode.borrow();
        let asked = Wrong {
            inode: Rc::clone(&write.inode),
            offset: write.offset,
            intended: write.buf[write.range.clone()].to_vec(),
            found: read(&inode, write.offset, write.range.len()),
            collateral: false,
        };
        let spoilt = Wrong {
            inode: Rc::clone(&write.inode),
            offset: behind(write),
            intended: self.before,
            found: read(&inode, behind(write), BLOCK_BYTES),
            collateral: true,
        };
        [asked, spoilt].into_iter().filter(|wrong| wrong.intended != wrong.found).collect()
    }
}

impl Wrong {
    fn name(&self, directory: &Directory) -> Option<String> {
        let this = directory.now.iter().find(|(_, inode)| Rc::ptr_eq(inode, &self.inode));
        this.map(|(name, _)| name.clone())
    }

    /// Whether nothing was written over it since.
    fn stands(&self) -> bool {
        read(&self.inode.borrow(), self.offset, self.found.len()) == self.found
    }

    /// Puts right what nothing was written over since.
    fn mend(&self) {
        let mut inode = self.inode.borrow_mut();
        for (at, intended) in self.intended.chunks(BLOCK_BYTES).enumerate() {
            let start = at * BLOCK_BYTES;
            let offset = self.offset + start as u64;
            if read(&inode, offset, intended.len()) == self.found[start..start + intended.len()] {
                inode.write(0, offset, intended, Durability::AfterFlush, || true);
            }
        }
        inode.settle();
    }
}

impl SimDisk {
    /// Writes that went wrong in silence and were not written over since, in files that still have a name.
    #[must_use]
    pub fn astray(&self) -> Vec<Astray> {
        let mut shared = self.shared.borrow_mut();
        let super::Shared { wrongs, directory, .. } = &mut *shared;
        wrongs.retain(|wrong| wrong.name(directory).is_some() && wrong.stands());
        let asked = wrongs.iter().filter(|wrong| !wrong.collateral);
        let astray = asked.filter_map(|wrong| {
            let (intended, found) = (wrong.intended.clone(), wrong.found.clone());
            Some(Astray { file: wrong.name(directory)?, offset: wrong.offset, intended, found })
        });
        astray.collect()
    }

    /// Puts right, durably, everything that went wrong in silence.
    pub fn mend(&self) {
        let wrongs = std::mem::take(&mut self.shared.borrow_mut().wrongs);
        wrongs.iter().for_each(Wrong::mend);
    }

    /// Whether a fault was planned that has not struck.
    #[must_use]
    pub fn has_planned(&self) -> bool {
        !self.shared.borrow().planned.is_empty()
    }

    /// Forgets faults that were planned and have not struck.
    pub fn forget_planned(&self) {
        self.shared.borrow_mut().planned.clear();
    }
}
