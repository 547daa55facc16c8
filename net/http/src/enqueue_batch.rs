//! Many new jobs at once, with or without a callback when all have ended.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jobbie_client::{BatchId, Enqueued, NewJob, TiedJob};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::enqueue::no_answer;
use crate::error::ApiError;
use crate::extract::{BatchBody, Caller};
use crate::json::{self, Raw};
use crate::new_job::{NewJobBody, Prepared};
use crate::routes::{Doc, Routes};

pub(crate) fn routes() -> Routes {
    let doc = Doc::new("Enqueue many jobs").takes::<Many>().gives::<ManyEnqueued>().status(201);
    Routes::default().post("/enqueue/batch", many, doc)
}

/// New jobs.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Many {
    jobs: Option<Vec<NewJobBody>>,
    #[serde(deserialize_with = "json::object")]
    batch: Option<BatchOptions>,
}

/// What happens when all of them have ended.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct BatchOptions {
    callback_queue: Option<String>,
    #[serde(deserialize_with = "json::unless_null")]
    callback_payload: Option<Raw>,
}

/// Jobs in the order of the request.
#[derive(Serialize, JsonSchema)]
struct ManyEnqueued {
    job_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_id: Option<String>,
}

async fn many(
    State(app): State<Arc<App>>,
    caller: Caller,
    BatchBody(body): BatchBody<Many>,
) -> Result<Response, ApiError> {
    let jobs = body.jobs.unwrap_or_default();
    if jobs.is_empty() {
        return Err(ApiError::validation("jobs is required"));
    }
    app.charge_more(&caller, jobs.len())?;
    let prepare = |(n, body)| {
        let payload_bytes = app.config.limits.payload_bytes;
        Prepared::new(body, &caller.namespace, payload_bytes, &format!("jobs[{n}]."))
    };
    let prepared = jobs.into_iter().enumerate().map(prepare).collect::<Result<Vec<_>, _>>()?;
    let _place = app.admit()?;
    let batch = match body.batch {
        None => None,
        Some(options) => Some(open(&app, &caller, &options).await?),
    };
    let tie = |prepared| {
        let job: TiedJob<'_> = Prepared::job(prepared, None);
        match batch {
            Some(batch) => job.batch(batch),
            None => job,
        }
    };
    let tied: Vec<TiedJob<'_>> = prepared.iter().map(tie).collect();
    let made = all_or_nothing(&app, app.client.enqueue_tied(&tied).await).await?;
    if let Some(batch) = batch {
        let total = made.iter().filter(|made| !made.duplicate).count() as u64;
        app.client.seal_batch(batch, total).await?;
    }
    let job_ids = made.iter().map(|made| made.id.to_string()).collect();
    let batch_id = batch.map(|batch| batch.to_string());
    Ok(json::answer(StatusCode::CREATED, &ManyEnqueued { job_ids, batch_id }))
}

async fn open(app: &App, by: &Caller, options: &BatchOptions) -> Result<BatchId, ApiError> {
    let queue = options.callback_queue.as_deref().filter(|queue| !queue.is_empty());
    let queue = queue.map(|queue| by.namespace.queue(queue)).transpose()?;
    let payload = json::bytes(options.callback_payload.as_ref());
    let callback = queue.as_deref().map(|queue| NewJob::new(queue, payload));
    Ok(app.client.open_batch(callback.as_ref()).await?)
}

/// Jobs of several shards are made by several requests: when one is refused, what the others made is removed again.
async fn all_or_nothing(
    app: &App,
    results: Vec<Result<Enqueued, jobbie_client::Error>>,
) -> Result<Vec<Enqueued>, ApiError> {
    let mut failed = None;
    let mut made = Vec::with_capacity(results.len());
    for result in results {
        match result {
            Ok(one) => made.push(one),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    let Some(error) = failed else {
        return if made.is_empty() { Err(no_answer().into()) } else { Ok(made) };
    };
    for one in made.iter().filter(|one| !one.duplicate) {
        if let Err(error) = app.client.delete(one.id).await {
            tracing::warn!(job = %one.id, %error, "a job of a refused batch stays");
        }
    }
    Err(error.into())
}
