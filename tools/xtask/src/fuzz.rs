//! Fuzzing: every target's corpus, then new inputs for a while.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, bail, ensure};

use crate::step::{Step, cargo, is_installed, root};

/// The runner, as crates.io has it.
const CARGO_FUZZ: &str = "0.13.2";
const FOLDER: &str = "tests/fuzz";
/// Targets that run at the same time.
const JOBS: usize = 2;
/// An input that takes longer hangs, in seconds. Far more than any needs, since the machine may be busy.
const INPUT_SECONDS_MAX: u32 = 120;
/// What one input may ask for in one piece, in MiB. Segments of the log target have 1 MiB.
const ALLOCATION_MIB_MAX: u32 = 64;
const INPUT_BYTES_MAX: u32 = 16 << 10;

/// Builds all targets and runs those named, or all, for `seconds` each. With one seed the inputs come in one order, so
/// that a gate does not fall over what nobody changed; other seeds find other inputs.
pub(crate) fn run(seconds: u32, seed: u32, chosen: &[String]) -> anyhow::Result<()> {
    let known = targets()?;
    for name in chosen {
        ensure!(known.contains(name), "there is no target {name}, only {}", known.join(", "));
    }
    install()?;
    Step::new("build fuzz targets", cargo_fuzz(&["build"])).run()?;
    let chosen = if chosen.is_empty() { &known } else { chosen };
    let waiting = Mutex::new(chosen.iter());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..JOBS.min(chosen.len()) {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("nobody panics").next();
                    let Some(target) = next else { break };
                    if let Err(e) = run_one(target, seconds, seed) {
                        failed.lock().expect("nobody panics").push(format!("{target}: {e:#}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("nobody panics");
    if !failed.is_empty() {
        bail!("{}", failed.join("; "));
    }
    Ok(())
}

/// The targets, one for each file.
fn targets() -> anyhow::Result<Vec<String>> {
    let folder = root().join(FOLDER).join("fuzz_targets");
    let mut names = Vec::new();
    for file in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = file?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    ensure!(!names.is_empty(), "no targets in {FOLDER}");
    Ok(names)
}

fn install() -> anyhow::Result<()> {
    let wanted = format!("cargo-fuzz {CARGO_FUZZ}");
    let found = Command::new("cargo").args(["fuzz", "--version"]).output();
    if found.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).trim() == wanted) {
        return Ok(());
    }
    ensure!(is_installed("c++", &["--version"]), "libFuzzer needs a C++ compiler: install g++");
    // It only starts others, so it need not be fast, and is quicker to build.
    let args = ["install", "cargo-fuzz", "--locked", "--debug", "--version", CARGO_FUZZ];
    Step::new("install cargo-fuzz", cargo(args)).run()
}

/// The address sanitizer is behind a switch that only nightly compilers take; ours takes it too when told to.
fn cargo_fuzz(args: &[&str]) -> Command {
    let (command, rest) = args.split_first().expect("a command");
    let mut cargo = cargo(["fuzz"]);
    cargo.args([command, "--fuzz-dir", FOLDER]).args(rest).env("RUSTC_BOOTSTRAP", "1");
    // Freed memory is used again soon: pages fresh from the kernel would be half of the time.
    cargo.env("ASAN_OPTIONS", "quarantine_size_mb=2");
    cargo
}

/// Runs one target. What it finds interesting goes beside the build, so that the next run here begins with it and the
/// committed corpus stays as it is.
fn run_one(target: &str, seconds: u32, seed: u32) -> anyhow::Result<()> {
    let work = build_folder().join("fuzz").join(target);
    std::fs::create_dir_all(&work).with_context(|| format!("make {}", work.display()))?;
    let log = work.with_extension("log");
    let output = File::create(&log).with_context(|| format!("create {}", log.display()))?;
    let corpus = root().join(FOLDER).join("corpus").join(target);
    ensure!(corpus.is_dir(), "there is no corpus {}", corpus.display());
    let mut command = cargo_fuzz(&["run", target]);
    command.arg(&work).arg(&corpus).arg("--");
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-seed={seed}"));
    command.arg(format!("-timeout={INPUT_SECONDS_MAX}"));
    command.arg(format!("-malloc_limit_mb={ALLOCATION_MIB_MAX}"));
    command.arg(format!("-max_len={INPUT_BYTES_MAX}"));
    command.arg("-print_final_stats=1");
    command.stdout(output.try_clone()?).stderr(output);
    let begin = Instant::now();
    let status = command.status().context("start cargo")?;
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    eprintln!(
        "== fuzz {target}: {status}, {:.0} s, {}",
        begin.elapsed().as_secs_f64(),
        runs(&text)
    );
    if !status.success() {
        eprintln!("{text}");
        bail!("failed ({status}), see {}", log.display());
    }
    Ok(())
}

/// How many inputs were run, out of libFuzzer's last words.
fn runs(text: &str) -> String {
    let count = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    count.map_or_else(|| "no inputs counted".into(), |count| format!("{} inputs", count.trim()))
}

fn build_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_corpus_and_a_line_in_the_manifest() {
        let manifest = std::fs::read_to_string(root().join(FOLDER).join("Cargo.toml"))
            .expect("read the manifest");
        for target in targets().expect("there are targets") {
            let corpus = root().join(FOLDER).join("corpus").join(&target);
            assert!(corpus.read_dir().is_ok_and(|mut seeds| seeds.next().is_some()), "{target}");
            assert!(manifest.contains(&format!("fuzz_targets/{target}.rs")), "{target}");
        }
    }

    #[test]
    fn the_count_is_found() {
        assert_eq!(runs("x\nstat::number_of_executed_units: 12\ny"), "12 inputs");
        assert_eq!(runs("Done"), "no inputs counted");
    }
}
