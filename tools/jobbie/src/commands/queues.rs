//! What is asked of queues and of the server as a whole.

use jobbie_proto::Request;
use jobbie_proto::reply::{JobState, QueueStats};
use jobbie_proto::request::{QueueAction, QueueControl, Stats};
use jobbie_proto::wire::ServerSettings;
use serde_json::Value;

use super::print_failed;
use crate::args::{QueueArgs, QueuesArgs, StatusArgs};
use crate::call::{CallError, Server};
use crate::exit::Exit;
use crate::output::Rows;

/// Every queue whose name begins as told, by name.
pub(super) fn found(args: &QueuesArgs) -> Result<Vec<QueueStats>, CallError> {
    all(&mut Server::connect(&args.client, None)?, &args.prefix)
}

/// The same over a connection that is there.
pub(super) fn all(server: &mut Server, prefix: &str) -> Result<Vec<QueueStats>, CallError> {
    let mut found: Vec<QueueStats> = Vec::new();
    for shard in server.shards() {
        // As many as fit a frame come at once; the last name says where to go on.
        let mut after = String::new();
        loop {
            let stats = Stats::Queues { prefix, after: &after };
            let mut request = Request { stats, ..Request::default() };
            let before = found.len();
            server
                .call(shard, &mut request, |reply| found.extend_from_slice(&reply.queue_stats))?;
            match found[before..].last() {
                Some(last) => after = last.queue.clone(),
                None => break,
            }
        }
    }
    found.sort_by(|a, b| a.queue.cmp(&b.queue));
    Ok(found)
}

pub(super) fn list(args: &QueuesArgs) -> Result<Exit, CallError> {
    let found = found(args)?;
    let mut rows = Rows::new(&[
        "queue",
        "pending",
        "scheduled",
        "active",
        "retrying",
        "held",
        "completed",
        "dead",
        "cancelled",
        "planned",
        "moved",
        "paused",
        "enqueued",
    ]);
    for queue in &found {
        let count = |state: JobState| Value::from(queue.jobs[state as usize]);
        rows.push(vec![
            queue.queue.as_str().into(),
            count(JobState::Pending),
            count(JobState::Scheduled),
            count(JobState::Active),
            count(JobState::Retrying),
            count(JobState::Held),
            count(JobState::Completed),
            count(JobState::Dead),
            count(JobState::Cancelled),
            count(JobState::Planned),
            count(JobState::Moved),
            queue.paused.into(),
            queue.enqueued_total.into(),
        ]);
    }
    rows.print(args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

pub(super) fn control(args: &QueueArgs, action: QueueAction<'_>) -> Result<Exit, CallError> {
    let mut server = Server::connect(&args.client, None)?;
    act(&mut server, &args.queue, action)?;
    let paused = action != QueueAction::Resume;
    let mut rows = Rows::new(&["queue", "paused"]);
    rows.push(vec![args.queue.as_str().into(), paused.into()]);
    rows.print_one(args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

/// Does something to a queue.
pub(super) fn act(
    server: &mut Server,
    queue: &str,
    action: QueueAction<'_>,
) -> Result<(), CallError> {
    let shard = server.shard_of(queue);
    let queue_controls = vec![QueueControl { queue, action }];
    let mut request = Request { queue_controls, ..Request::default() };
    server.call(shard, &mut request, |_| {})
}

pub(super) fn status(args: &StatusArgs) -> Result<Exit, CallError> {
    let mut server = Server::connect(&args.client, None)?;
    let mut rows = Rows::new(&[
        "shard",
        "queues",
        "jobs",
        "leases",
        "sessions",
        "last_event",
        "last_job",
        "state_hash",
        "time_ms",
        "retention_ms",
        "lease_expiries_max",
    ]);
    for shard in server.shards() {
        let mut request = Request { stats: Stats::Shard, ..Request::default() };
        let mut stats = None;
        server.call(shard, &mut request, |reply| stats = stats.or(reply.shard_stats))?;
        let Some(stats) = stats else { continue };
        let ServerSettings { retention_ms, lease_expiries_max } = server.settings();
        let known = |ms: u64| Some(ms).filter(|ms| *ms > 0);
        rows.push(vec![
            shard.0.into(),
            stats.queues.into(),
            stats.jobs.into(),
            stats.leases.into(),
            stats.sessions.into(),
            stats.last_event.0.into(),
            stats.last_job.0.into(),
            format!("{:016x}", stats.state_hash).into(),
            stats.time.ms().into(),
            // A server that does not say keeps jobs all the same.
            known(retention_ms).map_or(Value::Null, Value::from),
            known(retention_ms).map_or(Value::Null, |_| lease_expiries_max.into()),
        ]);
    }
    rows.print(args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}
