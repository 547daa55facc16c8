//! Flags as plain data, and the plan built from them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::payload::PAYLOAD_BYTES_MIN;

/// Jobs when neither `--jobs` nor `--seconds` says how many.
const JOBS_DEFAULT: u64 = 100_000;
/// The same of due.
const DUE_JOBS_DEFAULT: u64 = 1_000_000;
/// Limit keys of a run; each has its name in memory.
const LIMIT_KEYS_MAX: u32 = 1_000_000;

/// What is measured.
#[derive(Clone, Debug, Subcommand)]
pub enum Workload {
    /// Producers only
    Enqueue(Options),
    /// Workers only: fetch and ack a queue filled beforehand
    Lifecycle(Options),
    /// Producers and workers at once, end to end
    Steady(Options),
    /// Fill the queues, measure the server's memory, drain them
    Backlog(Options),
    /// One job at a time to workers that wait for it: from sending it to a worker having it
    Parked(Options),
    /// Jobs that all become due within one second, to workers that wait for them: from a job's time to a worker having it
    Due(Options),
}

/// Jobs a second of parked when `--rate` does not say.
const PARKED_RATE_DEFAULT: u64 = 200;
/// Seconds that due has for its fill when `--ahead` does not say: these, and one for each so many jobs.
const AHEAD_S_MIN: u64 = 5;
const AHEAD_JOBS_PER_S: u64 = 100_000;

/// Flags of every workload.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Address of the server
    #[arg(long, default_value = "127.0.0.1:7400", env = "JOBBIE_ADDR")]
    pub addr: String,
    /// What the server asks clients to show
    #[arg(long, default_value = "", env = "JOBBIE_TOKEN", hide_env_values = true)]
    pub token: String,
    /// Connections; steady has as many producers and as many workers, parked these workers and one producer
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub connections: u32,
    /// Jobs a request
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batch: u32,
    /// Requests that a connection has open at once
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub inflight: u32,
    /// Jobs in all [default: 100000 unless --seconds is given; due: 1000000]
    #[arg(long, conflicts_with = "seconds")]
    pub jobs: Option<u64>,
    /// Producers stop after this long
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: Option<u64>,
    /// Size of a job
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(PAYLOAD_BYTES_MIN as i64..=256 << 10))]
    pub payload_bytes: u32,
    /// Open loop: jobs a second, sent on time whether answers come or not [default: closed loop]; parked: a job this
    /// often at most, counted from when every worker waits again [default there: 200]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub rate: Option<u64>,
    /// Queues the jobs are spread over [default: one per shard]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub queues: Option<u32>,
    /// Threads that drive the connections
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub threads: u32,
    /// Workers ack and fetch again in one request, as the worker library does
    #[arg(long)]
    pub combine: bool,
    /// Jobs with priority, delay (1 ms), retries, backoff, expiry, tags and an idempotency key each (enqueue and backlog
    /// only)
    #[arg(long)]
    pub every_option: bool,
    /// Each job has a unique key of its own, for an hour
    #[arg(long)]
    pub unique: bool,
    /// Each job has one of so many limit keys, which get equally many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(LIMIT_KEYS_MAX)))]
    pub limit_keys: Option<u32>,
    /// The first limit key gets most jobs, the second half as many, the third a third (--limit-keys only)
    #[arg(long)]
    pub zipf: bool,
    /// Queues have a concurrency and a rate, in all and per limit key, so high that no job ever waits for them
    #[arg(long)]
    pub limits: bool,
    /// Limit keys share fairly, in jobs (--limit-keys only)
    #[arg(long)]
    pub fair: bool,
    /// All jobs are members of one batch, which is sealed when the last is done; the run ends with its callback (steady
    /// only)
    #[arg(long)]
    pub callback: bool,
    /// From the beginning of the fill to when the first job is due, in seconds (due only) [default: 5, and 1 for each
    /// 100000 jobs]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(2..=86_400))]
    pub ahead: Option<u64>,
    /// Jobs are due in another order than they were enqueued in, and neighbours far apart (due only)
    #[arg(long)]
    pub shuffle: bool,
    /// Write a line for each request: when it was due, in nanoseconds since 1970, and its latency, in nanoseconds
    /// (enqueue only)
    #[arg(long, value_name = "FILE")]
    pub samples: Option<PathBuf>,
    /// Leave the jobs on the server and do not check their delivery (enqueue only)
    #[arg(long)]
    pub keep: bool,
    /// Process id of the server, to read its memory and processor time
    #[arg(long)]
    pub pid: Option<u32>,
    /// Print only the one line of JSON
    #[arg(long)]
    pub json: bool,
    /// Write down every request before it is sent and every answer, flushed to disk, and go on through lost connections:
    /// what crash tests check afterwards. steady produces and works for --seconds; lifecycle only works, until the
    /// queues have been empty for a while
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
}

impl Workload {
    /// Its name in the result.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Enqueue(_) => "enqueue",
            Self::Lifecycle(_) => "lifecycle",
            Self::Steady(_) => "steady",
            Self::Backlog(_) => "backlog",
            Self::Parked(_) => "parked",
            Self::Due(_) => "due",
        }
    }

    /// Its flags.
    #[must_use]
    pub fn options(&self) -> &Options {
        match self {
            Self::Enqueue(o)
            | Self::Lifecycle(o)
            | Self::Steady(o)
            | Self::Backlog(o)
            | Self::Parked(o)
            | Self::Due(o) => o,
        }
    }

    /// Jobs in all, or nothing when time ends the run.
    #[must_use]
    pub fn jobs_max(&self) -> Option<u64> {
        let options = self.options();
        let default = match self {
            Self::Due(_) => DUE_JOBS_DEFAULT,
            _ => JOBS_DEFAULT,
        };
        options.jobs.or_else(|| options.seconds.is_none().then_some(default))
    }

    /// Whether no jobs are created while it measures: it ends when those there were are done.
    fn works_only(&self) -> bool {
        matches!(self, Self::Lifecycle(_) | Self::Backlog(_) | Self::Due(_))
    }
}

impl Options {
    /// How long parked waits before the next job.
    #[must_use]
    pub fn pause(&self) -> Duration {
        Duration::from_nanos(1_000_000_000 / self.rate.unwrap_or(PARKED_RATE_DEFAULT))
    }

    /// How long before the first job is due the fill of so many jobs begins.
    #[must_use]
    pub fn ahead(&self, jobs: u64) -> Duration {
        let default = AHEAD_S_MIN + jobs / AHEAD_JOBS_PER_S;
        Duration::from_secs(self.ahead.unwrap_or(default))
    }

    /// The flag that gives jobs or queues something special, when there is one.
    #[must_use]
    pub fn special(&self) -> Option<&'static str> {
        let flags = [
            (self.callback, "--callback"),
            (self.every_option, "--every-option"),
            (self.unique, "--unique"),
            (self.limit_keys.is_some(), "--limit-keys"),
            (self.limits, "--limits"),
            (self.fair, "--fair"),
        ];
        flags.into_iter().find_map(|(is_set, flag)| is_set.then_some(flag))
    }

    /// Whether the flags go together.
    ///
    /// # Errors
    /// A sentence that names the flag.
    pub fn validate(&self, workload: &Workload) -> Result<(), String> {
        self.validate_load(workload)?;
        self.validate_jobs(workload)?;
        self.validate_output(workload)
    }

    fn validate_load(&self, workload: &Workload) -> Result<(), String> {
        if workload.works_only() && self.seconds.is_some() {
            return Err(format!(
                "{} ends when its jobs are done: give --jobs, not --seconds",
                workload.name()
            ));
        }
        if workload.works_only() && self.rate.is_some() {
            return Err(format!("{} has no producers to pace: leave out --rate", workload.name()));
        }
        if matches!(workload, Workload::Parked(_)) && (self.batch, self.threads) != (1, 1) {
            return Err("parked has one job under way: give --batch 1 and one thread".to_owned());
        }
        let is_due = matches!(workload, Workload::Due(_));
        if self.ahead.is_some() && !is_due {
            return Err(format!("{} has no times to come: leave out --ahead", workload.name()));
        }
        if self.shuffle && !is_due {
            return Err(format!("{} has no times to mix: leave out --shuffle", workload.name()));
        }
        if is_due && self.jobs == Some(0) {
            return Err("due spreads its jobs over a second: give --jobs of at least 1".to_owned());
        }
        if self.threads > self.connections {
            return Err(format!(
                "--threads {} is more than --connections {}",
                self.threads, self.connections
            ));
        }
        Ok(())
    }

    fn validate_jobs(&self, workload: &Workload) -> Result<(), String> {
        if self.every_option && !matches!(workload, Workload::Enqueue(_) | Workload::Backlog(_)) {
            return Err(format!("{} has plain jobs: leave out --every-option", workload.name()));
        }
        if self.callback && !matches!(workload, Workload::Steady(_)) {
            return Err(format!("{} has no batch: leave out --callback", workload.name()));
        }
        for (is_set, flag, what) in [
            (self.zipf, "--zipf", "says which limit keys get how many jobs"),
            (self.fair, "--fair", "shares between limit keys"),
        ] {
            if is_set && self.limit_keys.is_none() {
                return Err(format!("{flag} {what}: give --limit-keys too"));
            }
        }
        match self.special() {
            Some(flag) if self.history.is_some() => {
                Err(format!("--history has jobs of its own kind: leave out {flag}"))
            }
            _ => Ok(()),
        }
    }

    fn validate_output(&self, workload: &Workload) -> Result<(), String> {
        if self.samples.is_some() && !matches!(workload, Workload::Enqueue(_)) {
            return Err(format!("{} keeps no samples: leave out --samples", workload.name()));
        }
        if self.history.is_some()
            && !matches!(workload, Workload::Lifecycle(_) | Workload::Steady(_))
        {
            return Err(format!("{} keeps no history: use steady or lifecycle", workload.name()));
        }
        if self.keep && !matches!(workload, Workload::Enqueue(_)) {
            return Err(format!("{} leaves no jobs behind: leave out --keep", workload.name()));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(subcommand)]
        workload: Workload,
    }

    pub(crate) fn workload(flags: &str) -> Workload {
        let argv = std::iter::once("bench").chain(flags.split(' '));
        Cli::try_parse_from(argv).expect("flags that exist").workload
    }

    fn validate(flags: &str) -> Result<(), String> {
        let workload = workload(flags);
        workload.options().validate(&workload)
    }

    #[test]
    fn flags_that_a_workload_would_ignore_are_refused() {
        for (right, wrong) in [
            ("parked --batch 1", "parked --batch 2"),
            ("parked --batch 1 --rate 50", "parked --batch 1 --threads 2"),
            ("backlog --every-option", "lifecycle --every-option"),
            ("enqueue --samples f", "backlog --samples f"),
            ("steady --rate 9", "backlog --rate 9"),
            ("enqueue --keep", "parked --batch 1 --keep"),
            ("due --jobs 1", "due --seconds 1"),
            ("due --ahead 9", "due --rate 9"),
            ("due --unique", "due --every-option"),
            ("due --ahead 9", "backlog --ahead 9"),
            ("due --shuffle", "backlog --shuffle"),
            ("due --jobs 1", "due --jobs 0"),
            ("steady --unique", "steady --unique --history f"),
            ("steady --limits", "steady --limits --history f"),
            ("steady --callback", "enqueue --callback"),
            ("steady --callback", "steady --callback --history f"),
            ("steady --limit-keys 9", "steady --limit-keys 9 --history f"),
            ("enqueue --limit-keys 9 --zipf", "enqueue --zipf"),
            ("lifecycle --limit-keys 9 --limits --fair", "lifecycle --limits --fair"),
        ] {
            assert_eq!(validate(right), Ok(()), "{right}");
            assert!(validate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (flags, said) in [
            ("due --fair", "--fair shares between limit keys: give --limit-keys too"),
            ("due --zipf", "--zipf says which limit keys get how many jobs: give --limit-keys too"),
            ("lifecycle --ahead 5", "lifecycle has no times to come: leave out --ahead"),
            (
                "steady --history f --unique",
                "--history has jobs of its own kind: leave out --unique",
            ),
        ] {
            assert_eq!(validate(flags), Err(said.to_owned()), "{flags}");
        }
    }

    #[test]
    fn due_begins_later_when_there_is_more_to_fill() {
        let ahead = |flags: &str| {
            let workload = workload(flags);
            workload.options().ahead(workload.jobs_max().expect("counts")).as_secs()
        };
        assert_eq!((ahead("due"), ahead("due --jobs 10"), ahead("due --ahead 7")), (15, 5, 7));
    }
}
