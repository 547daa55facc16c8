//! Events as a stream of messages.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use jobbie_projector::journal::JournalEvent;

use super::call::only;
use super::status::{Status, Why};
use super::stream_messages::{SubscribeEvent, SubscribeRequest};
use super::wire::{Framing, Wire};
use crate::app::App;
use crate::events::{EventObject, Stream, wanted};
use crate::layers;
use crate::namespace::Namespace;

fn told(event: &JournalEvent, by: &Namespace) -> SubscribeEvent {
    let event = EventObject::new(event, by, usize::MAX);
    SubscribeEvent {
        seq: event.seq,
        r#type: event.r#type.to_owned(),
        job_id: event.job_id.unwrap_or_default(),
        queue: event.queue.unwrap_or_default(),
        at_ns: event.at_ns,
        data_json: event.data.map(|data| data.get().to_owned()).unwrap_or_default(),
    }
}

pub(super) async fn serve(State(app): State<Arc<App>>, request: Request) -> Response {
    let wire = match Wire::of(&request) {
        Ok(wire) if wire.framing != Framing::Connect => wire,
        Ok(_) => return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response(),
        Err(status) => return status.into_response(),
    };
    let stream = match open(&app, wire, request).await {
        Ok(stream) => stream,
        Err(status) => return wire.failed(&status),
    };
    wire.many(stream::unfold(Some(stream), move |stream| async move {
        let mut stream = stream?;
        Some(match stream.next().await {
            Some(Some(event)) => (Ok(wire.codec.encode(&told(&event, stream.by()))), Some(stream)),
            // An empty one shows that the stream lives.
            Some(None) => (Ok(wire.codec.encode(&SubscribeEvent::default())), Some(stream)),
            None => (Err(Status::new(Why::Unavailable, "the server is stopping")), None),
        })
    }))
}

async fn open(app: &Arc<App>, wire: Wire, request: Request) -> Result<Stream, Status> {
    let caller = layers::caller(app, &request, 1)?;
    let SubscribeRequest { queues, job_ids, types, last_event_id } =
        only(app, wire, request).await?;
    let wanted = wanted(&caller.namespace, &queues, &job_ids, &types)?;
    Ok(Stream::open(app, caller.namespace, wanted, last_event_id)?)
}
