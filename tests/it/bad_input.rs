//! Bad input for every command and every call of the Rust client: a precise answer, and nothing changes.

mod agent_calls;
mod calls;
mod commands;
mod rows;

use std::cell::RefCell;

use jobbie_client::{
    AgentLimits, AgentStatus, Client, EventSeq, FetchOptions, IterationEnd, JobId, JobInfo, Micros,
    NewJob, ShardId, ShardStats, UsageGroup,
};
use jobbie_tests::server::{Server, free_address};

/// A server with a job in each of a few states, on one shard.
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) pending: JobId,
    pub(crate) held: JobId,
    pub(crate) dead: JobId,
    pub(crate) planned: JobId,
    /// A plain job that a worker has.
    pub(crate) leased: JobId,
    /// An agent job that was held after its first iteration, with a checkpoint that is no JSON object.
    pub(crate) agent: JobId,
    /// What was not as expected: all of it is told at the end.
    pub(crate) surprises: RefCell<Vec<String>>,
    _folder: tempfile::TempDir,
}

/// Everything that bad input must leave as it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Observed {
    jobs: Vec<Option<JobInfo>>,
    queues: Vec<jobbie_client::QueueStats>,
    schedules: usize,
    operations: usize,
    workers: usize,
    budgets: Vec<jobbie_client::BudgetView>,
    policies: usize,
    usage: Vec<jobbie_client::UsageSum>,
    iterations: usize,
    children: usize,
    last_job: u64,
    leases: u64,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("make a folder");
        let data = folder.path().join("data");
        let server = Server::start(&data, free_address(1), &["--shards", "1"]);
        let client = Client::connect(server.addr()).await.expect("connect");
        let job = || NewJob::new("q", b"x");
        let made = |job: NewJob<'static>| {
            let client = client.clone();
            async move { client.enqueue(&job).await.expect("enqueue").id }
        };
        let (pending, held, dead) = (made(job()).await, made(job()).await, made(job()).await);
        let hold = jobbie_client::Hold::default();
        client.hold(held, hold).await.expect("hold");
        client.hold(dead, hold).await.expect("hold");
        client.reject(dead, "no", "ann").await.expect("reject");
        let kinds = [jobbie_client::Expected {
            name: "paid",
            need: jobbie_client::Need::Required,
            count: 1,
            deadline_ms: 0,
        }];
        let plan = jobbie_client::Plan { deadline_ms: 0, kinds: &kinds };
        let planned = client.enqueue(&job().plan(plan)).await.expect("enqueue").id;
        let every_night = jobbie_client::NewSchedule::new("0 3 * * *", job());
        client.set_schedule("nightly", &every_night).await.expect("set");
        client.enqueue(&job().key(b"taken", std::time::Duration::ZERO)).await.expect("enqueue");
        let [agent, leased] = at_work(&client).await;
        Self {
            server,
            client,
            pending,
            held,
            dead,
            planned,
            leased,
            agent,
            surprises: RefCell::default(),
            _folder: folder,
        }
    }

    pub(crate) async fn stats(&self) -> ShardStats {
        let stats = self.client.stats().await.expect("statistics");
        let shard = stats.into_iter().find(|(shard, _)| *shard == ShardId(0));
        shard.expect("there is one shard").1
    }

    pub(crate) async fn observe(&self) -> Observed {
        let stats = self.stats().await;
        let mut jobs = Vec::new();
        let jobs_of_scene =
            [self.pending, self.held, self.dead, self.planned, self.leased, self.agent];
        for job in jobs_of_scene {
            jobs.push(self.client.job(job).await.expect("a lookup"));
        }
        let (ever, all) = (Micros(0), UsageGroup::All);
        let usage = self.client.usage(ever, ever, all).await.expect("usage");
        let iterations = self.client.iterations(self.agent, EventSeq(0), 100).await;
        Observed {
            jobs,
            budgets: self.client.budgets().await.expect("budgets"),
            policies: self.client.policies().await.expect("policies").len(),
            usage,
            iterations: iterations.expect("iterations").len(),
            children: self.client.children(self.agent).await.expect("children").len(),
            queues: self.client.queues("").await.expect("queues"),
            schedules: self.client.schedules("").await.expect("schedules").len(),
            operations: self.client.operations().await.expect("operations").len(),
            workers: self.client.workers().await.expect("workers").len(),
            last_job: stats.last_job.0,
            leases: stats.leases,
        }
    }

    /// Notes what was not as expected.
    pub(crate) fn expect(&self, fits: bool, surprise: impl FnOnce() -> String) {
        if !fits {
            self.surprises.borrow_mut().push(surprise());
        }
    }

    pub(crate) async fn end(self) {
        let surprises = self.surprises.take();
        assert!(surprises.is_empty(), "{}", surprises.join("\n"));
        self.client.close().await;
        assert_eq!(self.server.stop(), Some(0));
    }
}

/// An agent job that is held after its first iteration, and a plain job that a worker has.
async fn at_work(client: &Client) -> [JobId; 2] {
    let fetch = FetchOptions { lease_ms: 3_600_000, ..FetchOptions::default() };
    let agent = NewJob::new("agents", b"[]").agent(AgentLimits::default());
    let agent = client.enqueue(&agent).await.expect("enqueue").id;
    let jobs = client.fetch(&["agents"], fetch).await.expect("fetch");
    let (status, checkpoint) = (AgentStatus::Hold, &b"plain text"[..]);
    let end = IterationEnd { status, checkpoint, ..IterationEnd::default() };
    client.ack_iteration(jobs[0].lease(), end).await.expect("ack");
    let leased = client.enqueue(&NewJob::new("at work", b"{}")).await.expect("enqueue").id;
    assert_eq!(client.fetch(&["at work"], fetch).await.expect("fetch").len(), 1);
    [agent, leased]
}

/// An id of another server, which has more shards.
pub(crate) const ELSEWHERE: &str = "job_1a222356db3014000000000001";
/// One that this server never gave out.
pub(crate) const UNKNOWN: &str = "job_1a222356db3000000000000001";
