//! What events of archived jobs are made of: of those that were completed and have left memory.

use rkyv::{Archive, Deserialize, Serialize};

use super::{Blob, Class};
use crate::agent::AgentLimits;
use crate::{JobId, JobSeq, Micros};

/// Something about a job that was completed and had left memory.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum ArchivedJob {
    /// It waits again, with all its attempts before it.
    Revived(RevivedJob),
    /// It was removed from what is kept of such jobs. Nothing changes for the shard.
    Deleted {
        /// The job.
        job: JobSeq,
    },
    /// It counts as one of another queue. Nothing changes for the shard.
    Moved {
        /// The job.
        job: JobSeq,
        /// The queue.
        queue: String,
    },
}

/// A job that is in memory again, under the number it had, with everything that makes it what it is.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct RevivedJob {
    /// The job.
    pub job: JobSeq,
    /// When it was made, in milliseconds since the epoch: a part of its id.
    pub created_ms: u64,
    /// Queue and options.
    pub class: Class,
    /// Limit key; empty is none.
    pub limit_key: String,
    /// What the worker gets.
    pub payload: Blob,
    /// Tags, as the client encoded them.
    pub tags: Blob,
    /// Where it goes on; empty is nowhere.
    pub checkpoint: Blob,
    /// How far it was; empty is not said.
    pub progress: Blob,
    /// When it dies unless finished; 0 is never.
    pub expire_at: Micros,
    /// The job it was enqueued for.
    pub parent: Option<JobId>,
    /// What the work on it has cost, in millionths of a dollar.
    pub cost_micros: u64,
    /// The iteration of an agent job that is next; 0 is no agent job.
    pub iteration: u32,
    /// What limits an agent job.
    pub limits: AgentLimits,
}

impl ArchivedJob {
    /// The job.
    #[must_use]
    pub fn job(&self) -> JobSeq {
        match self {
            Self::Revived(revived) => revived.job,
            Self::Deleted { job } | Self::Moved { job, .. } => *job,
        }
    }

    /// Everything in the blob that it refers to.
    #[must_use]
    pub fn blobs(&self) -> [Blob; 4] {
        match self {
            Self::Revived(RevivedJob { payload, tags, checkpoint, progress, .. }) => {
                [*payload, *tags, *checkpoint, *progress]
            }
            Self::Deleted { .. } | Self::Moved { .. } => [Blob::default(); 4],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/format.md gives these.
    #[test]
    fn records_have_the_documented_sizes() {
        assert_eq!(size_of::<ArchivedRevivedJob>(), 143);
        assert_eq!(size_of::<ArchivedArchivedJob>(), 144);
    }
}
