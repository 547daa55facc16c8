//! Running handlers for queues.

mod context;
mod held;
mod shard;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jobbie_proto::ShardId;
use jobbie_proto::limits::{FETCH_QUEUES_MAX, LEASE_MS_DEFAULT};
use tokio::sync::watch;

pub use context::{JobContext, JobError};

use crate::{Client, Config, Error};

/// What a handler returns: the result of the job, or why it failed.
pub(crate) type Handled = Result<Vec<u8>, JobError>;
/// A handler, whatever its type was.
pub(crate) type Handler =
    Arc<dyn Fn(JobContext) -> Pin<Box<dyn Future<Output = Handled> + Send>> + Send + Sync>;

/// Runs handlers for the jobs of queues until it is told to stop.
///
/// ```no_run
/// use jobbie_client::{Client, JobContext, JobError, Worker};
///
/// # async fn example() -> Result<(), jobbie_client::Error> {
/// let client = Client::connect("127.0.0.1:7400").await?;
/// let report = Worker::builder(&client)
///     .queue("mail", async |job: JobContext| {
///         println!("attempt {} of {}", job.attempt(), job.id());
///         Ok::<_, JobError>(job.payload().to_vec())
///     })
///     .concurrency(16)
///     .run()
///     .await?;
/// println!("{} done", report.completed);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Worker;

impl Worker {
    /// A worker without queues.
    #[must_use]
    pub fn builder(client: &Client) -> WorkerBuilder {
        WorkerBuilder {
            client: client.clone(),
            queues: Vec::new(),
            settings: Settings {
                concurrency: 10,
                prefetch: 0,
                lease_ms: LEASE_MS_DEFAULT,
                grace_ms: 30_000,
            },
            name: None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) concurrency: u32,
    pub(crate) prefetch: u32,
    pub(crate) lease_ms: u32,
    pub(crate) grace_ms: u64,
}

/// What a worker did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Jobs acked.
    pub completed: u64,
    /// Jobs failed, panics included.
    pub failed: u64,
    /// Jobs given back unworked.
    pub released: u64,
    /// Jobs whose lease ended under the worker: cancelled, deleted or expired.
    pub lost: u64,
}

impl Report {
    fn add(&mut self, other: Report) {
        self.completed += other.completed;
        self.failed += other.failed;
        self.released += other.released;
        self.lost += other.lost;
    }
}

/// When to stop, and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    No,
    /// Take nothing new and finish what runs within the grace.
    Drain,
    /// Give everything back.
    Now,
}

/// Puts a [`Worker`] together.
pub struct WorkerBuilder {
    client: Client,
    queues: Vec<(String, Handler)>,
    settings: Settings,
    name: Option<String>,
}

impl std::fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let queues: Vec<_> = self.queues.iter().map(|q| &q.0).collect();
        f.debug_struct("WorkerBuilder")
            .field("queues", &queues)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl WorkerBuilder {
    /// Runs `handler` for every job of `queue`. Queues named earlier are served first. A panic in the handler fails the
    /// job; what it returns as `Ok` is the job's result.
    #[must_use]
    pub fn queue<F, R>(mut self, queue: impl Into<String>, handler: F) -> Self
    where
        F: Fn(JobContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Vec<u8>, JobError>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |context| Box::pin(handler(context)));
        self.queues.push((queue.into(), handler));
        self
    }

    /// Jobs worked on at a time, 10 by default. When the queues are on several shards, each shard gets an equal part
    /// of it, at least one.
    #[must_use]
    pub fn concurrency(mut self, jobs: u32) -> Self {
        self.settings.concurrency = jobs.max(1);
        self
    }

    /// Further jobs held ready, 0 by default. More hides the way to the server for short jobs; but other workers cannot
    /// have them meanwhile.
    #[must_use]
    pub fn prefetch(mut self, jobs: u32) -> Self {
        self.settings.prefetch = jobs;
        self
    }

    /// How long a job stays leased if this process dies, in milliseconds; 60,000 by default. Leases of running jobs
    /// are extended at a third of it.
    #[must_use]
    pub fn lease_ms(mut self, ms: u32) -> Self {
        self.settings.lease_ms = ms;
        self
    }

    /// How long running jobs may take to finish once the worker stops, in milliseconds; 30,000 by default. What is
    /// not finished by then is aborted and given back, its attempt not counted.
    #[must_use]
    pub fn grace_ms(mut self, ms: u64) -> Self {
        self.settings.grace_ms = ms;
        self
    }

    /// Name of the worker, shown to operators; the client's by default.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Runs until SIGTERM or ctrl-c, then drains; a second signal gives everything back at once.
    ///
    /// # Errors
    /// When the configuration cannot be right or a server refuses the worker for good.
    pub async fn run(self) -> Result<Report, Error> {
        let (stop, stopped) = watch::channel(Stop::No);
        let signals = async {
            signal().await;
            tracing::info!("stopping: running jobs have their grace");
            // Nobody listens only when the worker has ended already.
            let _ = stop.send(Stop::Drain);
            signal().await;
            let _ = stop.send(Stop::Now);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            report = self.run_shards(stopped) => report,
            () = signals => unreachable!("waits for ever"),
        }
    }

    /// Runs until `stop` is done, then drains.
    ///
    /// # Errors
    /// As [`WorkerBuilder::run`].
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<Report, Error> {
        let (sender, stopped) = watch::channel(Stop::No);
        let stopping = async {
            stop.await;
            // Nobody listens only when the worker has ended already.
            let _ = sender.send(Stop::Drain);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            report = self.run_shards(stopped) => report,
            () = stopping => unreachable!("waits for ever"),
        }
    }

    async fn run_shards(self, stop: watch::Receiver<Stop>) -> Result<Report, Error> {
        if self.queues.is_empty() {
            return Err(Error::Invalid("a worker needs a queue: call queue(name, handler)".into()));
        }
        let mut by_shard: Vec<(ShardId, Vec<(String, Handler)>)> = Vec::new();
        for (queue, handler) in self.queues {
            let shard = self.client.topology().shard_of(&queue);
            match by_shard.iter_mut().find(|(of, _)| *of == shard) {
                Some((_, list)) => list.push((queue, handler)),
                None => by_shard.push((shard, vec![(queue, handler)])),
            }
        }
        if by_shard.iter().any(|(_, queues)| queues.len() > FETCH_QUEUES_MAX) {
            let text = format!("at most {FETCH_QUEUES_MAX} queues of one shard for one worker");
            return Err(Error::Invalid(text));
        }
        let shards = by_shard.len() as u32;
        let part = |of: u32| of.div_ceil(shards);
        let settings = Settings {
            concurrency: part(self.settings.concurrency),
            prefetch: part(self.settings.prefetch),
            ..self.settings
        };
        let name = self.name.unwrap_or_else(|| self.client.config().name.clone());
        let config = Arc::new(Config { name, ..Config::clone(self.client.config()) });
        config.validate()?;
        let mut tasks = tokio::task::JoinSet::new();
        for (shard, queues) in by_shard {
            let address = self.client.topology().address(shard).map(str::to_owned);
            let place = shard::Place { shard, address, config: config.clone() };
            tasks.spawn(shard::run(place, queues, settings, stop.clone()));
        }
        let mut report = Report::default();
        while let Some(done) = tasks.join_next().await {
            report.add(done.expect("a shard's task does not panic")?);
        }
        Ok(report)
    }
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        // Without a handler, ctrl-c is all there is.
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Time for the last answers once nothing runs any more.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(5);
