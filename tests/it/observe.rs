//! Why jobs failed, who works, and the server's settings, on the real server: by the command line and by the Rust client.

use std::time::{Duration, Instant};

use jobbie_client::{Ability, Client, EventSeq, FetchOptions, JobContext, NewJob, ShardId, Worker};
use jobbie_tests::cli::{done, json, refused, table};
use jobbie_tests::server::{Server, free_address, run};
use serde_json::Value;

fn text(row: &Value, field: &str) -> String {
    row[field].as_str().unwrap_or_default().to_owned()
}

#[test]
fn all_errors_of_a_job_are_told_newest_first_over_kill_9() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (data_dir, addr) = (folder.path().join("data"), free_address(1));
    let server = Server::start(&data_dir, addr, &["--shards", "1"]);
    let at = server.addr();
    let flags = ["enqueue", "q", "x", "--backoff", "none", "--max-retries", "2"];
    let job = text(&json(&at, &flags)[0], "job");
    let (exit, said) = refused(&at, &["errors", &job]);
    assert_eq!((exit, said.trim()), (Some(4), &*format!("{job} has no errors")));
    for error in ["no route", "still no route"] {
        done(&at, &["fetch", "q", "--wait-ms", "5000"]);
        done(&at, &["fail", &job, error, "--backtrace", "at line 7"]);
    }
    server.kill();
    let server = Server::start(&data_dir, addr, &[]);
    done(&at, &["retry", &job]);
    done(&at, &["hold", &job]);
    done(&at, &["reject", &job, "--reason", "not wanted"]);
    let errors = json(&at, &["errors", &job]);
    let told: Vec<_> = errors.iter().map(|row| text(row, "error")).collect();
    assert_eq!(told, ["not wanted", "still no route", "no route"]);
    let attempts: Vec<_> = errors.iter().map(|row| row["attempt"].clone()).collect();
    assert_eq!(attempts, [Value::Null, 2.into(), 1.into()]);
    assert_eq!(text(&errors[2], "backtrace"), "at line 7");
    assert!(errors[2]["time_ms"].as_u64() <= errors[0]["time_ms"].as_u64());
    assert_eq!(text(&json(&at, &["inspect", &job])[0], "error"), "not wanted");
    let newest = json(&at, &["errors", &job, "--count", "1"]);
    assert_eq!(newest, errors[..1]);
    assert_eq!(
        table(&at, &["errors", &job])[0],
        ["EVENT", "TIME MS", "ATTEMPT", "ERROR", "BACKTRACE"]
    );

    let runtime = tokio::runtime::Runtime::new().expect("start tokio");
    runtime.block_on(async {
        let client = Client::connect(at.clone()).await.expect("connect");
        let id = job.parse().expect("an id");
        // One after the other, each where the one before says.
        let (mut from, mut seen) = (EventSeq(0), Vec::new());
        loop {
            let page = client.errors(id, from, 1).await.expect("errors");
            let [one] = &page[..] else { panic!("{page:?}") };
            seen.push(String::from_utf8_lossy(&one.error).into_owned());
            from = one.previous;
            if from == EventSeq(0) {
                break;
            }
        }
        assert_eq!(seen, told);
        // An event that is no error of the job.
        assert_eq!(client.errors(id, EventSeq(5), 9).await.expect("asked"), []);
        client.close().await;
    });
    done(&at, &["delete", &job]);
    let (exit, said) = refused(&at, &["errors", &job]);
    assert_eq!(exit, Some(4));
    assert!(said.contains("there is no such job, or it is completed or deleted"), "{said}");
    assert_eq!(server.stop(), Some(0));
}

/// Events of the log of shard 0 so far.
async fn last_event(client: &Client) -> u64 {
    let stats = client.stats().await.expect("statistics");
    stats.iter().find(|(shard, _)| *shard == ShardId(0)).expect("shard 0").1.last_event.0
}

#[test]
fn b7_workers_are_registered_by_their_first_fetch_and_polls_are_not_logged() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (data_dir, addr) = (folder.path().join("data"), free_address(2));
    let server = Server::start(&data_dir, addr, &["--shards", "2"]);
    let at = server.addr();
    let (exit, said) = refused(&at, &["workers"]);
    assert_eq!(exit, Some(4));
    assert!(said.contains("no worker has asked for jobs within the last 24 hours"), "{said}");
    let runtime = tokio::runtime::Runtime::new().expect("start tokio");
    let began = Instant::now();
    let host = runtime.block_on(async {
        let mut config = jobbie_client::Config::from(at.clone());
        "poller".clone_into(&mut config.name);
        "a-host".clone_into(&mut config.host);
        let client = Client::connect(config).await.expect("connect");
        let on = |shard| {
            let names = (0..99).map(|n| format!("queue-{n}"));
            let mut names = names.filter(|name| client.topology().shard_of(name) == shard);
            names.next().expect("some queue is there")
        };
        let (here, there) = (on(ShardId(0)), on(ShardId(1)));
        let before = last_event(&client).await;
        for _ in 0..200 {
            let jobs = client.fetch(&[&here], FetchOptions::default()).await.expect("fetch");
            assert_eq!(jobs.len(), 0);
        }
        // The first one, and another each ten seconds if the machine is slow.
        let noted = last_event(&client).await - before;
        let most = 1 + began.elapsed().as_secs() / 10;
        assert!((1..=most).contains(&noted), "{noted} events in {:?}", began.elapsed());
        client.enqueue(&NewJob::new(&there, b"x")).await.expect("enqueue");
        let jobs = client.fetch(&[&there], FetchOptions::default()).await.expect("fetch");
        assert_eq!(jobs.len(), 1);
        let found = client.workers().await.expect("workers");
        assert_eq!(found.iter().map(|(shard, _)| shard.0).collect::<Vec<_>>(), [0, 1]);
        assert!(found.iter().all(|(_, worker)| worker.name == "poller" && worker.host == "a-host"));
        assert_eq!(found.iter().map(|(_, w)| w.leases).collect::<Vec<_>>(), [0, 1]);
        let rows = json(&at, &["workers"]);
        assert_eq!(rows.len(), 1, "one worker, on two shards: {rows:?}");
        let row = &rows[0];
        assert_eq!((text(row, "id"), text(row, "hostname")), ("poller".into(), "a-host".into()));
        let mut queues: Vec<_> = row["queues"].as_array().expect("a list").clone();
        queues.sort_by_key(ToString::to_string);
        let mut expected = [Value::from(here), Value::from(there)];
        expected.sort_by_key(ToString::to_string);
        assert_eq!(queues, expected);
        assert_eq!((&row["active"], &row["queues_asked"]), (&1.into(), &2.into()));
        assert!(row["started_ms"].as_u64() <= row["last_seen_ms"].as_u64());
        client.close().await;
        "a-host"
    });
    let head = table(&at, &["workers"]).remove(0);
    assert_eq!(head[..5], ["ID", "HOSTNAME", "QUEUES", "ACTIVE", "LAST SEEN MS"]);
    server.kill();
    let server = Server::start(&data_dir, addr, &[]);
    let row = json(&at, &["workers"]).remove(0);
    assert_eq!((text(&row, "hostname"), &row["active"]), (host.into(), &0.into()));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_worker_that_gets_its_jobs_pushed_is_registered_while_it_is_idle() {
    let folder = tempfile::tempdir().expect("make a folder");
    let server = Server::start(&folder.path().join("data"), free_address(1), &["--shards", "1"]);
    let at = server.addr();
    let runtime = tokio::runtime::Runtime::new().expect("start tokio");
    runtime.block_on(async {
        let client = Client::connect(at.clone()).await.expect("connect");
        let handler = |_: JobContext| async { Ok(Vec::new()) };
        let worker = Worker::builder(&client).queue("q", handler).name("pushed");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let work = worker.run_until(async { drop(stopped.await) });
        let look = async {
            let patience = Instant::now() + Duration::from_secs(20);
            loop {
                let found = client.workers().await.expect("workers");
                if let [(_, worker)] = &found[..] {
                    assert_eq!(
                        (&*worker.name, &worker.queues[..]),
                        ("pushed", &["q".to_owned()][..])
                    );
                    break;
                }
                assert!(Instant::now() < patience, "no worker is registered");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            drop(stop);
        };
        let (worked, ()) = tokio::join!(work, look);
        worked.expect("the worker ends");
        client.close().await;
    });
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn the_servers_settings_and_abilities_are_told() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (data_dir, addr) = (folder.path().join("data"), free_address(1));
    let settings = |at: &str| {
        let row = json(at, &["status"]).remove(0);
        (row["retention_ms"].as_u64(), row["lease_expiries_max"].as_u64())
    };
    let server = Server::start(&data_dir, addr, &["--shards", "1"]);
    let at = server.addr();
    assert_eq!(settings(&at), (Some(604_800_000), Some(3)));
    let runtime = tokio::runtime::Runtime::new().expect("start tokio");
    runtime.block_on(async {
        let client = Client::connect(at.clone()).await.expect("connect");
        let abilities = client.topology().abilities;
        assert!(Ability::ALL.into_iter().all(|ability| abilities.has(ability)));
        client.close().await;
    });
    assert_eq!(server.stop(), Some(0));
    // A flag beats the file.
    let config = folder.path().join("jobbie.toml");
    let file = "[server]\nretention = \"2h\"\nlease-expiries-max = 9\n";
    std::fs::write(&config, file).expect("write the config");
    let config = config.to_str().expect("a path");
    let flags = ["--config", config, "--lease-expiries-max", "0"];
    let server = Server::start(&data_dir, addr, &flags);
    assert_eq!(settings(&at), (Some(7_200_000), Some(0)));
    assert_eq!(server.stop(), Some(0));
    let refused = run("jobbie", &["server", "--retention", "59m", "--data-dir", config]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(said.trim(), "error: --retention is 3540000ms, and must be 1h to 3660d");
}
