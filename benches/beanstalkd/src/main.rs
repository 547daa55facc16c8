//! The load of `jobbie-bench` on beanstalkd: put to enqueue, reserve to fetch, delete to ack.

mod line;
mod target;

use std::process::ExitCode;

use clap::Parser;
use jobbie_bench::options::Workload;
use jobbie_bench::peer;

#[derive(Parser)]
#[command(name = "jobbie-bench-beanstalkd", about = "jobbie-bench's load on beanstalkd")]
struct Cli {
    #[command(subcommand)]
    workload: Workload,
}

fn main() -> ExitCode {
    peer::main(&Cli::parse().workload, "beanstalkd", target::Connection::new)
}
