//! Which jobs are like that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jobbie_client::{JobState, Micros};
use jobbie_projector::row::JobRow;
use jobbie_projector::search::{Bounds, Cursor, Filter, Search, Sort};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{Caller, OptionalBody, Params};
use crate::job_object::{chain_id, chain_of, some_text};
use crate::jobs::with_lag;
use crate::json::{self, Raw};
use crate::moment::{self, Timestamp};
use crate::namespace::Namespace;
use crate::options::priority;
use crate::routes::{Doc, Routes};

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: i64 = 1000;
const FULLTEXT_MAX: usize = 500;

pub(crate) fn routes() -> Routes {
    let search = Doc::new("Search for jobs").takes::<SearchBody>();
    Routes::default()
        .post("/jobs/search", search_jobs, search)
        .get("/dead", dead, Doc::new("Dead jobs, newest first"))
        .get("/search/fulltext", fulltext, Doc::new("Jobs with these words"))
}

/// What jobs are searched for; all of it has to hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct SearchBody {
    pub(crate) queue: Option<String>,
    pub(crate) state: Option<Vec<String>>,
    pub(crate) priority: Option<String>,
    pub(crate) tags: Option<BTreeMap<String, String>>,
    payload_contains: Option<String>,
    payload_jq: Option<String>,
    pub(crate) created_after: Option<Timestamp>,
    pub(crate) created_before: Option<Timestamp>,
    scheduled_after: Option<Timestamp>,
    scheduled_before: Option<Timestamp>,
    started_after: Option<Timestamp>,
    started_before: Option<Timestamp>,
    completed_after: Option<Timestamp>,
    completed_before: Option<Timestamp>,
    expire_after: Option<Timestamp>,
    expire_before: Option<Timestamp>,
    attempt_min: Option<i64>,
    attempt_max: Option<i64>,
    unique_key: Option<String>,
    batch_id: Option<String>,
    worker_id: Option<String>,
    parent_id: Option<String>,
    chain_id: Option<String>,
    has_errors: Option<bool>,
    error_contains: Option<String>,
    job_id_prefix: Option<String>,
    sort: Option<String>,
    order: Option<String>,
    limit: Option<i64>,
    cursor: Option<String>,
}

/// A text that is not empty.
fn text(text: Option<&String>) -> Option<&String> {
    text.filter(|text| !text.is_empty())
}

/// States by their names.
pub(crate) fn states(names: Option<&Vec<String>>) -> Result<Vec<JobState>, ApiError> {
    let one = |name: &String| {
        let found = JobState::ALL.into_iter().find(|state| state.name() == name);
        found.ok_or_else(|| ApiError::validation(format!("state: there is no state \"{name}\"")))
    };
    names.map_or(Ok(Vec::new()), |names| names.iter().map(one).collect())
}

impl SearchBody {
    /// What it says to the read model; `None` when no job can match.
    pub(crate) fn filter(&self, by: &Namespace) -> Result<Option<Filter>, ApiError> {
        let bounds = |after: Option<Timestamp>, before: Option<Timestamp>| Bounds {
            after: after.map(|Timestamp(at)| at),
            before: before.map(|Timestamp(at)| at),
        };
        let attempts =
            |count: Option<i64>| count.map(|n| u32::try_from(n.max(0)).unwrap_or(u32::MAX));
        let jq = text(self.payload_jq.as_ref()).map(|expression| {
            let bad = |error| ApiError::validation(format!("payload_jq: {error}"));
            expression.parse().map_err(bad)
        });
        let mut filter = Filter {
            namespace: by.wanted(),
            queue: text(self.queue.as_ref()).map(|queue| by.queue(queue)).transpose()?,
            states: states(self.state.as_ref())?,
            priority: text(self.priority.as_ref()).map(|word| priority(Some(word))),
            tags: self.tags.clone().unwrap_or_default().into_iter().collect(),
            payload_contains: text(self.payload_contains.as_ref()).cloned(),
            payload_jq: jq.transpose()?,
            created: bounds(self.created_after, self.created_before),
            scheduled: bounds(self.scheduled_after, self.scheduled_before),
            started: bounds(self.started_after, self.started_before),
            completed: bounds(self.completed_after, self.completed_before),
            expires: bounds(self.expire_after, self.expire_before),
            attempt_min: attempts(self.attempt_min),
            attempt_max: attempts(self.attempt_max),
            unique_key: text(self.unique_key.as_ref()).cloned(),
            worker: text(self.worker_id.as_ref()).cloned(),
            has_errors: self.has_errors.unwrap_or(false),
            error_contains: text(self.error_contains.as_ref()).cloned(),
            id_prefix: text(self.job_id_prefix.as_ref()).cloned(),
            ..Filter::default()
        };
        // An id that is none is nobody's.
        if let Some(id) = text(self.batch_id.as_ref()) {
            let Ok(batch) = id.parse() else { return Ok(None) };
            filter.batch = Some(batch);
        }
        if let Some(id) = text(self.parent_id.as_ref()) {
            let Ok(parent) = id.parse() else { return Ok(None) };
            filter.parent = Some(parent);
        }
        if let Some(id) = text(self.chain_id.as_ref()) {
            let Some(chain) = chain_of(id) else { return Ok(None) };
            filter.chain = Some(chain);
        }
        Ok(Some(filter))
    }

    /// Whether a shard could find these jobs itself: only what it keeps of every job is asked for.
    pub(crate) fn is_plain(&self) -> bool {
        let Self { queue, state, priority, created_after, created_before, .. } = self.clone();
        let plain =
            Self { queue, state, priority, created_after, created_before, ..Self::default() };
        let mut this = self.clone();
        (this.sort, this.order, this.limit, this.cursor) = (None, None, None, None);
        format!("{this:?}") == format!("{plain:?}")
    }

    fn sort(&self) -> (Sort, &'static str) {
        match self.sort.as_deref() {
            Some("priority") => (Sort::Priority, "priority"),
            Some("started_at") => (Sort::Started, "started_at"),
            Some("completed_at") => (Sort::Completed, "completed_at"),
            Some("scheduled_at") => (Sort::Scheduled, "scheduled_at"),
            Some("failed_at") => (Sort::Failed, "failed_at"),
            Some("attempt") => (Sort::Attempt, "attempt"),
            _ => (Sort::Created, "created_at"),
        }
    }
}

/// What a cursor says, opaque to callers: where the page before ended, in which order.
#[derive(Serialize, Deserialize)]
struct Place {
    key: i64,
    created: u64,
    job: String,
    sort: String,
    ascending: bool,
}

impl Place {
    fn write(cursor: &Cursor, sort: &str, ascending: bool) -> String {
        let place = Self {
            key: cursor.key,
            created: cursor.created.0,
            job: cursor.id.to_string(),
            sort: sort.to_owned(),
            ascending,
        };
        STANDARD.encode(serde_json::to_vec(&place).expect("a place is plain"))
    }

    /// One that cannot be read, or is of another order, is the beginning.
    fn read(text: &str, sort: &str, ascending: bool) -> Option<Cursor> {
        let place: Self = serde_json::from_slice(&STANDARD.decode(text).ok()?).ok()?;
        let fits = place.sort == sort && place.ascending == ascending;
        let id = place.job.parse().ok()?;
        fits.then_some(Cursor { key: place.key, created: Micros(place.created), id })
    }
}

/// A job among results.
#[derive(Serialize, JsonSchema)]
struct Found {
    id: String,
    queue: String,
    state: &'static str,
    payload: Raw,
    priority: u8,
    attempt: u32,
    max_retries: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_step: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_at: Option<String>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_at: Option<String>,
}

impl Found {
    fn new(row: &JobRow, by: &Namespace) -> Self {
        Self {
            id: row.id.to_string(),
            queue: by.shown(&row.queue).to_owned(),
            state: row.state.name(),
            payload: json::payload(&row.payload),
            priority: row.priority,
            attempt: row.attempt,
            max_retries: row.max_retries,
            unique_key: some_text(&String::from_utf8_lossy(&row.unique_key)),
            batch_id: row.batch.map(|batch| batch.to_string()),
            worker_id: some_text(&row.worker),
            tags: json::some_raw(&row.tags),
            parent_id: row.parent.map(|parent| parent.to_string()),
            chain_id: row.chain.map(|(first, _)| chain_id(first)),
            chain_step: row.chain.map(|(_, step)| step),
            scheduled_at: moment::some(row.scheduled),
            created_at: moment::text(row.created),
            started_at: moment::some(row.started),
            completed_at: moment::some(row.completed),
            failed_at: moment::some(row.failed),
        }
    }
}

async fn search_jobs(
    State(app): State<Arc<App>>,
    caller: Caller,
    OptionalBody(body): OptionalBody<SearchBody>,
) -> Result<Response, ApiError> {
    answer(&app, &caller, &body).await
}

async fn answer(app: &App, caller: &Caller, body: &SearchBody) -> Result<Response, ApiError> {
    let begun = Instant::now();
    let by = &caller.namespace;
    let filter = body.filter(by)?;
    let read_model = app.read_model()?;
    let Some(filter) = filter else {
        let none: [Found; 0] = [];
        return Ok(json::ok(
            &json!({ "jobs": none, "total": 0, "has_more": false, "duration_ms": 0 }),
        ));
    };
    let lag = app.fresh().await;
    let (sort, sort_name) = body.sort();
    let ascending = body.order.as_deref() == Some("asc");
    let limit = body.limit.filter(|limit| (1..=LIMIT_MAX).contains(limit));
    let cursor = text(body.cursor.as_ref());
    let search = Search {
        filter,
        sort,
        ascending,
        limit: limit.map_or(LIMIT_DEFAULT, |limit| u32::try_from(limit).unwrap_or(LIMIT_DEFAULT)),
        cursor: cursor.and_then(|text| Place::read(text, sort_name, ascending)),
    };
    let page = read_model.ask(move |reader| reader.search(&search)).await?;
    let ours = page.jobs.iter().filter(|row| by.owns(&row.queue));
    let jobs: Vec<Found> = ours.map(|row| Found::new(row, by)).collect();
    let mut told = json!({
        "jobs": jobs,
        "total": page.total,
        "has_more": page.next.is_some(),
        "duration_ms": u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    if !page.total_is_exact {
        told["total_is_lower_bound"] = json!(true);
    }
    if let Some(next) = &page.next {
        told["cursor"] = json!(Place::write(next, sort_name, ascending));
    }
    Ok(with_lag(json::ok(&told), lag))
}

async fn dead(
    State(app): State<Arc<App>>,
    caller: Caller,
    params: Params,
) -> Result<Response, ApiError> {
    let body = SearchBody {
        queue: params.get("queue").map(str::to_owned),
        state: Some(vec![JobState::Dead.name().to_owned()]),
        limit: params.number("limit")?,
        cursor: params.get("cursor").map(str::to_owned),
        ..SearchBody::default()
    };
    answer(&app, &caller, &body).await
}

async fn fulltext(
    State(app): State<Arc<App>>,
    caller: Caller,
    params: Params,
) -> Result<Response, ApiError> {
    let q = params.get("q").unwrap_or_default().trim().to_owned();
    if q.is_empty() {
        return Err(ApiError::validation("q is required"));
    }
    let limit = params.number::<usize>("limit")?.filter(|limit| (1..=FULLTEXT_MAX).contains(limit));
    let limit = limit.unwrap_or(LIMIT_DEFAULT as usize);
    let read_model = app.read_model()?;
    let lag = app.fresh().await;
    let namespace = caller.namespace.wanted();
    let words: Vec<String> = q.split_whitespace().map(str::to_owned).collect();
    let rows = read_model.ask(move |reader| reader.fulltext(&namespace, &words, limit)).await;
    let rows = rows.map_err(|error| ApiError { code: "SEARCH_ERROR", ..error })?;
    let by = &caller.namespace;
    let one = |row: &JobRow| {
        json!({
            "id": row.id.to_string(),
            "queue": by.shown(&row.queue),
            "state": row.state.name(),
            "payload": json::payload(&row.payload).get(),
            "tags": json::some_raw(&row.tags).map_or_else(|| "{}".to_owned(), |raw| raw.get().to_owned()),
            "created_at": moment::text(row.created),
        })
    };
    let ours: Vec<_> = rows.iter().filter(|row| by.owns(&row.queue)).map(one).collect();
    Ok(with_lag(json::ok(&json!({ "q": q, "results": ours })), lag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobbie_proto::{JobId, JobSeq, ShardId};

    #[test]
    fn a_cursor_is_good_for_its_order_only() {
        let cursor =
            Cursor { key: -7, created: Micros(5), id: JobId::new(1, ShardId(0), JobSeq(1)) };
        let text = Place::write(&cursor, "attempt", true);
        assert_eq!(Place::read(&text, "attempt", true), Some(cursor));
        assert_eq!(Place::read(&text, "attempt", false), None);
        assert_eq!(Place::read(&text, "priority", true), None);
        assert_eq!(Place::read("nonsense", "attempt", true), None);
    }

    #[test]
    fn what_shards_can_search_for_themselves() {
        let plain: SearchBody =
            serde_json::from_str(r#"{"queue":"q","state":["dead"],"limit":3}"#).expect("JSON");
        assert!(plain.is_plain());
        let more: SearchBody =
            serde_json::from_str(r#"{"queue":"q","has_errors":true}"#).expect("JSON");
        assert!(!more.is_plain());
    }
}
