//! Calls with one message each way.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};

use super::codec::Wired;
use super::status::Status;
use super::wire::{Framing, Receiver, Wire};
use crate::app::App;
use crate::extract::Caller;
use crate::fetch::{Returned, handed_over};
use crate::layers;

/// Who calls.
pub(super) struct Call {
    pub(super) app: Arc<App>,
    pub(super) caller: Caller,
    pub(super) headers: HeaderMap,
}

/// What a call is answered with.
pub(super) struct Answer<O> {
    message: O,
    returned: Option<Returned>,
}

impl<O> From<O> for Answer<O> {
    fn from(message: O) -> Self {
        Self { message, returned: None }
    }
}

impl<O> Answer<O> {
    /// With jobs, which go back when it is not handed over.
    pub(super) fn of_jobs(message: O, returned: Returned) -> Self {
        Self { message, returned: Some(returned) }
    }
}

/// The only message of a request.
///
/// # Errors
/// When there is none, or it cannot be read.
pub(super) async fn only<I: Wired>(app: &App, wire: Wire, request: Request) -> Result<I, Status> {
    let max = app.config.limits.batch_body_bytes;
    let mut messages = Receiver::new(wire, request.into_body(), max);
    let message = messages.next().await?;
    let message = message.ok_or_else(|| Status::invalid("the request has no message"))?;
    // To its end: an answer before that is cut off by some clients.
    match messages.next::<I>().await? {
        None => Ok(message),
        Some(_) => Err(Status::invalid("the request has more than one message")),
    }
}

/// A method.
pub(super) fn unary<I, O, F, W>(method: F) -> MethodRouter<Arc<App>>
where
    I: Wired,
    O: Wired,
    F: Fn(Call, I) -> W + Clone + Send + Sync + 'static,
    W: Future<Output = Result<Answer<O>, Status>> + Send,
{
    post(async move |State(app): State<Arc<App>>, request: Request| -> Response {
        let wire = match Wire::of(&request) {
            Ok(wire) if wire.framing != Framing::ConnectStream => wire,
            Ok(_) => return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response(),
            Err(status) => return status.into_response(),
        };
        match run(app, wire, request, method).await {
            Ok(Answer { message, returned: None }) => wire.one(&message),
            Ok(Answer { message, returned: Some(returned) }) => {
                handed_over(wire.one(&message), returned)
            }
            Err(status) => wire.failed(&status),
        }
    })
}

async fn run<I, O, F, W>(
    app: Arc<App>,
    wire: Wire,
    request: Request,
    method: F,
) -> Result<Answer<O>, Status>
where
    I: Wired,
    F: Fn(Call, I) -> W,
    W: Future<Output = Result<Answer<O>, Status>>,
{
    let caller = layers::caller(&app, &request, 1)?;
    let headers = request.headers().clone();
    let message = only(&app, wire, request).await?;
    method(Call { app, caller, headers }, message).await
}
