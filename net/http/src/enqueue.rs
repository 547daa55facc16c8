//! New jobs, one at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jobbie_client::Error;
use schemars::JsonSchema;
use serde::Serialize;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{self, Body, Caller, Name, Params};
use crate::json::{self, Raw};
use crate::moment::{self, Timestamp};
use crate::new_job::{NewJobBody, Prepared};
use crate::routes::{Doc, Routes};

/// The header by which a request that is sent again does nothing again.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

pub(crate) fn routes() -> Routes {
    Routes::default()
        .post(
            "/enqueue",
            one,
            Doc::new("Enqueue a job").takes::<NewJobBody>().gives::<Enqueued>().status(201),
        )
        .post(
            "/webhooks/{queue}",
            webhook,
            Doc::new("Enqueue whatever the body is, with options as query parameters")
                .gives::<Enqueued>()
                .status(201),
        )
}

/// A job that is in the log.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Enqueued {
    pub(crate) job_id: String,
    pub(crate) status: &'static str,
    pub(crate) unique_existing: bool,
}

/// The idempotency key of a request, if it has one.
///
/// # Errors
/// When it cannot be one.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&[u8]>, ApiError> {
    let key = headers.get(IDEMPOTENCY_KEY).map(axum::http::HeaderValue::as_bytes);
    match key {
        Some(key) if key.is_empty() || key.len() > jobbie_proto::limits::KEY_BYTES_MAX => {
            Err(ApiError::validation("Idempotency-Key: 1 to 255 bytes"))
        }
        key => Ok(key),
    }
}

async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Body(body): Body<NewJobBody>,
) -> Result<Response, ApiError> {
    put(&app, &caller, &headers, body).await
}

async fn put(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    body: NewJobBody,
) -> Result<Response, ApiError> {
    let key = idempotency_key(headers)?.map(<[u8]>::to_vec);
    let prepared = Prepared::new(body, &caller.namespace, app.config.limits.payload_bytes, "")?;
    let _place = app.admit()?;
    let made = app.client.enqueue_tied(&[prepared.job(key.as_deref())]).await;
    let made = made.into_iter().next().unwrap_or_else(|| Err(no_answer()))?;
    // With an idempotency key alone, a repeat is answered as the first time.
    let existing = made.duplicate && (key.is_none() || prepared.is_unique());
    let (code, status) = match existing {
        true => (StatusCode::OK, "duplicate"),
        false => (StatusCode::CREATED, prepared.status()),
    };
    let job_id = made.id.to_string();
    Ok(json::answer(code, &Enqueued { job_id, status, unique_existing: existing }))
}

pub(crate) fn no_answer() -> Error {
    Error::Invalid("the server's answer lacks what was asked for".to_owned())
}

/// `k:v,k2:v2`.
fn tags(text: &str) -> Result<BTreeMap<String, String>, ApiError> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once(':').filter(|(key, _)| !key.trim().is_empty())?;
        Some((key.trim().to_owned(), value.trim().to_owned()))
    };
    let bad = || ApiError::validation(format!("tags: \"{text}\" is not like k:v,k2:v2"));
    text.split(',').map(|text| pair(text).ok_or_else(bad)).collect()
}

fn webhook_payload(bytes: &[u8]) -> Raw {
    json::payload(bytes.trim_ascii())
}

async fn webhook(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(queue): Name<String>,
    params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    let scheduled_at = match params.get("scheduled_at") {
        None => None,
        Some(text) => {
            let bad = || ApiError::validation(format!("scheduled_at: \"{text}\" is not RFC 3339"));
            Some(Timestamp(moment::parse(text).ok_or_else(bad)?))
        }
    };
    let tags = params.get("tags").map(tags).transpose()?;
    let tags = tags.map(|tags| json::raw(serde_json::json!(tags).to_string().as_bytes()));
    let mut body = NewJobBody {
        queue: Some(queue),
        priority: params.get("priority").map(str::to_owned),
        unique_key: params.get("unique_key").map(str::to_owned),
        max_retries: params.number("max_retries")?,
        scheduled_at,
        tags,
        ..NewJobBody::default()
    };
    let bytes = extract::bytes(request, app.config.limits.body_bytes).await?;
    body.payload = Some(webhook_payload(&bytes));
    put(&app, &caller, &headers, body).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_a_query() {
        let found = tags("k:v, k2:a:b").expect("tags");
        assert_eq!(found["k"], "v");
        assert_eq!(found["k2"], "a:b");
        assert!(tags("k").is_err() && tags(":v").is_err());
    }

    #[test]
    fn whatever_comes_is_a_payload() {
        assert_eq!(webhook_payload(b"").get(), "{}");
        assert_eq!(webhook_payload(b" [1] ").get(), "[1]");
        assert_eq!(webhook_payload(b"a=1&b=2").get(), "\"a=1&b=2\"");
    }
}
