//! The listener, its threads, and their end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use jobbie_client::{Client, Config};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt;

use crate::api;
use crate::app::App;
use crate::config::HttpConfig;
use crate::layers::Peer;
use crate::progress::Progress;
use crate::read_model::ReadModel;

/// Why the HTTP side did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot work.
    #[error("{0}")]
    Config(String),
    /// The port is taken or not ours.
    #[error("listen on {address}: {source}; choose another port")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No node answers.
    #[error("connect to the binary protocol: {0}")]
    Connect(#[from] jobbie_client::Error),
    /// There are no threads to be had.
    #[error("start threads: {0}")]
    Threads(io::Error),
    /// The thread ended without a word.
    #[error("the HTTP thread ended while it started")]
    Died,
}

/// Streams of one HTTP/2 connection at a time.
const HTTP2_STREAMS_MAX: u32 = 2048;
/// How long a client may take to send the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// How long one request to a shard may take, connecting and trying again included, in milliseconds.
const DEADLINE_MS: u64 = 10_000;
/// Requests of one session in flight.
const SESSION_REQUESTS_MAX: usize = 2048;
/// How often buckets of clients that have gone are forgotten.
const FORGET_PERIOD: Duration = Duration::from_secs(600);
/// How long to wait when the system has no sockets left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Threads for questions to the read model.
const THREADS_MAX: usize = 4;

/// The running HTTP side. Dropped without [`HttpServer::stop`] it ends with the process.
pub struct HttpServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Connects to the nodes, listens, and returns when requests are served, on threads of its own.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: HttpConfig, progress: Arc<dyn Progress>) -> Result<Self, StartError> {
        config.validate().map_err(StartError::Config)?;
        let (stop, stopping) = watch::channel(false);
        let (ready, started) = mpsc::sync_channel(1);
        let run = move || run(config, progress, stopping, &ready);
        let thread = std::thread::Builder::new().name("http".to_owned()).spawn(run);
        let thread = thread.map_err(StartError::Threads)?;
        let address = started.recv().map_err(|_| StartError::Died)??;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers fetches that wait, finishes what is under way within the grace, and ends. Jobs that callers have stay leased.
    pub fn stop(mut self) {
        // Without a receiver it has ended already.
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the HTTP thread panicked");
        }
    }
}

type Ready = mpsc::SyncSender<Result<SocketAddr, StartError>>;

fn run(
    config: HttpConfig,
    progress: Arc<dyn Progress>,
    stopping: watch::Receiver<bool>,
    ready: &Ready,
) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if config.threads == 0 { cores.min(THREADS_MAX) } else { config.threads };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(threads).max_blocking_threads(config.limits.queries + 4);
    let runtime = match builder.thread_name("http-worker").enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            // Nobody waits when whoever started this has gone.
            ready.send(Err(StartError::Threads(error))).ok();
            return;
        }
    };
    let grace = Duration::from_millis(config.grace_ms);
    runtime.block_on(async {
        match open(&config).await {
            Ok((listener, client)) => {
                serve(config, listener, client, progress, stopping, ready).await
            }
            Err(error) => {
                ready.send(Err(error)).ok();
            }
        }
    });
    runtime.shutdown_timeout(grace);
}

async fn open(config: &HttpConfig) -> Result<(TcpListener, Client), StartError> {
    let address = config.listen;
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|source| StartError::Listen { address, source })?;
    let mut to = Config::new("");
    to.addresses.clone_from(&config.connect);
    to.token = config.token.clone().into_bytes();
    to.name = "http".to_owned();
    to.deadline_ms = DEADLINE_MS;
    to.requests_max = SESSION_REQUESTS_MAX;
    Ok((listener, Client::connect(to).await?))
}

async fn serve(
    config: HttpConfig,
    listener: TcpListener,
    client: Client,
    progress: Arc<dyn Progress>,
    mut stopping: watch::Receiver<bool>,
    ready: &Ready,
) {
    let address = match listener.local_addr() {
        Ok(address) => address,
        Err(source) => {
            let address = config.listen;
            ready.send(Err(StartError::Listen { address, source })).ok();
            return;
        }
    };
    let read_model = config.read_model.as_deref();
    let queries = config.limits.queries;
    let read_model = read_model.map(|path| ReadModel::new(path, queries, Arc::clone(&progress)));
    let (connections_max, grace) = (config.limits.connections, config.grace_ms);
    // A client that is dropped says goodbye, and jobs would go back that workers are still busy with: this one is not.
    std::mem::forget(client.clone());
    let app = Arc::new(App::new(config, client, read_model, progress, stopping.clone()));
    let router = api::router(&app);
    ready.send(Ok(address)).ok();
    tracing::info!(%address, "serving HTTP");
    tokio::spawn(forget_idle(Arc::clone(&app)));
    let graceful = GracefulShutdown::new();
    let connections = Arc::new(Semaphore::new(connections_max));
    let builder = builder();
    loop {
        let place = Arc::clone(&connections).acquire_owned();
        let accepted = async { (place.await, listener.accept().await) };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = connection(&builder, stream, peer, router.clone());
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(%peer, error, "a connection broke");
            }
        });
    }
    drop(listener);
    let patience = Duration::from_millis(grace);
    if tokio::time::timeout(patience, graceful.shutdown()).await.is_err() {
        tracing::info!("requests under way were cut off");
    }
    tracing::info!("HTTP stopped");
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).max_concurrent_streams(HTTP2_STREAMS_MAX);
    http2.keep_alive_interval(Duration::from_secs(30));
    builder
}

/// One connection, HTTP/1.1 or HTTP/2 as its first bytes say.
fn connection(
    builder: &auto::Builder<TokioExecutor>,
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = auto_error::Error> + Send + 'static
{
    // Answers are small and each is awaited; a socket without it works too.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        let answer = router.clone().oneshot(request);
        async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
    });
    builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned()
}

/// The error of a connection.
mod auto_error {
    pub(super) type Error = Box<dyn std::error::Error + Send + Sync>;
}

async fn forget_idle(app: Arc<App>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(FORGET_PERIOD) => app.limiter.forget_idle(),
            () = app.stopping() => return,
        }
    }
}
