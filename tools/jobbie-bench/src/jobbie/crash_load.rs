//! Load for a server that is killed again and again: every job has an idempotency key, every request is repeated until it is
//! answered, and everything is written down.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use jobbie_proto::event::BackoffKind;
use jobbie_proto::request::{Ack, Enqueue, Fetch, JobRef, When};
use jobbie_proto::wire::ANY_SHARD;
use jobbie_proto::{Code, JobId, LeaseToken, Request, ShardId, limits, placement};

use super::history::History;
use super::link::Link;
use crate::options::{Options, Workload};

/// Short, so that what a killed server had given out comes back within a test.
const LEASE_MS: u32 = 2_000;
/// How long a fetch waits, in milliseconds.
const WAIT_MS: u32 = 200;
/// Pause before connecting again.
const RECONNECT: Duration = Duration::from_millis(20);
/// Queues are empty when nothing came for this long: longer than a lease.
const DRAINED: Duration = Duration::from_millis(3 * LEASE_MS as u64);
/// Queues when the options do not say.
const QUEUES_DEFAULT: u32 = 4;

/// Runs the load; returns when its time is over or, without producers, when there is nothing left.
///
/// # Errors
/// When the history cannot be written.
pub fn run(workload: &Workload, options: &Options, path: &Path) -> anyhow::Result<()> {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let load = Load {
        options,
        history: History::create(path)?,
        run: nanos << 16 | u128::from(std::process::id() & 0xffff),
        queues: (0..options.queues.unwrap_or(QUEUES_DEFAULT))
            .map(|n| format!("crash.{n}"))
            .collect(),
        deadline: options.seconds.map(|s| Instant::now() + Duration::from_secs(s)),
        failed: AtomicBool::new(false),
    };
    let produces = matches!(workload, Workload::Steady(_));
    std::thread::scope(|scope| {
        let load = &load;
        let mut threads = Vec::new();
        for index in 0..options.connections {
            if produces {
                threads.push(scope.spawn(move || load.watch(load.produce(index))));
            }
            threads.push(scope.spawn(move || load.watch(load.work(index))));
        }
        threads.into_iter().try_for_each(|t| t.join().expect("load threads do not panic"))
    })
}

struct Load<'a> {
    options: &'a Options,
    history: History,
    run: u128,
    queues: Vec<String>,
    deadline: Option<Instant>,
    /// Some thread cannot write the history: nothing may go on unseen.
    failed: AtomicBool,
}

impl Load<'_> {
    fn watch(&self, done: anyhow::Result<()>) -> anyhow::Result<()> {
        if done.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        done
    }

    fn is_over(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.deadline.is_some_and(|at| Instant::now() >= at)
    }

    fn queue(&self, index: u32) -> &str {
        &self.queues[index as usize % self.queues.len()]
    }

    /// A connection to the shard of `queue`, tried until there is one or time is over.
    fn connect(&self, queue: &str, number: u64, gives_up: impl Fn() -> bool) -> Option<Link> {
        while !gives_up() {
            if let Ok(link) = self.try_connect(queue, number) {
                return Some(link);
            }
            std::thread::sleep(RECONNECT);
        }
        None
    }

    fn try_connect(&self, queue: &str, number: u64) -> anyhow::Result<Link> {
        // A client of its own for each connection: sessions are not resumed, keys alone must prevent duplicates.
        let client = (self.run << 40) ^ u128::from(number);
        let (link, about) = Link::open(&self.options.addr, &self.options.token, ANY_SHARD, client)?;
        let shards = u16::try_from(about.shards.len()).context("too many shards")?;
        let shard: ShardId = placement::shard_of(queue, shards);
        let addr = &about.shards[usize::from(shard.0)];
        if shards == 1 {
            return Ok(link);
        }
        Ok(Link::open(addr, &self.options.token, shard, client ^ (1 << 127))?.0)
    }

    fn produce(&self, index: u32) -> anyhow::Result<()> {
        let queue = self.queue(index);
        let mut connections = u64::from(index) << 32;
        let mut link = None;
        let mut batch = 0_u64;
        while !self.is_over() {
            let keys: Vec<String> = (0..self.options.batch)
                .map(|n| format!("{:x}.{index}.{batch}.{n}", self.run))
                .collect();
            self.history.write(&lines(&keys, |key, out| writeln!(out, "enqueue {key}")))?;
            // The same keys until the answer is known.
            while !self.is_over() {
                if link.is_none() {
                    connections += 1;
                    link = self.connect(queue, connections, || self.is_over());
                }
                let Some(open) = &mut link else { break };
                match enqueue(open, queue, &keys, self.options.payload_bytes as usize) {
                    Ok(Some(jobs)) => {
                        let both: Vec<_> = keys.iter().zip(jobs).collect();
                        self.history.write(&lines(&both, |(key, job), out| {
                            writeln!(out, "enqueued {key} {job}")
                        }))?;
                        break;
                    }
                    // The server is busy or its disk is full: nothing was done.
                    Ok(None) => std::thread::sleep(RECONNECT),
                    Err(_) => {
                        link = None;
                        self.history
                            .write(&lines(&keys, |key, out| writeln!(out, "unknown {key}")))?;
                    }
                }
            }
            batch += 1;
        }
        Ok(())
    }

    fn work(&self, index: u32) -> anyhow::Result<()> {
        let queue = self.queue(index);
        let mut connections = u64::from(index) << 32 | 1 << 31;
        let mut link: Option<Link> = None;
        let mut last_job = Instant::now();
        let is_over =
            |last: Instant| self.is_over() || (self.deadline.is_none() && last.elapsed() > DRAINED);
        while !is_over(last_job) {
            if link.is_none() {
                connections += 1;
                link = self.connect(queue, connections, || is_over(last_job));
            }
            let Some(open) = &mut link else { break };
            match self.cycle(open, queue) {
                Ok(0) => {}
                Ok(_) => last_job = Instant::now(),
                Err(Broken::Link) => link = None,
                Err(Broken::History(e)) => return Err(e),
            }
        }
        Ok(())
    }

    /// Fetches and acks once; returns how many jobs there were.
    fn cycle(&self, link: &mut Link, queue: &str) -> Result<usize, Broken> {
        let fetch = Fetch {
            queues: vec![queue],
            count: self.options.batch,
            lease_ms: LEASE_MS,
            wait_ms: WAIT_MS,
            worker: "",
        };
        let mut leases: Vec<(JobId, LeaseToken)> = Vec::new();
        let mut seen = String::new();
        let request = Request { fetch: Some(fetch), ..Request::default() };
        link.call(request, |reply| {
            for lease in &reply.leases {
                let key = String::from_utf8_lossy(lease.payload);
                let key = key.trim_end_matches('.');
                let granted_us = lease.deadline.0.saturating_sub(u64::from(LEASE_MS) * 1000);
                let (job, token, deadline) = (lease.job, lease.token, lease.deadline);
                let _ = writeln!(seen, "leased {job} {token} {granted_us} {deadline} {key}");
                leases.push((job, token));
            }
        })
        .map_err(|_| Broken::Link)?;
        if leases.is_empty() {
            return Ok(0);
        }
        seen += &lines(&leases, |(job, token), out| writeln!(out, "ack {job} {token}"));
        self.history.write(&seen).map_err(Broken::History)?;
        let ack = |(job, token): &(JobId, LeaseToken)| Ack {
            job: JobRef { job: *job, token: *token },
            result: b"done",
        };
        let mut codes = Vec::new();
        let request = Request { acks: leases.iter().map(ack).collect(), ..Request::default() };
        link.call(request, |reply| codes.extend_from_slice(&reply.acks))
            .map_err(|_| Broken::Link)?;
        let both: Vec<_> = leases.iter().zip(codes).collect();
        let answers = lines(&both, |((job, token), code), out| match code {
            Code::Ok => writeln!(out, "acked {job} {token}"),
            code => writeln!(out, "ack-refused {job} {token} {}", code.name()),
        });
        self.history.write(&answers).map_err(Broken::History)?;
        Ok(leases.len())
    }
}

enum Broken {
    /// Connect again.
    Link,
    /// Stop: nothing may happen that is not written down.
    History(anyhow::Error),
}

fn lines<T>(of: &[T], write: impl Fn(&T, &mut String) -> std::fmt::Result) -> String {
    let mut out = String::new();
    of.iter().for_each(|one| write(one, &mut out).expect("writing to memory cannot fail"));
    out
}

/// The jobs, or nothing when the server answered that it did nothing.
fn enqueue(
    link: &mut Link,
    queue: &str,
    keys: &[String],
    payload_bytes: usize,
) -> anyhow::Result<Option<Vec<JobId>>> {
    // The payload is the key, filled up with dots.
    let payloads: Vec<String> = keys.iter().map(|key| format!("{key:.<payload_bytes$}")).collect();
    let job = |(key, payload)| one(queue, key, payload);
    let enqueues = keys.iter().zip(&payloads).map(job).collect();
    let (mut jobs, mut done) = (Vec::new(), true);
    link.call(Request { enqueues, ..Request::default() }, |reply| {
        done &= reply.code == Code::Ok;
        jobs.extend(reply.enqueued.iter().flat_map(|run| run.ids()));
    })?;
    anyhow::ensure!(
        !done || jobs.len() == keys.len(),
        "{} ids for {} jobs",
        jobs.len(),
        keys.len()
    );
    Ok(done.then_some(jobs))
}

fn one<'a>(queue: &'a str, key: &'a String, payload: &'a String) -> Enqueue<'a> {
    Enqueue {
        queue,
        payload: payload.as_bytes(),
        tags: b"",
        key: key.as_bytes(),
        key_ms: limits::KEY_MS_DEFAULT,
        unique: b"",
        unique_ms: 0,
        limit_key: "",
        priority: limits::PRIORITY_DEFAULT,
        max_retries: limits::ATTEMPTS_MAX,
        backoff: BackoffKind::None,
        backoff_base_ms: 0,
        backoff_cap_ms: 0,
        expire_after_ms: 0,
        when: When::Now,
    }
}
