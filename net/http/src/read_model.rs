//! The read model, asked from asynchronous code: a bounded number of readers on threads that may block.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use jobbie_projector::row::JobRow;
use jobbie_projector::{Error, Reader};
use jobbie_proto::JobId;
use tokio::sync::Semaphore;

use crate::error::ApiError;
use crate::progress::Progress;

/// How long a question may take.
const TIME_MAX: Duration = Duration::from_secs(10);

/// When to ask again while it cannot be read, in milliseconds.
const RETRY_MS: u32 = 1000;
/// How often a damaged file is said to be one.
const HEAL_PAUSE: Duration = Duration::from_secs(60);

/// Which file a path led to.
type FileId = (u64, u64);

/// Readers of one file. Each question takes one that is free, or opens one as long as there are not too many.
#[derive(Clone)]
pub(crate) struct ReadModel {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    free: Mutex<Vec<(FileId, Reader)>>,
    places: Arc<Semaphore>,
    progress: Arc<dyn Progress>,
    /// When another file was asked for.
    asked: Mutex<Option<Instant>>,
}

fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    /// A reader of the file that is there now: it may have been made anew.
    fn take(&self) -> Result<(FileId, Reader), Error> {
        let file = std::fs::metadata(&self.path)?;
        let file = (file.dev(), file.ino());
        while let Some((of, reader)) = lock(&self.free).pop() {
            if of == file {
                return Ok((of, reader));
            }
        }
        Ok((file, Reader::open(&self.path)?))
    }

    /// Whoever keeps the file need not have seen what readers see: it is asked for another, unless it has made one since, or was
    /// asked a moment ago.
    fn heal(self: Arc<Self>, generation: u64) {
        let mut asked = lock(&self.asked);
        let is_due = asked.is_none_or(|at| at.elapsed() >= HEAL_PAUSE);
        if !is_due || self.progress.generation() != generation {
            return;
        }
        *asked = Some(Instant::now());
        drop(asked);
        tokio::spawn(async move {
            if let Err(error) = self.progress.rebuild().await {
                tracing::warn!(error, "the read model is damaged");
            }
        });
    }
}

type End = Box<dyn Fn() + Send>;

/// A question under way, which ends when nobody waits for its answer any more.
#[derive(Clone, Default)]
struct UnderWay(Arc<Mutex<Option<End>>>);

struct Asking(UnderWay);

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(end) = lock(&self.0.0).take() {
            end();
        }
    }
}

fn failed(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "STORE_ERROR", message)
}

/// Why it cannot be read now.
fn unreadable(error: &Error) -> ApiError {
    let what = format!("the read model cannot be read now and is made anew if need be: {error}");
    let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "STORE_ERROR", what);
    ApiError { retry_after_ms: Some(RETRY_MS), ..error }
}

impl ReadModel {
    pub(crate) fn new(path: &Path, readers_max: usize, progress: Arc<dyn Progress>) -> Self {
        let inner = Inner {
            path: path.to_owned(),
            free: Mutex::default(),
            places: Arc::new(Semaphore::new(readers_max)),
            progress,
            asked: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Asks a reader, off the threads that serve requests. A reader that failed is not used again.
    ///
    /// # Errors
    /// `STORE_ERROR` when it cannot be read (503: later it can), or takes too long (500).
    pub(crate) async fn ask<V: Send + 'static>(
        &self,
        question: impl FnOnce(&Reader) -> Result<V, Error> + Send + 'static,
    ) -> Result<V, ApiError> {
        let inner = Arc::clone(&self.inner);
        let place = Arc::clone(&inner.places).acquire_owned();
        let place = tokio::time::timeout(TIME_MAX, place).await;
        let place = place.map_err(|_| ApiError::overloaded("too many queries wait", 1000))?;
        let place = place.map_err(|_| failed("the read model is closed"))?;
        let under_way = UnderWay::default();
        let asking = Asking(under_way.clone());
        let generation = inner.progress.generation();
        let asked = tokio::task::spawn_blocking(move || {
            let _place = place;
            let (file, reader) = inner.take()?;
            let handle = reader.interrupt_handle();
            *lock(&under_way.0) = Some(Box::new(move || handle.interrupt()));
            let answer = question(&reader);
            // Whoever comes next is not to be interrupted for this.
            *lock(&under_way.0) = None;
            if answer.is_ok() {
                lock(&inner.free).push((file, reader));
            }
            answer
        });
        let answered = tokio::time::timeout(TIME_MAX, asked).await;
        drop(asking);
        let answered = answered.map_err(|_| {
            failed(format!("the query took longer than {} s and was ended", TIME_MAX.as_secs()))
        })?;
        let answered = answered.map_err(|e| failed(format!("a query panicked: {e}")))?;
        answered.map_err(|error| {
            tracing::warn!(%error, "the read model cannot be read");
            if matches!(error, Error::Damaged(_)) {
                Arc::clone(&self.inner).heal(generation);
            }
            unreadable(&error)
        })
    }

    /// A job as its events left it.
    pub(crate) async fn job(&self, job: JobId) -> Result<Option<JobRow>, ApiError> {
        self.ask(move |reader| reader.job(job)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Lag;
    use futures_util::future::BoxFuture;
    use tokio::sync::watch;

    struct Still;

    impl Progress for Still {
        fn caught_up(&self, _within: Duration) -> BoxFuture<'_, Lag> {
            Box::pin(async { Lag::default() })
        }

        fn changed(&self) -> watch::Receiver<u64> {
            watch::channel(0).1
        }

        fn lag(&self) -> Lag {
            Lag::default()
        }
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_an_answer() {
        let path = Path::new("/nonexistent/model.sqlite");
        let read_model = ReadModel::new(path, 1, Arc::new(Still));
        for _ in 0..3 {
            let error = read_model.job(JobId::default()).await.expect_err("there is no file");
            assert_eq!((error.status.as_u16(), error.code), (503, "STORE_ERROR"));
            assert_eq!(error.retry_after_ms, Some(RETRY_MS));
        }
    }
}
