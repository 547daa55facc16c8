//! Jobs: to be enqueued, leased, looked up.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use jobbie_proto::agent::{AgentLimits, AgentState};
use jobbie_proto::event::{BackoffKind, HoldEnd};
use jobbie_proto::limits;
use jobbie_proto::reply::{AgentView, JobState};
use jobbie_proto::request::{Agent, Enqueue, Hold, JobRef, Plan, When};
use jobbie_proto::{BatchId, JobId, LeaseToken, Micros};

use crate::PlanInfo;

/// A job to be enqueued, with the server's defaults until told otherwise.
///
/// ```
/// use std::time::Duration;
/// use jobbie_client::NewJob;
///
/// let job = NewJob::new("mail", b"to: ann")
///     .delay(Duration::from_secs(60))
///     .attempts(5)
///     .key(b"welcome-ann", Duration::from_secs(3600));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewJob<'a>(
    pub(crate) Enqueue<'a>,
    pub(crate) Option<Hold<'a>>,
    pub(crate) Option<Plan<'a>>,
    pub(crate) Option<Agent<'a>>,
);

impl<'a> From<NewJob<'a>> for Enqueue<'a> {
    fn from(job: NewJob<'a>) -> Self {
        job.0
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl<'a> NewJob<'a> {
    /// A job for `queue` (1 to 255 bytes, no control characters) that gives its worker `payload` (at most 256 KiB).
    #[must_use]
    pub fn new(queue: &'a str, payload: &'a [u8]) -> Self {
        let enqueue = Enqueue {
            queue,
            payload,
            tags: b"",
            key: b"",
            key_ms: limits::KEY_MS_DEFAULT,
            unique: b"",
            unique_ms: limits::UNIQUE_MS_DEFAULT,
            limit_key: "",
            priority: limits::PRIORITY_DEFAULT,
            max_retries: limits::ATTEMPTS_DEFAULT,
            backoff: BackoffKind::Exponential,
            backoff_base_ms: limits::BACKOFF_BASE_MS_DEFAULT,
            backoff_cap_ms: limits::BACKOFF_CAP_MS_DEFAULT,
            expire_after_ms: 0,
            when: When::Now,
        };
        Self(enqueue, None, None, None)
    }

    /// Tier: 0 critical, 1 high, 2 normal (the default). A lower number always goes first.
    #[must_use]
    pub fn priority(mut self, tier: u8) -> Self {
        self.0.priority = tier;
        self
    }

    /// Total attempts, 3 by default; 0 and 1 both mean one.
    #[must_use]
    pub fn attempts(mut self, total: u32) -> Self {
        self.0.max_retries = total;
        self
    }

    /// How retries are delayed: exponential, 5 s, at most 10 min by default. A `cap` of zero is none.
    #[must_use]
    pub fn backoff(mut self, kind: BackoffKind, base: Duration, cap: Duration) -> Self {
        self.0.backoff = kind;
        self.0.backoff_base_ms = u32::try_from(ms(base)).unwrap_or(u32::MAX);
        self.0.backoff_cap_ms = u32::try_from(ms(cap)).unwrap_or(u32::MAX);
        self
    }

    /// Runs not before this has passed, rounded to milliseconds.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.0.when = When::DelayMs(ms(delay));
        self
    }

    /// Runs not before this time, by the server's clock.
    #[must_use]
    pub fn at(mut self, time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.0.when = When::At(Micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX)));
        self
    }

    /// Dies when not finished this long after its creation. Never by default.
    #[must_use]
    pub fn expire_after(mut self, time: Duration) -> Self {
        self.0.expire_after_ms = ms(time);
        self
    }

    /// Anything to find the job by (at most 16 KiB), opaque to the shard; the HTTP side expects a JSON object.
    #[must_use]
    pub fn tags(mut self, tags: &'a [u8]) -> Self {
        self.0.tags = tags;
        self
    }

    /// Idempotency key, 1 to 255 bytes: within `period`, another job with this key in this queue is not created.
    #[must_use]
    pub fn key(mut self, key: &'a [u8], period: Duration) -> Self {
        self.0.key = key;
        self.0.key_ms = ms(period);
        self
    }

    /// Unique key, 1 to 255 bytes: while a job of this queue with the same key has not ended, and at most for `period`,
    /// another is not created; [`Enqueued::duplicate`] then names that job.
    #[must_use]
    pub fn unique(mut self, key: &'a [u8], period: Duration) -> Self {
        self.0.unique = key;
        self.0.unique_ms = ms(period);
        self
    }

    /// Who it is for: a tenant, an account, a host (at most 255 bytes). The queue may limit the jobs of each and share
    /// fairly between them ([`crate::Client::configure`]).
    #[must_use]
    pub fn limit_key(mut self, key: &'a str) -> Self {
        self.0.limit_key = key;
        self
    }

    /// Waits for a human ([`crate::Client::approve`]) before it may run.
    #[must_use]
    pub fn hold(mut self, hold: Hold<'a>) -> Self {
        self.1 = Some(hold);
        self
    }

    /// Waits for events ([`crate::Client::append`]) instead of a worker. Has no time and no hold.
    #[must_use]
    pub fn plan(mut self, plan: Plan<'a>) -> Self {
        self.2 = Some(plan);
        self
    }

    /// Is worked on in iterations, each of which is acked ([`crate::Client::ack_iteration`]), within these limits. Has no
    /// plan.
    #[must_use]
    pub fn agent(mut self, limits: AgentLimits) -> Self {
        self.3 = Some(Agent { limits, checkpoint: b"", replayed: None });
        self
    }

    /// What the first iteration of an agent job finds (at most 1 MiB). Nothing for other jobs.
    #[must_use]
    pub fn checkpoint(mut self, checkpoint: &'a [u8]) -> Self {
        if let Some(agent) = &mut self.3 {
            agent.checkpoint = checkpoint;
        }
        self
    }
}

/// A job that is in the server's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// The job.
    pub id: JobId,
    /// It was there already: the idempotency key was taken by a job with the same content, or the unique key by a job
    /// that has not ended.
    pub duplicate: bool,
}

/// A job leased to this client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The job.
    pub id: JobId,
    /// The right to finish it; a later lease has a larger one.
    pub token: LeaseToken,
    /// When the lease ends, by the server's clock.
    pub deadline: Micros,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Total attempts allowed.
    pub max_retries: u32,
    /// Its queue.
    pub queue: Arc<str>,
    /// What was enqueued.
    pub payload: Bytes,
    /// Tags, as they were enqueued.
    pub tags: Bytes,
    /// What an earlier attempt left by its checkpoint; empty is none.
    pub checkpoint: Bytes,
    /// How far it is, if it is an agent job.
    pub agent: Option<AgentState>,
}

impl Job {
    /// The job and its lease, to finish it by.
    #[must_use]
    pub fn lease(&self) -> JobRef {
        JobRef { job: self.id, token: self.token }
    }
}

/// What the server knows of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobInfo {
    /// The job.
    pub id: JobId,
    /// State.
    pub state: JobState,
    /// Queue.
    pub queue: Arc<str>,
    /// Limit key; empty is none.
    pub limit_key: String,
    /// Tier, 0 first.
    pub priority: u8,
    /// Attempts begun.
    pub attempt: u32,
    /// Total attempts.
    pub max_retries: u32,
    /// How retries are delayed.
    pub backoff: BackoffKind,
    /// Delay unit, in milliseconds.
    pub backoff_base_ms: u32,
    /// Longest delay, in milliseconds; 0 is no cap.
    pub backoff_cap_ms: u32,
    /// The lease it is under; 0 when not active.
    pub token: LeaseToken,
    /// End of the lease (active) or time of the next step (scheduled, retrying, held, planned); 0 otherwise.
    pub due: Micros,
    /// When it dies unless finished; 0 is never.
    pub expire_at: Micros,
    /// When it became dead or cancelled; 0 otherwise.
    pub ended: Micros,
    /// Leases of it that ran out since it was enqueued or retried.
    pub lease_expiries: u32,
    /// What becomes of it at `due` while it is held.
    pub then: HoldEnd,
    /// Jobs that it waits for; while there are any it is scheduled, or held.
    pub waits_for: u32,
    /// The batch that counts it when it ends.
    pub batch: Option<BatchId>,
    /// What the work on it has cost, in micro-dollars.
    pub cost_micros: u64,
    /// How far it is, if it is an agent job.
    pub agent: Option<AgentView>,
    /// What its worker gets.
    pub payload: Bytes,
    /// Tags.
    pub tags: Bytes,
    /// Idempotency key.
    pub key: Bytes,
    /// Newest error.
    pub error: Bytes,
    /// Its backtrace.
    pub backtrace: Bytes,
    /// Newest progress.
    pub progress: Bytes,
    /// Newest checkpoint.
    pub checkpoint: Bytes,
    /// Why it was held last.
    pub hold_reason: Bytes,
    /// Who held it last.
    pub hold_by: String,
    /// Its plan, if it has one.
    pub plan: Option<PlanInfo>,
    /// The job it was enqueued for, if it names one.
    pub parent: Option<JobId>,
    /// The id it had on another shard before it was moved here.
    pub moved_from: Option<JobId>,
    /// The queue of another shard that it goes to when its worker gives it back; empty is none.
    pub moves_to: String,
}
