//! Queues and what limits them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use futures_util::future::join_all;
use jobbie_client::{JobState, QueueSettings, QueueStats};
use jobbie_projector::search::{Filter, Search};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{Body, Caller, Name};
use crate::json;
use crate::moment;
use crate::namespace::Namespace;
use crate::routes::{Doc, Routes};

const CODE: &str = "QUEUE_ERROR";
/// Queues of which the oldest waiting job is told.
const OLDEST_MAX: usize = 100;
/// How long the end of a clear or delete is waited for.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

pub(crate) fn routes() -> Routes {
    Routes::default()
        .get("/queues", list, Doc::new("Queues by name").gives::<Vec<Row>>())
        .post("/queues/{name}/pause", pause, Doc::new("Hand out no more jobs"))
        .post("/queues/{name}/resume", resume, Doc::new("Hand out jobs again"))
        .post(
            "/queues/{name}/drain",
            drain,
            Doc::new("Hand out no more jobs, until none is active"),
        )
        .post("/queues/{name}/clear", clear, Doc::new("Remove pending and scheduled jobs"))
        .post(
            "/queues/{name}/concurrency",
            concurrency,
            Doc::new("Limit active jobs; 0 is no limit").takes::<Concurrency>(),
        )
        .post("/queues/{name}/throttle", throttle, Doc::new("Limit the rate").takes::<Throttle>())
        .delete("/queues/{name}/throttle", unthrottle, Doc::new("Do not limit the rate"))
        .delete("/queues/{name}", delete, Doc::new("Remove a queue with all its jobs"))
}

/// A queue.
#[derive(Serialize, JsonSchema)]
struct Row {
    name: String,
    paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_concurrency: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_window_ms: Option<u32>,
    pending: u64,
    active: u64,
    held: u64,
    completed: u64,
    dead: u64,
    scheduled: u64,
    retrying: u64,
    enqueued: u64,
    failed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_pending_at: Option<String>,
    /// Beyond the contract.
    cancelled: u64,
    /// Beyond the contract.
    draining: bool,
    /// What a budget without money does to it. Beyond the contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_exceeded: Option<&'static str>,
}

impl Row {
    fn new(stats: &QueueStats, by: &Namespace, oldest: Option<String>) -> Self {
        let settings = &stats.settings;
        let limit = |limit: u32| Some(limit).filter(|limit| *limit > 0);
        let jobs = |state: JobState| stats.jobs[state as usize];
        Self {
            name: by.shown(&stats.queue).to_owned(),
            paused: stats.paused || stats.draining,
            max_concurrency: limit(settings.concurrency),
            rate_limit: limit(settings.rate),
            rate_window_ms: limit(settings.rate).and(limit(settings.window_ms)),
            pending: jobs(JobState::Pending),
            active: jobs(JobState::Active),
            held: jobs(JobState::Held),
            completed: jobs(JobState::Completed),
            dead: jobs(JobState::Dead),
            scheduled: jobs(JobState::Scheduled),
            retrying: jobs(JobState::Retrying),
            enqueued: stats.enqueued_total,
            failed: 0,
            oldest_pending_at: oldest,
            cancelled: jobs(JobState::Cancelled),
            draining: stats.draining,
            budget_exceeded: stats.exceeded.map(|exceeded| exceeded.name()),
        }
    }
}

/// When the oldest waiting job of a queue was made.
async fn oldest(app: &App, stats: &QueueStats, tells: bool) -> Option<String> {
    let has_any = stats.jobs[JobState::Pending as usize] > 0;
    let read_model = app.read_model.as_ref().filter(|_| tells && has_any)?;
    let filter = Filter {
        queue: Some(stats.queue.clone()),
        states: vec![JobState::Pending],
        ..Filter::default()
    };
    let search = Search { filter, ascending: true, limit: 1, ..Search::default() };
    // While the read model cannot be read, what shards say is worth more than nothing.
    let page = read_model.ask(move |reader| reader.search(&search)).await.ok()?;
    page.jobs.first().map(|row| moment::text(row.created))
}

/// Queues of a namespace.
pub(crate) async fn of(app: &App, by: &Namespace) -> Result<Vec<QueueStats>, ApiError> {
    let mut all = app.client.queues(by.prefix()).await?;
    all.retain(|stats| by.owns(&stats.queue));
    Ok(all)
}

async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, ApiError> {
    let by = &caller.namespace;
    let queues = of(&app, by).await?;
    let tells = queues.len() <= OLDEST_MAX;
    let oldest = join_all(queues.iter().map(|stats| oldest(&app, stats, tells))).await;
    let rows = queues.iter().zip(oldest).map(|(stats, oldest)| Row::new(stats, by, oldest));
    Ok(json::ok(&rows.collect::<Vec<_>>()))
}

fn failed(error: jobbie_client::Error) -> ApiError {
    ApiError::from(error).of(CODE)
}

fn queue(by: &Caller, name: &str) -> Result<String, ApiError> {
    by.namespace.queue(name).map_err(|error| error.of(CODE))
}

async fn pause(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(name): Name<String>,
) -> Result<Response, ApiError> {
    app.client.pause(&queue(&caller, &name)?).await.map_err(failed)?;
    Ok(json::status("paused"))
}

async fn resume(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(name): Name<String>,
) -> Result<Response, ApiError> {
    app.client.resume(&queue(&caller, &name)?).await.map_err(failed)?;
    Ok(json::status("resumed"))
}

async fn drain(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(name): Name<String>,
) -> Result<Response, ApiError> {
    app.client.drain(&queue(&caller, &name)?).await.map_err(failed)?;
    Ok(json::status("draining"))
}

/// From the answer of the shard on nothing of it is handed out; its end is waited for so that lists are right too.
async fn wait(app: &App, operation: &jobbie_client::Operation) -> Result<(), ApiError> {
    match tokio::time::timeout(PATIENCE, app.client.finished(operation)).await {
        Ok(finished) => finished.map(drop).map_err(failed),
        Err(_) => Ok(()),
    }
}

async fn clear(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(name): Name<String>,
) -> Result<Response, ApiError> {
    let operation = app.client.clear(&queue(&caller, &name)?).await.map_err(failed)?;
    wait(&app, &operation).await?;
    Ok(json::status("cleared"))
}

async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(name): Name<String>,
) -> Result<Response, ApiError> {
    let operation = app.client.delete_queue(&queue(&caller, &name)?).await.map_err(failed)?;
    wait(&app, &operation).await?;
    Ok(json::status("deleted"))
}

/// Changes settings, of which shards take all at once.
async fn change(
    app: &App,
    queue: &str,
    change: impl FnOnce(&mut QueueSettings),
) -> Result<Response, ApiError> {
    let _alone = app.settings.lock().await;
    let mut settings = app.client.queue(queue).await.map_err(failed)?.settings;
    change(&mut settings);
    app.client.configure(queue, settings).await.map_err(failed)?;
    Ok(json::status("ok"))
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Concurrency {
    max: Option<i64>,
}

async fn concurrency(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(name): Name<String>,
    Body(body): Body<Concurrency>,
) -> Result<Response, ApiError> {
    let max = u32::try_from(body.max.unwrap_or(0).max(0)).unwrap_or(u32::MAX);
    change(&app, &queue(&caller, &name)?, |settings| settings.concurrency = max).await
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Throttle {
    rate: Option<i64>,
    window_ms: Option<i64>,
}

async fn throttle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(name): Name<String>,
    Body(body): Body<Throttle>,
) -> Result<Response, ApiError> {
    let positive =
        |number: Option<i64>| number.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
    let bad = || ApiError::validation("rate and window_ms: more than 0 each");
    let rate = positive(body.rate).ok_or_else(bad)?;
    let window_ms = positive(body.window_ms).ok_or_else(bad)?;
    let set = |settings: &mut QueueSettings| {
        (settings.rate, settings.window_ms) = (rate, window_ms);
    };
    change(&app, &queue(&caller, &name)?, set).await
}

async fn unthrottle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(name): Name<String>,
) -> Result<Response, ApiError> {
    let unset = |settings: &mut QueueSettings| (settings.rate, settings.window_ms) = (0, 0);
    change(&app, &queue(&caller, &name)?, unset).await
}
