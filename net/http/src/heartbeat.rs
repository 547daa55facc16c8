//! Workers say that they are still at it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use futures_util::future::try_join_all;
use jobbie_client::{JobId, JobState, ShardId};
use jobbie_proto::limits::LEASE_MS_DEFAULT;
use jobbie_proto::request::{Heartbeat, JobRef, ReportUsage};
use jobbie_proto::{Code, Request};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ack::token;
use crate::app::App;
use crate::error::ApiError;
use crate::extract::{BatchBody, Caller};
use crate::json::{self, Raw};
use crate::routes::{Doc, Routes};
use crate::usage_report::UsageBody;

pub(crate) fn routes() -> Routes {
    let doc = Doc::new("Make leases longer, keep progress and checkpoints");
    Routes::default().post("/heartbeat", heartbeat, doc.takes::<Beats>().gives::<Beaten>())
}

/// Jobs by their ids.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Beats {
    jobs: Option<BTreeMap<String, Option<BeatBody>>>,
}

/// What is said of a job; nothing only makes its lease longer.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct BeatBody {
    #[serde(deserialize_with = "json::unless_null")]
    progress: Option<Raw>,
    #[serde(deserialize_with = "json::unless_null")]
    checkpoint: Option<Raw>,
    #[serde(deserialize_with = "json::object")]
    usage: Option<UsageBody>,
    /// As the fetch gave it. Beyond the contract.
    lease_token: Option<String>,
}

/// What became of a job: `ok`, or `cancel` when it is to be stopped.
#[derive(Serialize, JsonSchema)]
struct Told {
    status: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    budget_exceeded: bool,
}

/// The same in two shapes. Who is unknown is also cancelled.
#[derive(Default, Serialize, JsonSchema)]
struct Beaten {
    jobs: BTreeMap<String, Told>,
    acked: Vec<String>,
    unknown: Vec<String>,
    canceled: Vec<String>,
}

impl Beaten {
    fn tell(&mut self, job: String, code: Code, is_active: bool) {
        let budget_exceeded = code == Code::BudgetExceeded;
        let goes_on = code == Code::Ok || budget_exceeded && is_active;
        if code == Code::NotFound {
            self.unknown.push(job.clone());
        }
        let (status, list) =
            if goes_on { ("ok", &mut self.acked) } else { ("cancel", &mut self.canceled) };
        list.push(job.clone());
        self.jobs.insert(job, Told { status, budget_exceeded });
    }
}

/// A heartbeat, checked.
struct Prepared {
    job: JobRef,
    body: BeatBody,
    /// How long the lease was when it was given out, if this process did.
    lease_ms: Option<u32>,
}

async fn heartbeat(
    State(app): State<Arc<App>>,
    caller: Caller,
    BatchBody(body): BatchBody<Beats>,
) -> Result<Response, ApiError> {
    let none = || ApiError::validation("jobs is required");
    let mut beaten = Beaten::default();
    let mut shards: BTreeMap<ShardId, Vec<Prepared>> = BTreeMap::new();
    let _place = app.admit()?;
    for (id, body) in body.jobs.ok_or_else(none)? {
        let body = body.unwrap_or_default();
        let token = token(body.lease_token.as_deref(), "VALIDATION_ERROR")?;
        let Some(job) = known(&app, &caller, &id).await? else {
            beaten.tell(id, Code::NotFound, false);
            continue;
        };
        let lease_ms = app.leased.get(job).map(|lease| lease.ms);
        let prepared = Prepared { job: JobRef { job, token }, body, lease_ms };
        shards.entry(job.shard()).or_default().push(prepared);
    }
    let asked = shards.iter().map(|(shard, beats)| beat(&app, *shard, beats));
    let codes = try_join_all(asked).await?;
    for (prepared, (code, is_active)) in shards.values().flatten().zip(codes.into_iter().flatten())
    {
        beaten.tell(prepared.job.job.to_string(), code, is_active);
    }
    Ok(json::ok(&beaten))
}

/// A job that can be one and is the caller's.
async fn known(app: &App, caller: &Caller, id: &str) -> Result<Option<JobId>, ApiError> {
    let Ok(job) = id.parse::<JobId>() else { return Ok(None) };
    if job.shard().0 >= app.client.topology().shards {
        return Ok(None);
    }
    match app.check_owner(&caller.namespace, job).await {
        Ok(()) => Ok(Some(job)),
        Err(error) if error.code == "NOT_FOUND" => Ok(None),
        Err(error) => Err(error),
    }
}

/// What became of each, and whether it is still active where that is not clear.
async fn beat(
    app: &App,
    shard: ShardId,
    beats: &[Prepared],
) -> Result<Vec<(Code, bool)>, ApiError> {
    let mut request = Request::default();
    let mut places = Vec::with_capacity(beats.len());
    for Prepared { job, body, lease_ms } in beats {
        places.push(request.heartbeats.len());
        let of = u32::try_from(request.heartbeats.len()).unwrap_or(u32::MAX);
        if let Some(usage) = &body.usage {
            request.heartbeat_usages.push(ReportUsage { of, usage: usage.report() });
        }
        // At least a minute, and at least what was granted. A heartbeat never makes a lease shorter.
        let extend_ms = lease_ms.unwrap_or(0).max(LEASE_MS_DEFAULT);
        request.heartbeats.push(Heartbeat {
            job: *job,
            extend_ms,
            progress: json::bytes(body.progress.as_ref()),
            checkpoint: json::bytes(body.checkpoint.as_ref()),
        });
        if lease_ms.is_none() {
            let granted = Heartbeat { job: *job, extend_ms: 0, progress: b"", checkpoint: b"" };
            request.heartbeats.push(granted);
        }
    }
    let answer = app.client.request(shard, &mut request).await?;
    let code = |at: &usize| answer.heartbeats.get(*at).copied().unwrap_or(Code::NotFound);
    let codes: Vec<Code> = places.iter().map(code).collect();
    let over = codes.iter().zip(beats).filter(|(code, _)| **code == Code::BudgetExceeded);
    let lookups: Vec<JobId> = over.map(|(_, beat)| beat.job.job).collect();
    if lookups.is_empty() {
        return Ok(codes.into_iter().map(|code| (code, code == Code::Ok)).collect());
    }
    let mut request = Request { lookups, ..Request::default() };
    let found = app.client.request(shard, &mut request).await?.lookups;
    let is_active = |job: JobId| {
        let info = found.iter().find(|(id, _)| *id == job).and_then(|(_, info)| info.as_ref());
        info.is_some_and(|info| info.state == JobState::Active)
    };
    Ok(codes.into_iter().zip(beats).map(|(code, beat)| (code, is_active(beat.job.job))).collect())
}
