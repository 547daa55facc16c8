//! What happens to every request before and after its handler.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::Caller;
use crate::namespace::Namespace;

/// Who sent a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Bytes of a request id that is taken over.
const REQUEST_ID_BYTES_MAX: usize = 128;
const REQUEST_ID: &str = "x-request-id";
/// How clients of the contract spell the beginning of headers of their own.
pub(crate) const VENDOR: &str = "corvo";

/// Bytes of a body that is taken in before its route is asked.
const WHOLE_BYTES_MAX: usize = 64 << 10;
/// How long it may take to come.
const BODY_TIME: Duration = Duration::from_secs(30);

/// What counts as nobody's route.
const NO_ROUTE: &str = "none";

/// A header of ours, under our name or the contract's.
pub(crate) fn own_header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let ours = headers.get(format!("x-jobbie-{name}"));
    let value = ours.or_else(|| headers.get(format!("x-{VENDOR}-{name}")));
    value.and_then(|value| value.to_str().ok())
}

fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| {
        let bytes = id.as_bytes();
        (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    });
    given.cloned().unwrap_or_else(|| {
        let made = format!("{:016x}", rand::random::<u64>());
        HeaderValue::from_str(&made).expect("hexadecimal digits are sound")
    })
}

/// Request id, counters, access log, CORS and timing.
pub(crate) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    app.metrics.in_flight.inc();
    let mut response = next.run(request).await;
    app.metrics.in_flight.dec();
    let took = begun.elapsed();
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    app.metrics.count(&method, route, took);
    let status = response.status();
    if status.is_server_error() {
        app.metrics.errors.inc();
    }
    let ms = took.as_secs_f64() * 1000.0;
    let shown_id = id.to_str().unwrap_or_default();
    tracing::debug!(%method, path, status = status.as_u16(), ms, request_id = shown_id, "request");
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    let timing = HeaderValue::from_str(&format!("proc;dur={ms:.3}")).expect("digits are sound");
    headers.insert("server-timing", timing);
    put_cors(headers);
    response
}

/// Takes in a small body before anything is answered, whether or not its route wants one: with a part of it unread, the connection
/// could not be used again, and whoever keeps it open would find out with the next request.
pub(crate) async fn whole_body(request: Request, next: Next) -> Response {
    let len = request.headers().get(header::CONTENT_LENGTH);
    let len: usize = len.and_then(|len| len.to_str().ok()?.parse().ok()).unwrap_or(0);
    if len == 0 || len > WHOLE_BYTES_MAX {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    match timeout(BODY_TIME, to_bytes(body, WHOLE_BYTES_MAX)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        _ => {
            let message = "the body that Content-Length announces did not come";
            ApiError::new(StatusCode::REQUEST_TIMEOUT, "PARSE_ERROR", message).into_response()
        }
    }
}

/// `OPTIONS` of anything asks what may be asked.
pub(crate) async fn any_options(request: Request, next: Next) -> Response {
    if *request.method() != Method::OPTIONS {
        return next.run(request).await;
    }
    let mut response = Response::new(Body::empty());
    put_cors(response.headers_mut());
    response
}

fn put_cors(headers: &mut HeaderMap) {
    let pairs = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE, OPTIONS"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Content-Type, Authorization, X-API-Key, X-Jobbie-Namespace, Idempotency-Key, \
             Connect-Protocol-Version, Connect-Timeout-Ms, Grpc-Timeout, X-Grpc-Web, X-User-Agent",
        ),
    ];
    for (name, value) in pairs {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// What a panic of a handler is answered with.
pub(crate) fn panicked(why: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let text = why.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| why.downcast_ref::<&str>().copied()).unwrap_or("no text");
    tracing::error!(panic = text, "a handler panicked");
    ApiError::internal("internal error").into_response()
}

/// What the credential of a request is: an API key before a bearer token before a cookie.
fn credential(headers: &HeaderMap) -> Option<&str> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    if let Some(key) = headers.get("x-api-key").and_then(|v| v.to_str().ok()) {
        return Some(key.trim());
    }
    let bearer = text(header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let cookie = || {
        let all = text(header::COOKIE)?.split(';').map(str::trim);
        all.filter_map(|pair| pair.strip_prefix("jobbie_api_key=")).next()
    };
    bearer.or_else(cookie)
}

fn is_equal(a: &[u8], b: &[u8]) -> bool {
    // Takes as long wherever they differ.
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// What the rate of a caller is counted by.
fn client_key(request: &Request) -> u64 {
    let headers = request.headers();
    let forwarded = headers.get("x-forwarded-for").and_then(|v| v.to_str().ok());
    let mut hash = DefaultHasher::new();
    if let Some(key) = headers.get("x-api-key").or_else(|| headers.get(header::AUTHORIZATION)) {
        key.as_bytes().hash(&mut hash);
    } else if let Some(first) = forwarded.and_then(|all| all.split(',').next()) {
        first.trim().hash(&mut hash);
    } else if let Some(Peer(address)) = request.extensions().get() {
        address.ip().hash(&mut hash);
    }
    hash.finish()
}

fn authenticate(app: &App, headers: &HeaderMap) -> Result<Namespace, ApiError> {
    let unauthorized =
        |message: &str| ApiError::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message);
    let token = app.config.token.as_bytes();
    if !token.is_empty() {
        let shown = credential(headers).filter(|key| !key.is_empty());
        let shown = shown.ok_or_else(|| unauthorized("missing API key"))?;
        if !is_equal(shown.as_bytes(), token) {
            return Err(unauthorized("invalid API key"));
        }
    }
    Namespace::new(own_header(headers, "namespace").unwrap_or_default().trim())
}

/// Who sends a request that costs `cost`.
///
/// # Errors
/// When it is one too many, or its credential is none.
pub(crate) fn caller(app: &App, request: &Request, cost: u32) -> Result<Caller, ApiError> {
    let client = client_key(request);
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let taken = app.limiter.take(client, is_read, cost);
    taken.inspect_err(|_| app.metrics.throttled.inc())?;
    Ok(Caller { namespace: authenticate(app, request.headers())?, client })
}

/// Rate and credential of everything below `/api/v1`.
pub(crate) async fn guard(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    match caller(&app, &request, 1) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

/// No such route.
pub(crate) async fn no_route() -> ApiError {
    ApiError::not_found("no such route")
}

/// The route takes other methods.
pub(crate) async fn no_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        "the route does not take this method",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (header::HeaderName::from_static(name), value.parse().expect("a header"))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn an_api_key_goes_before_a_token_and_a_token_before_a_cookie() {
        let all =
            [("x-api-key", "k"), ("authorization", "Bearer b"), ("cookie", "jobbie_api_key=c")];
        assert_eq!(credential(&headers(&all)), Some("k"));
        assert_eq!(credential(&headers(&all[1..])), Some("b"));
        assert_eq!(credential(&headers(&all[2..])), Some("c"));
        assert_eq!(credential(&headers(&[("authorization", "Basic b")])), None);
    }

    #[test]
    fn headers_of_ours_have_two_names() {
        let ours = [("x-jobbie-namespace", "a"), ("x-corvo-namespace", "b")];
        assert_eq!(own_header(&headers(&ours), "namespace"), Some("a"));
        assert_eq!(own_header(&headers(&ours[1..]), "namespace"), Some("b"));
    }

    #[test]
    fn a_request_id_is_taken_over_if_it_is_sound() {
        let id = |value: &str| request_id(&headers(&[(REQUEST_ID, value)]));
        assert_eq!(id("abc-1"), "abc-1");
        assert_eq!(id("a b").len(), 16);
        assert_eq!(id(&"a".repeat(200)).len(), 16);
    }
}
