//! The read model, asked from asynchronous code: a bounded number of readers on threads that may block.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jobbie_projector::Reader;
use jobbie_projector::row::JobRow;
use jobbie_proto::JobId;
use tokio::sync::Semaphore;

use crate::error::ApiError;

/// Readers of one file. Each question takes one that is free, or opens one as long as there are not too many.
#[derive(Clone)]
pub(crate) struct ReadModel {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    free: Mutex<Vec<Reader>>,
    places: Arc<Semaphore>,
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

    /// Asks a reader, off the threads that serve requests. A reader that failed is not used again: the file may have been
    /// made anew.
    pub(crate) async fn ask<V: Send + 'static, E: std::fmt::Display + Send + 'static>(
        &self,
        question: impl FnOnce(&Reader) -> Result<V, E> + Send + 'static,
    ) -> Result<V, ApiError> {
        let inner = Arc::clone(&self.inner);
        let place = Arc::clone(&inner.places).acquire_owned().await;
        let place = place.map_err(|_| ApiError::internal("the read model is closed"))?;
        let asked = tokio::task::spawn_blocking(move || {
            let _place = place;
            let free = inner.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let reader = match free {
                Some(reader) => reader,
                None => Reader::open(&inner.path).map_err(|e| e.to_string())?,
            };
            let answer = question(&reader).map_err(|e| e.to_string())?;
            inner.free.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
            Ok::<V, String>(answer)
        });
        let failed = |message: String| {
            let status = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
            ApiError::new(status, "STORE_ERROR", message)
        };
        asked.await.map_err(|e| failed(format!("a query panicked: {e}")))?.map_err(failed)
    }

    /// A job as its events left it.
    pub(crate) async fn job(&self, job: JobId) -> Result<Option<JobRow>, ApiError> {
        self.ask(move |reader| reader.job(job)).await
    }
}
