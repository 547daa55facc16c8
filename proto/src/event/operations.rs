//! Work on many jobs that goes on in the background, over many entries.

use rkyv::{Archive, Deserialize, Serialize};

use super::HoldEnd;
use crate::JobSeq;
use crate::reply::JobState;
use crate::request::{Hold, JobAction};

/// Which jobs are meant: those that match everything that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct JobFilter {
    /// Exactly this queue; empty is any.
    pub queue: String,
    /// One bit for each wanted [`JobState`], by its number; 0 is any.
    pub states: u16,
    /// Tier; none is any.
    pub priority: Option<u8>,
    /// Exactly this limit key; empty is any.
    pub limit_key: String,
    /// Only jobs created after this, in milliseconds since the epoch; 0 is any.
    pub created_after_ms: u64,
    /// Only jobs created before this, in milliseconds since the epoch; 0 is any.
    pub created_before_ms: u64,
}

impl JobFilter {
    /// Jobs of a queue.
    #[must_use]
    pub fn of_queue(queue: &str) -> Self {
        Self { queue: queue.to_owned(), ..Self::default() }
    }

    /// The same in these states only.
    #[must_use]
    pub fn in_states(self, states: &[JobState]) -> Self {
        Self { states: states.iter().fold(0, |bits, state| bits | 1 << *state as u8), ..self }
    }

    /// Whether nothing is asked of a job.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a job may be in `state`.
    #[must_use]
    pub fn wants(&self, state: JobState) -> bool {
        self.states == 0 || self.states >> state as u8 & 1 == 1
    }
}

/// What is done to each job.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum BulkAction {
    /// It is cancelled.
    Cancel,
    /// It is removed.
    Delete,
    /// Scheduled, dead or cancelled: it waits now, with all its attempts before it.
    Retry,
    /// Dead: it waits again, its attempts still count.
    Requeue,
    /// Pending, scheduled, active or retrying: it waits for a human.
    Hold {
        /// Why, for people.
        reason: String,
        /// Who says so.
        by: String,
        /// When `then` happens if nobody has decided, in milliseconds after the job was held; 0 with
        /// [`HoldEnd::Stay`] only.
        timeout_ms: u64,
        /// What happens then.
        then: HoldEnd,
    },
    /// Held: it may go on.
    Approve {
        /// For people.
        note: String,
        /// Who says so.
        by: String,
    },
    /// Held: it is dead.
    Reject {
        /// Why, for people.
        reason: String,
        /// Who says so.
        by: String,
    },
    /// It goes to another queue of the shard, in any state.
    Move {
        /// The queue.
        queue: String,
    },
    /// Pending or scheduled: it gets another tier.
    Prioritize {
        /// The tier, 0 first.
        priority: u8,
    },
}

impl BulkAction {
    /// The same for one job; `None` for cancelling and deleting, which are lists of their own.
    #[must_use]
    pub fn for_job(&self) -> Option<JobAction<'_>> {
        Some(match self {
            Self::Cancel | Self::Delete => return None,
            Self::Retry => JobAction::Retry,
            Self::Requeue => JobAction::Requeue,
            Self::Hold { reason, by, timeout_ms, then } => JobAction::Hold(Hold {
                reason: reason.as_bytes(),
                by,
                timeout_ms: *timeout_ms,
                then: *then,
            }),
            Self::Approve { note, by } => JobAction::Approve { note: note.as_bytes(), by },
            Self::Reject { reason, by } => JobAction::Reject { reason: reason.as_bytes(), by },
            Self::Move { queue } => JobAction::Move { queue },
            Self::Prioritize { priority } => JobAction::Prioritize { priority: *priority },
        })
    }

    /// The same without what it says for people.
    #[must_use]
    pub fn without_texts(&self) -> Self {
        let (reason, note, by) = (String::new(), String::new(), String::new());
        match self {
            Self::Hold { timeout_ms, then, .. } => {
                Self::Hold { reason, by, timeout_ms: *timeout_ms, then: *then }
            }
            Self::Approve { .. } => Self::Approve { note, by },
            Self::Reject { .. } => Self::Reject { reason, by },
            other => other.clone(),
        }
    }

    /// What it is called on every surface.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Delete => "delete",
            Self::Retry => "retry",
            Self::Requeue => "requeue",
            Self::Hold { .. } => "hold",
            Self::Approve { .. } => "approve",
            Self::Reject { .. } => "reject",
            Self::Move { .. } => "move",
            Self::Prioritize { .. } => "prioritize",
        }
    }
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Task {
    /// Removes the pending and scheduled jobs of a queue.
    Clear {
        /// The queue.
        queue: String,
    },
    /// Removes a queue: its jobs in all states, its settings, its keys.
    DeleteQueue {
        /// The queue.
        queue: String,
    },
    /// Does one thing to many jobs.
    Bulk {
        /// What.
        action: BulkAction,
        /// To which; without a filter the operation names its jobs.
        filter: JobFilter,
        /// Nothing is done, but how many jobs it would be is counted.
        dry_run: bool,
    },
}

impl Task {
    /// What it is called on every surface.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Clear { .. } => "clear",
            Self::DeleteQueue { .. } => "destroy",
            Self::Bulk { action, .. } => action.name(),
        }
    }

    /// Which jobs it is about when it does not name them.
    #[must_use]
    pub fn filter(&self) -> JobFilter {
        let waiting = [JobState::Pending, JobState::Scheduled];
        match self {
            Self::Clear { queue } => JobFilter::of_queue(queue).in_states(&waiting),
            Self::DeleteQueue { queue } => JobFilter::of_queue(queue),
            Self::Bulk { filter, .. } => filter.clone(),
        }
    }

    /// The same without what it says for people.
    #[must_use]
    pub fn without_texts(&self) -> Self {
        match self {
            Self::Bulk { action, filter, dry_run } => Self::Bulk {
                action: action.without_texts(),
                filter: filter.clone(),
                dry_run: *dry_run,
            },
            other => other.clone(),
        }
    }

    /// Whether it only counts.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        matches!(self, Self::Bulk { dry_run: true, .. })
    }

    /// The queue that hands out nothing while it is emptied.
    #[must_use]
    pub fn closes(&self) -> Option<&str> {
        match self {
            Self::Clear { queue } | Self::DeleteQueue { queue } => Some(queue),
            Self::Bulk { .. } => None,
        }
    }

    /// Whether it makes room, or needs none: it may begin when the disk is full.
    #[must_use]
    pub fn makes_room(&self) -> bool {
        let Self::Bulk { action, dry_run, .. } = self else { return true };
        *dry_run || matches!(action, BulkAction::Cancel | BulkAction::Delete)
    }
}

/// An operation began. What it does follows in steps, each a group of its own with an
/// [`OperationAdvanced`](super::Event::OperationAdvanced).
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct StartedOperation {
    /// What it does.
    pub task: Task,
    /// The jobs it names, each once, in the order in which they are dealt with; none when there is a filter.
    pub jobs: Vec<JobSeq>,
    /// Jobs that were named and are not there, or were named before.
    pub unknown: u32,
    /// Only jobs with a lower number are concerned: those that existed.
    pub below: JobSeq,
}
