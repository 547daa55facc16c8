//! Answers that outlive the bytes they came in.

use std::sync::Arc;

use bytes::Bytes;
use jobbie_proto::reply::{
    Appended, BatchView, BudgetView, Child, Failed, Operated, OperationView, PolicyView,
    QueueStats, RuleDone, ShardStats, UsageSum, WorkerView,
};
use jobbie_proto::wire::{
    EnqueuedRun, IterationRecord, JobDetails, Kin, LeasedJob, Lookup, ReplyFrame, ScheduleChanged,
    ScheduleDetails,
};
use jobbie_proto::{BatchId, Code, JobId, Micros};

use crate::schedule::ScheduleInfo;
use crate::{IterationInfo, Job, JobErrorRecord, JobEvent, JobInfo, MovedJob, PlanInfo};

/// The answer to a request, whole and owned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Whether the request as a whole was done; the lists below are empty when it was not.
    pub code: Code,
    /// When to send it again, in milliseconds; 0 is no advice.
    pub retry_after_ms: u32,
    /// What is wrong, for people.
    pub message: String,
    /// Where to send it instead; empty is unknown.
    pub redirect: String,
    /// One element for each run of new jobs, in the order of the request.
    pub enqueued: Vec<EnqueuedRun>,
    /// One element per ack.
    pub acks: Vec<Code>,
    /// One element per fail.
    pub fails: Vec<Failed>,
    /// One element per heartbeat.
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
    pub schedule_controls: Vec<ScheduleChanged>,
    /// Jobs leased.
    pub jobs: Vec<Job>,
    /// One element per lookup; `None` is not found, or moved.
    pub lookups: Vec<(JobId, Option<JobInfo>)>,
    /// Those of them that moved to other shards.
    pub moved: Vec<MovedJob>,
    /// Queues asked for.
    pub queue_stats: Vec<QueueStats>,
    /// The shard, when asked for.
    pub shard_stats: Option<ShardStats>,
    /// Batches opened.
    pub batches: Vec<BatchId>,
    /// One element per batch to seal.
    pub batch_seals: Vec<Code>,
    /// One element per batch to look up.
    pub batch_lookups: Vec<Result<BatchView, Code>>,
    /// One element per appended event.
    pub appended: Vec<Appended>,
    /// Events of the job whose history was asked for, newest first.
    pub events: Vec<JobEvent>,
    /// Schedules asked for.
    pub schedules: Vec<ScheduleInfo>,
    /// The next planned times of the one that was looked up.
    pub schedule_times: Vec<Micros>,
    /// What became of the operation that was to begin or to end.
    pub operated: Option<Operated>,
    /// Operations asked for.
    pub operations: Vec<OperationView>,
    /// Errors of the job whose errors were asked for, newest first.
    pub errors: Vec<JobErrorRecord>,
    /// Workers asked for.
    pub workers: Vec<WorkerView>,
    /// Children of the job asked for.
    pub children: Vec<Child>,
    /// Sums of usage asked for, by name.
    pub usage: Vec<UsageSum>,
    /// Iterations of the agent job that was asked for, newest first.
    pub iterations: Vec<IterationInfo>,
    /// One element per rule control.
    pub rule_controls: Vec<RuleDone>,
    /// Budgets asked for.
    pub budgets: Vec<BudgetView>,
    /// Approval policies asked for.
    pub policies: Vec<PolicyView>,
    /// Held jobs asked for.
    pub held: Vec<JobId>,
}

/// One copy of a frame's blob, of which parts are handed out without copying again.
pub(crate) struct Shared<'a> {
    blob: &'a [u8],
    copy: Bytes,
    queue: Arc<str>,
}

impl<'a> Shared<'a> {
    pub(crate) fn new(blob: &'a [u8]) -> Self {
        Self { blob, copy: Bytes::copy_from_slice(blob), queue: Arc::from("") }
    }

    pub(crate) fn part(&self, part: &[u8]) -> Bytes {
        if part.is_empty() {
            return Bytes::new();
        }
        let at = part.as_ptr() as usize - self.blob.as_ptr() as usize;
        self.copy.slice(at..at + part.len())
    }

    /// Jobs of one queue share its name.
    fn queue(&mut self, name: &str) -> Arc<str> {
        if *self.queue != *name {
            self.queue = Arc::from(name);
        }
        self.queue.clone()
    }

    fn job(&mut self, lease: &LeasedJob<'_>) -> Job {
        Job {
            id: lease.job,
            token: lease.token,
            deadline: lease.deadline,
            attempt: lease.attempt,
            max_retries: lease.max_retries,
            queue: self.queue(lease.queue),
            payload: self.part(lease.payload),
            tags: self.part(lease.tags),
            checkpoint: self.part(lease.checkpoint),
            agent: lease.agent,
        }
    }

    fn info(&mut self, id: JobId, d: &JobDetails<'_>) -> JobInfo {
        JobInfo {
            id,
            state: d.state,
            queue: self.queue(d.queue),
            limit_key: d.bytes.limit_key.to_owned(),
            priority: d.priority,
            attempt: d.attempt,
            max_retries: d.max_retries,
            backoff: d.backoff,
            backoff_base_ms: d.backoff_base_ms,
            backoff_cap_ms: d.backoff_cap_ms,
            token: d.token,
            due: d.due,
            expire_at: d.expire_at,
            ended: d.ended,
            lease_expiries: d.lease_expiries,
            then: d.then,
            waits_for: d.waits_for,
            batch: d.batch,
            cost_micros: d.cost_micros,
            agent: d.agent,
            payload: self.part(d.bytes.payload),
            tags: self.part(d.bytes.tags),
            key: self.part(d.bytes.key),
            error: self.part(d.bytes.error),
            backtrace: self.part(d.bytes.backtrace),
            progress: self.part(d.bytes.progress),
            checkpoint: self.part(d.bytes.checkpoint),
            hold_reason: self.part(d.bytes.hold_reason),
            hold_by: d.bytes.hold_by.to_owned(),
            plan: None,
            parent: None,
            moved_from: None,
            moves_to: String::new(),
        }
    }
}

/// Owned jobs out of a delivery; `blob` is what `leases` borrow from.
#[must_use]
pub fn jobs(leases: &[LeasedJob<'_>], blob: &[u8]) -> Vec<Job> {
    if leases.is_empty() {
        return Vec::new();
    }
    let mut shared = Shared::new(blob);
    leases.iter().map(|lease| shared.job(lease)).collect()
}

fn schedules(found: &[ScheduleDetails<'_>], blob: &[u8]) -> Vec<ScheduleInfo> {
    if found.is_empty() {
        return Vec::new();
    }
    let shared = Shared::new(blob);
    let one = |schedule: &ScheduleDetails<'_>| {
        let of = &schedule.definition;
        let (payload, tags) = (shared.part(of.payload), shared.part(of.tags));
        ScheduleInfo::new(schedule, payload, tags, shared.part(of.unique))
    };
    found.iter().map(one).collect()
}

fn lookups(found: &[Lookup<'_>], blob: &[u8]) -> Vec<(JobId, Option<JobInfo>)> {
    if found.is_empty() {
        return Vec::new();
    }
    let mut shared = Shared::new(blob);
    let one = |l: &Lookup<'_>| {
        let info = l.details.as_ref().map(|d| shared.info(l.job, d));
        let plan = l.plan.as_ref().map(PlanInfo::from);
        let Kin { parent, moved_from, moves_to, .. } = l.kin;
        let moves_to = moves_to.to_owned();
        (l.job, info.map(|info| JobInfo { plan, parent, moved_from, moves_to, ..info }))
    };
    found.iter().map(one).collect()
}

fn moved(found: &[Lookup<'_>]) -> Vec<MovedJob> {
    let moved = found.iter().filter(|lookup| lookup.code() == Code::Moved);
    let one = |l: &Lookup<'_>| {
        let (queue, now) = (l.kin.moves_to.to_owned(), l.kin.moved_to);
        MovedJob { job: l.job, queue, now }
    };
    moved.map(one).collect()
}

fn iterations(told: &[IterationRecord<'_>], blob: &[u8]) -> Vec<IterationInfo> {
    if told.is_empty() {
        return Vec::new();
    }
    let shared = Shared::new(blob);
    let one = |of: &IterationRecord<'_>| IterationInfo {
        event: of.event,
        previous: of.previous,
        time: of.time,
        number: of.number,
        attempt: of.attempt,
        status: of.status,
        checkpoint: shared.part(of.checkpoint),
        result: shared.part(of.result),
        reason: shared.part(of.reason),
        amounts: of.amounts,
        model: of.model.to_owned(),
        provider: of.provider.to_owned(),
    };
    told.iter().map(one).collect()
}

impl Answer {
    /// Owned, out of one frame; `blob` is what `reply` borrows from.
    #[must_use]
    pub fn new(reply: ReplyFrame<'_>, blob: &[u8]) -> Self {
        Self {
            code: reply.code,
            retry_after_ms: reply.retry_after_ms,
            message: reply.message.to_owned(),
            redirect: reply.redirect.to_owned(),
            jobs: jobs(&reply.leases, blob),
            lookups: lookups(&reply.lookups, blob),
            moved: moved(&reply.lookups),
            schedules: schedules(&reply.schedules, blob),
            enqueued: reply.enqueued,
            acks: reply.acks,
            fails: reply.fails,
            heartbeats: reply.heartbeats,
            releases: reply.releases,
            cancels: reply.cancels,
            deletes: reply.deletes,
            job_controls: reply.job_controls,
            schedule_controls: reply.schedule_controls,
            queue_stats: reply.queue_stats,
            shard_stats: reply.shard_stats,
            batches: reply.batches,
            batch_seals: reply.batch_seals,
            batch_lookups: reply.batch_lookups,
            events: crate::plans::events(&reply.events, blob),
            appended: reply.appended,
            schedule_times: reply.schedule_times,
            operated: reply.operated,
            operations: reply.operations,
            errors: crate::observe::errors(&reply.errors, blob),
            workers: reply.workers,
            children: reply.children,
            usage: reply.usage,
            iterations: iterations(&reply.iterations, blob),
            rule_controls: reply.rule_controls,
            budgets: reply.budgets,
            policies: reply.policies,
            held: reply.held,
        }
    }

    /// Appends the next part of a long answer. Only the first part carries what is not appended here.
    pub fn append(&mut self, part: ReplyFrame<'_>, blob: &[u8]) {
        let mut part = Self::new(part, blob);
        self.jobs.append(&mut part.jobs);
        self.lookups.append(&mut part.lookups);
        self.moved.append(&mut part.moved);
        self.queue_stats.append(&mut part.queue_stats);
        self.events.append(&mut part.events);
        self.schedules.append(&mut part.schedules);
        self.shard_stats = part.shard_stats;
        self.operations.append(&mut part.operations);
        self.errors.append(&mut part.errors);
        self.workers.append(&mut part.workers);
        self.usage.append(&mut part.usage);
        self.iterations.append(&mut part.iterations);
        self.budgets.append(&mut part.budgets);
        self.policies.append(&mut part.policies);
    }
}
