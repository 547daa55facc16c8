//! What happened: the events of which the log is made and from which every state follows.
//!
//! An event is a fact, never a request: it says that a job *was* leased until a time as a given attempt, so that
//! whoever reads it repeats no decision. rkyv has no schema evolution, so what was shipped stays as it is: kinds of
//! events are only added, behind the others and no larger than they are, and an entry says the version that its
//! newest kind needs ([`Event::version`]).
//!
//! Variable-length data (payloads, results, errors) is not in the events but in the *blob* of the
//! entry that holds them; events refer to it by [`Blob`]. [`codec`] has the bytes.

#![expect(missing_docs, reason = "rkyv's derive makes an undocumented helper field of `Event`")]

pub mod codec;

use rkyv::{Archive, Deserialize, Serialize};

use crate::{Code, EventSeq, JobSeq, LeaseToken, Micros, SessionId};

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
    /// When the range is outside the blob; [`codec::decode`] has checked it.
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

/// An idempotency key taken by a job of the same [`Event::Enqueued`].
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

/// A fact. Lists name jobs in the order in which things happened; each element has an event
/// sequence number of its own ([`Event::count`]).
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Event {
    /// A client opened a session; its id is this event's number.
    SessionOpened {
        /// Chosen by the client at random, so that a repeated opening finds the same session.
        client: u128,
        /// Worker name.
        name: Blob,
        /// Host name.
        host: Blob,
    },
    /// A session ended. Leases it held are given back by [`Event::Released`] beforehand.
    SessionClosed {
        /// The session.
        session: SessionId,
    },
    /// Jobs came into being, with consecutive numbers.
    Enqueued {
        /// What they have in common.
        class: Class,
        /// Number of the first.
        first_job: JobSeq,
        /// The jobs.
        jobs: Vec<EnqueuedJob>,
        /// Keys they took.
        keys: Vec<KeyTaken>,
    },
    /// An enqueue found its idempotency key taken and made no job.
    Deduplicated {
        /// The job that has the key.
        job: JobSeq,
        /// When that job was created, in milliseconds since the epoch.
        created_ms: u64,
        /// [`Code::Duplicate`] or [`Code::Conflict`].
        code: Code,
    },
    /// Waiting jobs were given to a worker. Each lease's token is its event number.
    Leased {
        /// Whose leases they are.
        session: SessionId,
        /// Worker name when it differs from the session's.
        worker: Blob,
        /// When the leases end.
        deadline: Micros,
        /// Length asked for, in milliseconds: what a heartbeat adds.
        lease_ms: u32,
        /// The jobs.
        jobs: Vec<LeasedJob>,
    },
    /// Active jobs were acked.
    Completed {
        /// The jobs.
        jobs: Vec<CompletedJob>,
    },
    /// An active job failed.
    Failed {
        /// The job.
        job: JobSeq,
        /// The attempt that failed.
        attempt: u32,
        /// What became of it.
        outcome: FailOutcome,
        /// Message.
        error: Blob,
        /// Backtrace.
        backtrace: Blob,
        /// The failure before this one, so that errors form a chain from the newest to the oldest.
        previous: EventSeq,
    },
    /// Leases were made longer.
    Extended {
        /// The jobs.
        jobs: Vec<ExtendedJob>,
    },
    /// Every lease of a session was made longer at once.
    SessionExtended {
        /// The session.
        session: SessionId,
        /// The new end; leases that end later keep theirs.
        deadline: Micros,
    },
    /// Active jobs were given back unworked: back to waiting, at the back of their tier, the attempt not counted.
    Released {
        /// The jobs.
        jobs: Vec<JobSeq>,
    },
    /// Leases ran out: the jobs wait again, at the back of their tier.
    LeaseExpired {
        /// The jobs.
        jobs: Vec<JobSeq>,
    },
    /// Scheduled or retrying jobs became due: they wait now, at the back of their tier.
    Promoted {
        /// The jobs.
        jobs: Vec<JobSeq>,
    },
    /// Jobs were not finished in time: they are dead.
    Expired {
        /// The jobs.
        jobs: Vec<JobSeq>,
    },
    /// Jobs were cancelled.
    Cancelled {
        /// The jobs.
        jobs: Vec<JobSeq>,
    },
    /// Jobs were removed.
    Deleted {
        /// The jobs.
        jobs: Vec<JobSeq>,
    },
    /// A queue hands out no jobs from now on.
    QueuePaused {
        /// The queue.
        queue: String,
    },
    /// A queue hands out jobs again.
    QueueResumed {
        /// The queue.
        queue: String,
    },
    /// A worker came too late. Nothing changed.
    Ignored {
        /// The job it named.
        job: JobSeq,
        /// The token it gave.
        token: LeaseToken,
        /// What it tried.
        late: Late,
        /// Why it had no effect.
        code: Code,
    },
    /// An operator asked for something that the job's state does not allow. Nothing changed.
    Refused {
        /// The job named.
        job: JobSeq,
        /// What was asked.
        asked: Asked,
        /// Why it had no effect.
        code: Code,
    },

    // Version 2 from here on. A kind must not need more room than those of version 1.
    /// Jobs took unique keys: another with the same key is not made before they have ended.
    UniqueTaken {
        /// The jobs, which were enqueued just before.
        jobs: Vec<UniqueKey>,
    },
    /// Leases ran out once too often: the jobs are dead.
    Quarantined {
        /// The jobs.
        jobs: Vec<QuarantinedJob>,
    },
    /// Scheduled, dead or cancelled jobs wait now, with all their attempts before them.
    Retried {
        /// The jobs.
        jobs: Vec<JobSeq>,
    },
    /// Dead jobs wait again; the attempts made still count.
    Requeued {
        /// The jobs.
        jobs: Vec<JobSeq>,
    },
    /// A job waits for a human.
    Held {
        /// The job.
        job: JobSeq,
        /// When `then` happens by itself; 0 is never.
        until: Micros,
        /// What happens then.
        then: HoldEnd,
        /// Why.
        reason: Blob,
        /// Who said so.
        by: Blob,
    },
    /// A held job may go on: it waits, at the back of its tier.
    Approved {
        /// The job.
        job: JobSeq,
        /// What the human said.
        note: Blob,
        /// Who; nobody when its time was over.
        by: Blob,
    },
    /// A held job may not go on: it is dead.
    Rejected {
        /// The job.
        job: JobSeq,
        /// Why.
        reason: Blob,
        /// Who said so.
        by: Blob,
        /// The failure before this one.
        previous: EventSeq,
    },
    /// A job went to another queue of the shard, whatever its state; if it waits, to the back of its tier.
    Moved {
        /// The job.
        job: JobSeq,
        /// The queue.
        queue: String,
    },
    /// Jobs got another tier; those that wait are at its back.
    Prioritized {
        /// The jobs.
        jobs: Vec<JobSeq>,
        /// The tier.
        priority: u8,
    },
    /// A job got another payload.
    Replaced {
        /// The job.
        job: JobSeq,
        /// The payload.
        payload: Blob,
    },
    /// Dead and cancelled jobs were kept long enough: they are forgotten.
    Purged {
        /// The jobs.
        jobs: Vec<JobSeq>,
    },
    /// Jobs with limit keys came into being; otherwise as [`Event::Enqueued`].
    Limited(Box<LimitedJobs>),
    /// A queue got other limits.
    QueueConfigured {
        /// The queue.
        queue: String,
        /// All of them.
        settings: QueueSettings,
    },
    /// A queue hands out no jobs from now on, as when it is paused; whoever did that waits for its active ones.
    QueueDrained {
        /// The queue.
        queue: String,
    },
    /// A limit key of a queue got another share.
    KeyWeighed {
        /// The queue.
        queue: String,
        /// The key.
        key: String,
        /// Its share; 1 unless told otherwise.
        weight: u16,
    },
    /// The windows of queues, or of limit keys in them, have room again.
    LimitsOpened {
        /// The queues.
        queues: Vec<String>,
    },
}

/// Events lie next to each other in their group, all as large as the largest: one that is larger than those of
/// version 1 would change the bytes of every other.
const _: () = assert!(size_of::<ArchivedEvent>() == 55);

impl Event {
    /// How many event sequence numbers this record takes.
    #[must_use]
    pub fn count(&self) -> u64 {
        let n = match self {
            Event::Enqueued { jobs, .. } => jobs.len(),
            Event::Leased { jobs, .. } => jobs.len(),
            Event::Completed { jobs } => jobs.len(),
            Event::Extended { jobs } => jobs.len(),
            Event::Released { jobs }
            | Event::LeaseExpired { jobs }
            | Event::Promoted { jobs }
            | Event::Expired { jobs }
            | Event::Cancelled { jobs }
            | Event::Deleted { jobs }
            | Event::Retried { jobs }
            | Event::Requeued { jobs }
            | Event::Prioritized { jobs, .. }
            | Event::Purged { jobs } => jobs.len(),
            Event::UniqueTaken { jobs } => jobs.len(),
            Event::Quarantined { jobs } => jobs.len(),
            Event::Limited(limited) => limited.jobs.len(),
            Event::LimitsOpened { queues } => queues.len(),
            Event::SessionOpened { .. }
            | Event::SessionClosed { .. }
            | Event::Deduplicated { .. }
            | Event::Failed { .. }
            | Event::SessionExtended { .. }
            | Event::QueuePaused { .. }
            | Event::QueueResumed { .. }
            | Event::Ignored { .. }
            | Event::Refused { .. }
            | Event::Held { .. }
            | Event::Approved { .. }
            | Event::Rejected { .. }
            | Event::Moved { .. }
            | Event::Replaced { .. }
            | Event::QueueConfigured { .. }
            | Event::QueueDrained { .. }
            | Event::KeyWeighed { .. } => 1,
        };
        n as u64
    }

    /// The oldest version of the records that has this kind of event.
    #[must_use]
    pub fn version(&self) -> u16 {
        match self {
            Event::SessionOpened { .. }
            | Event::SessionClosed { .. }
            | Event::Enqueued { .. }
            | Event::Deduplicated { .. }
            | Event::Leased { .. }
            | Event::Completed { .. }
            | Event::Failed { .. }
            | Event::Extended { .. }
            | Event::SessionExtended { .. }
            | Event::Released { .. }
            | Event::LeaseExpired { .. }
            | Event::Promoted { .. }
            | Event::Expired { .. }
            | Event::Cancelled { .. }
            | Event::Deleted { .. }
            | Event::QueuePaused { .. }
            | Event::QueueResumed { .. }
            | Event::Ignored { .. } => 1,
            Event::Refused { asked: Asked::Cancel | Asked::Delete, .. } => 1,
            Event::Refused { .. }
            | Event::UniqueTaken { .. }
            | Event::Quarantined { .. }
            | Event::Retried { .. }
            | Event::Requeued { .. }
            | Event::Held { .. }
            | Event::Approved { .. }
            | Event::Rejected { .. }
            | Event::Moved { .. }
            | Event::Prioritized { .. }
            | Event::Replaced { .. }
            | Event::Purged { .. }
            | Event::Limited(_)
            | Event::QueueConfigured { .. }
            | Event::QueueDrained { .. }
            | Event::KeyWeighed { .. }
            | Event::LimitsOpened { .. } => 2,
        }
    }
}

/// Everything one request did, or everything one turn of the timers did.
///
/// The answer to a request follows from its group alone: that is how a repeated request gets the
/// first answer again, on any replica.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Group {
    /// Who asked; 0 is the server.
    pub session: SessionId,
    /// The client's number for the request.
    pub number: u64,
    /// The client has seen the answers to all its requests below this number.
    pub confirmed_below: u64,
    /// What happened, in order.
    pub events: Vec<Event>,
}

impl Group {
    /// How many event sequence numbers the group takes.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.events.iter().map(Event::count).sum()
    }
}
