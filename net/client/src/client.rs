//! What programs call.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use jobbie_proto::event::QueueSettings;
use jobbie_proto::reply::{QueueStats, ShardStats};
use jobbie_proto::request::{
    Ack, Fail, Fetch, Heartbeat, JobRef, QueueAction, QueueControl, ReportUsage, Stats, Usage,
};
use jobbie_proto::wire::ANY_SHARD;
use jobbie_proto::{Code, JobId, Micros, Request, ShardId};
use tokio::time::{Instant, sleep};

use crate::link::Link;
use crate::{Answer, Config, Enqueued, Error, Job, NewJob, Topology};

/// Sessions of one shard: 0 for everything that is answered at once, the others for fetches that
/// wait, because an open request keeps the server from forgetting the answers after it.
const LANES_MAX: u8 = 16;
/// A queue's fetch waits this long on one shard before it asks the next, when its queues are on several.
const TURN_MS: u64 = 250;

/// A client of one server or cluster. Cloning it is cheap, and clones share their connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    config: Arc<Config>,
    topology: Arc<Topology>,
    links: RwLock<BTreeMap<(ShardId, u8), Arc<Link>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let links = self.links.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        links.values().for_each(|link| link.stop());
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("addresses", &self.inner.config.addresses).finish()
    }
}

/// What became of a failed job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedJob {
    /// When the next attempt may begin; `None` when the job is dead.
    pub next_attempt: Option<Micros>,
    /// Attempts left.
    pub attempts_left: u32,
}

/// Which jobs a fetch takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchOptions {
    /// At most this many.
    pub count: u32,
    /// How long they are leased, in milliseconds. Longer delays recovery from a dead worker;
    /// shorter runs slow jobs twice.
    pub lease_ms: u32,
    /// How long to wait when there is none, in milliseconds; 0 answers at once.
    pub wait_ms: u32,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self { count: 1, lease_ms: jobbie_proto::limits::LEASE_MS_DEFAULT, wait_ms: 0 }
    }
}

/// What a heartbeat says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beat<'a> {
    /// New lease length from now, in milliseconds; 0 is the length asked for at the fetch.
    pub extend_ms: u32,
    /// Replaces the progress when not empty.
    pub progress: &'a [u8],
    /// Replaces the checkpoint when not empty.
    pub checkpoint: &'a [u8],
    /// What the work used since the last report. A report of nothing is dropped.
    pub usage: Usage<'a>,
}

impl Client {
    /// Connects to any node of a cluster and learns the rest.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), jobbie_client::Error> {
    /// let client = jobbie_client::Client::connect("127.0.0.1:7400").await?;
    /// let job = client.enqueue(&jobbie_client::NewJob::new("mail", b"to: ann")).await?;
    /// println!("{}", job.id);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the configuration cannot be right, no server answers in time, or one refuses this client.
    pub async fn connect(config: impl Into<Config>) -> Result<Self, Error> {
        let config = Arc::new(config.into());
        config.validate()?;
        let first = Link::start(config.clone(), ANY_SHARD, None, None);
        let deadline = deadline(config.deadline_ms);
        let topology = match first.topology(deadline).await {
            Ok(topology) => topology,
            Err(error) => {
                first.stop();
                return Err(error);
            }
        };
        let links = RwLock::new(BTreeMap::from([((first.shard(), 0), first)]));
        Ok(Self { inner: Arc::new(Inner { config, topology, links }) })
    }

    /// Shards and limits of the server.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.inner.topology
    }

    pub(crate) fn config(&self) -> &Arc<Config> {
        &self.inner.config
    }

    /// Says goodbye and waits until it is sent. Leases of fetched jobs go back at once.
    pub async fn close(self) {
        let links: Vec<_> = self.read_links().values().cloned().collect();
        links.iter().for_each(|link| link.stop());
        for link in links {
            link.stopped(Duration::from_secs(2)).await;
        }
    }

    fn read_links(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<(ShardId, u8), Arc<Link>>> {
        self.inner.links.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn link(&self, shard: ShardId, lane: u8) -> Arc<Link> {
        if let Some(link) = self.read_links().get(&(shard, lane)) {
            return link.clone();
        }
        let mut links = self.inner.links.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let start = || {
            let address = self.inner.topology.address(shard).map(str::to_owned);
            Link::start(self.inner.config.clone(), shard, address, None)
        };
        links.entry((shard, lane)).or_insert_with(start).clone()
    }

    /// A session on which a request may stay open for long.
    fn waiting_link(&self, shard: ShardId) -> Arc<Link> {
        let roomy = (1..LANES_MAX).map(|lane| self.link(shard, lane)).find(|l| !l.is_crowded());
        roomy.unwrap_or_else(|| self.link(shard, LANES_MAX))
    }

    /// Sends `request` to `shard` and waits for it to be done, trying again as long as the answer is "not done, later".
    /// For everything the other methods do not offer.
    ///
    /// # Errors
    /// See [`Error`]; the deadline is that of the configuration.
    pub async fn request(
        &self,
        shard: ShardId,
        request: &mut Request<'_>,
    ) -> Result<Answer, Error> {
        // An id of another server may name any.
        let shards = self.inner.topology.shards;
        if shard.0 >= shards {
            return Err(Error::Invalid(format!(
                "the server has no shard {shard}, it has {shards}"
            )));
        }
        let link = self.link(shard, 0);
        done(&link, request, deadline(self.inner.config.deadline_ms)).await
    }

    pub(crate) async fn job_request(
        &self,
        job: JobId,
        request: &mut Request<'_>,
        codes: impl FnOnce(&Answer) -> Option<Code>,
    ) -> Result<Answer, Error> {
        let answer = self.request(job.shard(), request).await?;
        match codes(&answer) {
            Some(Code::Ok) => Ok(answer),
            Some(code) => Err(Error::Job { job, code }),
            None => Err(short_answer()),
        }
    }

    /// Creates a job. When this returns, it survives whatever the server's durability promises.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the idempotency key is taken by another job; otherwise see [`Error`].
    pub async fn enqueue(&self, job: &NewJob<'_>) -> Result<Enqueued, Error> {
        let shard = self.inner.topology.shard_of(job.0.queue);
        let mut request = crate::batch::request([job]);
        let answer = self.request(shard, &mut request).await?;
        crate::batch::outcomes(&answer).into_iter().next().unwrap_or_else(|| Err(short_answer()))
    }

    /// Creates many jobs, in as few requests as the server's limits allow. Each request is done whole or not at all;
    /// the result has one element for each job.
    pub async fn enqueue_many(&self, jobs: &[NewJob<'_>]) -> Vec<Result<Enqueued, Error>> {
        crate::batch::enqueue(self, jobs).await
    }

    /// Leases jobs of `queues`, tried strictly in this order.
    ///
    /// Queues on several shards are asked shard by shard, and a wait takes turns of a quarter of a second among them;
    /// a worker ([`crate::Worker`]) gets its jobs pushed instead.
    ///
    /// # Errors
    /// [`Error::Refused`] with `BUDGET_EXCEEDED` when budgets that reject have no money left for any of the queues; see [`Error`]. After
    /// [`crate::Outcome::Unknown`], jobs leased unseen are offered again when their lease ends.
    pub async fn fetch(&self, queues: &[&str], options: FetchOptions) -> Result<Vec<Job>, Error> {
        self.fetch_as("", queues, options).await
    }

    /// As [`Client::fetch`], for a worker with a name of its own (at most 255 bytes; empty is this program's).
    ///
    /// # Errors
    /// As [`Client::fetch`].
    pub async fn fetch_as(
        &self,
        worker: &str,
        queues: &[&str],
        options: FetchOptions,
    ) -> Result<Vec<Job>, Error> {
        let mut by_shard: Vec<(ShardId, Vec<&str>)> = Vec::new();
        for queue in queues {
            let shard = self.inner.topology.shard_of(queue);
            match by_shard.iter_mut().find(|(of, _)| *of == shard) {
                Some((_, list)) => list.push(queue),
                None => by_shard.push((shard, vec![queue])),
            }
        }
        let wait_ms = u64::from(options.wait_ms);
        let until = deadline(wait_ms);
        let mut jobs = Vec::new();
        let mut wait_ms = if by_shard.len() == 1 { wait_ms } else { 0 };
        loop {
            // Of shards on which no queue has money left.
            let mut refused = Vec::new();
            for (shard, queues) in &by_shard {
                let count = options.count - jobs.len() as u32;
                let fetch = Fetch {
                    queues: queues.clone(),
                    count,
                    lease_ms: options.lease_ms,
                    wait_ms: if jobs.is_empty() { wait_ms as u32 } else { 0 },
                    worker,
                };
                match self.fetch_of(*shard, fetch).await {
                    Ok(mut got) => jobs.append(&mut got),
                    Err(error) if error.is_over_budget() => refused.push(error),
                    Err(error) => return Err(error),
                }
                if jobs.len() as u32 >= options.count {
                    return Ok(jobs);
                }
            }
            if jobs.is_empty()
                && refused.len() == by_shard.len()
                && let Some(error) = refused.pop()
            {
                return Err(error);
            }
            let left = until.saturating_duration_since(Instant::now()).as_millis() as u64;
            if !jobs.is_empty() || left == 0 || by_shard.len() <= 1 {
                return Ok(jobs);
            }
            wait_ms = left.min(TURN_MS);
        }
    }

    async fn fetch_of(&self, shard: ShardId, fetch: Fetch<'_>) -> Result<Vec<Job>, Error> {
        let waits = fetch.wait_ms > 0;
        let link = if waits { self.waiting_link(shard) } else { self.link(shard, 0) };
        let patience = u64::from(fetch.wait_ms) + self.inner.config.deadline_ms;
        let mut request = Request { fetch: Some(fetch), ..Request::default() };
        Ok(done(&link, &mut request, deadline(patience)).await?.jobs)
    }

    /// Finishes a job.
    ///
    /// # Errors
    /// [`Error::Job`] when the lease is over: somebody else has the job, or had.
    pub async fn ack(&self, job: JobRef, result: &[u8]) -> Result<(), Error> {
        self.ack_with(job, result, Usage::default()).await
    }

    /// Finishes a job and says what the work on it used.
    ///
    /// # Errors
    /// [`Error::Job`] when the lease is over: then what was used is not counted either.
    pub async fn ack_with(
        &self,
        job: JobRef,
        result: &[u8],
        usage: Usage<'_>,
    ) -> Result<(), Error> {
        let ack_usages = vec![ReportUsage { of: 0, usage }];
        let acks = vec![Ack { job, result }];
        let mut request = Request { acks, ack_usages, ..Request::default() };
        self.job_request(job.job, &mut request, |a| a.acks.first().copied()).await.map(drop)
    }

    /// Gives up an attempt: the job runs again after its backoff, or is dead when no attempt is left or `retry` is
    /// false.
    ///
    /// # Errors
    /// [`Error::Job`] when the lease is over.
    pub async fn fail(
        &self,
        job: JobRef,
        error: &str,
        backtrace: &str,
        retry: bool,
    ) -> Result<FailedJob, Error> {
        let fail = Fail {
            job,
            error: error.as_bytes(),
            backtrace: backtrace.as_bytes(),
            no_retry: !retry,
        };
        let mut request = Request { fails: vec![fail], ..Request::default() };
        let code = |a: &Answer| a.fails.first().map(|f| f.code);
        let answer = self.job_request(job.job, &mut request, code).await?;
        let failed = answer.fails[0];
        let next_attempt = (failed.next_attempt != Micros(0)).then_some(failed.next_attempt);
        Ok(FailedJob { next_attempt, attempts_left: failed.attempts_left })
    }

    /// Makes a lease longer, and keeps progress or a checkpoint.
    ///
    /// # Errors
    /// [`Error::Job`] when the lease is over: stop working on the job.
    pub async fn heartbeat(&self, job: JobRef, beat: Beat<'_>) -> Result<(), Error> {
        let Beat { extend_ms, progress, checkpoint, usage } = beat;
        let heartbeats = vec![Heartbeat { job, extend_ms, progress, checkpoint }];
        let heartbeat_usages = vec![ReportUsage { of: 0, usage }];
        let mut request = Request { heartbeats, heartbeat_usages, ..Request::default() };
        self.job_request(job.job, &mut request, |a| a.heartbeats.first().copied()).await.map(drop)
    }

    /// Gives a job back unworked; the attempt is not counted.
    ///
    /// # Errors
    /// [`Error::Job`] when the lease is over.
    pub async fn release(&self, job: JobRef) -> Result<(), Error> {
        let mut request = Request { releases: vec![job], ..Request::default() };
        self.job_request(job.job, &mut request, |a| a.releases.first().copied()).await.map(drop)
    }

    /// Calls a job off; a worker that has it is told.
    ///
    /// # Errors
    /// [`Error::Job`] when it is unknown or finished already.
    pub async fn cancel(&self, job: JobId) -> Result<(), Error> {
        let request = |job| Request { cancels: vec![job], ..Request::default() };
        self.follow(job, request, |a| a.cancels.first().copied()).await.map(drop)
    }

    /// Removes a job, whatever its state.
    ///
    /// # Errors
    /// [`Error::Job`] when it is unknown.
    pub async fn delete(&self, job: JobId) -> Result<(), Error> {
        let request = |job| Request { deletes: vec![job], ..Request::default() };
        self.follow(job, request, |a| a.deletes.first().copied()).await.map(drop)
    }

    /// Lets a queue hand out no more jobs.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn pause(&self, queue: &str) -> Result<(), Error> {
        self.control_queue(queue, QueueAction::Pause).await
    }

    /// Lets a paused queue hand out jobs again.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn resume(&self, queue: &str) -> Result<(), Error> {
        self.control_queue(queue, QueueAction::Resume).await
    }

    /// Lets a queue hand out no more jobs, to wait until none of it is active: [`Client::queue`] tells.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn drain(&self, queue: &str) -> Result<(), Error> {
        self.control_queue(queue, QueueAction::Drain).await
    }

    /// Puts limits on a queue, all of them at once. Nothing that runs is interrupted.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn configure(&self, queue: &str, settings: QueueSettings) -> Result<(), Error> {
        self.control_queue(queue, QueueAction::Configure(settings)).await
    }

    /// Gives a limit key of a queue another share, 1 to 1000, for when the queue shares fairly.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn weigh(&self, queue: &str, key: &str, weight: u16) -> Result<(), Error> {
        self.control_queue(queue, QueueAction::Weigh { key, weight }).await
    }

    async fn control_queue(&self, queue: &str, action: QueueAction<'_>) -> Result<(), Error> {
        let queue_controls = vec![QueueControl { queue, action }];
        let mut request = Request { queue_controls, ..Request::default() };
        self.request(self.inner.topology.shard_of(queue), &mut request).await.map(drop)
    }

    /// Counts of one queue.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn queue(&self, queue: &str) -> Result<QueueStats, Error> {
        let mut request = Request { stats: Stats::Queue(queue), ..Request::default() };
        let answer = self.request(self.inner.topology.shard_of(queue), &mut request).await?;
        let none = || QueueStats { queue: queue.to_owned(), ..QueueStats::default() };
        Ok(answer.queue_stats.into_iter().next().unwrap_or_else(none))
    }

    /// Counts of every queue whose name begins with `prefix`, of all shards, by name.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn queues(&self, prefix: &str) -> Result<Vec<QueueStats>, Error> {
        let mut all = Vec::new();
        for shard in 0..self.inner.topology.shards {
            let mut after = String::new();
            loop {
                let stats = Stats::Queues { prefix, after: &after };
                let mut request = Request { stats, ..Request::default() };
                let mut page = self.request(ShardId(shard), &mut request).await?.queue_stats;
                let Some(last) = page.last() else { break };
                after.clone_from(&last.queue);
                all.append(&mut page);
            }
        }
        all.sort_by(|a, b| a.queue.cmp(&b.queue));
        Ok(all)
    }

    /// Counts of every shard.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn stats(&self) -> Result<Vec<(ShardId, ShardStats)>, Error> {
        let mut all = Vec::new();
        for shard in (0..self.inner.topology.shards).map(ShardId) {
            let mut request = Request { stats: Stats::Shard, ..Request::default() };
            let answer = self.request(shard, &mut request).await?;
            all.push((shard, answer.shard_stats.ok_or_else(short_answer)?));
        }
        Ok(all)
    }
}

pub(crate) fn deadline(after_ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(after_ms)
}

pub(crate) fn short_answer() -> Error {
    Error::Refused {
        code: Code::BadFrame,
        message: "the server's answer lacks what was asked for".into(),
    }
}

/// Calls until it is done or the deadline has passed, as long as the answer says that nothing was done and that it may be
/// sent again. A new number each time: the old one has been answered.
pub(crate) async fn done(
    link: &Link,
    request: &mut Request<'_>,
    deadline: Instant,
) -> Result<Answer, Error> {
    let mut failures = 0;
    loop {
        let answer = link.call(request, deadline).await?;
        match answer.code {
            Code::Ok => return Ok(answer),
            Code::Overloaded | Code::NotLeader | Code::ShuttingDown => {}
            code => return Err(Error::Refused { code, message: answer.message }),
        }
        if answer.code == Code::NotLeader && !answer.redirect.is_empty() {
            link.redirect(answer.redirect);
        }
        failures += 1;
        let advised = Duration::from_millis(answer.retry_after_ms.into());
        let pause = link.config.backoff(failures).max(advised);
        if Instant::now() + pause >= deadline {
            return Err(Error::Refused { code: answer.code, message: answer.message });
        }
        sleep(pause).await;
    }
}
