//! How far work on many jobs is, as a stream.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use futures_util::stream;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::app::App;
use crate::bulk::{BulkStatus, look};
use crate::error::ApiError;
use crate::events::{KEEP_ALIVE, KEEP_ALIVE_LINE, event_stream, stream_place};
use crate::extract::{Caller, Name};
use crate::moment;
use crate::routes::{Doc, Routes};

/// How often the shards are asked.
const PERIOD: Duration = Duration::from_millis(250);

pub(crate) fn routes() -> Routes {
    let doc = Doc::new("How far it is, as a stream of server-sent events");
    Routes::default().get("/bulk/{id}/progress", progress, doc)
}

/// An event of an operation.
fn lines(word: &str, of: &BulkStatus) -> Bytes {
    let kind = format!("bulk.async.{word}");
    let percent = (of.processed * 100).checked_div(of.total).unwrap_or(100).min(100);
    let mut data = json!({
        "type": kind,
        "task_id": of.id,
        "status": of.status,
        "affected": of.affected,
        "total": of.total,
        "processed": of.processed,
        "percent": percent,
        "created_at_ns": moment::now().0.saturating_mul(1000),
    });
    if let Some(error) = of.error {
        data["error"] = json!(error);
    }
    Bytes::from(format!("event: {kind}\ndata: {data}\n\n"))
}

struct Watch {
    app: Arc<App>,
    id: String,
    ready: VecDeque<Bytes>,
    processed: u64,
    is_over: bool,
    quiet_until: Instant,
    _place: OwnedSemaphorePermit,
}

impl Watch {
    /// Takes in how far it is.
    fn see(&mut self, status: &BulkStatus) {
        match status.status {
            "completed" | "failed" => {
                self.ready.push_back(lines(status.status, status));
                self.is_over = true;
            }
            _ if status.processed > self.processed => {
                self.processed = status.processed;
                self.ready.push_back(lines("progress", status));
            }
            _ => {}
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.quiet_until = Instant::now() + KEEP_ALIVE;
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            let app = Arc::clone(&self.app);
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = app.stopping() => return None,
            }
            // One that is forgotten, or a shard that does not answer, ends the stream.
            let status = look(&self.app, &self.id).await.ok()?;
            self.see(&status);
            if self.ready.is_empty() && Instant::now() >= self.quiet_until {
                self.ready.push_back(Bytes::from_static(KEEP_ALIVE_LINE.as_bytes()));
            }
        }
    }
}

async fn progress(
    State(app): State<Arc<App>>,
    _: Caller,
    Name(id): Name<String>,
) -> Result<Response, ApiError> {
    let status = look(&app, &id).await?;
    let mut watch = Watch {
        _place: stream_place(&app)?,
        app,
        id,
        ready: VecDeque::new(),
        processed: 0,
        is_over: false,
        quiet_until: Instant::now() + KEEP_ALIVE,
    };
    if !matches!(status.status, "completed" | "failed") {
        watch.ready.push_back(lines("started", &status));
    }
    watch.see(&status);
    let events = stream::unfold(watch, |mut watch| async move {
        watch.next().await.map(|event| (Ok::<_, Infallible>(event), watch))
    });
    Ok(event_stream(Body::from_stream(events)))
}
