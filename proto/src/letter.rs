//! What shards say to each other: messages with consecutive numbers from one to another, taken once and in order.

use crate::agent::AgentLimits;
use crate::event::{Class, Fate, Rule, Standing};
use crate::{BatchId, EventSeq, JobId, Micros, ShardId};

/// From one shard to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Letter {
    /// Messages to be taken.
    Handoff {
        /// Who sends them.
        from: ShardId,
        /// Number of the first.
        first: u64,
        /// The messages, with consecutive numbers.
        messages: Vec<Message>,
    },
    /// Messages were taken, durably.
    Taken {
        /// By whom.
        by: ShardId,
        /// Number of the last.
        last: u64,
    },
}

/// What a [`Parcel`](crate::event::Parcel) says, at length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Members of a batch have ended.
    Tally {
        /// The batch.
        batch: BatchId,
        /// How many are completed.
        succeeded: u32,
        /// How many have ended otherwise.
        failed: u32,
    },
    /// A job is to be made.
    Make(Box<NewJob>),
    /// A job waits for one that is here.
    Ask {
        /// The job that is here.
        on: JobId,
        /// The job that waits.
        by: JobId,
    },
    /// A job that one waits for here is completed.
    Settled {
        /// The job completed.
        on: JobId,
        /// The job that waits.
        by: JobId,
    },
    /// A job comes to a queue that is here.
    Move(Box<MovedJob>),
    /// Where a job is that was moved from here.
    Located {
        /// The id it had here.
        job: JobId,
        /// The id it has now.
        now: JobId,
    },
    /// What became of a job that was moved from here.
    Fate {
        /// The id it had here.
        job: JobId,
        /// What became of it.
        fate: Fate,
    },
    /// A fact about a budget or policy that concerns jobs here.
    Rule(Box<Rule>),
    /// Jobs have cost money that a budget here counts.
    Spent {
        /// The budget.
        budget: EventSeq,
        /// The day they did.
        day: u32,
        /// How much, in millionths of a dollar.
        micros: u64,
    },
}

/// A job on its way to another shard: everything that it takes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedJob {
    /// The id it had.
    pub from: JobId,
    /// Its new queue, options, limit key, newest payload and tags.
    pub step: StepBytes,
    /// The batch it still counts in.
    pub batch: Option<BatchId>,
    /// What is left of its chain.
    pub chain: Option<ChainPart>,
    /// Whether its chain has handled that it died once.
    pub failure_handled: bool,
    /// The job it was enqueued for.
    pub parent: Option<JobId>,
    /// The jobs that it waits for.
    pub awaits: Vec<JobId>,
    /// What it is in.
    pub standing: Standing,
    /// Attempts begun.
    pub attempt: u32,
    /// Leases of it that ran out since it was enqueued or retried.
    pub lease_expiries: u32,
    /// When it dies unless finished; 0 is never.
    pub expire_at: Micros,
    /// What the work on it has cost so far, in micro-dollars.
    pub cost_micros: u64,
    /// The iteration that is next, from 1; 0 when it is no agent job.
    pub iteration: u32,
    /// What limits it as an agent job.
    pub limits: AgentLimits,
    /// Newest checkpoint.
    pub checkpoint: Vec<u8>,
    /// Newest progress.
    pub progress: Vec<u8>,
    /// Newest error.
    pub error: Vec<u8>,
    /// Its backtrace.
    pub backtrace: Vec<u8>,
    /// Why it was held last.
    pub hold_reason: Vec<u8>,
    /// Who held it last.
    pub hold_by: Vec<u8>,
}

/// A job made by another, and what it takes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// What it is.
    pub step: StepBytes,
    /// The batch it is a member of.
    pub batch: Option<BatchId>,
    /// The chain it is part of.
    pub chain: Option<ChainPart>,
}

/// A job to be made, with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepBytes {
    /// Queue and options.
    pub class: Class,
    /// Limit key; empty is none.
    pub limit_key: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// Tags.
    pub tags: Vec<u8>,
}

/// What a job knows of its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainPart {
    /// The chain's first job.
    pub chain: JobId,
    /// Which step it is.
    pub step: i32,
    /// The steps after it.
    pub rest: Vec<StepBytes>,
    /// The handler of a failed step.
    pub on_failure: Option<StepBytes>,
    /// The handler of the chain's end.
    pub on_exit: Option<StepBytes>,
}
