//! What the programs that load other servers have in common.

use std::process::ExitCode;

use crate::options::{Options, Workload};
use crate::run::run;
use crate::wire::Target;

/// Runs a workload against another server and prints what came out, as `jobbie-bench` does.
pub fn main<T: Target>(
    workload: &Workload,
    target: impl FnOnce(&Options) -> anyhow::Result<T>,
) -> ExitCode {
    match compare(workload, target) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare<T: Target>(
    workload: &Workload,
    target: impl FnOnce(&Options) -> anyhow::Result<T>,
) -> anyhow::Result<bool> {
    let options = workload.options();
    options.validate(workload).map_err(anyhow::Error::msg)?;
    anyhow::ensure!(!options.every_option, "only jobs of jobbie have options: no --every-option");
    anyhow::ensure!(options.history.is_none(), "only jobbie is killed and checked: no --history");
    let report = run(&target(options)?, workload)?;
    if !options.json {
        eprint!("{}", report.text());
    }
    println!("{}", report.json());
    Ok(report.is_good())
}
