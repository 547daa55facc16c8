//! The command line against a real server, as a user types it.

use std::process::Output;

use jobbie_tests::cli::{jobbie, lines};
use jobbie_tests::server::{Server, free_address, run};
use serde_json::Value;

fn json(out: &Output) -> Vec<Value> {
    assert!(out.status.success(), "{out:?}");
    lines(&String::from_utf8_lossy(&out.stdout))
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[test]
fn a_job_goes_through_its_life() {
    let folder = tempfile::tempdir().expect("make a folder");
    let server = Server::start(&folder.path().join("data"), free_address(2), &["--shards", "2"]);
    let at = server.addr();
    let job = json(&jobbie(&at, &["enqueue", "mail", "{\"to\": 1}"]))[0]["job"].clone();
    let job = job.as_str().expect("an id");
    assert_eq!(json(&jobbie(&at, &["inspect", job]))[0]["state"], "pending");
    let lease = json(&jobbie(&at, &["fetch", "mail"])).remove(0);
    assert_eq!((lease["job"].as_str(), &lease["payload"]), (Some(job), &"{\"to\": 1}".into()));
    assert_eq!(jobbie(&at, &["fetch", "mail"]).status.code(), Some(4), "it is leased");
    let failed = json(&jobbie(&at, &["fail", job, "no route"])).remove(0);
    assert_eq!(failed["state"], "retrying");
    assert_eq!(json(&jobbie(&at, &["inspect", job]))[0]["error"], "no route");
    let other = json(&jobbie(&at, &["enqueue", "mail", "two", "--key", "k"]))[0].clone();
    let again = json(&jobbie(&at, &["enqueue", "mail", "two", "--key", "k"]))[0].clone();
    assert_eq!((&again["job"], &again["duplicate"]), (&other["job"], &true.into()));
    let conflict = jobbie(&at, &["enqueue", "mail", "three", "--key", "k"]);
    assert_eq!(conflict.status.code(), Some(5), "{conflict:?}");
    let other = other["job"].as_str().expect("an id").to_owned();
    let token = json(&jobbie(&at, &["fetch", "mail"]))[0]["lease_token"].to_string();
    let stale = jobbie(&at, &["ack", &other, "--lease-token", "1"]);
    assert_eq!(stale.status.code(), Some(5), "{stale:?}");
    json(&jobbie(&at, &["ack", &other, "--lease-token", &token, "--result", "sent"]));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn r01_jobs_and_pauses_survive_kill_9() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (data_dir, addr) = (folder.path().join("data"), free_address(1));
    let server = Server::start(&data_dir, addr, &["--shards", "1"]);
    let at = server.addr();
    let job = json(&jobbie(&at, &["enqueue", "q", "x"]))[0]["job"].clone();
    json(&jobbie(&at, &["pause", "q"]));
    server.kill();
    let server = Server::start(&data_dir, addr, &[]);
    let paused = jobbie(&at, &["fetch", "q"]);
    assert_eq!(paused.status.code(), Some(4), "the queue is paused: {paused:?}");
    let queue = json(&jobbie(&at, &["queues"])).remove(0);
    assert_eq!((&queue["pending"], &queue["paused"]), (&1.into(), &true.into()));
    json(&jobbie(&at, &["resume", "q"]));
    assert_eq!(json(&jobbie(&at, &["fetch", "q"]))[0]["job"], job);
    drop(server);
}

#[test]
fn mistakes_are_told_with_their_remedy() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (data_dir, addr) = (folder.path().join("data"), free_address(2));
    let server = Server::start(&data_dir, addr, &["--shards", "1"]);
    let refused = |flags: &[&str]| {
        let other = free_address(2);
        match Server::try_start(&data_dir, other, flags) {
            Ok(_) => panic!("it started: {flags:?}"),
            Err(said) => said,
        }
    };
    let second = refused(&[]);
    assert!(second.contains("exit status: 7"), "a second server on one directory: {second}");
    assert_eq!(server.stop(), Some(0));
    let shards = refused(&["--shards", "2"]);
    assert!(shards.contains("exit status: 7") && shards.contains("--shards"), "{shards}");
    let flag = run("jobbie", &["server", "--durability", "maybe"]);
    assert_eq!(flag.status.code(), Some(2));
    assert!(said(&flag).contains("interval:<ms>"), "{flag:?}");
    let nobody = jobbie(&addr.to_string(), &["status"]);
    assert_eq!(nobody.status.code(), Some(3));
    assert!(said(&nobody).contains("is `jobbie server` running"), "{nobody:?}");
    let config = folder.path().join("jobbie.toml");
    std::fs::write(&config, "[server]\ndatadir = \"x\"\n").expect("write config");
    let unknown = run("jobbie", &["server", "--config", config.to_str().expect("UTF-8")]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(said(&unknown).contains("did you mean \"server.data-dir\""), "{unknown:?}");
}

#[test]
fn a_payload_over_the_limit_is_refused() {
    let folder = tempfile::tempdir().expect("make a folder");
    let server = Server::start(&folder.path().join("data"), free_address(1), &["--shards", "1"]);
    let file = folder.path().join("large");
    std::fs::write(&file, vec![b'x'; (256 << 10) + 1]).expect("write");
    let out = jobbie(&server.addr(), &["enqueue", "q", &format!("@{}", file.display())]);
    assert_eq!(out.status.code(), Some(5), "{out:?}");
    assert!(said(&out).contains("262144"), "the limit is named: {out:?}");
}

#[test]
fn every_workload_delivers_each_job_exactly_once() {
    let folder = tempfile::tempdir().expect("make a folder");
    let server = Server::start(&folder.path().join("data"), free_address(2), &["--shards", "2"]);
    let pid = server.pid().to_string();
    for (flags, jobs) in [
        ("enqueue --batch 50", 5000),
        ("enqueue --batch 50 --every-option", 5000),
        ("lifecycle --batch 50", 5000),
        ("steady --batch 50", 5000),
        ("backlog --batch 50", 5000),
        ("backlog --batch 50 --every-option", 5000),
        ("parked --batch 1 --connections 2 --rate 1000", 200),
        ("enqueue --batch 50 --every-option --unique --limit-keys 20", 5000),
        ("lifecycle --batch 50 --unique --limit-keys 100 --limits", 5000),
        ("lifecycle --batch 50 --limit-keys 100 --zipf --fair", 5000),
        ("steady --batch 50 --limit-keys 100 --limits --fair", 5000),
        ("steady --batch 50 --callback --limits", 5000),
        ("due --batch 50 --ahead 4", 5000),
        ("due --batch 50 --ahead 4 --shuffle --unique", 5000),
    ] {
        let (addr, jobs_flag) = (server.addr(), jobs.to_string());
        let more = ["--addr", &addr, "--jobs", &jobs_flag, "--pid", &pid, "--json"];
        let args: Vec<&str> = flags.split(' ').chain(more).collect();
        let report = json(&run("jobbie-bench", &args)).remove(0);
        assert_eq!(report["delivery"], "exactly_once", "{report}");
        assert_eq!((&report["jobs"], &report["durability"]), (&jobs.into(), &"fsync".into()));
        assert!(report["jobs_per_s"].as_u64() > Some(0), "{report}");
    }
}

#[test]
fn a_load_limits_its_queues_and_spreads_its_limit_keys() {
    let folder = tempfile::tempdir().expect("make a folder");
    let server = Server::start(&folder.path().join("data"), free_address(2), &["--shards", "2"]);
    let addr = server.addr();
    let load = "enqueue --keep --jobs 600 --batch 20 --connections 5 --queues 5 --limit-keys 9 --limits --fair --json";
    let args: Vec<&str> = load.split(' ').chain(["--addr", &addr]).collect();
    let report = json(&run("jobbie-bench", &args)).remove(0);
    assert_eq!((&report["limit_keys"], &report["limits"]), (&9.into(), &true.into()), "{report}");
    let queues = json(&jobbie(&addr, &["limits"]));
    assert_eq!(queues.len(), 5, "{queues:?}");
    for queue in queues {
        assert_eq!((&queue["keys"], &queue["fair"]), (&9.into(), &"jobs".into()), "{queue}");
        for limit in ["concurrency", "rate", "key_concurrency", "key_rate"] {
            assert!(queue[limit].as_u64().is_some_and(|limit| limit >= 1_000_000), "{queue}");
        }
    }
}

#[test]
fn flags_of_a_load_that_do_not_go_together_are_told_apart() {
    let fair = run("jobbie-bench", &["lifecycle", "--fair"]);
    assert_eq!(fair.status.code(), Some(2), "{fair:?}");
    assert!(said(&fair).contains("give --limit-keys too"), "{fair:?}");
}
