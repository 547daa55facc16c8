//! What events are made of.

use rkyv::{Archive, Deserialize, Serialize};

use crate::{EventSeq, JobSeq, Micros, SessionId};

/// A range of the blob of the entry that holds the event. Empty means "none".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Clone, Copy, Debug))]
pub struct Blob {
    /// First byte.
    pub offset: u32,
    /// Bytes.
    pub len: u32,
}

impl Blob {
    /// The bytes, out of the whole blob.
    ///
    /// # Panics
    /// When the range is outside the blob; [`codec::decode`](super::codec::decode) has checked it.
    #[must_use]
    pub fn of(self, blob: &[u8]) -> &[u8] {
        &blob[self.offset as usize..][..self.len as usize]
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// How the delay before the next attempt grows. With base *b*, cap *c* and the attempt *a* that
/// just failed: none 0, fixed *b*, linear *b·a*, exponential *b·2^(a−1)*; never more than *c* when *c* > 0.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Archive,
    Serialize,
    Deserialize,
)]
#[repr(u8)]
pub enum BackoffKind {
    /// At once.
    None = 0,
    /// Always the base.
    Fixed = 1,
    /// The base times the attempt.
    Linear = 2,
    /// The base, doubled with every attempt.
    #[default]
    Exponential = 3,
}

impl BackoffKind {
    /// The policy with this number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        [Self::None, Self::Fixed, Self::Linear, Self::Exponential].get(usize::from(number)).copied()
    }
}

/// What jobs enqueued alike have in common. Waiting jobs of one class cost no memory for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize)]
pub struct Class {
    /// Queue, with its namespace prefix if any.
    pub queue: String,
    /// Tier, 0 is served first.
    pub priority: u8,
    /// Total attempts allowed; 0 and 1 both mean one.
    pub max_retries: u32,
    /// How retries are delayed.
    pub backoff: BackoffKind,
    /// Delay unit of `backoff`, in milliseconds.
    pub backoff_base_ms: u32,
    /// Longest delay, in milliseconds; 0 is no cap.
    pub backoff_cap_ms: u32,
    /// A job not finished this long after its creation dies, in milliseconds; 0 is never.
    pub expire_after_ms: u64,
}

/// One enqueued job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct EnqueuedJob {
    /// What the worker gets. An empty payload is an empty range.
    pub payload: Blob,
    /// Tags, as the client encoded them.
    pub tags: Blob,
    /// The idempotency key.
    pub key: Blob,
    /// When it may run first; 0 is at once. A job with a time starts as `scheduled`.
    pub due: Micros,
}

/// An idempotency key taken by a job of the same [`Event::Enqueued`](super::Event::Enqueued).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct KeyTaken {
    /// Position of the job in the event.
    pub nth: u32,
    /// Hash of queue and key.
    pub key_hash: u128,
    /// Hash of everything else the client asked for, to tell a repeat from a conflict.
    pub content_hash: u64,
    /// When the key is free again.
    pub until: Micros,
}

/// One lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct LeasedJob {
    /// The job.
    pub job: JobSeq,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// One finished job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct CompletedJob {
    /// The job.
    pub job: JobSeq,
    /// What the worker answered.
    pub result: Blob,
}

/// One lease made longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ExtendedJob {
    /// The job.
    pub job: JobSeq,
    /// New end of the lease, never before the old one.
    pub deadline: Micros,
    /// Replaces the progress when not empty.
    pub progress: Blob,
    /// Replaces the checkpoint when not empty.
    pub checkpoint: Blob,
}

/// What became of a failed job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum FailOutcome {
    /// It runs again, not before this time.
    Retrying(Micros),
    /// No attempts are left, or the worker said not to retry.
    Dead,
}

/// What a worker tried to do to a job that was not its own any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[repr(u8)]
pub enum Late {
    /// An ack.
    Ack = 0,
    /// A fail.
    Fail = 1,
    /// A heartbeat.
    Heartbeat = 2,
    /// A release.
    Release = 3,
}

/// What an operator asked for in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[repr(u8)]
pub enum Asked {
    /// To cancel the job.
    Cancel = 0,
    /// To delete the job.
    Delete = 1,
    /// To let it run anew.
    Retry = 2,
    /// To let it wait again.
    Requeue = 3,
    /// To hold it.
    Hold = 4,
    /// To let it go on.
    Approve = 5,
    /// To end it.
    Reject = 6,
    /// To put it into another queue.
    Move = 7,
    /// To change its tier.
    Prioritize = 8,
    /// To change its payload.
    Replace = 9,
    /// To let it go on with feedback.
    Revise = 10,
    /// To let it run anew though it has left memory.
    Revive = 11,
    /// To delete what is kept of it since it has left memory.
    DeleteArchived = 12,
    /// To let it count as one of another queue since it has left memory.
    MoveArchived = 13,
}

/// What becomes of a held job when nobody has decided in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[repr(u8)]
pub enum HoldEnd {
    /// It stays held: there is no such time.
    #[default]
    Stay = 0,
    /// It is approved.
    Approve = 1,
    /// It is cancelled.
    Cancel = 2,
}

impl HoldEnd {
    /// The outcome with this number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        [Self::Stay, Self::Approve, Self::Cancel].get(usize::from(number)).copied()
    }
}

/// What keys of a queue share equally, each by its weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[repr(u8)]
pub enum Sharing {
    /// Nothing: jobs are served in the order in which they came.
    #[default]
    None = 0,
    /// Jobs served.
    Jobs = 1,
    /// The time for which workers have their jobs.
    WorkerTime = 2,
}

impl Sharing {
    /// The one with this number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        [Self::None, Self::Jobs, Self::WorkerTime].get(usize::from(number)).copied()
    }
}

/// What limits the jobs that a queue hands out. By default, nothing; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct QueueSettings {
    /// Jobs that workers may have at a time.
    pub concurrency: u32,
    /// Jobs that may be given out within any window.
    pub rate: u32,
    /// Length of that window, in milliseconds.
    pub window_ms: u32,
    /// Jobs of one limit key that workers may have at a time.
    pub key_concurrency: u32,
    /// Jobs of one limit key that may be given out within any window of it.
    pub key_rate: u32,
    /// Length of that window, in milliseconds.
    pub key_window_ms: u32,
    /// What limit keys share.
    pub fair: Sharing,
}

/// Jobs with limit keys, which came into being with consecutive numbers.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct LimitedJobs {
    /// What they have in common.
    pub class: Class,
    /// Number of the first.
    pub first_job: JobSeq,
    /// The jobs.
    pub jobs: Vec<EnqueuedJob>,
    /// Idempotency keys they took.
    pub keys: Vec<KeyTaken>,
    /// The limit key of each job, not empty.
    pub limit_keys: Vec<String>,
}

/// A unique key taken by a job that was enqueued just before, in the same group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct UniqueKey {
    /// The job.
    pub job: JobSeq,
    /// Hash of queue and key.
    pub hash: u128,
    /// When the key is free again although the job has not ended.
    pub until: Micros,
    /// The key.
    pub key: Blob,
}

/// A job that keeps losing its workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct QuarantinedJob {
    /// The job.
    pub job: JobSeq,
    /// The attempt whose lease ran out.
    pub attempt: u32,
    /// Leases of it that ran out, this one included.
    pub lease_expiries: u32,
    /// Who had the last one.
    pub session: SessionId,
    /// What is said of it as its error.
    pub error: Blob,
    /// The failure before this one.
    pub previous: EventSeq,
}
