//! Loads a jobbie server, says how fast it was, and checks that each job came out exactly once.

use std::process::ExitCode;

use clap::Parser;
use jobbie_bench::jobbie::{Jobbie, run_crash_load};
use jobbie_bench::options::Workload;

/// The result is wrong or the server refused something.
const EXIT_WRONG: u8 = 1;
/// Flags that do not go together.
const EXIT_USAGE: u8 = 2;
/// The run did not come to its end.
const EXIT_BROKEN_OFF: u8 = 3;

#[derive(Parser)]
#[command(
    name = "jobbie-bench",
    version,
    about = "Load generator that also checks delivery",
    after_help = "Exit codes: 0 each job came out exactly once; 1 it did not, or the server refused something; \
                  2 wrong flag; 3 no connection, or it was lost."
)]
struct Cli {
    #[command(subcommand)]
    workload: Workload,
}

fn main() -> ExitCode {
    let workload = Cli::parse().workload;
    let options = workload.options();
    if let Err(e) = options.validate(&workload) {
        eprintln!("error: {e}");
        return ExitCode::from(EXIT_USAGE);
    }
    if let Some(path) = &options.history {
        return match run_crash_load(&workload, options, path) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => {
                eprintln!("error: {e:#}");
                ExitCode::from(EXIT_BROKEN_OFF)
            }
        };
    }
    let report = Jobbie::new(options).and_then(|target| jobbie_bench::run::run(&target, &workload));
    match report {
        Ok(report) => {
            if !options.json {
                eprint!("{}", report.text());
            }
            println!("{}", report.json());
            if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_WRONG) }
        }
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::from(EXIT_BROKEN_OFF)
        }
    }
}
