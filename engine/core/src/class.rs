//! What jobs enqueued alike have in common, once for all of them.

use std::rc::Rc;

use jobbie_proto::event::Class;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::fifo::Fifo;
use crate::lanes::LaneId;
use crate::slab::{NONE, Slab, Slot};
use crate::table::Table;

/// A class within the shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClassId(pub(crate) u32);

/// A class, as long as a job of it is in memory.
#[derive(Clone)]
pub(crate) struct ClassEntry {
    pub(crate) class: Rc<Class>,
    /// Limit key; empty is none.
    pub(crate) limit_key: Rc<str>,
    /// The lane of that key in its queue, as long as the lane says so (see [`crate::lanes::Lanes::is_of`]).
    pub(crate) lane: LaneId,
    pub(crate) hash: u64,
    /// Its queue.
    pub(crate) queue: u32,
    /// Jobs in memory.
    pub(crate) live: u64,
    /// When its jobs expire: those without a struct, in order of creation, which is that of expiry.
    /// The first, if any, still waits.
    pub(crate) expiring: Fifo,
    /// Place of the timer of the first of them.
    pub(crate) timer: u32,
    next_free: u32,
}

impl Default for ClassEntry {
    fn default() -> Self {
        thread_local! {
            /// Free places share one empty class, so that a page of them costs one allocation.
            static NO_KEY: Rc<str> = Rc::from("");
            static EMPTY: Rc<Class> = Rc::new(Class {
                queue: String::new(),
                priority: 0,
                max_retries: 0,
                backoff: jobbie_proto::event::BackoffKind::None,
                backoff_base_ms: 0,
                backoff_cap_ms: 0,
                expire_after_ms: 0,
            });
        }
        Self {
            class: EMPTY.with(Rc::clone),
            limit_key: NO_KEY.with(Rc::clone),
            lane: LaneId::default(),
            hash: 0,
            queue: 0,
            live: 0,
            expiring: Fifo::default(),
            timer: NONE,
            next_free: NONE,
        }
    }
}

impl Slot for ClassEntry {
    fn next_free(&self) -> u32 {
        self.next_free
    }

    fn free(next_free: u32) -> Self {
        Self { next_free, ..Self::default() }
    }
}

/// Whether limit keys are the same. Most are empty, which needs no look at their bytes.
#[inline]
fn is_same(a: &str, b: &str) -> bool {
    a.len() == b.len() && (a.is_empty() || a == b)
}

/// All classes of a shard.
#[derive(Clone)]
pub(crate) struct Classes {
    entries: Slab<ClassEntry, 16>,
    by_content: Table,
    /// Options of the class that was made last. Classes of many limit keys have the same.
    newest: Rc<Class>,
    /// A class without jobs, kept until another loses its last: a shard that keeps up would make
    /// its class for every job otherwise. Nothing that can be seen depends on it.
    spare: Option<ClassId>,
}

impl Classes {
    pub(crate) fn new() -> Self {
        let newest = ClassEntry::default().class;
        Self { entries: Slab::new(), by_content: Table::new(), newest, spare: None }
    }

    /// Classes with jobs.
    pub(crate) fn len(&self) -> usize {
        self.by_content.len() - usize::from(self.spare.is_some())
    }

    #[inline]
    pub(crate) fn get(&self, id: ClassId) -> &ClassEntry {
        self.entries.get(id.0)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: ClassId) -> &mut ClassEntry {
        self.entries.get_mut(id.0)
    }

    pub(crate) fn find(&self, class: &Class, limit_key: &str, hash: u64) -> Option<ClassId> {
        self.by_content
            .find(hash, |at| {
                let entry = self.entries.get(at);
                entry.hash == hash && *entry.class == *class && is_same(&entry.limit_key, limit_key)
            })
            .map(ClassId)
    }

    /// Makes a class without jobs.
    pub(crate) fn insert(
        &mut self,
        class: &Class,
        limit_key: &str,
        hash: u64,
        queue: u32,
    ) -> ClassId {
        if *self.newest != *class {
            self.newest = Rc::new(class.clone());
        }
        let mut entry = ClassEntry { hash, queue, ..ClassEntry::default() };
        entry.class = Rc::clone(&self.newest);
        if !limit_key.is_empty() {
            entry.limit_key = limit_key.into();
        }
        let at = self.entries.insert(entry);
        self.by_content.insert(hash, at);
        ClassId(at)
    }

    /// All classes, by content.
    pub(crate) fn sorted(&self) -> Vec<ClassId> {
        let mut all: Vec<_> = self.by_content.numbers().into_iter().map(ClassId).collect();
        all.retain(|class| Some(*class) != self.spare);
        let content = |id: &ClassId| {
            let entry = self.get(*id);
            (&entry.class, &entry.limit_key)
        };
        all.sort_unstable_by(|a, b| content(a).cmp(&content(b)));
        all
    }

    /// The class gets a job again.
    pub(crate) fn revive(&mut self, id: ClassId) {
        if self.spare == Some(id) {
            self.spare = None;
        }
    }

    /// The class has lost its last job.
    pub(crate) fn retire(&mut self, id: ClassId) {
        let Some(spare) = self.spare.replace(id) else { return };
        assert_ne!(spare, id, "a class lost its last job twice");
        let removed = self.entries.remove(spare.0);
        assert!(removed.live == 0 && removed.timer == NONE, "a class with jobs was removed");
        self.by_content.remove(removed.hash, spare.0);
    }
}

/// Hash of a class, the same on every machine.
pub(crate) fn hash_of(class: &Class, limit_key: &str) -> u64 {
    let hash = xxh3_64_with_seed(&options(class), xxh3_64(class.queue.as_bytes()));
    if limit_key.is_empty() { hash } else { xxh3_64_with_seed(limit_key.as_bytes(), hash) }
}

fn options(class: &Class) -> [u8; 22] {
    let mut bytes = [0; 22];
    bytes[0] = class.priority;
    bytes[1] = class.backoff as u8;
    bytes[2..6].copy_from_slice(&class.max_retries.to_le_bytes());
    bytes[6..10].copy_from_slice(&class.backoff_base_ms.to_le_bytes());
    bytes[10..14].copy_from_slice(&class.backoff_cap_ms.to_le_bytes());
    bytes[14..].copy_from_slice(&class.expire_after_ms.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_many_limit_keys_share_their_options() {
        let (mut classes, class) = (Classes::new(), (*ClassEntry::default().class).clone());
        let other = Class { priority: 1, ..class.clone() };
        let make = |classes: &mut Classes, class, key| {
            let id = classes.insert(class, key, hash_of(class, key), 0);
            Rc::clone(&classes.get(id).class)
        };
        let (a, b) = (make(&mut classes, &other, "a"), make(&mut classes, &other, "b"));
        assert!(Rc::ptr_eq(&a, &b));
        assert_eq!(*make(&mut classes, &class, "a"), class);
        assert_eq!((&*a, &*b), (&other, &other));
    }
}
