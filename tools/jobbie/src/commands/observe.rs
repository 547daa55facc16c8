//! Why a job failed, which wait for a human, and who works.

use std::collections::BTreeMap;

use jobbie_proto::limits::{HELD_COUNT_MAX, WORKERS_PER_ANSWER_MAX};
use jobbie_proto::reply::{JobState, WorkerView};
use jobbie_proto::request::{HeldJobs, Workers};
use jobbie_proto::wire::JobError;
use jobbie_proto::{JobSeq, Request, SessionId};
use serde_json::Value;

use super::history::{self, walk};
use super::print_failed;
use crate::args::{ErrorsArgs, HeldArgs, WorkersArgs};
use crate::call::{CallError, Server};
use crate::exit::Exit;
use crate::output::{Rows, some_bytes};

pub(super) fn errors(args: &ErrorsArgs) -> Result<Exit, CallError> {
    let mut server = Server::connect(&args.client, None)?;
    let mut rows = Rows::new(&["event", "time_ms", "attempt", "error", "backtrace"]);
    let ask = |request: &mut Request<'_>, history| request.errors = Some(history);
    walk(&mut server, args.job, args.count, ask, |reply, tell| {
        for error in &reply.errors {
            rows.push(row(error));
            tell(error.previous);
        }
    })?;
    history::print(&rows, args.job, "errors", args.client.output)
}

fn row(error: &JobError<'_>) -> Vec<Value> {
    let attempt = if error.attempt == 0 { Value::Null } else { error.attempt.into() };
    let (text, backtrace) = (some_bytes(error.error), some_bytes(error.backtrace));
    vec![error.event.0.into(), error.time.ms().into(), attempt, text, backtrace]
}

/// A worker on all shards: each knows it by a session of its own.
#[derive(Default)]
pub(super) struct Everywhere {
    queues: Vec<String>,
    queues_asked: u64,
    pub(super) active: u64,
    started_ms: u64,
    pub(super) last_seen_ms: u64,
    sessions: Vec<Value>,
}

impl Everywhere {
    fn add(&mut self, worker: &WorkerView) {
        let news = worker.queues.iter().filter(|queue| !self.queues.contains(queue));
        let news: Vec<_> = news.cloned().collect();
        self.queues.extend(news);
        self.queues_asked += u64::from(worker.queues_asked);
        self.active += u64::from(worker.leases);
        let started = worker.started.ms();
        let first = self.sessions.is_empty() || started < self.started_ms;
        self.started_ms = if first { started } else { self.started_ms };
        self.last_seen_ms = self.last_seen_ms.max(worker.last_seen.ms());
        self.sessions.push(worker.session.0.into());
    }
}

/// Held jobs that are looked up at once.
const HELD_LOOKED_UP: usize = 100;

pub(super) fn held(args: &HeldArgs) -> Result<Exit, CallError> {
    let mut server = Server::connect(&args.client, None)?;
    let mut rows = Rows::new(&["job", "queue", "reason", "by"]);
    for shard in server.shards() {
        let mut after = JobSeq(0);
        loop {
            let held = Some(HeldJobs { after, count: HELD_COUNT_MAX });
            let mut request = Request { held, ..Request::default() };
            let mut page = Vec::new();
            server.call(shard, &mut request, |reply| page.extend_from_slice(&reply.held))?;
            let Some(last) = page.last() else { break };
            after = last.seq();
            for jobs in page.chunks(HELD_LOOKED_UP) {
                let mut request = Request { lookups: jobs.to_vec(), ..Request::default() };
                server.call(shard, &mut request, |reply| {
                    for lookup in &reply.lookups {
                        let Some(of) = lookup.details.filter(|of| of.state == JobState::Held)
                        else {
                            continue;
                        };
                        rows.push(vec![
                            lookup.job.to_string().into(),
                            of.queue.into(),
                            some_bytes(of.bytes.hold_reason),
                            some_bytes(of.bytes.hold_by.as_bytes()),
                        ]);
                    }
                })?;
            }
        }
    }
    if rows.is_empty() {
        eprintln!("there are no held jobs");
        return Ok(Exit::Nothing);
    }
    rows.print(args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

/// Every worker by name and host.
pub(super) fn everywhere(
    server: &mut Server,
) -> Result<BTreeMap<(String, String), Everywhere>, CallError> {
    let mut found: BTreeMap<(String, String), Everywhere> = BTreeMap::new();
    for shard in server.shards() {
        let (mut after_session, mut after_worker) = (SessionId(0), String::new());
        loop {
            let (count, after) = (WORKERS_PER_ANSWER_MAX, after_worker.clone());
            let wanted = Workers { after_session, after_worker: &after, count };
            let mut request = Request { workers: Some(wanted), ..Request::default() };
            let mut any = false;
            server.call(shard, &mut request, |reply| {
                for worker in &reply.workers {
                    any = true;
                    (after_session, after_worker) = (worker.session, worker.name.clone());
                    let key = (worker.name.clone(), worker.host.clone());
                    found.entry(key).or_default().add(worker);
                }
            })?;
            if !any {
                break;
            }
        }
    }
    Ok(found)
}

pub(super) fn workers(args: &WorkersArgs) -> Result<Exit, CallError> {
    let found = everywhere(&mut Server::connect(&args.client, None)?)?;
    if found.is_empty() {
        eprintln!("no worker has asked for jobs within the last 24 hours");
        return Ok(Exit::Nothing);
    }
    let mut rows = Rows::new(&[
        "id",
        "hostname",
        "queues",
        "active",
        "last_seen_ms",
        "started_ms",
        "queues_asked",
        "sessions",
    ]);
    for ((name, host), worker) in found {
        rows.push(vec![
            name.into(),
            host.into(),
            worker.queues.into(),
            worker.active.into(),
            worker.last_seen_ms.into(),
            worker.started_ms.into(),
            worker.queues_asked.into(),
            worker.sessions.into(),
        ]);
    }
    rows.print(args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}
