//! What events of agent jobs are made of.

use rkyv::{Archive, Deserialize, Serialize};

use super::Blob;
use crate::agent::{AgentLimits, AgentStatus};
use crate::usage::Amounts;
use crate::{EventSeq, JobId, JobSeq};

/// A job that was enqueued just before, in the same group, and is worked on in iterations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct EnqueuedAgent {
    /// The job.
    pub job: JobSeq,
    /// What limits it.
    pub limits: AgentLimits,
    /// What its first iteration finds; empty is nothing.
    pub checkpoint: Blob,
    /// The job and iteration from which it was made.
    pub replayed: Option<Replayed>,
}

/// An iteration from which another job was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Replayed {
    /// The job.
    pub job: JobId,
    /// Its iteration, from 1.
    pub iteration: u32,
}

/// An active agent job was acked. If it is done, it is completed by an event behind this one.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Iteration {
    /// The job.
    pub job: JobSeq,
    /// The iteration that was executed, from 1.
    pub number: u32,
    /// The job's iteration from now on.
    pub next: u32,
    /// The attempt at it, from 1.
    pub attempt: u32,
    /// What becomes of the job; not always what its worker said.
    pub status: AgentStatus,
    /// Replaces the checkpoint when not empty.
    pub checkpoint: Blob,
    /// Otherwise, the event with the checkpoint that stays; 0 is none.
    pub kept: EventSeq,
    /// What came out of it.
    pub result: Blob,
    /// Why it is held, for people.
    pub reason: Blob,
    /// What was reported with the ack.
    pub amounts: Amounts,
    /// The model; empty is not said.
    pub model: String,
    /// Who runs the model; empty is not said.
    pub provider: String,
    /// The iteration before this one, so that they form a chain from the newest to the oldest.
    pub previous: EventSeq,
}

/// A held agent job goes on with what a human said to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct RevisedJob {
    /// The job.
    pub job: JobSeq,
    /// Its checkpoint from now on, with the feedback in it.
    pub checkpoint: Blob,
    /// What the human said.
    pub feedback: Blob,
    /// Who.
    pub by: Blob,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/format.md gives these.
    #[test]
    fn records_have_the_documented_sizes() {
        assert_eq!(size_of::<ArchivedEnqueuedAgent>(), 57);
        assert_eq!(size_of::<ArchivedIteration>(), 117);
        assert_eq!(size_of::<ArchivedRevisedJob>(), 32);
    }
}
