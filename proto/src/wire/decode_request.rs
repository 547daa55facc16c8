//! Bytes to requests.

use flatbuffers::Vector;

use super::DecodeError;
use super::blob::BlobReader;
use super::generated as fb;
use super::table::{Names, backoff, collect, job_id, job_ref, list, names, open};
use crate::limits::{FETCH_QUEUES_MAX, OPS_PER_REQUEST_MAX};
use crate::request::{Ack, Enqueue, Fail, Fetch, Heartbeat, QueueControl, Request, Stats, When};
use crate::{Micros, SessionId};

type List<'a, T> = Option<Vector<'a, T>>;

/// Names a request can need: one for each enqueue and queue control, and those of the fetch.
const NAMES_MAX: usize = 2 * OPS_PER_REQUEST_MAX + FETCH_QUEUES_MAX;
const _: () = assert!(NAMES_MAX <= u16::MAX as usize);

pub(super) fn decode<'a>(blob: &'a [u8], bytes: &'a [u8]) -> Result<Request<'a>, DecodeError> {
    let table = open::<fb::Request<'_>>(bytes)?;
    let most = OPS_PER_REQUEST_MAX;
    let queues = names(list("queue names", table.names(), NAMES_MAX)?, table.names_at(), blob)?;
    let blob = &mut BlobReader::new(blob);
    // The blob is consumed in the order of these fields.
    Ok(Request {
        session: SessionId(table.session()),
        number: table.number(),
        confirmed_below: table.confirmed_below(),
        enqueues: enqueues(&table, &queues, blob)?,
        acks: collect(list("acks", table.acks(), most)?, |ack| {
            let result = blob.bytes("result", ack.result_len())?;
            Ok(Ack { job: job_ref(ack.job())?, result })
        })?,
        fails: collect(list("fails", table.fails(), most)?, |fail| {
            Ok(Fail {
                job: job_ref(fail.job())?,
                error: blob.bytes("error", fail.error_len())?,
                backtrace: blob.bytes("backtrace", fail.backtrace_len())?,
                no_retry: fail.no_retry(),
            })
        })?,
        heartbeats: collect(list("heartbeats", table.heartbeats(), most)?, |beat| {
            Ok(Heartbeat {
                job: job_ref(beat.job())?,
                extend_ms: beat.extend_ms(),
                progress: blob.bytes("progress", beat.progress_len())?,
                checkpoint: blob.bytes("checkpoint", beat.checkpoint_len())?,
            })
        })?,
        extend_session_ms: table.extend_session_ms(),
        releases: collect(list("releases", table.releases(), most)?, job_ref)?,
        cancels: collect(list("cancels", table.cancels(), most)?, job_id)?,
        deletes: collect(list("deletes", table.deletes(), most)?, job_id)?,
        queue_controls: collect(list("queue controls", table.queue_controls(), most)?, |c| {
            Ok(QueueControl { queue: queues.get(c.name())?, paused: c.paused() })
        })?,
        fetch: fetch(&table, &queues, blob)?,
        lookups: collect(list("lookups", table.lookups(), most)?, job_id)?,
        stats: stats(table.stats(), blob)?,
    })
}

/// A class with its queue's name found.
#[derive(Clone, Copy)]
struct Class<'a> {
    queue: &'a str,
    like: &'a fb::Class,
    backoff: crate::event::BackoffKind,
}

fn class<'a>(
    classes: &List<'a, fb::Class>,
    at: u16,
    queues: &Names<'a>,
) -> Result<Class<'a>, DecodeError> {
    let missing = DecodeError::Range { field: "class index" };
    let Some(classes) = classes.as_ref().filter(|v| usize::from(at) < v.len()) else {
        return Err(missing);
    };
    let like = classes.get(usize::from(at));
    Ok(Class { queue: queues.get(like.name())?, like, backoff: backoff(like.backoff())? })
}

fn enqueues<'a>(
    table: &fb::Request<'a>,
    queues: &Names<'a>,
    blob: &mut BlobReader<'a>,
) -> Result<Vec<Enqueue<'a>>, DecodeError> {
    let Some(jobs) = list("enqueues", table.enqueues(), OPS_PER_REQUEST_MAX)? else {
        return Ok(Vec::new());
    };
    let classes = list("classes", table.classes(), OPS_PER_REQUEST_MAX)?;
    let whens = list("times", table.whens(), OPS_PER_REQUEST_MAX)?;
    if whens.is_some_and(|v| v.len() != jobs.len()) {
        return Err(DecodeError::Parallel { field: "whens" });
    }
    let mut known: Option<(u16, Class<'a>)> = None;
    let mut out = Vec::with_capacity(jobs.len());
    for (nth, job) in jobs.iter().enumerate() {
        let at = job.class_index();
        let of = match known {
            Some((index, class)) if index == at => class,
            _ => class(&classes, at, queues)?,
        };
        known = Some((at, of));
        out.push(Enqueue {
            queue: of.queue,
            payload: blob.bytes("payload", job.payload_len())?,
            tags: blob.bytes("tags", job.tags_len())?,
            key: blob.bytes("key", job.key_len().into())?,
            key_ms: of.like.key_ms(),
            priority: of.like.priority(),
            max_retries: of.like.max_retries(),
            backoff: of.backoff,
            backoff_base_ms: of.like.backoff_base_ms(),
            backoff_cap_ms: of.like.backoff_cap_ms(),
            expire_after_ms: of.like.expire_after_ms(),
            when: whens.map_or(Ok(When::Now), |v| when(v.get(nth)))?,
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
    table: &fb::Request<'a>,
    queues: &Names<'a>,
    blob: &mut BlobReader<'a>,
) -> Result<Option<Fetch<'a>>, DecodeError> {
    let Some(fetch) = table.fetch() else { return Ok(None) };
    let positions = list("queues of a fetch", table.fetch_names(), FETCH_QUEUES_MAX)?;
    Ok(Some(Fetch {
        queues: collect(positions, |at| queues.get(at))?,
        count: fetch.count(),
        lease_ms: fetch.lease_ms(),
        wait_ms: fetch.wait_ms(),
        worker: blob.text("worker", fetch.worker_len())?,
    }))
}

fn stats<'a>(
    stats: Option<&'a fb::Stats>,
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
