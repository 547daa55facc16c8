//! Runs whole shards on virtual time: one seed decides clients, crashes, disks and clocks, and every promise
//! is checked at every step. A run that fails prints the command that repeats it.

mod check;
mod client;
mod clock;
mod damage;
mod ledger;
mod link;
mod many;
mod model;
mod mutant;
mod nemesis;
mod node;
mod pipe;
mod plan;
mod post;
mod records;
mod run;
mod world;

use std::ops::Range;
use std::process::ExitCode;

use clap::Parser;

/// Simulates jobbie's shards.
#[derive(Parser)]
#[command(name = "jobbie-sim")]
struct Options {
    /// Run this seed in this process
    #[arg(long)]
    seed: Option<u64>,
    /// Run these seeds, one process each: `A..B`, or a number for `0..N`
    #[arg(long, value_parser = parse_seeds)]
    seeds: Option<Range<u64>>,
    /// Processes at a time
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Virtual seconds with faults; the seed decides when not given
    #[arg(long)]
    seconds: Option<u64>,
    /// Plant this defect first (needs the feature `mutants`)
    #[arg(long)]
    mutant: Option<String>,
    /// Plant every defect in turn and say after how many of the seeds it fell
    #[arg(long)]
    mutants: bool,
    /// Show what the shards log
    #[arg(long)]
    verbose: bool,
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
    match text.split_once("..") {
        Some((from, to)) => Ok(number(from)?..number(to)?),
        None => Ok(0..number(text)?),
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.verbose {
        tracing_subscriber::fmt().with_writer(std::io::stderr).without_time().init();
    }
    let many = many::Many {
        seeds: options.seeds.clone().unwrap_or(0..100),
        jobs: options.jobs.max(1),
        seconds: options.seconds,
    };
    match options.seed {
        Some(seed) => one(seed, &options),
        None if options.mutants => many.all_mutants(),
        None => many.all_seeds(options.mutant.as_deref()),
    }
}

fn one(seed: u64, options: &Options) -> ExitCode {
    let seconds = options.seconds.map_or(String::new(), |s| format!(" --seconds {s}"));
    let mutant = options.mutant.as_ref().map_or(String::new(), |name| format!(" --mutant {name}"));
    let replay = format!("jobbie-sim --seed {seed}{seconds}{mutant}");
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        hook(panic);
        eprintln!("seed {seed} FAILED; replay: {replay}");
    }));
    let report = match &options.mutant {
        None => run::run(seed, options.seconds),
        Some(name) => match mutant::with(name, || run::run(seed, options.seconds)) {
            Ok(report) => report,
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::from(2);
            }
        },
    };
    println!("seed={seed} trace={:016x} {}", report.trace, report.text);
    ExitCode::SUCCESS
}
