//! The workloads, as phases that follow each other.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;

use crate::drive::{Phase, Sample, Seen, Shared, drive};
use crate::due::{self, Due};
use crate::ledger::Ledger;
use crate::options::{Options, Workload};
use crate::process::{Usage, usage};
use crate::report::{Report, quantile_us, rate};
use crate::wire::Target;

/// Unmeasured filling and draining go at full width, whatever is measured.
const SIDE_BATCH: u32 = 1000;
const SIDE_CONNECTIONS: u32 = 4;
/// Before memory is read: the server promotes the last of the delayed jobs and ends what it does beside answering.
const SETTLE: Duration = Duration::from_secs(1);
/// How often the clocks are read together, to find out how far apart they are.
const CLOCK_READINGS: usize = 32;
/// How often the progress line changes.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// Runs a workload against a server.
///
/// # Errors
/// When the server cannot be reached, refuses the connection or breaks it off.
pub fn run<T: Target>(target: &T, workload: &Workload) -> anyhow::Result<Report> {
    let options = workload.options();
    let (epoch, epoch_unix_ns) = clocks();
    let mut run = Run {
        target,
        options,
        jobs_max: workload.jobs_max(),
        epoch,
        epoch_unix_ns,
        ledger: Ledger::default(),
        early: Duration::ZERO,
        has_given_up: false,
        report: Report {
            workload: workload.name(),
            durability: target.durability(),
            shards: target.shards(),
            connections: options.connections,
            batch: options.batch,
            inflight: options.inflight,
            queues: target.queues(),
            payload_bytes: options.payload_bytes,
            combine: options.combine,
            every_option: options.every_option,
            unique: options.unique,
            limit_keys: options.limit_keys,
            zipf: options.zipf,
            limits: options.limits,
            fair: options.fair,
            shuffle: options.shuffle,
            callback: options.callback,
            rate: options.rate,
            ..Report::default()
        },
    };
    match workload {
        Workload::Enqueue(_) => run.enqueue()?,
        Workload::Lifecycle(_) => run.lifecycle()?,
        Workload::Steady(_) => run.steady()?,
        Workload::Backlog(_) => run.backlog()?,
        Workload::Parked(_) => run.parked()?,
        Workload::Due(_) => run.due()?,
    }
    Ok(run.report)
}

/// Now by both clocks, as close together as it gets: the program may be interrupted between two readings. The second is
/// nanoseconds since 1970.
fn clocks() -> (Instant, u64) {
    let reading = || {
        let now = Instant::now();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (now.elapsed(), now, since.as_nanos() as u64)
    };
    let readings = std::iter::repeat_with(reading).take(CLOCK_READINGS);
    let (_, now, unix_ns) = readings.min_by_key(|(took, ..)| *took).expect("there are some");
    (now, unix_ns)
}

struct Run<'a, T> {
    target: &'a T,
    options: &'a Options,
    /// Jobs to create, or nothing when time ends the run.
    jobs_max: Option<u64>,
    epoch: Instant,
    epoch_unix_ns: u64,
    ledger: Ledger,
    /// How long before its time a job came at most.
    early: Duration,
    has_given_up: bool,
    report: Report,
}

/// What a phase measured.
struct Measured {
    seen: Seen,
    enqueued: u64,
    acked: u64,
    seconds: f64,
    cpu_s: Option<f64>,
}

impl<T: Target> Run<'_, T> {
    fn enqueue(&mut self) -> anyhow::Result<()> {
        let done = self.phase("enqueue", self.measured(self.options.connections, 0))?;
        self.report.set_rate(done.enqueued, done.seconds);
        self.report.set_latency(&done.seen.latency_ns);
        self.set_cpu(&done, done.enqueued);
        if let Some(path) = &self.options.samples {
            self.write_samples(&done.seen.samples, path)?;
        }
        if !self.options.keep {
            self.phase("drain", self.side_drain())?;
            self.check();
        }
        Ok(())
    }

    fn lifecycle(&mut self) -> anyhow::Result<()> {
        self.phase("fill", self.side_fill())?;
        let mut phase = self.measured(0, self.options.connections);
        phase.waiting = self.ledger.enqueued.count();
        let done = self.phase("lifecycle", phase)?;
        self.report.set_rate(done.acked, done.seconds);
        self.report.set_latency(&done.seen.latency_ns);
        self.set_cpu(&done, done.acked);
        self.check();
        Ok(())
    }

    fn steady(&mut self) -> anyhow::Result<()> {
        let each = self.options.connections;
        let done = self.phase("steady", self.measured(each, each))?;
        self.report.set_rate(done.acked, done.seconds);
        self.report.set_latency(&done.seen.latency_ns);
        self.report.start_p50_us = Some(quantile_us(&done.seen.start_ns, 0.5));
        self.report.start_p99_us = Some(quantile_us(&done.seen.start_ns, 0.99));
        self.set_cpu(&done, done.acked);
        self.check();
        if self.report.is_good() {
            let took = self.target.finish(done.acked).context("end the batch")?;
            self.report.callback_us = took.map(|took| took.as_micros() as u64);
        }
        Ok(())
    }

    fn backlog(&mut self) -> anyhow::Result<()> {
        let before = self.usage()?;
        let done = self.phase("fill", self.measured(self.options.connections, 0))?;
        self.report.set_rate(done.enqueued, done.seconds);
        self.report.set_latency(&done.seen.latency_ns);
        self.set_cpu(&done, done.enqueued);
        std::thread::sleep(SETTLE);
        if let Some((before, after)) = before.zip(self.usage()?) {
            let growth = after.rss_bytes as f64 - before.rss_bytes as f64;
            self.report.rss_bytes_per_job =
                Some((growth / done.enqueued.max(1) as f64 * 10.0).round() / 10.0);
        }
        let mut phase = self.measured(0, self.options.connections);
        phase.waiting = self.ledger.enqueued.count();
        let drained = self.phase("drain", phase)?;
        self.report.drain_jobs_per_s = Some(rate(drained.acked, drained.seconds));
        self.check();
        Ok(())
    }

    fn parked(&mut self) -> anyhow::Result<()> {
        let phase = Phase {
            rate: None,
            pause: Some(self.options.pause()),
            ..self.measured(1, self.options.connections)
        };
        let done = self.phase("parked", phase)?;
        self.report.set_rate(done.acked, done.seconds);
        self.report.set_latency(&done.seen.start_ns);
        self.set_cpu(&done, done.acked);
        self.check();
        Ok(())
    }

    fn due(&mut self) -> anyhow::Result<()> {
        let jobs = self.jobs_max.expect("the options refuse --seconds");
        let first = self.epoch.elapsed() + self.options.ahead(jobs);
        let in_order = Due::new(jobs, first, self.epoch_unix_ns);
        let due = if self.options.shuffle { in_order.shuffled() } else { in_order };
        self.phase("fill", Phase { due: Some(due), ..self.side_fill() })?;
        std::thread::sleep(due.pause(self.epoch.elapsed()).map_err(anyhow::Error::msg)?);
        let mut phase = self.measured(0, self.options.connections);
        phase.waiting = self.ledger.enqueued.count();
        let done = self.phase("due", phase)?;
        let took_ns = done.seen.received_ns.saturating_sub(due.first_ns());
        self.report.set_rate(done.acked, took_ns as f64 / 1e9);
        self.report.set_latency(&done.seen.start_ns);
        self.set_cpu(&done, done.acked);
        self.early = Duration::from_nanos(done.seen.early_ns);
        self.check();
        Ok(())
    }

    fn write_samples(&self, samples: &[Sample], path: &Path) -> anyhow::Result<()> {
        let mut lines = String::new();
        for Sample { since_ns, latency_ns } in samples {
            let unix_ns = self.epoch_unix_ns + since_ns;
            lines.push_str(&format!("{unix_ns} {latency_ns}\n"));
        }
        std::fs::write(path, lines).with_context(|| format!("write {}", path.display()))
    }

    fn measured(&self, producers: u32, workers: u32) -> Phase {
        let o = self.options;
        Phase {
            producers,
            workers,
            batch: o.batch,
            inflight: o.inflight,
            payload_bytes: o.payload_bytes as usize,
            rate: o.rate,
            pause: None,
            keeps_samples: o.samples.is_some(),
            threads: o.threads,
            combine: o.combine,
            first_number: 0,
            jobs_max: self.jobs_max.unwrap_or(u64::MAX),
            due: None,
            time_max: o.seconds.map(Duration::from_secs),
            waiting: 0,
        }
    }

    fn side_fill(&self) -> Phase {
        let connections = SIDE_CONNECTIONS.max(self.target.queues());
        let measured = self.measured(connections, 0);
        Phase { batch: self.side_batch(), inflight: 2, rate: None, threads: 1, ..measured }
    }

    fn side_drain(&self) -> Phase {
        let connections = SIDE_CONNECTIONS.max(self.target.queues());
        let measured = self.measured(0, connections);
        let waiting = self.ledger.enqueued.count();
        Phase {
            batch: self.side_batch(),
            inflight: 1,
            rate: None,
            threads: 1,
            combine: true,
            waiting,
            ..measured
        }
    }

    /// A frame of so many jobs must stay below the frame limit.
    fn side_batch(&self) -> u32 {
        ((1 << 20) / self.options.payload_bytes).clamp(1, SIDE_BATCH)
    }

    fn phase(&mut self, name: &str, phase: Phase) -> anyhow::Result<Measured> {
        let shared = Shared::new(phase, self.epoch);
        let mut progress = Progress::new(name, !self.options.json);
        let before = self.usage()?;
        let seen = drive(self.target, &shared, |shared| progress.show(shared));
        progress.clear();
        let seen = seen?;
        let cpu_s = before.zip(self.usage()?).map(|(before, after)| after.cpu_s - before.cpu_s);
        self.ledger.merge(&seen.ledger);
        self.has_given_up |= seen.is_stalled;
        self.report.errors += seen.errors;
        self.report.first_error = self.report.first_error.or(seen.error);
        let seconds = shared.last_ns().saturating_sub(shared.begun_ns()) as f64 / 1e9;
        Ok(Measured { seen, enqueued: shared.enqueued(), acked: shared.acked(), seconds, cpu_s })
    }

    fn usage(&self) -> anyhow::Result<Option<Usage>> {
        self.options.pid.map(usage).transpose()
    }

    fn set_cpu(&mut self, done: &Measured, jobs: u64) {
        let per_100k = |cpu_s: f64| (cpu_s / jobs.max(1) as f64 * 1e5 * 1000.0).round() / 1000.0;
        self.report.server_cpu_s_per_100k = done.cpu_s.map(per_100k);
    }

    fn check(&mut self) {
        let mut faults = self.ledger.faults();
        if self.has_given_up {
            // Else a server that was stopped for a while would look like one that loses jobs.
            faults.insert(0, "gave up waiting, since no answer came for 30 seconds".to_owned());
        }
        faults.extend(due::fault(self.early));
        self.report.set_delivery(faults);
    }
}

/// The line on a terminal that shows how far a phase is.
struct Progress<'a> {
    name: &'a str,
    is_shown: bool,
    last: Instant,
    last_jobs: u64,
}

impl<'a> Progress<'a> {
    fn new(name: &'a str, is_wanted: bool) -> Self {
        let is_shown = is_wanted && std::io::stderr().is_terminal();
        Self { name, is_shown, last: Instant::now(), last_jobs: 0 }
    }

    fn show(&mut self, shared: &Shared) {
        let elapsed = self.last.elapsed();
        if !self.is_shown || elapsed < PROGRESS_EVERY {
            return;
        }
        let (enqueued, acked) = (shared.enqueued(), shared.acked());
        let jobs = enqueued + acked;
        let now = rate(jobs - self.last_jobs, elapsed.as_secs_f64());
        (self.last, self.last_jobs) = (Instant::now(), jobs);
        eprint!("\r\x1b[K{}: {enqueued} enqueued, {acked} acked, {now}/s", self.name);
        let _ = std::io::stderr().flush();
    }

    fn clear(&self) {
        if self.is_shown {
            eprint!("\r\x1b[K");
        }
    }
}
