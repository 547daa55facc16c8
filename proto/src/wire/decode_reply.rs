//! Bytes to replies and deliveries.

use flatbuffers::Vector;

use super::blob::BlobReader;
use super::generated as fb;
use super::table::{Names, code, collect, job_id, list, names, open};
use super::{DecodeError, EnqueuedRun, LeasedJob, Lookup, ReplyFrame};
use crate::limits::{FETCH_COUNT_MAX, OPS_PER_REQUEST_MAX};
use crate::reply::{Failed, QueueStats, ShardStats};
use crate::{Code, EventSeq, JobSeq, LeaseToken, Micros};

/// A list of a reply is never longer than what the request asked for; queues are bounded by the frame.
const LIST_MAX: usize = OPS_PER_REQUEST_MAX;
const _: () = assert!(FETCH_COUNT_MAX as usize <= LIST_MAX);

type List<'a, T> = Option<Vector<'a, T>>;

pub(super) fn reply<'a>(blob: &'a [u8], bytes: &'a [u8]) -> Result<ReplyFrame<'a>, DecodeError> {
    let table = open::<fb::Reply<'_>>(bytes)?;
    let names = names(table.names(), table.names_at(), blob)?;
    let blob = &mut BlobReader::new(blob);
    // The blob is consumed in the order of these fields.
    Ok(ReplyFrame {
        number: table.number(),
        code: code(table.code())?,
        more: table.more(),
        retry_after_ms: table.retry_after_ms(),
        message: blob.text("message", table.message_len())?,
        redirect: blob.text("redirect", table.redirect_len().into())?,
        enqueued: collect(list("runs", table.enqueued(), LIST_MAX)?, enqueued)?,
        acks: codes("acks", table.acks())?,
        fails: collect(list("fails", table.fails(), LIST_MAX)?, |failed| {
            Ok(Failed {
                code: code(failed.code())?,
                next_attempt: Micros(failed.next_attempt_us()),
                attempts_left: failed.attempts_left(),
            })
        })?,
        heartbeats: codes("heartbeats", table.heartbeats())?,
        releases: codes("releases", table.releases())?,
        cancels: codes("cancels", table.cancels())?,
        deletes: codes("deletes", table.deletes())?,
        leases: leases(table.leases(), &names, blob)?,
        lookups: collect(list("lookups", table.lookups(), LIST_MAX)?, |lookup| {
            Lookup::decode(lookup, &names, blob)
        })?,
        queue_stats: collect(table.queue_stats(), |stats| queue_stats(stats, &names))?,
        shard_stats: table.shard_stats().map(shard_stats),
    })
}

pub(super) fn deliver<'a>(
    blob: &'a [u8],
    bytes: &'a [u8],
) -> Result<(u32, Vec<LeasedJob<'a>>), DecodeError> {
    let table = open::<fb::Deliver<'_>>(bytes)?;
    let names = names(table.names(), table.names_at(), blob)?;
    let leases = leases(table.leases(), &names, &mut BlobReader::new(blob))?;
    Ok((table.subscription(), leases))
}

fn codes(field: &'static str, numbers: List<'_, u8>) -> Result<Vec<Code>, DecodeError> {
    let Some(numbers) = list(field, numbers, LIST_MAX)? else { return Ok(Vec::new()) };
    numbers.bytes().iter().map(|n| code(*n)).collect()
}

fn enqueued(run: &fb::Enqueued) -> Result<EnqueuedRun, DecodeError> {
    let (first, count) = (job_id(run.first())?, run.count());
    // So that the ids of the run can be computed without overflow.
    if count as usize > LIST_MAX {
        return Err(DecodeError::TooMany {
            field: "jobs of a run",
            count: count as usize,
            count_max: LIST_MAX,
        });
    }
    let last = first.seq().0 + u64::from(count);
    if last >= 1 << 50 {
        return Err(DecodeError::Value { field: "job sequence", value: last });
    }
    Ok(EnqueuedRun { code: code(run.code())?, first, count })
}

fn leases<'a>(
    leases: List<'a, fb::Lease>,
    names: &Names<'a>,
    blob: &mut BlobReader<'a>,
) -> Result<Vec<LeasedJob<'a>>, DecodeError> {
    collect(list("leases", leases, LIST_MAX)?, |lease| {
        Ok(LeasedJob {
            job: job_id(lease.job())?,
            token: LeaseToken(lease.token()),
            deadline: Micros(lease.deadline_us()),
            attempt: lease.attempt(),
            max_retries: lease.max_retries(),
            queue: names.get(lease.name())?,
            payload: blob.bytes("payload", lease.payload_len())?,
            tags: blob.bytes("tags", lease.tags_len())?,
            checkpoint: blob.bytes("checkpoint", lease.checkpoint_len())?,
        })
    })
}

fn queue_stats(stats: &fb::QueueStats, names: &Names<'_>) -> Result<QueueStats, DecodeError> {
    let jobs = stats.jobs();
    Ok(QueueStats {
        queue: names.get(stats.name())?.to_owned(),
        paused: stats.paused(),
        jobs: std::array::from_fn(|state| jobs.get(state)),
        enqueued_total: stats.enqueued_total(),
    })
}

fn shard_stats(stats: &fb::ShardStats) -> ShardStats {
    ShardStats {
        queues: stats.queues(),
        sessions: stats.sessions(),
        leases: stats.leases(),
        jobs: stats.jobs(),
        last_event: EventSeq(stats.last_event()),
        last_job: JobSeq(stats.last_job()),
        state_hash: stats.state_hash(),
        time: Micros(stats.time_us()),
    }
}
