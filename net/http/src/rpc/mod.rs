//! The worker service for clients that were made from `worker_service.proto`: gRPC, gRPC-Web and Connect on the same paths.
//!
//! What is done is what the JSON routes do; here are only the messages, the framing, and the stream of a worker's whole life.

mod call;
mod codec;
mod convert;
mod frame;
mod lifecycle;
mod messages;
#[cfg(test)]
mod proto_file;
mod status;
mod stream_messages;
mod subscribe;
mod unary;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::sync::Semaphore;

use crate::app::App;
use crate::layers::VENDOR;
use call::unary;
use status::{Status, Why};
use wire::Wire;

/// Frames of all streams that are dealt with at a time; more wait.
const FRAMES_MAX: usize = 2048;

/// Places of workers' streams.
pub(crate) struct Places {
    /// Open streams.
    streams: Arc<Semaphore>,
    /// Frames under way.
    frames: Semaphore,
}

impl Places {
    pub(crate) fn new(streams: usize) -> Self {
        Self { streams: Arc::new(Semaphore::new(streams)), frames: Semaphore::new(FRAMES_MAX) }
    }
}

/// All methods.
pub(crate) fn router() -> Router<Arc<App>> {
    let path = |method: &str| format!("/{VENDOR}.v1.WorkerService/{method}");
    Router::new()
        .route(&path("Enqueue"), unary(unary::enqueue))
        .route(&path("Fetch"), unary(unary::fetch))
        .route(&path("FetchBatch"), unary(unary::fetch_batch))
        .route(&path("Ack"), unary(unary::ack))
        .route(&path("AckBatch"), unary(unary::ack_batch))
        .route(&path("Fail"), unary(unary::fail))
        .route(&path("Heartbeat"), unary(unary::heartbeat))
        .route(&path("GetServerInfo"), unary(unary::server_info))
        .route(&path("StreamLifecycle"), post(lifecycle::serve))
        .route(&path("Subscribe"), post(subscribe::serve))
        .route(&path("{method}"), post(no_method))
}

async fn no_method(State(_): State<Arc<App>>, request: Request) -> Response {
    match Wire::of(&request) {
        Ok(wire) => {
            let path = request.uri().path();
            wire.failed(&Status::new(Why::Unimplemented, format!("there is no {path}")))
        }
        Err(status) => status.into_response(),
    }
}
