//! What operators do with single jobs.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jobbie_client::{Error, JobId, JobInfo, JobState};
use jobbie_proto::Code;
use jobbie_proto::request::Hold;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::app::App;
use crate::archived::{self, Act};
use crate::enqueue::Enqueued;
use crate::error::ApiError;
use crate::extract::{Body, Caller, Name, OptionalBody};
use crate::json;
use crate::routes::{Doc, Routes};

pub(crate) fn routes() -> Routes {
    let reject = Doc::new("End a held job, or send an agent job back with feedback");
    Routes::default()
        .post("/jobs/{id}/retry", retry, Doc::new("Run a job again, with all attempts before it"))
        .post("/jobs/{id}/cancel", cancel, Doc::new("Call a job off"))
        .post("/jobs/{id}/move", move_job, Doc::new("Put a job into another queue").takes::<Move>())
        .delete("/jobs/{id}", delete, Doc::new("Remove a job"))
        .post("/jobs/{id}/hold", hold, Doc::new("Let a job wait for a human").takes::<HoldNote>())
        .post("/jobs/{id}/approve", approve, Doc::new("Let a held job go on").takes::<Approval>())
        .post("/jobs/{id}/reject", reject_job, reject.takes::<Rejection>())
        .post(
            "/jobs/{id}/replay",
            replay,
            Doc::new("A new job from an iteration of an agent job")
                .takes::<Replay>()
                .gives::<Enqueued>()
                .status(201),
        )
}

/// A job of the caller's, and what its shard knows of it.
async fn owned(
    app: &App,
    by: &Caller,
    id: &str,
    code: &'static str,
) -> Result<(JobId, Option<JobInfo>), ApiError> {
    let unknown = || unknown(id, code);
    let job: JobId = id.parse().map_err(|_| unknown())?;
    if job.shard().0 >= app.client.topology().shards {
        return Err(unknown());
    }
    let info = app.client.job(job).await?;
    if info.as_ref().is_some_and(|info| !by.namespace.owns(&info.queue)) {
        return Err(ApiError::not_found(format!("job {id} not found")));
    }
    Ok((job, info))
}

/// Does something to a job in memory or, when its shard has let it go as completed, to what is kept of it.
async fn anywhere(
    app: &App,
    by: &Caller,
    (job, info): (JobId, Option<JobInfo>),
    live: impl Future<Output = Result<(), Error>>,
    act: Act,
    code: &'static str,
) -> Result<(), ApiError> {
    if info.is_some() {
        match live.await {
            // It was completed meanwhile.
            Err(Error::Job { code: Code::NotFound, .. }) => {}
            done => return done.map_err(|error| failed(error, code)),
        }
    }
    let row = archived::completed(app, &by.namespace, job).await?;
    let row = row.ok_or_else(|| unknown(&job.to_string(), code))?;
    archived::act(app, &row, &act).await.map_err(|error| failed(error, code))
}

fn failed(error: Error, code: &'static str) -> ApiError {
    if code == "NOT_FOUND" { error.into() } else { ApiError::of_job(error, code) }
}

fn unknown(id: &str, code: &'static str) -> ApiError {
    match code {
        "NOT_FOUND" => ApiError::not_found(format!("job {id} not found")),
        code => ApiError::bad(code, format!("job {id} is not known")),
    }
}

async fn retry(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(id): Name<String>,
) -> Result<Response, ApiError> {
    let code = "RETRY_ERROR";
    let found = owned(&app, &caller, &id, code).await?;
    let live = app.client.retry(found.0);
    anywhere(&app, &caller, found, live, Act::Revive, code).await?;
    Ok(json::status("retried"))
}

async fn cancel(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(id): Name<String>,
) -> Result<Response, ApiError> {
    let code = "CANCEL_ERROR";
    let (job, info) = owned(&app, &caller, &id, code).await?;
    app.client.cancel(job).await.map_err(|error| ApiError::of_job(error, code))?;
    let was_active = info.is_some_and(|info| info.state == JobState::Active);
    Ok(json::status(if was_active { "cancelling" } else { "cancelled" }))
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Move {
    queue: Option<String>,
}

async fn move_job(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(id): Name<String>,
    Body(body): Body<Move>,
) -> Result<Response, ApiError> {
    let code = "MOVE_ERROR";
    let queue = caller.namespace.queue(&body.queue.unwrap_or_default())?;
    let found = owned(&app, &caller, &id, code).await?;
    let live = app.client.move_job(found.0, &queue);
    anywhere(&app, &caller, found, live, Act::Move(queue.clone()), code).await?;
    Ok(json::status("moved"))
}

async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(id): Name<String>,
) -> Result<Response, ApiError> {
    let code = "NOT_FOUND";
    let found = owned(&app, &caller, &id, code).await?;
    let live = app.client.delete(found.0);
    anywhere(&app, &caller, found, live, Act::Delete, code).await?;
    Ok(json::status("deleted"))
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct HoldNote {
    reason: Option<String>,
    held_by: Option<String>,
}

async fn hold(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(id): Name<String>,
    OptionalBody(body): OptionalBody<HoldNote>,
) -> Result<Response, ApiError> {
    let code = "HOLD_ERROR";
    let (job, _) = owned(&app, &caller, &id, code).await?;
    let (reason, by) = (body.reason.unwrap_or_default(), body.held_by.unwrap_or_default());
    let hold = Hold { reason: reason.as_bytes(), by: &by, ..Hold::default() };
    app.client.hold(job, hold).await.map_err(|error| ApiError::of_job(error, code))?;
    Ok(json::status("held"))
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Approval {
    approved_by: Option<String>,
    note: Option<String>,
}

async fn approve(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(id): Name<String>,
    OptionalBody(body): OptionalBody<Approval>,
) -> Result<Response, ApiError> {
    let code = "APPROVE_ERROR";
    let (job, _) = owned(&app, &caller, &id, code).await?;
    let (note, by) = (body.note.unwrap_or_default(), body.approved_by.unwrap_or_default());
    app.client.approve(job, &note, &by).await.map_err(|error| ApiError::of_job(error, code))?;
    Ok(json::status("pending"))
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Rejection {
    rejected_by: Option<String>,
    reason: Option<String>,
    revise: Option<bool>,
    feedback: Option<String>,
}

async fn reject_job(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(id): Name<String>,
    OptionalBody(body): OptionalBody<Rejection>,
) -> Result<Response, ApiError> {
    let code = "REJECT_ERROR";
    let (job, _) = owned(&app, &caller, &id, code).await?;
    let by = body.rejected_by.unwrap_or_default();
    let failed = |error| ApiError::of_job(error, code);
    if body.revise.unwrap_or(false) {
        let feedback = body.feedback.unwrap_or_default();
        app.client.revise(job, &feedback, &by).await.map_err(failed)?;
        return Ok(json::status("pending"));
    }
    let reason = body.reason.unwrap_or_default();
    app.client.reject(job, &reason, &by).await.map_err(failed)?;
    Ok(json::status("dead"))
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Replay {
    from: Option<i64>,
}

async fn replay(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(id): Name<String>,
    Body(body): Body<Replay>,
) -> Result<Response, ApiError> {
    let code = "REPLAY_ERROR";
    let from = body.from.and_then(|from| u32::try_from(from).ok()).filter(|from| *from > 0);
    let from = from.ok_or_else(|| ApiError::validation("from must be more than 0"))?;
    let (job, _) = owned(&app, &caller, &id, code).await?;
    let made = app.client.replay(job, from, &[]).await;
    let made = made.map_err(|error| ApiError::of_job(error, code))?;
    let told = Enqueued { job_id: made.id.to_string(), status: "pending", unique_existing: false };
    Ok(json::answer(StatusCode::CREATED, &told))
}
