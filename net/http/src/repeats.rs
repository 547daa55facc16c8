//! Requests that are sent again under the same `Idempotency-Key` get the first answer again.
//!
//! New single jobs do not need this: their key goes to the log. Of everything else the answers are kept here, in memory.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Limited};

use crate::api::BASE;
use crate::app::App;
use crate::enqueue::idempotency_key;
use crate::error::ApiError;
use crate::extract::{self, Caller};

/// How long an answer is kept at most.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Answers kept, and their bytes.
const ANSWERS_MAX: usize = 10_000;
const BYTES_MAX: usize = 32 << 20;
/// An answer that is longer is not kept.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Whose key.
type Key = (u64, Vec<u8>);

/// What is known of a request.
#[derive(Clone)]
struct Known {
    /// What was asked.
    asked: u64,
    since: Instant,
    /// `None` while it is under way.
    answer: Option<(StatusCode, Bytes)>,
}

#[derive(Default)]
struct Table {
    known: HashMap<Key, Known>,
    order: VecDeque<Key>,
    bytes: usize,
}

impl Table {
    fn remove(&mut self, key: &Key) {
        if let Some(known) = self.known.remove(key) {
            self.bytes -= known.answer.map_or(0, |(_, body)| body.len());
        }
    }

    fn forget(&mut self, key: &Key) {
        self.remove(key);
        self.order.retain(|one| one != key);
    }

    /// What is known under a key; a new one is noted as under way.
    fn begin(&mut self, key: &Key, asked: u64) -> Option<Known> {
        if let Some(known) = self.known.get(key) {
            if known.since.elapsed() < KEPT {
                return Some(known.clone());
            }
            self.forget(key);
        }
        self.order.push_back(key.clone());
        self.known.insert(key.clone(), Known { asked, since: Instant::now(), answer: None });
        while self.order.len() > ANSWERS_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            self.remove(&oldest);
        }
        None
    }

    fn end(&mut self, key: &Key, status: StatusCode, body: Bytes) {
        if let Some(known) = self.known.get_mut(key) {
            self.bytes += body.len();
            known.answer = Some((status, body));
        }
    }
}

/// The answers that are kept.
#[derive(Default)]
pub(crate) struct Repeats {
    table: Mutex<Table>,
}

impl Repeats {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request under way, forgotten when it ends without an answer to keep.
struct UnderWay {
    app: Arc<App>,
    key: Option<Key>,
}

impl UnderWay {
    fn end(mut self, status: StatusCode, body: Bytes) {
        if let Some(key) = self.key.take() {
            self.app.repeats.lock().end(&key, status, body);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.app.repeats.lock().forget(&key);
        }
    }
}

/// Whether a repeat of this is dealt with here.
fn concerns(request: &Request) -> bool {
    let path = request.uri().path();
    let path = path.strip_prefix(BASE).unwrap_or(path);
    let is_enqueue = path == "/enqueue" || path.starts_with("/webhooks/");
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    !is_read && !is_enqueue && !path.starts_with("/fetch")
}

fn told(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    response
}

/// Whether asking again would be answered in the same way.
fn is_final(status: StatusCode) -> bool {
    !status.is_server_error() && status != StatusCode::TOO_MANY_REQUESTS
}

async fn once(app: Arc<App>, key: Key, request: Request, next: Next) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let max = app.config.limits.batch_body_bytes;
    let body = extract::bytes(Request::from_parts(parts.clone(), body), max).await?;
    let mut hash = DefaultHasher::new();
    (parts.method.as_str(), parts.uri.to_string(), &body).hash(&mut hash);
    let asked = hash.finish();
    let known = app.repeats.lock().begin(&key, asked);
    match known {
        Some(known) if known.asked != asked => {
            return Err(ApiError::conflict("the Idempotency-Key was used for something else"));
        }
        Some(Known { answer: Some((status, body)), .. }) => return Ok(told(status, body)),
        Some(_) => {
            return Err(ApiError::conflict("a request with this Idempotency-Key is under way"));
        }
        None => {}
    }
    let under_way = UnderWay { app, key: Some(key) };
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    if !is_final(response.status()) {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    let body =
        body.map_err(|_| ApiError::internal("the answer is too long to be kept"))?.to_bytes();
    under_way.end(parts.status, body.clone());
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// Answers repeats.
pub(crate) async fn repeat(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let key = match idempotency_key(request.headers()) {
        Ok(key) => key.filter(|_| concerns(&request)).map(<[u8]>::to_vec),
        Err(error) => return error.into_response(),
    };
    let caller = request.extensions().get::<Caller>().map_or(0, |caller| caller.client);
    match key {
        None => next.run(request).await,
        Some(key) => once(app, (caller, key), request, next)
            .await
            .unwrap_or_else(IntoResponse::into_response),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_forgotten_by_number_and_by_bytes() {
        let key = |n: usize| (1, n.to_string().into_bytes());
        let mut table = Table::default();
        for n in 0..=ANSWERS_MAX {
            assert!(table.begin(&key(n), 7).is_none());
            table.end(&key(n), StatusCode::OK, Bytes::from_static(b"x"));
        }
        assert_eq!((table.known.len(), table.bytes), (ANSWERS_MAX, ANSWERS_MAX));
        assert!(table.begin(&key(1), 7).expect("it is known").answer.is_some());
        assert!(!table.known.contains_key(&key(0)));
        for n in 0..40 {
            table.begin(&(2, vec![n]), 7);
            table.end(&(2, vec![n]), StatusCode::OK, Bytes::from(vec![0; ANSWER_BYTES_MAX]));
        }
        table.begin(&(3, vec![0]), 7);
        assert!(table.bytes <= BYTES_MAX, "{}", table.bytes);
        table.forget(&(3, vec![0]));
        assert!(!table.known.contains_key(&(3, vec![0])));
    }
}
