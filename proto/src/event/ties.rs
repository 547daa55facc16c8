//! What ties jobs together: batches, chains, dependencies, and the messages between shards that all of them stand on.

use rkyv::{Archive, Deserialize, Serialize};

use super::{Blob, Class, HoldEnd};
use crate::agent::AgentLimits;
use crate::{BatchId, Code, EventSeq, JobId, JobSeq, Micros, ShardId};

/// A job that is made later, when something else has ended.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Step {
    /// Its queue, on any shard, and options.
    pub class: Class,
    /// Its limit key; empty is none.
    pub limit_key: String,
    /// Its own part of the payload.
    pub payload: Blob,
    /// Its tags.
    pub tags: Blob,
}

/// A job that is part of a chain, which was enqueued just before, in the same group.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ChainedJob {
    /// The job.
    pub job: JobSeq,
    /// The first job of the chain, which names it.
    pub chain: JobId,
    /// Which step it is, from 0; [`ON_EXIT`] and [`ON_FAILURE`] are the handlers.
    pub step: i32,
    /// The steps after it.
    pub rest: Vec<Step>,
    /// Made when a step dies.
    pub on_failure: Option<Step>,
    /// Made when the last step is completed, or one ends the chain early.
    pub on_exit: Option<Step>,
}

/// The step number of a handler of the chain's end.
pub const ON_EXIT: i32 = -1;
/// The step number of a handler of a failed step.
pub const ON_FAILURE: i32 = -2;

impl ChainedJob {
    /// Everything that may be made later.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.rest.iter().chain(&self.on_failure).chain(&self.on_exit)
    }
}

/// Which job of a chain is made next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
#[repr(u8)]
pub enum NextStep {
    /// The step after.
    Next = 0,
    /// The handler of the chain's end.
    OnExit = 1,
    /// The handler of a failed step.
    OnFailure = 2,
}

/// One message from a shard to another, or to itself. What it says at length is in the log, where it refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Parcel {
    /// Members of a batch that counts there have ended.
    Tally {
        /// The batch.
        batch: BatchId,
        /// How many are completed.
        succeeded: u32,
        /// How many have ended otherwise.
        failed: u32,
    },
    /// A job of a chain is to be made there.
    Step {
        /// The event that ended the job before it.
        cause: EventSeq,
    },
    /// The callback of a batch is to be made there.
    Callback {
        /// The batch.
        batch: EventSeq,
    },
    /// A job waits for one that is there.
    Ask {
        /// The job that is there.
        on: JobId,
        /// The job that waits.
        by: JobId,
    },
    /// A job that one waits for there is completed.
    Settled {
        /// The job completed.
        on: JobId,
        /// The job that waits.
        by: JobId,
    },
    /// A job goes to a queue of that shard.
    Move {
        /// The job.
        job: JobSeq,
    },
    /// Where a job is that was moved from that shard.
    Located {
        /// The id it had there.
        job: JobId,
        /// The id it has now.
        now: JobId,
    },
    /// What became of a job that was moved from that shard.
    Fate {
        /// The id it had there.
        job: JobId,
        /// What became of it.
        fate: Fate,
    },
    /// A budget or policy that concerns jobs there too was set or deleted, or a budget is exceeded.
    Rule {
        /// The event that says it.
        event: EventSeq,
    },
    /// Jobs have cost money that a budget there counts.
    Spent {
        /// The budget's number there.
        budget: EventSeq,
        /// The day they did.
        day: u32,
        /// How much, in millionths of a dollar.
        micros: u64,
    },
}

/// What became of a job that was moved to another shard, for the shard it was on before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[repr(u8)]
pub enum Fate {
    /// It is dead or cancelled. It may be retried.
    Ended = 0,
    /// It is completed.
    Completed = 1,
    /// It was deleted or purged.
    Gone = 2,
}

/// What a job is in that comes from another shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Standing {
    /// Pending.
    Pending,
    /// Scheduled until then; or, when it is held or waits for others, not before then: 0 is at once.
    Scheduled(Micros),
    /// Retrying, until then.
    Retrying(Micros),
    /// Held.
    Held {
        /// When `then` happens by itself; 0 is never.
        until: Micros,
        /// What happens then.
        then: HoldEnd,
    },
    /// Dead since then.
    Dead(Micros),
    /// Cancelled at that time.
    Cancelled(Micros),
}

/// A job that came from another shard, and was enqueued just before, in the same group.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ArrivedJob {
    /// The job.
    pub job: JobSeq,
    /// The id it had.
    pub from: JobId,
    /// What it is in; while it waits for others, an event before this one says so.
    pub standing: Standing,
    /// Attempts begun.
    pub attempt: u32,
    /// Leases of it that ran out.
    pub lease_expiries: u32,
    /// When it dies unless finished; 0 is never.
    pub expire_at: Micros,
    /// Whether its chain has handled that it died once: it does so once for each job.
    pub failure_handled: bool,
    /// What the work on it has cost so far, in micro-dollars.
    pub cost_micros: u64,
    /// The iteration that is next, from 1; 0 when it is no agent job.
    pub iteration: u32,
    /// What limits it as an agent job.
    pub limits: AgentLimits,
    /// Newest checkpoint.
    pub checkpoint: Blob,
    /// Newest progress.
    pub progress: Blob,
    /// Newest error.
    pub error: Blob,
    /// Its backtrace.
    pub backtrace: Blob,
    /// Why it was held last.
    pub hold_reason: Blob,
    /// Who held it last.
    pub hold_by: Blob,
}

impl ArrivedJob {
    fn blobs(&self) -> [&Blob; 6] {
        let Self { checkpoint, progress, error, backtrace, hold_reason, hold_by, .. } = self;
        [checkpoint, progress, error, backtrace, hold_reason, hold_by]
    }
}

/// A fact about what ties jobs together.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Tie {
    /// A batch was opened; its number is that of this event.
    BatchOpened {
        /// Made when all its members have ended.
        callback: Option<Step>,
    },
    /// How many members a batch has is known from now on.
    BatchSealed {
        /// The batch.
        batch: EventSeq,
        /// Its members.
        total: u64,
    },
    /// A batch could not be sealed. Nothing changed.
    SealRefused {
        /// The batch named.
        batch: EventSeq,
        /// Why.
        code: Code,
    },
    /// Jobs that were enqueued just before are members of a batch, which may be counted on another shard.
    Joined {
        /// The batch.
        batch: BatchId,
        /// The jobs.
        jobs: Vec<JobSeq>,
    },
    /// Members of a batch that is counted here have ended.
    BatchCounted {
        /// The batch.
        batch: EventSeq,
        /// Whose members they are.
        of: ShardId,
        /// How many are completed.
        succeeded: u32,
        /// How many have ended otherwise.
        failed: u32,
    },
    /// Batches that ended were kept long enough: they are forgotten.
    BatchesForgotten {
        /// The batches.
        batches: Vec<EventSeq>,
    },
    /// A job is part of a chain.
    Chained(ChainedJob),
    /// The chains of active jobs end with them.
    ChainLeft {
        /// The jobs.
        jobs: Vec<JobSeq>,
    },
    /// A job that was enqueued just before waits until others are completed.
    Awaits {
        /// The job.
        job: JobSeq,
        /// When it may run at the earliest; 0 is at once.
        due: Micros,
        /// What it waits for; it is in no queue if there is any.
        on: Vec<JobId>,
        /// What was completed already.
        done: Vec<JobId>,
    },
    /// Jobs of other shards wait for one that is here.
    Awaited {
        /// The job that is here, or was until it was completed.
        job: JobId,
        /// The jobs that wait.
        by: Vec<JobId>,
    },
    /// A job is completed that jobs here wait for.
    Settled {
        /// The job completed.
        on: JobId,
        /// The jobs that wait.
        jobs: Vec<JobId>,
    },
    /// Messages for a shard, with consecutive numbers.
    Sent {
        /// The shard.
        to: ShardId,
        /// Number of the first.
        first: u64,
        /// The messages.
        parcels: Vec<Parcel>,
    },
    /// Messages of a shard were taken; what they say follows in the same group.
    Received {
        /// The shard.
        from: ShardId,
        /// Number of the last.
        last: u64,
    },
    /// A shard has said that it took messages.
    Delivered {
        /// The shard.
        to: ShardId,
        /// Number of the last.
        last: u64,
    },
    /// Jobs that were enqueued just before name another as their parent, which need not exist.
    Parented {
        /// The other.
        parent: JobId,
        /// The jobs.
        jobs: Vec<JobSeq>,
    },
    /// A job came from another shard.
    Arrived(Box<ArrivedJob>),
    /// Where a job is that was moved from here to another shard.
    Located {
        /// The job, as it was called here.
        job: JobSeq,
        /// The id it has now.
        now: JobId,
    },
    /// What became of a job that was moved from here to another shard.
    Fated {
        /// The job, as it was called here.
        job: JobSeq,
        /// What became of it.
        fate: Fate,
    },
}

impl Tie {
    /// How many event sequence numbers it takes: one for each job that goes to a queue.
    pub(super) fn count(&self) -> usize {
        match self {
            Tie::Settled { jobs, .. } => jobs.len(),
            _ => 1,
        }
    }

    /// What it refers to in the blob.
    pub(super) fn blobs(&self) -> Vec<&Blob> {
        fn of(step: &Step) -> [&Blob; 2] {
            [&step.payload, &step.tags]
        }
        match self {
            Tie::BatchOpened { callback } => callback.iter().flat_map(of).collect(),
            Tie::Chained(chained) => chained.steps().flat_map(of).collect(),
            Tie::Arrived(arrived) => arrived.blobs().to_vec(),
            _ => Vec::new(),
        }
    }
}
