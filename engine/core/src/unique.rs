//! Unique keys: which job has one, until it ends or the key's time is over.
//!
//! A job has at most one, and it goes with the job, so there are never more than jobs and nothing need be swept. A key
//! whose time is over stays until its job ends or another takes it; nobody can tell.

use crate::pages::per_page;
use crate::sidetable::hash_job;
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
    fn unique(&self) -> Unique {
        let hash = u128::from(self.hash[0]) | u128::from(self.hash[1]) << 64;
        Unique { hash, until: self.until, job: self.job }
    }
}

/// All unique keys of a shard.
#[derive(Clone)]
pub(crate) struct Uniques {
    entries: Slab<Entry, { per_page::<Entry>() }>,
    by_hash: Table,
    by_job: Table,
}

impl Uniques {
    pub(crate) fn new() -> Self {
        Self { entries: Slab::new(), by_hash: Table::new(), by_job: Table::new() }
    }

    fn find_hash(&self, hash: u128) -> Option<u32> {
        self.by_hash.find(hash as u64, |at| self.entries.get(at).unique().hash == hash)
    }

    fn find_job(&self, job: u64) -> Option<u32> {
        self.by_job.find(hash_job(job), |at| self.entries.get(at).job == job)
    }

    /// Who has a key at `now`.
    pub(crate) fn find(&self, hash: u128, now: u64) -> Option<Unique> {
        let unique = self.entries.get(self.find_hash(hash)?).unique();
        (unique.until > now).then_some(unique)
    }

    /// The key of a job, if it is still its own at `now`.
    pub(crate) fn of(&self, job: u64, now: u64) -> Option<Unique> {
        if self.is_empty() {
            return None;
        }
        let unique = self.entries.get(self.find_job(job)?).unique();
        (unique.until > now).then_some(unique)
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.entries.live() == 0
    }

    /// A job without one takes a key that is free at `now`.
    pub(crate) fn take(&mut self, unique: Unique, now: u64) {
        if let Some(old) = self.find_hash(unique.hash) {
            assert!(self.entries.get(old).until <= now, "a unique key was taken twice");
            self.remove(old);
        }
        assert!(self.find_job(unique.job).is_none(), "job {} took two unique keys", unique.job);
        let Unique { hash, until, job } = unique;
        let at =
            self.entries.insert(Entry { hash: [hash as u64, (hash >> 64) as u64], until, job });
        self.by_hash.insert(hash as u64, at);
        self.by_job.insert(hash_job(job), at);
    }

    fn remove(&mut self, at: u32) {
        let removed = self.entries.remove(at);
        self.by_hash.remove(removed.hash[0], at);
        self.by_job.remove(hash_job(removed.job), at);
    }

    /// A job has ended: its key, if it has one, is free.
    #[inline]
    pub(crate) fn release(&mut self, job: u64) {
        if !self.is_empty()
            && let Some(at) = self.find_job(job)
        {
            self.remove(at);
        }
    }

    /// Asserts that only jobs have keys that have not ended.
    pub(crate) fn check(&self, holds: impl Fn(u64) -> bool) {
        let numbers = self.by_job.numbers();
        assert_eq!(numbers.len(), self.entries.live(), "a unique key without a job");
        assert_eq!(self.by_hash.len(), numbers.len(), "a unique key is not found");
        for at in numbers {
            let unique = self.entries.get(at).unique();
            assert!(holds(unique.job), "job {} has ended and keeps its unique key", unique.job);
            assert_eq!(self.find_hash(unique.hash), Some(at), "a unique key is not found");
            assert_eq!(self.find_job(unique.job), Some(at), "a job has another's unique key");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_free_when_its_job_ends_or_its_time_is_over() {
        let mut uniques = Uniques::new();
        let unique = |hash, until, job| Unique { hash, until, job };
        uniques.take(unique(1 << 70, 100, 1), 10);
        uniques.take(unique(2, 100, 2), 10);
        assert_eq!(uniques.find(1 << 70, 99), Some(unique(1 << 70, 100, 1)));
        assert_eq!((uniques.find(1 << 70, 100), uniques.of(1, 100)), (None, None));
        uniques.release(2);
        assert_eq!((uniques.find(2, 10), uniques.of(2, 10)), (None, None));
        // The job whose time was over no longer has it.
        uniques.take(unique(1 << 70, 300, 3), 100);
        uniques.release(1);
        assert_eq!(uniques.of(3, 200), Some(unique(1 << 70, 300, 3)));
        uniques.check(|job| job == 3);
        uniques.release(3);
        uniques.check(|_| false);
        assert!(uniques.is_empty());
    }

    #[test]
    #[should_panic(expected = "a unique key was taken twice")]
    fn a_key_that_somebody_has_cannot_be_taken() {
        let mut uniques = Uniques::new();
        uniques.take(Unique { hash: 1, until: 10, job: 1 }, 0);
        uniques.take(Unique { hash: 1, until: 20, job: 2 }, 9);
    }
}
