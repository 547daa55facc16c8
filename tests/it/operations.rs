//! Work on many jobs, on the real server: by the command line and by the Rust client.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jobbie_client::{
    BulkAction, Code, Error, FetchOptions, JobFilter, JobState, NewJob, OperationStatus,
    QueueSettings,
};
use jobbie_tests::cli::{done, jobbie, json, refused, table};
use jobbie_tests::server::{Server, binary, free_address};
use serde_json::Value;

use crate::controls::{start, with};

/// Runs a command with something on its standard input.
fn with_input(at: &str, args: &[&str], input: &str) -> Vec<Value> {
    let mut command = Command::new(binary("jobbie"));
    command.args(args).args(["--addr", at, "--output", "jsonl"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("write");
    let out = child.wait_with_output().expect("end");
    assert!(out.status.success(), "{args:?}: {out:?}");
    jobbie_tests::cli::lines(&String::from_utf8_lossy(&out.stdout))
}

fn enqueue(at: &str, queue: &str, flags: &[&str]) -> String {
    let made = json(at, &[&["enqueue", queue, "work"], flags].concat()).remove(0);
    made["job"].as_str().expect("an id").to_owned()
}

fn state(at: &str, job: &str) -> String {
    let out = jobbie(at, &["inspect", job]);
    if !out.status.success() {
        return "gone".into();
    }
    let found = jobbie_tests::cli::lines(&String::from_utf8_lossy(&out.stdout));
    found[0]["state"].as_str().expect("a state").to_owned()
}

#[test]
fn clearing_takes_what_waits_and_nothing_else() {
    let (_folder, server) = start(1);
    let at = server.addr();
    let active = enqueue(&at, "q", &[]);
    assert_eq!(json(&at, &["fetch", "q"])[0]["job"], *active);
    let waits = enqueue(&at, "q", &[]);
    let scheduled = enqueue(&at, "q", &["--delay-ms", "9000000"]);
    let held = enqueue(&at, "q", &["--hold", "look"]);
    let other = enqueue(&at, "other", &[]);
    done(&at, &["limit", "q", "--concurrency", "7"]);
    let said = table(&at, &["clear", "q"]).remove(0).join(" ");
    assert!(said.starts_with("Affected: 2 jobs (") && said.ends_with("ms)"), "{said}");
    let states: Vec<_> =
        [&active, &waits, &scheduled, &held, &other].map(|job| state(&at, job)).into();
    assert_eq!(states, ["active", "gone", "gone", "held", "pending"]);
    assert_eq!(json(&at, &["limits", "q"])[0]["concurrency"], 7);
    let later = enqueue(&at, "q", &[]);
    assert_eq!(json(&at, &["fetch", "q"])[0]["job"], *later);
    assert_eq!(json(&at, &["clear", "never-there"])[0]["affected"], 0);
}

#[test]
fn destroying_forgets_jobs_settings_and_keys() {
    let (_folder, server) = start(2);
    let at = server.addr();
    let first = enqueue(&at, "q", &["--key", "k", "--unique-key", "u"]);
    let active = enqueue(&at, "q", &[]);
    assert_eq!(json(&at, &["fetch", "q"])[0]["job"], *first);
    done(&at, &["ack", &first]);
    assert_eq!(json(&at, &["fetch", "q", "--lease-ms", "9000000"])[0]["job"], *active);
    let held = enqueue(&at, "q", &["--hold", "look", "--unique-key", "u"]);
    done(&at, &["limit", "q", "--concurrency", "7"]);
    done(&at, &["pause", "q"]);
    let (exit, said) = refused(&at, &["destroy", "q"]);
    assert!(exit == Some(2) && said.contains("--confirm"), "{said}");
    assert_eq!(json(&at, &["destroy", "q", "--confirm"])[0]["affected"], 2);
    assert_eq!([state(&at, &active), state(&at, &held)], ["gone", "gone"]);
    assert!(json(&at, &["queues"]).is_empty(), "the queue is still listed");
    let status = json(&at, &["status"]);
    assert!(status.iter().all(|shard| shard["queues"] == 0), "{status:?}");
    // It comes back as if it had never been there.
    let again = enqueue(&at, "q", &["--key", "k", "--unique-key", "u"]);
    assert_ne!(again, first);
    assert_eq!(json(&at, &["limits", "q"])[0]["concurrency"], Value::Null);
    assert_eq!(json(&at, &["fetch", "q"])[0]["job"], *again);
    let (exit, said) = refused(&at, &["ack", &active]);
    assert_eq!(exit, Some(4), "{said}");
}

#[test]
fn bulk_does_one_thing_to_what_is_meant() {
    let (_folder, server) = start(2);
    let at = server.addr();
    let jobs: Vec<String> = (0..6).map(|n| enqueue(&at, &format!("q{}", n % 3), &[])).collect();
    let urgent = enqueue(&at, "q0", &["--priority", "0"]);
    let affected = |args: &[&str]| json(&at, &[&["bulk"], args].concat())[0]["affected"].clone();
    // Over all shards, and nothing happens.
    assert_eq!(affected(&["cancel", "--state", "pending,held", "--dry-run"]), 7);
    assert_eq!(affected(&["hold", "--queue", "q0", "--priority", "2", "--reason", "why"]), 2);
    assert_eq!([state(&at, &jobs[0]), state(&at, &urgent)], ["held", "pending"]);
    assert_eq!(json(&at, &["inspect", &jobs[3]])[0]["hold_reason"], "why");
    // By ids, with one that is in no state for it, one twice and one that never was.
    let unknown = "job_1a1ee565e7b00000000000000f";
    let input = format!("{}\n\n{}\n{}\n{urgent}\n{unknown}\n", jobs[0], jobs[3], jobs[0]);
    let said = with_input(&at, &["bulk", "approve"], &input).remove(0);
    assert_eq!((&said["affected"], &said["skipped"]), (&2.into(), &3.into()), "{said}");
    assert_eq!(state(&at, &jobs[3]), "pending");
    assert_eq!(affected(&["prioritize", "--queue", "q1", "--tier", "0"]), 2);
    assert_eq!(json(&at, &["inspect", &jobs[1]])[0]["priority"], 0);
    assert_eq!(affected(&["cancel", "--created-after", "2026-01-01T00:00:00Z"]), 7);
    assert_eq!(affected(&["cancel", "--created-before", "2026-01-01T00:00:00Z"]), 0);
    assert_eq!(affected(&["retry", "--state", "cancelled"]), 7);
    assert_eq!(affected(&["delete", "--queue", "q2"]), 2);
    assert_eq!([state(&at, &jobs[2]), state(&at, &jobs[4])], ["gone", "pending"]);
    // All of it is listed.
    let listed = json(&at, &["operations"]);
    assert!(listed.iter().all(|one| one["status"] == "done"), "{listed:?}");
    let of = |name: &str| listed.iter().filter(|one| one["does"] == name).count();
    assert_eq!((of("hold"), of("cancel"), of("delete")), (1, 6, 1));
}

#[test]
fn what_cannot_be_meant_is_refused_and_changes_nothing() {
    let (_folder, server) = start(2);
    let at = server.addr();
    let job = enqueue(&at, "q", &[]);
    let cases: [(&[&str], i32, &str); 8] = [
        (&["bulk", "cancel", "--state", "sleeping"], 2, "possible values: pending, scheduled"),
        (&["bulk", "explode", "--queue", "q"], 2, "possible values: cancel, delete"),
        (
            &["bulk", "cancel", "--created-before", "9999-01-01T00:00:00Z"],
            2,
            "before the year 2527",
        ),
        (&["bulk", "cancel", "--priority", "3"], 2, "3 is not in 0..3"),
        (&["bulk", "move", "--queue", "q"], 2, "--to"),
        (&["bulk", "cancel", "--created-after", "9", "--created-before", "8"], 5, "not after"),
        (&["bulk", "hold", "--queue", "q", "--reason", &"x".repeat(5000)], 5, "at most 4096"),
        (&["bulk", "cancel", "--limit-key", &"k".repeat(300)], 5, "at most 255"),
    ];
    for (args, code, words) in cases {
        let (exit, said) = refused(&at, args);
        assert!(exit == Some(code) && said.contains(words), "{args:?}: {exit:?} {said}");
    }
    let (exit, said) = refused(&at, &["operations", "cancel", "op_0_999"]);
    assert!(exit == Some(4) && said.contains("no such operation"), "{said}");
    with(&server, |client| async move {
        let refused = |result: Result<_, Error>| match result.expect_err("refused") {
            Error::Refused { code, message } => (code, message),
            other => panic!("{other:?}"),
        };
        let nothing = client.bulk(BulkAction::Cancel, JobFilter::default(), false).await;
        let (code, message) = refused(nothing);
        assert!(code == Code::Invalid && message.contains("at least one of queue"), "{message}");
        let completed = JobFilter::of_queue("q").in_states(&[JobState::Completed]);
        let (code, message) = refused(client.bulk(BulkAction::Delete, completed, false).await);
        assert!(code == Code::Invalid && message.contains("completed"), "{message}");
        let late = JobFilter { created_before_ms: 253_402_300_799_000, ..JobFilter::default() };
        let (code, message) = refused(client.bulk(BulkAction::Delete, late, false).await);
        assert!(code == Code::Invalid && message.contains("at most 17592186044415"), "{message}");
        let name = "q".repeat(60_000);
        let (code, message) = refused(client.clear(&name).await);
        assert!(code == Code::TooLarge && message.contains("at most 255"), "{message}");
    });
    assert_eq!(state(&at, &job), "pending");
}

/// An operation is begun, the server is killed in the middle of it, and it ends all the same; meanwhile the queue hands out
/// none of its jobs, and what comes later stays.
#[test]
fn an_operation_goes_on_after_kill_9() {
    const JOBS: usize = 120_000;
    let folder = tempfile::tempdir().expect("make a folder");
    let (data, address) = (folder.path().join("data"), free_address(1));
    let server = Server::start(&data, address, &["--shards", "1"]);
    let operation = with(&server, |client| async move {
        let many = vec![NewJob::new("q", b"work"); JOBS];
        for made in client.enqueue_many(&many).await {
            made.expect("enqueue");
        }
        let settings = QueueSettings { concurrency: 3, ..QueueSettings::default() };
        client.configure("q", settings).await.expect("configure");
        client.clear("q").await.expect("begin")
    });
    server.kill();
    let server = Server::start(&data, address, &["--shards", "1"]);
    let (progress, later) = with(&server, |client| async move {
        let later = client.enqueue(&NewJob::new("q", b"later")).await.expect("enqueue");
        let wait = FetchOptions { wait_ms: 30_000, ..FetchOptions::default() };
        let jobs = client.fetch(&["q"], wait).await.expect("fetch");
        assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [later.id]);
        let progress = client.finished(&operation).await.expect("finished");
        assert_eq!(client.queue("q").await.expect("queue").settings.concurrency, 3);
        (progress, later)
    });
    assert_eq!((progress.status, progress.applied), (OperationStatus::Done, JOBS as u64));
    assert_ne!(state(&server.addr(), &later.id.to_string()), "gone");
}

#[test]
fn others_are_served_beside_an_operation_that_can_be_ended() {
    const JOBS: usize = 100_000;
    let (_folder, server) = start(1);
    with(&server, |client| async move {
        let many = vec![NewJob::new("q", b"work"); JOBS];
        for made in client.enqueue_many(&many).await {
            made.expect("enqueue");
        }
        let filter = JobFilter::of_queue("q");
        let hold = BulkAction::Hold {
            reason: "all of them".into(),
            by: "ann".into(),
            timeout_ms: 0,
            then: jobbie_client::HoldEnd::Stay,
        };
        let operation = client.bulk(hold, filter, false).await.expect("begin");
        let begun = Instant::now();
        client.enqueue(&NewJob::new("beside", b"work")).await.expect("enqueue");
        assert_eq!(
            client.fetch(&["beside"], FetchOptions::default()).await.expect("fetch").len(),
            1
        );
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        let part = operation.parts[0];
        match client.cancel_operation(part).await {
            Ok(()) => {}
            // It was that quick.
            Err(Error::Refused { code: Code::IllegalState, .. }) => return,
            Err(other) => panic!("{other:?}"),
        }
        let progress = client.finished(&operation).await.expect("finished");
        assert_eq!(progress.status, OperationStatus::Cancelled);
        let held = client.queue("q").await.expect("queue").jobs[JobState::Held as usize];
        assert_eq!(progress.applied, held);
        assert!(held < JOBS as u64);
    });
}
