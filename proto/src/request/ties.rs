//! What ties the jobs of a request to each other and to others.

use super::Enqueue;
use crate::{BatchId, JobId};

/// Batches, chains and dependencies. Positions are those in [`Request::enqueues`](super::Request::enqueues), and rise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ties<'a> {
    /// Batches to open, with the job made when all members of each have ended, if any.
    pub batch_opens: Vec<Option<Enqueue<'a>>>,
    /// Batches all of whose members were enqueued.
    pub batch_seals: Vec<BatchSeal>,
    /// New jobs that are members of batches.
    pub members: Vec<Members>,
    /// New jobs that are the first of chains.
    pub chains: Vec<Chain<'a>>,
    /// New jobs that wait for others.
    pub depends: Vec<Depends>,
    /// New jobs that name another as their parent.
    pub parents: Vec<Parents>,
    /// Acks, by their position, whose job ends its chain: of the steps after it only the handler of the chain's end
    /// is made.
    pub exits: Vec<u32>,
    /// Batches to look up.
    pub batch_lookups: Vec<BatchId>,
}

impl Ties<'_> {
    /// Whether there is none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Ties {
            batch_opens,
            batch_seals,
            members,
            parents,
            chains,
            depends,
            exits,
            batch_lookups,
        } = self;
        let of_batches =
            batch_opens.len() | batch_seals.len() | members.len() | batch_lookups.len();
        of_batches | parents.len() | chains.len() | depends.len() | exits.len() == 0
    }
}

/// A batch gets no more members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSeal {
    /// The batch.
    pub batch: BatchId,
    /// Members it has, on all shards: enqueues that were answered `Ok`.
    pub total: u64,
}

/// Consecutive new jobs of a batch. Duplicates among them are no members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Members {
    /// The batch, of any shard.
    pub batch: BatchId,
    /// Position of the first.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// Consecutive new jobs that were enqueued for another, which need not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parents {
    /// The other, of any shard.
    pub parent: JobId,
    /// Position of the first.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// A new job with more after it. Of each [`Enqueue`] here only what makes a job counts: queue (of any shard), payload,
/// tags, limit key, priority, retries and expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain<'a> {
    /// Position of the first job.
    pub enqueue: u32,
    /// What is made, one after the other, when the job before is completed.
    pub steps: Vec<Enqueue<'a>>,
    /// Made when one of them dies.
    pub on_failure: Option<Enqueue<'a>>,
    /// Made when the last is completed, or one ends the chain early.
    pub on_exit: Option<Enqueue<'a>>,
}

impl<'a> Chain<'a> {
    /// Everything that may be made later.
    pub fn all(&self) -> impl Iterator<Item = &Enqueue<'a>> {
        self.steps.iter().chain(&self.on_failure).chain(&self.on_exit)
    }
}

/// A new job that may run when others are completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Depends {
    /// Its position.
    pub enqueue: u32,
    /// The others, of any shard.
    pub on: Vec<JobId>,
}
