//! Jobs that wait for events, on the real server: by the command line and by the Rust client.

use std::time::{Duration, Instant};

use jobbie_client::{
    Append, Client, Code, Effect, Error, EventSeq, Expected, JobState, Need, NewJob, Plan,
    PlanStatus,
};
use jobbie_tests::cli::{done, json, refused, table};
use jobbie_tests::server::{Server, free_address};
use serde_json::Value;

const PLAN: [&str; 4] =
    ["--plan", "paid:1,shipped:2@2d,rated?:1,refunded!:1", "--plan-deadline", "7d"];

fn start() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().expect("make a folder");
    let server = Server::start(&folder.path().join("data"), free_address(1), &["--shards", "1"]);
    (folder, server)
}

fn planned(at: &str) -> String {
    let made = json(at, &[&["enqueue", "orders", "order 17"][..], &PLAN].concat()).remove(0);
    made["job"].as_str().expect("an id").to_owned()
}

/// Effect and status of the plan.
fn append(at: &str, job: &str, kind: &str, id: &str) -> (String, String) {
    let line = ["event", "append", job, kind, "--id", id, "--data", "{}", "--source", "webhook"];
    let row = json(at, &line).remove(0);
    let text = |field: &str| row[field].as_str().expect("a text").to_owned();
    (text("effect"), text("plan"))
}

fn inspect(at: &str, job: &str) -> Value {
    json(at, &["inspect", job]).remove(0)
}

fn pair(effect: &str, status: &str) -> (String, String) {
    (effect.to_owned(), status.to_owned())
}

#[test]
fn a_plan_is_followed_over_kill_9_until_it_is_satisfied() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (data_dir, addr) = (folder.path().join("data"), free_address(1));
    let server = Server::start(&data_dir, addr, &["--shards", "1"]);
    let at = server.addr();
    let job = planned(&at);
    assert_eq!(refused(&at, &["fetch", "orders"]).0, Some(4), "no worker gets it");
    let shown = inspect(&at, &job);
    assert_eq!((&shown["state"], &shown["plan"]["status"]), (&"planned".into(), &"waiting".into()));
    let shipped = &shown["plan"]["kinds"][1];
    assert_eq!((&shipped["kind"], &shipped["count"]), (&"shipped".into(), &2.into()));
    let second_day = shown["created_ms"].as_u64().expect("a time") + 2 * 86_400_000;
    assert!(shipped["deadline_ms"].as_u64().expect("a time").abs_diff(second_day) < 1000);
    assert_eq!(shown["due_ms"], shipped["deadline_ms"]);
    assert_eq!(refused(&at, &["events", &job]).0, Some(4), "it has none");

    assert_eq!(append(&at, &job, "shipped", "s1"), pair("counted", "in_progress"));
    assert_eq!(append(&at, &job, "shipped", "s1"), pair("duplicate", "in_progress"));
    assert_eq!(append(&at, &job, "viewed", "v1"), pair("unexpected", "in_progress"));
    server.kill();
    let server = Server::start(&data_dir, addr, &[]);
    assert_eq!(append(&at, &job, "shipped", "s1"), pair("duplicate", "in_progress"));
    assert_eq!(append(&at, &job, "paid", "p1"), pair("counted", "in_progress"));
    let queue = json(&at, &["queues"]).remove(0);
    assert_eq!((&queue["planned"], &queue["completed"]), (&1.into(), &0.into()));

    let events = json(&at, &["events", &job]);
    let ids: Vec<_> = events.iter().map(|event| event["id"].clone()).collect();
    assert_eq!(ids, ["p1", "v1", "s1"]);
    let first = &events[2];
    assert_eq!((&first["kind"], &first["effect"]), (&"shipped".into(), &"counted".into()));
    assert_eq!((&first["source"], &first["data"]), (&"webhook".into(), &"{}".into()));
    assert!(first["time_ms"].as_u64() <= events[0]["time_ms"].as_u64());
    assert_eq!(json(&at, &["events", &job, "--count", "2"]).len(), 2);
    assert_eq!(table(&at, &["events", &job]).len(), 4, "a head and three rows");

    assert_eq!(append(&at, &job, "shipped", "s2"), pair("completed", "satisfied"));
    let queue = json(&at, &["queues"]).remove(0);
    assert_eq!((&queue["planned"], &queue["completed"]), (&0.into(), &1.into()));
    let (exit, said) = refused(&at, &["event", "append", &job, "rated", "--id", "r1"]);
    assert_eq!(exit, Some(4));
    assert!(said.contains("the event is recorded in the log and changed nothing"), "{said}");
    assert_eq!(refused(&at, &["events", &job]).0, Some(4));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_failed_plan_is_a_dead_job_that_can_begin_anew() {
    let (_folder, server) = start();
    let at = server.addr();
    let job = planned(&at);
    append(&at, &job, "paid", "p1");
    assert_eq!(append(&at, &job, "refunded", "r1"), pair("failed", "failed"));
    let dead = inspect(&at, &job);
    assert_eq!((&dead["state"], &dead["error"]), (&"dead".into(), &"plan failed: refunded".into()));
    assert_eq!(append(&at, &job, "shipped", "s1"), pair("late", "failed"));
    assert_eq!(json(&at, &["events", &job]).len(), 3);
    let again = json(&at, &["retry", &job]).remove(0);
    assert_eq!(again["result"], "planned");
    let again = inspect(&at, &job);
    assert_eq!(again["plan"]["status"], "waiting");
    assert_eq!(append(&at, &job, "refunded", "r1"), pair("duplicate", "waiting"));
    done(&at, &["cancel", &job]);
    assert_eq!(inspect(&at, &job)["plan"]["status"], "stopped");
    done(&at, &["delete", &job]);
}

#[test]
fn a_plan_times_out_by_itself() {
    let (_folder, server) = start();
    let at = server.addr();
    let flags = ["--plan", "paid", "--plan-deadline", "200ms"];
    let made = json(&at, &[&["enqueue", "orders", ""][..], &flags].concat()).remove(0);
    let job = made["job"].as_str().expect("an id").to_owned();
    let patience = Instant::now() + Duration::from_secs(20);
    while inspect(&at, &job)["state"] != "dead" {
        assert!(Instant::now() < patience, "{}", inspect(&at, &job));
        std::thread::sleep(Duration::from_millis(20));
    }
    let dead = inspect(&at, &job);
    assert_eq!(dead["error"], "plan timed out");
    assert_eq!(dead["plan"]["status"], "timed_out");
}

#[test]
fn mistakes_are_told_with_their_remedy() {
    let (_folder, server) = start();
    let at = server.addr();
    let enqueue = |flags: &[&str]| refused(&at, &[&["enqueue", "q", "x"], flags].concat());
    let cases: [(&[&str], i32, &str); 8] = [
        (&["--plan", "paid:0"], 2, "\"0\" is no number of events: give 1 to 65535, as paid:1"),
        (&["--plan", "paid:1,paid:2"], 5, "plans[0].kinds[1].name: \"paid\" comes twice"),
        (&["--plan", "refunded!"], 5, "none is required, so the plan could never be satisfied"),
        (&["--plan", "paid", "--plan-deadline", "7"], 2, "expected a time with its unit, as 7d"),
        (&["--plan", "paid", "--plan-deadline", "2912000d"], 2, "is too long, at most 36600d"),
        (&["--plan-deadline", "7d"], 2, "--plan"),
        (&["--plan", "paid", "--delay-ms", "5"], 5, "leave the time out"),
        (&["--plan", "paid", "--hold", "why"], 5, "leave the hold out"),
    ];
    for (flags, exit, words) in cases {
        let (code, said) = enqueue(flags);
        assert_eq!(code, Some(exit), "{flags:?}: {said}");
        assert!(said.contains(words), "{flags:?}: {said}");
    }
    let plain = json(&at, &["enqueue", "q", "x"]).remove(0);
    let plain = plain["job"].as_str().expect("an id");
    let (exit, said) = refused(&at, &["event", "append", plain, "paid", "--id", "1"]);
    assert_eq!(exit, Some(5));
    assert!(said.contains("the job has no plan: only jobs enqueued with --plan"), "{said}");
    let (exit, said) = refused(&at, &["event", "append", plain, "paid", "--id", ""]);
    assert_eq!(exit, Some(5));
    assert!(said.contains("appends[0].id: empty, at least 1 byte"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_appends_events_and_reads_them_back() {
    let (_folder, server) = start();
    let client = Client::connect(server.addr()).await.expect("connect");
    let paid = Expected { name: "paid", need: Need::Required, count: 150, deadline_ms: 0 };
    let plan = Plan { deadline_ms: 60_000, kinds: &[paid] };
    let new =
        NewJob::new("orders", b"order 17").plan(plan).key(b"order-17", Duration::from_secs(60));
    let jobs = client.enqueue_many(&[NewJob::new("orders", b"plain"), new, new]).await;
    let [_, planned, again] = &jobs[..] else { panic!("{jobs:?}") };
    let job = planned.as_ref().expect("made").id;
    assert!(again.as_ref().expect("found").duplicate);

    let data = vec![7; 10_000];
    for n in 0..149_u32 {
        let id = n.to_string();
        let (id, source, trace) = (id.as_bytes(), "test", "00-1");
        let append = Append { job, id, kind: "paid", data: &data, source, trace };
        let appended = client.append(append).await.expect("it is planned");
        let expected = (Effect::Counted, Some(PlanStatus::InProgress));
        assert_eq!((appended.effect, appended.status), expected);
    }
    let info = client.job(job).await.expect("asked").expect("it is there");
    let of = info.plan.expect("it has a plan");
    assert_eq!((info.state, of.events, of.kinds[0].1.seen), (JobState::Planned, 149, 149));

    let (mut events, mut from) = (Vec::new(), EventSeq(0));
    loop {
        let page = client.events(job, from, 100).await.expect("asked");
        from = page.last().expect("some").previous;
        events.extend(page);
        if from == EventSeq(0) {
            break;
        }
    }
    let ids: Vec<_> = events.iter().map(|event| event.id.clone()).collect();
    let expected: Vec<_> = (0..149_u32).rev().map(|n| n.to_string()).collect();
    assert_eq!(ids, expected);
    assert!(events.iter().all(|event| event.data == data && event.trace == "00-1"));
    assert_eq!(events[0].event, of.newest);
    // What is none of the job's events is not told.
    assert_eq!(client.events(job, EventSeq(of.newest.0 - 1), 1).await.expect("asked").len(), 1);
    assert!(client.events(job, EventSeq(1), 100).await.expect("asked").is_empty());

    let last = Append { job, id: b"last", kind: "paid", data: b"", source: "", trace: "" };
    let appended = client.append(last).await.expect("it is planned");
    assert_eq!(appended.effect, Effect::Completed);
    assert_eq!(client.job(job).await.expect("asked"), None);
    match client.append(last).await.expect_err("it is gone") {
        Error::Job { code, .. } => assert_eq!(code, Code::NotFound),
        other => panic!("{other:?}"),
    }
}
