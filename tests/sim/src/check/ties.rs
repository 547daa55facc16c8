//! Every step of a chain is made once, and every batch that is complete calls back once, whatever crashed when.

use std::collections::{BTreeMap, BTreeSet};

use jobbie_core::State;
use jobbie_log::EntryKind;
use jobbie_proto::event::{ChainedJob, Event, Parcel, Tie, codec};
use jobbie_proto::{BatchId, JobId, ShardId};

use super::{Entries, violated};

/// What the logs of all shards say.
#[derive(Default)]
pub(crate) struct Story {
    /// How often each step of each chain was made.
    made: BTreeMap<(JobId, i32), u32>,
    /// Steps that are to be there, since the one before was completed.
    expected: BTreeSet<(JobId, i32)>,
    /// Steps that have ended their chain.
    left: BTreeSet<(ShardId, u64)>,
    chained: BTreeMap<(ShardId, u64), (JobId, i32, usize)>,
    calls: BTreeMap<BatchId, u32>,
    /// Jobs of the group at hand that came from other shards: they were made there.
    came: BTreeSet<u64>,
    /// Of each batch by its number: members enqueued, members counted, and whether it was sealed.
    batches: BTreeMap<(ShardId, u64), (u64, u64, bool)>,
}

impl Story {
    /// Reads the log of one shard.
    pub(crate) fn read(&mut self, shard: ShardId, entries: &Entries) {
        for entry in entries.all().iter().filter(|entry| entry.kind == EntryKind::Batch) {
            let (groups, _) = codec::decode(entry.body.bytes()).expect("it decoded before");
            for group in &groups {
                self.came = group.events.iter().filter_map(arrival).collect();
                group.events.iter().for_each(|event| self.event(shard, event));
                // Others than clients only hand members on.
                if group.session.0 > 0 {
                    group.events.iter().for_each(|event| self.enqueued(event));
                }
            }
        }
    }

    fn enqueued(&mut self, event: &Event) {
        if let Event::Tied(tie) = event
            && let Tie::Joined { batch, jobs } = &**tie
        {
            let known = self.batches.entry((batch.shard(), batch.number().0)).or_default();
            known.0 += jobs.len() as u64;
        }
    }

    fn event(&mut self, shard: ShardId, event: &Event) {
        match event {
            Event::Completed { jobs } => {
                for job in jobs {
                    self.completed((shard, job.job.0));
                }
            }
            Event::Tied(tie) => match &**tie {
                Tie::Chained(chained) => self.chained(shard, chained),
                Tie::BatchCounted { batch, succeeded, failed, .. } => {
                    let known = self.batches.entry((shard, batch.0)).or_default();
                    known.1 += u64::from(*succeeded) + u64::from(*failed);
                }
                Tie::BatchSealed { batch, .. } => {
                    self.batches.entry((shard, batch.0)).or_default().2 = true;
                }
                Tie::ChainLeft { jobs } => {
                    self.left.extend(jobs.iter().map(|job| (shard, job.0)));
                }
                Tie::Sent { parcels, .. } => parcels.iter().for_each(|parcel| {
                    if let Parcel::Callback { batch } = parcel {
                        *self.calls.entry(BatchId::new(0, shard, *batch)).or_default() += 1;
                    }
                }),
                _ => {}
            },
            _ => {}
        }
    }

    /// Every job has ended. What comes after a batch has ended counts for nothing.
    fn members_counted_once(&self) {
        for ((shard, batch), (members, counted, sealed)) in &self.batches {
            if counted > members || (counted < members && !sealed) {
                violated!("r09", "batch {batch} of {shard}: {counted} of {members} are counted");
            }
        }
    }

    fn chained(&mut self, shard: ShardId, chained: &ChainedJob) {
        let ChainedJob { job, chain, step, rest, .. } = chained;
        self.chained.insert((shard, job.0), (*chain, *step, rest.len()));
        // A step that failed may be revived and fail again, but its handler runs once for it; handlers of several steps share a
        // number.
        if *step >= 0 && !self.came.contains(&job.0) {
            *self.made.entry((*chain, *step)).or_default() += 1;
        }
    }

    fn completed(&mut self, job: (ShardId, u64)) {
        let Some(&(chain, step, rest)) = self.chained.get(&job) else { return };
        if step >= 0 && rest > 0 && !self.left.contains(&job) {
            self.expected.insert((chain, step + 1));
        }
    }

    /// Nothing is on the way any more.
    pub(crate) fn check(&self) {
        self.members_counted_once();
        if let Some((step, times)) = self.made.iter().find(|(_, times)| **times > 1) {
            violated!("r09", "step {} of {} was made {times} times", step.1, step.0);
        }
        if let Some((chain, step)) =
            self.expected.iter().find(|step| !self.made.contains_key(*step))
        {
            violated!("r13", "step {step} of {chain} was never made");
        }
        let early = |key: &&(JobId, i32)| key.1 > 0 && !self.expected.contains(*key);
        if let Some((chain, step)) = self.made.keys().find(early) {
            violated!("r09", "step {step} of {chain} was made before its time");
        }
        if let Some((batch, times)) = self.calls.iter().find(|(_, times)| **times > 1) {
            violated!("r09", "{batch} has called back {times} times");
        }
    }

    /// Steps and callbacks, to show that a run was worth something.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.expected.len(), self.calls.len())
    }
}

fn arrival(event: &Event) -> Option<u64> {
    let Event::Tied(tie) = event else { return None };
    if let Tie::Arrived(arrived) = &**tie { Some(arrived.job.0) } else { None }
}

/// Whether a shard owes others nothing.
pub(crate) fn is_quiet(state: &State) -> bool {
    state.mail_len() == 0 && !state.has_consequences()
}
