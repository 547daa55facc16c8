//! What a client can ask of a shard, decoded and borrowed from the frame that carried it.
//!
//! One request holds many operations of several kinds. They are done in the order of the fields below; the request
//! is done whole or not at all.

mod agents;
mod archive;
mod schedules;
mod ties;
mod usage;

use crate::event::{BackoffKind, HoldEnd, QueueSettings, Task};
use crate::plan::Need;
use crate::rules::RuleControl;
use crate::{EventSeq, JobId, JobSeq, LeaseToken, Micros, OperationId, SessionId};
pub use agents::{Agent, AgentAck, EnqueueAgent};
pub use archive::{ArchivedAction, ArchivedControl, Revive, RevivedAgent};
pub use schedules::{Definition, ScheduleAction, ScheduleControl, Schedules};
pub use ties::{BatchSeal, Chain, Depends, Members, Parents, Ties};
pub use usage::{ReportUsage, Usage, UsageQuery};

/// A batch of operations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// The session it belongs to, as the handshake gave it.
    pub session: SessionId,
    /// The client's number for it, rising from 1. A repeat of an answered number gets the first
    /// answer again and does nothing.
    pub number: u64,
    /// The client has the answers to all its requests below this number.
    pub confirmed_below: u64,
    /// New jobs.
    pub enqueues: Vec<Enqueue<'a>>,
    /// Those of them that wait for a human first, by rising position.
    pub holds: Vec<EnqueueHold<'a>>,
    /// Those of them that wait for events instead of a worker, by rising position.
    pub plans: Vec<EnqueuePlan<'a>>,
    /// Jobs finished.
    pub acks: Vec<Ack<'a>>,
    /// Jobs failed.
    pub fails: Vec<Fail<'a>>,
    /// Leases to make longer, with progress.
    pub heartbeats: Vec<Heartbeat<'a>>,
    /// Make every lease of the session at least this long from now, in milliseconds; 0 is no.
    pub extend_session_ms: u32,
    /// Leases to give back unworked.
    pub releases: Vec<JobRef>,
    /// Jobs to cancel.
    pub cancels: Vec<JobId>,
    /// Jobs to remove.
    pub deletes: Vec<JobId>,
    /// What else operators do with jobs.
    pub job_controls: Vec<JobControl<'a>>,
    /// Events for planned jobs.
    pub appends: Vec<Append<'a>>,
    /// Queues to pause or resume.
    pub queue_controls: Vec<QueueControl<'a>>,
    /// What is done to schedules.
    pub schedule_controls: Vec<ScheduleControl<'a>>,
    /// Work on many jobs to begin or to end; such a request asks for nothing else but lookups and statistics.
    pub operation: Option<Operate>,
    /// Jobs wanted.
    pub fetch: Option<Fetch<'a>>,
    /// Jobs to look up.
    pub lookups: Vec<JobId>,
    /// Which statistics are wanted.
    pub stats: Stats<'a>,
    /// What ties its jobs to others.
    pub ties: Ties<'a>,
    /// Events of which job are wanted.
    pub history: Option<History>,
    /// Which schedules are wanted.
    pub schedules: Schedules<'a>,
    /// Errors of which job are wanted.
    pub errors: Option<History>,
    /// Which workers are wanted.
    pub workers: Option<Workers<'a>>,
    /// Children of which job are wanted.
    pub children: Option<Children>,
    /// What the work on the jobs of `acks` used, by rising position.
    pub ack_usages: Vec<ReportUsage<'a>>,
    /// What the work on the jobs of `heartbeats` used since their last report, by rising position.
    pub heartbeat_usages: Vec<ReportUsage<'a>>,
    /// Those of `enqueues` that are agent jobs, by rising position.
    pub agents: Vec<EnqueueAgent<'a>>,
    /// What workers say of iterations with their acks, by rising position.
    pub agent_acks: Vec<AgentAck<'a>>,
    /// Iterations of which agent job are wanted.
    pub iterations: Option<History>,
    /// Which usage is wanted.
    pub usage: Option<UsageQuery<'a>>,
    /// What is done to budgets and approval policies; such a request does nothing else.
    pub rule_controls: Vec<RuleControl>,
    /// Which held jobs are wanted.
    pub held: Option<HeldJobs>,
    /// What is done to jobs that have left memory; such a request does nothing else.
    pub archived: Vec<ArchivedControl<'a>>,
}

impl Request<'_> {
    /// Whether there are questions in it.
    #[must_use]
    pub fn asks(&self) -> bool {
        !self.lookups.is_empty()
            || self.stats != Stats::None
            || self.history.is_some()
            || !self.ties.batch_lookups.is_empty()
            || self.schedules != Schedules::None
            || self.errors.is_some()
            || self.workers.is_some()
            || self.children.is_some()
            || self.usage.is_some()
            || self.iterations.is_some()
            || self.held.is_some()
    }

    /// Whether there is nothing in it but plain new jobs, what workers say of theirs, a fetch, and jobs to cancel or
    /// delete: most requests are so, and have to be asked this only instead of for each rarer thing.
    #[inline]
    #[must_use]
    pub fn is_everyday(&self) -> bool {
        // A new field has to be put on one side or the other.
        let Request {
            session: _,
            number: _,
            confirmed_below: _,
            enqueues: _,
            acks: _,
            fails: _,
            heartbeats: _,
            extend_session_ms: _,
            releases: _,
            cancels: _,
            deletes: _,
            fetch: _,
            holds,
            plans,
            job_controls,
            appends,
            queue_controls,
            schedule_controls,
            operation,
            lookups,
            stats,
            ties,
            history,
            schedules,
            errors,
            workers,
            children,
            ack_usages,
            heartbeat_usages,
            agents,
            agent_acks,
            iterations,
            usage,
            rule_controls,
            held,
            archived,
        } = self;
        let lists = holds.len() | plans.len() | job_controls.len() | appends.len();
        let lists = lists | queue_controls.len() | schedule_controls.len() | lookups.len();
        let lists = lists | ack_usages.len() | heartbeat_usages.len() | agents.len();
        let lists = lists | agent_acks.len() | rule_controls.len() | archived.len();
        lists == 0
            && ties.is_empty()
            && operation.is_none()
            && history.is_none()
            && matches!(stats, Stats::None)
            && matches!(schedules, Schedules::None)
            && errors.is_none()
            && workers.is_none()
            && children.is_none()
            && iterations.is_none()
            && usage.is_none()
            && held.is_none()
    }

    /// How many operations there are, of all kinds.
    #[must_use]
    pub fn count(&self) -> usize {
        self.operations().map(|(_, len)| len).into_iter().sum()
    }

    /// How many operations there are of each kind, by the name of their list.
    #[inline(always)]
    #[must_use]
    pub fn operations(&self) -> [(&'static str, usize); 29] {
        [
            ("enqueues", self.enqueues.len()),
            ("holds", self.holds.len()),
            ("plans", self.plans.len()),
            ("acks", self.acks.len()),
            ("fails", self.fails.len()),
            ("heartbeats", self.heartbeats.len()),
            ("releases", self.releases.len()),
            ("cancels", self.cancels.len()),
            ("deletes", self.deletes.len()),
            ("job_controls", self.job_controls.len()),
            ("appends", self.appends.len()),
            ("queue_controls", self.queue_controls.len()),
            ("schedule_controls", self.schedule_controls.len()),
            ("lookups", self.lookups.len()),
            ("batch_opens", self.ties.batch_opens.len()),
            ("batch_seals", self.ties.batch_seals.len()),
            ("members", self.ties.members.len()),
            ("parents", self.ties.parents.len()),
            ("chains", self.ties.chains.len()),
            ("steps", self.ties.chains.iter().map(|chain| chain.all().count()).sum()),
            ("depends", self.ties.depends.len()),
            ("exits", self.ties.exits.len()),
            ("batch_lookups", self.ties.batch_lookups.len()),
            ("agents", self.agents.len()),
            ("agent_acks", self.agent_acks.len()),
            ("ack_usages", self.ack_usages.len()),
            ("heartbeat_usages", self.heartbeat_usages.len()),
            ("rule_controls", self.rule_controls.len()),
            ("archived", self.archived.len()),
        ]
    }
}

/// A new job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueue<'a> {
    /// Queue.
    pub queue: &'a str,
    /// What the worker gets.
    pub payload: &'a [u8],
    /// Anything the client wants to find the job by; opaque here. Empty is none.
    pub tags: &'a [u8],
    /// Idempotency key; empty is none. See [`Enqueue::key_ms`].
    pub key: &'a [u8],
    /// How long the key is remembered, in milliseconds.
    pub key_ms: u64,
    /// Unique key; empty is none. While a job of the queue with the same key has not ended, no other is made: the
    /// answer names that one.
    pub unique: &'a [u8],
    /// How long the unique key is held at most, in milliseconds; 0 is the default.
    pub unique_ms: u64,
    /// Who it is for: a tenant, an account, a host. A queue may limit the jobs of each, and share fairly between them.
    /// Empty is nobody.
    pub limit_key: &'a str,
    /// Tier, 0 first.
    pub priority: u8,
    /// Total attempts; 0 and 1 both mean one.
    pub max_retries: u32,
    /// How retries are delayed.
    pub backoff: BackoffKind,
    /// Delay unit, in milliseconds.
    pub backoff_base_ms: u32,
    /// Longest delay, in milliseconds; 0 is no cap.
    pub backoff_cap_ms: u32,
    /// Dies when not finished this long after creation, in milliseconds; 0 is never.
    pub expire_after_ms: u64,
    /// Runs not before this; [`When::Now`] is at once.
    pub when: When,
}

impl Enqueue<'_> {
    /// Whether both jobs are of one [`Class`](crate::event::Class).
    #[must_use]
    pub fn shares_class(&self, other: &Enqueue<'_>) -> bool {
        // The jobs of a frame share their queue's name, which then need not be read.
        (std::ptr::eq(self.queue, other.queue) || self.queue == other.queue)
            && self.priority == other.priority
            && self.max_retries == other.max_retries
            && self.backoff == other.backoff
            && self.backoff_base_ms == other.backoff_base_ms
            && self.backoff_cap_ms == other.backoff_cap_ms
            && self.expire_after_ms == other.expire_after_ms
    }
}

/// When a job may run first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// At once.
    #[default]
    Now,
    /// This many milliseconds from now.
    DelayMs(u64),
    /// At this time, even if it is in the past.
    At(Micros),
}

/// A job and the right to touch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobRef {
    /// The job.
    pub job: JobId,
    /// The token of the lease; 0 does not check it.
    pub token: LeaseToken,
}

/// A job is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The job and its lease.
    pub job: JobRef,
    /// What came out of it.
    pub result: &'a [u8],
}

/// A job failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fail<'a> {
    /// The job and its lease.
    pub job: JobRef,
    /// Message.
    pub error: &'a [u8],
    /// Backtrace.
    pub backtrace: &'a [u8],
    /// Another attempt would fail too: the job is dead.
    pub no_retry: bool,
}

/// A job is being worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat<'a> {
    /// The job and its lease.
    pub job: JobRef,
    /// New lease length from now, in milliseconds; 0 is the length asked for at the fetch. Never shortens a lease.
    pub extend_ms: u32,
    /// Replaces the progress when not empty.
    pub progress: &'a [u8],
    /// Replaces the checkpoint when not empty.
    pub checkpoint: &'a [u8],
}

/// What a job waits for before it may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hold<'a> {
    /// Why, for people.
    pub reason: &'a [u8],
    /// Who says so.
    pub by: &'a str,
    /// When `then` happens if nobody has decided, in milliseconds from now; 0 with [`HoldEnd::Stay`] only.
    pub timeout_ms: u64,
    /// What happens then.
    pub then: HoldEnd,
}

/// A new job that waits for a human first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnqueueHold<'a> {
    /// Its position in [`Request::enqueues`].
    pub enqueue: u32,
    /// What it waits for.
    pub hold: Hold<'a>,
}

/// What a new job waits for instead of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan<'a> {
    /// Everything required must have come this long from now, in milliseconds; 0 is whenever.
    pub deadline_ms: u64,
    /// What is expected, each name once and at least one required.
    pub kinds: &'a [Expected<'a>],
}

/// A kind of events that a plan expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected<'a> {
    /// Its name.
    pub name: &'a str,
    /// What they are to the plan.
    pub need: Need,
    /// How many, at least 1.
    pub count: u16,
    /// They must have come this long from now, in milliseconds; 0 is whenever. Of required ones only.
    pub deadline_ms: u64,
}

/// A new job that waits for events instead of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnqueuePlan<'a> {
    /// Its position in [`Request::enqueues`].
    pub enqueue: u32,
    /// See [`Plan::deadline_ms`].
    pub deadline_ms: u64,
    /// See [`Plan::kinds`].
    pub kinds: Vec<Expected<'a>>,
}

/// An event for a planned job. A repeat of the same `id` changes nothing, whatever else differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Append<'a> {
    /// The job.
    pub job: JobId,
    /// What tells it from all other events of the job.
    pub id: &'a [u8],
    /// Name of its kind.
    pub kind: &'a str,
    /// What it says.
    pub data: &'a [u8],
    /// Which way it came, for people; what comes of it does not depend on it.
    pub source: &'a str,
    /// To find it in other systems; nothing depends on it.
    pub trace: &'a str,
}

/// The events recorded for a job, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The job.
    pub job: JobId,
    /// Where to go on: what the oldest event told so far names as the one before it; 0 is the newest.
    pub from: EventSeq,
    /// At most this many.
    pub count: u32,
}

/// Jobs in the shard's memory that name a job as their parent, in the order in which they came there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Children {
    /// The job, of any shard; it need not exist.
    pub parent: JobId,
    /// Where to go on: the last child told so far; 0 is the first.
    pub after: JobSeq,
    /// At most this many.
    pub count: u32,
}

/// Held jobs of the shard, in the order in which they came there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldJobs {
    /// Where to go on: the last one told so far; 0 is the first.
    pub after: JobSeq,
    /// At most this many, 1 to [`HELD_COUNT_MAX`](crate::limits::HELD_COUNT_MAX).
    pub count: u32,
}

/// Something done to a job by an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobControl<'a> {
    /// The job.
    pub job: JobId,
    /// What is done.
    pub action: JobAction<'a>,
}

/// What can be done to a job, beside cancelling and deleting it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobAction<'a> {
    /// Scheduled, dead or cancelled: it waits now, with all its attempts before it.
    Retry,
    /// Dead: it waits again, its attempts still count.
    Requeue,
    /// Pending, scheduled, active or retrying: it waits for a human. A worker that has it is told.
    Hold(Hold<'a>),
    /// Held: it may go on.
    Approve {
        /// For people.
        note: &'a [u8],
        /// Who says so.
        by: &'a str,
    },
    /// Held: it is dead.
    Reject {
        /// Why, for people.
        reason: &'a [u8],
        /// Who says so.
        by: &'a str,
    },
    /// Held agent job: it goes on, with this checkpoint.
    Revise {
        /// The checkpoint, with the feedback in it.
        checkpoint: &'a [u8],
        /// What the human said.
        feedback: &'a [u8],
        /// Who says so.
        by: &'a str,
        /// The event with the checkpoint that is replaced, 0 is none: if there is another, nothing is done.
        replaces: EventSeq,
    },
    /// It goes to another queue, in any state; a worker that has it keeps it.
    Move {
        /// The queue.
        queue: &'a str,
    },
    /// Pending or scheduled: it gets another tier.
    Prioritize {
        /// The tier, 0 first.
        priority: u8,
    },
    /// Pending, scheduled, retrying or held: it gets another payload.
    Replace {
        /// The payload.
        payload: &'a [u8],
    },
}

/// Something done to a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueControl<'a> {
    /// Queue; it comes into being if it does not exist.
    pub queue: &'a str,
    /// What is done.
    pub action: QueueAction<'a>,
}

/// What can be done to a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueAction<'a> {
    /// It hands out no jobs.
    Pause,
    /// It hands out jobs again.
    Resume,
    /// As [`QueueAction::Pause`]; it is drained when none of its jobs is active any more.
    Drain,
    /// It gets these limits, all at once. Nothing that runs is interrupted.
    Configure(QueueSettings),
    /// A limit key gets another share, from its next job on.
    Weigh {
        /// The key.
        key: &'a str,
        /// Its share, 1 to 1000; 1 unless told otherwise.
        weight: u16,
    },
}

/// Work on many jobs, which goes on in the background.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operate {
    /// It begins.
    Start {
        /// What is done.
        task: Task,
        /// To which jobs, if it is not to those that match the task's filter.
        jobs: Vec<JobId>,
    },
    /// It ends, wherever it is; what it did remains.
    Cancel {
        /// Which.
        operation: OperationId,
    },
}

/// Jobs wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch<'a> {
    /// Queues, tried strictly in this order.
    pub queues: Vec<&'a str>,
    /// At most this many jobs.
    pub count: u32,
    /// Lease length, in milliseconds.
    pub lease_ms: u32,
    /// How long to wait when there is none, in milliseconds; 0 answers at once.
    pub wait_ms: u32,
    /// Worker name when it differs from the session's; empty otherwise.
    pub worker: &'a str,
}

/// Which statistics are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stats<'a> {
    /// None.
    #[default]
    None,
    /// Of the shard as a whole.
    Shard,
    /// Of one queue.
    Queue(&'a str),
    /// Of every queue whose name begins so and comes after `after`, and of the shard; in order of
    /// name, at most as many as fit a frame.
    Queues {
        /// Beginning of the name.
        prefix: &'a str,
        /// Continue after this name; empty starts.
        after: &'a str,
    },
    /// Of every operation that runs, and of those that ended last.
    Operations,
    /// Of the budgets and approval policies whose home the shard is.
    Rules,
}

/// Which workers are wanted: those that come after one, by session and name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workers<'a> {
    /// Continue after this session; 0 starts.
    pub after_session: SessionId,
    /// And this name in it.
    pub after_worker: &'a str,
    /// At most this many, 1 to [`WORKERS_PER_ANSWER_MAX`](crate::limits::WORKERS_PER_ANSWER_MAX).
    pub count: u32,
}
