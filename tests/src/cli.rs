//! The command line as a user types it, and what it prints.

use std::process::Output;

use serde_json::Value;

use crate::server::run;

/// Runs a client command against the server at `addr`, with JSON for its results.
#[must_use]
pub fn jobbie(addr: &str, args: &[&str]) -> Output {
    run("jobbie", &[args, &["--addr", addr, "--output", "jsonl"]].concat())
}

/// The results of a command.
///
/// # Panics
/// When it fails.
#[must_use]
pub fn json(addr: &str, args: &[&str]) -> Vec<Value> {
    let out = jobbie(addr, args);
    assert!(out.status.success(), "{args:?}: {out:?}");
    lines(&String::from_utf8_lossy(&out.stdout))
}

/// Does what has no result worth looking at.
///
/// # Panics
/// When it fails.
pub fn done(addr: &str, args: &[&str]) {
    assert!(!json(addr, args).is_empty(), "{args:?} says nothing");
}

/// The table that a command prints, as its cells.
///
/// # Panics
/// When it fails.
#[must_use]
pub fn table(addr: &str, args: &[&str]) -> Vec<Vec<String>> {
    let out = run("jobbie", &[args, &["--addr", addr]].concat());
    assert!(out.status.success(), "{args:?}: {out:?}");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let cells = |line: &str| line.split("  ").map(|c| c.trim().to_owned()).collect::<Vec<_>>();
    text.lines().map(|l| cells(l).into_iter().filter(|c| !c.is_empty()).collect()).collect()
}

/// The exit code of a command that must fail, and what it said.
///
/// # Panics
/// When it does not fail.
#[must_use]
pub fn refused(addr: &str, args: &[&str]) -> (Option<i32>, String) {
    let out = jobbie(addr, args);
    assert!(!out.status.success(), "{args:?}: {out:?}");
    (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
}

/// JSON, an object a line.
///
/// # Panics
/// When it is not.
#[must_use]
pub fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}
