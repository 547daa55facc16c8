//! Jobs that left memory without being completed, as runs of their numbers. Every other job that was made and is not in
//! memory is completed: whoever waits for it may go on.

use super::Map;

/// Runs that are remembered. With more, the oldest two become one: what lies between them counts as not completed.
const RUNS_MAX: usize = 1 << 20;

/// Numbers, as runs: the first of each to its end.
#[derive(Clone, Default)]
pub(crate) struct Gone {
    runs: Map<u64, u64>,
}

impl Gone {
    pub(crate) fn contains(&self, job: u64) -> bool {
        self.runs.get_prev(&job).is_some_and(|(_, end)| job < *end)
    }

    pub(crate) fn insert(&mut self, job: u64) {
        assert!(!self.contains(job), "a job left memory twice");
        let before = self.runs.get_prev(&job).filter(|(_, end)| **end == job);
        let first = before.map_or(job, |(first, _)| *first);
        let end = self.runs.remove(&(job + 1)).unwrap_or(job + 1);
        self.runs.insert(first, end);
        if self.runs.len() > RUNS_MAX {
            self.join_oldest();
        }
    }

    fn join_oldest(&mut self) {
        let mut oldest = self.runs.iter().take(2).map(|(first, end)| (*first, *end));
        if let (Some((first, _)), Some((second, end))) = (oldest.next(), oldest.next()) {
            self.runs.remove(&second);
            self.runs.insert(first, end);
        }
    }

    /// Runs by number, from `from` on.
    pub(crate) fn runs(&self, from: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.runs.range(from..).map(|(first, end)| (*first, *end))
    }

    /// Adds a run behind all others; whether it is one.
    pub(crate) fn push(&mut self, first: u64, end: u64) -> bool {
        let after = self.runs.get_max().is_none_or(|(_, last)| *last < first);
        let sound = after && first < end && self.runs.len() < RUNS_MAX;
        if sound {
            self.runs.insert(first, end);
        }
        sound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_grow_at_both_ends_and_join() {
        let mut gone = Gone::default();
        for job in [5, 3, 9, 4, 10, 8, 1] {
            gone.insert(job);
        }
        assert_eq!(gone.runs(0).collect::<Vec<_>>(), [(1, 2), (3, 6), (8, 11)]);
        let held = (0..12).filter(|job| gone.contains(*job)).collect::<Vec<_>>();
        assert_eq!(held, [1, 3, 4, 5, 8, 9, 10]);
        gone.join_oldest();
        assert_eq!(gone.runs(0).collect::<Vec<_>>(), [(1, 6), (8, 11)]);
        assert!(gone.push(12, 13) && !gone.push(13, 14) && !gone.push(15, 15));
    }
}
