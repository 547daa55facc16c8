//! Unique keys of jobs: the key knows its job, and the job's page the key.

use super::State;
use crate::unique::Unique;

impl State {
    /// The key of a job, if it is still its own at `now`.
    pub(crate) fn unique_of(&self, job: u64, now: u64) -> Option<Unique> {
        if self.uniques.is_empty() {
            return None;
        }
        let unique = self.uniques.get(self.jobs.unique(job)?);
        (unique.until > now).then_some(unique)
    }

    /// A job without one takes a key that is free now, or that is over for the job that `is_over` is asked about.
    pub(crate) fn take_unique(&mut self, unique: Unique, is_over: impl Fn(&Self, u64) -> bool) {
        if let Some(old) = self.uniques.find_hash(unique.hash) {
            let Unique { until, job, .. } = self.uniques.get(old);
            assert!(until <= self.time || is_over(self, job), "a unique key was taken twice");
            self.release_unique(job);
        }
        let at = self.uniques.insert(unique);
        self.jobs.set_unique(unique.job, at);
    }

    /// A job has ended: its key, if it has one, is free.
    #[inline]
    pub(crate) fn release_unique(&mut self, job: u64) {
        if !self.uniques.is_empty()
            && self.jobs.unique(job).is_some()
            && let Some(at) = self.jobs.take_unique(job)
        {
            self.uniques.remove(at);
        }
    }

    /// Jobs are about to end: see [`Uniques::touch`](crate::unique::Uniques::touch).
    #[inline]
    pub(crate) fn touch_uniques_of(&self, jobs: impl ExactSizeIterator<Item = u64>) {
        if jobs.len() > 1 && !self.uniques.is_empty() {
            self.uniques.touch_all(jobs.filter_map(|job| self.jobs.unique(job)));
        }
    }
}

#[cfg(test)]
mod tests {
    use jobbie_proto::ShardId;

    use super::*;
    use crate::class::ClassId;
    use crate::jobs::Origin;

    fn with_jobs(count: u64) -> State {
        let mut state = State::new(ShardId(0), 1);
        state.jobs.add(1, count, Origin { event: 1, created_ms: 9, class: ClassId(0) });
        state
    }

    fn check(state: &State) {
        state.jobs.check();
        state.uniques.check(|job| state.jobs.unique(job));
    }

    #[test]
    fn a_key_is_free_when_its_job_ends_or_its_time_is_over() {
        let mut state = with_jobs(3);
        let never = |_: &State, _| false;
        let unique = |hash, until, job| Unique { hash, until, job };
        state.time = 10;
        state.take_unique(unique(1 << 70, 100, 1), never);
        state.take_unique(unique(2, 100, 2), never);
        assert_eq!(state.uniques.find(1 << 70, 99), Some(unique(1 << 70, 100, 1)));
        assert_eq!((state.uniques.find(1 << 70, 100), state.unique_of(1, 100)), (None, None));
        state.release_unique(2);
        assert_eq!((state.uniques.find(2, 10), state.unique_of(2, 10)), (None, None));
        // The job whose time was over no longer has it.
        state.time = 100;
        state.take_unique(unique(1 << 70, 300, 3), never);
        state.release_unique(1);
        assert_eq!(state.unique_of(3, 200), Some(unique(1 << 70, 300, 3)));
        check(&state);
        state.release_unique(3);
        check(&state);
        assert!(state.uniques.is_empty());
    }

    #[test]
    fn thousands_of_keys_are_found_and_freed_and_a_copy_keeps_them() {
        let mut state = with_jobs(5000);
        let hash =
            |job: u64| u128::from(job).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834);
        for job in 1..=5000 {
            state.take_unique(Unique { hash: hash(job), until: 10, job }, |_, _| false);
        }
        check(&state);
        let copy = state.clone();
        state.touch_uniques_of((1..5001_u32).map(u64::from));
        for job in (1..=5000).filter(|job| job % 3 > 0) {
            state.release_unique(job);
            assert_eq!(state.uniques.find(hash(job), 0), None);
        }
        check(&state);
        check(&copy);
        assert_eq!(copy.uniques.find(hash(4999), 0).map(|unique| unique.job), Some(4999));
        assert_eq!(state.uniques.find(hash(4998), 0).map(|unique| unique.job), Some(4998));
        // A job that leaves memory leaves its key.
        (3..=5000).step_by(3).for_each(|job| state.uniques.remove(state.jobs.remove(job).unwrap()));
        check(&state);
        assert!(state.uniques.is_empty());
    }

    #[test]
    #[should_panic(expected = "a unique key was taken twice")]
    fn a_key_that_somebody_has_cannot_be_taken() {
        let mut state = with_jobs(2);
        state.take_unique(Unique { hash: 1, until: 10, job: 1 }, |_, _| false);
        state.time = 9;
        state.take_unique(Unique { hash: 1, until: 20, job: 2 }, |_, _| false);
    }
}
