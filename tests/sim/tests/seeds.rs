//! A few seeds, that a seed repeats exactly, and that a broken promise is noticed.

use std::process::{Command, Output};

fn simulate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jobbie-sim"));
    command.args(arguments).output().expect("the simulator runs")
}

fn trace_of(seed: &str) -> String {
    let output = simulate(&["--seed", seed]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    text.split_whitespace().find(|word| word.starts_with("trace=")).expect("a trace").to_owned()
}

#[test]
fn equal_seeds_give_equal_traces_and_others_do_not() {
    let traces = ["7", "7", "14"].map(trace_of);
    assert_eq!(traces[0], traces[1]);
    assert_ne!(traces[0], traces[2]);
}

#[test]
fn promises_hold_for_a_few_seeds() {
    let output = simulate(&["--seeds", "0..4", "--jobs", "2"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// 62: a shard that was stopping kept itself awake for a deadline that had passed, for ever.
#[test]
fn seeds_that_failed_once_pass() {
    trace_of("62");
}

#[test]
fn a_planted_defect_falls_and_the_command_that_repeats_it_is_printed() {
    for mutant in ["shard:ReplyBeforeCommit", "raft:CallbackBeforeFlush"] {
        let output = simulate(&["--seeds", "0..20", "--jobs", "2", "--mutant", mutant]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{mutant} was not found");
        assert!(text.contains("is broken") && text.contains("replay: jobbie-sim --seed"), "{text}");
    }
}
