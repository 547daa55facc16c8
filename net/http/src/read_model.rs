//! The read model, asked from asynchronous code: a bounded number of readers on threads that may block.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use jobbie_projector::Reader;
use jobbie_projector::row::JobRow;
use jobbie_proto::JobId;
use tokio::sync::Semaphore;

use crate::error::ApiError;

/// How long a question may take.
const TIME_MAX: Duration = Duration::from_secs(10);

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
}

fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    /// A reader of the file that is there now: it may have been made anew.
    fn take(&self) -> Result<(FileId, Reader), String> {
        let failed = |e: &dyn std::fmt::Display| format!("open the read model: {e}");
        let file = std::fs::metadata(&self.path).map_err(|e| failed(&e))?;
        let file = (file.dev(), file.ino());
        while let Some((of, reader)) = lock(&self.free).pop() {
            if of == file {
                return Ok((of, reader));
            }
        }
        Ok((file, Reader::open(&self.path).map_err(|e| failed(&e))?))
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

impl ReadModel {
    pub(crate) fn new(path: &Path, readers_max: usize) -> Self {
        let inner = Inner {
            path: path.to_owned(),
            free: Mutex::default(),
            places: Arc::new(Semaphore::new(readers_max)),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Asks a reader, off the threads that serve requests. A reader that failed is not used again.
    ///
    /// # Errors
    /// `STORE_ERROR` when it cannot be read, or takes too long.
    pub(crate) async fn ask<V: Send + 'static, E: std::fmt::Display + Send + 'static>(
        &self,
        question: impl FnOnce(&Reader) -> Result<V, E> + Send + 'static,
    ) -> Result<V, ApiError> {
        let inner = Arc::clone(&self.inner);
        let place = Arc::clone(&inner.places).acquire_owned();
        let place = tokio::time::timeout(TIME_MAX, place).await;
        let place = place.map_err(|_| ApiError::overloaded("too many queries wait", 1000))?;
        let place = place.map_err(|_| failed("the read model is closed"))?;
        let under_way = UnderWay::default();
        let asking = Asking(under_way.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let _place = place;
            let (file, reader) = inner.take()?;
            let handle = reader.interrupt_handle();
            *lock(&under_way.0) = Some(Box::new(move || handle.interrupt()));
            let answer = question(&reader).map_err(|e| e.to_string());
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
        answered.map_err(|e| failed(format!("a query panicked: {e}")))?.map_err(failed)
    }

    /// A job as its events left it.
    pub(crate) async fn job(&self, job: JobId) -> Result<Option<JobRow>, ApiError> {
        self.ask(move |reader| reader.job(job)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_not_there_is_an_answer() {
        let read_model = ReadModel::new(Path::new("/nonexistent/model.sqlite"), 1);
        for _ in 0..3 {
            let error = read_model.job(JobId::default()).await.expect_err("there is no file");
            assert_eq!(error.code, "STORE_ERROR");
        }
    }
}
