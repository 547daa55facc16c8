//! Bytes to requests.

use super::DecodeError;
use super::blob::BlobReader;
use super::decode_controls::{holds, job_controls, limit_keys, queue_actions, uniques};
use super::generated as fb;
use super::table::{Names, Table, backoff, collect, job_id, job_ref, names};
use crate::limits::{FETCH_QUEUES_MAX, OPS_PER_REQUEST_MAX};
use crate::request::{
    Ack, Enqueue, Fail, Fetch, Heartbeat, QueueAction, QueueControl, Request, Stats, When,
};
use crate::{Micros, SessionId};

/// Names a request can need: one for each enqueue, job control, queue control and queue action, and those of the fetch.
const NAMES_MAX: usize = 4 * OPS_PER_REQUEST_MAX + FETCH_QUEUES_MAX;
const _: () = assert!(NAMES_MAX <= u16::MAX as usize);

pub(super) fn decode<'a>(blob: &'a [u8], bytes: &'a [u8]) -> Result<Request<'a>, DecodeError> {
    use fb::Request as T;
    let table = Table::open(bytes)?;
    let most = OPS_PER_REQUEST_MAX;
    let names_at = table.u32(T::VT_NAMES_AT)?;
    let queues = names(table.list("queue names", T::VT_NAMES, NAMES_MAX)?, names_at, blob)?;
    let ids = |name, field| collect(table.list(name, field, most)?, |raw| job_id(&fb::JobId(raw)));
    let blob = &mut BlobReader::new(blob);
    // The blob is consumed in the order of these fields, then in that of the lists below.
    let mut request = Request {
        session: SessionId(table.u64(T::VT_SESSION)?),
        number: table.u64(T::VT_NUMBER)?,
        confirmed_below: table.u64(T::VT_CONFIRMED_BELOW)?,
        enqueues: enqueues(&table, &queues, blob)?,
        holds: Vec::new(),
        acks: collect(table.list("acks", T::VT_ACKS, most)?, |raw| {
            let ack = fb::Ack(raw);
            let result = blob.bytes("result", ack.result_len())?;
            Ok(Ack { job: job_ref(ack.job())?, result })
        })?,
        fails: collect(table.list("fails", T::VT_FAILS, most)?, |raw| {
            let fail = fb::Fail(raw);
            Ok(Fail {
                job: job_ref(fail.job())?,
                error: blob.bytes("error", fail.error_len())?,
                backtrace: blob.bytes("backtrace", fail.backtrace_len())?,
                no_retry: fail.no_retry(),
            })
        })?,
        heartbeats: collect(table.list("heartbeats", T::VT_HEARTBEATS, most)?, |raw| {
            let beat = fb::Heartbeat(raw);
            Ok(Heartbeat {
                job: job_ref(beat.job())?,
                extend_ms: beat.extend_ms(),
                progress: blob.bytes("progress", beat.progress_len())?,
                checkpoint: blob.bytes("checkpoint", beat.checkpoint_len())?,
            })
        })?,
        extend_session_ms: table.u32(T::VT_EXTEND_SESSION_MS)?,
        releases: collect(table.list("releases", T::VT_RELEASES, most)?, |raw| {
            job_ref(&fb::JobRef(raw))
        })?,
        cancels: ids("cancels", T::VT_CANCELS)?,
        deletes: ids("deletes", T::VT_DELETES)?,
        job_controls: Vec::new(),
        queue_controls: collect(
            table.list("queue controls", T::VT_QUEUE_CONTROLS, most)?,
            |raw| {
                let control = fb::QueueControl(raw);
                let action =
                    if control.paused() { QueueAction::Pause } else { QueueAction::Resume };
                Ok(QueueControl { queue: queues.get(control.name())?, action })
            },
        )?,
        fetch: fetch(&table, &queues, blob)?,
        lookups: ids("lookups", T::VT_LOOKUPS)?,
        stats: stats(table.structure(T::VT_STATS)?.map(fb::Stats), blob)?,
    };
    uniques(&table, &mut request.enqueues, blob)?;
    request.holds = holds(&table, request.enqueues.len(), blob)?;
    request.job_controls = job_controls(&table, &queues, blob)?;
    limit_keys(&table, &mut request.enqueues, blob)?;
    queue_actions(&table, &queues, &mut request.queue_controls, blob)?;
    Ok(request)
}

/// A class with its queue's name found.
#[derive(Clone, Copy)]
struct Class<'a> {
    queue: &'a str,
    like: fb::Class,
    backoff: crate::event::BackoffKind,
}

fn class<'a>(
    classes: &[[u8; size_of::<fb::Class>()]],
    at: u16,
    queues: &Names<'a>,
) -> Result<Class<'a>, DecodeError> {
    let missing = DecodeError::Range { field: "class index" };
    let like = fb::Class(*classes.get(usize::from(at)).ok_or(missing)?);
    Ok(Class { queue: queues.get(like.name())?, like, backoff: backoff(like.backoff())? })
}

fn enqueues<'a>(
    table: &Table<'a>,
    queues: &Names<'a>,
    blob: &mut BlobReader<'a>,
) -> Result<Vec<Enqueue<'a>>, DecodeError> {
    use fb::Request as T;
    let jobs = table.list("enqueues", T::VT_ENQUEUES, OPS_PER_REQUEST_MAX)?;
    let classes = table.list("classes", T::VT_CLASSES, OPS_PER_REQUEST_MAX)?;
    let whens = table.list("times", T::VT_WHENS, OPS_PER_REQUEST_MAX)?;
    if !whens.is_empty() && whens.len() != jobs.len() {
        return Err(DecodeError::Parallel { field: "times" });
    }
    let mut known: Option<(u16, Class<'a>)> = None;
    let mut out = Vec::with_capacity(jobs.len());
    for (nth, job) in jobs.iter().enumerate() {
        let job = fb::Enqueue(*job);
        let at = job.class_index();
        let of = match known {
            Some((index, class)) if index == at => class,
            _ => class(classes, at, queues)?,
        };
        known = Some((at, of));
        out.push(Enqueue {
            queue: of.queue,
            payload: blob.bytes("payload", job.payload_len())?,
            tags: blob.bytes("tags", job.tags_len())?,
            key: blob.bytes("key", job.key_len().into())?,
            key_ms: of.like.key_ms(),
            unique: &[],
            unique_ms: 0,
            limit_key: "",
            priority: of.like.priority(),
            max_retries: of.like.max_retries(),
            backoff: of.backoff,
            backoff_base_ms: of.like.backoff_base_ms(),
            backoff_cap_ms: of.like.backoff_cap_ms(),
            expire_after_ms: of.like.expire_after_ms(),
            when: whens.get(nth).map_or(Ok(When::Now), |raw| when(&fb::When(*raw)))?,
        });
    }
    Ok(out)
}

fn when(when: &fb::When) -> Result<When, DecodeError> {
    match (when.kind(), when.value()) {
        (0, _) => Ok(When::Now),
        (1, ms) => Ok(When::DelayMs(ms)),
        (2, us) => Ok(When::At(Micros(us))),
        (kind, _) => Err(DecodeError::Value { field: "kind of time", value: kind.into() }),
    }
}

fn fetch<'a>(
    table: &Table<'a>,
    queues: &Names<'a>,
    blob: &mut BlobReader<'a>,
) -> Result<Option<Fetch<'a>>, DecodeError> {
    use fb::Request as T;
    let Some(fetch) = table.structure(T::VT_FETCH)?.map(fb::Fetch) else { return Ok(None) };
    let names = table.list("queues of a fetch", T::VT_FETCH_NAMES, FETCH_QUEUES_MAX)?;
    Ok(Some(Fetch {
        queues: collect(names, |raw| queues.get(u16::from_le_bytes(raw)))?,
        count: fetch.count(),
        lease_ms: fetch.lease_ms(),
        wait_ms: fetch.wait_ms(),
        worker: blob.text("worker", fetch.worker_len())?,
    }))
}

fn stats<'a>(
    stats: Option<fb::Stats>,
    blob: &mut BlobReader<'a>,
) -> Result<Stats<'a>, DecodeError> {
    let Some(stats) = stats else { return Ok(Stats::None) };
    let first = blob.text("queue name", stats.first_len().into())?;
    let second = blob.text("queue name", stats.second_len().into())?;
    match stats.kind() {
        0 => Ok(Stats::None),
        1 => Ok(Stats::Shard),
        2 => Ok(Stats::Queue(first)),
        3 => Ok(Stats::Queues { prefix: first, after: second }),
        kind => Err(DecodeError::Value { field: "kind of statistics", value: kind.into() }),
    }
}
