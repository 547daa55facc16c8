//! Flags of agent jobs.

use clap::{Args, ValueEnum};
use jobbie_proto::agent::AgentStatus;
use jobbie_proto::usage::parse_dollars;
use jobbie_proto::{JobId, limits};

use super::{ClientArgs, units};

/// Limits of a new agent job.
#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    /// Let the job be worked on in iterations, each of which is acked
    #[arg(long)]
    pub(crate) agent: bool,
    /// The same, and hold it after this many iterations; 0 is no limit
    #[arg(long, value_name = "N")]
    pub(crate) agent_max_iterations: Option<u32>,
    /// The same, and hold it when it has cost more, in dollars with at most six decimal places; 0 is no limit
    #[arg(long, value_name = "USD", value_parser = parse_dollars)]
    pub(crate) agent_max_cost_usd: Option<u64>,
    /// The same, and tell its workers how long an iteration should take at most, as 10m; nothing enforces it but the lease
    #[arg(long, value_name = "TIME", value_parser = units::time_ms)]
    pub(crate) agent_iteration_timeout: Option<u64>,
}

/// What becomes of an agent job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Status {
    /// Another iteration follows, unless its limits hold it
    Continue,
    /// It waits for a human
    Hold,
    /// It is completed
    Done,
}

impl From<Status> for AgentStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Continue => Self::Continue,
            Status::Hold => Self::Hold,
            Status::Done => Self::Done,
        }
    }
}

/// What is said of an iteration.
#[derive(Debug, Args)]
pub(crate) struct IterationArgs {
    /// What becomes of an agent job after this iteration [default: done]
    #[arg(long, value_enum)]
    pub(crate) agent_status: Option<Status>,
    /// Replaces the checkpoint: a text, `@file`, or `-` for standard input
    #[arg(long, default_value = "", value_name = "TEXT", requires = "agent_status")]
    pub(crate) checkpoint: String,
    /// Why the job is held if it is, for people
    #[arg(long, default_value = "", value_name = "TEXT", requires = "agent_status")]
    pub(crate) hold_reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct IterationsArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Job id
    pub(crate) job: JobId,
    /// At most this many, the newest first
    #[arg(long, default_value_t = limits::HISTORY_COUNT_MAX, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Job id
    pub(crate) job: JobId,
    /// The iteration whose checkpoint the new job begins with
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) from: u32,
    /// Lay a key over the payload, which then must be a JSON object: `key=value`; a value that is not JSON is a text
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) set: Vec<(String, String)>,
    /// Idempotency key: a repeat gives the same job
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) key: String,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    if key.is_empty() {
        return Err("the key is empty, expected KEY=VALUE".into());
    }
    Ok((key.to_owned(), value.to_owned()))
}
