//! The whole gate, in the order in which failing is cheapest.

use std::process::Command;

use anyhow::bail;

use crate::fuzz;
use crate::quickstart;
use crate::regen_wire;
use crate::step::{Step, cargo, is_installed, root};
use crate::venv;

/// Simulator runs of the gate; the long run has a thousand.
const SIM_SEEDS: u32 = 40;
/// Commands that the engine and its naive model do side by side; the long run does a hundred times as many.
const MODEL_COMMANDS: u64 = 1_000_000;
/// Kills and power cuts of the gate; `cargo xtask crash` has hundreds.
const CRASH_CYCLES: u32 = 5;
const POWER_CUTS: u32 = 2;

/// Clients of the HTTP interface that others have published, which must work as they are.
const CLIENTS: [&str; 2] = ["corvo-client==0.3.0", "corvo-worker==0.3.0"];

/// Runs every step with `fuzz_seconds` of fuzzing each target, goes on after a failed one, and names all that failed at the end.
pub(crate) fn run(fuzz_seconds: u32) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    let mut passed = 0;
    for step in steps()? {
        match step.run() {
            Ok(()) => passed += 1,
            Err(e) => failed.push(format!("{e:#}")),
        }
    }
    let more = [
        ("wire code", regen_wire::run(true, None)),
        ("quick start", quickstart::run()),
        ("fuzzing", fuzz::run(fuzz_seconds, crate::FUZZ_SEED, &[])),
    ];
    for (name, done) in more {
        match done {
            Ok(()) => passed += 1,
            Err(e) => failed.push(format!("{name}: {e:#}")),
        }
    }
    eprintln!("\n== gate: {passed} steps passed, {} failed", failed.len());
    if !failed.is_empty() {
        bail!("{}", failed.join("; "));
    }
    Ok(())
}

fn steps() -> anyhow::Result<Vec<Step>> {
    let mut steps = vec![
        Step::new("format", cargo(["fmt", "--all", "--check"])),
        Step::new(
            "lints",
            cargo(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
        ),
        Step::new("tests", tests()?),
    ];
    steps.push(Step::new("doc tests", cargo(["test", "--workspace", "--doc", "--locked"])));
    let mut docs = cargo(["doc", "--workspace", "--no-deps", "--locked", "--quiet"]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    steps.push(Step::new("documentation", docs));
    steps.push(Step::new("model", crate::model::command("sim", MODEL_COMMANDS, 0)));
    steps.extend(simulation());
    Ok(steps)
}

/// Every test of the workspace. nextest gives each its own process and time limit; cargo's own runner does otherwise.
fn tests() -> anyhow::Result<Command> {
    let clients = venv::with("clients", &CLIENTS)?;
    let mut command = if is_installed("cargo", &["nextest", "--version"]) {
        cargo(["nextest", "run", "--workspace", "--locked", "--no-fail-fast"])
    } else {
        cargo(["test", "--workspace", "--lib", "--bins", "--tests", "--locked", "--no-fail-fast"])
    };
    command
        .env("JOBBIE_TEST_CRASH_CYCLES", CRASH_CYCLES.to_string())
        .env("JOBBIE_TEST_POWER_CUTS", POWER_CUTS.to_string())
        .env("JOBBIE_PYTHON", clients.join("bin/python"));
    Ok(command)
}

/// A few seeds of the simulator.
fn simulation() -> Option<Step> {
    let manifest = root().join("tests/sim/Cargo.toml");
    manifest.exists().then(|| {
        let mut command =
            cargo(["run", "--profile", "sim", "-p", "jobbie-simulator", "--locked", "--"]);
        command.args(["--seeds", &SIM_SEEDS.to_string(), "--jobs", "2"]);
        Step::new("simulation", command)
    })
}
