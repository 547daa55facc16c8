//! Flags of what helps at a terminal.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{ClientArgs, Output};

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Only queues whose name begins so
    #[arg(default_value = "")]
    pub(crate) prefix: String,
    /// Print one frame as text, and end
    #[arg(long)]
    pub(crate) once: bool,
    /// Pause between two looks, in milliseconds
    #[arg(long, default_value_t = 1000, value_name = "MS", value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub(crate) every_ms: u64,
    /// Where the server serves its metrics, for how long commits take [default: that is not shown]
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics: Option<SocketAddr>,
}

/// What is made to look at.
#[derive(Debug, Subcommand)]
pub(crate) enum SeedCommand {
    /// Make jobs in many states, in queues whose names begin with `demo.`
    Demo(DemoArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Jobs
    #[arg(long, default_value_t = 48, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) count: u32,
}

#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// How results are printed
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) output: Output,
}

/// Shells that commands are completed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Directory for the pages; made when missing
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}
