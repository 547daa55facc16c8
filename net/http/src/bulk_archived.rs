//! One thing done to many completed jobs, which their shards have let go: a task of this process that goes through the read model.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use jobbie_client::{Error, JobId, JobState, Micros};
use jobbie_projector::row::JobRow;
use jobbie_projector::search::{Bounds, Cursor, Filter, Search, Sort};
use tokio::sync::watch;

use crate::app::App;
use crate::archived::{self, Act};
use crate::error::ApiError;
use crate::moment;
use crate::namespace::Namespace;

/// Jobs that are worked on at a time: as many rows with their payloads are in memory.
const JOBS_AT_A_TIME: usize = 32;
/// Runs under way.
const RUNS_MAX: usize = 16;
/// Runs that are over and still known.
const ENDED_MAX: usize = 64;
/// How often a job is tried while its shard is busy or out of reach, and the pause after the first time.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(100);

/// Which completed jobs are meant.
pub(crate) enum Meant {
    Jobs(Vec<JobId>),
    Filter(Box<Filter>),
}

/// How far a run is.
pub(crate) struct Run {
    pub(crate) id: u64,
    pub(crate) action: &'static str,
    /// At least so many jobs are meant.
    pub(crate) estimate: u64,
    pub(crate) started: Micros,
    applied: AtomicU64,
    skipped: AtomicU64,
    errors: AtomicU64,
    ended: watch::Sender<Micros>,
}

impl Run {
    /// Jobs to which it was done.
    pub(crate) fn applied(&self) -> u64 {
        self.applied.load(Ordering::Relaxed)
    }

    /// Jobs that were completed no longer, or that another job kept from it.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Jobs whose shard could not do it.
    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// When it was over; 0 while it goes on.
    pub(crate) fn ended(&self) -> Micros {
        *self.ended.borrow()
    }

    /// Returns when it is over.
    pub(crate) async fn finished(&self) {
        let mut ended = self.ended.subscribe();
        // It is held here as well, so the other end is there.
        let _ = ended.wait_for(|at| *at != Micros(0)).await;
    }
}

/// Says that a run is over, however it comes to its end.
struct Ends(Arc<Run>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.ended.send_replace(moment::now());
    }
}

/// Runs under way and those that ended last.
#[derive(Default)]
pub(crate) struct Runs(Mutex<BTreeMap<u64, Arc<Run>>>);

impl Runs {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Run>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: u64) -> Option<Arc<Run>> {
        self.lock().get(&id).cloned()
    }

    fn begin(&self, action: &'static str, estimate: u64) -> Result<Arc<Run>, ApiError> {
        let mut runs = self.lock();
        let is_over = |run: &&Arc<Run>| run.ended() != Micros(0);
        let over = runs.values().filter(is_over).count();
        if runs.len() - over >= RUNS_MAX {
            let what = format!("{RUNS_MAX} bulk operations on completed jobs are under way");
            return Err(ApiError::overloaded(what, 1000));
        }
        if over >= ENDED_MAX {
            let oldest = runs.values().filter(is_over).min_by_key(|run| run.ended()).map(|r| r.id);
            oldest.and_then(|oldest| runs.remove(&oldest));
        }
        let run = Arc::new(Run {
            id: rand::random(),
            action,
            estimate,
            started: moment::now(),
            applied: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            ended: watch::channel(Micros(0)).0,
        });
        runs.insert(run.id, Arc::clone(&run));
        Ok(run)
    }
}

/// Those of named jobs that their shards have let go, without repeats.
pub(crate) fn named(jobs: &[JobId], is_live: impl Fn(&JobId) -> bool) -> Meant {
    let mut seen = HashSet::new();
    let gone = jobs.iter().copied().filter(|job| !is_live(job) && seen.insert(*job));
    Meant::Jobs(gone.collect())
}

/// Those that match, of what is completed by now. A job that is completed again later is not meant.
pub(crate) async fn matching(app: &App, mut filter: Filter) -> Result<Meant, ApiError> {
    app.fresh().await;
    let positions = app.read_model()?.ask(|reader| reader.positions()).await?;
    let now = positions.iter().map(|(_, _, _, time)| time.0 + 1).max().unwrap_or(0);
    let before = filter.completed.before.map_or(now, |before| before.0.min(now));
    filter.states = vec![JobState::Completed];
    filter.completed = Bounds { before: Some(Micros(before)), ..filter.completed };
    Ok(Meant::Filter(Box::new(filter)))
}

/// Begins a run; `None` when it means no job.
pub(crate) async fn begin(
    app: &Arc<App>,
    (action, act): (&'static str, Act),
    by: &Namespace,
    meant: Meant,
) -> Result<Option<Arc<Run>>, ApiError> {
    let Some(read_model) = &app.read_model else { return Ok(None) };
    let estimate = match &meant {
        Meant::Jobs(jobs) => jobs.len() as u64,
        Meant::Filter(filter) => {
            let search = Search { filter: (**filter).clone(), limit: 1, ..Search::default() };
            read_model.ask(move |reader| reader.search(&search)).await?.total
        }
    };
    if estimate == 0 {
        return Ok(None);
    }
    app.fresh().await;
    let run = app.runs.begin(action, estimate)?;
    let task = Task { app: Arc::clone(app), act, by: by.clone(), run: Arc::clone(&run) };
    tokio::spawn(task.run(meant));
    Ok(Some(run))
}

struct Task {
    app: Arc<App>,
    act: Act,
    by: Namespace,
    run: Arc<Run>,
}

impl Task {
    async fn run(self, meant: Meant) {
        let _ends = Ends(Arc::clone(&self.run));
        let done = match meant {
            Meant::Jobs(jobs) => self.jobs(&jobs).await,
            Meant::Filter(filter) => self.matches(*filter).await,
        };
        if let Err(error) = done {
            tracing::warn!(error = error.message, "completed jobs are left out");
            self.run.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn jobs(&self, jobs: &[JobId]) -> Result<(), ApiError> {
        for some in jobs.chunks(JOBS_AT_A_TIME) {
            let wanted = some.to_vec();
            let rows = self.app.read_model()?.ask(move |reader| reader.jobs(&wanted)).await?;
            let missing = some.len() - rows.len();
            self.run.skipped.fetch_add(missing as u64, Ordering::Relaxed);
            self.rows(&rows).await;
        }
        Ok(())
    }

    async fn matches(&self, filter: Filter) -> Result<(), ApiError> {
        let mut cursor: Option<Cursor> = None;
        loop {
            let search = Search {
                filter: filter.clone(),
                sort: Sort::Created,
                ascending: true,
                limit: JOBS_AT_A_TIME as u32,
                cursor,
            };
            let page = self.app.read_model()?.ask(move |reader| reader.page(&search)).await?;
            self.rows(&page.0).await;
            cursor = page.1;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn rows(&self, rows: &[JobRow]) {
        join_all(rows.iter().map(|row| self.row(row))).await;
    }

    async fn row(&self, row: &JobRow) {
        let counter = if row.state != JobState::Completed || !self.by.owns(&row.queue) {
            &self.run.skipped
        } else {
            match self.tried(row).await {
                Ok(()) => &self.run.applied,
                Err(Error::Job { .. } | Error::Invalid(_)) => &self.run.skipped,
                Err(error) => {
                    tracing::warn!(job = %row.id, %error, "a completed job is left out");
                    &self.run.errors
                }
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Done, or refused, or failed as often as it is tried.
    async fn tried(&self, row: &JobRow) -> Result<(), Error> {
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match archived::act(&self.app, row, &self.act).await {
                Err(error) if archived::passes(&error) => tokio::time::sleep(pause).await,
                done => return done,
            }
            pause *= 2;
        }
        archived::act(&self.app, row, &self.act).await
    }
}
