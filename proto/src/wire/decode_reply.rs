//! Bytes to replies and deliveries.

use super::agents::{decode_iterations, decode_leases, decode_lookups};
use super::blob::BlobReader;
use super::generated as fb;
use super::operations::{operated, views};
use super::plans::{decode_appended, decode_lookup_plans};
use super::table::{Names, STATES_V1, Table, code, collect, job_id, names, sharing};
use super::ties::batch_answers;
use super::usage::{decode_costs, decode_sums};
use super::{
    DecodeError, EnqueuedRun, LeasedJob, Lookup, ReplyFrame, errors, history, kin, rules,
    schedules, workers,
};
use crate::event::QueueSettings;
use crate::limits::{FETCH_COUNT_MAX, OPS_PER_REQUEST_MAX};
use crate::reply::{Failed, JobState, QueueStats, ShardStats};
use crate::{EventSeq, JobSeq, LeaseToken, Micros};

/// A list of a reply is never longer than what the request asked for; queues are bounded by the frame.
const LIST_MAX: usize = OPS_PER_REQUEST_MAX;
const _: () = assert!(FETCH_COUNT_MAX as usize <= LIST_MAX);

pub(super) fn reply<'a>(blob: &'a [u8], bytes: &'a [u8]) -> Result<ReplyFrame<'a>, DecodeError> {
    use fb::Reply as T;
    let table = Table::open(bytes)?;
    let most = LIST_MAX;
    let names_at = table.u32(T::VT_NAMES_AT)?;
    let names = names(table.list("queue names", T::VT_NAMES, usize::MAX)?, names_at, blob)?;
    let codes = |name, field| collect(table.list(name, field, most)?, |[n]: [u8; 1]| code(n));
    let blob = &mut BlobReader::new(blob);
    let (batches, batch_seals, batch_lookups) = batch_answers(&table)?;
    // The blob is consumed in the order of these fields, then in that of the list below.
    let mut reply = ReplyFrame {
        number: table.u64(T::VT_NUMBER)?,
        code: code(table.u8(T::VT_CODE)?)?,
        more: table.u8(T::VT_MORE)? != 0,
        retry_after_ms: table.u32(T::VT_RETRY_AFTER_MS)?,
        message: blob.text("message", table.u32(T::VT_MESSAGE_LEN)?)?,
        redirect: blob.text("redirect", table.u16(T::VT_REDIRECT_LEN)?.into())?,
        enqueued: collect(table.list("runs", T::VT_ENQUEUED, most)?, |raw| {
            enqueued(&fb::Enqueued(raw))
        })?,
        acks: codes("acks", T::VT_ACKS)?,
        fails: collect(table.list("fails", T::VT_FAILS, most)?, |raw| {
            let failed = fb::Failed(raw);
            Ok(Failed {
                code: code(failed.code())?,
                next_attempt: Micros(failed.next_attempt_us()),
                attempts_left: failed.attempts_left(),
            })
        })?,
        heartbeats: codes("heartbeats", T::VT_HEARTBEATS)?,
        releases: codes("releases", T::VT_RELEASES)?,
        cancels: codes("cancels", T::VT_CANCELS)?,
        deletes: codes("deletes", T::VT_DELETES)?,
        job_controls: codes("job controls", T::VT_JOB_CONTROLS)?,
        schedule_controls: schedules::changed(&table)?,
        leases: leases(table.list("leases", T::VT_LEASES, most)?, &names, blob)?,
        lookups: collect(table.list("lookups", T::VT_LOOKUPS, most)?, |raw| {
            Lookup::decode(&fb::Lookup(raw), &names, blob)
        })?,
        queue_stats: collect(table.list("queues", T::VT_QUEUE_STATS, usize::MAX)?, |raw| {
            queue_stats(&fb::QueueStats(raw), &names)
        })?,
        shard_stats: table
            .structure(T::VT_SHARD_STATS)?
            .map(|raw| shard_stats(&fb::ShardStats(raw))),
        batches,
        batch_seals,
        batch_lookups,
        appended: decode_appended(&table)?,
        events: Vec::new(),
        schedules: Vec::new(),
        schedule_times: schedules::times(&table)?,
        operated: match table.structure(T::VT_OPERATED)? {
            Some(raw) => Some(operated(&fb::Operated(raw))?),
            None => None,
        },
        operations: Vec::new(),
        errors: Vec::new(),
        workers: Vec::new(),
        children: kin::decode_child_list(&table)?,
        usage: Vec::new(),
        iterations: Vec::new(),
        rule_controls: rules::done(&table)?,
        budgets: Vec::new(),
        policies: Vec::new(),
        held: kin::decode_held_list(&table)?,
    };
    let more = table.list("details of lookups", T::VT_LOOKUPS_MORE, most)?;
    if !more.is_empty() && more.len() != reply.lookups.len() {
        return Err(DecodeError::Parallel { field: "details of lookups" });
    }
    for (lookup, raw) in reply.lookups.iter_mut().zip(more) {
        lookup.decode_more(&fb::LookupMore(*raw), blob)?;
    }
    let settings = table.list("settings of queues", T::VT_QUEUE_SETTINGS, usize::MAX)?;
    if !settings.is_empty() && settings.len() != reply.queue_stats.len() {
        return Err(DecodeError::Parallel { field: "settings of queues" });
    }
    for (queue, raw) in reply.queue_stats.iter_mut().zip(settings) {
        queue_settings(queue, &fb::QueueSettings(*raw))?;
    }
    let planned = table.list("planned jobs of queues", T::VT_PLANNED, usize::MAX)?;
    if !planned.is_empty() && planned.len() != reply.queue_stats.len() {
        return Err(DecodeError::Parallel { field: "planned jobs of queues" });
    }
    for (queue, raw) in reply.queue_stats.iter_mut().zip(planned) {
        queue.jobs[JobState::Planned as usize] = u64::from_le_bytes(*raw);
    }
    let moved = table.list("moved jobs of queues", T::VT_MOVED, usize::MAX)?;
    if !moved.is_empty() && moved.len() != reply.queue_stats.len() {
        return Err(DecodeError::Parallel { field: "moved jobs of queues" });
    }
    for (queue, raw) in reply.queue_stats.iter_mut().zip(moved) {
        queue.jobs[JobState::Moved as usize] = u64::from_le_bytes(*raw);
    }
    kin::decode_lookup_kin(&table, &names, &mut reply.lookups)?;
    let exceeded = table.list("exceeded budgets of queues", T::VT_EXCEEDED, usize::MAX)?;
    if !exceeded.is_empty() && exceeded.len() != reply.queue_stats.len() {
        return Err(DecodeError::Parallel { field: "exceeded budgets of queues" });
    }
    for (queue, [number]) in reply.queue_stats.iter_mut().zip(exceeded) {
        queue.exceeded = rules::exceeded(*number)?;
    }
    decode_lookup_plans(&table, &mut reply.lookups, blob)?;
    reply.events = history::decode(&table, blob)?;
    reply.schedules = schedules::details(&table, &names, blob)?;
    reply.operations = views(&table, blob)?;
    reply.errors = errors::decode(&table, blob)?;
    reply.workers = workers::decode(&table, &names, blob)?;
    decode_costs(&table, &mut reply.lookups)?;
    reply.usage = decode_sums(&table, blob)?;
    let agents = table.list("leased agents", T::VT_LEASE_AGENTS, most)?;
    decode_leases(agents, &mut reply.leases)?;
    decode_lookups(&table, &mut reply.lookups)?;
    reply.iterations = decode_iterations(&table, blob)?;
    (reply.budgets, reply.policies) = rules::views(&table, blob)?;
    Ok(reply)
}

pub(super) fn deliver<'a>(
    blob: &'a [u8],
    bytes: &'a [u8],
) -> Result<(u32, Vec<LeasedJob<'a>>), DecodeError> {
    use fb::Deliver as T;
    let table = Table::open(bytes)?;
    let names_at = table.u32(T::VT_NAMES_AT)?;
    let names = names(table.list("queue names", T::VT_NAMES, usize::MAX)?, names_at, blob)?;
    let list = table.list("leases", T::VT_LEASES, LIST_MAX)?;
    let mut leases = leases(list, &names, &mut BlobReader::new(blob))?;
    let agents = table.list("leased agents", T::VT_LEASE_AGENTS, LIST_MAX)?;
    decode_leases(agents, &mut leases)?;
    Ok((table.u32(T::VT_SUBSCRIPTION)?, leases))
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
    leases: &[[u8; size_of::<fb::Lease>()]],
    names: &Names<'a>,
    blob: &mut BlobReader<'a>,
) -> Result<Vec<LeasedJob<'a>>, DecodeError> {
    collect(leases, |raw| {
        let lease = fb::Lease(raw);
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
            agent: None,
        })
    })
}

fn queue_stats(stats: &fb::QueueStats, names: &Names<'_>) -> Result<QueueStats, DecodeError> {
    let jobs = stats.jobs();
    Ok(QueueStats {
        queue: names.get(stats.name())?.to_owned(),
        paused: stats.paused(),
        draining: false,
        settings: QueueSettings::default(),
        keys: 0,
        jobs: std::array::from_fn(|state| if state < STATES_V1 { jobs.get(state) } else { 0 }),
        enqueued_total: stats.enqueued_total(),
        exceeded: None,
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

fn queue_settings(queue: &mut QueueStats, wire: &fb::QueueSettings) -> Result<(), DecodeError> {
    queue.draining = wire.draining();
    queue.keys = wire.keys();
    queue.settings = QueueSettings {
        concurrency: wire.concurrency(),
        rate: wire.rate(),
        window_ms: wire.window_ms(),
        key_concurrency: wire.key_concurrency(),
        key_rate: wire.key_rate(),
        key_window_ms: wire.key_window_ms(),
        fair: sharing(wire.fair())?,
    };
    Ok(())
}
