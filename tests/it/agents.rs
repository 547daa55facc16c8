//! Agent jobs on the real server: by the command line, by the Rust client and by its worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jobbie_client::{
    AgentLimits, Amounts, Client, Code, Error, JobContext, JobError, JobState, NewJob, Usage,
    Worker,
};
use jobbie_tests::cli::{done, json, refused};
use jobbie_tests::server::{Server, free_address};
use serde_json::Value;

fn start() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().expect("make a folder");
    let server = Server::start(&folder.path().join("data"), free_address(1), &["--shards", "1"]);
    (folder, server)
}

fn enqueue(at: &str, flags: &[&str]) -> String {
    let made = json(at, &[&["enqueue", "q", r#"{"goal":"x"}"#][..], flags].concat()).remove(0);
    made["job"].as_str().expect("an id").to_owned()
}

fn fetch(at: &str) -> Value {
    json(at, &["fetch", "q"]).remove(0)
}

fn ack(at: &str, job: &str, flags: &[&str]) -> String {
    let row = json(at, &[&["ack", job][..], flags].concat()).remove(0);
    row["state"].as_str().expect("a state").to_owned()
}

fn inspect(at: &str, job: &str) -> Value {
    json(at, &["inspect", job]).remove(0)
}

#[test]
fn an_agent_job_goes_on_over_kill_9_until_its_limits_hold_it_and_is_replayed() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (data_dir, addr) = (folder.path().join("data"), free_address(1));
    let server = Server::start(&data_dir, addr, &["--shards", "1"]);
    let at = server.addr();
    let limits = ["--agent-max-iterations", "2", "--agent-iteration-timeout", "10m", "--tags", "t"];
    let job = enqueue(&at, &limits);
    assert_eq!(fetch(&at)["iteration"], 1);
    let first = ["--agent-status", "continue", "--checkpoint", r#"{"page":1}"#, "--result", "r1"];
    assert_eq!(ack(&at, &job, &[&first[..], &["--cost-usd", "0.01"]].concat()), "pending");
    server.kill();
    let server = Server::start(&data_dir, addr, &[]);
    let second = fetch(&at);
    assert_eq!((&second["iteration"], &second["attempt"]), (&2.into(), &1.into()));
    assert_eq!(second["checkpoint"], r#"{"page":1}"#);
    assert_eq!(ack(&at, &job, &["--agent-status", "continue"]), "held");
    let held = inspect(&at, &job);
    assert_eq!((&held["state"], &held["cost_usd"]), (&"held".into(), &"0.010000".into()));
    assert_eq!(held["hold_reason"], "max_iterations exceeded (2)");
    let agent = &held["agent"];
    assert_eq!((&agent["iteration"], &agent["iteration_timeout_ms"]), (&3.into(), &600_000.into()));

    let iterations = json(&at, &["iterations", &job]);
    let told: Vec<_> = iterations.iter().map(|i| (&i["iteration"], &i["status"])).collect();
    assert_eq!(told, [(&2.into(), &"hold".into()), (&1.into(), &"continue".into())]);
    assert_eq!(
        (&iterations[1]["result"], &iterations[1]["cost_usd"]),
        (&"r1".into(), &"0.010000".into())
    );
    // The second left its checkpoint as it was.
    assert_eq!(iterations[0]["checkpoint"], r#"{"page":1}"#);
    assert_eq!(json(&at, &["iterations", &job, "--count", "1"]).len(), 1);

    // One more iteration for each approval.
    done(&at, &["approve", &job]);
    assert_eq!(fetch(&at)["iteration"], 3);
    assert_eq!(ack(&at, &job, &["--agent-status", "continue", "--hold-reason", "look"]), "held");
    assert_eq!(inspect(&at, &job)["hold_reason"], "look");

    let (exit, message) = refused(&at, &["replay", &job, "--from", "7"]);
    assert_eq!(exit, Some(5), "{message}");
    assert!(message.contains("has ended iterations 1 to 3"), "{message}");
    let again =
        json(&at, &["replay", &job, "--from", "1", "--set", "goal=y", "--set", "n=2"]).remove(0);
    let again = again["job"].as_str().expect("an id").to_owned();
    let made = inspect(&at, &again);
    assert_eq!((&made["state"], &made["cost_usd"]), (&"pending".into(), &Value::Null));
    assert_eq!((&made["payload"], &made["tags"]), (&r#"{"goal":"y","n":2}"#.into(), &"t".into()));
    assert_eq!(made["parent"], *job);
    let children = json(&at, &["children", &job]);
    assert_eq!(children.len(), 1);
    assert_eq!((&children[0]["job"], &children[0]["state"]), (&(*again).into(), &"pending".into()));
    assert_eq!(json(&at, &["children", &again]).len(), 0);
    assert_eq!(
        (&made["agent"]["iteration"], &made["agent"]["max_iterations"]),
        (&1.into(), &2.into())
    );
    let leased = fetch(&at);
    assert_eq!(
        (&leased["job"], &leased["checkpoint"]),
        (&(*again).into(), &r#"{"page":1}"#.into())
    );
    assert_eq!(inspect(&at, &job)["state"], "held", "the original stays");
    assert_eq!(ack(&at, &again, &[]), "completed", "without a status it is done");
    assert_eq!(refused(&at, &["replay", &again, "--from", "1"]).0, Some(4), "it has left memory");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn feedback_goes_into_the_checkpoint_of_a_held_agent_job() {
    let (_folder, server) = start();
    let at = server.addr();
    let job = enqueue(&at, &["--agent"]);
    let _ = fetch(&at);
    let hold = ["--agent-status", "hold", "--hold-reason", "ask", "--checkpoint", r#"{"page":1}"#];
    assert_eq!(ack(&at, &job, &hold), "held");
    done(&at, &["reject", &job, "--revise", "not so", "--by", "ann"]);
    assert_eq!(refused(&at, &["reject", &job, "--revise", "twice"]).0, Some(5), "not held");
    let leased = fetch(&at);
    assert_eq!(leased["checkpoint"], r#"{"feedback":["not so"],"page":1}"#);
    assert_eq!(leased["iteration"], 1);
    assert_eq!(ack(&at, &job, &["--agent-status", "hold", "--checkpoint", "plain text"]), "held");
    let (exit, message) = refused(&at, &["reject", &job, "--revise", "so"]);
    assert_eq!(exit, Some(5));
    assert!(message.contains("the checkpoint is no JSON object"), "{message}");
    assert_eq!(inspect(&at, &job)["state"], "held");

    let plain = enqueue(&at, &[]);
    let _ = fetch(&at);
    let (exit, message) = refused(&at, &["ack", &plain, "--agent-status", "continue"]);
    assert_eq!(exit, Some(5));
    assert!(message.contains("no agent job"), "{message}");
    assert_eq!(inspect(&at, &plain)["state"], "active");
    assert_eq!(refused(&at, &["iterations", &plain]).0, Some(5));
}

#[tokio::test(flavor = "current_thread")]
async fn a_worker_runs_an_agent_job_until_it_costs_too_much() {
    let (_folder, server) = start();
    let client = Client::connect(server.addr()).await.expect("connect");
    let limits = AgentLimits { max_cost_micros: 25_000, ..AgentLimits::default() };
    let id = client.enqueue(&NewJob::new("q", b"goal").agent(limits)).await.expect("enqueue").id;
    let runs = Arc::new(AtomicU32::new(0));
    let counter = runs.clone();
    let worker = Worker::builder(&client).queue("q", move |job: JobContext| {
        let runs = counter.clone();
        async move {
            runs.fetch_add(1, Ordering::SeqCst);
            assert_eq!(job.resumed_from().len() as u32 + 1, job.iteration());
            let amounts = Amounts { cost_micros: 10_000, ..Amounts::default() };
            job.report(Usage { amounts, model: "large", provider: "lab" }).await?;
            job.go_on(&vec![b'x'; job.iteration() as usize])?;
            Ok::<_, JobError>(Vec::new())
        }
    });
    let held = async {
        loop {
            let info = client.job(id).await.expect("ask").expect("it is in memory");
            if info.state == JobState::Held {
                return info;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let held = tokio::select! {
        held = tokio::time::timeout(Duration::from_secs(30), held) => held.expect("it is held"),
        ended = worker.run() => panic!("the worker ended: {ended:?}"),
    };
    assert_eq!((runs.load(Ordering::SeqCst), held.cost_micros), (3, 30_000));
    assert_eq!(&held.hold_reason[..], b"max_cost_usd exceeded (0.0300 > 0.0250)");
    let missing = client.replay(id, 9, &[]).await;
    assert!(matches!(missing, Err(Error::Invalid(_))), "{missing:?}");
    let made = client.replay(id, 2, &[]).await.expect("replay").id;
    let info = client.job(made).await.expect("ask").expect("it is in memory");
    assert_eq!((&info.checkpoint[..], info.cost_micros), (&b"xx"[..], 0));
    assert_eq!(info.parent, Some(id));
    let children = client.children(id).await.expect("ask");
    assert_eq!(children.iter().map(|child| child.job).collect::<Vec<_>>(), [made]);
    let plain = client.enqueue(&NewJob::new("r", b"")).await.expect("enqueue").id;
    let refused = client.replay(plain, 1, &[]).await;
    assert!(matches!(refused, Err(Error::Job { code: Code::NotAgent, .. })), "{refused:?}");
}
