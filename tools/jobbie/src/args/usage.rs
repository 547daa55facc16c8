//! Flags of usage.

use clap::{Args, Subcommand, ValueEnum};
use jobbie_proto::usage::{DollarsError, UsageGroup, parse_dollars};

use super::{ClientArgs, units};

/// What the work on a job used.
#[derive(Debug, Args)]
pub(crate) struct SpentArgs {
    /// Tokens that a model read for it
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) input_tokens: u64,
    /// Tokens that a model wrote for it
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) output_tokens: u64,
    /// Tokens put into a prompt cache
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) cache_creation_tokens: u64,
    /// Tokens read from a prompt cache
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) cache_read_tokens: u64,
    /// What it cost, in dollars with at most six decimal places
    #[arg(long, default_value = "0", value_name = "USD", value_parser = cost)]
    pub(crate) cost_usd: u64,
    /// The model
    #[arg(long, default_value = "", value_name = "NAME")]
    pub(crate) model: String,
    /// Who runs the model
    #[arg(long, default_value = "", value_name = "NAME")]
    pub(crate) provider: String,
}

/// By what usage is summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GroupBy {
    Queue,
    Model,
    Provider,
}

impl From<GroupBy> for UsageGroup {
    fn from(by: GroupBy) -> Self {
        match by {
            GroupBy::Queue => Self::Queue,
            GroupBy::Model => Self::Model,
            GroupBy::Provider => Self::Provider,
        }
    }
}

/// What is asked about prompt caches.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Show how much of what models read came from a cache, as work on jobs reported it
    Stats(UsageArgs),
}

#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// The time until now that is summed up, as 24h or 7d, in whole hours; the server remembers 35 days
    #[arg(long, default_value = "24h", value_parser = units::time_ms, value_name = "TIME")]
    pub(crate) period: u64,
    /// By what it is summed up [default: all in one]
    #[arg(long, value_enum)]
    pub(crate) group_by: Option<GroupBy>,
}

/// Reads an amount of dollars, in micro-dollars.
fn cost(text: &str) -> Result<u64, DollarsError> {
    parse_dollars(text)
}
