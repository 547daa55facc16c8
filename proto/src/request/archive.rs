//! What is done to archived jobs: those that were completed and have left the shard's memory.

use super::Enqueue;
use crate::JobId;
use crate::agent::AgentLimits;

/// Something done to an archived job, by somebody who has what is kept of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedControl<'a> {
    /// The job: the id under which it was completed.
    pub job: JobId,
    /// What is done.
    pub action: ArchivedAction<'a>,
}

/// What can be done to an archived job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchivedAction<'a> {
    /// It waits again under its id, with all its attempts before it.
    Revive(Box<Revive<'a>>),
    /// What is kept of it is removed.
    Delete,
    /// It counts as one of another queue of its shard.
    Move {
        /// The queue.
        queue: &'a str,
    },
}

/// What makes a job what it is. The shard does not know it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revive<'a> {
    /// As for a new job, but without idempotency key and time. It takes its unique key again; its expiry counts from now on.
    pub content: Enqueue<'a>,
    /// Where it goes on; empty is nowhere.
    pub checkpoint: &'a [u8],
    /// How far it was; empty is not said.
    pub progress: &'a [u8],
    /// The job it was enqueued for, of any shard.
    pub parent: Option<JobId>,
    /// What the work on it has cost so far, in millionths of a dollar.
    pub cost_micros: u64,
    /// How far it is, if it is an agent job.
    pub agent: Option<RevivedAgent>,
}

/// How far a revived agent job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RevivedAgent {
    /// The iteration that is next, from 1.
    pub iteration: u32,
    /// What limits it.
    pub limits: AgentLimits,
}
