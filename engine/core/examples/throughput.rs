//! How fast one core decides and absorbs, and what a waiting job costs in memory.
//!
//! `cargo run --release -p jobbie-core --example throughput [speed|single|leases|timers|limits [KEYS [ROW]]|memory|snapshot]`

use std::hint::black_box;
use std::time::{Duration, Instant};

use jobbie_core::{
    BlobSink, Decision, Settings, State, decide, decide_open_session, decide_timers,
};
use jobbie_proto::event::{BackoffKind, Blob, Group, QueueSettings, Sharing};
use jobbie_proto::request::{Ack, Enqueue, Fetch, JobRef, QueueAction, QueueControl, When};
use jobbie_proto::{JobId, Micros, Reply, Request, SessionId, ShardId};
use std::rc::Rc;

/// That of the server: what a job costs depends on the sizes that an allocator has.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Counts bytes and copies none: the copy of a payload is the log's cost.
#[derive(Default)]
struct NoCopy(u32);

impl BlobSink for NoCopy {
    fn append(&mut self, bytes: &[u8]) -> Blob {
        let blob = Blob { offset: self.0, len: bytes.len() as u32 };
        self.0 += blob.len;
        blob
    }
}

struct Shard {
    state: State,
    now: Micros,
    session: SessionId,
    number: u64,
}

impl Shard {
    fn new() -> Self {
        let mut state = State::new(ShardId(0), 1);
        let now = Micros(1_700_000_000_000_000);
        let session = SessionId(1);
        match decide_open_session(&state, 1, "bench", "", &mut NoCopy::default()) {
            Decision::Events(group) => state.absorb(now, &group),
            other => unreachable!("{other:?}"),
        };
        Self { state, now, session, number: 0 }
    }

    fn run(&mut self, mut request: Request<'_>) -> Rc<Reply> {
        self.number += 1;
        request.session = self.session;
        request.number = self.number;
        request.confirmed_below = self.number;
        match decide(&self.state, self.now, &request, &mut NoCopy::default()) {
            Decision::Events(group) => {
                self.state.absorb(self.now, black_box(&group)).expect("it has a session")
            }
            other => unreachable!("{other:?}"),
        }
    }

    fn enqueue(&mut self, enqueue: Enqueue<'_>, batch: usize) {
        self.run(Request { enqueues: vec![enqueue; batch], ..Request::default() });
    }

    fn fetch(&mut self, queue: &str, count: u32) -> Rc<Reply> {
        let fetch = Fetch { queues: vec![queue], count, lease_ms: 60_000, wait_ms: 0, worker: "" };
        self.run(Request { fetch: Some(fetch), ..Request::default() })
    }

    fn ack(&mut self, leases: &Reply) {
        let id = |created_ms, job| JobId::new(created_ms, ShardId(0), job);
        let acks = leases.leases.iter().map(|lease| Ack {
            job: JobRef { job: id(lease.created_ms, lease.job), token: lease.token },
            result: b"",
        });
        let acks: Vec<_> = acks.collect();
        self.run(Request { acks, ..Request::default() });
    }
}

fn plain(queue: &str) -> Enqueue<'_> {
    Enqueue {
        queue,
        payload: &[0; 200],
        tags: b"",
        key: b"",
        key_ms: 0,
        unique: b"",
        unique_ms: 0,
        limit_key: "",
        priority: 2,
        max_retries: 3,
        backoff: BackoffKind::Exponential,
        backoff_base_ms: 5000,
        backoff_cap_ms: 600_000,
        expire_after_ms: 0,
        when: When::Now,
    }
}

/// Processor time of this thread: on a shared machine the clock measures the neighbours.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("read schedstat");
    let nanos = stat.split(' ').next().and_then(|n| n.parse().ok());
    Duration::from_nanos(nanos.expect("nanoseconds on the processor"))
}

fn report(what: &str, ops: u64, took: Duration) {
    let each = took.as_nanos() as f64 / ops as f64;
    println!("{what:<44} {each:8.1} ns  {:8.2} M/s", 1000.0 / each);
}

fn speed() {
    for batch in [100, 1] {
        let total = if batch == 1 { 2_000_000 } else { 10_000_000 };
        let mut shard = Shard::new();
        let start = cpu();
        for _ in 0..total / batch {
            shard.now.0 += 10;
            shard.enqueue(plain("default"), batch);
        }
        report(&format!("enqueue, batch {batch}"), total as u64, cpu() - start);
        let cycles = total.min(2_000_000);
        let start = cpu();
        for _ in 0..cycles / batch {
            shard.now.0 += 10;
            let leases = shard.fetch("default", batch as u32);
            shard.ack(&leases);
        }
        report(&format!("fetch + ack, batch {batch}"), cycles as u64, cpu() - start);
    }
    idle_cycles();
    many_leases();
    timers();
    limits(10_000, "");
}

/// One job at a time through an otherwise empty shard.
fn idle_cycles() {
    let mut shard = Shard::new();
    let cycles = 500_000;
    let start = cpu();
    for _ in 0..cycles {
        shard.now.0 += 10;
        shard.enqueue(plain("default"), 1);
        let leases = shard.fetch("default", 1);
        shard.ack(&leases);
    }
    report("enqueue, fetch, ack one by one, empty shard", cycles * 3, cpu() - start);
}

/// What unique keys, `keys` limit keys with limits, and fair sharing cost, beside jobs that use none of it: rows
/// whose names contain `only`.
fn limits(keys: usize, only: &str) {
    let limited = QueueSettings {
        key_concurrency: 1000,
        key_rate: 1_000_000,
        key_window_ms: 1000,
        ..QueueSettings::default()
    };
    let whole = QueueSettings { concurrency: 100_000, rate: 1_000_000, window_ms: 1000, ..limited };
    let fair = QueueSettings { fair: Sharing::Jobs, ..QueueSettings::default() };
    let timed = QueueSettings { fair: Sharing::WorkerTime, ..QueueSettings::default() };
    let rows: [(&str, bool, bool, QueueSettings); 7] = [
        ("plain", false, false, QueueSettings::default()),
        ("a unique key each", true, false, QueueSettings::default()),
        ("limit keys", false, true, QueueSettings::default()),
        ("limit keys, both limits", false, true, limited),
        ("limit keys, both, and of the queue", false, true, whole),
        ("limit keys, fair", false, true, fair),
        ("limit keys, fair by time", false, true, timed),
    ];
    let names: Vec<String> = (0..keys).map(|n| format!("tenant-{n}")).collect();
    for (name, unique, keyed, settings) in rows.into_iter().filter(|row| row.0.contains(only)) {
        let mut shard = Shard::new();
        let action = QueueAction::Configure(settings);
        let queue_controls = vec![QueueControl { queue: "default", action }];
        shard.run(Request { queue_controls, ..Request::default() });
        let (total, batch) = (1_000_000_u64, 100);
        let start = cpu();
        for from in (0..total).step_by(batch) {
            shard.now.0 += 10;
            let numbers: Vec<_> = (from..from + batch as u64).map(u64::to_le_bytes).collect();
            let enqueues = numbers.iter().map(|n| job(n, unique, keyed, &names)).collect();
            shard.run(Request { enqueues, ..Request::default() });
        }
        report(&format!("enqueue, batch 100, {name}"), total, cpu() - start);
        let start = cpu();
        for _ in 0..total / batch as u64 {
            // Half a million a second: windows move on.
            shard.now.0 += 200;
            let leases = shard.fetch("default", batch as u32);
            assert_eq!(leases.leases.len(), batch);
            shard.ack(&leases);
        }
        report(&format!("fetch + ack, batch 100, {name}"), total, cpu() - start);
    }
}

fn job<'a>(number: &'a [u8; 8], unique: bool, keyed: bool, names: &'a [String]) -> Enqueue<'a> {
    let nth = u64::from_le_bytes(*number) as usize;
    Enqueue {
        unique: if unique { number } else { b"" },
        limit_key: if keyed { &names[nth * 7919 % names.len()] } else { "" },
        ..plain("default")
    }
}

/// With 100,000 leases open all the time.
fn many_leases() {
    let mut shard = Shard::new();
    let mut open = std::collections::VecDeque::new();
    for _ in 0..10_000 {
        shard.enqueue(plain("default"), 200);
    }
    for _ in 0..1000 {
        open.push_back(shard.fetch("default", 100));
    }
    let start = cpu();
    for _ in 0..10_000 {
        shard.now.0 += 50;
        open.push_back(shard.fetch("default", 100));
        let oldest = open.pop_front().expect("there are a thousand");
        shard.ack(&oldest);
    }
    report("fetch + ack, batch 100, 100 k leases open", 1_000_000, cpu() - start);
}

/// A million jobs due within one second.
fn timers() {
    let mut shard = Shard::new();
    for n in 0..1_000_000 {
        let delay = When::At(Micros(shard.now.0 + 60_000_000 + n * 7919 % 1_000_000));
        shard.enqueue(Enqueue { when: delay, ..plain("default") }, 1);
    }
    shard.now.0 += 61_000_000;
    let (start, mut worst, mut fired) = (cpu(), Duration::ZERO, 0);
    loop {
        let turn = Instant::now();
        let events =
            decide_timers(&shard.state, &Settings::default(), shard.now, 1000, &mut Vec::new());
        let group = Group { events, ..Group::default() };
        if group.events.is_empty() {
            break;
        }
        fired += group.count();
        shard.state.absorb(shard.now, &group);
        worst = worst.max(turn.elapsed());
    }
    report("timers, 1 M due in a second, 1000 a turn", fired, cpu() - start);
    println!("worst turn of 1000 timers: {worst:?}");
}

fn rss_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("read /proc/self/statm");
    let pages: u64 = statm.split(' ').nth(1).expect("resident").parse().expect("a number");
    pages * 4096
}

/// In a fresh process, since an allocator does not give everything back.
fn memory(jobs: u64, batch: usize, queues: usize, all_options: bool) {
    let names: Vec<_> = (0..queues).map(|n| format!("queue-{n}")).collect();
    let mut shard = Shard::new();
    let before = rss_bytes();
    for n in 0..jobs / batch as u64 {
        shard.now.0 += 20;
        let queue = &names[n as usize % queues];
        let key = n.to_le_bytes();
        let enqueue = if all_options {
            Enqueue {
                priority: 1,
                max_retries: 7,
                backoff: BackoffKind::Linear,
                expire_after_ms: 3_600_000,
                tags: b"{\"customer\":\"42\"}",
                key: &key,
                key_ms: 86_400_000,
                when: When::DelayMs(60_000 + n % 1000),
                ..plain(queue)
            }
        } else {
            plain(queue)
        };
        if all_options && batch > 1 {
            let keys: Vec<_> = (0..batch as u64).map(|i| (n << 32 | i).to_le_bytes()).collect();
            let jobs = keys.iter().map(|key| Enqueue { key, ..enqueue });
            shard.run(Request { enqueues: jobs.collect(), ..Request::default() });
        } else {
            shard.enqueue(enqueue, batch);
        }
    }
    let grown = rss_bytes().saturating_sub(before);
    let kind = if all_options { "every option" } else { "plain" };
    println!(
        "{kind:<13} {jobs:>9} jobs, batch {batch:>3}, {queues:>2} queues: {:6.2} bytes of RSS a job",
        grown as f64 / jobs as f64
    );
}

fn snapshot() {
    let mut shard = Shard::new();
    let names: Vec<_> = (0..10).map(|n| format!("queue-{n}")).collect();
    for n in 0..10_000_000 {
        shard.now.0 += 10;
        shard.enqueue(plain(&names[n % 10]), 1);
    }
    let start = Instant::now();
    let mut snapshot = shard.state.snapshot();
    println!("10 M jobs, batch 1, 10 queues: snapshot taken in {:?}", start.elapsed());
    let (mut bytes, mut worst, mut largest, mut chunks) = (0, Duration::ZERO, 0, Vec::new());
    loop {
        let slice = Instant::now();
        let Some(chunk) = snapshot.next() else { break };
        worst = worst.max(slice.elapsed());
        bytes += chunk.len();
        largest = largest.max(chunk.len());
        chunks.push(chunk);
    }
    println!(
        "{} chunks, {bytes} bytes, largest {largest}, worst slice {worst:?}, all in {:?}",
        chunks.len(),
        start.elapsed()
    );
    let start = Instant::now();
    drop(snapshot);
    println!("snapshot dropped in {:?}", start.elapsed());
    let snapshot = shard.state.snapshot();
    let mut worst = Duration::ZERO;
    for _ in 0..10_000 {
        let turn = Instant::now();
        shard.enqueue(plain("queue-1"), 1);
        let leases = shard.fetch("queue-2", 1);
        shard.ack(&leases);
        worst = worst.max(turn.elapsed());
    }
    drop(snapshot);
    println!("worst enqueue + fetch + ack beside a snapshot: {worst:?}");
    let start = Instant::now();
    let restored = State::restore(&chunks).expect("it was just written");
    println!("restored {} jobs in {:?}", restored.stats().jobs, start.elapsed());
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            speed();
            memories();
            snapshot();
        }
        ["speed"] => speed(),
        ["leases"] => (0..5).for_each(|_| many_leases()),
        ["timers"] => (0..5).for_each(|_| timers()),
        ["limits"] => limits(10_000, ""),
        ["limits", keys] => limits(keys.parse().expect("keys"), ""),
        ["limits", keys, only] => limits(keys.parse().expect("keys"), only),
        ["single"] => (0..10).for_each(|_| idle_cycles()),
        ["snapshot"] => snapshot(),
        ["memory"] => memories(),
        ["memory", jobs, batch, queues, all] => memory(
            jobs.parse().expect("jobs"),
            batch.parse().expect("batch"),
            queues.parse().expect("queues"),
            all == "true",
        ),
        _ => eprintln!(
            "usage: throughput [speed|single|leases|timers|limits [KEYS [ROW]]|snapshot|memory [JOBS BATCH QUEUES ALL_OPTIONS]]"
        ),
    }
}

fn memories() {
    let this = std::env::current_exe().expect("own path");
    for (all, jobs) in [("false", 1_000_000), ("false", 10_000_000), ("true", 1_000_000)] {
        for batch in [100, 1] {
            for queues in [1, 10] {
                let arguments =
                    ["memory", &jobs.to_string(), &batch.to_string(), &queues.to_string(), all];
                let status = std::process::Command::new(&this).args(arguments).status();
                assert!(status.expect("start").success());
            }
        }
    }
}
