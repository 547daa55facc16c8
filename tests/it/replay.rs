//! `jobbie-replay` on the directory of a server that runs, and on one of the first release.

use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jobbie_tests::cli::{done, json, lines};
use jobbie_tests::golden;
use jobbie_tests::server::{Server, free_address, run};
use jobbie_tests::tidy::repo;
use serde_json::Value;

fn replay(dir: &Path, command: &str, args: &[&str]) -> Output {
    let dir = dir.to_str().expect("temporary paths are UTF-8");
    run("jobbie-replay", &[&[command, dir], args].concat())
}

/// What a command prints as lines of JSON.
fn told(dir: &Path, command: &str, args: &[&str]) -> Vec<Value> {
    let out = replay(dir, command, args);
    assert_eq!(out.status.code(), Some(0), "{command} {args:?}: {out:?}");
    lines(&String::from_utf8_lossy(&out.stdout))
}

fn names(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["event"].as_str().expect("a name")).collect()
}

fn enqueue(at: &str, args: &[&str]) -> String {
    let job = &json(at, &[&["enqueue"], args].concat())[0]["job"];
    job.as_str().expect("an id").to_owned()
}

/// The id of a job that goes to another shard, once it is there.
fn moved(at: &str, job: &str) -> String {
    for _ in 0..1000 {
        let now = json(at, &["inspect", job])[0]["job"].clone();
        if now != job {
            return now.as_str().expect("an id").to_owned();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{job} does not arrive");
}

/// Two queues that are on different shards of two.
const QUEUES: [&str; 2] = ["mail", "video"];

#[test]
fn a_job_is_followed_over_shards_while_the_server_runs() {
    let folder = tempfile::tempdir().expect("make a folder");
    let data_dir = folder.path().join("data");
    let server = Server::start(&data_dir, free_address(2), &["--shards", "2"]);
    let at = server.addr();
    let job = enqueue(&at, &[QUEUES[0], "hello", "--max-retries", "3", "--backoff", "none"]);
    done(&at, &["fetch", QUEUES[0], "--worker", "anna"]);
    done(&at, &["fail", &job, "no route"]);
    done(&at, &["hold", &job, "--reason", "look at it", "--by", "eve"]);
    done(&at, &["move", &job, QUEUES[1]]);
    let now = moved(&at, &job);
    done(&at, &["approve", &now]);
    done(&at, &["bulk", "prioritize", "--tier", "0", "--queue", QUEUES[1]]);
    let token = json(&at, &["fetch", QUEUES[1]])[0]["lease_token"].to_string();
    done(&at, &["ack", &now, "--lease-token", &token, "--result", "sent"]);

    let whole = told(&data_dir, "timeline", &[&job, "--output", "jsonl", "--payloads"]);
    let expected = [
        "enqueued",
        "leased",
        "failed",
        "held",
        "moved",
        "sent",
        "arrived",
        "approved",
        "operation_started",
        "prioritized",
        "operation_ended",
        "completed",
    ];
    let mut rest = names(&whole).into_iter();
    for event in expected {
        assert!(rest.any(|name| name == event), "no {event} in its place: {:?}", names(&whole));
    }
    let find = |event: &str| whole.iter().find(|line| line["event"] == event).expect(event);
    assert_eq!(
        (&find("leased")["worker"], &find("failed")["error"]),
        (&"anna".into(), &"no route".into())
    );
    assert_eq!(
        (&find("enqueued")["payload"], &find("completed")["result"]),
        (&"hello".into(), &"sent".into())
    );
    assert_eq!(find("arrived")["from"], job.as_str());
    assert!(find("prioritized")["by_operation"].as_str().is_some_and(|id| id.starts_with("op_")));
    let by_new_id = told(&data_dir, "timeline", &[&now, "--output", "jsonl", "--payloads"]);
    assert_eq!(by_new_id, whole, "it is the same under both names");

    let table = replay(&data_dir, "timeline", &[&job]);
    let text = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(text.starts_with("TIME") && text.contains("error=\"no route\""), "{text}");
    assert!(text.contains("result=\"4 bytes\"") && !text.contains("hello"), "{text}");
    let nobody = replay(&data_dir, "timeline", &["0:999999"]);
    assert_eq!(nobody.status.code(), Some(4), "{nobody:?}");
    let other = format!("{}{}", &job[..10], "0".repeat(9)) + &job[19..];
    assert_eq!(replay(&data_dir, "timeline", &[&other]).status.code(), Some(4), "{other}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn the_past_of_jobs_and_queues_is_told() {
    let folder = tempfile::tempdir().expect("make a folder");
    let data_dir = folder.path().join("data");
    let server = Server::start(&data_dir, free_address(1), &["--shards", "1"]);
    let at = server.addr();
    let job = enqueue(&at, &["mail", "one"]);
    let end = |dir: &Path| told(dir, "state", &[])[0].clone();
    let early = end(&data_dir);
    let token = json(&at, &["fetch", "mail"])[0]["lease_token"].to_string();
    let middle = end(&data_dir);
    done(&at, &["ack", &job, "--lease-token", &token, "--result", "sent"]);
    let other = enqueue(&at, &["mail", "two"]);
    done(&at, &["pause", "mail"]);

    let index = |of: &Value| of["last_index"].to_string();
    let job_at = |index: &str| {
        let args = ["--index", index, "--job", &job, "--output", "jsonl", "--payloads"];
        told(&data_dir, "at", &args).remove(0)
    };
    assert_eq!(
        (&job_at(&index(&early))["state"], &job_at(&index(&early))["payload"]),
        (&"pending".into(), &"one".into())
    );
    assert_eq!(job_at(&index(&middle))["state"], "active");
    let over = job_at(&index(&end(&data_dir)));
    assert_eq!((&over["state"], &over["result"]), (&"completed".into(), &"sent".into()));
    let none = replay(&data_dir, "at", &["--index", &index(&early), "--job", &other]);
    assert_eq!(none.status.code(), Some(4), "it was not made yet: {none:?}");
    let beyond = replay(&data_dir, "at", &["--index", "1000000"]);
    assert_eq!(beyond.status.code(), Some(4), "{beyond:?}");
    let time = middle["time_us"].to_string();
    let queue = told(&data_dir, "at", &["--time", &time, "--queue", "mail", "--output", "jsonl"]);
    assert_eq!((&queue[0]["active"], &queue[0]["paused"]), (&1.into(), &false.into()));
    let counts = told(&data_dir, "at", &["--index", &index(&middle), "--output", "jsonl"]);
    assert_eq!(
        (&counts[0]["state_hash"], &counts[0]["jobs"]["active"]),
        (&middle["state_hash"], &1.into())
    );

    let from = format!("index:{}", index(&middle));
    let diff = told(&data_dir, "diff", &[&from, "end", "--limit", "1", "--output", "jsonl"]);
    let of = |kind: &str| diff.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
    let counts = of("jobs")[0];
    assert_eq!(
        (&counts["came"], &counts["ended"], &counts["changed"]),
        (&1.into(), &1.into(), &0.into())
    );
    assert_eq!(of("job").len(), 1, "no more than --limit are listed");
    let paused =
        of("queue").into_iter().find(|line| line["field"] == "paused").expect("it was paused");
    assert_eq!((&paused["before"], &paused["after"]), (&false.into(), &true.into()));
    let back = replay(&data_dir, "diff", &["end", &from]);
    assert_eq!(back.status.code(), Some(64), "{back:?}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn jobs_and_events_are_exported() {
    let folder = tempfile::tempdir().expect("make a folder");
    golden::unpack_dir(&repo::root().join("tests/golden/v1/data"), folder.path());
    let dir = folder.path();
    let said = std::fs::read_to_string(repo::root().join("tests/golden/v1/data/jobs.jsonl"))
        .expect("read");
    let jobs = told(dir, "export", &["--what", "jobs", "--payloads", "--out", "-"]);
    let by_id = |id: &Value| jobs.iter().find(|job| job["job"] == *id);
    for then in lines(&said).iter().filter(|job| job.get("state").is_some()) {
        let now = by_id(&then["job"]).unwrap_or_else(|| panic!("{then} is missing"));
        for field in ["state", "queue", "priority", "attempt", "payload"] {
            assert_eq!(now[field], then[field], "{field} of {then}");
        }
    }
    let completed = told(dir, "export", &["--what", "jobs", "--state", "completed", "--out", "-"]);
    assert_eq!(completed.len(), 5, "those that left memory too");
    assert!(completed.iter().all(|job| job["payload"]["bytes"].as_u64() > Some(0)));
    let mail = told(dir, "export", &["--what", "jobs", "--queue", "mail", "--out", "-"]);
    assert_eq!(mail.len(), 25);
    let file = dir.join("events.jsonl");
    let out = ["--what", "events", "--out", file.to_str().expect("UTF-8")];
    assert!(told(dir, "export", &out).is_empty());
    let events = lines(&std::fs::read_to_string(&file).expect("was written"));
    assert_eq!(events, told(dir, "dump", &[]));
    let times = ["--since", "2100-01-01T00:00:01Z", "--until", "2100-01-01T00:00:02Z"];
    let some = told(dir, "export", &[&["--what", "events", "--out", "-"], &times[..]].concat());
    let second = |line: &Value| line["time_us"].as_u64().expect("a time") / 1_000_000 % 60;
    assert!(!some.is_empty() && some.iter().all(|line| second(line) == 1));
    let wrong = replay(dir, "export", &["--what", "jobs", "--state", "dread", "--out", "-"]);
    assert_eq!(wrong.status.code(), Some(64), "{wrong:?}");
    let parquet = replay(dir, "export", &["--what", "jobs", "--format", "parquet", "--out", "-"]);
    assert!(String::from_utf8_lossy(&parquet.stderr).contains("--format jsonl"), "{parquet:?}");
}

#[test]
fn a_log_that_is_written_and_let_go_is_read_all_the_same() {
    let folder = tempfile::tempdir().expect("make a folder");
    let data_dir = folder.path().join("data");
    // The smallest segments there are, let go of as soon as a snapshot is written.
    let flags = ["--shards", "1", "--segment-bytes", "1MiB", "--snapshot-log-bytes", "1MiB"];
    let server = Server::start(&data_dir, free_address(1), &flags);
    // It listens before it has made its log.
    done(&server.addr(), &["enqueue", "mail", "first"]);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let addr = server.addr();
            let args =
                "lifecycle --connections 4 --batch 20 --jobs 60000 --payload-bytes 200 --json";
            let args: Vec<&str> = args.split(' ').chain(["--addr", &addr]).collect();
            let out = run("jobbie-bench", &args);
            is_over.store(true, Ordering::Relaxed);
            out
        });
        let (mut rounds, mut last) = (0, 0);
        while !is_over.load(Ordering::Relaxed) || rounds == 0 {
            let state = told(&data_dir, "state", &[]).remove(0);
            assert!(state["last_index"].as_u64() >= Some(last), "time does not run backwards");
            last = state["last_index"].as_u64().unwrap_or_default();
            let verified = told(&data_dir, "verify", &[]).remove(0);
            let said = (&verified["verdict"], &verified["running"]);
            assert_eq!(said, (&"sound".into(), &true.into()), "{verified}");
            let dump = replay(&data_dir, "dump", &[]);
            let said = String::from_utf8_lossy(&dump.stderr).into_owned();
            let is_told = dump.status.success() || said.contains("let go of entries");
            assert!(is_told && !said.contains("damaged"), "{said}");
            let diff = replay(&data_dir, "diff", &["begin", "end", "--limit", "0"]);
            assert_eq!(diff.status.code(), Some(0), "{diff:?}");
            rounds += 1;
        }
        let out = load.join().expect("the load ends");
        let report = lines(&String::from_utf8_lossy(&out.stdout)).remove(0);
        assert_eq!(report["delivery"], "exactly_once", "the server was not disturbed: {report}");
    });
    assert_eq!(server.stop(), Some(0));
    let verified = told(&data_dir, "verify", &[]).remove(0);
    assert_eq!((&verified["verdict"], &verified["running"]), (&"sound".into(), &false.into()));
    let early = replay(&data_dir, "at", &["--index", "0"]);
    let said = String::from_utf8_lossy(&early.stderr).into_owned();
    assert!(
        early.status.code() == Some(3) && said.contains("the oldest state it can give"),
        "{said}"
    );
}
