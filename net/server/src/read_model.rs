//! The read model of a node: a thread that follows the logs of all shards, and what others may know of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use jobbie_io::runtime::{self, RuntimeError};
use jobbie_io::{EventNotifier, EventWaiter, UringDisk, event_notify};
use jobbie_projector::pump::{Pump, PumpError, Pumped, Source};
use jobbie_projector::{Options, Projection, Watched};
use jobbie_proto::{Micros, ShardId};
use jobbie_shard::{Feed, SharedMetrics};
use tokio::sync::watch;
use tracing::{error, info, warn};

/// Rest after a small commit, so that what comes meanwhile shares the next one.
const COMMIT_PAUSE: Duration = Duration::from_millis(2);
/// Entries that make a commit no small one.
const COMMIT_ENTRIES: u64 = 1000;
/// Jobs that are taken into the text index at a time, while there is nothing else to do.
const TEXT_JOBS: usize = 1000;
/// How often it is looked at what the logs have given up.
const TRIM_PAUSE: Duration = Duration::from_secs(5);
/// Rest after an error.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked at whether the file is still the one that was opened.
const FILE_PAUSE: Duration = Duration::from_secs(1);
/// How long a new read model waits for clocks at most, so that it is not older than the one before.
const CLOCKS_MAX: Duration = Duration::from_secs(5);
/// How often a read model that is made anew says how far it is.
const REPORT_PAUSE: Duration = Duration::from_secs(5);

/// How far the read model is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Of each shard, the index behind the last entry that readers see.
    pub ends: Vec<u64>,
    /// Of each shard, the number of the last event that they see.
    pub events: Vec<u64>,
    /// The newest log time that they see.
    pub time: Micros,
    /// It is being made anew from the logs; readers see the one before until that is done, if there was one.
    pub rebuilding: bool,
    /// How often the file was replaced: whoever reads it must open it again when this rises.
    pub generation: u64,
    /// Why it does not go on; empty while it does.
    pub failed: String,
}

/// How far the read model is behind the logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Events that it has not taken in.
    pub events: u64,
    /// From the newest time that it has to that of the logs, in milliseconds.
    pub ms: u64,
}

struct Shared {
    stop: AtomicBool,
    rebuild: AtomicBool,
    waker: OnceLock<EventNotifier>,
    position: watch::Sender<Position>,
    seq: watch::Sender<u64>,
}

/// What others may know of the read model, and ask of it. Clones are the same.
#[derive(Clone)]
pub struct ReadModel {
    path: PathBuf,
    shared: Arc<Shared>,
    feeds: Arc<[Arc<Feed>]>,
    metrics: Arc<[SharedMetrics]>,
}

impl ReadModel {
    /// The SQLite file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How far it is, as that changes.
    #[must_use]
    pub fn position(&self) -> watch::Receiver<Position> {
        self.shared.position.subscribe()
    }

    /// The number of the newest public event that readers may see, as that changes.
    #[must_use]
    pub fn seq(&self) -> watch::Receiver<u64> {
        self.shared.seq.subscribe()
    }

    /// How far it is behind.
    #[must_use]
    pub fn lag(&self) -> Lag {
        let position = self.shared.position.borrow();
        let behind = |(nth, metrics): (usize, &SharedMetrics)| {
            let seen = position.events.get(nth).copied().unwrap_or(0);
            metrics.last_event.get().saturating_sub(seen)
        };
        let events = self.metrics.iter().enumerate().map(behind).sum();
        let newest = self.feeds.iter().map(|feed| feed.floor().0).max().unwrap_or(0);
        let ms = if events == 0 { 0 } else { newest.saturating_sub(position.time.0) / 1000 };
        Lag { events, ms }
    }

    /// Waits until readers see all that is committed now, at most `within`. Whether they do.
    pub async fn caught_up(&self, within: Duration) -> bool {
        let wanted: Vec<u64> = self.feeds.iter().map(|feed| feed.committed_end()).collect();
        let sees = |position: &Position| {
            let ends = &position.ends;
            ends.len() == wanted.len()
                && ends.iter().zip(&wanted).all(|(end, wanted)| end >= wanted)
        };
        let mut position = self.shared.position.subscribe();
        matches!(tokio::time::timeout(within, position.wait_for(sees)).await, Ok(Ok(_)))
    }

    /// Has it made anew from the logs, and waits until readers see that. All who ask meanwhile share one.
    ///
    /// # Errors
    /// Why it could not be made; it is tried again then.
    pub async fn rebuilt(&self) -> Result<(), String> {
        let mut position = self.position();
        let before = position.borrow_and_update().generation;
        self.rebuild();
        loop {
            if position.changed().await.is_err() {
                return Err("the projector has ended".to_owned());
            }
            let now = position.borrow_and_update();
            if now.generation > before {
                return Ok(());
            }
            if !now.failed.is_empty() {
                return Err(now.failed.clone());
            }
        }
    }

    /// Has it made anew from the logs, in the background.
    pub fn rebuild(&self) {
        self.shared.rebuild.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.shared.waker.get() {
            waker.notify();
        }
    }
}

/// What the projector's thread is given.
pub(crate) struct Plan {
    /// Where the read model is, in a folder of its own.
    pub(crate) dir: PathBuf,
    /// Directories of the logs, by shard.
    pub(crate) logs: Vec<PathBuf>,
    pub(crate) feeds: Vec<Arc<Feed>>,
    pub(crate) metrics: Vec<SharedMetrics>,
    /// What wakes each shard.
    pub(crate) shards: Vec<EventNotifier>,
    pub(crate) retention_ms: u64,
}

/// The running projector.
pub(crate) struct Projector {
    thread: JoinHandle<()>,
    model: ReadModel,
}

const FILE: &str = "jobs.sqlite";
const UNFINISHED: &str = "unfinished.sqlite";

impl Projector {
    pub(crate) fn start(plan: Plan) -> Result<Self, RuntimeError> {
        let model = ReadModel {
            path: plan.dir.join(FILE),
            shared: Arc::new(Shared {
                stop: AtomicBool::new(false),
                rebuild: AtomicBool::new(false),
                waker: OnceLock::new(),
                position: watch::channel(Position::default()).0,
                seq: watch::channel(0).0,
            }),
            feeds: plan.feeds.iter().cloned().collect(),
            metrics: plan.metrics.iter().cloned().collect(),
        };
        let of_thread = model.clone();
        let thread = runtime::spawn_background_thread("projector".into(), move || async move {
            Worker::new(plan, of_thread).run().await;
        })?;
        Ok(Self { thread, model })
    }

    pub(crate) fn model(&self) -> ReadModel {
        self.model.clone()
    }

    pub(crate) fn stop(self) {
        self.model.shared.stop.store(true, Ordering::SeqCst);
        self.model.wake();
        if self.thread.join().is_err() {
            error!("the projector's thread panicked");
        }
    }
}

/// What a shard says, and how it is woken to say it.
struct Shard {
    feed: Arc<Feed>,
    waker: EventNotifier,
}

impl Source for Shard {
    fn floor(&self) -> Micros {
        self.feed.floor()
    }
    fn committed_end(&self) -> u64 {
        self.feed.committed_end()
    }
    fn ask(&self, time: Micros) {
        self.feed.ask(time);
        self.waker.notify();
    }
    fn is_asked(&self) -> bool {
        self.feed.is_asked()
    }
}

/// Why following came to an end.
enum Ended {
    /// The node stops.
    Stopped,
    /// The read model is to be made anew.
    Rebuild,
    /// It is tried again.
    Failed(String),
}

impl From<PumpError> for Ended {
    fn from(error: PumpError) -> Self {
        if error.wants_rebuild() {
            warn!(%error, "the read model is made anew");
            return Self::Rebuild;
        }
        Self::Failed(error.to_string())
    }
}

impl From<jobbie_projector::Error> for Ended {
    fn from(error: jobbie_projector::Error) -> Self {
        PumpError::Model(error).into()
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// What is on the thread.
struct Worker {
    dir: PathBuf,
    logs: Vec<PathBuf>,
    shards: Vec<Shard>,
    options: Options,
    model: ReadModel,
    position: Position,
}

impl Worker {
    fn new(plan: Plan, model: ReadModel) -> Self {
        let shards = plan.feeds.into_iter().zip(plan.shards);
        let shards: Vec<Shard> = shards.map(|(feed, waker)| Shard { feed, waker }).collect();
        let options =
            Options { shards: shards.len() as u16, retention_ms: plan.retention_ms, bulk: false };
        let position = Position::default();
        Self { dir: plan.dir, logs: plan.logs, shards, options, model, position }
    }

    async fn run(mut self) {
        let waiter = match event_notify() {
            Ok((waker, waiter)) => {
                for shard in &self.shards {
                    let waker = waker.clone();
                    shard.feed.wake_with(move || waker.notify());
                }
                self.model.shared.waker.set(waker).ok();
                waiter
            }
            Err(error) => return error!(%error, "the projector cannot be woken, and ends"),
        };
        let mut anew = false;
        loop {
            match self.follow(anew, &waiter).await {
                Err(Ended::Stopped) => return,
                Err(Ended::Rebuild) => anew = true,
                Err(Ended::Failed(reason)) => {
                    anew = false;
                    error!(reason, "the read model does not go on, and is tried again");
                    (self.position.failed, self.position.rebuilding) = (reason, false);
                    self.publish();
                    runtime::sleep(RETRY_PAUSE).await;
                }
                Ok(never) => match never {},
            }
            if self.stops() {
                return;
            }
        }
    }

    fn stops(&self) -> bool {
        self.model.shared.stop.load(Ordering::SeqCst)
    }

    /// Keeps the read model until something comes between.
    async fn follow(
        &mut self,
        anew: bool,
        waiter: &EventWaiter,
    ) -> Result<std::convert::Infallible, Ended> {
        fs::create_dir_all(&self.dir)?;
        let path = self.dir.join(FILE);
        let (mut file, mut model, mut pump) = if anew || self.is_unwanted() || !path.exists() {
            let (model, pump) = self.rebuild(&path).await?;
            (Watched::of(&path)?, model, pump)
        } else {
            let file = Watched::of(&path)?;
            let mut model = Projection::open(&path, self.options)?;
            let pump = Pump::open(self.disks()?, &mut model).await?;
            (file, model, pump)
        };
        self.position.failed.clear();
        self.seen(&model);
        let (mut trimmed, mut looked) = (Instant::now(), Instant::now());
        loop {
            if looked.elapsed() >= FILE_PAUSE {
                looked = Instant::now();
                file.check()?;
            }
            let before = self.news();
            let pumped = pump.step(&mut model, &self.shards).await?;
            if pumped != Pumped::Drained(0) {
                model.commit()?;
                self.seen(&model);
            }
            if self.stops() {
                return Err(Ended::Stopped);
            }
            if self.is_unwanted() {
                return Err(Ended::Rebuild);
            }
            if trimmed.elapsed() > TRIM_PAUSE {
                trimmed = Instant::now();
                pump.note_beginnings(&mut model).await?;
                model.commit()?;
            }
            let idle = match pumped {
                Pumped::Full => false,
                Pumped::Drained(0) => model.index_text(TEXT_JOBS)? < TEXT_JOBS,
                Pumped::Drained(COMMIT_ENTRIES..) => false,
                Pumped::Drained(_) => {
                    runtime::sleep(COMMIT_PAUSE).await;
                    false
                }
            };
            if idle {
                self.sleep(waiter, &before).await?;
            }
        }
    }

    /// Waits until there is something to do, or it is time to look at the file.
    async fn sleep(&self, waiter: &EventWaiter, before: &[(u64, Micros)]) -> io::Result<()> {
        let ready = || self.stops() || self.is_unwanted() || self.news() != before;
        let woken = pin!(waiter.wait(ready));
        match select(woken, pin!(runtime::sleep(FILE_PAUSE))).await {
            Either::Left((woken, _)) => woken,
            Either::Right(((), _)) => Ok(()),
        }
    }

    /// Somebody wants another one.
    fn is_unwanted(&self) -> bool {
        self.model.shared.rebuild.load(Ordering::SeqCst)
    }

    /// What the shards have said.
    fn news(&self) -> Vec<(u64, Micros)> {
        self.shards.iter().map(|shard| (shard.feed.committed_end(), shard.feed.floor())).collect()
    }

    fn disks(&self) -> io::Result<Vec<UringDisk>> {
        self.logs.iter().map(UringDisk::open).collect()
    }

    /// Makes the read model from all that the logs have, beside the one there is.
    async fn rebuild(&mut self, path: &Path) -> Result<(Projection, Pump<UringDisk>), Ended> {
        let begun = Instant::now();
        let unfinished = self.dir.join(UNFINISHED);
        remove_database(&unfinished)?;
        self.position.failed.clear();
        self.position.rebuilding = true;
        self.publish();
        let options = Options { bulk: true, ..self.options };
        let mut model = Projection::open(&unfinished, options)?;
        let mut pump = Pump::open(self.disks()?, &mut model).await?;
        let (mut reported, mut drained) = (Instant::now(), None);
        loop {
            let pumped = pump.step(&mut model, &self.shards).await?;
            model.commit()?;
            if self.stops() {
                return Err(Ended::Stopped);
            }
            if pumped == Pumped::Full {
                drained = None;
            } else {
                // The newest entries wait until the clocks of other shards have gone on. What a log has given up never comes.
                let since = *drained.get_or_insert_with(Instant::now);
                if self.has_seen(&model) || since.elapsed() > CLOCKS_MAX {
                    break;
                }
                runtime::sleep(COMMIT_PAUSE).await;
            }
            if reported.elapsed() > REPORT_PAUSE {
                reported = Instant::now();
                let events = self.events(&model);
                let of: u64 = self.model.metrics.iter().map(|shard| shard.last_event.get()).sum();
                info!(events, of, "the read model is being made");
            }
        }
        let model = model.finish_bulk(path)?;
        // Who has asked meanwhile gets this one.
        self.model.shared.rebuild.store(false, Ordering::SeqCst);
        self.position.rebuilding = false;
        self.position.generation += 1;
        info!(
            events = self.events(&model),
            ms = begun.elapsed().as_millis() as u64,
            "the read model is made"
        );
        Ok((model, pump))
    }

    fn events(&self, model: &Projection) -> u64 {
        (0..self.options.shards).map(|shard| model.watermark(ShardId(shard)).1.0).sum()
    }

    /// Whether a model has all that readers were told of: it must not be older than the one before.
    fn has_seen(&self, model: &Projection) -> bool {
        let end = |shard: usize| model.watermark(ShardId(shard as u16)).0 + 1;
        self.position.ends.iter().enumerate().all(|(shard, told)| end(shard) >= *told)
    }

    /// Tells everybody what readers see now, and the shards what of their logs is not needed any more.
    fn seen(&mut self, model: &Projection) {
        let marks = (0..self.options.shards).map(|shard| model.watermark(ShardId(shard)));
        let marks: Vec<_> = marks.collect();
        self.position.ends = marks.iter().map(|(index, _)| index + 1).collect();
        self.position.events = marks.iter().map(|(_, event)| event.0).collect();
        self.position.time = model.time();
        for (shard, (_, event)) in self.shards.iter().zip(&marks) {
            shard.feed.keep_from(event.0 + 1);
        }
        self.publish();
    }

    fn publish(&self) {
        self.model.shared.position.send_replace(self.position.clone());
        let events = self.position.events.iter().sum();
        self.model.shared.seq.send_replace(jobbie_projector::journal::newest_seq(events));
    }
}

fn remove_database(path: &Path) -> io::Result<()> {
    for rest in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(rest);
        match fs::remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
