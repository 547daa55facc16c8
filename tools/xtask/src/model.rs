//! The engine beside its naive model, for as long as is wanted. engine/core/tests/model does it.

use std::process::{Child, Command};

use anyhow::{Context, bail};

use crate::step::{Step, cargo};

/// Between the first seeds of two processes: more than one of them gets through.
const SEEDS_EACH: u64 = 1 << 32;

/// The test, with histories from seed `first` on. A failure prints its seed and how to run that alone.
pub(crate) fn command(profile: &str, commands: u64, first: u64) -> Command {
    let mut test = cargo(["test", "--profile", profile, "--locked", "-p", "jobbie-core"]);
    test.args(["--test", "model", "--", "--nocapture", "the_engine_is_the_model"]);
    test.env("JOBBIE_TEST_MODEL_COMMANDS", commands.to_string())
        .env("JOBBIE_TEST_MODEL_FIRST_SEED", first.to_string());
    test
}

/// At least `commands` in `jobs` processes at a time, each on seeds of its own.
pub(crate) fn run(commands: u64, jobs: u16) -> anyhow::Result<()> {
    let build =
        ["test", "--profile", "release", "--locked", "-p", "jobbie-core", "--test", "model"];
    let mut build = cargo(build);
    build.arg("--no-run");
    Step::new("build", build).run()?;
    let each = commands.div_ceil(u64::from(jobs));
    let start = |job| command("release", each, u64::from(job) * SEEDS_EACH).spawn();
    let children: Vec<Child> =
        (0..jobs).map(start).collect::<Result<_, _>>().context("start the model")?;
    let mut failed = 0;
    for mut child in children {
        failed += u16::from(!child.wait().context("wait for the model")?.success());
    }
    if failed > 0 {
        bail!("{failed} of {jobs} processes failed; each printed the seed and how to run it again");
    }
    Ok(())
}
