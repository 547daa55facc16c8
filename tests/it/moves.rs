//! Jobs that go to queues of other shards on the real server, over four shards, which is killed in between; parents.

use std::time::{Duration, Instant};

use jobbie_client::{
    BulkAction, Client, Code, Error, FetchOptions, Hold, JobFilter, JobId, JobState, NewJob,
};
use jobbie_tests::cli::{self, done, refused};
use jobbie_tests::server::free_address;

use crate::four_shards::{WAIT, fetch_one, queues, runtime, serve};

async fn state(client: &Client, job: JobId) -> Option<JobState> {
    client.job(job).await.expect("look up").map(|info| info.state)
}

/// As many members of a batch as there are moves, a job that waits for all of them, and a kill between any two steps.
#[test]
fn moved_jobs_are_there_once_and_what_hangs_on_them_holds_after_a_kill_at_every_step() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (data, address) = (folder.path().join("data"), free_address(4));
    let mut server = serve(&data, address);
    runtime().block_on(async {
        let client = Client::connect(address.to_string()).await.expect("connect");
        let queues = queues(&client);
        let batch = client.open_batch(Some(&NewJob::new("called", b"{}"))).await.expect("open");
        let unique = NewJob::new(&queues[0], b"{}").unique(b"u", Duration::from_secs(600));
        let first = unique.then(NewJob::new("second", b"{}")).batch(batch);
        let more = NewJob::new(&queues[0], b"more").batch(batch);
        let made = client.enqueue_tied(&[first, more.clone(), more]).await;
        let ids: Vec<JobId> = made.into_iter().map(|made| made.expect("enqueue").id).collect();
        client.seal_batch(batch, 3).await.expect("seal");
        let waits = NewJob::new(&queues[3], b"after").after(&ids);
        let waits = client.enqueue_tied(&[waits]).await.remove(0).expect("enqueue").id;
        // Every job goes round: each time one step further, under whichever id it has.
        for step in 1..=4 {
            let to = &queues[step % 3];
            for id in &ids {
                client.move_job(*id, to).await.expect("move");
                server.kill();
                server = serve(&data, address);
            }
            for id in &ids {
                let info = client.job(*id).await.expect("look up").expect("it waits");
                assert_eq!((info.state, &*info.queue), (JobState::Pending, &**to));
                assert!(info.id != *id && info.moved_from.is_some());
            }
        }
        assert!(client.enqueue(&unique).await.expect("enqueue").duplicate, "its key is its own");
        assert_eq!(state(&client, waits).await, Some(JobState::Scheduled));
        for _ in &ids {
            let job = fetch_one(&client, &queues[1]).await;
            client.ack(job.lease(), b"[1]").await.expect("ack");
            server.kill();
            server = serve(&data, address);
        }
        let second = fetch_one(&client, "second").await;
        client.ack(second.lease(), b"").await.expect("ack");
        let called = fetch_one(&client, "called").await;
        let counts: serde_json::Value = serde_json::from_slice(&called.payload).expect("JSON");
        assert_eq!(
            (&counts["batch"]["succeeded"], &counts["batch"]["failed"]),
            (&3.into(), &0.into())
        );
        assert_eq!(fetch_one(&client, &queues[3]).await.id, waits);
        let until = Instant::now() + Duration::from_secs(20);
        while client.queue(&queues[0]).await.expect("counts").jobs[JobState::Moved as usize] > 0 {
            assert!(Instant::now() < until, "its stubs stay");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(!client.enqueue(&unique).await.expect("enqueue").duplicate, "its key is free");
        for id in ids {
            assert_eq!(state(&client, id).await, None, "completed");
        }
    });
}

#[test]
fn the_client_follows_a_job_to_whatever_is_done_to_it() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (data, address) = (folder.path().join("data"), free_address(4));
    let _server = serve(&data, address);
    runtime().block_on(async {
        let client = Client::connect(address.to_string()).await.expect("connect");
        let queues = queues(&client);
        let job = NewJob::new(&queues[0], b"{}").attempts(5);
        let id = client.enqueue(&job).await.expect("enqueue").id;
        // A worker has it: it stays, and is there for nobody else when that gives it back.
        let leased = fetch_one(&client, &queues[0]).await;
        client.move_job(id, &queues[1]).await.expect("move");
        let info = client.job(id).await.expect("look up").expect("it is active");
        assert_eq!((info.state, &info.moves_to), (JobState::Active, &queues[1]));
        client.release(leased.lease()).await.expect("release");
        assert_eq!(fetch_one(&client, &queues[1]).await.payload, leased.payload);
        client
            .hold(id, Hold { reason: b"look", by: "ann", ..Hold::default() })
            .await
            .expect("hold");
        let info = client.job(id).await.expect("look up").expect("it is held");
        assert_eq!(
            (info.state, info.attempt, &info.hold_reason[..]),
            (JobState::Held, 1, &b"look"[..])
        );
        client.move_job(id, &queues[2]).await.expect("move on");
        let info = client.job(id).await.expect("look up").expect("it is held");
        assert_eq!((&*info.queue, &info.hold_reason[..]), (&*queues[2], &b"look"[..]));
        client.approve(id, "", "ann").await.expect("approve");
        client.prioritize(id, 0).await.expect("prioritize");
        client.replace_payload(id, b"new").await.expect("replace");
        client.cancel(id).await.expect("cancel");
        assert_eq!(state(&client, id).await, Some(JobState::Cancelled));
        client.retry(id).await.expect("retry");
        assert_eq!(fetch_one(&client, &queues[2]).await.payload, b"new"[..]);
        client.delete(id).await.expect("delete");
        let gone = client.retry(id).await.expect_err("it is gone");
        assert!(matches!(gone, Error::Job { code: Code::NotFound, .. }), "{gone}");
    });
}

#[test]
fn many_jobs_go_to_another_shard_by_one_operation_and_none_is_lost_by_a_kill() {
    const JOBS: usize = 3000;
    let folder = tempfile::tempdir().expect("make a folder");
    let (data, address) = (folder.path().join("data"), free_address(4));
    let mut server = serve(&data, address);
    runtime().block_on(async {
        let client = Client::connect(address.to_string()).await.expect("connect");
        let queues = queues(&client);
        let payloads: Vec<String> = (0..JOBS).map(|n| n.to_string()).collect();
        let jobs: Vec<_> =
            payloads.iter().map(|payload| NewJob::new(&queues[0], payload.as_bytes())).collect();
        assert!(client.enqueue_many(&jobs).await.iter().all(Result::is_ok));
        let action = BulkAction::Move { queue: queues[1].clone() };
        let filter = JobFilter::of_queue(&queues[0]);
        client.bulk(action, filter, false).await.expect("begin");
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(15)).await;
            server.kill();
            server = serve(&data, address);
        }
        let mut came = Vec::new();
        let until = Instant::now() + Duration::from_secs(60);
        while came.len() < JOBS && Instant::now() < until {
            let many = FetchOptions { count: 1000, wait_ms: 1000, ..WAIT };
            for job in client.fetch(&[&queues[1]], many).await.expect("fetch") {
                client.ack(job.lease(), b"").await.expect("ack");
                came.push(String::from_utf8(job.payload.to_vec()).expect("a number"));
            }
        }
        came.sort_unstable();
        let mut expected = payloads.clone();
        expected.sort_unstable();
        assert!(came == expected, "{} jobs came, {JOBS} went", came.len());
    });
}

#[test]
fn moves_parents_and_children_on_the_command_line() {
    let folder = tempfile::tempdir().expect("make a folder");
    let server = serve(&folder.path().join("data"), free_address(4));
    let addr = &*server.addr();
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let one = |args: &[&str]| cli::json(addr, args).remove(0);
    let parent = text(&one(&["enqueue", "a", "x"])["job"]);
    let children: Vec<String> = ["a", "b", "c", "d", "e"]
        .iter()
        .map(|queue| text(&one(&["enqueue", queue, "y", "--parent", &parent])["job"]))
        .collect();
    done(addr, &["delete", &parent]);
    let listed = |parent: &str| {
        let rows = cli::json(addr, &["children", parent]);
        let mut ids: Vec<_> = rows.iter().map(|row| text(&row["job"])).collect();
        ids.sort_unstable();
        ids
    };
    let mut expected = children.clone();
    expected.sort_unstable();
    assert_eq!(listed(&parent), expected, "on all shards, and the parent is gone");
    let child = &children[0];
    assert_eq!(one(&["inspect", child])["parent"], *parent);
    // On one of five more queues it is on another shard.
    for queue in ["v", "w", "x", "y", "z"] {
        done(addr, &["move", child, queue]);
        let seen = one(&["inspect", child]);
        assert!(seen["state"] == "moved" || seen["queue"] == queue, "{seen}");
    }
    let until = Instant::now() + Duration::from_secs(20);
    let moved = loop {
        let seen = one(&["inspect", child]);
        if seen["state"] == "pending" {
            break seen;
        }
        assert!(Instant::now() < until, "{seen}");
    };
    assert_eq!((&moved["queue"], &moved["parent"]), (&"z".into(), &(*parent).into()));
    assert_ne!(moved["job"], **child);
    let mut expected: Vec<_> = children[1..].to_vec();
    expected.push(text(&moved["job"]));
    expected.sort_unstable();
    assert_eq!(listed(&parent), expected);
    done(addr, &["cancel", child]);
    assert_eq!(one(&["retry", child])["result"], "pending");
    let fetched = one(&["fetch", "z"]);
    assert_eq!(fetched["job"], moved["job"]);
    done(addr, &["delete", child]);
    let (exit, said) = refused(addr, &["hold", child]);
    assert!(exit == Some(4) && said.contains("no such job"), "{said}");
    let (exit, said) = refused(addr, &["enqueue", "a", "x", "--parent", "nobody"]);
    assert!(exit == Some(2) && said.contains("--parent"), "{said}");
}
