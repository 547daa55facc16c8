//! Jobs as they are.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::future::try_join_all;
use jobbie_client::{EventSeq, IterationInfo, JobId, JobInfo, ShardId};
use jobbie_projector::row::{ErrorRow, JobRow};
use jobbie_proto::Request;
use jobbie_proto::limits::{HISTORY_COUNT_MAX, MOVE_HOPS_MAX};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{Body, Caller, Name};
use crate::fetch::dollars;
use crate::job_object::{JobObject, merge};
use crate::json::{self, Raw};
use crate::moment;
use crate::progress::Lag;
use crate::routes::{Doc, Routes};

/// Jobs that one request may ask for.
const JOBS_MAX: usize = 1000;
/// Jobs that a shard looks up at once.
const LOOKUPS_MAX: usize = 100;
/// Iterations that one answer tells.
const ITERATIONS_MAX: usize = 10_000;

pub(crate) fn routes() -> Routes {
    let many = Doc::new("Look at many jobs").takes::<BulkGet>();
    Routes::default()
        .get("/jobs/{id}", one, Doc::new("Look at a job").gives::<JobObject>())
        .post("/jobs/bulk-get", bulk_get, many)
        .get("/jobs/{id}/iterations", iterations, Doc::new("Iterations of an agent job"))
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct BulkGet {
    job_ids: Option<Vec<String>>,
}

fn not_found(id: &str) -> ApiError {
    ApiError::not_found(format!("job {id} not found"))
}

/// Says how far the read model is behind, if it is.
pub(crate) fn with_lag(mut response: Response, lag: Lag) -> Response {
    if lag.events > 0 {
        let text = format!("{};{}", lag.events, lag.ms);
        let value = HeaderValue::from_str(&text).expect("digits are sound");
        response.headers_mut().insert("x-jobbie-lag", value);
    }
    response
}

/// A job in the read model, under the id it has now, and its errors.
async fn row_of(app: &App, job: JobId) -> Result<(Option<JobRow>, Vec<ErrorRow>), ApiError> {
    let Some(read_model) = &app.read_model else { return Ok((None, Vec::new())) };
    read_model
        .ask(move |reader| {
            let mut row = reader.job(job)?;
            for _ in 0..MOVE_HOPS_MAX {
                match row.as_ref().and_then(|row| row.moved_to) {
                    Some(now) => row = reader.job(now)?,
                    None => break,
                }
            }
            let errors = match &row {
                Some(row) if row.errors > 0 => reader.errors(row.id)?,
                _ => Vec::new(),
            };
            Ok::<_, jobbie_projector::Error>((row, errors))
        })
        .await
}

/// Errors as a shard knows them, oldest first.
async fn shard_errors(app: &App, job: JobId) -> Result<Vec<ErrorRow>, ApiError> {
    let found = app.client.errors(job, EventSeq(0), HISTORY_COUNT_MAX).await?;
    let one = |error: &jobbie_client::JobErrorRecord| ErrorRow {
        id: error.event.0,
        attempt: error.attempt,
        error: String::from_utf8_lossy(&error.error).into_owned(),
        backtrace: String::from_utf8_lossy(&error.backtrace).into_owned(),
        at: error.time,
    };
    Ok(found.iter().rev().map(one).collect())
}

async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(id): Name<String>,
) -> Result<Response, ApiError> {
    let job: JobId = id.parse().map_err(|_| not_found(&id))?;
    if job.shard().0 >= app.client.topology().shards {
        return Err(not_found(&id));
    }
    // First the shard: what it does not know any more is then already on its way to the read model.
    let info = app.client.job(job).await?;
    let lag = app.fresh().await;
    let past = row_of(&app, info.as_ref().map_or(job, |info| info.id)).await;
    let (row, mut errors) = match past {
        // What the shard says is worth more than nothing.
        Err(error) if info.is_some() => {
            tracing::warn!(%job, error = error.message, "the read model cannot be read");
            (None, Vec::new())
        }
        past => past?,
    };
    let row = match &info {
        Some(info) => merge(row, info),
        None => row.ok_or_else(|| not_found(&id))?,
    };
    if !caller.namespace.owns(&row.queue) {
        return Err(not_found(&id));
    }
    if errors.is_empty() && info.is_some() && row.errors > 0 {
        errors = shard_errors(&app, row.id).await?;
    }
    Ok(with_lag(json::ok(&JobObject::new(&row, &errors, &caller.namespace)), lag))
}

async fn look_up(
    app: &App,
    shard: ShardId,
    lookups: Vec<JobId>,
) -> Result<Vec<(JobId, Option<JobInfo>)>, ApiError> {
    let mut request = Request { lookups, ..Request::default() };
    Ok(app.client.request(shard, &mut request).await?.lookups)
}

/// What shards know of jobs.
pub(crate) async fn infos(app: &App, jobs: &[JobId]) -> Result<HashMap<JobId, JobInfo>, ApiError> {
    let mut shards: BTreeMap<ShardId, Vec<JobId>> = BTreeMap::new();
    let known = app.client.topology().shards;
    for job in jobs.iter().filter(|job| job.shard().0 < known) {
        shards.entry(job.shard()).or_default().push(*job);
    }
    let asked = shards.iter().flat_map(|(shard, jobs)| {
        jobs.chunks(LOOKUPS_MAX).map(|jobs| look_up(app, *shard, jobs.to_vec()))
    });
    let found = try_join_all(asked).await?.into_iter().flatten();
    Ok(found.filter_map(|(job, info)| Some((job, info?))).collect())
}

async fn bulk_get(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body<BulkGet>,
) -> Result<Response, ApiError> {
    let ids = body.job_ids.unwrap_or_default();
    if ids.len() > JOBS_MAX {
        return Err(ApiError::validation(format!("job_ids: at most {JOBS_MAX}")));
    }
    let jobs: Vec<JobId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
    let infos = infos(&app, &jobs).await?;
    let lag = app.fresh().await;
    let mut rows: HashMap<JobId, (JobRow, Vec<ErrorRow>)> = HashMap::new();
    if let Some(read_model) = &app.read_model {
        let wanted = jobs.clone();
        let found = read_model.ask(move |reader| {
            let with_errors = |row: JobRow| {
                let errors = if row.errors > 0 { reader.errors(row.id)? } else { Vec::new() };
                Ok::<_, jobbie_projector::Error>((row.id, (row, errors)))
            };
            reader.jobs(&wanted)?.into_iter().map(with_errors).collect::<Result<HashMap<_, _>, _>>()
        });
        rows = match found.await {
            // What shards say is worth more than nothing.
            Err(error) if !jobs.iter().all(|job| infos.contains_key(job)) => return Err(error),
            found => found.unwrap_or_default(),
        };
    }
    let mut told = Vec::with_capacity(jobs.len());
    for job in jobs {
        let (row, errors) =
            rows.get(&job).cloned().map_or((None, Vec::new()), |(r, e)| (Some(r), e));
        let row = match (infos.get(&job), row) {
            (Some(info), row) => merge(row, info),
            (None, Some(row)) => row,
            (None, None) => continue,
        };
        if caller.namespace.owns(&row.queue) {
            told.push(JobObject::new(&row, &errors, &caller.namespace));
        }
    }
    Ok(with_lag(json::ok(&json!({ "jobs": told })), lag))
}

/// An iteration of an agent job.
#[derive(Serialize)]
struct Iteration {
    id: u64,
    job_id: String,
    iteration: u32,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Raw>,
    input_tokens: u64,
    output_tokens: u64,
    cache_creation_tokens: u64,
    cache_read_tokens: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    model: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    provider: String,
    cost_usd: f64,
    created_at: String,
}

impl Iteration {
    fn new(job: JobId, of: &IterationInfo) -> Self {
        let reason = String::from_utf8_lossy(&of.reason).into_owned();
        Self {
            id: of.event.0,
            job_id: job.to_string(),
            iteration: of.number,
            status: of.status.name(),
            checkpoint: json::some_raw(&of.checkpoint),
            hold_reason: Some(reason).filter(|reason| !reason.is_empty()),
            result: json::some_raw(&of.result),
            input_tokens: of.amounts.input_tokens,
            output_tokens: of.amounts.output_tokens,
            cache_creation_tokens: of.amounts.cache_creation_tokens,
            cache_read_tokens: of.amounts.cache_read_tokens,
            model: of.model.clone(),
            provider: of.provider.clone(),
            cost_usd: dollars(of.amounts.cost_micros),
            created_at: moment::text(of.time),
        }
    }
}

async fn iterations(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(id): Name<String>,
) -> Result<Response, ApiError> {
    let job: JobId = id.parse().map_err(|_| not_found(&id))?;
    if job.shard().0 >= app.client.topology().shards {
        return Err(not_found(&id));
    }
    let queue = app.queue_of(job).await?.ok_or_else(|| not_found(&id))?;
    if !caller.namespace.owns(&queue) {
        return Err(not_found(&id));
    }
    let (mut told, mut from) = (Vec::new(), EventSeq(0));
    loop {
        let page = app.client.iterations(job, from, HISTORY_COUNT_MAX).await?;
        let Some(last) = page.last() else { break };
        from = last.previous;
        told.extend(page.iter().map(|one| Iteration::new(job, one)));
        if from == EventSeq(0) {
            break;
        }
        if told.len() > ITERATIONS_MAX {
            let message = format!("the job has more than {ITERATIONS_MAX} iterations");
            return Err(ApiError::new(StatusCode::INSUFFICIENT_STORAGE, "STORE_ERROR", message));
        }
    }
    told.reverse();
    Ok(json::ok(&json!({ "iterations": told })))
}
