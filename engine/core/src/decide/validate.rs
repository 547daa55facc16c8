//! Whether a request may be done at all. Said before anything else, of the request as a whole.

use std::hash::BuildHasherDefault;

use hashbrown::HashMap;
use jobbie_proto::event::{HoldEnd, QueueSettings};
use jobbie_proto::limits::{
    ATTEMPTS_MAX, CHILDREN_COUNT_MAX, CREATED_MS_END, ERROR_BYTES_MAX, FETCH_COUNT_MAX,
    FETCH_QUEUES_MAX, FETCH_WAIT_MS_MAX, HELD_COUNT_MAX, KEY_BYTES_MAX, LEASE_MS_MAX, LEASE_MS_MIN,
    LIMIT_KEY_BYTES_MAX, OPS_PER_REQUEST_MAX, PAYLOAD_BYTES_MAX, PERIOD_MS_MAX, PRIORITY_TIERS,
    QUEUE_BYTES_MAX, QUEUES_MAX, RATE_MAX, RESULT_BYTES_MAX, TAGS_BYTES_MAX, WEIGHT_MAX,
    WEIGHTS_PER_QUEUE_MAX, WINDOW_MS_MAX, WORKER_BYTES_MAX,
};
use jobbie_proto::placement::shard_of;
use jobbie_proto::request::{
    Children, Enqueue, Fetch, HeldJobs, Hold, JobAction, JobControl, QueueAction, ScheduleAction,
    Stats, When,
};
use jobbie_proto::{Code, JobId, Request, ShardId};

use super::draft::JobHasher;
use super::schedules::check_schedules;
use super::validate_archive::queues_of;
use super::validate_plans::{appends, history, plans};
use super::validate_rules::check_rules;
use super::validate_ties::{check_step_result, check_ties};
use crate::state::State;

/// Why nothing is done.
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) message: String,
}

pub(super) type Checked = Result<(), Refusal>;

pub(super) fn invalid(message: String) -> Checked {
    Err(Refusal { code: Code::Invalid, message })
}

/// Says which field it is, when that is needed.
pub(super) type Field<'f> = &'f dyn Fn(&str) -> String;

pub(super) fn validate(state: &State, request: &Request<'_>) -> Checked {
    if request.count() > OPS_PER_REQUEST_MAX {
        counts(request)?;
    }
    let is_rare = !request.is_everyday();
    queues(state, request, is_rare)?;
    let indexed =
        |list: &'static str, at: usize| move |field: &str| format!("{list}[{at}].{field}");
    for (at, enqueue) in request.enqueues.iter().enumerate() {
        check_enqueue(enqueue, &indexed("enqueues", at))?;
    }
    for (at, ack) in request.acks.iter().enumerate() {
        let field = indexed("acks", at);
        job(state, ack.job.job, &field)?;
        bytes(ack.result, RESULT_BYTES_MAX, "result", &field)?;
        check_step_result(state, ack, &field)?;
    }
    for (at, fail) in request.fails.iter().enumerate() {
        let field = indexed("fails", at);
        job(state, fail.job.job, &field)?;
        bytes(fail.error, ERROR_BYTES_MAX, "error", &field)?;
        bytes(fail.backtrace, ERROR_BYTES_MAX, "backtrace", &field)?;
    }
    for (at, heartbeat) in request.heartbeats.iter().enumerate() {
        let field = indexed("heartbeats", at);
        job(state, heartbeat.job.job, &field)?;
        lease(heartbeat.extend_ms, "extend_ms", &field)?;
        bytes(heartbeat.progress, RESULT_BYTES_MAX, "progress", &field)?;
        bytes(heartbeat.checkpoint, RESULT_BYTES_MAX, "checkpoint", &field)?;
    }
    if request.extend_session_ms != 0 {
        lease(request.extend_session_ms, "extend_session_ms", &str::to_owned)?;
    }
    for (at, release) in request.releases.iter().enumerate() {
        job(state, release.job, &indexed("releases", at))?;
    }
    let lists = [
        ("cancels", &request.cancels),
        ("deletes", &request.deletes),
        ("lookups", &request.lookups),
    ];
    for (list, jobs) in lists {
        for (at, id) in jobs.iter().enumerate() {
            job(state, *id, &indexed(list, at))?;
        }
    }
    if is_rare {
        rarer(state, request)?;
    }
    request.fetch.as_ref().map_or(Ok(()), check_fetch)
}

/// What few requests have, kept apart so that the others are checked fast.
#[inline(never)]
fn rarer(state: &State, request: &Request<'_>) -> Checked {
    holds(request)?;
    super::validate_usage::usages(request)?;
    super::validate_agents::agents(state, request)?;
    check_ties(state, request)?;
    plans(request)?;
    appends(state, request)?;
    history(state, request)?;
    children(state, request)?;
    held(request)?;
    job_controls(state, request)?;
    queue_controls(state, request)?;
    check_schedules(state, request)?;
    check_rules(state, request)?;
    super::validate_archive::archived(state, request)?;
    super::validate_operation::operation(state, request)
}

/// Enqueues that other parts of a request name, each a later one than the one before.
#[derive(Default)]
pub(super) struct LaterEnqueues {
    next: usize,
}

impl LaterEnqueues {
    pub(super) fn check(
        &mut self,
        request: &Request<'_>,
        enqueue: u32,
        field: Field<'_>,
    ) -> Checked {
        let position = enqueue as usize;
        if position < self.next || position >= request.enqueues.len() {
            return invalid(format!("{}: {position}, not a later enqueue's", field("enqueue")));
        }
        self.next = position + 1;
        Ok(())
    }
}

fn children(state: &State, request: &Request<'_>) -> Checked {
    let Some(Children { parent, count, .. }) = request.children else { return Ok(()) };
    super::validate_ties::exists(state, parent.shard(), "children.parent")?;
    if (1..=CHILDREN_COUNT_MAX).contains(&count) {
        return Ok(());
    }
    invalid(format!("children.count: {count}, not in 1..={CHILDREN_COUNT_MAX}"))
}

fn held(request: &Request<'_>) -> Checked {
    let Some(HeldJobs { count, .. }) = request.held else { return Ok(()) };
    if (1..=HELD_COUNT_MAX).contains(&count) {
        return Ok(());
    }
    invalid(format!("held.count: {count}, not in 1..={HELD_COUNT_MAX}"))
}

fn holds(request: &Request<'_>) -> Checked {
    let mut later = LaterEnqueues::default();
    for (at, hold) in request.holds.iter().enumerate() {
        let field = |name: &str| format!("holds[{at}].{name}");
        later.check(request, hold.enqueue, &field)?;
        check_hold(&hold.hold, &field)?;
    }
    Ok(())
}

fn check_hold(hold: &Hold<'_>, field: Field<'_>) -> Checked {
    bytes(hold.reason, ERROR_BYTES_MAX, "reason", field)?;
    bytes(hold.by.as_bytes(), WORKER_BYTES_MAX, "by", field)?;
    at_most(hold.timeout_ms, PERIOD_MS_MAX, "timeout_ms", field)?;
    if (hold.then == HoldEnd::Stay) == (hold.timeout_ms == 0) {
        return Ok(());
    }
    let message = format!(
        "{}: a hold has both a time and what happens then, or neither",
        field("timeout_ms")
    );
    invalid(message)
}

/// Each job once, and nothing else that changes anything: whoever asks for two things at once means an order that
/// two requests say better.
fn job_controls(state: &State, request: &Request<'_>) -> Checked {
    if request.job_controls.is_empty() {
        return Ok(());
    }
    stands_alone(request, "job_controls")?;
    let mut named = HashMap::<u64, usize, BuildHasherDefault<JobHasher>>::default();
    for (at, control) in request.job_controls.iter().enumerate() {
        let field = |name: &str| format!("job_controls[{at}].{name}");
        job(state, control.job, &field)?;
        if let Some(before) = named.insert(control.job.seq().0, at) {
            let message = format!("{}: named in job_controls[{before}] too", field("job"));
            return invalid(message);
        }
        check_action(&control.action, &field)?;
    }
    Ok(())
}

/// Nothing but questions goes with the operations of this list.
pub(super) fn stands_alone(request: &Request<'_>, own: &str) -> Checked {
    let others = request.operations().into_iter();
    let mut others =
        others.filter(|(list, len)| *len > 0 && *list != own && !list.ends_with("lookups"));
    let other = others.next().map(|(list, _)| list);
    let other = other.or_else(|| request.fetch.is_some().then_some("fetch"));
    let extends = request.extend_session_ms > 0;
    let other = other.or_else(|| extends.then_some("extend_session_ms"));
    let Some(other) = other else { return Ok(()) };
    let message = format!("{own}: in one request with {other}, send them one after the other");
    invalid(message)
}

fn queue_controls(state: &State, request: &Request<'_>) -> Checked {
    let mut new_weights = 0;
    for (at, control) in request.queue_controls.iter().enumerate() {
        let field = |name: &str| format!("queue_controls[{at}].{name}");
        let limits = match control.action {
            QueueAction::Pause | QueueAction::Resume | QueueAction::Drain => continue,
            QueueAction::Configure(settings) => check_settings(&settings, &field),
            QueueAction::Weigh { key, weight } => check_weight(key, weight, &field),
        };
        limits?;
        if let QueueAction::Weigh { weight: 2.., .. } = control.action {
            new_weights += 1;
            let queue = state.queues.find(control.queue).map(|at| state.queues.get(at));
            let known = queue.map_or(0, |queue| queue.weights.len());
            if known + new_weights > WEIGHTS_PER_QUEUE_MAX {
                let message = format!(
                    "{}: {WEIGHTS_PER_QUEUE_MAX} keys of the queue have weights, the most it holds: \
                     give others the weight 1",
                    field("weight")
                );
                return Err(Refusal { code: Code::Overloaded, message });
            }
        }
        if request.fetch.is_some() {
            let message = format!(
                "{}: in one request with fetch, send them one after the other",
                field("action")
            );
            return invalid(message);
        }
    }
    Ok(())
}

fn check_settings(settings: &QueueSettings, field: Field<'_>) -> Checked {
    let QueueSettings { rate, window_ms, key_rate, key_window_ms, .. } = *settings;
    for (name, rate, window, window_ms) in [
        ("rate", rate, "window_ms", window_ms),
        ("key_rate", key_rate, "key_window_ms", key_window_ms),
    ] {
        at_most(rate.into(), RATE_MAX.into(), name, field)?;
        at_most(window_ms.into(), WINDOW_MS_MAX.into(), window, field)?;
        if (rate == 0) != (window_ms == 0) {
            let (rate, window) = (field(name), field(window));
            let message = format!("{rate} and {window}: a rate has a window, give both or neither");
            return invalid(message);
        }
    }
    Ok(())
}

fn check_weight(key: &str, weight: u16, field: Field<'_>) -> Checked {
    if key.is_empty() {
        let message = format!("{}: empty, at least 1 byte", field("key"));
        return invalid(message);
    }
    bytes(key.as_bytes(), LIMIT_KEY_BYTES_MAX, "key", field)?;
    if (1..=WEIGHT_MAX).contains(&weight) {
        return Ok(());
    }
    let message = format!("{}: {weight}, not in 1..={WEIGHT_MAX}", field("weight"));
    invalid(message)
}

pub(super) fn check_action(action: &JobAction<'_>, field: Field<'_>) -> Checked {
    let human = |text: &[u8], by: &str, name| {
        bytes(text, ERROR_BYTES_MAX, name, field)?;
        bytes(by.as_bytes(), WORKER_BYTES_MAX, "by", field)
    };
    match *action {
        JobAction::Retry | JobAction::Requeue => Ok(()),
        JobAction::Hold(hold) => check_hold(&hold, field),
        JobAction::Approve { note, by } => human(note, by, "note"),
        JobAction::Reject { reason, by } => human(reason, by, "reason"),
        JobAction::Move { queue } => queue_name(queue, field),
        JobAction::Prioritize { priority } => {
            at_most(u64::from(priority), u64::from(PRIORITY_TIERS) - 1, "priority", field)
        }
        JobAction::Revise { checkpoint, feedback, by, .. } => {
            super::validate_agents::revise(checkpoint, feedback, by, field)
        }
        JobAction::Replace { payload } => bytes(payload, PAYLOAD_BYTES_MAX, "payload", field),
    }
}

#[cold]
fn counts(request: &Request<'_>) -> Checked {
    for (list, len) in request.operations() {
        if len > OPS_PER_REQUEST_MAX {
            let message = format!("{list}: {len} operations, at most {OPS_PER_REQUEST_MAX}");
            return Err(Refusal { code: Code::TooLarge, message });
        }
    }
    Ok(())
}

/// Every queue named is well-formed, belongs here, and may exist.
fn queues(state: &State, request: &Request<'_>, is_rare: bool) -> Checked {
    let mut last = "";
    let mut new = 0;
    for (at, enqueue) in request.enqueues.iter().enumerate() {
        // Batches mostly name one queue.
        if at == 0 || !std::ptr::eq(enqueue.queue, last) && enqueue.queue != last {
            queue(state, enqueue.queue, &|field| format!("enqueues[{at}].{field}"))?;
            last = enqueue.queue;
            new += 1;
        }
    }
    if is_rare {
        new += rarer_queues(state, request)?;
    }
    if let Some(fetch) = &request.fetch {
        for (at, name) in fetch.queues.iter().take(FETCH_QUEUES_MAX).enumerate() {
            queue(state, name, &|_| format!("fetch.queues[{at}]"))?;
        }
    }
    if state.queues.len() + new <= QUEUES_MAX {
        return Ok(());
    }
    queues_are_few(state, request)
}

/// The same for those in what few requests have; how many of them may be new.
#[inline(never)]
fn rarer_queues(state: &State, request: &Request<'_>) -> Result<usize, Refusal> {
    let mut new = moved_to(state, request).count() + queues_of(request).count();
    for (at, control) in request.queue_controls.iter().enumerate() {
        queue(state, control.queue, &|field| format!("queue_controls[{at}].{field}"))?;
        new += 1;
    }
    for (at, control) in request.schedule_controls.iter().enumerate() {
        queue(state, control.queue, &|field| format!("schedule_controls[{at}].{field}"))?;
        new += usize::from(matches!(control.action, ScheduleAction::Set(_)));
    }
    if let Stats::Queue(name) = request.stats {
        queue(state, name, &|field| format!("stats.{field}"))?;
    }
    Ok(new)
}

/// Queues of this shard that jobs are moved to.
fn moved_to<'r>(state: &State, request: &'r Request<'_>) -> impl Iterator<Item = &'r str> {
    let (shard, shards) = (state.shard, state.shards);
    let here = move |queue: &&str| shard_of(queue, shards) == shard;
    let queue = |control: &'r JobControl<'_>| match control.action {
        JobAction::Move { queue } => Some(queue),
        _ => None,
    };
    request.job_controls.iter().filter_map(queue).filter(here)
}

/// Counts the names that are not known, each once.
#[cold]
fn queues_are_few(state: &State, request: &Request<'_>) -> Checked {
    let names = request.enqueues.iter().map(|enqueue| enqueue.queue);
    let names = names.chain(request.queue_controls.iter().map(|control| control.queue));
    let names = names.chain(moved_to(state, request)).chain(queues_of(request));
    let names = names.chain(request.schedule_controls.iter().filter_map(|control| {
        matches!(control.action, ScheduleAction::Set(_)).then_some(control.queue)
    }));
    let unknown: std::collections::BTreeSet<_> =
        names.filter(|name| state.queues.find(name).is_none()).collect();
    if state.queues.len() + unknown.len() > QUEUES_MAX {
        let message = format!("queue: {QUEUES_MAX} exist, the most a shard holds");
        return Err(Refusal { code: Code::Overloaded, message });
    }
    Ok(())
}

pub(super) fn queue(state: &State, name: &str, field: Field<'_>) -> Checked {
    queue_name(name, field)?;
    is_here(state, shard_of(name, state.shards), || field("queue"))
}

pub(super) fn queue_name(name: &str, field: Field<'_>) -> Checked {
    plain_name(name, QUEUE_BYTES_MAX, "queue", field)
}

/// A name that people can read.
pub(super) fn plain_name(name: &str, max: usize, what: &str, field: Field<'_>) -> Checked {
    if name.is_empty() {
        let message = format!("{}: empty, at least 1 byte", field(what));
        return invalid(message);
    }
    bytes(name.as_bytes(), max, what, field)?;
    // Control characters are below 0x20, 0x7f, or begin with 0xc2 in UTF-8.
    let suspect = name.bytes().any(|byte| byte < 0x20 || byte == 0x7f || byte == 0xc2);
    if suspect && name.chars().any(char::is_control) {
        let message = format!("{}: has a control character", field(what));
        return invalid(message);
    }
    Ok(())
}

pub(super) fn job(state: &State, id: JobId, field: Field<'_>) -> Checked {
    is_here(state, id.shard(), || field("job"))
}

/// Whether what a field names lives on this shard.
pub(super) fn is_here(state: &State, shard: ShardId, field: impl FnOnce() -> String) -> Checked {
    if shard == state.shard {
        return Ok(());
    }
    let message = format!("{}: lives on shard {shard}, this is {}", field(), state.shard);
    Err(Refusal { code: Code::WrongShard, message })
}

pub(super) fn bytes(value: &[u8], max: usize, name: &str, field: Field<'_>) -> Checked {
    if value.len() <= max {
        return Ok(());
    }
    let message = format!("{}: {} bytes, at most {max}", field(name), value.len());
    Err(Refusal { code: Code::TooLarge, message })
}

pub(super) fn at_most(value: u64, max: u64, name: &str, field: Field<'_>) -> Checked {
    if value <= max {
        return Ok(());
    }
    let message = format!("{}: {value}, at most {max}", field(name));
    invalid(message)
}

/// 0 stands for a default.
fn lease(ms: u32, name: &str, field: Field<'_>) -> Checked {
    if ms == 0 || (LEASE_MS_MIN..=LEASE_MS_MAX).contains(&ms) {
        return Ok(());
    }
    let message = format!("{}: {ms}, not in {LEASE_MS_MIN}..={LEASE_MS_MAX}", field(name));
    invalid(message)
}

#[inline]
pub(super) fn check_enqueue(enqueue: &Enqueue<'_>, field: Field<'_>) -> Checked {
    if is_within_limits(enqueue) { Ok(()) } else { limit_of(enqueue, field) }
}

/// All in one, without a branch for each: what is exceeded is asked when something is.
#[inline]
fn is_within_limits(enqueue: &Enqueue<'_>) -> bool {
    let (delay_ms, at_ms) = match enqueue.when {
        When::Now => (0, 0),
        When::DelayMs(ms) => (ms, 0),
        When::At(at) => (0, at.ms()),
    };
    let keys = enqueue.key.len().max(enqueue.unique.len());
    let periods = enqueue.key_ms.max(enqueue.unique_ms).max(enqueue.expire_after_ms).max(delay_ms);
    (enqueue.payload.len() <= PAYLOAD_BYTES_MAX)
        & (enqueue.tags.len() <= TAGS_BYTES_MAX)
        & (keys <= KEY_BYTES_MAX)
        & (enqueue.limit_key.len() <= LIMIT_KEY_BYTES_MAX)
        & (periods <= PERIOD_MS_MAX)
        & (at_ms < CREATED_MS_END)
        & (enqueue.priority < PRIORITY_TIERS)
        & (enqueue.max_retries <= ATTEMPTS_MAX)
}

#[cold]
fn limit_of(enqueue: &Enqueue<'_>, field: Field<'_>) -> Checked {
    bytes(enqueue.payload, PAYLOAD_BYTES_MAX, "payload", field)?;
    bytes(enqueue.tags, TAGS_BYTES_MAX, "tags", field)?;
    bytes(enqueue.key, KEY_BYTES_MAX, "key", field)?;
    at_most(enqueue.key_ms, PERIOD_MS_MAX, "key_ms", field)?;
    bytes(enqueue.limit_key.as_bytes(), LIMIT_KEY_BYTES_MAX, "limit_key", field)?;
    bytes(enqueue.unique, KEY_BYTES_MAX, "unique", field)?;
    at_most(enqueue.unique_ms, PERIOD_MS_MAX, "unique_ms", field)?;
    at_most(u64::from(enqueue.priority), u64::from(PRIORITY_TIERS) - 1, "priority", field)?;
    at_most(u64::from(enqueue.max_retries), u64::from(ATTEMPTS_MAX), "max_retries", field)?;
    at_most(enqueue.expire_after_ms, PERIOD_MS_MAX, "expire_after_ms", field)?;
    if let When::DelayMs(ms) = enqueue.when {
        at_most(ms, PERIOD_MS_MAX, "delay_ms", field)?;
    }
    if let When::At(at) = enqueue.when {
        at_most(at.ms(), CREATED_MS_END - 1, "at_ms", field)?;
    }
    Ok(())
}

fn check_fetch(fetch: &Fetch<'_>) -> Checked {
    let field: Field<'_> = &|name| format!("fetch.{name}");
    if fetch.queues.is_empty() || fetch.queues.len() > FETCH_QUEUES_MAX {
        let len = fetch.queues.len();
        let message = format!("fetch.queues: {len} queues, not in 1..={FETCH_QUEUES_MAX}");
        return invalid(message);
    }
    if fetch.count == 0 || fetch.count > FETCH_COUNT_MAX {
        let count = fetch.count;
        let message = format!("fetch.count: {count}, not in 1..={FETCH_COUNT_MAX}");
        return invalid(message);
    }
    lease(fetch.lease_ms, "lease_ms", field)?;
    at_most(u64::from(fetch.wait_ms), u64::from(FETCH_WAIT_MS_MAX), "wait_ms", field)?;
    bytes(fetch.worker.as_bytes(), WORKER_BYTES_MAX, "worker", field)
}
