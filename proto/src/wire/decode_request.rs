//! Bytes to requests.

use super::agents::agents;
use super::blob::BlobReader;
use super::decode_controls::{holds, job_controls, limit_keys, queue_actions, uniques};
use super::generated as fb;
use super::operations::operate;
use super::plans::{decode_appends, decode_history, decode_plans};
use super::table::{Names, Table, backoff, collect, job_id, job_ref, names};
use super::ties::ties;
use super::usage::usages;
use super::{DecodeError, archive, errors, kin, rules, schedules, workers};
use crate::limits::{FETCH_QUEUES_MAX, OPS_PER_REQUEST_MAX};
use crate::request::{
    Ack, Enqueue, Fail, Fetch, Heartbeat, QueueAction, QueueControl, Request, Stats, When,
};
use crate::{Micros, SessionId};

/// Names a request can need: one for each enqueue, step, job control, queue control, queue action and schedule control, and
/// those of the fetch. Archived jobs come without others.
const NAMES_MAX: usize = 6 * OPS_PER_REQUEST_MAX + FETCH_QUEUES_MAX;
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
        ..Request::default()
    };
    if table.reaches_past(T::VT_STATS) {
        decode_rest(&table, &queues, blob, &mut request)?;
    }
    Ok(request)
}

/// What most requests have nothing of: its fields come after all others, so that a table says by its length alone that it has none.
fn decode_rest<'a>(
    table: &Table<'a>,
    queues: &Names<'a>,
    blob: &mut BlobReader<'a>,
    request: &mut Request<'a>,
) -> Result<(), DecodeError> {
    request.history = decode_history(table)?;
    request.errors = errors::wanted(table)?;
    request.children = kin::decode_children(table)?;
    request.held = kin::decode_held(table)?;
    uniques(table, &mut request.enqueues, blob)?;
    request.holds = holds(table, request.enqueues.len(), blob)?;
    request.job_controls = job_controls(table, queues, blob)?;
    limit_keys(table, &mut request.enqueues, blob)?;
    queue_actions(table, queues, &mut request.queue_controls, blob)?;
    request.operation = operate(table, blob)?;
    request.ties = ties(table, &Classes::open(table, queues)?, blob)?;
    request.plans = decode_plans(table, request.enqueues.len(), blob)?;
    request.appends = decode_appends(table, blob)?;
    request.schedule_controls = schedules::controls(table, queues, blob)?;
    request.schedules = schedules::query(table, blob)?;
    request.workers = workers::wanted(table, blob)?;
    usages(table, request, blob)?;
    agents(table, request, blob)?;
    request.rule_controls = rules::controls(table, blob)?;
    request.archived = archive::controls(table, queues, blob)?;
    Ok(())
}

/// The classes of a frame.
pub(super) struct Classes<'t, 'a> {
    list: &'a [[u8; size_of::<fb::Class>()]],
    queues: &'t Names<'a>,
}

/// A class with its queue's name found.
#[derive(Clone, Copy)]
pub(super) struct Class<'a> {
    queue: &'a str,
    like: fb::Class,
    backoff: crate::event::BackoffKind,
}

impl<'t, 'a> Classes<'t, 'a> {
    pub(super) fn open(table: &Table<'a>, queues: &'t Names<'a>) -> Result<Self, DecodeError> {
        let list = table.list("classes", fb::Request::VT_CLASSES, 2 * OPS_PER_REQUEST_MAX)?;
        Ok(Self { list, queues })
    }

    pub(super) fn get(&self, at: u16) -> Result<Class<'a>, DecodeError> {
        let missing = DecodeError::Range { field: "class index" };
        let like = fb::Class(*self.list.get(usize::from(at)).ok_or(missing)?);
        Ok(Class { queue: self.queues.get(like.name())?, like, backoff: backoff(like.backoff())? })
    }
}

impl<'a> Class<'a> {
    /// A job of the class, empty.
    pub(super) fn enqueue(&self, when: When) -> Enqueue<'a> {
        let like = &self.like;
        Enqueue {
            queue: self.queue,
            payload: &[],
            tags: &[],
            key: &[],
            key_ms: like.key_ms(),
            unique: &[],
            unique_ms: 0,
            limit_key: "",
            priority: like.priority(),
            max_retries: like.max_retries(),
            backoff: self.backoff,
            backoff_base_ms: like.backoff_base_ms(),
            backoff_cap_ms: like.backoff_cap_ms(),
            expire_after_ms: like.expire_after_ms(),
            when,
        }
    }
}

fn enqueues<'a>(
    table: &Table<'a>,
    queues: &Names<'a>,
    blob: &mut BlobReader<'a>,
) -> Result<Vec<Enqueue<'a>>, DecodeError> {
    use fb::Request as T;
    let jobs = table.list("enqueues", T::VT_ENQUEUES, OPS_PER_REQUEST_MAX)?;
    let classes = Classes::open(table, queues)?;
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
            _ => classes.get(at)?,
        };
        known = Some((at, of));
        let when = whens.get(nth).map_or(Ok(When::Now), |raw| when(&fb::When(*raw)))?;
        out.push(Enqueue {
            payload: blob.bytes("payload", job.payload_len())?,
            tags: blob.bytes("tags", job.tags_len())?,
            key: blob.bytes("key", job.key_len().into())?,
            ..of.enqueue(when)
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
        4 => Ok(Stats::Operations),
        5 => Ok(Stats::Rules),
        kind => Err(DecodeError::Value { field: "kind of statistics", value: kind.into() }),
    }
}
