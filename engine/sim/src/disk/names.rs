//! The directory: which name is which file, now and after a power loss.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::rng::Rng;

use super::inode::Inode;

pub(super) type InodeRef = Rc<RefCell<Inode>>;
pub(super) type Names = BTreeMap<String, InodeRef>;

/// A change of names that power loss may undo.
#[derive(Clone)]
enum Change {
    Create { name: String, inode: InodeRef },
    Rename { from: String, to: String, inode: InodeRef },
    Remove { name: String, inode: InodeRef },
}

#[derive(Default)]
pub(super) struct Directory {
    pub(super) now: Names,
    durable: Names,
    /// Changes since the last completed sync, oldest first.
    unsynced: Vec<Change>,
    /// Changes ever made durable, so that overlapping syncs agree on what each covers.
    synced: u64,
}

impl Directory {
    pub(super) fn create(&mut self, name: &str) -> InodeRef {
        let inode = InodeRef::default();
        self.change(Change::Create { name: name.to_owned(), inode: inode.clone() });
        inode
    }

    /// False if there is no `from`.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> bool {
        let Some(inode) = self.now.get(from).cloned() else { return false };
        self.change(Change::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        true
    }

    /// False if there is no `name`.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let Some(inode) = self.now.get(name).cloned() else { return false };
        self.change(Change::Remove { name: name.to_owned(), inode });
        true
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.unsynced.push(change);
    }

    /// The last change so far: what a sync that begins now will cover.
    pub(super) fn last_change(&self) -> u64 {
        self.synced + self.unsynced.len() as u64
    }

    /// Makes every change up to `last` durable.
    pub(super) fn sync(&mut self, last: u64) {
        while self.synced < last && !self.unsynced.is_empty() {
            self.unsynced.remove(0).apply(&mut self.durable);
            self.synced += 1;
        }
    }

    /// Any subset of the unsynced changes happened, each one whole.
    pub(super) fn crash(&mut self, rng: &mut Rng) {
        self.synced = self.last_change();
        for change in std::mem::take(&mut self.unsynced) {
            if rng.coin() {
                change.apply(&mut self.durable);
            }
        }
        self.now = self.durable.clone();
    }

    /// Puts `name` there for certain.
    pub(super) fn put(&mut self, name: &str, inode: InodeRef) {
        self.settle();
        self.now.insert(name.to_owned(), inode);
        self.settle();
    }

    /// Takes `name` away for certain; false if it was not there.
    pub(super) fn take(&mut self, name: &str) -> bool {
        let found = self.now.remove(name).is_some();
        self.settle();
        found
    }

    fn settle(&mut self) {
        self.synced = self.last_change();
        self.unsynced.clear();
        self.durable = self.now.clone();
    }

    /// A copy that shares no file with this one.
    pub(super) fn deep_clone(&self) -> Self {
        let mut copies = BTreeMap::new();
        let mut copy = |inode: &InodeRef| {
            let fresh = || Rc::new(RefCell::new(inode.borrow().clone()));
            copies.entry(Rc::as_ptr(inode)).or_insert_with(fresh).clone()
        };
        let mut names = |names: &Names| {
            names.iter().map(|(name, inode)| (name.clone(), copy(inode))).collect::<Names>()
        };
        let (now, durable) = (names(&self.now), names(&self.durable));
        let mut unsynced = self.unsynced.clone();
        for change in &mut unsynced {
            let inode = change.inode_mut();
            *inode = copy(inode);
        }
        Self { now, durable, unsynced, synced: self.synced }
    }
}

impl Change {
    fn apply(&self, names: &mut Names) {
        let unlink = |names: &mut Names, name: &str, inode: &InodeRef| {
            // Only its own link: an undone earlier change may have left another file there.
            if names.get(name).is_some_and(|there| Rc::ptr_eq(there, inode)) {
                names.remove(name);
            }
        };
        match self {
            Self::Create { name, inode } => {
                names.insert(name.clone(), inode.clone());
            }
            Self::Rename { from, to, inode } => {
                unlink(names, from, inode);
                names.insert(to.clone(), inode.clone());
            }
            Self::Remove { name, inode } => unlink(names, name, inode),
        }
    }

    fn inode_mut(&mut self) -> &mut InodeRef {
        match self {
            Self::Create { inode, .. }
            | Self::Rename { inode, .. }
            | Self::Remove { inode, .. } => inode,
        }
    }
}
