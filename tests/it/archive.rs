//! Completed jobs on the real server: revived by the Rust client with what is kept of them, over a kill.

use std::time::Duration;

use jobbie_client::{
    AgentLimits, ArchivedJob, Client, Code, Error, FetchOptions, JobId, JobState, NewJob,
    RevivedAgent,
};
use jobbie_tests::server::free_address;

use crate::four_shards::{WAIT, fetch_one, queues, runtime, serve};

async fn completed(client: &Client, job: &NewJob<'_>, queue: &str) -> JobId {
    let id = client.enqueue(job).await.expect("enqueue").id;
    let leased = fetch_one(client, queue).await;
    assert_eq!(leased.id, id);
    client.ack(leased.lease(), b"done").await.expect("ack");
    assert!(client.job(id).await.expect("look up").is_none());
    id
}

fn code(result: Result<(), Error>) -> Code {
    match result.expect_err("it is refused") {
        Error::Job { code, .. } | Error::Refused { code, .. } => code,
        other => panic!("another error: {other:?}"),
    }
}

#[test]
fn a_completed_job_comes_back_with_all_it_was_and_survives_a_kill() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (data, address) = (folder.path().join("data"), free_address(4));
    let mut server = serve(&data, address);
    runtime().block_on(async {
        let client = Client::connect(address.to_string()).await.expect("connect");
        let queues = queues(&client);
        let (queue, elsewhere) = (&*queues[0], &*queues[1]);
        let unique = NewJob::new(queue, b"to: ann")
            .tags(b"{\"a\":1}")
            .unique(b"u", Duration::from_secs(600))
            .limit_key("ann")
            .priority(1);
        let (parent, id) = {
            let parent = completed(&client, &NewJob::new(queue, b""), queue).await;
            (parent, completed(&client, &unique, queue).await)
        };
        let limits = AgentLimits { max_iterations: 5, ..AgentLimits::default() };
        let content = ArchivedJob::new(&unique)
            .checkpoint(b"page 2")
            .progress(b"50%")
            .parent(parent)
            .cost_micros(1_500)
            .agent(RevivedAgent { iteration: 3, limits });
        client.revive(id, &content).await.expect("revive");
        assert_eq!(code(client.revive(id, &content).await), Code::IllegalState);
        assert!(client.enqueue(&unique).await.expect("enqueue").duplicate, "its key is its own");
        server.kill();
        let _again = serve(&data, address);
        let info = client.job(id).await.expect("look up").expect("it is back");
        assert_eq!((info.state, info.attempt, info.priority), (JobState::Pending, 0, 1));
        assert_eq!((&info.payload[..], &info.tags[..]), (&b"to: ann"[..], &b"{\"a\":1}"[..]));
        assert_eq!((&info.checkpoint[..], &info.progress[..]), (&b"page 2"[..], &b"50%"[..]));
        assert_eq!((&*info.limit_key, info.cost_micros), ("ann", 1_500));
        assert_eq!(info.parent, Some(parent));
        let agent = info.agent.expect("it is an agent job");
        assert_eq!((agent.iteration, agent.limits), (3, limits));
        let leased = fetch_one(&client, queue).await;
        assert_eq!((leased.id, leased.attempt), (id, 1));
        assert_eq!(
            (&leased.payload[..], &leased.checkpoint[..]),
            (&b"to: ann"[..], &b"page 2"[..])
        );
        client.ack(leased.lease(), b"done").await.expect("ack");
        // It goes to other shards as any job does.
        client.revive(id, &content).await.expect("revive");
        client.move_job(id, elsewhere).await.expect("move");
        let there = fetch_one(&client, elsewhere).await;
        assert_eq!((&there.payload[..], &there.tags[..]), (&b"to: ann"[..], &b"{\"a\":1}"[..]));
        assert_eq!(&there.checkpoint[..], b"page 2");
        assert_eq!(there.agent.map(|agent| agent.iteration), Some(3));
        assert_eq!(code(client.revive(id, &content).await), Code::Moved);
        client.delete(there.id).await.expect("delete");
        let id = completed(&client, &NewJob::new(queue, b""), queue).await;
        // Another has its key meanwhile.
        let other = client.enqueue(&unique).await.expect("enqueue").id;
        assert_eq!(code(client.revive(id, &content).await), Code::Duplicate);
        client.delete(other).await.expect("delete");
        client.move_archived(id, queue).await.expect("move");
        assert_eq!(code(client.move_archived(id, elsewhere).await), Code::Unsupported);
        let there = ArchivedJob::new(&NewJob::new(elsewhere, b""));
        assert_eq!(code(client.revive(id, &there).await), Code::WrongShard);
        client.delete_archived(id).await.expect("delete");
        assert_eq!(code(client.revive(other, &content).await), Code::NotFound);
    });
}

/// Whoever waits for jobs of its queue gets a revived one at once.
#[test]
fn a_waiting_fetch_gets_a_revived_job() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (data, address) = (folder.path().join("data"), free_address(4));
    let _server = serve(&data, address);
    runtime().block_on(async {
        let client = Client::connect(address.to_string()).await.expect("connect");
        let job = NewJob::new("q", b"again");
        let id = completed(&client, &job, "q").await;
        let waiting = {
            let client = client.clone();
            let wait = FetchOptions { wait_ms: 60_000, ..WAIT };
            tokio::spawn(async move { client.fetch(&["q"], wait).await.expect("fetch") })
        };
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.revive(id, &ArchivedJob::new(&job)).await.expect("revive");
        let jobs = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        let jobs = jobs.expect("it was stirred").expect("a task");
        assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [id]);
    });
}
