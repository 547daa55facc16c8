//! Batches, chains and dependencies on the real server, over four shards, which is killed in between.

use std::time::{Duration, Instant};

use jobbie_client::{Client, FetchOptions, Job, JobError, JobState, NewJob, Worker};
use jobbie_tests::cli::{self, refused};
use jobbie_tests::server::free_address;

use crate::four_shards::{WAIT, fetch_one, fetch_only, queues, runtime, serve};

fn json(job: &Job) -> serde_json::Value {
    serde_json::from_slice(&job.payload).expect("JSON")
}

#[test]
fn what_ties_jobs_on_four_shards_survives_a_kill_at_every_step() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (data, address) = (folder.path().join("data"), free_address(4));
    let mut server = serve(&data, address);
    runtime().block_on(async {
        let client = Client::connect(address.to_string()).await.expect("connect");
        let queues = queues(&client);
        let callback = NewJob::new(&queues[3], br#"{"merge":true}"#);
        let batch = client.open_batch(Some(&callback)).await.expect("open");
        let chain = NewJob::new(&queues[0], b"{}")
            .then(NewJob::new(&queues[1], b"{}"))
            .then(NewJob::new(&queues[2], br#"{"last":1}"#))
            .batch(batch);
        let made = client.enqueue_tied(&[chain.clone(), chain]).await;
        assert!(made.iter().all(Result::is_ok), "{made:?}");
        client.seal_batch(batch, 2).await.expect("seal");
        let first = made[0].as_ref().expect("made").id;
        let after = NewJob::new(&queues[3], b"after").after(&[first]);
        let after = client.enqueue_tied(&[after]).await.remove(0).expect("enqueue").id;
        let info = client.job(after).await.expect("look up").expect("it waits");
        assert_eq!((info.state, info.waits_for), (JobState::Scheduled, 1));
        for (step, queue) in queues[..3].iter().enumerate() {
            for _ in 0..2 {
                let job = fetch_one(&client, queue).await;
                client.ack(job.lease(), format!("[{step}]").as_bytes()).await.expect("ack");
                server.kill();
                server = serve(&data, address);
            }
        }
        let mut last: Vec<Job> = Vec::new();
        let until = Instant::now() + Duration::from_secs(20);
        while last.len() < 2 && Instant::now() < until {
            last.append(&mut client.fetch(&[&queues[3]], WAIT).await.expect("fetch"));
        }
        last.sort_by_key(|job| job.payload.clone());
        assert_eq!((last.len(), last[0].id, &last[0].payload[..]), (2, after, &b"after"[..]));
        let called = json(&last[1]);
        assert_eq!(called["merge"], true);
        assert_eq!(called["batch"]["id"], batch.to_string());
        let counts = (&called["batch"]["succeeded"], &called["batch"]["failed"]);
        assert_eq!(counts, (&2.into(), &0.into()));
        let view = client.batch(batch).await.expect("look up").expect("kept");
        assert_eq!((view.total, view.succeeded, view.called_back), (Some(2), 2, true));
        let nothing = FetchOptions { wait_ms: 0, ..WAIT };
        for queue in &queues {
            assert_eq!(client.fetch(&[queue.as_str()], nothing).await.expect("fetch"), []);
        }
    });
}

#[test]
fn a_worker_ends_its_chain_and_a_failed_step_has_its_handler() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (data, address) = (folder.path().join("data"), free_address(4));
    let _server = serve(&data, address);
    runtime().block_on(async {
        let client = Client::connect(address.to_string()).await.expect("connect");
        let chain = |first: &'static str| {
            NewJob::new(first, b"")
                .attempts(1)
                .then(NewJob::new("never", b""))
                .on_exit(NewJob::new("exit", b""))
                .on_failure(NewJob::new("failure", b""))
        };
        for made in client.enqueue_tied(&[chain("leaves"), chain("fails")]).await {
            made.expect("enqueue");
        }
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let worker = Worker::builder(&client)
            .queue("leaves", |job| async move {
                job.end_chain();
                Ok::<_, JobError>(b"\"early\"".to_vec())
            })
            .queue("fails", |_| async { Err::<Vec<u8>, _>(JobError::retry("broken")) });
        let worker = tokio::spawn(worker.run_until(async {
            let _ = stopped.await;
        }));
        let exit = json(&fetch_only(&client, "exit").await);
        assert_eq!(exit["previous_result"], "early");
        let failure = json(&fetch_only(&client, "failure").await);
        assert_eq!((&failure["failed_step"], &failure["error"]), (&0.into(), &"broken".into()));
        let nothing = FetchOptions { wait_ms: 0, ..WAIT };
        assert_eq!(client.fetch(&["never"], nothing).await.expect("fetch"), []);
        stop.send(()).expect("it runs");
        worker.await.expect("ends").expect("works");
    });
}

#[test]
fn a_batch_of_chains_on_the_command_line() {
    let folder = tempfile::tempdir().expect("make a folder");
    let server = serve(&folder.path().join("data"), free_address(4));
    let addr = &*server.addr();
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let one = |args: &[&str]| cli::json(addr, args).remove(0);
    let batch = text(&one(&["batch", "open", "--callback", r#"merged={"sum":0}"#])["batch"]);
    let chain = ["enqueue", "first", "x", "--batch", &batch, "--next", r#"second={"own":1}"#];
    let first = text(&one(&chain)["job"]);
    let waits = text(&one(&["enqueue", "last", "x", "--after", &first])["job"]);
    let seen = one(&["inspect", &waits]);
    assert_eq!((&seen["state"], &seen["waits_for"]), (&"scheduled".into(), &1.into()));
    assert_eq!(one(&["inspect", &first])["batch"], *batch);
    one(&["batch", "seal", &batch, "1"]);
    let job = text(&one(&["fetch", "first"])["job"]);
    one(&["ack", &job, "--result", r#"{"n":7}"#]);
    let second = one(&["fetch", "second", "--wait-ms", "20000"]);
    let payload: serde_json::Value = serde_json::from_str(&text(&second["payload"])).expect("JSON");
    assert_eq!((&payload["own"], &payload["previous_result"]["n"]), (&1.into(), &7.into()));
    one(&["ack", &text(&second["job"])]);
    one(&["fetch", "merged", "--wait-ms", "20000"]);
    let shown = one(&["batch", "show", &batch]);
    assert_eq!((&shown["succeeded"], &shown["called_back"]), (&1.into(), &true.into()));
    one(&["fetch", "last", "--wait-ms", "20000"]);

    let says = |args: &[&str], code, part: &str| {
        let (found, said) = refused(addr, args);
        assert!(found == Some(code) && said.contains(part), "{args:?}: {found:?} {said}");
    };
    says(&["batch", "seal", &batch, "9"], 5, "sealed already");
    let other = format!("{}f", &batch[..batch.len() - 1]);
    says(&["batch", "show", &other], 4, "no such batch");
    says(&["batch", "show", "batch_00000000000ffc000000000001"], 2, "the server has no shard 1023");
    says(&["batch", "show", "job_1"], 2, "not a batch id");
    says(&["enqueue", "q", "x", "--next", "=1"], 2, "--next");
    says(&["enqueue", "q", "x", "--next", "a=[1]"], 5, "not a JSON object");
    let many = vec!["--after"; 300].into_iter().flat_map(|flag| [flag, &waits]);
    let many: Vec<_> = ["enqueue", "q", "x"].into_iter().chain(many).collect();
    says(&many, 2, "at most 256");
}
