//! What handlers get of a request.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::BytesMut;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::error::ApiError;
use crate::namespace::Namespace;

/// Bytes of a body beyond its limit that are read before it is refused.
const DRAINED_BYTES_MAX: usize = 16 << 20;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) namespace: Namespace,
    /// What its rate is counted by.
    pub(crate) client: u64,
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| ApiError::internal("the route has no authentication"))
    }
}

/// A body with one thing in it.
pub(crate) struct Body<T>(pub(crate) T);
/// A body with many.
pub(crate) struct BatchBody<T>(pub(crate) T);
/// A body that may be missing.
pub(crate) struct OptionalBody<T>(pub(crate) T);

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    kind.is_empty() || kind == "application/json" || kind.ends_with("+json")
}

/// The whole body, if it is not too long. What is somewhat too long is read all the same: who is still sending does not see an
/// answer when the connection is closed.
pub(crate) async fn bytes(request: Request, max: usize) -> Result<Bytes, ApiError> {
    let mut body = request.into_body();
    let (mut whole, mut length) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let broken = |e| ApiError::bad("PARSE_ERROR", format!("the body broke off: {e}"));
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        length += data.len();
        if length <= max {
            whole.extend_from_slice(&data);
        } else if length > max + DRAINED_BYTES_MAX {
            break;
        }
    }
    if length > max {
        return Err(ApiError::too_large(format!("the body is longer than {max} bytes")));
    }
    Ok(whole.freeze())
}

/// The whole body, if it says that it is JSON, or nothing.
async fn json(request: Request, max: usize) -> Result<Bytes, ApiError> {
    let sound = is_json(request.headers());
    let bytes = bytes(request, max).await?;
    if !sound && !bytes.is_empty() {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UNSUPPORTED_MEDIA_TYPE",
            "Content-Type must be application/json",
        ));
    }
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // Every body is an object; a list with the values of its fields in order is none.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::parse());
    }
    serde_json::from_slice(bytes).map_err(|_| ApiError::parse())
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        parse(&json(request, app.config.limits.body_bytes).await?).map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for BatchBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        parse(&json(request, app.config.limits.batch_body_bytes).await?).map(Self)
    }
}

impl<T: DeserializeOwned + Default> FromRequest<Arc<App>> for OptionalBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let bytes = json(request, app.config.limits.body_bytes).await?;
        let is_blank = bytes.iter().all(u8::is_ascii_whitespace);
        if is_blank { Ok(Self(T::default())) } else { parse(&bytes).map(Self) }
    }
}

/// What is in a path, percent signs decoded once.
pub(crate) struct Name<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<App>> for Name<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let found = Path::<T>::from_request_parts(parts, app).await;
        found.map(|Path(name)| Self(name)).map_err(|error| ApiError::validation(error.body_text()))
    }
}

/// What is behind the question mark. What is there twice counts as it came last.
pub(crate) struct Params(HashMap<String, String>);

impl FromRequestParts<Arc<App>> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, ApiError> {
        let found = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let found = found.map_err(|error| ApiError::validation(error.body_text()))?;
        Ok(Self(found.0.into_iter().collect()))
    }
}

impl Params {
    /// A parameter that is there and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// A number.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, ApiError> {
        let bad = |text: &str| ApiError::validation(format!("{name}: \"{text}\" is no number"));
        self.get(name).map(|text| text.trim().parse().map_err(|_| bad(text))).transpose()
    }

    /// Words between commas.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let words = self.get(name).unwrap_or_default().split(',');
        words.map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        let of = |kind: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().expect("a header"));
            is_json(&headers)
        };
        assert!(is_json(&HeaderMap::new()));
        let good =
            ["application/json", "Application/JSON; charset=utf-8", "application/a+json", ""];
        assert!(good.into_iter().all(of));
        assert!(!["text/plain", "application/x-www-form-urlencoded"].into_iter().any(of));
    }
}
