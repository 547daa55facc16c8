//! Unique keys: which job has one, until it ends or the key's time is over.
//!
//! A job has at most one, and it goes with the job, so there are never more than jobs and nothing need be swept. A key
//! whose time is over stays until its job ends or another takes it; nobody can tell. Which job has which is in the
//! pages of [`Jobs`](crate::jobs::Jobs), where whatever ends a job looks anyway.

use std::hint::black_box;

use crate::pages::per_page;
use crate::slab::{Slab, Slot};
use crate::table::Table;

/// A unique key and who has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unique {
    pub(crate) hash: u128,
    pub(crate) until: u64,
    pub(crate) job: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    hash: [u64; 2],
    until: u64,
    /// The job; the next free place when there is none.
    job: u64,
}

impl Slot for Entry {
    fn next_free(&self) -> u32 {
        self.job as u32
    }

    fn free(next: u32) -> Self {
        Self { job: u64::from(next), ..Self::default() }
    }
}

impl Entry {
    #[inline]
    fn hash(&self) -> u128 {
        u128::from(self.hash[0]) | u128::from(self.hash[1]) << 64
    }

    fn unique(&self) -> Unique {
        Unique { hash: self.hash(), until: self.until, job: self.job }
    }
}

/// All unique keys of a shard.
#[derive(Clone)]
pub(crate) struct Uniques {
    entries: Slab<Entry, { per_page::<Entry>() }>,
    by_hash: Table,
}

impl Uniques {
    pub(crate) fn new() -> Self {
        Self { entries: Slab::new(), by_hash: Table::new() }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.live() == 0
    }

    /// Keys that somebody has or had.
    pub(crate) fn len(&self) -> usize {
        self.entries.live()
    }

    /// The number of a key that somebody has or had.
    #[inline]
    pub(crate) fn find_hash(&self, hash: u128) -> Option<u32> {
        self.by_hash.find(hash as u64, |at| self.entries.get(at).hash() == hash)
    }

    /// Who has a key at `now`.
    pub(crate) fn find(&self, hash: u128, now: u64) -> Option<Unique> {
        let unique = self.get(self.find_hash(hash)?);
        (unique.until > now).then_some(unique)
    }

    /// The key with this number.
    pub(crate) fn get(&self, at: u32) -> Unique {
        self.entries.get(at).unique()
    }

    /// Brings the places of many keys into the processor's cache. One look-up waits for memory twice; those of all
    /// keys of a request, made one behind the other with nothing between them, wait together.
    pub(crate) fn touch(&self, hashes: impl Iterator<Item = u128>) {
        let touched = hashes.map(|hash| self.by_hash.touch(hash as u64));
        black_box(touched.fold(0, u32::wrapping_add));
    }

    /// The same for keys by their numbers.
    pub(crate) fn touch_all(&self, numbers: impl Iterator<Item = u32>) {
        self.touch(numbers.map(|at| u128::from(self.entries.get(at).hash[0])));
    }

    /// Takes a key that nobody has, and gives its number.
    pub(crate) fn insert(&mut self, unique: Unique) -> u32 {
        let Unique { hash, until, job } = unique;
        let at =
            self.entries.insert(Entry { hash: [hash as u64, (hash >> 64) as u64], until, job });
        self.by_hash.insert(hash as u64, at);
        at
    }

    /// The key is free.
    pub(crate) fn remove(&mut self, at: u32) {
        let removed = self.entries.remove(at);
        self.by_hash.remove(removed.hash[0], at);
    }

    /// Asserts that every key is that of a job which has not ended and knows it, as `number_of` says.
    pub(crate) fn check(&self, number_of: impl Fn(u64) -> Option<u32>) {
        let numbers = self.by_hash.numbers();
        assert_eq!(numbers.len(), self.entries.live(), "a unique key is not found");
        for at in numbers {
            let unique = self.get(at);
            assert_eq!(self.find_hash(unique.hash), Some(at), "a unique key is not found");
            assert_eq!(number_of(unique.job), Some(at), "a job does not have its unique key");
        }
    }
}
