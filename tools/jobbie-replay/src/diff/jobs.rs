//! Which jobs came, ended and changed between two points.

use std::collections::BTreeMap;

use jobbie_core::State;
use jobbie_log::Entry;
use jobbie_proto::event::Event;
use jobbie_proto::reply::JobState;
use jobbie_proto::{JobId, JobSeq, ShardId};
use serde_json::json;

use crate::data_dir::Reading;
use crate::dump::{self, Fields};
use crate::error::ReplayError;

/// How many jobs changed, exactly. One that came and ended between the points counts as both.
#[derive(Default)]
pub(super) struct Counts {
    /// Jobs that were made.
    came: u64,
    /// Jobs that are over and were not: completed, dead, cancelled, or forgotten.
    ended: u64,
    /// Jobs of another state that are not over.
    changed: u64,
}

impl Counts {
    pub(super) fn line(&self) -> Fields {
        dump::fields(json!({ "came": self.came, "ended": self.ended, "changed": self.changed }))
    }
}

/// What is known of a job at the first point, or since it came.
struct Seen {
    id: JobId,
    /// None when it came later.
    before: Option<JobState>,
    /// A number of [`Watch::queues`].
    queue: u32,
    /// What made the state forget it.
    gone: Option<&'static str>,
}

/// Follows jobs from one point to another.
pub(super) struct Watch {
    shard: ShardId,
    jobs: BTreeMap<u64, Seen>,
    queues: Vec<String>,
}

impl Watch {
    pub(super) fn new(state: &State) -> Self {
        let mut watch = Self { shard: state.shard(), jobs: BTreeMap::new(), queues: Vec::new() };
        for id in state.jobs() {
            let view = state.job(id).expect("the state has just named it");
            let queue = watch.queue(&view.class.queue);
            let seen = Seen { id, before: Some(view.state), queue, gone: None };
            watch.jobs.insert(id.seq().0, seen);
        }
        watch
    }

    /// The number of a queue. Jobs come in runs of one queue, so the newest is looked at first.
    fn queue(&mut self, name: &str) -> u32 {
        let found = self.queues.iter().rposition(|known| known == name);
        let at = found.unwrap_or_else(|| {
            self.queues.push(name.to_owned());
            self.queues.len() - 1
        });
        at as u32
    }

    pub(super) fn take(&mut self, log: &Reading, entry: &Entry) -> Result<(), ReplayError> {
        for event in dump::groups(log, entry)?.iter().flat_map(|group| &group.events) {
            match event {
                Event::Enqueued { class, first_job, jobs, .. } => {
                    self.came(entry, &class.queue, *first_job, jobs.len());
                }
                Event::Limited(limited) => {
                    self.came(entry, &limited.class.queue, limited.first_job, limited.jobs.len());
                }
                Event::ScheduleFired { queue, job, duplicate: false, .. } => {
                    self.came(entry, queue, *job, 1);
                }
                Event::Completed { jobs } => {
                    jobs.iter().for_each(|job| self.gone(job.job, "completed"));
                }
                Event::Deleted { jobs } => jobs.iter().for_each(|job| self.gone(*job, "deleted")),
                Event::Purged { jobs } => jobs.iter().for_each(|job| self.gone(*job, "purged")),
                _ => {}
            }
        }
        Ok(())
    }

    fn came(&mut self, entry: &Entry, queue: &str, first: JobSeq, count: usize) {
        let queue = self.queue(queue);
        for nth in 0..count as u64 {
            let id = JobId::new(entry.time_us / 1000, self.shard, first.plus(nth));
            self.jobs.insert(id.seq().0, Seen { id, before: None, queue, gone: None });
        }
    }

    fn gone(&mut self, job: JobSeq, how: &'static str) {
        if let Some(seen) = self.jobs.get_mut(&job.0) {
            seen.gone = Some(how);
        }
    }

    /// Compares with the state at the second point: counts all, and lists as many as there is room for.
    pub(super) fn finish(
        self,
        shard: u32,
        state: &State,
        limit: usize,
        counts: &mut Counts,
        listed: &mut Vec<Fields>,
    ) {
        for seen in self.jobs.values() {
            let now = state.job(seen.id).ok();
            let after = now.as_ref().map(|view| view.state);
            let is_over = |state: Option<JobState>| state.is_none_or(JobState::has_ended);
            let was_over = seen.before.is_some_and(JobState::has_ended);
            let came = seen.before.is_none();
            let ended = is_over(after) && !was_over;
            // What was over and is forgotten has changed, as has what was put back.
            let changed = !came && !ended && seen.before != after;
            if !came && !ended && !changed {
                continue;
            }
            counts.came += u64::from(came);
            counts.ended += u64::from(ended);
            counts.changed += u64::from(changed);
            if listed.len() >= limit {
                continue;
            }
            let gone = seen.gone.unwrap_or("gone");
            let queue =
                now.map_or_else(|| self.queues[seen.queue as usize].clone(), |v| v.class.queue);
            listed.push(dump::fields(json!({
                "shard": shard, "job": seen.id.to_string(), "queue": queue,
                "change": match (came, ended) {
                    (true, true) => "came and ended",
                    (true, false) => "came",
                    (false, true) => "ended",
                    (false, false) => "changed",
                },
                "before": seen.before.map(JobState::name),
                "after": after.map_or(gone, JobState::name),
            })));
        }
    }
}
