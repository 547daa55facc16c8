//! A worker's whole life on one stream: it sends a frame, gets one back, and so on.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{StatusCode, Version};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::frame::{Exchanged, exchange};
use super::status::{Status, Why};
use super::stream_messages::LifecycleStreamRequest;
use super::wire::{Framing, Receiver, Wire};
use crate::app::App;
use crate::error::ApiError;
use crate::extract::Caller;
use crate::fetch::handed_over;
use crate::layers;

/// Least time from one frame of a stream to the next.
const SPACING: Duration = Duration::from_millis(2);
/// How long a fetch that finds nothing waits with its answer.
const IDLE: Duration = Duration::from_millis(100);
/// By how much each error after another slows a stream down, and at most.
const STRIKE: Duration = Duration::from_millis(5);
const STRIKES_MAX: u32 = 100;
/// When to try to open a stream again, in milliseconds.
const RETRY_MS: u32 = 1000;

/// When the next frame of a stream may be dealt with.
#[derive(Default)]
struct Pace {
    begun: Option<Instant>,
    strikes: u32,
}

impl Pace {
    /// How long after the beginning of one frame the next begins.
    fn spacing(&self) -> Duration {
        SPACING.max(STRIKE * self.strikes.min(STRIKES_MAX))
    }

    async fn wait(&mut self) {
        if let Some(begun) = self.begun {
            tokio::time::sleep_until(begun + self.spacing()).await;
        }
        self.begun = Some(Instant::now());
    }

    fn note(&mut self, exchanged: &Exchanged) {
        let response = &exchanged.response;
        if response.error.is_empty() {
            self.strikes = 0;
        } else if response.retry_after_ms == 0 {
            self.strikes = self.strikes.saturating_add(1);
        }
    }
}

struct Stream {
    app: Arc<App>,
    caller: Caller,
    wire: Wire,
    frames: Receiver,
    pace: Pace,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    async fn next(&mut self) -> Option<Result<Bytes, Status>> {
        let asked = tokio::select! {
            asked = self.frames.next() => asked,
            () = self.app.stopping() => {
                Err(Status::new(Why::Unavailable, "the server is stopping"))
            }
        };
        let asked = match asked.transpose()? {
            Ok(asked) => asked,
            Err(status) => return Some(Err(status)),
        };
        self.pace.wait().await;
        let mut exchanged = paused(&self.app, &self.caller, asked).await;
        self.pace.note(&exchanged);
        let bytes = self.wire.codec.encode(&exchanged.response);
        if let Some(returned) = &mut exchanged.returned {
            returned.kept();
        }
        Some(Ok(bytes))
    }
}

/// Deals with a frame; one that comes to nothing takes its time.
async fn paused(app: &Arc<App>, caller: &Caller, asked: LifecycleStreamRequest) -> Exchanged {
    let place = app.rpc.frames.acquire().await;
    let exchanged = exchange(app, caller, asked).await;
    drop(place);
    if exchanged.is_idle {
        tokio::time::sleep(IDLE).await;
    }
    exchanged
}

pub(super) async fn serve(State(app): State<Arc<App>>, request: Request) -> Response {
    let wire = match Wire::of(&request) {
        Ok(wire) => wire,
        Err(status) => return status.into_response(),
    };
    if wire.framing == Framing::Connect {
        return once(&app, wire, request).await.unwrap_or_else(|status| wire.failed(&status));
    }
    if request.version() < Version::HTTP_2 {
        return StatusCode::HTTP_VERSION_NOT_SUPPORTED.into_response();
    }
    let stream = match open(app, wire, request) {
        Ok(stream) => stream,
        Err(status) => return wire.failed(&status),
    };
    wire.many(stream::unfold(stream, |mut stream| async move {
        let next = stream.next().await?;
        Some((next, stream))
    }))
}

fn open(app: Arc<App>, wire: Wire, request: Request) -> Result<Stream, Status> {
    // Frames are paced, so that the stream counts for nothing.
    let caller = layers::caller(&app, &request, 0)?;
    let full = |_| ApiError::overloaded("too many streams are open", RETRY_MS);
    let place = Arc::clone(&app.rpc.streams).try_acquire_owned().map_err(full)?;
    let frames = Receiver::new(wire, request.into_body(), app.config.limits.batch_body_bytes);
    Ok(Stream { app, caller, wire, frames, pace: Pace::default(), _place: place })
}

/// A request that is one frame, and its answer.
async fn once(app: &Arc<App>, wire: Wire, request: Request) -> Result<Response, Status> {
    let caller = layers::caller(app, &request, 1)?;
    let asked = super::call::only(app, wire, request).await?;
    let Exchanged { response, returned, .. } = paused(app, &caller, asked).await;
    let response = wire.one(&response);
    Ok(match returned {
        Some(returned) => handed_over(response, returned),
        None => response,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::stream_messages::LifecycleStreamResponse;

    #[test]
    fn errors_after_each_other_slow_a_stream_down() {
        let ended = |error: &str, retry_after_ms| {
            let error = error.to_owned();
            let response = LifecycleStreamResponse { error, retry_after_ms, ..Default::default() };
            Exchanged { response, returned: None, is_idle: false }
        };
        let mut pace = Pace::default();
        assert_eq!(pace.spacing(), Duration::from_millis(2));
        pace.note(&ended("ack: no", 0));
        assert_eq!(pace.spacing(), Duration::from_millis(5));
        pace.note(&ended("OVERLOADED: fetch: full", 50));
        assert_eq!(pace.spacing(), Duration::from_millis(5));
        for _ in 0..200 {
            pace.note(&ended("ack: no", 0));
        }
        assert_eq!(pace.spacing(), Duration::from_millis(500));
        pace.note(&ended("", 0));
        assert_eq!(pace.spacing(), Duration::from_millis(2));
    }
}
