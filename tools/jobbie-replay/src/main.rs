//! Reads the data directory of a server, stopped or at work, and never changes a byte of it.

mod args;
mod at;
mod data_dir;
mod diff;
mod dump;
mod error;
mod export;
mod fold;
mod output;
mod overlay;
mod point;
mod project;
mod rows;
mod running;
mod state;
mod time;
mod timeline;
mod verify;
mod views;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::dump::Show;
use crate::error::{Exit, ReplayError};
use crate::point::Point;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Printing fails only when nobody reads it.
            let _ = e.print();
            return if e.use_stderr() { Exit::Usage.into() } else { Exit::Sound.into() };
        }
    };
    match run(cli.command) {
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

fn run(command: Command) -> Result<Exit, ReplayError> {
    let show = |payloads| Show { payloads, words: false };
    match command {
        Command::Verify { dir } => verify::run(&dir),
        Command::Dump { dir, job, payloads } => {
            dump::run(&dir, &dump::Options { job, show: show(payloads) })
        }
        Command::State { dir, from, until_index } => state::run(&dir, from, until_index),
        Command::Timeline { dir, job, payloads, output } => {
            timeline::run(&dir, &timeline::Options { job, payloads, output })
        }
        Command::At { dir, index, time, shard, queue, job, payloads, output } => {
            let point =
                index.map(Point::Index).or(time.map(Point::Time)).expect("clap asks for one");
            let show = Show { payloads, words: true };
            at::run(&dir, &at::Question { point, shard, queue, job, show, output })
        }
        Command::Diff { dir, from, to, shard, limit, output } => {
            diff::run(&dir, &diff::Options { from, to, shard, limit, output })
        }
        Command::Project { dir, out, retention_ms } => project::run(&dir, &out, retention_ms),
        Command::Rows { file } => project::rows(&file),
        Command::Export { dir, what, queue, state, since, until, format, payloads, out } => {
            let show = show(payloads);
            let options = export::Options { what, queue, state, since, until, format, show, out };
            export::run(&dir, &options)
        }
    }
}
