//! The load of `jobbie-bench` on raw Redis lists: LPUSH to enqueue, BLMOVE to a list of the worker's own to fetch, LREM to
//! ack. No retries, leases or delays; it is what the fastest hand-made queue does.

mod resp;
mod target;

use std::process::ExitCode;

use clap::Parser;
use jobbie_bench::options::Workload;
use jobbie_bench::peer;

#[derive(Parser)]
#[command(name = "jobbie-bench-redis", about = "jobbie-bench's load on Redis lists")]
struct Cli {
    #[command(subcommand)]
    workload: Workload,
}

fn main() -> ExitCode {
    peer::main(&Cli::parse().workload, "Redis", target::Connection::new)
}
