//! Whether a request may be done at all. Said before anything else, of the request as a whole.

use jobbie_proto::limits::{
    ATTEMPTS_MAX, ERROR_BYTES_MAX, FETCH_COUNT_MAX, FETCH_QUEUES_MAX, FETCH_WAIT_MS_MAX,
    KEY_BYTES_MAX, LEASE_MS_MAX, LEASE_MS_MIN, OPS_PER_REQUEST_MAX, PAYLOAD_BYTES_MAX,
    PERIOD_MS_MAX, PRIORITY_TIERS, QUEUE_BYTES_MAX, QUEUES_MAX, RESULT_BYTES_MAX, TAGS_BYTES_MAX,
    WORKER_BYTES_MAX,
};
use jobbie_proto::placement::shard_of;
use jobbie_proto::request::{Enqueue, Fetch, Stats, When};
use jobbie_proto::{Code, JobId, Request};

use crate::state::State;

/// Why nothing is done.
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) message: String,
}

type Checked = Result<(), Refusal>;

/// Says which field it is, when that is needed.
type Field<'f> = &'f dyn Fn(&str) -> String;

pub(super) fn validate(state: &State, request: &Request<'_>) -> Checked {
    counts(request)?;
    queues(state, request)?;
    let indexed =
        |list: &'static str, at: usize| move |field: &str| format!("{list}[{at}].{field}");
    for (at, enqueue) in request.enqueues.iter().enumerate() {
        check_enqueue(enqueue, &indexed("enqueues", at))?;
    }
    for (at, ack) in request.acks.iter().enumerate() {
        let field = indexed("acks", at);
        job(state, ack.job.job, &field)?;
        bytes(ack.result, RESULT_BYTES_MAX, "result", &field)?;
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
    lease(request.extend_session_ms, "extend_session_ms", &str::to_owned)?;
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
    request.fetch.as_ref().map_or(Ok(()), check_fetch)
}

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
fn queues(state: &State, request: &Request<'_>) -> Checked {
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
    for (at, control) in request.queue_controls.iter().enumerate() {
        queue(state, control.queue, &|field| format!("queue_controls[{at}].{field}"))?;
        new += 1;
    }
    if let Some(fetch) = &request.fetch {
        for (at, name) in fetch.queues.iter().take(FETCH_QUEUES_MAX).enumerate() {
            queue(state, name, &|_| format!("fetch.queues[{at}]"))?;
        }
    }
    if let Stats::Queue(name) = request.stats {
        queue(state, name, &|field| format!("stats.{field}"))?;
    }
    if state.queues.len() + new <= QUEUES_MAX {
        return Ok(());
    }
    let names = request.enqueues.iter().map(|enqueue| enqueue.queue);
    let names = names.chain(request.queue_controls.iter().map(|control| control.queue));
    let unknown: std::collections::BTreeSet<_> =
        names.filter(|name| state.queues.find(name).is_none()).collect();
    if state.queues.len() + unknown.len() > QUEUES_MAX {
        let message = format!("queue: {QUEUES_MAX} exist, the most a shard holds");
        return Err(Refusal { code: Code::Overloaded, message });
    }
    Ok(())
}

fn queue(state: &State, name: &str, field: Field<'_>) -> Checked {
    if name.is_empty() {
        let message = format!("{}: empty, at least 1 byte", field("queue"));
        return Err(Refusal { code: Code::Invalid, message });
    }
    bytes(name.as_bytes(), QUEUE_BYTES_MAX, "queue", field)?;
    // Control characters are below 0x20, 0x7f, or begin with 0xc2 in UTF-8.
    let suspect = name.bytes().any(|byte| byte < 0x20 || byte == 0x7f || byte == 0xc2);
    if suspect && name.chars().any(char::is_control) {
        let message = format!("{}: has a control character", field("queue"));
        return Err(Refusal { code: Code::Invalid, message });
    }
    let shard = shard_of(name, state.shards);
    if shard != state.shard {
        let message =
            format!("{}: lives on shard {shard}, this is {}", field("queue"), state.shard);
        return Err(Refusal { code: Code::WrongShard, message });
    }
    Ok(())
}

fn job(state: &State, id: JobId, field: Field<'_>) -> Checked {
    if id.shard() == state.shard {
        return Ok(());
    }
    let (shard, here) = (id.shard(), state.shard);
    let message = format!("{}: lives on shard {shard}, this is {here}", field("job"));
    Err(Refusal { code: Code::WrongShard, message })
}

fn bytes(value: &[u8], max: usize, name: &str, field: Field<'_>) -> Checked {
    if value.len() <= max {
        return Ok(());
    }
    let message = format!("{}: {} bytes, at most {max}", field(name), value.len());
    Err(Refusal { code: Code::TooLarge, message })
}

fn at_most(value: u64, max: u64, name: &str, field: Field<'_>) -> Checked {
    if value <= max {
        return Ok(());
    }
    let message = format!("{}: {value}, at most {max}", field(name));
    Err(Refusal { code: Code::Invalid, message })
}

/// 0 stands for a default.
fn lease(ms: u32, name: &str, field: Field<'_>) -> Checked {
    if ms == 0 || (LEASE_MS_MIN..=LEASE_MS_MAX).contains(&ms) {
        return Ok(());
    }
    let message = format!("{}: {ms}, not in {LEASE_MS_MIN}..={LEASE_MS_MAX}", field(name));
    Err(Refusal { code: Code::Invalid, message })
}

fn check_enqueue(enqueue: &Enqueue<'_>, field: Field<'_>) -> Checked {
    bytes(enqueue.payload, PAYLOAD_BYTES_MAX, "payload", field)?;
    bytes(enqueue.tags, TAGS_BYTES_MAX, "tags", field)?;
    bytes(enqueue.key, KEY_BYTES_MAX, "key", field)?;
    at_most(enqueue.key_ms, PERIOD_MS_MAX, "key_ms", field)?;
    at_most(u64::from(enqueue.priority), u64::from(PRIORITY_TIERS) - 1, "priority", field)?;
    at_most(u64::from(enqueue.max_retries), u64::from(ATTEMPTS_MAX), "max_retries", field)?;
    at_most(enqueue.expire_after_ms, PERIOD_MS_MAX, "expire_after_ms", field)?;
    if let When::DelayMs(ms) = enqueue.when {
        at_most(ms, PERIOD_MS_MAX, "delay_ms", field)?;
    }
    Ok(())
}

fn check_fetch(fetch: &Fetch<'_>) -> Checked {
    let field: Field<'_> = &|name| format!("fetch.{name}");
    if fetch.queues.is_empty() || fetch.queues.len() > FETCH_QUEUES_MAX {
        let len = fetch.queues.len();
        let message = format!("fetch.queues: {len} queues, not in 1..={FETCH_QUEUES_MAX}");
        return Err(Refusal { code: Code::Invalid, message });
    }
    if fetch.count == 0 || fetch.count > FETCH_COUNT_MAX {
        let count = fetch.count;
        let message = format!("fetch.count: {count}, not in 1..={FETCH_COUNT_MAX}");
        return Err(Refusal { code: Code::Invalid, message });
    }
    lease(fetch.lease_ms, "lease_ms", field)?;
    at_most(u64::from(fetch.wait_ms), u64::from(FETCH_WAIT_MS_MAX), "wait_ms", field)?;
    bytes(fetch.worker.as_bytes(), WORKER_BYTES_MAX, "worker", field)
}
