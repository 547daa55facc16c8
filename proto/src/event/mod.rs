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

mod agents;
mod archive;
pub mod codec;
mod operations;
mod parts;
mod plans;
mod rules;
mod schedules;
mod ties;
mod usage;
mod workers;

pub use agents::{EnqueuedAgent, Iteration, Replayed, RevisedJob};
pub use archive::{ArchivedJob, RevivedJob};
pub use operations::{BulkAction, JobFilter, StartedOperation, Task};
pub use parts::{
    Asked, BackoffKind, Blob, Class, CompletedJob, EnqueuedJob, ExtendedJob, FailOutcome, HoldEnd,
    KeyTaken, Late, LeasedJob, LimitedJobs, QuarantinedJob, QueueSettings, Sharing, UniqueKey,
};
pub use plans::{AppendedEvent, ExpectedKind, PlannedJob};
use rkyv::{Archive, Deserialize, Serialize};
pub use rules::{Excess, OverrunAt, Rule, TaggedJob};
pub use schedules::{Missed, SetSchedule};
pub use ties::{
    ArrivedJob, ChainedJob, Fate, NextStep, ON_EXIT, ON_FAILURE, Parcel, Standing, Step, Tie,
};
pub use usage::ReportedUsage;
pub use workers::{SeenWorker, WorkerAsks, WorkerKey};

use crate::{Code, EventSeq, JobSeq, LeaseToken, Micros, OperationId, SessionId};

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
    /// A job went to another queue, whatever its state; if it waits, to the back of its tier. If that is a queue of another shard,
    /// it leaves its own now, or, when a worker has it, as soon as that gives it back.
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
    /// Something about what ties jobs together.
    Tied(Box<Tie>),
    /// A job waits for events that other systems append, and no worker gets it.
    Planned(Box<PlannedJob>),
    /// Another system appended an event to a job.
    Appended(Box<AppendedEvent>),
    /// What plans require did not come in time: the jobs are dead.
    PlanTimedOut {
        /// The jobs.
        jobs: Vec<JobSeq>,
    },
    /// A schedule was made, or one of that name got another definition.
    ScheduleSet(Box<SetSchedule>),
    /// A schedule makes no jobs from now on.
    SchedulePaused {
        /// Its queue.
        queue: String,
        /// Its name there.
        name: String,
    },
    /// A schedule makes jobs again.
    ScheduleResumed {
        /// Its queue.
        queue: String,
        /// Its name there.
        name: String,
        /// The next planned time; 0 is never.
        next: Micros,
        /// Planned times that passed while it was paused, counted up to
        /// [`SCHEDULE_SKIPPED_MAX`](crate::limits::SCHEDULE_SKIPPED_MAX).
        skipped: u32,
    },
    /// A schedule was removed. The jobs it has made stay.
    ScheduleDeleted {
        /// Its queue.
        queue: String,
        /// Its name there.
        name: String,
    },
    /// A schedule made a job, with the payload and tags of the event that defined it, or would have.
    ScheduleFired {
        /// Its queue.
        queue: String,
        /// Its name there.
        name: String,
        /// The time it was planned for; 0 when somebody asked for it.
        planned: Micros,
        /// The next planned time; 0 is never.
        next: Micros,
        /// Planned times before this one that were not run, counted as in [`Event::ScheduleResumed`].
        skipped: u32,
        /// The event that defined it: an [`Event::ScheduleSet`].
        defined: EventSeq,
        /// The job.
        job: JobSeq,
        /// The job was there already: it has the unique key, and no other was made.
        duplicate: bool,
    },
    /// A schedule came too late for its planned times, and does not run those it has missed.
    ScheduleSkipped {
        /// Its queue.
        queue: String,
        /// Its name there.
        name: String,
        /// The next planned time; 0 is never.
        next: Micros,
        /// Planned times that were not run, counted as in [`Event::ScheduleResumed`].
        skipped: u32,
    },
    /// Work on many jobs began; its id is this event's number.
    OperationStarted(Box<StartedOperation>),
    /// An operation came further. What it did stands before this in the group.
    OperationAdvanced {
        /// The operation.
        operation: OperationId,
        /// Where it goes on: a job's number, or a place in the list of the jobs that it names.
        cursor: u64,
        /// Jobs looked at since it advanced last.
        looked_at: u32,
        /// Those of them that it applied to.
        applied: u32,
        /// Those of them that were meant, but are in a state in which that is not done.
        skipped: u32,
    },
    /// An operation is over.
    OperationEnded {
        /// The operation.
        operation: OperationId,
        /// Whether somebody ended it before it was done.
        cancelled: bool,
    },
    /// Somebody wanted to end an operation that does not run. Nothing changed.
    OperationRefused {
        /// The operation named.
        operation: OperationId,
        /// Why it had no effect.
        code: Code,
    },
    /// A worker asked for jobs, or showed that it lives. Noted now and then, not each time.
    WorkerSeen(Box<SeenWorker>),
    /// Workers were silent for long, or had to make room for another.
    WorkersForgotten {
        /// The workers.
        workers: Vec<WorkerKey>,
    },
    /// Work on a job used tokens or money.
    UsageReported(Box<ReportedUsage>),
    /// A job is worked on in iterations.
    AgentEnqueued(Box<EnqueuedAgent>),
    /// An iteration of an agent job is over.
    Iterated(Box<Iteration>),
    /// A held agent job goes on with feedback.
    Revised(Box<RevisedJob>),
    /// Something about budgets and approval policies.
    Ruled(Box<Rule>),
    /// Something about a job that was completed and had left memory.
    Archived(Box<ArchivedJob>),
}

/// Events lie next to each other in their group, all as large as the largest: one that is larger than those of
/// version 1 would change the bytes of every other.
const _: () = assert!(size_of::<ArchivedEvent>() == 55);

impl From<Tie> for Event {
    fn from(tie: Tie) -> Self {
        Event::Tied(Box::new(tie))
    }
}

impl From<Rule> for Event {
    fn from(rule: Rule) -> Self {
        Event::Ruled(Box::new(rule))
    }
}

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
            | Event::Purged { jobs }
            | Event::PlanTimedOut { jobs } => jobs.len(),
            Event::UniqueTaken { jobs } => jobs.len(),
            Event::Quarantined { jobs } => jobs.len(),
            Event::Limited(limited) => limited.jobs.len(),
            Event::LimitsOpened { queues } => queues.len(),
            Event::WorkersForgotten { workers } => workers.len(),
            Event::Tied(tie) => tie.count(),
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
            | Event::KeyWeighed { .. }
            | Event::Planned(_)
            | Event::Appended(_)
            | Event::ScheduleSet(_)
            | Event::SchedulePaused { .. }
            | Event::ScheduleResumed { .. }
            | Event::ScheduleDeleted { .. }
            | Event::ScheduleFired { .. }
            | Event::ScheduleSkipped { .. }
            | Event::OperationStarted(_)
            | Event::OperationAdvanced { .. }
            | Event::OperationEnded { .. }
            | Event::OperationRefused { .. }
            | Event::WorkerSeen(_)
            | Event::UsageReported(_)
            | Event::AgentEnqueued(_)
            | Event::Iterated(_)
            | Event::Revised(_)
            | Event::Ruled(_)
            | Event::Archived(_) => 1,
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
            | Event::LimitsOpened { .. }
            | Event::Planned(_)
            | Event::Appended(_)
            | Event::PlanTimedOut { .. }
            | Event::Tied(_)
            | Event::ScheduleSet(_)
            | Event::SchedulePaused { .. }
            | Event::ScheduleResumed { .. }
            | Event::ScheduleDeleted { .. }
            | Event::ScheduleFired { .. }
            | Event::ScheduleSkipped { .. }
            | Event::OperationStarted(_)
            | Event::OperationAdvanced { .. }
            | Event::OperationEnded { .. }
            | Event::OperationRefused { .. }
            | Event::WorkerSeen(_)
            | Event::WorkersForgotten { .. }
            | Event::UsageReported(_)
            | Event::AgentEnqueued(_)
            | Event::Iterated(_)
            | Event::Revised(_)
            | Event::Ruled(_)
            | Event::Archived(_) => 2,
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
