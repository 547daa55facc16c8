//! What the command line does for people at a terminal and for scripts: forms of output, pipes, completions, manual
//! pages, the dashboard.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use jobbie_tests::cli::{done, json};
use jobbie_tests::server::{Server, binary, free_address, run};
use serde_json::Value;

fn text(out: &Output) -> String {
    assert!(out.status.success(), "{out:?}");
    String::from_utf8(out.stdout.clone()).expect("UTF-8")
}

/// Runs `jobbie` with a text on its standard input.
fn fed(input: &str, args: &[&str]) -> Output {
    let mut command = Command::new(binary("jobbie"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start jobbie");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("feed it");
    child.wait_with_output().expect("it ends")
}

fn serve(folder: &tempfile::TempDir, flags: &[&str]) -> Server {
    Server::start(&folder.path().join("data"), free_address(2), flags)
}

#[test]
fn json_is_one_document_and_jsonl_an_object_a_line() {
    let folder = tempfile::tempdir().expect("make a folder");
    let server = serve(&folder, &["--shards", "2"]);
    let at = server.addr();
    let job = json(&at, &["enqueue", "a", "x"])[0]["job"].as_str().expect("an id").to_owned();
    done(&at, &["enqueue", "b", "y"]);
    let as_form = |form: &str, args: &[&str]| {
        text(&run("jobbie", &[args, &["--addr", &at, "--output", form]].concat()))
    };
    let document = |args: &[&str]| -> Value {
        serde_json::from_str(&as_form("json", args)).expect("one document")
    };
    let queues = document(&["queues"]);
    assert_eq!(queues.as_array().map(Vec::len), Some(2), "{queues}");
    assert_eq!(as_form("jsonl", &["queues"]).lines().count(), 2);
    let inspected = document(&["inspect", &job]);
    assert_eq!(inspected["state"], "pending", "one object and no list: {inspected}");
    assert_eq!(as_form("jsonl", &["inspect", &job]).lines().count(), 1);
    assert_eq!(document(&["pause", "a"])["paused"], true);
    assert_eq!(document(&["enqueue", "a", "z"])["duplicate"], false);
    assert_eq!(as_form("table", &["enqueue", "a", "z"]).trim().len(), job.len(), "a bare id");
    let version = run("jobbie", &["version", "--output", "json"]);
    let version: Value = serde_json::from_str(&text(&version)).expect("one document");
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(!as_form("table", &["queues"]).contains('\x1b'), "colours are for terminals");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn what_a_command_prints_another_one_takes() {
    let folder = tempfile::tempdir().expect("make a folder");
    let server = serve(&folder, &["--shards", "2"]);
    let at = server.addr();
    for nth in 0..6 {
        done(&at, &["enqueue", ["a", "b"][nth % 2], "x", "--hold", "look"]);
    }
    let held = |form: &str| text(&run("jobbie", &["held", "--addr", &at, "--output", form]));
    let bulk = |input: &str, args: &[&str]| {
        let more = ["--addr", &at, "--output", "jsonl"];
        let out = text(&fed(input, &[&["bulk"], args, &more].concat()));
        serde_json::from_str::<Value>(&out).expect("JSON")["affected"].clone()
    };
    assert_eq!(bulk(&held("jsonl"), &["approve", "-", "--dry-run"]), 6);
    let first = held("jsonl").lines().take(2).map(|l| format!("{l}\n")).collect::<String>();
    assert_eq!(bulk(&first, &["approve", "-"]), 2);
    let ids = held("jsonl").replace("\"job\"", "\"id\"");
    assert_eq!(bulk(&ids, &["reject", "-", "--reason", "no"]), 4);
    let dead: Option<u64> = json(&at, &["queues"]).iter().map(|queue| queue["dead"].as_u64()).sum();
    assert_eq!(dead, Some(4));
    let nothing = fed("", &["bulk", "retry", "-", "--addr", &at]);
    assert_eq!(nothing.status.code(), Some(2), "{nothing:?}");
    let wrong = fed("{\"state\": \"dead\"}\n", &["bulk", "retry", "-", "--addr", &at]);
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(wrong.status.code() == Some(2) && said.contains("no id in it"), "{said}");
    let both = fed("", &["bulk", "retry", "-", "--queue", "a", "--addr", &at]);
    assert_eq!(both.status.code(), Some(2), "{both:?}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_demonstration_has_jobs_in_many_states() {
    let folder = tempfile::tempdir().expect("make a folder");
    let server = serve(&folder, &["--shards", "2"]);
    let at = server.addr();
    let made = json(&at, &["seed", "demo", "--count", "50"]);
    assert_eq!(made.iter().filter_map(|line| line["jobs"].as_u64()).sum::<u64>(), 50);
    let queues = json(&at, &["queues", "demo."]);
    assert_eq!(queues.len(), 3, "{queues:?}");
    for line in &made {
        let state = line["made"].as_str().expect("a state");
        let there: u64 = queues.iter().filter_map(|queue| queue[state].as_u64()).sum();
        assert_eq!(Some(there), line["jobs"].as_u64(), "{state}: {queues:?}");
    }
    let mail = json(&at, &["fetch", "demo.mail"]).remove(0);
    let cost =
        ["--input-tokens", "600", "--cache-creation-tokens", "100", "--cache-read-tokens", "300"];
    done(&at, &[&["ack", mail["job"].as_str().expect("an id")], &cost[..]].concat());
    let cache = json(&at, &["cache", "stats"]);
    assert_eq!((&cache[0]["of"], &cache[0]["hit_percent"]), (&"all".into(), &30.into()));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn shells_are_told_of_every_command_and_each_has_a_page() {
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&run("jobbie", &["completions", shell]));
        for word in ["enqueue", "approval-policy", "timeout-ms", "top"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let folder = tempfile::tempdir().expect("make a folder");
    let out = folder.path().join("man");
    assert_eq!(text(&run("jobbie", &["man", "--out", out.to_str().expect("UTF-8")])), "");
    let page = |name: &str| std::fs::read_to_string(out.join(name)).expect(name);
    assert!(page("jobbie.1").contains("Exit codes: 0 done"));
    assert!(page("jobbie-enqueue.1").contains("Idempotency key"));
    assert!(page("jobbie-schedule-set.1").contains("zone"));
}

#[test]
fn one_frame_of_the_dashboard_tells_what_goes_on() {
    let folder = tempfile::tempdir().expect("make a folder");
    let metrics = free_address(1).to_string();
    let server = serve(&folder, &["--shards", "2", "--metrics", &metrics]);
    let at = server.addr();
    let load = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let args = ["lifecycle", "--addr", &at, "--jobs", "8000", "--batch", "20", "--json"];
            run("jobbie-bench", &args)
        });
        let mut seen = String::new();
        while !load.is_finished() {
            let args = ["top", "--once", "--every-ms", "300", "--metrics", &metrics, "--addr", &at];
            let frame = text(&run("jobbie", &args));
            assert!(frame.starts_with("jobbie at ") && !frame.contains('\x1b'), "{frame}");
            seen += &frame;
        }
        let busy = |line: &str| line.starts_with("enqueued ") && !line.starts_with("enqueued 0/s");
        assert!(seen.lines().any(busy), "{seen}");
        let p99 = |line: &str| line.ends_with("us") || line.ends_with("ms");
        assert!(seen.lines().any(p99), "commits were timed: {seen}");
        load.join().expect("the load ends")
    });
    assert!(load.status.success(), "{load:?}");
    done(&at, &["enqueue", "mail", "x"]);
    done(&at, &["pause", "mail"]);
    let frame = text(&run("jobbie", &["top", "--once", "--every-ms", "100", "--addr", &at]));
    let mail = frame.lines().find(|line| line.starts_with("mail ")).expect("it is a queue");
    assert!(mail.ends_with("paused"), "{mail}");
    let piped = run("jobbie", &["top", "--addr", &at]);
    assert_eq!(piped.status.code(), Some(2), "there is no terminal: {piped:?}");
    assert_eq!(server.stop(), Some(0));
    let nobody = run("jobbie", &["top", "--once", "--addr", &at]);
    assert_eq!(nobody.status.code(), Some(3), "{nobody:?}");
}
