//! What operators do with jobs, on the real server: by the command line and by the Rust client.

use std::future::Future;
use std::time::{Duration, Instant};

use jobbie_client::{
    BackoffKind, Client, Code, Error, FetchOptions, Hold, HoldEnd, Job, JobState, NewJob,
};
use jobbie_tests::cli::{done, jobbie, json, lines, refused, table};
use jobbie_tests::server::{Server, free_address};
use serde_json::Value;

use crate::client::a_worker_loses_its_job;

const HOLD: Hold<'_> = Hold { reason: b"", by: "", timeout_ms: 0, then: HoldEnd::Stay };
const WAIT: FetchOptions = FetchOptions { count: 1, lease_ms: 60_000, wait_ms: 30_000 };

pub(crate) fn start(shards: u16) -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().expect("make a folder");
    let flags = ["--shards", &shards.to_string()];
    let server = Server::start(&folder.path().join("data"), free_address(shards), &flags);
    (folder, server)
}

/// Does something with a client.
pub(crate) fn with<F: Future>(server: &Server, work: impl FnOnce(Client) -> F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let address = server.addr();
    runtime
        .expect("a runtime")
        .block_on(async { work(Client::connect(address).await.expect("connect")).await })
}

async fn take(client: &Client, queue: &str) -> Job {
    let jobs = client.fetch(&[queue], FetchOptions::default()).await.expect("fetch");
    <[Job; 1]>::try_from(jobs).expect("one job")[0].clone()
}

async fn is_empty(client: &Client, queue: &str) -> bool {
    client.fetch(&[queue], FetchOptions::default()).await.expect("fetch").is_empty()
}

fn code(result: Result<(), Error>) -> Code {
    match result.expect_err("it is refused") {
        Error::Job { code, .. } | Error::Refused { code, .. } => code,
        other => panic!("another error: {other:?}"),
    }
}

/// Makes a job in the state a command is for, in a queue of its own.
fn make(at: &str, queue: &str, state: &str) -> String {
    let flags: &[&str] = if state == "held" { &["--hold", "look"] } else { &[] };
    let made = json(at, &[&["enqueue", queue, "old"], flags].concat()).remove(0);
    let job = made["job"].as_str().expect("an id").to_owned();
    match state {
        "pending" | "held" => {}
        "cancelled" => done(at, &["cancel", &job]),
        "dead" => {
            assert_eq!(json(at, &["fetch", queue])[0]["job"], *job);
            done(at, &["fail", &job, "broken", "--no-retry"]);
        }
        other => panic!("no way to {other}"),
    }
    assert_eq!(json(at, &["inspect", &job])[0]["state"], state);
    job
}

#[test]
fn every_control_says_what_it_did() {
    let (_folder, server) = start(1);
    let at = server.addr();
    // Command and flags, state before, what it prints, and fields afterwards.
    type Fields<'a> = &'a [(&'a str, Value)];
    let text = |text: &str| Value::from(text);
    let cases: [(&[&str], &str, &str, Fields<'_>); 9] = [
        (&["retry"], "dead", "pending", &[("state", text("pending")), ("attempt", 0.into())]),
        (&["retry"], "cancelled", "pending", &[("state", text("pending"))]),
        (&["requeue"], "dead", "pending", &[("state", text("pending")), ("attempt", 1.into())]),
        (
            &["hold", "--reason", "why", "--by", "ann", "--hold-ms", "9000000", "--then", "cancel"],
            "pending",
            "held",
            &[
                ("state", text("held")),
                ("hold_reason", text("why")),
                ("held_by", text("ann")),
                ("then", text("cancel")),
            ],
        ),
        (&["approve", "--note", "fine"], "held", "pending", &[("state", text("pending"))]),
        (
            &["reject", "--reason", "not like this", "--by", "bob"],
            "held",
            "dead",
            &[("state", text("dead")), ("error", text("not like this"))],
        ),
        (&["move", "JOB", "elsewhere"], "pending", "moved", &[("queue", text("elsewhere"))]),
        (
            &["prioritize", "--priority", "0"],
            "pending",
            "prioritized",
            &[("priority", 0.into()), ("state", text("pending"))],
        ),
        (&["replace", "JOB", "new"], "held", "replaced", &[("payload", text("new"))]),
    ];
    for (number, (command, before, said, after)) in cases.iter().enumerate() {
        let queue = format!("queue-{number}");
        let line = |job: &str| {
            let mut line: Vec<String> = command.iter().map(|w| w.replace("JOB", job)).collect();
            if !command.contains(&"JOB") {
                line.insert(1, job.to_owned());
            }
            line
        };
        let made = [make(&at, &queue, before), make(&at, &queue, before)];
        let [first, second] = made.each_ref().map(|job| line(job));
        let first: Vec<&str> = first.iter().map(String::as_str).collect();
        let second: Vec<&str> = second.iter().map(String::as_str).collect();
        let expected = serde_json::json!({ "job": made[0], "result": said });
        assert_eq!(json(&at, &first), [expected], "{command:?}");
        assert_eq!(table(&at, &second), [["JOB", "RESULT"], [&made[1], said]], "{command:?}");
        for job in &made {
            let now = json(&at, &["inspect", job]).remove(0);
            for (field, value) in *after {
                assert_eq!(now[field], *value, "{field} after {command:?}");
            }
        }
    }
    let shown = table(&at, &["queues", "queue-3"]);
    let held = shown[0].iter().position(|column| column == "HELD").expect("a column");
    assert_eq!(shown[1][held], "2", "{shown:?}");
}

#[test]
fn what_cannot_be_done_to_a_job_is_told_with_its_reason() {
    let (_folder, server) = start(2);
    let at = server.addr();
    let job = make(&at, "mail", "pending");
    let planned =
        jobbie_tests::cli::json(&at, &["enqueue", "mail", "x", "--plan", "paid:1"]).remove(0);
    let planned = planned["job"].as_str().expect("an id").to_owned();
    let gone = make(&at, "mail", "cancelled");
    done(&at, &["delete", &gone]);
    for (args, exit, words) in [
        (&["approve", &gone][..], 4, &["no such job", "NOT_FOUND"][..]),
        (&["approve", &job], 5, &["state does not allow it", "ILLEGAL_STATE"]),
        (&["requeue", &job], 5, &["ILLEGAL_STATE"]),
        // Queue `video` is on shard 1, `mail` on shard 0.
        (
            &["move", &planned, "video"],
            5,
            &["job with a plan to a queue of another shard", "UNSUPPORTED"],
        ),
        (&["move", &job, ""], 2, &["a queue name has 1 to 255 bytes"]),
        (&["prioritize", &job, "--priority", "9"], 2, &["--priority", "0..3"]),
        (&["prioritize", &job], 2, &["--priority"]),
        (&["hold", &job, "--hold-ms", "5"], 2, &["--then"]),
        (&["hold", &job, "--then", "cancel"], 2, &["--hold-ms"]),
        (&["enqueue", "q", "x", "--hold-ms", "5", "--then", "cancel"], 2, &["give --hold too"]),
        (&["retry"], 2, &["<JOBS>"]),
        (&["retry", "job_1"], 2, &["job_1"]),
        (&["limit", "q", "--rate", "3"], 2, &["--window-ms"]),
        (&["limit", "q", "--key-window-ms", "3"], 2, &["--key-rate"]),
        (&["limit", "q", "--rate", "0", "--window-ms", "9"], 5, &["both or neither", "INVALID"]),
        (&["limit", "q", "--rate", "1000001", "--window-ms", "9"], 5, &["1000000", "INVALID"]),
        (&["weigh", "q", "ann", "0"], 2, &["1..=1000"]),
        (&["weigh", "q", "", "2"], 5, &["at least 1 byte", "INVALID"]),
    ] {
        let (code, said) = refused(&at, args);
        assert_eq!(code, Some(exit), "{args:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{args:?} does not say {word:?}: {said}");
        }
    }
    let now = json(&at, &["inspect", &job]).remove(0);
    assert_eq!((&now["state"], &now["queue"]), (&"pending".into(), &"mail".into()));

    // One refusal keeps nobody else from being done, and is the command's.
    let other = make(&at, "mail", "pending");
    let out = jobbie(&at, &["hold", &job, &gone, &other]);
    assert_eq!(out.status.code(), Some(4), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stderr).contains(&gone), "{out:?}");
    let results = lines(&String::from_utf8_lossy(&out.stdout));
    let results: Vec<_> = results.iter().map(|row| row["result"].clone()).collect();
    assert_eq!(results, ["held", "NOT_FOUND", "held"]);
}

#[test]
fn a_worker_is_told_that_its_job_was_held_and_cannot_finish_it() {
    let (_folder, server) = start(1);
    with(&server, async |client| {
        let hold = Hold { reason: b"too many mails", by: "ann", ..HOLD };
        let hold = async |job| client.hold(job, hold).await.expect("hold");
        let job = a_worker_loses_its_job(&client, hold).await;
        let info = client.job(job).await.expect("look up").expect("still known");
        assert_eq!((info.state, &*info.hold_by), (JobState::Held, "ann"));
        assert_eq!(&info.hold_reason[..], b"too many mails");
        assert!(is_empty(&client, "q").await, "it is held");

        client.approve(job, "", "ann").await.expect("approve");
        let leased = take(&client, "q").await;
        assert_eq!(leased.id, job);
        client.hold(job, HOLD).await.expect("hold");
        assert_eq!(code(client.ack(leased.lease(), b"").await), Code::NotActive);
        assert_eq!(code(client.hold(job, HOLD).await), Code::IllegalState, "it is held");
        client.approve(job, "", "").await.expect("approve");
        let again = take(&client, "q").await;
        assert_eq!(code(client.ack(leased.lease(), b"").await), Code::StaleLease);
        client.ack(again.lease(), b"").await.expect("ack");
    });
}

#[test]
fn the_next_worker_gets_the_new_payload_and_the_new_queue() {
    let (_folder, server) = start(1);
    with(&server, async |client| {
        let new = NewJob::new("q", b"first").backoff(
            BackoffKind::Fixed,
            Duration::from_millis(1),
            Duration::ZERO,
        );
        let job = client.enqueue(&new).await.expect("enqueue").id;
        client.replace_payload(job, b"second, and longer").await.expect("replace");
        let leased = take(&client, "q").await;
        assert_eq!((leased.id, &leased.payload[..]), (job, &b"second, and longer"[..]));
        assert_eq!(code(client.replace_payload(job, b"late").await), Code::IllegalState);

        // Its worker keeps a job that is moved; its next attempt is in the new queue.
        client.move_job(job, "other").await.expect("move");
        client.fail(leased.lease(), "again", "", true).await.expect("it is still its own");
        assert!(is_empty(&client, "q").await, "it was moved");
        let leased = client.fetch(&["other"], WAIT).await.expect("fetch").remove(0);
        assert_eq!((leased.id, &*leased.queue, leased.attempt), (job, "other", 2));
        assert_eq!(&leased.payload[..], b"second, and longer");
        client.ack(leased.lease(), b"").await.expect("ack");

        let empty = client.enqueue(&NewJob::new("q", b"to be emptied")).await.expect("enqueue").id;
        client.replace_payload(empty, b"").await.expect("replace");
        client.move_job(empty, "other").await.expect("move");
        let leased = take(&client, "other").await;
        assert_eq!((leased.id, &*leased.queue, &leased.payload[..]), (empty, "other", &b""[..]));
        let [q, other] = [client.queue("q").await, client.queue("other").await].map(Result::unwrap);
        let count = |stats: &jobbie_client::QueueStats, state| stats.jobs[state as usize];
        assert_eq!((count(&q, JobState::Pending), count(&q, JobState::Completed)), (0, 0));
        assert_eq!((count(&other, JobState::Active), count(&other, JobState::Completed)), (1, 1));
    });
}

#[test]
fn the_first_tier_goes_first_and_the_back_of_it_last() {
    let (_folder, server) = start(1);
    with(&server, async |client| {
        let new = |payload| NewJob::new("q", payload);
        let jobs = [new(b"a"), new(b"b"), new(b"c").priority(1), new(b"d").priority(1)];
        let made = client.enqueue_many(&jobs).await;
        let ids: Vec<_> = made.into_iter().map(|made| made.expect("enqueue").id).collect();
        client.prioritize(ids[1], 1).await.expect("prioritize");
        client.hold(ids[2], HOLD).await.expect("hold");
        client.approve(ids[2], "", "").await.expect("approve");
        let mut order = Vec::new();
        for _ in &ids {
            order.push(take(&client, "q").await.id);
        }
        assert_eq!(order, [ids[3], ids[1], ids[2], ids[0]]);
    });
}

#[test]
fn r09_a_unique_key_has_one_job_until_it_ends() {
    let (_folder, server) = start(2);
    with(&server, async |client| {
        let hour = Duration::from_secs(3600);
        let unique = |queue, key, payload| NewJob::new(queue, payload).unique(key, hour);
        let jobs = [
            unique("mail", b"k", b"1"),
            unique("mail", b"k", b"2"),
            unique("mail", b"other", b"3"),
            unique("video", b"k", b"4"),
            unique("mail", b"k", b"5"),
            NewJob::new("mail", b"6"),
        ];
        let made: Vec<_> =
            client.enqueue_many(&jobs).await.into_iter().map(|m| m.expect("enqueue")).collect();
        let duplicates: Vec<_> = made.iter().map(|made| made.duplicate).collect();
        assert_eq!(duplicates, [false, true, false, false, true, false]);
        assert!(made[1].id == made[0].id && made[4].id == made[0].id, "{made:?}");
        assert_ne!(made[3].id, made[0].id, "another queue");

        // It is held by one that is active, that waits for another attempt, or for a human.
        let again = async || client.enqueue(&jobs[0]).await.expect("enqueue");
        let leased = take(&client, "mail").await;
        assert_eq!((leased.id, again().await), (made[0].id, made[1]));
        client.fail(leased.lease(), "later", "", true).await.expect("fail");
        assert_eq!(again().await, made[1]);
        client.hold(made[0].id, HOLD).await.expect("hold");
        assert_eq!(again().await, made[1]);
        client.reject(made[0].id, "no", "").await.expect("reject");
        let next = again().await;
        assert!(!next.duplicate && next.id != made[0].id, "the first is dead: {next:?}");
        // The dead one may run again; the key stays with the other.
        client.retry(made[0].id).await.expect("retry");
        assert_eq!(again().await.id, next.id);
        client.cancel(next.id).await.expect("cancel");
        assert!(!again().await.duplicate, "the second is cancelled, the first has it no more");
    });
}

#[test]
fn a_held_job_does_by_itself_what_it_was_told_when_its_time_is_over() {
    let (_folder, server) = start(1);
    with(&server, async |client| {
        let hold = |then, timeout_ms| Hold { timeout_ms, then, ..HOLD };
        let cancel = NewJob::new("q", b"cancel").hold(hold(HoldEnd::Cancel, 200));
        let approve = NewJob::new("q", b"approve").hold(hold(HoldEnd::Approve, 400));
        let stay = NewJob::new("q", b"stay").hold(HOLD);
        let made = client.enqueue_many(&[cancel, approve, stay]).await;
        let ids: Vec<_> = made.into_iter().map(|made| made.expect("enqueue").id).collect();
        let leased = client.fetch(&["q"], WAIT).await.expect("fetch").remove(0);
        let begin_us = leased.deadline.0 - u64::from(WAIT.lease_ms) * 1000;
        assert_eq!(leased.id, ids[1]);
        let until_us = (ids[1].created_ms() + 400) * 1000;
        assert!(begin_us >= until_us, "leased at {begin_us}, held until {until_us}");
        let states = [client.job(ids[0]).await, client.job(ids[2]).await];
        let states = states.map(|info| info.expect("look up").expect("is there").state);
        assert_eq!(states, [JobState::Cancelled, JobState::Held]);
    });
}

/// What makes a job wait wakes whoever waits for one.
#[test]
fn a_waiting_fetch_gets_the_job_that_is_approved_retried_requeued_or_moved() {
    let (_folder, server) = start(1);
    with(&server, async |client| {
        let new = || NewJob::new("source", b"");
        for what in ["approve", "retry", "requeue", "move", "retry a scheduled"] {
            let job = match what {
                "approve" => new().hold(HOLD),
                "retry a scheduled" => new().delay(Duration::from_secs(3600)),
                _ => new(),
            };
            let job = client.enqueue(&job).await.expect("enqueue").id;
            if matches!(what, "retry" | "requeue") {
                let leased = take(&client, "source").await;
                client.fail(leased.lease(), "", "", false).await.expect("fail");
            }
            let queue = if what == "move" { "target" } else { "source" };
            let waiter = client.clone();
            let waiting = tokio::spawn(async move { waiter.fetch(&[queue], WAIT).await });
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert!(!waiting.is_finished(), "{what}: there is nothing yet");
            let begin = Instant::now();
            let done = match what {
                "approve" => client.approve(job, "", "").await,
                "requeue" => client.requeue(job).await,
                "move" => client.move_job(job, "target").await,
                _ => client.retry(job).await,
            };
            done.unwrap_or_else(|error| panic!("{what}: {error}"));
            let leased = waiting.await.expect("no panic").expect("fetch").remove(0);
            assert!(begin.elapsed() < Duration::from_secs(10), "{what}: it waited on");
            assert_eq!((leased.id, &*leased.queue), (job, queue), "{what}");
            client.ack(leased.lease(), b"").await.expect("ack");
        }
    });
}

#[test]
fn what_a_job_was_enqueued_with_is_shown() {
    let (_folder, server) = start(1);
    let at = server.addr();
    let new = ["enqueue", "q", "x", "--unique-key", "k", "--limit-key", "ann"];
    let held = ["--hold", "look first", "--hold-ms", "9000000", "--then", "approve"];
    let first = json(&at, &[&new[..], &held].concat()).remove(0);
    let again = json(&at, &new).remove(0);
    assert_eq!((&first["duplicate"], &again["duplicate"]), (&false.into(), &true.into()));
    assert_eq!(again["job"], first["job"]);
    let job = first["job"].as_str().expect("an id");
    assert_eq!(table(&at, &new), [[job]], "the bare id");
    let shown = table(&at, &["inspect", job]);
    for (field, value) in [
        ("state", "held"),
        ("limit_key", "ann"),
        ("hold_reason", "look first"),
        ("then", "approve"),
        ("lease_expiries", "0"),
    ] {
        assert!(shown.contains(&vec![field.to_owned(), value.to_owned()]), "{field}: {shown:?}");
    }
    let now = json(&at, &["inspect", job]).remove(0);
    let due = now["due_ms"].as_u64().expect("a time");
    assert_eq!(Some(due - 9_000_000), now["created_ms"].as_u64());
}

#[test]
fn held_jobs_of_all_shards_are_listed_also_after_kill_9() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (data_dir, addr) = (folder.path().join("data"), free_address(2));
    let server = Server::start(&data_dir, addr, &["--shards", "2"]);
    let at = server.addr();
    let (exit, said) = refused(&at, &["held"]);
    assert_eq!((exit, said.contains("there are no held jobs")), (Some(4), true), "{said}");
    let queues: Vec<_> = (0..8).map(|n| format!("queue-{n}")).collect();
    let mut held: Vec<_> = queues.iter().map(|queue| (make(&at, queue, "held"), queue)).collect();
    let shards: Vec<_> = held.iter().map(|(job, _)| shard_of(job)).collect();
    assert!(shards.contains(&0) && shards.contains(&1), "{shards:?}");
    let (approved, _) = held.remove(3);
    done(&at, &["approve", &approved]);
    let late = make(&at, "queue-3", "pending");
    done(&at, &["hold", &late, "--reason", "why not", "--by", "ann"]);
    let listed = |at: &str| {
        let rows = json(at, &["held"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let row = |row: &Value| ["job", "queue", "reason", "by"].map(|field| text(&row[field]));
        let mut rows: Vec<_> = rows.iter().map(row).collect();
        rows.sort_unstable();
        rows
    };
    let mut expected: Vec<_> = held
        .into_iter()
        .map(|(job, queue)| [job, queue.clone(), "look".into(), String::new()])
        .collect();
    expected.push([late, "queue-3".into(), "why not".into(), "ann".into()]);
    expected.sort_unstable();
    assert_eq!(listed(&at), expected);

    server.kill();
    let server = Server::start(&data_dir, addr, &[]);
    assert_eq!(listed(&server.addr()), expected);
    with(&server, async |client: Client| {
        let held = client.held().await.expect("ask");
        let row = |job: jobbie_client::HeldJob| {
            let reason = String::from_utf8(job.reason.to_vec()).expect("a text");
            [job.id.to_string(), job.queue.to_string(), reason, job.by]
        };
        let mut rows: Vec<_> = held.into_iter().map(row).collect();
        rows.sort_unstable();
        assert_eq!(rows, expected);
    });
    assert_eq!(server.stop(), Some(0));
}

fn shard_of(job: &str) -> u16 {
    job.parse::<jobbie_client::JobId>().expect("an id").shard().0
}
