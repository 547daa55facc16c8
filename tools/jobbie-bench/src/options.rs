//! Flags as plain data, and the plan built from them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::payload::PAYLOAD_BYTES_MIN;

/// Jobs when neither `--jobs` nor `--seconds` says how many.
const JOBS_DEFAULT: u64 = 100_000;

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
}

/// Jobs a second of parked when `--rate` does not say.
const PARKED_RATE_DEFAULT: u64 = 200;

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
    /// Jobs in all [default: 100000 unless --seconds is given]
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
            | Self::Parked(o) => o,
        }
    }
}

impl Options {
    /// Jobs in all, or nothing when time ends the run.
    #[must_use]
    pub fn jobs_max(&self) -> Option<u64> {
        self.jobs.or_else(|| self.seconds.is_none().then_some(JOBS_DEFAULT))
    }

    /// How long parked waits before the next job.
    #[must_use]
    pub fn pause(&self) -> Duration {
        Duration::from_nanos(1_000_000_000 / self.rate.unwrap_or(PARKED_RATE_DEFAULT))
    }

    /// Whether the flags go together.
    ///
    /// # Errors
    /// A sentence that names the flag.
    pub fn validate(&self, workload: &Workload) -> Result<(), String> {
        let needs_jobs = matches!(workload, Workload::Lifecycle(_) | Workload::Backlog(_));
        if needs_jobs && self.seconds.is_some() {
            return Err(format!(
                "{} ends when its jobs are done: give --jobs, not --seconds",
                workload.name()
            ));
        }
        if self.rate.is_some() && matches!(workload, Workload::Lifecycle(_) | Workload::Backlog(_))
        {
            return Err(format!("{} has no producers to pace: leave out --rate", workload.name()));
        }
        if matches!(workload, Workload::Parked(_)) && (self.batch, self.threads) != (1, 1) {
            return Err("parked has one job under way: give --batch 1 and one thread".to_owned());
        }
        if self.every_option && !matches!(workload, Workload::Enqueue(_) | Workload::Backlog(_)) {
            return Err(format!("{} has plain jobs: leave out --every-option", workload.name()));
        }
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
        if self.threads > self.connections {
            return Err(format!(
                "--threads {} is more than --connections {}",
                self.threads, self.connections
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(subcommand)]
        workload: Workload,
    }

    fn validate(flags: &str) -> Result<(), String> {
        let argv = std::iter::once("bench").chain(flags.split(' '));
        let workload = Cli::try_parse_from(argv).expect("flags that exist").workload;
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
        ] {
            assert_eq!(validate(right), Ok(()), "{right}");
            assert!(validate(wrong).is_err(), "{wrong}");
        }
    }
}
