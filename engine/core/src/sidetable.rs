//! What only few jobs have, by job. Costs nothing while nobody has it.

use crate::slab::{NONE, Slab, Slot};
use crate::table::Table;

#[derive(Clone, Default)]
struct Entry<T> {
    job: u64,
    next_free: u32,
    value: T,
}

impl<T: Clone + Default> Slot for Entry<T> {
    fn next_free(&self) -> u32 {
        self.next_free
    }

    fn free(next_free: u32) -> Self {
        Self { next_free, ..Self::default() }
    }
}

/// A map from jobs to `T`, in shared pages.
#[derive(Clone)]
pub(crate) struct SideTable<T> {
    entries: Slab<Entry<T>, 64>,
    by_job: Table,
}

/// Job numbers are dense: one multiplication spreads them.
pub(crate) fn hash_job(job: u64) -> u64 {
    job.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl<T: Clone + Default> Default for SideTable<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone + Default> SideTable<T> {
    pub(crate) fn new() -> Self {
        Self { entries: Slab::new(), by_job: Table::new() }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.live() == 0
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.live()
    }

    fn find(&self, job: u64) -> Option<u32> {
        self.by_job.find(hash_job(job), |at| self.entries.get(at).job == job)
    }

    #[inline]
    pub(crate) fn get(&self, job: u64) -> Option<&T> {
        if self.is_empty() {
            return None;
        }
        self.find(job).map(|at| &self.entries.get(at).value)
    }

    pub(crate) fn get_mut(&mut self, job: u64) -> Option<&mut T> {
        let at = self.find(job)?;
        Some(&mut self.entries.get_mut(at).value)
    }

    /// Replaces what the job had.
    pub(crate) fn insert(&mut self, job: u64, value: T) {
        if let Some(at) = self.find(job) {
            self.entries.get_mut(at).value = value;
            return;
        }
        let at = self.entries.insert(Entry { job, next_free: NONE, value });
        self.by_job.insert(hash_job(job), at);
    }

    #[inline]
    pub(crate) fn remove(&mut self, job: u64) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let at = self.find(job)?;
        self.by_job.remove(hash_job(job), at);
        Some(self.entries.remove(at).value)
    }

    /// Everybody who has it, by number.
    pub(crate) fn jobs(&self) -> Vec<u64> {
        let numbers = self.by_job.numbers();
        let mut jobs: Vec<_> = numbers.into_iter().map(|at| self.entries.get(at).job).collect();
        jobs.sort_unstable();
        jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_map_and_a_copy_keeps_what_it_saw() {
        let mut table: SideTable<u64> = SideTable::new();
        (1..1000).for_each(|job| table.insert(job, job * 2));
        let copy = table.clone();
        (1..1000).step_by(2).for_each(|job| assert_eq!(table.remove(job), Some(job * 2)));
        table.insert(2, 7);
        table.insert(1, 8);
        assert_eq!((table.get(2), table.get(1), table.get(3)), (Some(&7), Some(&8), None));
        assert_eq!(table.len(), 500);
        assert_eq!(copy.jobs(), (1..1000).collect::<Vec<_>>());
        assert_eq!(copy.get(3), Some(&6));
    }
}
