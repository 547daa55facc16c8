//! What a shard answers. Everything here is small and owned, so that a session can keep its answers;
//! payloads are read from the log when the answer is written to the wire.

use rkyv::{Archive, Deserialize, Serialize};

use crate::agent::{AgentLimits, AgentState};
use crate::event::{Class, HoldEnd, Missed, QueueSettings, Task};
use crate::plan::{Effect, Need, PlanStatus};
use crate::rules::{Budget, OnExceed, Policy};
use crate::usage::Amounts;
use crate::{BatchId, Code, EventSeq, JobId, JobSeq, LeaseToken, Micros, OperationId, SessionId};

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
    /// One element per schedule control.
    pub schedule_controls: Vec<ScheduleDone>,
    /// Jobs leased by the fetch.
    pub leases: Vec<Lease>,
    /// Batches opened.
    pub batches: Vec<BatchId>,
    /// One element per batch to seal.
    pub batch_seals: Vec<Code>,
    /// One element per appended event.
    pub appended: Vec<Appended>,
    /// What became of the operation that was to begin or to end.
    pub operated: Option<Operated>,
    /// How far those of `leases` are that are agent jobs, by rising position.
    pub agents: Vec<LeasedAgent>,
    /// One element per rule control.
    pub rule_controls: Vec<RuleDone>,
}

/// How far a leased agent job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct LeasedAgent {
    /// Its position in [`Reply::leases`].
    pub lease: u32,
    /// How far it is.
    pub state: AgentState,
}

/// What became of a rule control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct RuleDone {
    /// `Ok`, or `NotFound` for a policy that is not there.
    pub code: Code,
    /// The number of the budget or policy; 0 is none.
    pub id: EventSeq,
}

/// A budget as its home knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetView {
    /// Its number.
    pub id: EventSeq,
    /// What it says.
    pub budget: Budget,
    /// When it was made.
    pub created: Micros,
    /// What was spent on the day of the newest log time, in millionths of a dollar. Of jobs of other shards, as far as they have
    /// reported.
    pub spent: u64,
    /// Whether as much was spent today as may be.
    pub exceeded: bool,
}

/// An approval policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyView {
    /// Its number.
    pub id: EventSeq,
    /// What it says.
    pub policy: Policy,
    /// When it was made.
    pub created: Micros,
}

/// What became of an appended event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Appended {
    /// What it did; its code is [`Effect::code`].
    pub effect: Effect,
    /// How far the plan is then; `None` when the job has none or is not in memory.
    pub status: Option<PlanStatus>,
    /// Its record.
    pub event: EventSeq,
}

/// What became of an operation that was to begin or to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Operated {
    /// `Ok`, or why nothing changed.
    pub code: Code,
    /// The operation.
    pub operation: OperationId,
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

/// What became of a schedule control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ScheduleDone {
    /// `Ok`, or `Duplicate` when the job that was asked for is there already.
    pub code: Code,
    /// The next planned time; 0 is never, or not before it is resumed.
    pub next: Micros,
    /// The job that was asked for; 0 is none.
    pub job: JobSeq,
    /// When it was created, in milliseconds since the epoch.
    pub created_ms: u64,
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
    /// The event with its payload and tags: the one that made it, or that defined the schedule which did.
    pub record: EventSeq,
    /// The event with its newest checkpoint; 0 is none.
    pub checkpoint: EventSeq,
    /// The event that put it into its queue last; 0 is the one that made it.
    pub placed: EventSeq,
    /// The event with its newest payload; 0 is `record`.
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
    /// Waits for the events of its plan.
    Planned = 8,
    /// Went to a queue of another shard, or is on its way there: this id only says where.
    Moved = 9,
}

/// How many states there are.
pub const JOB_STATES: usize = JobState::ALL.len();

impl JobState {
    /// Every state, by number.
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::Scheduled,
        Self::Active,
        Self::Retrying,
        Self::Held,
        Self::Completed,
        Self::Dead,
        Self::Cancelled,
        Self::Planned,
        Self::Moved,
    ];

    /// Those of jobs that are here: all but [`JobState::Moved`].
    pub const HERE: [Self; 9] = [
        Self::Pending,
        Self::Scheduled,
        Self::Active,
        Self::Retrying,
        Self::Held,
        Self::Completed,
        Self::Dead,
        Self::Cancelled,
        Self::Planned,
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
            Self::Planned => "planned",
            Self::Moved => "moved",
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
    /// The event with payload, tags and key: the one that made it, or that defined the schedule which did.
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
    /// Jobs that it waits for.
    pub waits_for: u32,
    /// The batch in which it counts when it ends.
    pub batch: Option<BatchId>,
    /// Its plan, if it has one.
    pub plan: Option<Box<PlanView>>,
    /// What the work on it has cost, in micro-dollars.
    pub cost_micros: u64,
    /// How far it is, if it is an agent job.
    pub agent: Option<AgentView>,
    /// What it has to do with other jobs and other shards.
    pub kin: KinView,
}

/// What the state knows of where a job came from and where it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KinView {
    /// The job it was enqueued for, if it names one.
    pub parent: Option<JobId>,
    /// The id it had on another shard before it was moved here.
    pub moved_from: Option<JobId>,
    /// The queue of another shard that it goes to, or went to; empty is none.
    pub moves_to: String,
    /// The id it has there, once it has arrived.
    pub moved_to: Option<JobId>,
}

/// A job that names another as its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// The job.
    pub job: JobId,
    /// Its state.
    pub state: JobState,
}

/// Everything the state knows of an agent job beside what any job has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentView {
    /// The iteration that is worked on, or is next, from 1.
    pub iteration: u32,
    /// What limits it.
    pub limits: AgentLimits,
    /// The newest record of an iteration; 0 is none.
    pub newest: EventSeq,
    /// The event with its checkpoint; 0 is none.
    pub checkpoint: EventSeq,
}

/// Everything the state knows of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanView {
    /// How far it is.
    pub status: PlanStatus,
    /// The event with the names of its kinds.
    pub record: EventSeq,
    /// The newest event recorded for the job; 0 is none.
    pub newest: EventSeq,
    /// How many were recorded for it.
    pub events: u32,
    /// When everything required must have come; 0 is whenever.
    pub deadline: Micros,
    /// Its kinds, in the order in which they were given.
    pub kinds: Vec<KindView>,
}

/// What the state knows of a kind of events that a plan expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindView {
    /// What they are to the plan.
    pub need: Need,
    /// How many are expected.
    pub count: u16,
    /// How many of those have come.
    pub seen: u16,
    /// When they must have come; 0 is whenever.
    pub deadline: Micros,
}

/// Everything the state knows of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleView {
    /// Its name.
    pub name: String,
    /// Its queue, and what its jobs have in common.
    pub class: Class,
    /// Limit key of its jobs; empty is none.
    pub limit_key: String,
    /// When it fires, as it was written.
    pub expression: String,
    /// By the clock of this time zone.
    pub zone: String,
    /// What becomes of planned times that are missed.
    pub missed: Missed,
    /// Unique key of its jobs; empty is one of its own for each planned time.
    pub unique: Vec<u8>,
    /// How long the unique key is held at most, in milliseconds; 0 is the default.
    pub unique_ms: u64,
    /// Whether it is paused.
    pub paused: bool,
    /// The next planned time; 0 is never, or not before it is resumed.
    pub next: Micros,
    /// The planned time that was run last; 0 is none.
    pub last_planned: Micros,
    /// The job of its last run, by plan or on demand.
    pub last_job: Option<JobId>,
    /// Jobs it has made.
    pub fired: u64,
    /// Planned times that made no job: missed, passed while it was paused, or with their unique key taken.
    pub skipped: u64,
    /// The event with its payload and tags.
    pub defined: EventSeq,
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
    pub jobs: [u64; JOB_STATES],
    /// Jobs ever enqueued.
    pub enqueued_total: u64,
    /// What the strictest budget of all jobs or of the queue does that has no money left.
    pub exceeded: Option<OnExceed>,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[repr(u8)]
pub enum OperationStatus {
    /// It goes on.
    #[default]
    Running = 0,
    /// It has looked at every job that was meant.
    Done = 1,
    /// Somebody ended it before.
    Cancelled = 2,
}

impl OperationStatus {
    /// The status with this number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        [Self::Running, Self::Done, Self::Cancelled].get(usize::from(number)).copied()
    }

    /// The status's name on every surface.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An operation and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationView {
    /// Which.
    pub id: OperationId,
    /// What it does, without the texts for people.
    pub task: Task,
    /// How far it is.
    pub status: OperationStatus,
    /// Jobs that it named; 0 when it has a filter.
    pub jobs: u32,
    /// At most about so many jobs were meant when it began.
    pub estimate: u64,
    /// Jobs looked at.
    pub looked_at: u64,
    /// Jobs that it applied to, or would have as a dry run.
    pub applied: u64,
    /// Jobs that were meant, but were in a state in which that is not done, or not there.
    pub skipped: u64,
    /// When it began.
    pub started: Micros,
    /// When it was over; 0 while it runs.
    pub ended: Micros,
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

/// What was used in a time, in sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageSum {
    /// The queue, model or provider; empty when all are summed up, or when it was not said.
    pub name: String,
    /// Reports.
    pub reports: u64,
    /// What they add up to.
    pub amounts: Amounts,
}

/// What is known of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchView {
    /// Its members, once it is sealed.
    pub total: Option<u64>,
    /// Members completed.
    pub succeeded: u64,
    /// Members that ended otherwise.
    pub failed: u64,
    /// When the last of them ended; 0 before.
    pub ended: Micros,
    /// Whether its callback is made, or about to be.
    pub called_back: bool,
}

/// A worker that was seen not long ago.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerView {
    /// Its session.
    pub session: SessionId,
    /// Its name: that of its fetch or subscription, or that of its session.
    pub name: String,
    /// Name of its machine.
    pub host: String,
    /// The first of the queues that it asked for last, at most
    /// [`WORKER_QUEUES_MAX`](crate::limits::WORKER_QUEUES_MAX).
    pub queues: Vec<String>,
    /// How many queues it asked for.
    pub queues_asked: u32,
    /// When it was seen first.
    pub started: Micros,
    /// When it was seen last, to [`WORKER_SEEN_MS`](crate::limits::WORKER_SEEN_MS).
    pub last_seen: Micros,
    /// Live leases of its session.
    pub leases: u32,
}
