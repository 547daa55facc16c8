//! A node: its data directory, one thread per shard, and their end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jobbie_io::runtime::{self, RuntimeError};
use jobbie_io::{EventNotifier, event_notify};
use jobbie_log::{Durability, LogConfig};
use jobbie_proto::ShardId;
use jobbie_proto::wire;
use jobbie_shard::{ShardConfig, SharedMetrics};
use tracing::info;

use crate::config::ServerConfig;
use crate::data_dir::{DataDir, DataDirError};
use crate::metrics::{MetricsError, MetricsServer};
use crate::post::PostOffice;
use crate::read_model::{self, Projector, ReadModel};
use crate::shard_thread::{self, ShardError, ShardPlan};

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot work.
    #[error("{0}")]
    Config(String),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A port is taken or not ours.
    #[error("listen on {address}: {source}; choose another port with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A shard's thread has no ring.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A shard did not come up.
    #[error(transparent)]
    Shard(Box<ShardError>),
    /// A shard's thread ended without a word.
    #[error("the thread of shard {0} ended while it started")]
    Died(ShardId),
    /// Metrics cannot be served.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

/// A running node. Dropped without [`Server::stop`] its shards end with the process.
pub struct Server {
    addresses: Vec<SocketAddr>,
    threads: Vec<ShardThread>,
    stop: Arc<AtomicBool>,
    metrics: Option<MetricsServer>,
    projector: Option<Projector>,
    // Last, so that the directory is free only when everything has ended.
    data_dir: DataDir,
}

struct ShardThread {
    thread: JoinHandle<()>,
    waker: EventNotifier,
    metrics: SharedMetrics,
}

type Ready = Result<(EventNotifier, SharedMetrics), ShardError>;

impl Server {
    /// Starts every shard and returns when all of them serve.
    ///
    /// # Errors
    /// [`StartError`]; what was started ends again.
    pub fn start(config: &ServerConfig) -> Result<Self, StartError> {
        config.validate().map_err(StartError::Config)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shards_default = u16::try_from(cores).unwrap_or(jobbie_proto::limits::SHARDS_MAX);
        let data_dir = DataDir::open(&config.data_dir, config.shards, shards_default)?;
        let listeners = listen(config.listen, data_dir.shards())?;
        let addresses: Vec<SocketAddr> = listeners.iter().map(|(_, address)| *address).collect();
        let endpoints: Vec<String> = addresses.iter().map(|a| endpoint(config, *a)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let post = PostOffice::new(data_dir.shards());
        let (mut starting, mut feeds) = (Vec::new(), Vec::new());
        for (shard, (listener, _)) in (0..).zip(listeners) {
            let post = post.clone();
            let plan = plan(config, &data_dir, shard, endpoints.clone(), listener, post);
            if config.read_model {
                // Before the shard gives anything up.
                plan.shard.feed.keep_from(0);
                feeds.push(Arc::clone(&plan.shard.feed));
            }
            let core = (cores > 1).then_some(usize::from(shard) % cores);
            starting.push(spawn(plan, core, Arc::clone(&stop))?);
        }
        let mut threads = Vec::new();
        for (shard, (thread, ready)) in (0..).zip(starting) {
            let started = ready.recv().map_err(|_| StartError::Died(ShardId(shard)))?;
            let (waker, metrics) = started.map_err(|error| StartError::Shard(Box::new(error)))?;
            threads.push(ShardThread { thread, waker, metrics });
        }
        let shard_metrics: Vec<_> = threads.iter().map(|it| Arc::clone(&it.metrics)).collect();
        let projector = config.read_model.then(|| {
            Projector::start(read_model::Plan {
                dir: data_dir.read_model_dir(),
                logs: (0..data_dir.shards()).map(|shard| data_dir.shard_dir(shard)).collect(),
                feeds,
                metrics: shard_metrics.clone(),
                shards: threads.iter().map(|thread| thread.waker.clone()).collect(),
                retention_ms: config.settings.retention_ms,
            })
        });
        let projector = projector.transpose()?;
        let metrics = config.metrics.map(|at| MetricsServer::start(at, shard_metrics));
        let metrics = metrics.transpose()?;
        info!(dir = %config.data_dir.display(), shards = threads.len(), "serving");
        Ok(Self { addresses, threads, stop, metrics, projector, data_dir })
    }

    /// Where each shard listens, by shard number.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where metrics are served.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(MetricsServer::address)
    }

    /// The read model, if there is one.
    #[must_use]
    pub fn read_model(&self) -> Option<ReadModel> {
        self.projector.as_ref().map(Projector::model)
    }

    /// Random name of the data directory.
    #[must_use]
    pub fn store(&self) -> u128 {
        self.data_dir.store()
    }

    /// Finishes what is under way, tells the clients, closes the logs. Nothing acknowledged is lost
    /// without it either; with it the next start has no tail to check.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        for thread in &self.threads {
            thread.waker.notify();
        }
        for thread in self.threads {
            if thread.thread.join().is_err() {
                tracing::error!("a shard's thread panicked");
            }
        }
        if let Some(projector) = self.projector {
            projector.stop();
        }
        info!("stopped");
    }
}

fn listen(address: SocketAddr, shards: u16) -> Result<Vec<(TcpListener, SocketAddr)>, StartError> {
    (0..shards)
        .map(|shard| {
            let mut address = address;
            if address.port() != 0 {
                let port = address.port().checked_add(shard).ok_or_else(|| {
                    StartError::Config(format!("--listen {address}: {shards} ports do not fit"))
                })?;
                address.set_port(port);
            }
            let failed = |source| StartError::Listen { address, source };
            let listener = bind(address).map_err(failed)?;
            let bound = listener.local_addr().map_err(failed)?;
            Ok((listener, bound))
        })
        .collect()
}

/// The kernel takes a moment to close the sockets of a server that was killed.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let begun = Instant::now();
    loop {
        match TcpListener::bind(address) {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < BIND_TIME =>
            {
                std::thread::sleep(BIND_PAUSE);
            }
            bound => return bound,
        }
    }
}

fn endpoint(config: &ServerConfig, address: SocketAddr) -> String {
    match &config.advertise {
        Some(host) => format!("{host}:{}", address.port()),
        None => address.to_string(),
    }
}

fn plan(
    config: &ServerConfig,
    data_dir: &DataDir,
    shard: u16,
    endpoints: Vec<String>,
    listener: TcpListener,
    post: PostOffice,
) -> ShardPlan {
    let durability = match config.durability {
        Durability::Fsync => wire::Durability::Fsync,
        Durability::Interval(ms) => wire::Durability::IntervalMs(ms),
        Durability::None => wire::Durability::None,
    };
    ShardPlan {
        dir: data_dir.shard_dir(shard),
        identity: data_dir.identity(shard),
        log: LogConfig {
            segment_bytes: config.segment_bytes,
            durability: config.durability,
            tail_bytes_max: TAIL_BYTES_MAX,
            ..LogConfig::default()
        },
        shard: ShardConfig {
            shard: ShardId(shard),
            shards: data_dir.shards(),
            node: data_dir.node(),
            endpoints,
            token: config.token.clone().into_bytes(),
            durability,
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            store: data_dir.store(),
            snapshot_log_bytes: config.snapshot_log_bytes,
            history_bytes: config.history_bytes / u64::from(data_dir.shards()),
            operation_jobs_per_entry: jobbie_shard::limits::OPERATION_JOBS_PER_ENTRY,
            settings: config.settings,
            feed: Arc::default(),
        },
        listener,
        post,
    }
}

/// How long a port may be taken before that is an error.
const BIND_TIME: Duration = Duration::from_secs(2);
const BIND_PAUSE: Duration = Duration::from_millis(50);

/// Bytes of the newest entries that a shard keeps in memory.
const TAIL_BYTES_MAX: usize = 8 << 20;

type Starting = (JoinHandle<()>, mpsc::Receiver<Ready>);

fn spawn(
    plan: ShardPlan,
    core: Option<usize>,
    stop: Arc<AtomicBool>,
) -> Result<Starting, RuntimeError> {
    let (ready, starting) = mpsc::sync_channel::<Ready>(1);
    let name = format!("shard-{}", plan.shard.shard);
    let thread = runtime::spawn_thread(name, core, move || async move {
        let started = async {
            let (notifier, waiter) = event_notify().map_err(ShardError::Listen)?;
            let letters = (plan.post.clone(), plan.shard.shard);
            let feed = Arc::clone(&plan.shard.feed);
            let (shard, listener) = Box::pin(shard_thread::start(plan)).await?;
            letters.0.register(letters.1, notifier.clone());
            Ok((shard, listener, notifier, waiter, letters, feed))
        };
        // A shard's whole state passes through it.
        match Box::pin(started).await {
            Ok((shard, listener, notifier, waiter, letters, feed)) => {
                // Nobody waits when another shard failed to start: then this one ends with the process.
                ready.send(Ok((notifier, shard.metrics()))).ok();
                shard_thread::serve(shard, listener, &stop, waiter, letters, feed).await;
            }
            Err(error) => {
                ready.send(Err(error)).ok();
            }
        }
    })?;
    Ok((thread, starting))
}
