//! A job as the read model knows it.

use jobbie_proto::agent::AgentState;
use jobbie_proto::event::BackoffKind;
use jobbie_proto::reply::JobState;
use jobbie_proto::{BatchId, JobId, Micros};

/// A job with everything that its events said of it, up to the position of the read model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    /// The job.
    pub id: JobId,
    /// Queue, with its namespace prefix if any.
    pub queue: String,
    /// State.
    pub state: JobState,
    /// What workers get: any bytes, mostly JSON.
    pub payload: Vec<u8>,
    /// Tags, as the client encoded them: mostly a JSON object of texts. Empty is none.
    pub tags: Vec<u8>,
    /// Tier, 0 first.
    pub priority: u8,
    /// Attempts begun.
    pub attempt: u32,
    /// Total attempts allowed.
    pub max_retries: u32,
    /// How retries are delayed.
    pub backoff: BackoffKind,
    /// Delay unit of `backoff`, in milliseconds.
    pub backoff_base_ms: u32,
    /// Longest delay, in milliseconds; 0 is no cap.
    pub backoff_cap_ms: u32,
    /// Unique key; empty is none.
    pub unique_key: Vec<u8>,
    /// Limit key; empty is none.
    pub limit_key: String,
    /// The batch it is a member of.
    pub batch: Option<BatchId>,
    /// The job it was enqueued for.
    pub parent: Option<JobId>,
    /// The first job of its chain, and which step it is: from 0, or -1 and -2 for the handlers of the chain's end and of a failed step.
    pub chain: Option<(JobId, i32)>,
    /// The jobs it was told to wait for.
    pub depends_on: Vec<JobId>,
    /// The id it has now, if it went to a queue of another shard and has arrived there.
    pub moved_to: Option<JobId>,
    /// Name of the worker that has it, or had it last; empty is none.
    pub worker: String,
    /// Machine of that worker; empty is not said.
    pub host: String,
    /// Newest progress; empty is none.
    pub progress: Vec<u8>,
    /// Newest checkpoint; empty is none.
    pub checkpoint: Vec<u8>,
    /// What the worker answered; empty is nothing.
    pub result: Vec<u8>,
    /// Why it was held last; empty is not said.
    pub hold_reason: String,
    /// How far it is, if it is an agent job.
    pub agent: Option<AgentState>,
    /// Errors recorded for it.
    pub errors: u32,
    /// When it was made.
    pub created: Micros,
    /// When a worker got it last; 0 is never, as in all times below.
    pub started: Micros,
    /// When its lease ends.
    pub lease_expires: Micros,
    /// When it may run, while it is scheduled or retrying.
    pub scheduled: Micros,
    /// When it dies unless finished.
    pub expires: Micros,
    /// When it was completed.
    pub completed: Micros,
    /// When it failed last, died or was rejected.
    pub failed: Micros,
    /// When it was cancelled.
    pub cancelled: Micros,
    /// The event that made it, within its shard: where the log has its record.
    pub record: u64,
}

/// An error recorded for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorRow {
    /// Counts the errors of all jobs of its shard, rising: the number of its event.
    pub id: u64,
    /// The attempt that failed.
    pub attempt: u32,
    /// What it said.
    pub error: String,
    /// Backtrace; empty is none.
    pub backtrace: String,
    /// When.
    pub at: Micros,
}

/// One minute of the whole node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Minute {
    /// When it began.
    pub begins: Micros,
    /// Jobs made.
    pub enqueued: u64,
    /// Jobs completed.
    pub completed: u64,
    /// Attempts failed.
    pub failed: u64,
}
