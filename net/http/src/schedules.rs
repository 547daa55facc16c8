//! Schedules: jobs that are made again and again.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::try_join_all;
use jobbie_client::{NewJob, NewSchedule, ScheduleInfo};
use jobbie_proto::limits::ATTEMPTS_MAX;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{Body, Caller, Name};
use crate::json::{self, Raw};
use crate::moment;
use crate::namespace::Namespace;
use crate::routes::{Doc, Routes};

const PREFIX: &str = "sched_";
/// Schedules that are looked at together.
const LOOKS_MAX: usize = 64;

pub(crate) fn routes() -> Routes {
    let set = |summary| Doc::new(summary).takes::<ScheduleBody>().gives::<Schedule>();
    Routes::default()
        .get("/schedules", list, Doc::new("Schedules").gives::<Vec<Schedule>>())
        .post("/schedules", create, set("Make a schedule").status(201))
        .put("/schedules/{id}", update, set("Change a schedule"))
        .delete("/schedules/{id}", delete, Doc::new("Remove a schedule; its jobs stay"))
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct ScheduleBody {
    name: Option<String>,
    queue: Option<String>,
    cron: Option<String>,
    timezone: Option<String>,
    #[serde(deserialize_with = "json::unless_null")]
    payload: Option<Raw>,
    unique_key: Option<String>,
    max_retries: Option<i64>,
}

/// A schedule.
#[derive(Serialize, JsonSchema)]
struct Schedule {
    id: String,
    name: String,
    queue: String,
    cron: String,
    timezone: String,
    payload: Raw,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_key: Option<String>,
    max_retries: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_run: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_run: Option<String>,
    /// Beyond the contract.
    paused: bool,
}

/// A schedule by its queue and name, neither of which has a zero byte.
fn id(queue: &str, name: &str) -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(format!("{queue}\0{name}")))
}

fn named(id: &str) -> Option<(String, String)> {
    let bytes = URL_SAFE_NO_PAD.decode(id.strip_prefix(PREFIX)?).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    text.split_once('\0').map(|(queue, name)| (queue.to_owned(), name.to_owned()))
}

impl Schedule {
    fn new(of: &ScheduleInfo, by: &Namespace) -> Self {
        let key = String::from_utf8_lossy(&of.unique).into_owned();
        Self {
            id: id(&of.queue, &of.name),
            name: of.name.clone(),
            queue: by.shown(&of.queue).to_owned(),
            cron: of.expression.clone(),
            timezone: if of.zone.is_empty() { "UTC".to_owned() } else { of.zone.clone() },
            payload: json::payload(&of.payload),
            unique_key: Some(key).filter(|key| !key.is_empty()),
            max_retries: of.max_retries,
            last_run: moment::some(of.last_planned),
            next_run: moment::some(of.next),
            paused: of.paused,
        }
    }
}

/// One of the caller's, whole.
async fn owned(app: &App, by: &Namespace, id: &str) -> Result<ScheduleInfo, ApiError> {
    let unknown = || ApiError::not_found(format!("schedule {id} not found"));
    let (queue, name) = named(id).filter(|(queue, _)| by.owns(queue)).ok_or_else(unknown)?;
    let found = app.client.schedule(&queue, &name, 0).await?;
    found.map(|(info, _)| info).ok_or_else(unknown)
}

async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, ApiError> {
    let by = &caller.namespace;
    let mut told = Vec::new();
    let all = app.client.schedules("").await?;
    let ours: Vec<_> = all.into_iter().filter(|one| by.owns(&one.queue)).collect();
    // A list has no payloads.
    for some in ours.chunks(LOOKS_MAX) {
        let looks = some.iter().map(|one| app.client.schedule(&one.queue, &one.name, 0));
        let found = try_join_all(looks).await?.into_iter().flatten();
        told.extend(found.map(|(info, _)| Schedule::new(&info, by)));
    }
    Ok(json::ok(&told))
}

/// What is asked of a schedule, over what it is.
struct Wanted {
    queue: String,
    name: String,
    cron: String,
    zone: String,
    payload: Vec<u8>,
    unique: Vec<u8>,
    max_retries: u32,
}

impl Wanted {
    fn new(
        body: ScheduleBody,
        by: &Namespace,
        old: Option<&ScheduleInfo>,
    ) -> Result<Self, ApiError> {
        let required = |field: &str, given: Option<String>, old: Option<&String>| {
            let found = given.filter(|text| !text.is_empty()).or_else(|| old.cloned());
            found.ok_or_else(|| ApiError::validation(format!("{field} is required")))
        };
        let queue = required("queue", body.queue, old.map(|old| &old.queue))?;
        let zone =
            body.timezone.filter(|zone| !zone.is_empty()).or_else(|| old.map(|o| o.zone.clone()));
        let payload = body.payload.as_ref().map(|raw| raw.get().as_bytes().to_vec());
        let unique = body.unique_key.map(String::into_bytes);
        let attempts =
            body.max_retries.map(|total| u32::try_from(total.max(0)).unwrap_or(u32::MAX));
        let max_retries = attempts.or_else(|| old.map(|old| old.max_retries)).unwrap_or(3);
        if max_retries > ATTEMPTS_MAX {
            return Err(ApiError::validation(format!("max_retries: at most {ATTEMPTS_MAX}")));
        }
        Ok(Self {
            queue: by.queue(&queue)?,
            name: required("name", body.name, old.map(|old| &old.name))?,
            cron: required("cron", body.cron, old.map(|old| &old.expression))?,
            zone: zone.unwrap_or_default(),
            payload: payload
                .or_else(|| old.map(|old| old.payload.to_vec()))
                .unwrap_or_else(|| b"{}".to_vec()),
            unique: unique.or_else(|| old.map(|old| old.unique.to_vec())).unwrap_or_default(),
            max_retries,
        })
    }

    /// Sets it; `old` keeps what there is no field for.
    async fn set(&self, app: &App, old: Option<&ScheduleInfo>) -> Result<ScheduleInfo, ApiError> {
        let mut job = NewJob::new(&self.queue, &self.payload).attempts(self.max_retries);
        if let Some(old) = old {
            let (base, cap) = (old.backoff_base_ms.into(), old.backoff_cap_ms.into());
            let (base, cap) = (Duration::from_millis(base), Duration::from_millis(cap));
            job = job.tags(&old.tags).priority(old.priority).limit_key(&old.limit_key);
            job = job.backoff(old.backoff, base, cap);
            job = job.expire_after(Duration::from_millis(old.expire_after_ms));
        }
        if !self.unique.is_empty() {
            let held = old.map_or(0, |old| old.unique_ms);
            job = job.unique(&self.unique, Duration::from_millis(held));
        }
        let mut schedule = NewSchedule::new(&self.cron, job).zone(&self.zone);
        if let Some(old) = old {
            schedule = schedule.missed(old.missed);
        }
        app.client.set_schedule(&self.name, &schedule).await?;
        let found = app.client.schedule(&self.queue, &self.name, 0).await?;
        found
            .map(|(info, _)| info)
            .ok_or_else(|| ApiError::not_found("somebody removed it at once"))
    }
}

async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body<ScheduleBody>,
) -> Result<Response, ApiError> {
    let wanted = Wanted::new(body, &caller.namespace, None)?;
    let _alone = app.settings.lock().await;
    if app.client.schedule(&wanted.queue, &wanted.name, 0).await?.is_some() {
        let what = format!("queue {} has a schedule {} already", wanted.queue, wanted.name);
        return Err(ApiError::conflict(what));
    }
    let made = wanted.set(&app, None).await?;
    Ok(json::answer(StatusCode::CREATED, &Schedule::new(&made, &caller.namespace)))
}

async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(id): Name<String>,
    Body(body): Body<ScheduleBody>,
) -> Result<Response, ApiError> {
    let _alone = app.settings.lock().await;
    let old = owned(&app, &caller.namespace, &id).await?;
    let wanted = Wanted::new(body, &caller.namespace, Some(&old))?;
    if (&wanted.queue, &wanted.name) != (&old.queue, &old.name) {
        let what =
            "queue and name are what a schedule is known by: make another and delete this one";
        return Err(ApiError::validation(what));
    }
    let made = wanted.set(&app, Some(&old)).await?;
    Ok(json::ok(&Schedule::new(&made, &caller.namespace)))
}

async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(id): Name<String>,
) -> Result<Response, ApiError> {
    let old = owned(&app, &caller.namespace, &id).await?;
    app.client.delete_schedule(&old.queue, &old.name).await?;
    Ok(json::status("deleted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_found_by_its_id() {
        let id = id("shop::mail", "nightly / all");
        assert_eq!(named(&id), Some(("shop::mail".into(), "nightly / all".into())));
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)));
        for text in ["", "sched_", "sched_!!", "job_1"] {
            assert_eq!(named(text), None, "{text}");
        }
    }
}
