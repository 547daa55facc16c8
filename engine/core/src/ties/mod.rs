//! What ties jobs together, across shards: batches, chains and dependencies.
//!
//! Whatever follows from the end of a job is first noted here as *due*, by the absorbing of the event that ended it,
//! and then made a fact by [`decide_consequences`](crate::decide_consequences), in bounded steps: a message for a shard
//! (which may be this one), or a count. So an ack costs the same whatever hangs on it, and nothing is lost between the two: what is
//! due is part of the state.
//!
//! | file | is |
//! |---|---|
//! | `batches` | batches that are counted here |
//! | `post` | numbered messages to other shards, and the last one taken from each |
//! | `gone` | jobs that left memory without being completed |
//! | `kin` | jobs that came from other shards, go there, or were enqueued for another job |
//! | `mail` | messages on their way out, with what the log adds to them |
//! | `moving` | jobs on their way to other shards |
//! | `compose` | payloads of jobs that the server makes |

pub(crate) mod batches;
pub mod compose;
pub(crate) mod gone;
pub(crate) mod kin;
pub mod mail;
mod moving;
pub(crate) mod post;

use imbl::shared_ptr::RcK;
use imbl::{GenericOrdMap, GenericOrdSet};
use jobbie_proto::event::{ChainedJob, NextStep, Parcel, Step};
use jobbie_proto::placement::shard_of;
use jobbie_proto::{BatchId, JobId, ShardId};

use crate::sidetable::SideTable;
use batches::Batches;
use gone::Gone;
use kin::Kindred;
use post::Post;

pub(crate) type Map<K, V> = GenericOrdMap<K, V, RcK>;
pub(crate) type Set<K> = GenericOrdSet<K, RcK>;

/// A job's place in its chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// The event that says what comes after it.
    pub(crate) definition: u64,
    pub(crate) next: Option<ShardId>,
    pub(crate) on_failure: Option<ShardId>,
    pub(crate) on_exit: Option<ShardId>,
}

impl Link {
    pub(crate) fn new(definition: u64, chained: &ChainedJob, shards: u16) -> Self {
        let shard = |step: &Step| shard_of(&step.class.queue, shards);
        Self {
            definition,
            next: chained.rest.first().map(shard),
            on_failure: chained.on_failure.as_ref().map(shard),
            on_exit: chained.on_exit.as_ref().map(shard),
        }
    }

    /// What is made when a job of the chain ends so, and where.
    pub(crate) fn after(&self, end: End) -> Option<(NextStep, ShardId)> {
        let exit = self.on_exit.map(|to| (NextStep::OnExit, to));
        match end {
            End::Completed => self.next.map(|to| (NextStep::Next, to)).or(exit),
            End::Died => self.on_failure.map(|to| (NextStep::OnFailure, to)),
            End::Stopped => None,
        }
    }
}

/// A job that waits for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blocked {
    /// The event that says for which.
    pub(crate) event: u64,
    /// How many are not completed.
    pub(crate) missing: u32,
    /// When it may run at the earliest; 0 is at once.
    pub(crate) due: u64,
}

/// A job of a chain that is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StepDue {
    pub(crate) definition: u64,
    pub(crate) kind: NextStep,
    pub(crate) to: ShardId,
    /// The job before it.
    pub(crate) job: JobId,
    pub(crate) batch: Option<BatchId>,
}

/// How a job has ended, for those who wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Completed,
    /// It failed, expired, was rejected or quarantined.
    Died,
    /// It was cancelled or removed.
    Stopped,
}

/// Ended members of a batch that are not reported yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) succeeded: u32,
    pub(crate) failed: u32,
}

/// All ties of a shard's jobs. Everything that grows shares its pages with its copies.
#[derive(Clone, Default)]
pub(crate) struct Ties {
    pub(crate) members: SideTable<BatchId>,
    pub(crate) chains: SideTable<Link>,
    pub(crate) blocked: SideTable<Blocked>,
    /// A job of this shard, and one that waits for it.
    pub(crate) dependents: Set<(u64, JobId)>,
    pub(crate) gone: Gone,
    pub(crate) batches: Batches,
    pub(crate) post: Post,
    pub(crate) kin: Kindred,
    /// By the event that ended the job before.
    pub(crate) steps: Map<u64, StepDue>,

    // What is due.
    pub(crate) unsent_steps: Set<u64>,
    pub(crate) tallies: Map<BatchId, Tally>,
    /// A job of this shard that waits, and one of another for which.
    pub(crate) asks: Set<(JobId, JobId)>,
    /// Completed jobs for which others wait.
    pub(crate) settling: Map<u64, JobId>,

    /// Jobs that are gone without being completed, for which others still wait. Not part of the state: how far they are
    /// swept out of `dependents` is nobody's business.
    orphans: Set<u64>,
}

/// Jobs that wait in vain and are forgotten with every group.
const SWEPT_DEPENDENTS: usize = 128;

impl Ties {
    /// Whether any job has a tie.
    #[inline]
    pub(crate) fn is_used(&self) -> bool {
        !self.members.is_empty()
            || !self.chains.is_empty()
            || !self.blocked.is_empty()
            || !self.dependents.is_empty()
            || self.kin.is_used()
    }

    /// A job leaves memory.
    pub(crate) fn forget(&mut self, job: u64) {
        self.members.remove(job);
        self.chains.remove(job);
        self.blocked.remove(job);
        self.kin.forget(job);
        if !self.settling.contains_key(&job) && self.waiting_for(job).next().is_some() {
            self.orphans.insert(job);
        }
    }

    /// Forgets some of those who wait for what will never be.
    #[inline]
    pub(crate) fn sweep(&mut self) {
        if !self.orphans.is_empty() {
            self.sweep_orphans();
        }
    }

    fn sweep_orphans(&mut self) {
        for _ in 0..SWEPT_DEPENDENTS {
            let Some(&job) = self.orphans.get_min() else { return };
            let by = self.waiting_for(job).next();
            match by {
                Some(by) => {
                    self.dependents.remove(&(job, by));
                }
                None => {
                    self.orphans.remove(&job);
                }
            }
        }
    }

    /// Whether something is due.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        !self.unsent_steps.is_empty()
            || !self.tallies.is_empty()
            || !self.asks.is_empty()
            || !self.settling.is_empty()
            || self.batches.is_callback_due()
            || self.kin.is_due()
    }

    /// A member of a batch has ended.
    pub(crate) fn tally(&mut self, batch: BatchId, succeeded: bool) {
        let mut tally = self.tallies.get(&batch).copied().unwrap_or_default();
        let count = if succeeded { &mut tally.succeeded } else { &mut tally.failed };
        *count += 1;
        self.tallies.insert(batch, tally);
    }

    /// Who waits for a job of this shard.
    pub(crate) fn waiting_for(&self, job: u64) -> impl Iterator<Item = JobId> + '_ {
        let from = (job, JobId::default());
        self.dependents.range(from..).take_while(move |(on, _)| *on == job).map(|(_, by)| *by)
    }

    /// What a message stood for is due no longer.
    pub(crate) fn take_due(&mut self, parcel: &Parcel, to: ShardId) {
        match *parcel {
            Parcel::Tally { batch, succeeded, failed } => self.reported(batch, succeeded, failed),
            Parcel::Step { cause } => {
                let was = self.unsent_steps.remove(&cause.0).is_some();
                assert!(was && self.steps[&cause.0].to == to, "a step was sent that is not due");
            }
            Parcel::Callback { batch } => self.batches.called_back(batch.0),
            Parcel::Ask { on, by } => {
                assert!(self.asks.remove(&(by, on)).is_some(), "a question was not due");
            }
            Parcel::Settled { on, by } => self.settled(on.seq().0, by),
            Parcel::Located { job, now } => {
                let was = self.kin.located.remove(&job);
                assert_eq!(was, Some(now), "a job is told to be elsewhere");
            }
            Parcel::Fate { job, fate } => {
                let was = self.kin.fates.remove(&job);
                assert_eq!(was, Some(fate), "something else became of a job");
            }
            Parcel::Move { .. } => unreachable!("its number counts"),
            Parcel::Rule { .. } | Parcel::Spent { .. } => unreachable!("not about what ties jobs"),
        }
    }

    /// Ended members have been counted, or are about to be on another shard.
    pub(crate) fn reported(&mut self, batch: BatchId, succeeded: u32, failed: u32) {
        let tally = self.tallies.remove(&batch);
        assert_eq!(tally, Some(Tally { succeeded, failed }), "ended members are miscounted");
    }

    /// One that waited for a completed job knows.
    pub(crate) fn settled(&mut self, on: u64, by: JobId) {
        assert!(self.dependents.remove(&(on, by)).is_some(), "nobody waited for the job");
        if self.waiting_for(on).next().is_none() {
            self.settling.remove(&on);
        }
    }

    /// The oldest event that something due, sent or open refers to.
    pub(crate) fn oldest_needed(&self) -> Option<u64> {
        let steps = self.steps.iter().map(|(cause, due)| due.definition.min(*cause)).min();
        steps.into_iter().chain(self.batches.oldest_open()).min()
    }
}
