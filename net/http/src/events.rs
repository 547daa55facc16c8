//! What happened, by pages and as a stream.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use jobbie_projector::journal::{JournalEvent, Wanted};
use jobbie_proto::JobId;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{Caller, Params};
use crate::jobs::with_lag;
use crate::json::{self, Raw};
use crate::namespace::Namespace;
use crate::routes::{Doc, Routes};

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;
/// Events of a stream that are read together.
const PAGE: usize = 256;
/// Bytes of an event's data in a stream; some readers stop at lines of 64 KiB.
const DATA_BYTES_MAX: usize = 48 << 10;
/// How often a stream without events shows that it lives.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(15);
pub(crate) const KEEP_ALIVE_LINE: &str = ":keepalive\n\n";

pub(crate) fn routes() -> Routes {
    let stream = Doc::new("Events as a stream of server-sent events");
    Routes::default().get("/cluster/events", page, Doc::new("Events after a number")).get(
        "/events",
        stream_events,
        stream,
    )
}

/// An event.
#[derive(Serialize, JsonSchema)]
pub(crate) struct EventObject {
    pub(crate) seq: u64,
    pub(crate) r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) job_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) queue: Option<String>,
    pub(crate) at_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Raw>,
}

impl EventObject {
    pub(crate) fn new(event: &JournalEvent, by: &Namespace, data_bytes_max: usize) -> Self {
        let data = match event.data.len() {
            long if long > data_bytes_max => {
                Some(json::raw(json!({ "truncated": true, "bytes": long }).to_string().as_bytes()))
            }
            _ => json::some_raw(&event.data),
        };
        let queue = by.shown(&event.queue);
        Self {
            seq: event.seq,
            r#type: event.kind,
            job_id: event.job.map(|job| job.to_string()),
            queue: (!queue.is_empty()).then(|| queue.to_owned()),
            at_ns: event.at.0.saturating_mul(1000),
            data,
        }
    }
}

/// What a caller may see: events of its queues, and those of no queue for the default namespace.
fn is_seen(event: &JournalEvent, by: &Namespace) -> bool {
    by.owns(&event.queue)
}

async fn page(
    State(app): State<Arc<App>>,
    caller: Caller,
    params: Params,
) -> Result<Response, ApiError> {
    let mut after = params.number::<u64>("after_seq")?.unwrap_or(0);
    let limit = params.number::<usize>("limit")?.unwrap_or(LIMIT_DEFAULT);
    if limit == 0 {
        return Err(ApiError::validation("limit: more than 0"));
    }
    let limit = limit.min(LIMIT_MAX);
    let read_model = app.read_model()?;
    let lag = app.fresh().await;
    let by = &caller.namespace;
    let mut told = Vec::new();
    while told.len() < limit {
        let wanted = Wanted { namespace: by.wanted(), ..Wanted::default() };
        let want = limit - told.len();
        let found = read_model.ask(move |reader| reader.journal(after, want, &wanted)).await?;
        let (events, looked_up_to) = found;
        let seen = events.iter().filter(|event| is_seen(event, by));
        told.extend(seen.map(|event| EventObject::new(event, by, usize::MAX)));
        if looked_up_to <= after {
            break;
        }
        after = looked_up_to;
    }
    Ok(with_lag(json::ok(&json!({ "events": told })), lag))
}

/// What a stream is about.
///
/// # Errors
/// When a queue can be none, or is another namespace's.
pub(crate) fn wanted(
    by: &Namespace,
    queues: &[String],
    jobs: &[String],
    kinds: &[String],
) -> Result<Wanted, ApiError> {
    let queues = queues.iter().map(|queue| by.queue(queue)).collect::<Result<_, _>>()?;
    // An id that is none is nobody's, unlike no id at all.
    let nobody = JobId::default();
    let jobs = jobs.iter().map(|id| id.parse().unwrap_or(nobody)).collect();
    let kinds = kinds.iter().map(|kind| kind.strip_prefix("job.").unwrap_or(kind).to_owned());
    Ok(Wanted { namespace: by.wanted(), queues, jobs, kinds: kinds.collect() })
}

/// A stream that is asked for its next event when the one before is sent: a slow reader makes nothing grow.
pub(crate) struct Stream {
    app: Arc<App>,
    by: Namespace,
    wanted: Wanted,
    after: u64,
    ready: VecDeque<JournalEvent>,
    changed: watch::Receiver<u64>,
    quiet_until: Instant,
    _place: OwnedSemaphorePermit,
}

/// An event as its lines, of ASCII characters only.
fn lines(event: &JournalEvent, by: &Namespace) -> Bytes {
    let object = EventObject::new(event, by, DATA_BYTES_MAX);
    let data = serde_json::to_string(&object).expect("events are plain");
    let mut data = json::ascii(&data);
    if data.len() > DATA_BYTES_MAX + 4096 {
        // Other alphabets are longer escaped.
        data = json::ascii(&serde_json::to_string(&EventObject::new(event, by, 0)).expect("plain"));
    }
    Bytes::from(format!("id: {}\nevent: {}\ndata: {data}\n\n", event.seq, event.kind))
}

impl Stream {
    /// Reads on; whether there was anything to read.
    async fn read(&mut self) -> Result<bool, ApiError> {
        let (after, wanted) = (self.after, self.wanted.clone());
        let read_model = self.app.read_model()?;
        let found = read_model.ask(move |reader| reader.journal(after, PAGE, &wanted)).await?;
        let (events, looked_up_to) = found;
        let seen = events.into_iter().filter(|event| is_seen(event, &self.by));
        self.ready.extend(seen);
        let goes_on = looked_up_to > self.after;
        self.after = self.after.max(looked_up_to);
        Ok(goes_on)
    }

    /// A stream of what comes after the event of that number.
    ///
    /// # Errors
    /// When there is no read model, or too many streams are open.
    pub(crate) fn open(
        app: &Arc<App>,
        by: Namespace,
        wanted: Wanted,
        after: u64,
    ) -> Result<Self, ApiError> {
        app.read_model()?;
        Ok(Self {
            by,
            wanted,
            after,
            ready: VecDeque::new(),
            changed: app.progress.changed(),
            quiet_until: Instant::now() + KEEP_ALIVE,
            _place: stream_place(app)?,
            app: Arc::clone(app),
        })
    }

    /// Whose it is.
    pub(crate) fn by(&self) -> &Namespace {
        &self.by
    }

    /// The next event, or nothing to show that the stream lives; `None` at its end.
    pub(crate) async fn next(&mut self) -> Option<Option<JournalEvent>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.quiet_until = Instant::now() + KEEP_ALIVE;
                return Some(Some(event));
            }
            // Marked as seen before reading, so that what comes meanwhile wakes again.
            self.changed.borrow_and_update();
            match self.read().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(error = error.message, "a stream of events ends");
                    return None;
                }
            }
            let app = Arc::clone(&self.app);
            tokio::select! {
                changed = self.changed.changed() => changed.ok()?,
                () = app.stopping() => return None,
                () = tokio::time::sleep_until(self.quiet_until) => {
                    self.quiet_until = Instant::now() + KEEP_ALIVE;
                    return Some(None);
                }
            }
        }
    }
}

/// An answer of server-sent events.
pub(crate) fn event_stream(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// A place among the streams.
pub(crate) fn stream_place(app: &App) -> Result<OwnedSemaphorePermit, ApiError> {
    let full = |_| ApiError::overloaded("too many streams are open", 1000);
    Arc::clone(&app.streams).try_acquire_owned().map_err(full)
}

async fn stream_events(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    let of = |name| params.list(name);
    let wanted = wanted(&caller.namespace, &of("queues"), &of("job_ids"), &of("types"))?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.trim().parse().ok());
    let after = params.number::<u64>("last_event_id")?.or(last).unwrap_or(0);
    let stream = Stream::open(&app, caller.namespace, wanted, after)?;
    let events = stream::unfold(stream, |mut stream| async move {
        let told = match stream.next().await? {
            Some(event) => lines(&event, stream.by()),
            None => Bytes::from_static(KEEP_ALIVE_LINE.as_bytes()),
        };
        Some((Ok::<_, Infallible>(told), stream))
    });
    Ok(event_stream(Body::from_stream(events)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobbie_proto::Micros;

    fn event(data: &str) -> JournalEvent {
        JournalEvent {
            seq: 17,
            kind: "progress",
            job: None,
            queue: "shop::mail".into(),
            at: Micros(1_790_000_000_000_000),
            data: data.into(),
        }
    }

    #[test]
    fn an_event_is_three_ascii_lines() {
        let shop = Namespace::new("shop").expect("a name");
        let told = lines(&event("\"\u{c5}\u{2028}\""), &shop);
        let expected = "id: 17\nevent: progress\ndata: {\"seq\":17,\"type\":\"progress\",\"queue\":\"mail\",\
             \"at_ns\":1790000000000000000,\"data\":\"\\u00c5\\u2028\"}\n\n";
        assert_eq!(told, expected);
    }

    #[test]
    fn large_data_is_left_out() {
        for data in ["x".repeat(60_000), "\u{4e16}".repeat(15_000)] {
            let told = lines(&event(&format!("\"{data}\"")), &Namespace::default());
            assert!(told.len() < 64 << 10, "{}", told.len());
            assert!(std::str::from_utf8(&told).expect("ASCII").contains("\"truncated\":true"));
        }
    }
}
