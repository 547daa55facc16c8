//! Schedules on the real server, by the command line and the Rust client.

use std::future::Future;
use std::path::Path;

use jobbie_client::{Client, Code, Error, FetchOptions, Micros, Missed, NewJob, NewSchedule};
use jobbie_tests::cli::{done, jobbie, json, refused, table};
use jobbie_tests::server::{Server, free_address, run};
use serde_json::json as value;

const DAY_MS: u64 = 86_400_000;

/// One shard, with the smallest segments and a snapshot for each.
fn start(data_dir: &Path, addr: std::net::SocketAddr) -> Server {
    let flags = [
        "--shards",
        "1",
        "--segment-bytes",
        "1MiB",
        "--snapshot-log-bytes",
        "1MiB",
        "--history-bytes",
        "0",
    ];
    Server::start(data_dir, addr, &flags)
}

/// Does something with a client.
fn with<F: Future>(address: String, work: impl FnOnce(Client) -> F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime
        .expect("a runtime")
        .block_on(async { work(Client::connect(address).await.expect("connect")).await })
}

#[test]
fn every_command_says_what_it_did() {
    let folder = tempfile::tempdir().expect("make a folder");
    let server = start(&folder.path().join("data"), free_address(1));
    let at = server.addr();
    let set = ["schedule", "set", "mail", "nightly", "30 2 * * *", "report", "--zone"];
    let set = [&set[..], &["europe/berlin", "--missed", "skip", "--max-retries", "7"]].concat();
    let first = json(&at, &set).remove(0);
    assert_eq!((&first["queue"], &first["result"]), (&value!("mail"), &value!("set")));
    let next = first["next_ms"].as_u64().expect("a time");
    // 02:30 in Berlin is 00:30 or 01:30 UTC; 03:00, when there is no 02:30, is 01:00.
    assert!([30, 90, 60].contains(&(next % DAY_MS / 60_000)), "{first}");
    let shown = json(&at, &["schedule", "show", "mail", "nightly", "--next", "3"]).remove(0);
    let times = shown["next_ms"].as_array().expect("times");
    assert_eq!((times.len(), times[0].as_u64()), (3, Some(next)));
    for (field, expected) in [
        ("expression", value!("30 2 * * *")),
        ("zone", value!("Europe/Berlin")),
        ("missed", value!("skip")),
        ("paused", value!(false)),
        ("payload", value!("report")),
        ("max_retries", value!(7)),
        ("last_job", value!(null)),
        ("fired", value!(0)),
    ] {
        assert_eq!(shown[field], expected, "{field} of {shown}");
    }
    done(&at, &["schedule", "set", "mail", "hourly", "@hourly", "tick"]);
    done(&at, &["schedule", "set", "other", "a", "@daily", "x"]);
    let names = |args: &[&str]| {
        let of = |row: &serde_json::Value| format!("{}/{}", row["queue"], row["schedule"]);
        json(&at, args).iter().map(of).collect::<Vec<_>>()
    };
    let both = ["\"mail\"/\"hourly\"", "\"mail\"/\"nightly\""];
    assert_eq!(names(&["schedules", "mail"]), both);
    assert_eq!(names(&["schedules"]), [&both[..], &["\"other\"/\"a\""]].concat());
    let columns = "QUEUE SCHEDULE EXPRESSION ZONE MISSED PAUSED NEXT MS LAST PLANNED MS LAST JOB FIRED SKIPPED";
    assert_eq!(table(&at, &["schedules"])[0].join(" "), columns);

    let paused = json(&at, &["schedule", "pause", "mail", "nightly"]).remove(0);
    assert_eq!((&paused["result"], &paused["next_ms"]), (&value!("paused"), &value!(null)));
    let made = json(&at, &["schedule", "run", "mail", "nightly"]).remove(0);
    assert_eq!(made["duplicate"], false);
    let resumed = json(&at, &["schedule", "resume", "mail", "nightly"]).remove(0);
    assert_eq!(resumed["next_ms"].as_u64(), Some(next));
    let job = json(&at, &["fetch", "mail"]).remove(0);
    assert_eq!((&job["job"], &job["payload"]), (&made["job"], &value!("report")));
    done(&at, &["schedule", "delete", "mail", "nightly"]);
    assert_eq!(jobbie(&at, &["schedule", "show", "mail", "nightly"]).status.code(), Some(4));
}

#[test]
fn mistakes_say_where_they_are() {
    let folder = tempfile::tempdir().expect("make a folder");
    let server = start(&folder.path().join("data"), free_address(1));
    let at = server.addr();
    let set = |expression, more: &[&str]| {
        refused(&at, &[&["schedule", "set", "q", "n", expression, "x"], more].concat())
    };
    let (code, said) = set("30 25 * * *", &[]);
    assert!(code == Some(2) && said.contains("hour: \"25\" is not in 0-23"), "{said}");
    let (code, said) = set("0 0 30 2 *", &[]);
    assert!(code == Some(2) && said.contains("never fires"), "{said}");
    let (code, said) = set("@daily", &["--zone", "Mars/Olympus"]);
    assert!(code == Some(5) && said.contains("time zone \"Mars/Olympus\" is not in"), "{said}");
    let long = "n".repeat(256);
    let (code, said) = refused(&at, &["schedule", "show", "q", &long]);
    assert!(code == Some(2) && said.contains("1 to 255 bytes"), "{said}");
    for command in ["pause", "resume", "run", "delete", "show"] {
        let (code, said) = refused(&at, &["schedule", command, "q", "n"]);
        assert!(code == Some(4) && said.contains("queue q has no schedule n"), "{said}");
    }
    let error = with(at, |client| async move {
        let job = NewJob::new("q", b"x");
        let bad = client.set_schedule("n", &NewSchedule::new("* * * *", job)).await;
        let keyed = job.key(b"k", std::time::Duration::from_secs(1));
        let keyed = client.set_schedule("n", &NewSchedule::new("@daily", keyed)).await;
        (bad.expect_err("four fields"), keyed.expect_err("a key"))
    });
    let says = |error: &Error, text| matches!(error, Error::Refused { code: Code::Invalid, message } if message.contains(text));
    assert!(says(&error.0, "expression has 4 fields"), "{:?}", error.0);
    assert!(says(&error.1, "an idempotency key"), "{:?}", error.1);
}

/// Runs at a minute's turn, with the server killed in between, and once only.
#[test]
fn r01_a_planned_time_is_run_once_although_the_server_is_killed() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (data_dir, addr) = (folder.path().join("data"), free_address(1));
    let server = start(&data_dir, addr);
    let tags = ["--tags", "{\"a\":1}"];
    let set = ["schedule", "set", "q", "often", "* * * * *", "tick", "--missed", "once"];
    let next = json(&server.addr(), &[&set[..], &tags].concat())[0]["next_ms"].as_u64();
    server.kill();
    let server = start(&data_dir, addr);
    let at = server.addr();
    let job = json(&at, &["fetch", "q", "--wait-ms", "60000", "--timeout-ms", "70000"]).remove(0);
    assert_eq!((&job["payload"], &job["tags"]), (&value!("tick"), &value!("{\"a\":1}")));
    let shown = json(&at, &["schedule", "show", "q", "often"]).remove(0);
    assert_eq!((shown["last_planned_ms"].as_u64(), &shown["fired"]), (next, &value!(1)));
    assert_eq!(shown["last_job"], job["job"]);
    done(&at, &["schedule", "pause", "q", "often"]);
    server.kill();
    let server = start(&data_dir, addr);
    let at = server.addr();
    let again = json(&at, &["schedule", "show", "q", "often"]).remove(0);
    assert_eq!(
        (&again["last_planned_ms"], &again["paused"]),
        (&shown["last_planned_ms"], &value!(true))
    );
    let id = job["job"].as_str().expect("an id");
    assert_eq!(json(&at, &["inspect", id])[0]["payload"], "tick");
    assert_eq!(server.stop(), Some(0));
    let out = run("jobbie-replay", &["dump", "--payloads", data_dir.to_str().expect("UTF-8")]);
    let dump = String::from_utf8_lossy(&out.stdout).into_owned();
    let count = |event: &str| dump.matches(&format!("\"event\":\"{event}\"")).count();
    assert_eq!((count("schedule_set"), count("schedule_paused")), (1, 1), "{dump}");
    assert_eq!(count("schedule_fired"), 1, "{dump}");
}

/// Several segments and snapshots, of jobs that are gone again.
async fn fill_segments(client: &Client) {
    let payload = vec![b'x'; 200_000];
    for _ in 0..30 {
        client.enqueue(&NewJob::new("load", &payload)).await.expect("enqueue");
        let options = FetchOptions { count: 1, lease_ms: 60_000, wait_ms: 0 };
        let jobs = client.fetch(&["load"], options).await.expect("fetch");
        client.ack(jobs[0].lease(), b"").await.expect("ack");
    }
}

/// Log that nobody needs goes; what schedules and their jobs carry stays.
#[test]
fn a_definition_outlives_the_log_around_it() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (data_dir, addr) = (folder.path().join("data"), free_address(1));
    let server = start(&data_dir, addr);
    with(server.addr(), |client| async move {
        let first = NewSchedule::new("@yearly", NewJob::new("q", b"first").tags(b"1"));
        client.set_schedule("a", &first.missed(Missed::All)).await.expect("set");
        fill_segments(&client).await;
        client.run_schedule("q", "a").await.expect("run");
        // The job has the definition before.
        let second = NewSchedule::new("@yearly", NewJob::new("q", b"second").tags(b"2"));
        client.set_schedule("a", &second).await.expect("set");
        fill_segments(&client).await;
    });
    assert_eq!(server.stop(), Some(0));
    let server = start(&data_dir, addr);
    with(server.addr(), |client| async move {
        let (info, times) = client.schedule("q", "a", 2).await.expect("ask").expect("it is there");
        assert_eq!((&info.payload[..], &info.tags[..]), (&b"second"[..], &b"2"[..]));
        assert_eq!((times.len(), times[0]), (2, info.next));
        assert!(info.next > Micros(0) && info.fired == 1);
        client.run_schedule("q", "a").await.expect("run");
        let options = FetchOptions { count: 2, lease_ms: 60_000, wait_ms: 0 };
        let jobs = client.fetch(&["q"], options).await.expect("fetch");
        let carried: Vec<_> = jobs.iter().map(|job| (&job.payload[..], &job.tags[..])).collect();
        assert_eq!(carried, [(&b"first"[..], &b"1"[..]), (&b"second"[..], &b"2"[..])]);
    });
}
