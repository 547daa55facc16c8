//! What belongs to a job: its ids on other shards, its batches, its schedule, the operations that dealt with it.

use std::collections::{BTreeMap, BTreeSet};

use jobbie_log::Entry;
use jobbie_proto::event::{Event, Group, Tie};
use jobbie_proto::{JobId, JobSeq, ShardId};

use crate::point::JobName;

/// An event or a job of a shard, by its number.
type At = (u16, u64);

/// What belongs to a job.
pub(super) struct Kin {
    /// The job, under all its numbers, and the ids as far as they are known.
    jobs: BTreeMap<At, Option<JobId>>,
    /// Batches it counts in.
    batches: BTreeSet<At>,
    /// Definitions of the schedules that made it.
    definitions: BTreeSet<At>,
    /// Operations that named it or did something to it.
    operations: BTreeSet<At>,
}

impl Kin {
    pub(super) fn of(job: JobName) -> Self {
        Self {
            jobs: BTreeMap::from([((job.shard, job.seq), job.id)]),
            batches: BTreeSet::new(),
            definitions: BTreeSet::new(),
            operations: BTreeSet::new(),
        }
    }

    /// How much is known: it only rises.
    pub(super) fn len(&self) -> usize {
        let ids = self.jobs.values().flatten().count();
        let others = [&self.batches, &self.definitions, &self.operations];
        self.jobs.len() + ids + others.map(BTreeSet::len).iter().sum::<usize>()
    }

    /// The id under which the log has the job made.
    pub(super) fn id_of(&self, job: JobName) -> Option<JobId> {
        self.jobs.get(&(job.shard, job.seq)).copied().flatten()
    }

    pub(super) fn shards(&self) -> impl Iterator<Item = u16> {
        self.jobs.keys().map(|(shard, _)| *shard).collect::<BTreeSet<_>>().into_iter()
    }

    pub(super) fn has(&self, shard: u16, job: u64) -> bool {
        self.jobs.contains_key(&(shard, job))
    }

    pub(super) fn has_batch(&self, shard: u16, number: u64) -> bool {
        self.batches.contains(&(shard, number))
    }

    pub(super) fn has_operation(&self, shard: u16, number: u64) -> bool {
        self.operations.contains(&(shard, number))
    }

    /// Whether the event itself is what belongs to the job: what made a batch, an operation, a schedule.
    pub(super) fn has_event(&self, shard: u16, seq: u64) -> bool {
        let at = (shard, seq);
        [&self.batches, &self.definitions, &self.operations].iter().any(|set| set.contains(&at))
    }

    /// Its ids, as texts.
    pub(super) fn ids(&self) -> BTreeSet<String> {
        self.jobs.values().flatten().map(ToString::to_string).collect()
    }

    fn name(&mut self, id: JobId) {
        self.jobs.insert((id.shard().0, id.seq().0), Some(id));
    }

    /// Looks at an entry of a shard.
    pub(super) fn take(&mut self, shard: u16, entry: &Entry, groups: &[Group]) {
        let mut seq = entry.first_event;
        for group in groups {
            let acted = group.events.iter().flat_map(acted_on).any(|job| self.has(shard, job.0));
            for event in &group.events {
                match event {
                    Event::OperationAdvanced { operation, .. } if acted => {
                        self.operations.insert((shard, operation.0));
                    }
                    Event::OperationStarted(started) => {
                        if started.jobs.iter().any(|job| self.has(shard, job.0)) {
                            self.operations.insert((shard, seq));
                        }
                    }
                    Event::Tied(tie) => self.take_tie(shard, tie),
                    made => self.take_made(shard, entry, made),
                }
                seq += event.count();
            }
        }
    }

    /// Learns the job's id where it came into being.
    fn take_made(&mut self, shard: u16, entry: &Entry, event: &Event) {
        let (first, count) = match event {
            Event::Enqueued { first_job, jobs, .. } => (*first_job, jobs.len() as u64),
            Event::Limited(limited) => (limited.first_job, limited.jobs.len() as u64),
            Event::ScheduleFired { job, duplicate, defined, .. } => {
                if self.has(shard, job.0) {
                    self.definitions.insert((shard, defined.0));
                }
                (*job, u64::from(!*duplicate))
            }
            _ => return,
        };
        let own = (shard, first.0)..(shard, first.0 + count);
        let made = |seq| JobId::new(entry.time_us / 1000, ShardId(shard), JobSeq(seq));
        for ((_, seq), id) in self.jobs.range_mut(own) {
            *id = Some(made(*seq));
        }
    }

    fn take_tie(&mut self, shard: u16, tie: &Tie) {
        match tie {
            Tie::Arrived(arrived) => {
                if self.has(shard, arrived.job.0) {
                    self.name(arrived.from);
                } else if self.has(arrived.from.shard().0, arrived.from.seq().0) {
                    self.jobs.insert((shard, arrived.job.0), None);
                }
            }
            Tie::Located { job, now } if self.has(shard, job.0) => self.name(*now),
            Tie::Joined { batch, jobs } if jobs.iter().any(|job| self.has(shard, job.0)) => {
                self.batches.insert((batch.shard().0, batch.number().0));
            }
            _ => {}
        }
    }
}

/// The jobs to which a step of an operation did something.
fn acted_on(event: &Event) -> Vec<JobSeq> {
    match event {
        Event::Cancelled { jobs }
        | Event::Deleted { jobs }
        | Event::Retried { jobs }
        | Event::Requeued { jobs }
        | Event::Prioritized { jobs, .. } => jobs.clone(),
        Event::Held { job, .. }
        | Event::Approved { job, .. }
        | Event::Rejected { job, .. }
        | Event::Moved { job, .. } => vec![*job],
        _ => Vec::new(),
    }
}
