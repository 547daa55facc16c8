//! One thing done to many jobs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jobbie_client::{
    BulkAction, HoldEnd, JobFilter, JobId, JobState, Micros, Operation, OperationStatus,
    OperationView,
};
use jobbie_projector::search::Filter;
use jobbie_proto::id::OperationRef;
use jobbie_proto::{OperationId, ShardId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::App;
use crate::archived::Act;
use crate::bulk_archived::{self, Meant, Run};
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
/// Named jobs whose shards are asked at a time.
const LOOKED_UP_AT_A_TIME: usize = 10_000;
/// How long the end is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
const PREFIX: &str = "bulk_";
/// Marks the part that is a task of this process.
const RUN: &str = "c.";

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

/// An operation by a name that says what it consists of, so that no server has to remember what shards do of it.
fn name(operation: &Operation, run: Option<u64>) -> String {
    let part = |part: &OperationRef| format!("{}.{}", part.shard, part.id);
    let run = run.map(|run| format!("{RUN}{run}"));
    let parts: Vec<String> = operation.parts.iter().map(part).chain(run).collect();
    format!("{PREFIX}{}", parts.join("-"))
}

fn named(text: &str) -> Option<(Operation, Option<u64>)> {
    let (mut operation, mut run) = (Operation::default(), None);
    for part in text.strip_prefix(PREFIX)?.split('-') {
        let (shard, id) = part.split_once('.')?;
        if part.starts_with(RUN) {
            run = Some(id.parse().ok()?);
            continue;
        }
        let (shard, id) = (ShardId(shard.parse().ok()?), OperationId(id.parse().ok()?));
        operation.parts.push(OperationRef { shard, id });
    }
    Some((operation, run))
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

/// Which jobs in memory a filter means, by the read model.
async fn found(app: &App, mut filter: Filter) -> Result<Vec<JobId>, ApiError> {
    if filter.states.is_empty() {
        filter.states = JobState::ALL.to_vec();
    }
    filter.states.retain(|state| *state != JobState::Completed);
    if filter.states.is_empty() {
        return Ok(Vec::new());
    }
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

/// Those of named jobs that are in memory and the caller's, and those that are not in memory.
async fn ours(app: &App, ids: &[String], by: &Namespace) -> Result<(Vec<JobId>, Meant), ApiError> {
    let shards = app.client.topology().shards;
    let jobs = ids.iter().filter_map(|id| id.parse::<JobId>().ok());
    let mut jobs: Vec<JobId> = jobs.filter(|job| job.shard().0 < shards).collect();
    let mut live = HashMap::new();
    for some in jobs.chunks(LOOKED_UP_AT_A_TIME) {
        let found = crate::jobs::infos(app, some).await?;
        live.extend(found.into_iter().map(|(job, info)| (job, by.owns(&info.queue))));
    }
    let gone = bulk_archived::named(&jobs, |job| live.contains_key(job));
    jobs.retain(|job| live.get(job) == Some(&true));
    Ok((jobs, gone))
}

/// Whatever it means: jobs in memory are dealt with by their shards, completed ones by a task of this process.
struct Begun {
    operation: Operation,
    run: Option<Arc<Run>>,
}

impl Begun {
    async fn named(
        app: &Arc<App>,
        by: &Namespace,
        action: BulkAction,
        ids: &[String],
    ) -> Result<Self, ApiError> {
        let (jobs, gone) = ours(app, ids, by).await?;
        let act = Act::of(&action);
        let name = action.name();
        let operation = app.client.bulk_jobs(action, &jobs, false).await?;
        let run = match act {
            Some(act) => bulk_archived::begin(app, (name, act), by, gone).await?,
            None => None,
        };
        Ok(Self { operation, run })
    }

    async fn matching(
        app: &Arc<App>,
        by: &Namespace,
        action: BulkAction,
        body: &SearchBody,
    ) -> Result<Self, ApiError> {
        let Some(filter) = body.filter(by)? else {
            return Ok(Self { operation: Operation::default(), run: None });
        };
        let (wants, name) = (&filter.states, action.name());
        let act = Act::of(&action).filter(|_| app.read_model.is_some());
        let act = act.filter(|_| wants.is_empty() || wants.contains(&JobState::Completed));
        // Before anything is done: what is completed by it is not meant again.
        let gone = match act {
            Some(act) => Some((act, bulk_archived::matching(app, filter.clone()).await?)),
            None => None,
        };
        let only_completed = *wants == [JobState::Completed];
        let operation = match shard_filter(body, by)? {
            Some(_) if only_completed => Operation::default(),
            Some(filter) => app.client.bulk(action, filter, false).await?,
            None => {
                let jobs = found(app, filter).await?;
                app.client.bulk_jobs(action, &jobs, false).await?
            }
        };
        let run = match gone {
            Some((act, gone)) => bulk_archived::begin(app, (name, act), by, gone).await?,
            None => None,
        };
        Ok(Self { operation, run })
    }

    /// At least so many jobs are meant.
    async fn estimate(&self, app: &App) -> Result<u64, ApiError> {
        let live = app.client.progress(&self.operation).await?.estimate;
        Ok(live + self.run.as_ref().map_or(0, |run| run.estimate))
    }

    /// Waits for the end: how many jobs it was done to, and how many could not be reached.
    async fn finished(&self, app: &App) -> Result<(u64, u64), ApiError> {
        let live = app.client.finished(&self.operation).await?.applied;
        let Some(run) = &self.run else { return Ok((live, 0)) };
        run.finished().await;
        Ok((live + run.applied(), run.errors()))
    }
}

async fn bulk(
    State(app): State<Arc<App>>,
    caller: Caller,
    BatchBody(body): BatchBody<BulkBody>,
) -> Result<Response, ApiError> {
    let started = Instant::now();
    let by = &caller.namespace;
    let action = action(&body, by)?;
    let _place = app.admit()?;
    let begun = match (&body.job_ids, &body.filter) {
        (Some(ids), None) => Begun::named(&app, by, action, ids).await,
        (None, Some(filter)) => Begun::matching(&app, by, action, filter).await,
        _ => return Err(ApiError::bad(CODE, "either job_ids or a filter is required")),
    };
    let begun = begun.map_err(|error| error.of(CODE))?;
    let estimate = begun.estimate(&app).await?;
    if !body.r#async.unwrap_or(false) && estimate <= WAITED_FOR_MAX {
        let finished = begun.finished(&app);
        if let Ok(finished) = tokio::time::timeout(PATIENCE, finished).await {
            let (affected, errors) = finished?;
            let took = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            return Ok(json::ok(
                &json!({ "affected": affected, "errors": errors, "duration_ms": took }),
            ));
        }
    }
    let id = name(&begun.operation, begun.run.map(|run| run.id));
    let told = json!({
        "bulk_operation_id": id,
        "status": "queued",
        "estimated_total": estimate,
        "progress_url": format!("{}/bulk/{id}/progress", crate::api::BASE),
    });
    Ok(json::answer(StatusCode::ACCEPTED, &told))
}

/// How far an operation is; `NOT_FOUND` when it is forgotten or never was.
pub(crate) async fn look(app: &App, id: &str) -> Result<BulkStatus, ApiError> {
    let unknown = || ApiError::not_found(format!("bulk operation {id} not found"));
    let (operation, run) = named(id).ok_or_else(unknown)?;
    let run = run.and_then(|run| app.runs.get(run));
    let run = run.as_deref();
    let views = app.client.operations().await?;
    let is_part = |of: &OperationRef| operation.parts.contains(of);
    let parts: Vec<OperationView> =
        views.into_iter().filter(|(of, _)| is_part(of)).map(|(_, view)| view).collect();
    let action = parts.first().map(|part| part.task.name());
    let action = action.or(run.map(|run| run.action)).ok_or_else(unknown)?;
    let is_running = parts.iter().any(|view| view.status == OperationStatus::Running)
        || run.is_some_and(|run| run.ended() == Micros(0));
    let was_ended = parts.iter().any(|view| view.status == OperationStatus::Cancelled);
    let sum = |of: fn(&OperationView) -> u64, of_run: fn(&Run) -> u64| {
        parts.iter().map(of).sum::<u64>() + run.map_or(0, of_run)
    };
    let errors = run.map_or(0, Run::errors);
    let total = sum(|view| view.estimate, |run| run.estimate);
    let affected = sum(|view| view.applied, Run::applied);
    let processed = affected + sum(|view| view.skipped, Run::skipped) + errors;
    let starts = parts.iter().map(|view| view.started);
    let started = starts.chain(run.map(|run| run.started)).min().unwrap_or_default();
    let ends = parts.iter().map(|view| view.ended);
    let ended = ends.chain(run.map(Run::ended)).max().unwrap_or_default();
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
        action: word(action),
        total,
        processed,
        affected,
        errors,
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
        assert_eq!(name(&operation, None), "bulk_0.17-3.4");
        assert_eq!(named("bulk_0.17-3.4"), Some((operation.clone(), None)));
        let both = name(&operation, Some(9));
        assert_eq!((&*both, named(&both)), ("bulk_0.17-3.4-c.9", Some((operation, Some(9)))));
        for text in ["", "bulk_", "bulk_1", "bulk_a.b", "job_1.2", "bulk_1.2-"] {
            assert_eq!(named(text), None, "{text}");
        }
    }
}
