//! Requests to bytes.

use super::agents::Agents;
use super::blob::{len_u16, len_u32};
use super::encoder::{Encoder, Scratch, vector, vector_of};
use super::frame::Kind;
use super::generated as fb;
use super::plans::Planning;
use super::ties::{put_steps, put_ties};
use super::usage::Using;
use super::{EncodeError, archive, errors, kin, operations, rules, schedules, table, workers};
use crate::Request;
use crate::limits::{FETCH_QUEUES_MAX, OPERATION_JOBS_MAX, OPS_PER_REQUEST_MAX};
use crate::request::{
    Enqueue, Hold, JobAction, JobControl, Operate, QueueAction, QueueControl, Stats, When,
};

/// How far back an equal class is looked for.
const LOOK_BACK: usize = 8;

fn count(field: &'static str, count: usize, count_max: usize) -> Result<(), EncodeError> {
    if count > count_max {
        return Err(EncodeError::TooMany { field, count, count_max });
    }
    Ok(())
}

fn check_counts(request: &Request<'_>) -> Result<(), EncodeError> {
    for (field, n) in request.operations() {
        count(field, n, OPS_PER_REQUEST_MAX)?;
    }
    if let Some(Operate::Start { jobs, .. }) = &request.operation {
        count("jobs of an operation", jobs.len(), OPERATION_JOBS_MAX)?;
    }
    let queues = request.fetch.as_ref().map_or(0, |f| f.queues.len());
    count("queues of a fetch", queues, FETCH_QUEUES_MAX)
}

fn when_to(when: When) -> fb::When {
    match when {
        When::Now => fb::When::new(0, 0),
        When::DelayMs(ms) => fb::When::new(ms, 1),
        When::At(at) => fb::When::new(at.0, 2),
    }
}

/// Whether two jobs share a class on the wire, which also says how long their keys are remembered.
fn same_class(a: &Enqueue<'_>, b: &Enqueue<'_>) -> bool {
    a.shares_class(b) && a.key_ms == b.key_ms
}

pub(super) fn class_index(scratch: &mut Scratch, job: &Enqueue<'_>) -> Result<u16, EncodeError> {
    let class = fb::Class::new(
        job.expire_after_ms,
        job.key_ms,
        job.max_retries,
        job.backoff_base_ms,
        job.backoff_cap_ms,
        scratch.names.intern(job.queue)?,
        job.priority,
        job.backoff as u8,
    );
    let first = scratch.classes.len().saturating_sub(LOOK_BACK);
    if let Some(found) = scratch.classes[first..].iter().rposition(|c| *c == class) {
        return Ok((first + found) as u16);
    }
    scratch.classes.push(class);
    Ok((scratch.classes.len() - 1) as u16)
}

fn put_enqueues(
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
    jobs: &[Enqueue<'_>],
) -> Result<(), EncodeError> {
    let mut previous: Option<(&Enqueue<'_>, u16)> = None;
    let mut any_when = false;
    for job in jobs {
        let class = match previous {
            Some((like, class)) if same_class(like, job) => class,
            _ => class_index(scratch, job)?,
        };
        previous = Some((job, class));
        scratch.enqueues.push(fb::Enqueue::new(
            len_u32("payload", job.payload)?,
            len_u32("tags", job.tags)?,
            len_u16("key", job.key)?,
            class,
        ));
        out.extend_from_slice(job.payload);
        out.extend_from_slice(job.tags);
        out.extend_from_slice(job.key);
        any_when |= job.when != When::Now;
    }
    if any_when {
        scratch.whens.extend(jobs.iter().map(|job| when_to(job.when)));
    }
    Ok(())
}

fn put_results(
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
    request: &Request<'_>,
) -> Result<(), EncodeError> {
    for ack in &request.acks {
        out.extend_from_slice(ack.result);
        let len = len_u32("result", ack.result)?;
        scratch.acks.push(fb::Ack::new(&table::job_ref_to(ack.job), len));
    }
    for fail in &request.fails {
        out.extend_from_slice(fail.error);
        out.extend_from_slice(fail.backtrace);
        scratch.fails.push(fb::Fail::new(
            &table::job_ref_to(fail.job),
            len_u32("error", fail.error)?,
            len_u32("backtrace", fail.backtrace)?,
            fail.no_retry,
        ));
    }
    for beat in &request.heartbeats {
        out.extend_from_slice(beat.progress);
        out.extend_from_slice(beat.checkpoint);
        scratch.heartbeats.push(fb::Heartbeat::new(
            &table::job_ref_to(beat.job),
            beat.extend_ms,
            len_u32("progress", beat.progress)?,
            len_u32("checkpoint", beat.checkpoint)?,
        ));
    }
    Ok(())
}

/// Everything of variable length, in the order the schema states.
fn put_blob(
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
    request: &Request<'_>,
) -> Result<(Option<fb::Fetch>, Option<fb::Stats>), EncodeError> {
    put_enqueues(scratch, out, &request.enqueues)?;
    put_results(scratch, out, request)?;
    let mut fetch = None;
    if let Some(wanted) = &request.fetch {
        out.extend_from_slice(wanted.worker.as_bytes());
        let worker_len = len_u32("worker", wanted.worker.as_bytes())?;
        fetch = Some(fb::Fetch::new(wanted.count, wanted.lease_ms, wanted.wait_ms, worker_len));
        for queue in &wanted.queues {
            let position = scratch.names.intern(queue)?;
            scratch.positions.push(position);
        }
    }
    let (kind, first, second) = match request.stats {
        Stats::None => return Ok((fetch, None)),
        Stats::Shard => (1, "", ""),
        Stats::Queue(queue) => (2, queue, ""),
        Stats::Queues { prefix, after } => (3, prefix, after),
        Stats::Operations => (4, "", ""),
        Stats::Rules => (5, "", ""),
    };
    out.extend_from_slice(first.as_bytes());
    out.extend_from_slice(second.as_bytes());
    let first = len_u16("queue name", first.as_bytes())?;
    let second = len_u16("queue name", second.as_bytes())?;
    Ok((fetch, Some(fb::Stats::new(kind, first, second))))
}

/// What rarely is in a request, behind the rest of its blob.
#[derive(Default)]
struct Rare {
    uniques: Vec<fb::Unique>,
    holds: Vec<fb::EnqueueHold>,
    controls: Vec<fb::JobControl>,
    limit_keys: Vec<fb::LimitKey>,
    actions: Vec<fb::QueueAction>,
    pauses: Vec<fb::QueueControl>,
    operation: Option<fb::Operation>,
    operation_jobs: Vec<fb::JobId>,
    cancel_operation: u64,
}

impl Rare {
    fn put(
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
        request: &Request<'_>,
    ) -> Result<Self, EncodeError> {
        let mut rare = Self::default();
        for (at, job) in (0..).zip(&request.enqueues) {
            if !job.unique.is_empty() {
                let len = len_u16("unique key", job.unique)?;
                rare.uniques.push(fb::Unique::new(job.unique_ms, at, len));
                out.extend_from_slice(job.unique);
            }
        }
        for held in &request.holds {
            let Hold { reason, by, timeout_ms, then } = held.hold;
            rare.holds.push(fb::EnqueueHold::new(
                timeout_ms,
                held.enqueue,
                len_u32("reason", reason)?,
                len_u16("by", by.as_bytes())?,
                then as u8,
            ));
            out.extend_from_slice(reason);
            out.extend_from_slice(by.as_bytes());
        }
        for control in &request.job_controls {
            rare.controls.push(job_control(scratch, out, control)?);
        }
        for (at, job) in (0..).zip(&request.enqueues) {
            if !job.limit_key.is_empty() {
                let len = len_u16("limit key", job.limit_key.as_bytes())?;
                rare.limit_keys.push(fb::LimitKey::new(at, len));
                out.extend_from_slice(job.limit_key.as_bytes());
            }
        }
        // Pauses and resumes alone go where servers of version 1 look for them. With others they go the same way, so
        // that everything stays in order.
        let simple = |control: &QueueControl<'_>| {
            matches!(control.action, QueueAction::Pause | QueueAction::Resume)
        };
        let simple = request.queue_controls.iter().all(simple);
        for control in &request.queue_controls {
            rare.queue_control(scratch, out, control, simple)?;
        }
        match &request.operation {
            None => {}
            Some(Operate::Start { task, jobs }) => {
                rare.operation = Some(operations::task_to(task, out)?);
                rare.operation_jobs = jobs.iter().map(|job| table::job_id_to(*job)).collect();
            }
            Some(Operate::Cancel { operation }) => rare.cancel_operation = operation.0,
        }
        Ok(rare)
    }

    fn queue_control(
        &mut self,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
        control: &QueueControl<'_>,
        simple: bool,
    ) -> Result<(), EncodeError> {
        let name = scratch.names.intern(control.queue)?;
        if simple {
            let paused = control.action == QueueAction::Pause;
            self.pauses.push(fb::QueueControl::new(name, paused));
            return Ok(());
        }
        let mut wire = fb::QueueAction::default();
        wire.set_name(name);
        match control.action {
            QueueAction::Pause => wire.set_kind(4),
            QueueAction::Resume => wire.set_kind(5),
            QueueAction::Drain => wire.set_kind(1),
            QueueAction::Configure(settings) => {
                wire.set_kind(2);
                wire.set_concurrency(settings.concurrency);
                wire.set_rate(settings.rate);
                wire.set_window_ms(settings.window_ms);
                wire.set_key_concurrency(settings.key_concurrency);
                wire.set_key_rate(settings.key_rate);
                wire.set_key_window_ms(settings.key_window_ms);
                wire.set_fair(settings.fair as u8);
            }
            QueueAction::Weigh { key, weight } => {
                wire.set_kind(3);
                wire.set_weight(weight);
                wire.set_key_len(len_u16("limit key", key.as_bytes())?);
                out.extend_from_slice(key.as_bytes());
            }
        }
        self.actions.push(wire);
        Ok(())
    }
}

fn job_control(
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
    control: &JobControl<'_>,
) -> Result<fb::JobControl, EncodeError> {
    let mut wire = fb::JobControl::default();
    wire.set_job(&table::job_id_to(control.job));
    let (kind, text, by): (u8, &[u8], &str) = match control.action {
        JobAction::Retry => (1, b"", ""),
        JobAction::Requeue => (2, b"", ""),
        JobAction::Hold(Hold { reason, by, timeout_ms, then }) => {
            wire.set_value(timeout_ms);
            wire.set_then(then as u8);
            (3, reason, by)
        }
        JobAction::Approve { note, by } => (4, note, by),
        JobAction::Reject { reason, by } => (5, reason, by),
        JobAction::Move { queue } => {
            wire.set_name(scratch.names.intern(queue)?);
            (6, b"", "")
        }
        JobAction::Prioritize { priority } => {
            wire.set_value(priority.into());
            (7, b"", "")
        }
        JobAction::Replace { payload } => (8, payload, ""),
        JobAction::Revise { feedback, by, .. } => (9, feedback, by),
    };
    wire.set_kind(kind);
    wire.set_text_len(len_u32("text", text)?);
    wire.set_by_len(len_u16("by", by.as_bytes())?);
    out.extend_from_slice(text);
    out.extend_from_slice(by.as_bytes());
    Ok(wire)
}

impl Encoder {
    /// A batch of operations.
    ///
    /// # Errors
    /// When it does not fit a frame or has too many operations of a kind.
    pub fn request(&mut self, out: &mut Vec<u8>, request: &Request<'_>) -> Result<(), EncodeError> {
        check_counts(request)?;
        self.whole(out, |this, out| this.request_frame(out, request))
    }

    fn request_frame(
        &mut self,
        out: &mut Vec<u8>,
        request: &Request<'_>,
    ) -> Result<(), EncodeError> {
        let open = self.begin(out);
        let (fetch, stats) = put_blob(&mut self.scratch, out, request)?;
        let rare = Rare::put(&mut self.scratch, out, request)?;
        let steps = put_steps(&mut self.scratch, out, &request.ties)?;
        let planning = Planning::put(out, request)?;
        let schedules = schedules::Asked::put(&mut self.scratch, out, request)?;
        let errors = request.errors.as_ref().map(errors::wanted_to);
        let workers = request.workers.as_ref().map(|wanted| workers::wanted_to(wanted, out));
        let workers = workers.transpose()?;
        let children = request.children.as_ref().map(kin::children_to);
        let held = request.held.as_ref().map(kin::held_to);
        let using = Using::put(out, request)?;
        let agents = Agents::put(out, request)?;
        let rules = rules::controls_to(&request.rule_controls, out)?;
        let archived = archive::controls_to(&mut self.scratch, out, request)?;
        let names_at = self.put_names(out, &open);
        let (table, scratch) = (&mut self.table, &self.scratch);
        let mut args = fb::RequestArgs {
            session: request.session.0,
            number: request.number,
            confirmed_below: request.confirmed_below,
            names_at,
            names: vector(table, &scratch.names.lens),
            classes: vector(table, &scratch.classes),
            enqueues: vector(table, &scratch.enqueues),
            whens: vector(table, &scratch.whens),
            acks: vector(table, &scratch.acks),
            fails: vector(table, &scratch.fails),
            heartbeats: vector(table, &scratch.heartbeats),
            extend_session_ms: request.extend_session_ms,
            releases: vector_of(table, &request.releases, |r| table::job_ref_to(*r)),
            cancels: vector_of(table, &request.cancels, |id| table::job_id_to(*id)),
            deletes: vector_of(table, &request.deletes, |id| table::job_id_to(*id)),
            queue_controls: vector(table, &rare.pauses),
            fetch: fetch.as_ref(),
            fetch_names: vector(table, &scratch.positions),
            lookups: vector_of(table, &request.lookups, |id| table::job_id_to(*id)),
            stats: stats.as_ref(),
            uniques: vector(table, &rare.uniques),
            holds: vector(table, &rare.holds),
            job_controls: vector(table, &rare.controls),
            limit_keys: vector(table, &rare.limit_keys),
            queue_actions: vector(table, &rare.actions),
            plans: vector(table, &planning.plans),
            plan_kinds: vector(table, &planning.kinds),
            appends: vector(table, &planning.appends),
            history: planning.history.as_ref(),
            schedule_controls: vector(table, &schedules.controls),
            schedules: vector(table, &schedules.definitions),
            schedule_query: schedules.query.as_ref(),
            operation: rare.operation.as_ref(),
            operation_jobs: vector(table, &rare.operation_jobs),
            cancel_operation: rare.cancel_operation,
            errors: errors.as_ref(),
            workers: workers.as_ref(),
            children: children.as_ref(),
            ack_usages: vector(table, &using.acks),
            heartbeat_usages: vector(table, &using.heartbeats),
            usage_query: using.query.as_ref(),
            agents: vector(table, &agents.agents),
            agent_acks: vector(table, &agents.acks),
            revisions: vector(table, &agents.revisions),
            iteration_query: agents.query.as_ref(),
            rule_controls: vector(table, &rules),
            held_query: held.as_ref(),
            archived: vector(table, &archived),
            ..fb::RequestArgs::default()
        };
        put_ties(table, &mut args, &request.ties, &steps)?;
        kin::put_parents(table, &mut args, &request.ties);
        let root = fb::Request::create(table, &args);
        self.end(out, &open, Kind::Request, root)
    }
}
