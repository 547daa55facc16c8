//! One thing done to many jobs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jobbie_client::{
    BulkAction, HoldEnd, JobFilter, JobId, Micros, Operation, OperationStatus, OperationView,
};
use jobbie_proto::id::OperationRef;
use jobbie_proto::{OperationId, ShardId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{BatchBody, Caller, Name};
use crate::json;
use crate::moment::{self, Timestamp};
use crate::namespace::Namespace;
use crate::options::priority;
use crate::routes::{Doc, Routes};
use crate::search::{SearchBody, states};

const CODE: &str = "BULK_ERROR";
/// Of more jobs than this nobody waits for the end.
const WAITED_FOR_MAX: u64 = 10_000;
/// Jobs that a filter may find which shards cannot evaluate.
const FOUND_MAX: usize = 500_000;
/// How long the end is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
const PREFIX: &str = "bulk_";

pub(crate) fn routes() -> Routes {
    Routes::default()
        .post("/jobs/bulk", bulk, Doc::new("Do one thing to many jobs").takes::<BulkBody>())
        .get("/bulk/{id}", status, Doc::new("How far it is").gives::<BulkStatus>())
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct BulkBody {
    job_ids: Option<Vec<String>>,
    #[serde(deserialize_with = "json::object")]
    filter: Option<SearchBody>,
    action: Option<String>,
    move_to_queue: Option<String>,
    priority: Option<String>,
    r#async: Option<bool>,
}

/// How far it is.
#[derive(Serialize, JsonSchema)]
pub(crate) struct BulkStatus {
    pub(crate) id: String,
    pub(crate) status: &'static str,
    action: &'static str,
    pub(crate) total: u64,
    pub(crate) processed: u64,
    pub(crate) affected: u64,
    errors: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<&'static str>,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
}

fn action(body: &BulkBody, by: &Namespace) -> Result<BulkAction, ApiError> {
    let bad = |message: &str| ApiError::bad(CODE, message);
    let none = String::new;
    let word = body.action.as_deref().unwrap_or_default();
    Ok(match word {
        "" => return Err(ApiError::validation("action is required")),
        "retry" => BulkAction::Retry,
        "requeue" => BulkAction::Requeue,
        "cancel" => BulkAction::Cancel,
        "delete" => BulkAction::Delete,
        "hold" => {
            BulkAction::Hold { reason: none(), by: none(), timeout_ms: 0, then: HoldEnd::Stay }
        }
        "approve" => BulkAction::Approve { note: none(), by: none() },
        "reject" => BulkAction::Reject { reason: none(), by: none() },
        "move" => {
            let to = body.move_to_queue.as_deref().filter(|queue| !queue.is_empty());
            let to = to.ok_or_else(|| bad("move_to_queue is required"))?;
            BulkAction::Move { queue: by.queue(to).map_err(|error| error.of(CODE))? }
        }
        "change_priority" => {
            let to = body.priority.as_deref().filter(|word| !word.is_empty());
            let to = to.ok_or_else(|| bad("priority is required"))?;
            BulkAction::Prioritize { priority: priority(Some(to)) }
        }
        other => return Err(bad(&format!("there is no action \"{other}\""))),
    })
}

/// An operation by a name that says what it consists of, so that no server has to remember it.
fn name(operation: &Operation) -> String {
    let part = |part: &OperationRef| format!("{}.{}", part.shard, part.id);
    let parts: Vec<String> = operation.parts.iter().map(part).collect();
    format!("{PREFIX}{}", parts.join("-"))
}

fn named(text: &str) -> Option<Operation> {
    let part = |part: &str| {
        let (shard, id) = part.split_once('.')?;
        let (shard, id) = (ShardId(shard.parse().ok()?), OperationId(id.parse().ok()?));
        Some(OperationRef { shard, id })
    };
    let parts = text.strip_prefix(PREFIX)?.split('-').map(part).collect::<Option<Vec<_>>>()?;
    Some(Operation { parts })
}

/// A filter that shards can evaluate, if it is of one queue: those of other namespaces are not concerned then.
fn shard_filter(filter: &SearchBody, by: &Namespace) -> Result<Option<JobFilter>, ApiError> {
    let Some(queue) = filter.queue.as_deref().filter(|queue| !queue.is_empty()) else {
        return Ok(None);
    };
    if !filter.is_plain() {
        return Ok(None);
    }
    // Shards compare by milliseconds, which is what ids are made of.
    let ms = |at: Option<Timestamp>| at.map_or(0, |Timestamp(at)| at.ms());
    let found = JobFilter {
        priority: filter.priority.as_deref().map(|word| priority(Some(word))),
        created_after_ms: ms(filter.created_after),
        created_before_ms: ms(filter.created_before),
        ..JobFilter::of_queue(&by.queue(queue)?)
    };
    Ok(Some(found.in_states(&states(filter.state.as_ref())?)))
}

/// Which jobs a filter means, by the read model.
async fn found(app: &App, filter: &SearchBody, by: &Namespace) -> Result<Vec<JobId>, ApiError> {
    let Some(filter) = filter.filter(by)? else { return Ok(Vec::new()) };
    let read_model = app.read_model()?;
    app.fresh().await;
    let jobs = read_model.ask(move |reader| reader.ids(&filter, None, FOUND_MAX + 1)).await?;
    if jobs.len() > FOUND_MAX {
        let what =
            "more than 500000 jobs match: name a queue, and only states, priority or creation";
        return Err(ApiError::bad(CODE, what));
    }
    Ok(jobs)
}

/// Those of them that are the caller's. The default namespace is whose operators may do everything.
async fn ours(app: &App, jobs: Vec<JobId>, by: &Namespace) -> Result<Vec<JobId>, ApiError> {
    if *by == Namespace::default() {
        return Ok(jobs);
    }
    let infos = crate::jobs::infos(app, &jobs).await?;
    let is_ours = |job: &JobId| infos.get(job).is_some_and(|info| by.owns(&info.queue));
    Ok(jobs.into_iter().filter(is_ours).collect())
}

async fn bulk(
    State(app): State<Arc<App>>,
    caller: Caller,
    BatchBody(body): BatchBody<BulkBody>,
) -> Result<Response, ApiError> {
    let begun = Instant::now();
    let by = &caller.namespace;
    let action = action(&body, by)?;
    let _place = app.admit()?;
    let operation = match (&body.job_ids, &body.filter) {
        (Some(ids), None) => {
            let shards = app.client.topology().shards;
            let jobs = ids.iter().filter_map(|id| id.parse::<JobId>().ok());
            let jobs = jobs.filter(|job| job.shard().0 < shards).collect();
            let jobs = ours(&app, jobs, by).await?;
            app.client.bulk_jobs(action, &jobs, false).await
        }
        (None, Some(filter)) => match shard_filter(filter, by)? {
            Some(filter) => app.client.bulk(action, filter, false).await,
            None => {
                let jobs = found(&app, filter, by).await?;
                app.client.bulk_jobs(action, &ours(&app, jobs, by).await?, false).await
            }
        },
        _ => return Err(ApiError::bad(CODE, "either job_ids or a filter is required")),
    };
    let operation = operation.map_err(|error| ApiError::from(error).of(CODE))?;
    let begins = app.client.progress(&operation).await?;
    if !body.r#async.unwrap_or(false) && begins.estimate <= WAITED_FOR_MAX {
        let finished = app.client.finished(&operation);
        if let Ok(finished) = tokio::time::timeout(PATIENCE, finished).await {
            let (affected, took) = (finished?.applied, begun.elapsed().as_millis());
            let took = u64::try_from(took).unwrap_or(u64::MAX);
            return Ok(json::ok(
                &json!({ "affected": affected, "errors": 0, "duration_ms": took }),
            ));
        }
    }
    let id = name(&operation);
    let told = json!({
        "bulk_operation_id": id,
        "status": "queued",
        "estimated_total": begins.estimate,
        "progress_url": format!("{}/bulk/{id}/progress", crate::api::BASE),
    });
    Ok(json::answer(StatusCode::ACCEPTED, &told))
}

/// How far an operation is; `NOT_FOUND` when it is forgotten or never was.
pub(crate) async fn look(app: &App, id: &str) -> Result<BulkStatus, ApiError> {
    let unknown = || ApiError::not_found(format!("bulk operation {id} not found"));
    let operation = named(id).ok_or_else(unknown)?;
    let views = app.client.operations().await?;
    let is_part = |of: &OperationRef| operation.parts.contains(of);
    let parts: Vec<OperationView> =
        views.into_iter().filter(|(of, _)| is_part(of)).map(|(_, view)| view).collect();
    let first = parts.first().ok_or_else(unknown)?;
    let runs = |view: &&OperationView| view.status == OperationStatus::Running;
    let is_running = parts.iter().filter(runs).count() > 0;
    let was_ended = parts.iter().any(|view| view.status == OperationStatus::Cancelled);
    let sum = |of: fn(&OperationView) -> u64| parts.iter().map(of).sum::<u64>();
    let (total, processed) = (sum(|view| view.estimate), sum(|view| view.applied + view.skipped));
    let started = parts.iter().map(|view| view.started).min().unwrap_or_default();
    let ended = parts.iter().map(|view| view.ended).max().unwrap_or_default();
    let ended = if is_running { Micros(0) } else { ended };
    // How many were meant is known when it is over.
    let total = if is_running { total.max(processed) } else { processed };
    let status = match (is_running, was_ended, processed) {
        (true, _, 0) => "queued",
        (true, _, _) => "running",
        (false, true, _) => "failed",
        (false, false, _) => "completed",
    };
    Ok(BulkStatus {
        id: id.to_owned(),
        status,
        action: word(first.task.name()),
        total,
        processed,
        affected: sum(|view| view.applied),
        errors: 0,
        error: was_ended.then_some("an operator ended it"),
        created_at: moment::text(started),
        updated_at: moment::text(if is_running { moment::now() } else { ended }),
        finished_at: moment::some(ended),
    })
}

/// What an action is called here.
fn word(name: &'static str) -> &'static str {
    if name == "prioritize" { "change_priority" } else { name }
}

async fn status(
    State(app): State<Arc<App>>,
    _: Caller,
    Name(id): Name<String>,
) -> Result<Response, ApiError> {
    Ok(json::ok(&look(&app, &id).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_found_by_its_name() {
        let part = |shard, id| OperationRef { shard: ShardId(shard), id: OperationId(id) };
        let operation = Operation { parts: vec![part(0, 17), part(3, 4)] };
        assert_eq!(name(&operation), "bulk_0.17-3.4");
        assert_eq!(named("bulk_0.17-3.4"), Some(operation));
        for text in ["", "bulk_", "bulk_1", "bulk_a.b", "job_1.2", "bulk_1.2-"] {
            assert_eq!(named(text), None, "{text}");
        }
    }
}
