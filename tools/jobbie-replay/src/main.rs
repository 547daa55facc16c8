//! Reads the data directory of a stopped server, and never changes a byte of it.

mod data_dir;
mod dump;
mod error;
mod fold;
mod overlay;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::{Exit, ReplayError};

#[derive(Parser)]
#[command(
    name = "jobbie-replay",
    version,
    about = "Reads the data directory of a stopped server, and never changes a byte of it",
    after_help = "Exit codes: 0 sound; 1 a torn tail, which the server cuts when it starts: nothing in it was \
                  acknowledged; 2 damage; 3 cannot be read; 64 wrong flag."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check every record; prints one JSON object a shard
    Verify {
        /// Data directory, or one shard's log
        dir: PathBuf,
    },
    /// Print every event as a line of JSON
    Dump {
        /// Data directory, or one shard's log
        dir: PathBuf,
        /// Only events of this job, by its sequence number
        #[arg(long)]
        job: Option<u64>,
        /// Print payloads, results and errors, not only their sizes
        #[arg(long)]
        payloads: bool,
    },
    /// Print counts and the state's hash after folding the log, from its beginning or from a snapshot
    State {
        /// Data directory, or one shard's log
        dir: PathBuf,
        /// Where to begin
        #[arg(long, value_enum, default_value = "auto")]
        from: fold::From,
        /// Fold no further than this index
        #[arg(long)]
        until_index: Option<u64>,
    },
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Printing fails only when nobody reads it.
            let _ = e.print();
            return if e.use_stderr() { Exit::Usage.into() } else { Exit::Sound.into() };
        }
    };
    let done = match cli.command {
        Command::Verify { dir } => verify::run(&dir),
        Command::Dump { dir, job, payloads } => dump::run(&dir, &dump::Options { job, payloads }),
        Command::State { dir, from, until_index } => fold::run(&dir, from, until_index),
    };
    match done {
        Ok(exit) => exit.into(),
        // A reader that has seen enough, such as `head`, is no failure.
        Err(ReplayError::Print(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => {
            Exit::Sound.into()
        }
        Err(e) => {
            eprintln!("error: {e}");
            e.exit().into()
        }
    }
}
