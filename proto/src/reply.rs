//! What a shard answers. Everything here is small and owned, so that a session can keep its answers;
//! payloads are read from the log when the answer is written to the wire.

use rkyv::{Archive, Deserialize, Serialize};

use crate::event::{Class, HoldEnd, QueueSettings};
use crate::{Code, EventSeq, JobId, JobSeq, LeaseToken, Micros};

/// The answer to one request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Reply {
    /// Whether the request as a whole was done; the lists below are empty when it was not.
    pub code: Code,
    /// One element for each run of new jobs, in the order of the request.
    pub enqueued: Vec<Enqueued>,
    /// One element per ack.
    pub acks: Vec<Code>,
    /// One element per fail.
    pub fails: Vec<Failed>,
    /// One element per heartbeat. Anything but `Ok` tells the worker to stop.
    pub heartbeats: Vec<Code>,
    /// One element per release.
    pub releases: Vec<Code>,
    /// One element per cancel.
    pub cancels: Vec<Code>,
    /// One element per delete.
    pub deletes: Vec<Code>,
    /// One element per job control.
    pub job_controls: Vec<Code>,
    /// Jobs leased by the fetch.
    pub leases: Vec<Lease>,
}

/// Consecutive jobs created, or one that existed already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Enqueued {
    /// `Ok`, `Duplicate` or `Conflict`.
    pub code: Code,
    /// Creation time, the same for all of the run, in milliseconds since the epoch.
    pub created_ms: u64,
    /// The first job.
    pub first_job: JobSeq,
    /// How many jobs, each numbered one more; 1 unless `Ok`.
    pub count: u32,
}

/// What became of a fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Failed {
    /// `Ok`, or why nothing changed.
    pub code: Code,
    /// When the next attempt may begin; 0 when the job is dead or nothing changed.
    pub next_attempt: Micros,
    /// Attempts left.
    pub attempts_left: u32,
}

/// A job given to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Lease {
    /// The job.
    pub job: JobSeq,
    /// When it was created, in milliseconds since the epoch.
    pub created_ms: u64,
    /// The right to finish it.
    pub token: LeaseToken,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Total attempts allowed.
    pub max_retries: u32,
    /// When the lease ends.
    pub deadline: Micros,
    /// The event that made the job.
    pub record: EventSeq,
    /// The event with its newest checkpoint; 0 is none.
    pub checkpoint: EventSeq,
    /// The event that put it into its queue last; 0 is the one that made it.
    pub placed: EventSeq,
    /// The event with its newest payload; 0 is the one that made it.
    pub payload: EventSeq,
}

/// The state a job is in.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
#[repr(u8)]
pub enum JobState {
    /// Waits to be fetched.
    Pending = 0,
    /// Waits for its time.
    Scheduled = 1,
    /// A worker has it.
    Active = 2,
    /// Failed, waits for its next attempt.
    Retrying = 3,
    /// Waits for a human.
    Held = 4,
    /// Done.
    Completed = 5,
    /// Failed for good.
    Dead = 6,
    /// Called off.
    Cancelled = 7,
}

impl JobState {
    /// Every state, by number.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Scheduled,
        Self::Active,
        Self::Retrying,
        Self::Held,
        Self::Completed,
        Self::Dead,
        Self::Cancelled,
    ];

    /// The state with this number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Whether the job is over and still in memory, until it is put back or purged.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Dead | Self::Cancelled)
    }

    /// The state's name on every surface.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Scheduled => "scheduled",
            Self::Active => "active",
            Self::Retrying => "retrying",
            Self::Held => "held",
            Self::Completed => "completed",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Everything the state knows of a job that has not left memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobView {
    /// The job.
    pub id: JobId,
    /// State.
    pub state: JobState,
    /// Queue and options.
    pub class: Class,
    /// Limit key; empty is none.
    pub limit_key: String,
    /// Attempts begun.
    pub attempt: u32,
    /// The lease it is under; 0 when not active.
    pub token: LeaseToken,
    /// End of the lease (active) or time of the next step (scheduled, retrying, held); 0 otherwise.
    pub due: Micros,
    /// When it dies unless finished; 0 is never.
    pub expire_at: Micros,
    /// When it became dead or cancelled; 0 otherwise.
    pub ended: Micros,
    /// Leases of it that ran out since it was enqueued or retried.
    pub lease_expiries: u32,
    /// What becomes of it at `due` while it is held.
    pub then: HoldEnd,
    /// The event with payload, tags and key.
    pub record: EventSeq,
    /// The event with its newest payload; 0 is `record`.
    pub payload: EventSeq,
    /// The event that held it last; 0 is none.
    pub hold: EventSeq,
    /// The event with the newest error; 0 is none.
    pub last_error: EventSeq,
    /// The event with the newest checkpoint; 0 is none.
    pub checkpoint: EventSeq,
    /// The event with the newest progress; 0 is none.
    pub progress: EventSeq,
}

/// Counts of one queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Queue.
    pub queue: String,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether it is paused to be drained.
    pub draining: bool,
    /// What limits it.
    pub settings: QueueSettings,
    /// Limit keys that have waiting or active jobs, about: some that have none any more may be counted.
    pub keys: u32,
    /// Jobs now, by [`JobState`] number; `Completed` counts those since the shard began.
    pub jobs: [u64; 8],
    /// Jobs ever enqueued.
    pub enqueued_total: u64,
}

/// Counts of one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Queues that exist.
    pub queues: u64,
    /// Open sessions.
    pub sessions: u64,
    /// Live leases.
    pub leases: u64,
    /// Jobs in memory.
    pub jobs: u64,
    /// Number of the newest event.
    pub last_event: EventSeq,
    /// Number of the newest job.
    pub last_job: JobSeq,
    /// Rolling hash of the state after that event.
    pub state_hash: u64,
    /// Log time.
    pub time: Micros,
}
