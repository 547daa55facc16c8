//! The load of `jobbie-bench` on raw Redis lists: LPUSH to enqueue, BLMOVE to a list of the worker's own to fetch, LREM to
//! ack. No retries, leases or delays; it is what the fastest hand-made queue does.

mod resp;
mod target;

use std::process::ExitCode;

use clap::Parser;
use jobbie_bench::options::Workload;

#[derive(Parser)]
#[command(name = "jobbie-bench-redis", about = "jobbie-bench's load on Redis lists")]
struct Cli {
    #[command(subcommand)]
    workload: Workload,
}

fn main() -> ExitCode {
    let workload = Cli::parse().workload;
    match run(&workload) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(workload: &Workload) -> anyhow::Result<bool> {
    let options = workload.options();
    options.validate(workload).map_err(anyhow::Error::msg)?;
    let target = target::Redis::new(options)?;
    let report = jobbie_bench::run::run(&target, workload)?;
    if !options.json {
        eprint!("{}", report.text());
    }
    println!("{}", report.json());
    Ok(report.is_good())
}
