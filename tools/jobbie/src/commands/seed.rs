//! Jobs to look at, for demonstrations.

use jobbie_proto::event::{BackoffKind, HoldEnd};
use jobbie_proto::limits;
use jobbie_proto::request::{Ack, Enqueue, EnqueueHold, Fail, Fetch, Hold, JobRef, When};
use jobbie_proto::{JobId, LeaseToken, Request};

use super::print_failed;
use crate::args::SeedCommand;
use crate::call::{CallError, Server};
use crate::exit::Exit;
use crate::output::Rows;

/// Queues of demonstrations.
const QUEUES: [&str; 3] = ["demo.mail", "demo.reports", "demo.video"];
/// When a scheduled job is due.
const DELAY_MS: u64 = 3_600_000;

/// What becomes of a job that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Completed,
    Dead,
    Retrying,
    Active,
    Held,
    Scheduled,
    Cancelled,
    Pending,
}

impl Fate {
    /// Those that a worker has to do with come first: as long as nothing else waits in their queue, it gets them.
    const ALL: [Self; 8] = [
        Self::Completed,
        Self::Dead,
        Self::Retrying,
        Self::Active,
        Self::Held,
        Self::Scheduled,
        Self::Cancelled,
        Self::Pending,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Dead => "dead",
            Self::Retrying => "retrying",
            Self::Active => "active",
            Self::Held => "held",
            Self::Scheduled => "scheduled",
            Self::Cancelled => "cancelled",
            Self::Pending => "pending",
        }
    }
}

pub(super) fn seed(command: &SeedCommand) -> Result<Exit, CallError> {
    let SeedCommand::Demo(args) = command;
    let mut server = Server::connect(&args.client, Some("demo worker"))?;
    // Active jobs stay with the worker until their leases end.
    server.keep_session();
    let count = args.count as usize;
    let mut rows = Rows::new(&["made", "jobs"]);
    for (nth, fate) in Fate::ALL.into_iter().enumerate() {
        let jobs = (nth..count).step_by(Fate::ALL.len());
        rows.push(vec![fate.name().into(), jobs.len().into()]);
        for job in jobs {
            let queue = QUEUES[job % QUEUES.len()];
            let payload = format!("{{\"demo\":{job},\"of\":\"{queue}\"}}");
            make(&mut server, queue, payload.as_bytes(), fate)?;
        }
    }
    rows.print(args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

/// Makes a job and does with it what has to be done.
fn make(server: &mut Server, queue: &str, payload: &[u8], fate: Fate) -> Result<(), CallError> {
    let shard = server.shard_of(queue);
    let when = if fate == Fate::Scheduled { When::DelayMs(DELAY_MS) } else { When::Now };
    let hold = Hold { reason: b"please look", by: "demo", timeout_ms: 0, then: HoldEnd::Stay };
    let holds = (fate == Fate::Held).then_some(EnqueueHold { enqueue: 0, hold });
    let enqueues = vec![job(queue, payload, when)];
    let holds = holds.into_iter().collect();
    let mut made = None;
    server.allow(std::time::Duration::ZERO);
    server.call(shard, &mut Request { enqueues, holds, ..Request::default() }, |reply| {
        made = made.or(reply.enqueued.first().map(|run| run.first));
    })?;
    match (fate, made) {
        (Fate::Cancelled, Some(job)) => {
            server.call(shard, &mut Request { cancels: vec![job], ..Request::default() }, |_| {})
        }
        (Fate::Completed | Fate::Dead | Fate::Retrying | Fate::Active, _) => {
            work(server, queue, fate)
        }
        _ => Ok(()),
    }
}

/// Takes a job of a queue, as a worker does. If the queue is paused, it waits there.
fn work(server: &mut Server, queue: &str, fate: Fate) -> Result<(), CallError> {
    let shard = server.shard_of(queue);
    let lease_ms = limits::LEASE_MS_DEFAULT;
    let fetch = Fetch { queues: vec![queue], count: 1, lease_ms, wait_ms: 0, worker: "" };
    let mut lease: Option<(JobId, LeaseToken)> = None;
    server.call(shard, &mut Request { fetch: Some(fetch), ..Request::default() }, |reply| {
        lease = lease.or(reply.leases.first().map(|lease| (lease.job, lease.token)));
    })?;
    let Some((job, token)) = lease.filter(|_| fate != Fate::Active) else { return Ok(()) };
    let job = JobRef { job, token };
    let mut request = Request::default();
    if fate == Fate::Completed {
        request.acks = vec![Ack { job, result: b"done" }];
    } else {
        let no_retry = fate == Fate::Dead;
        request.fails = vec![Fail { job, error: b"no route to host", backtrace: b"", no_retry }];
    }
    server.call(shard, &mut request, |_| {})
}

fn job<'a>(queue: &'a str, payload: &'a [u8], when: When) -> Enqueue<'a> {
    Enqueue {
        queue,
        payload,
        tags: b"{\"demo\":true}",
        key: b"",
        key_ms: limits::KEY_MS_DEFAULT,
        unique: b"",
        unique_ms: limits::UNIQUE_MS_DEFAULT,
        limit_key: "",
        priority: limits::PRIORITY_DEFAULT,
        max_retries: limits::ATTEMPTS_DEFAULT,
        backoff: BackoffKind::Fixed,
        backoff_base_ms: DELAY_MS as u32,
        backoff_cap_ms: 0,
        expire_after_ms: 0,
        when,
    }
}
