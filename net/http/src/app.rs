//! What all handlers share.

use std::sync::Arc;
use std::time::Duration;

use jobbie_client::{Client, JobId};
use jobbie_projector::row::JobRow;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit, watch};

use crate::bulk_archived::Runs;
use crate::config::HttpConfig;
use crate::error::ApiError;
use crate::extract::Caller;
use crate::leased::Leased;
use crate::limiter::Limiter;
use crate::metrics::HttpMetrics;
use crate::namespace::Namespace;
use crate::progress::{Lag, Progress};
use crate::read_model::ReadModel;
use crate::repeats::Repeats;
use crate::rpc;

/// When to ask again while too many requests are under way, in milliseconds.
const CROWDED_MS: u32 = 50;

/// What all handlers share.
pub(crate) struct App {
    pub(crate) config: HttpConfig,
    pub(crate) client: Client,
    pub(crate) read_model: Option<ReadModel>,
    pub(crate) progress: Arc<dyn Progress>,
    pub(crate) limiter: Limiter,
    pub(crate) leased: Leased,
    pub(crate) metrics: HttpMetrics,
    pub(crate) repeats: Repeats,
    pub(crate) rpc: rpc::Places,
    pub(crate) runs: Runs,
    requests: Semaphore,
    waiting: Semaphore,
    pub(crate) streams: Arc<Semaphore>,
    /// Settings of a queue are read and then written whole.
    pub(crate) settings: Mutex<()>,
    stopping: watch::Receiver<bool>,
}

impl App {
    pub(crate) fn new(
        config: HttpConfig,
        client: Client,
        read_model: Option<ReadModel>,
        progress: Arc<dyn Progress>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let limits = config.limits;
        Self {
            client,
            read_model,
            progress,
            limiter: Limiter::new(limits.rate),
            leased: Leased::default(),
            metrics: HttpMetrics::default(),
            repeats: Repeats::default(),
            rpc: rpc::Places::new(limits.lifecycle_streams),
            runs: Runs::default(),
            requests: Semaphore::new(limits.requests),
            waiting: Semaphore::new(limits.waiting_fetches),
            streams: Arc::new(Semaphore::new(limits.streams)),
            settings: Mutex::new(()),
            stopping,
            config,
        }
    }

    /// A place among the requests under way.
    ///
    /// # Errors
    /// `OVERLOADED` when there is none.
    pub(crate) fn admit(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        let full = |_| {
            self.metrics.overloaded.inc();
            ApiError::overloaded("too many requests are under way", CROWDED_MS)
        };
        self.requests.try_acquire().map_err(full)
    }

    /// A place among the fetches that wait.
    ///
    /// # Errors
    /// `OVERLOADED` when there is none.
    pub(crate) fn admit_waiting(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        let full = |_| {
            self.metrics.overloaded.inc();
            ApiError::overloaded("too many fetches wait", CROWDED_MS * 20)
        };
        self.waiting.try_acquire().map_err(full)
    }

    /// Returns when the server is to stop.
    pub(crate) async fn stopping(&self) {
        let mut stopping = self.stopping.clone();
        // When the other end is gone, it has stopped.
        let _ = stopping.wait_for(|stop| *stop).await;
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// The read model.
    ///
    /// # Errors
    /// `UNSUPPORTED` when there is none.
    pub(crate) fn read_model(&self) -> Result<&ReadModel, ApiError> {
        let none = || ApiError::unsupported("this server has no read model: search is off");
        self.read_model.as_ref().ok_or_else(none)
    }

    /// Waits until the read model has everything that was acknowledged, at most as long as is configured.
    pub(crate) async fn fresh(&self) -> Lag {
        let within = Duration::from_millis(self.config.limits.fresh_ms);
        self.progress.caught_up(within).await
    }

    /// The queue of a job, wherever it is still known.
    pub(crate) async fn queue_of(&self, job: JobId) -> Result<Option<String>, ApiError> {
        if let Some(info) = self.client.job(job).await? {
            return Ok(Some(info.queue.to_string()));
        }
        Ok(self.past(job).await.map(|row| row.queue))
    }

    /// What the read model knows of a job. Acks must not fail because it cannot be read: then that is nothing.
    pub(crate) async fn past(&self, job: JobId) -> Option<JobRow> {
        match self.read_model.as_ref()?.job(job).await {
            Ok(row) => row,
            Err(error) => {
                tracing::warn!(%job, error = error.message, "the read model cannot be read");
                None
            }
        }
    }

    /// Counts what a batch asks for beside its first item.
    ///
    /// # Errors
    /// `RATE_LIMITED` when that is too much.
    pub(crate) fn charge_more(&self, caller: &Caller, items: usize) -> Result<(), ApiError> {
        let more = u32::try_from(items.saturating_sub(1)).unwrap_or(u32::MAX);
        let taken = self.limiter.take(caller.client, false, more);
        taken.inspect_err(|_| self.metrics.throttled.inc())
    }

    /// Makes sure that a job is not another namespace's. One that nobody knows is nobody's.
    ///
    /// # Errors
    /// `NOT_FOUND` when it is.
    pub(crate) async fn check_owner(&self, by: &Namespace, job: JobId) -> Result<(), ApiError> {
        let is_foreign = match self.leased.get(job) {
            Some(lease) => lease.namespace != *by,
            None => self.queue_of(job).await?.is_some_and(|queue| !by.owns(&queue)),
        };
        if is_foreign {
            return Err(ApiError::not_found(format!("job {job} not found")));
        }
        Ok(())
    }
}
