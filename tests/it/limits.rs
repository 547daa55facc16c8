//! What limits queues, on the real server. Times are the server's: a lease begins `lease_ms` before its deadline.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use jobbie_client::{
    Client, FetchOptions, Hold, HoldEnd, Job, JobId, JobState, NewJob, QueueSettings, Sharing,
};
use jobbie_tests::cli::{done, jobbie, json, table};
use jobbie_tests::server::{Server, free_address};

const LEASE_MS: u32 = 60_000;
/// Whatever may be had now.
const NOW: FetchOptions = FetchOptions { count: 10, lease_ms: LEASE_MS, wait_ms: 0 };
/// Whatever may be had next.
const WAIT: FetchOptions = FetchOptions { wait_ms: 30_000, ..NOW };
const NO_LIMITS: QueueSettings = QueueSettings {
    concurrency: 0,
    rate: 0,
    window_ms: 0,
    key_concurrency: 0,
    key_rate: 0,
    key_window_ms: 0,
    fair: Sharing::None,
};

fn start() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().expect("make a folder");
    let server = Server::start(&folder.path().join("data"), free_address(1), &["--shards", "1"]);
    (folder, server)
}

/// Does something with a client.
fn with<F: Future>(address: String, work: impl FnOnce(Client) -> F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime
        .expect("a runtime")
        .block_on(async { work(Client::connect(address).await.expect("connect")).await })
}

async fn enqueue(client: &Client, jobs: &[NewJob<'_>]) -> Vec<JobId> {
    let made = client.enqueue_many(jobs).await;
    made.into_iter().map(|made| made.expect("enqueue").id).collect()
}

async fn fetch(client: &Client, options: FetchOptions) -> Vec<Job> {
    client.fetch(&["q"], options).await.expect("fetch")
}

fn ids(jobs: &[Job]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id).collect()
}

/// When a lease began, in microseconds.
fn begin_us(job: &Job) -> u64 {
    job.deadline.0 - u64::from(LEASE_MS) * 1000
}

async fn ack(client: &Client, job: &Job) {
    client.ack(job.lease(), b"").await.expect("ack");
}

#[test]
fn every_command_says_what_it_did() {
    let (_folder, server) = start();
    let at = server.addr();
    let limit = ["limit", "q", "--concurrency", "1", "--rate", "30", "--window-ms", "9000"];
    let expected = serde_json::json!({
        "queue": "q", "active": 0, "concurrency": 1, "rate": 30, "window_ms": 9000, "keys": 0,
        "key_concurrency": null, "key_rate": null, "key_window_ms": null, "fair": "none",
        "draining": false,
    });
    assert_eq!(json(&at, &limit)[0], expected);
    assert_eq!(json(&at, &["limits"]), [expected]);
    // What is not named stays.
    let keys = ["limit", "q", "--key-concurrency", "2", "--key-rate", "4", "--key-window-ms", "5"];
    let shown = table(&at, &[&keys[..], &["--fair", "worker-time"]].concat());
    let columns = "QUEUE ACTIVE CONCURRENCY RATE WINDOW MS KEYS KEY CONCURRENCY KEY RATE \
                   KEY WINDOW MS FAIR DRAINING";
    assert_eq!(shown[0].join(" "), columns);
    assert_eq!(shown[1].join(" "), "q 0 1 30 9000 0 2 4 5 worker-time false");
    assert_eq!(table(&at, &["limits", "q"]), shown);
    assert_eq!(json(&at, &["limits", "another"]), [] as [serde_json::Value; 0]);
    let weighed = serde_json::json!({ "queue": "q", "key": "ann", "weight": 7 });
    assert_eq!(json(&at, &["weigh", "q", "ann", "7"]), [weighed]);
    assert_eq!(
        table(&at, &["weigh", "q", "bob", "1000"]),
        [["QUEUE", "KEY", "WEIGHT"], ["q", "bob", "1000"]]
    );

    // A limit of 0 is none.
    let off = ["limit", "q", "--concurrency", "0", "--rate", "0", "--window-ms", "0"];
    let off = json(&at, &off).remove(0);
    assert!(off["concurrency"].is_null() && off["rate"].is_null(), "{off}");
    assert_eq!(off["key_rate"], 4);
}

#[test]
fn a_draining_queue_hands_out_nothing_until_it_is_resumed() {
    let (_folder, server) = start();
    let at = server.addr();
    for payload in ["first", "second"] {
        done(&at, &["enqueue", "q", payload, "--limit-key", "ann"]);
    }
    let job = json(&at, &["fetch", "q"]).remove(0)["job"].as_str().expect("an id").to_owned();
    let drained = serde_json::json!({ "queue": "q", "paused": true });
    assert_eq!(json(&at, &["drain", "q"]), [drained]);
    assert_eq!(table(&at, &["drain", "other"]), [["QUEUE", "PAUSED"], ["other", "true"]]);
    assert_eq!(jobbie(&at, &["fetch", "q"]).status.code(), Some(4), "it drains");
    let shown = || {
        let shown = json(&at, &["limits", "q"]).remove(0);
        (shown["active"].as_u64(), shown["draining"].as_bool(), shown["keys"].as_u64())
    };
    assert_eq!(shown(), (Some(1), Some(true), Some(1)));
    done(&at, &["ack", &job]);
    assert_eq!((shown().0, shown().1), (Some(0), Some(true)), "nothing is active any more");
    assert_eq!(jobbie(&at, &["fetch", "q"]).status.code(), Some(4), "it still drains");
    done(&at, &["resume", "q"]);
    assert_eq!(shown().1, Some(false));
    assert_eq!(json(&at, &["fetch", "q"])[0]["payload"], "second");
}

#[test]
fn a_queue_of_one_at_a_time_gives_the_next_when_the_first_is_done() {
    let (_folder, server) = start();
    with(server.addr(), async |client| {
        let settings = QueueSettings { concurrency: 1, ..NO_LIMITS };
        client.configure("q", settings).await.expect("configure");
        let jobs = enqueue(&client, &[NewJob::new("q", b""); 4]).await;
        let first = fetch(&client, NOW).await;
        assert_eq!(ids(&first), jobs[..1]);
        assert_eq!(fetch(&client, NOW).await, [], "one is active");

        // Another worker waits, and is woken by whatever ends the active one: an ack, a fail, a hold, a higher limit.
        let other = Client::connect(server.addr()).await.expect("connect");
        let mut active = first[0].clone();
        for (nth, how) in ["ack", "fail", "hold"].into_iter().enumerate() {
            let waiter = other.clone();
            let waiting = tokio::spawn(async move { waiter.fetch(&["q"], WAIT).await });
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert!(!waiting.is_finished(), "{how}: one is active");
            let begin = Instant::now();
            let hold = Hold { reason: b"", by: "", timeout_ms: 0, then: HoldEnd::Stay };
            match how {
                "ack" => client.ack(active.lease(), b"").await.expect(how),
                "fail" => drop(client.fail(active.lease(), "", "", false).await.expect(how)),
                _ => client.hold(active.id, hold).await.expect(how),
            }
            let next = waiting.await.expect("no panic").expect("fetch");
            assert!(begin.elapsed() < Duration::from_secs(10), "{how}: it waited on");
            assert_eq!(ids(&next), [jobs[nth + 1]], "{how}");
            active = next[0].clone();
        }
        client.approve(jobs[2], "", "").await.expect("approve");
        assert_eq!(fetch(&client, NOW).await, [], "one is active");
        client.configure("q", QueueSettings { concurrency: 2, ..NO_LIMITS }).await.expect("more");
        assert_eq!(ids(&fetch(&client, NOW).await), [jobs[2]]);
    });
}

#[test]
fn a_rate_gives_the_next_job_when_its_window_opens() {
    const WINDOW_MS: u32 = 400;
    let (_folder, server) = start();
    with(server.addr(), async |client| {
        let settings = QueueSettings { rate: 3, window_ms: WINDOW_MS, ..NO_LIMITS };
        client.configure("q", settings).await.expect("configure");
        let jobs = enqueue(&client, &[NewJob::new("q", b""); 5]).await;
        let mut begun = Vec::new();
        while begun.len() < jobs.len() {
            let leased = fetch(&client, WAIT).await;
            assert!(!leased.is_empty(), "it waited in vain");
            for job in &leased {
                begun.push((job.id, begin_us(job)));
                // A rate counts what was given out, not what is active.
                ack(&client, job).await;
            }
        }
        assert_eq!(begun.iter().map(|(id, _)| *id).collect::<Vec<_>>(), jobs);
        for four in begun.windows(4) {
            let us = four[3].1 - four[0].1;
            assert!(us >= u64::from(WINDOW_MS) * 1000, "four within {us} µs: {begun:?}");
        }
        assert_eq!(begun[0].1, begun[2].1, "three come at once");
        // No two windows of the fourth and fifth: both are free when the first three are forgotten.
        assert_eq!(begun[3].1, begun[4].1, "{begun:?}");
    });
}

#[test]
fn each_limit_key_has_its_own_limits() {
    let (_folder, server) = start();
    with(server.addr(), async |client| {
        let settings = QueueSettings { key_concurrency: 1, ..NO_LIMITS };
        client.configure("q", settings).await.expect("configure");
        let of = |key| NewJob::new("q", b"").limit_key(key);
        let jobs = enqueue(&client, &[of("ann"), of("ann"), of("bob"), of("ann"), of("bob")]).await;
        let first = fetch(&client, NOW).await;
        assert_eq!(ids(&first), [jobs[0], jobs[2]], "one of each");
        assert_eq!(client.job(jobs[1]).await.unwrap().expect("is there").limit_key, "ann");
        assert_eq!(client.queue("q").await.expect("look up").keys, 2);
        assert_eq!(fetch(&client, NOW).await, [], "one of each is active");

        // Ann's ack makes room for hers and not for Bob's.
        let waiter = client.clone();
        let waiting = tokio::spawn(async move { waiter.fetch(&["q"], WAIT).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!waiting.is_finished(), "one of each is active");
        ack(&client, &first[0]).await;
        let next = waiting.await.expect("no panic").expect("fetch");
        assert_eq!(ids(&next), [jobs[1]]);
        ack(&client, &first[1]).await;
        assert_eq!(ids(&fetch(&client, NOW).await), [jobs[4]]);
        assert_eq!(fetch(&client, NOW).await, [], "one of each is active");
        ack(&client, &next[0]).await;
        assert_eq!(ids(&fetch(&client, NOW).await), [jobs[3]]);
    });
}

#[test]
fn a_rate_of_keys_opens_for_each_key_alone() {
    const WINDOW_MS: u32 = 400;
    let (_folder, server) = start();
    with(server.addr(), async |client| {
        let settings = QueueSettings { key_rate: 1, key_window_ms: WINDOW_MS, ..NO_LIMITS };
        client.configure("q", settings).await.expect("configure");
        let keys = ["ann", "bob", "ann", "bob"];
        let jobs = enqueue(&client, &keys.map(|key| NewJob::new("q", b"").limit_key(key))).await;
        let mut begun = BTreeMap::new();
        while begun.len() < jobs.len() {
            let leased = fetch(&client, WAIT).await;
            assert!(!leased.is_empty(), "it waited in vain");
            begun.extend(leased.iter().map(|job| (job.id, begin_us(job))));
        }
        for (first, second) in [(0, 2), (1, 3)] {
            let us = begun[&jobs[second]] - begun[&jobs[first]];
            assert!(us >= u64::from(WINDOW_MS) * 1000, "{} within {us} µs", keys[first]);
        }
        assert_eq!(begun[&jobs[0]], begun[&jobs[1]], "the first of each come at once");
    });
}

#[test]
fn keys_share_by_their_weights() {
    let (_folder, server) = start();
    with(server.addr(), async |client| {
        client.weigh("q", "bob", 3).await.expect("weigh");
        let settings = QueueSettings { fair: Sharing::Jobs, ..NO_LIMITS };
        client.configure("q", settings).await.expect("configure");
        let of = |key| NewJob::new("q", b"").limit_key(key);
        let jobs = enqueue(&client, &[[of("ann"); 20], [of("bob"); 20]].concat()).await;
        let leased = fetch(&client, FetchOptions { count: 16, ..NOW }).await;
        let ann = leased.iter().filter(|job| jobs[..20].contains(&job.id)).count();
        // Ann was first, which may be worth a job.
        assert!((4..=5).contains(&ann), "{ann} of 16 with a quarter of the weight");
    });
}

/// Fills the log until the state was written down.
async fn until_snapshot(client: &Client, data_dir: &Path) {
    let is_snapshot = |file: std::io::Result<std::fs::DirEntry>| {
        file.expect("list the log").path().extension().is_some_and(|name| name == "snap")
    };
    let payload = vec![0; 200 << 10];
    let begin = Instant::now();
    while !std::fs::read_dir(data_dir.join("shard-000")).expect("list the log").any(is_snapshot) {
        assert!(begin.elapsed() < Duration::from_secs(60), "the state is not written down");
        let job = client.enqueue(&NewJob::new("ballast", &payload)).await.expect("enqueue");
        client.delete(job.id).await.expect("delete");
    }
}

#[test]
fn r01_limits_holds_and_unique_keys_survive_kill_9_and_no_slot_leaks() {
    survive_kill_9(false);
}

#[test]
fn r01_limits_holds_and_unique_keys_are_in_snapshots() {
    survive_kill_9(true);
}

fn survive_kill_9(by_snapshot: bool) {
    const HOUR: Duration = Duration::from_secs(3600);
    let folder = tempfile::tempdir().expect("make a folder");
    let (data_dir, addr) = (folder.path().join("data"), free_address(1));
    let small = [
        "--shards",
        "1",
        "--segment-bytes",
        "1MiB",
        "--snapshot-log-bytes",
        "1MiB",
        "--history-bytes",
        "0",
    ];
    let flags = if by_snapshot { &small[..] } else { &small[..2] };
    let start = || Server::start(&data_dir, addr, flags);
    let settings = QueueSettings { concurrency: 3, key_concurrency: 2, ..NO_LIMITS };
    let hold = Hold { reason: b"look", by: "ann", timeout_ms: 0, then: HoldEnd::Stay };
    let of = |key| NewJob::new("q", b"").limit_key(key);
    let server = start();
    with(addr.to_string(), async |client| {
        client.configure("q", settings).await.expect("configure");
        let unique = of("bob").unique(b"only", HOUR);
        let held = of("bob").hold(hold);
        let new = [of("ann"), of("ann"), of("ann"), of("bob"), held, unique, of("bob")];
        let jobs = enqueue(&client, &new).await;
        // Two are leased for long, the third until its worker has said nothing for a while.
        let two = fetch(&client, FetchOptions { count: 2, ..NOW }).await;
        assert_eq!(ids(&two), jobs[..2]);
        let lost = fetch(&client, FetchOptions { lease_ms: 2000, ..NOW }).await;
        assert_eq!(ids(&lost), [jobs[3]], "ann has two already");
        assert_eq!(fetch(&client, NOW).await, [], "three are active");
        if by_snapshot {
            until_snapshot(&client, &data_dir).await;
        }

        server.kill();
        let server = start();
        assert_eq!(client.queue("q").await.expect("look up").settings, settings);
        let info = client.job(jobs[4]).await.expect("look up").expect("is there");
        assert_eq!((info.state, &*info.hold_by), (JobState::Held, "ann"));
        let again = client.enqueue(&unique).await.expect("enqueue");
        assert_eq!((again.id, again.duplicate), (jobs[5], true));

        // The lost lease runs out and frees its slot, for one job and not two; the job is at the back by then.
        let next = fetch(&client, WAIT).await;
        assert_eq!(ids(&next), [jobs[5]]);
        assert!(begin_us(&next[0]) >= lost[0].deadline.0, "it was leased until then");
        assert_eq!(fetch(&client, NOW).await, [], "three are active");
        ack(&client, &two[0]).await;
        let third = fetch(&client, NOW).await;
        assert_eq!(third.len(), 1, "one slot is free");
        server.kill();
        let server = start();

        // Nobody is forgotten and nobody counts twice: with everything finished all three slots are free again.
        assert_eq!(fetch(&client, NOW).await, [], "three are active");
        client.approve(jobs[4], "", "").await.expect("approve");
        for job in [&two[1], &next[0], &third[0]] {
            ack(&client, job).await;
        }
        assert!(!client.enqueue(&unique).await.expect("enqueue").duplicate, "it is completed");
        let mut left: Vec<Vec<Job>> = Vec::new();
        loop {
            let leased = fetch(&client, NOW).await;
            if leased.is_empty() {
                break;
            }
            assert!(leased.len() <= 3, "{leased:?}");
            assert_eq!(fetch(&client, NOW).await, [], "{leased:?} are active");
            for job in &leased {
                ack(&client, job).await;
            }
            left.push(leased);
        }
        let stats = client.queue("q").await.expect("look up");
        assert_eq!(stats.jobs[JobState::Completed as usize], 8, "{stats:?}");
        assert_eq!(stats.jobs.iter().sum::<u64>(), 8, "{stats:?}");
        assert!(left.concat().iter().any(|j| j.id == jobs[3] && j.attempt == 2), "{left:?}");
        let (ann, bob) = (of("ann"), of("bob"));
        let jobs = enqueue(&client, &[ann, ann, ann, bob, bob, bob]).await;
        assert_eq!(ids(&fetch(&client, NOW).await), [jobs[0], jobs[1], jobs[3]]);
        assert_eq!(server.stop(), Some(0));
    });
}

#[test]
fn r01_a_window_remembers_over_kill_9_what_was_given_out() {
    const WINDOW_MS: u32 = 1500;
    let folder = tempfile::tempdir().expect("make a folder");
    let (data_dir, addr) = (folder.path().join("data"), free_address(1));
    let start = || Server::start(&data_dir, addr, &["--shards", "1"]);
    let server = start();
    with(addr.to_string(), async |client| {
        let (rate, key_rate) = (2, 1);
        let (window_ms, key_window_ms) = (WINDOW_MS, WINDOW_MS);
        let settings = QueueSettings { rate, window_ms, key_rate, key_window_ms, ..NO_LIMITS };
        client.configure("q", settings).await.expect("configure");
        let keys = ["ann", "ann", "bob", "cid"];
        let jobs = enqueue(&client, &keys.map(|key| NewJob::new("q", b"").limit_key(key))).await;
        let first = fetch(&client, NOW).await;
        assert_eq!(ids(&first), [jobs[0], jobs[2]], "one of each key, two in all");
        for job in &first {
            ack(&client, job).await;
        }
        server.kill();
        let server = start();
        let next = fetch(&client, WAIT).await;
        assert_eq!(ids(&next), [jobs[1], jobs[3]]);
        let us = begin_us(&next[0]) - begin_us(&first[0]);
        assert!(us >= u64::from(WINDOW_MS) * 1000, "again after {us} µs");
        drop(server);
    });
}

/// Whatever takes a job from its worker gives its slot to the next.
#[test]
fn a_slot_is_free_however_its_job_is_taken_away() {
    let (_folder, server) = start();
    with(server.addr(), async |client| {
        let settings = QueueSettings { concurrency: 1, key_concurrency: 1, ..NO_LIMITS };
        client.configure("q", settings).await.expect("configure");
        for how in ["cancel", "delete", "release", "move", "close", "expire"] {
            let job = NewJob::new("q", b"").limit_key("ann");
            let jobs = enqueue(&client, &[job, job]).await;
            let other = Client::connect(server.addr()).await.expect("connect");
            let lease_ms = if how == "expire" { 2000 } else { LEASE_MS };
            let active = fetch(&other, FetchOptions { lease_ms, ..NOW }).await.remove(0);
            assert_eq!(active.id, jobs[0], "{how}");
            let waiter = client.clone();
            let waiting = tokio::spawn(async move { waiter.fetch(&["q"], WAIT).await });
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert!(!waiting.is_finished(), "{how}: one is active");
            match how {
                "cancel" => client.cancel(active.id).await.expect(how),
                "delete" => client.delete(active.id).await.expect(how),
                "release" => other.release(active.lease()).await.expect(how),
                "move" => client.move_job(active.id, "elsewhere").await.expect(how),
                "close" => other.close().await,
                _ => {}
            }
            let begin = Instant::now();
            let next = waiting.await.expect("no panic").expect("fetch");
            assert!(begin.elapsed() < Duration::from_secs(10), "{how}: it waited on");
            assert_eq!(ids(&next), [jobs[1]], "{how}");
            // The other one is back behind it, or gone.
            ack(&client, &next[0]).await;
            for back in fetch(&client, NOW).await {
                assert_eq!((back.id, back.token > active.token), (jobs[0], true), "{how}");
                ack(&client, &back).await;
            }
            assert_eq!(client.queue("q").await.expect("look up").jobs[..4], [0; 4], "{how}");
        }
    });
}
