//! One shard on its thread: log, state, group, listener.

use std::io;
use std::net::TcpListener as StdListener;
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use jobbie_io::{EventWaiter, UringDisk, runtime};
use jobbie_log::{Create, Identity, Log, LogConfig, OpenError, Opened};
use jobbie_proto::Code;
use jobbie_proto::ShardId;
use jobbie_proto::limits::{FRAME_BYTES_MAX, HELLO_BYTES_MAX};
use jobbie_proto::wire::FrameError;
use jobbie_raft::MonoioRuntime;
use jobbie_shard::{Connection, Feed, ShardConfig, StartError};
use monoio::io::{OwnedReadHalf, Splitable};
use monoio::net::{TcpListener, TcpStream};
use monoio::time::timeout;
use tracing::{debug, warn};

use crate::clock::MachineClock;
use crate::post::PostOffice;
use crate::stream::{FrameStream, ReadError, write_all};

pub(crate) type Shard = jobbie_shard::Shard<MonoioRuntime, UringDisk, MachineClock>;

/// Connections of one shard.
pub(crate) const CONNECTIONS_MAX: u64 = 65_536;
/// How long a connection may take to show who it is.
const HELLO_TIME: Duration = Duration::from_secs(10);
/// How long clients have to take their last answers when the server stops.
const PARTING_TIME: Duration = Duration::from_millis(200);
/// How long a connection that is over is still read, so that the client can take its last frame.
const LINGER_TIME: Duration = Duration::from_secs(1);
/// Rest after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a shard's thread is given.
pub(crate) struct ShardPlan {
    pub(crate) dir: PathBuf,
    pub(crate) identity: Identity,
    pub(crate) log: LogConfig,
    pub(crate) shard: ShardConfig,
    pub(crate) listener: StdListener,
    pub(crate) post: PostOffice,
}

/// Why a shard's thread did not come up.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// Its directory cannot be used.
    #[error("open {path}: {source}")]
    Dir {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its log does not open.
    #[error("open the log in {path}: {}", with_sources(source))]
    Log {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// The shard does not start on its log.
    #[error("shard in {path}: {source}")]
    Start {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: StartError,
    },
    /// Its port cannot be used.
    #[error("listen: {0}")]
    Listen(io::Error),
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

/// Opens the log, recovers the shard and begins to serve.
pub(crate) async fn start(plan: ShardPlan) -> Result<(Shard, TcpListener), ShardError> {
    let path = plan.dir;
    let disk =
        UringDisk::open(&path).map_err(|source| ShardError::Dir { path: path.clone(), source })?;
    let opened = Log::open(disk, plan.log, plan.identity, Create::IfMissing).await;
    let Opened { log, driver, report } =
        opened.map_err(|source| ShardError::Log { path: path.clone(), source })?;
    if let Some(torn) = &report.torn {
        warn!(shard = %plan.shard.shard, ?torn, "torn tail cut; nothing in it was acknowledged");
    }
    if let Some(damage) = &report.superblock {
        warn!(shard = %plan.shard.shard, %damage, "written again from the other copy");
    }
    runtime::spawn(driver);
    let post = Rc::new(plan.post);
    let shard = Shard::start(plan.shard, MachineClock::new(), log, post).await;
    let shard = shard.map_err(|source| ShardError::Start { path, source })?;
    plan.listener.set_nonblocking(true).map_err(ShardError::Listen)?;
    let listener = TcpListener::from_std(plan.listener).map_err(ShardError::Listen)?;
    Ok((shard, listener))
}

/// Serves until `stop`, then ends the shard in order.
pub(crate) async fn serve(
    shard: Shard,
    listener: TcpListener,
    stop: &AtomicBool,
    waker: EventWaiter,
    letters: (PostOffice, ShardId),
    feed: Arc<Feed>,
) {
    runtime::spawn(accept(shard.clone(), listener));
    let (office, id) = letters;
    let stops = || stop.load(Ordering::Acquire);
    while !stops() {
        office.fetch(id).into_iter().for_each(|letter| shard.receive(letter));
        shard.answer_follower();
        let called = || stops() || office.has_letters(id) || feed.is_calling();
        if let Err(error) = waker.wait(called).await {
            warn!(%error, "wait for letters and for the order to stop");
            break;
        }
    }
    shard.shutdown().await;
    runtime::sleep(PARTING_TIME).await;
}

async fn accept(shard: Shard, listener: TcpListener) {
    let metrics = shard.metrics();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                debug!(%peer, "connected");
                let full = metrics.connections.get() >= CONNECTIONS_MAX;
                runtime::spawn(serve_connection(shard.clone(), stream, full));
            }
            Err(error) => {
                // Out of descriptors, most likely: those who are connected go on.
                warn!(%error, "accept a connection");
                runtime::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(shard: Shard, stream: TcpStream, full: bool) {
    // Batches are whole frames: waiting for more would only delay them.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let (reader, writer) = stream.into_split();
    let connection = shard.connect();
    let outbox = Rc::clone(&connection.outbox);
    runtime::spawn(async move {
        // An error is the client's going, which the reader sees as well.
        write_all(writer, &outbox).await.ok();
        outbox.close();
    });
    if full {
        let message = format!("this shard serves {CONNECTIONS_MAX} connections: close some");
        shard.refuse(&connection, Code::TooManyConnections, &message);
    }
    let mut frames = FrameStream::new(reader);
    let ended = read(&shard, &connection, &mut frames).await;
    debug!(ended, "disconnected");
    shard.disconnect(&connection);
    // Closing a socket with unread bytes would take the last frame from the client again.
    timeout(LINGER_TIME, frames.drain()).await.ok();
}

/// Reads until the connection is over, and says why it is.
async fn read(
    shard: &Shard,
    connection: &Rc<Connection>,
    frames: &mut FrameStream<OwnedReadHalf<TcpStream>>,
) -> &'static str {
    let bytes_max = || if connection.is_greeted() { FRAME_BYTES_MAX } else { HELLO_BYTES_MAX };
    loop {
        let next = frames.read(bytes_max, |frame| shard.submit(connection, frame));
        let next = async {
            match connection.is_greeted() {
                true => Ok(next.await),
                false => timeout(HELLO_TIME, next).await,
            }
        };
        match select(pin!(next), pin!(connection.outbox.closed())).await {
            Either::Left((Ok(Ok(())), _)) => connection.room().await,
            Either::Left((Ok(Err(ReadError::Closed)), _)) => return "closed by the client",
            Either::Left((Ok(Err(ReadError::Frame(error))), _)) => {
                shard.refuse(connection, code_of(&error), &error.to_string());
                return "no frame";
            }
            Either::Left((Err(_), _)) if connection.is_greeted() => {}
            Either::Left((Err(_), _)) => {
                let message = "no hello came within 10 seconds";
                shard.refuse(connection, Code::BadHandshake, message);
                return "no hello";
            }
            Either::Right(_) => return "closed by the server",
        }
    }
}

fn code_of(error: &FrameError) -> Code {
    match error {
        FrameError::TooLarge { .. } => Code::FrameTooLarge,
        _ => Code::BadFrame,
    }
}
