//! What must hold of schedules.

use std::collections::{BTreeMap, BTreeSet};

use super::{Schedules, key_of};

impl Schedules {
    /// Asserts that schedules are listed once, by the time at which they fire, and that what is needed is what is used.
    pub(crate) fn check(&self, time: u64, next_event: u64, holds: impl Fn(u64) -> bool) {
        let mut due = BTreeSet::new();
        let mut needed: BTreeMap<u64, u64> = BTreeMap::new();
        for (key, schedule) in &self.by_key {
            let own = key_of(&schedule.class.queue, &schedule.name);
            assert_eq!(**key, own, "a schedule stands under another name");
            assert!(schedule.defined < next_event, "a schedule is ahead of its event");
            let ran = schedule.last_planned;
            assert!(ran <= time, "schedule {own:?} has run ahead of time");
            assert!(schedule.next == 0 || schedule.next > ran, "schedule {own:?} runs twice");
            due.extend(schedule.due().map(|at| (at, key.clone())));
            *needed.entry(schedule.defined).or_default() += 1;
        }
        assert!(self.due.iter().eq(&due), "schedules fire at other times than they say");
        for job in self.definitions.jobs() {
            assert!(holds(job), "job {job} is gone and needs its schedule's definition");
            *needed.entry(self.definitions.get(job).copied().expect("listed")).or_default() += 1;
        }
        assert!(
            self.needed.iter().eq(&needed),
            "definitions are needed otherwise than they are used"
        );
    }
}
