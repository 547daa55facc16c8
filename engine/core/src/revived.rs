//! Jobs that were completed, had left memory and are in it again: what their numbers do not tell of them.
//!
//! Of every other job the event that made it comes later the higher its number is, and when it expires follows from when it was
//! made.

use imbl::GenericOrdSet;
use imbl::shared_ptr::RcK;

use crate::sidetable::SideTable;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Revival {
    /// The event that says it, with everything that the job carries.
    pub(crate) event: u64,
    /// When the job dies unless finished; 0 is never.
    pub(crate) expires: u64,
}

/// All of them.
#[derive(Clone, Default)]
pub(crate) struct RevivedJobs {
    jobs: SideTable<Revival>,
    /// By event.
    events: GenericOrdSet<u64, RcK>,
}

impl RevivedJobs {
    #[inline]
    pub(crate) fn get(&self, job: u64) -> Option<&Revival> {
        self.jobs.get(job)
    }

    pub(crate) fn insert(&mut self, job: u64, revival: Revival) {
        self.jobs.insert(job, revival);
        self.events.insert(revival.event);
    }

    /// A job leaves memory.
    #[inline]
    pub(crate) fn forget(&mut self, job: u64) {
        if let Some(revival) = self.jobs.remove(job) {
            self.events.remove(&revival.event);
        }
    }

    /// The oldest event that says of a job that it is in memory again.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.events.get_min().copied()
    }

    /// Everybody who is one, by number.
    pub(crate) fn jobs(&self) -> Vec<u64> {
        self.jobs.jobs()
    }

    /// Asserts that both sides say the same.
    pub(crate) fn check(&self) {
        let of_jobs = self.jobs().into_iter().filter_map(|job| self.get(job));
        let events: std::collections::BTreeSet<_> = of_jobs.map(|revival| revival.event).collect();
        assert!(self.events.iter().copied().eq(events), "events of revived jobs differ");
    }
}
