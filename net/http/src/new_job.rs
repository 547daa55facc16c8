//! A job as callers describe it, and what is made of that.

use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use jobbie_client::{AgentLimits, HoldEnd, JobId, NewJob, TiedJob};
use jobbie_proto::limits::{KEY_BYTES_MAX, KEY_MS_DEFAULT, LIMIT_KEY_BYTES_MAX, PERIOD_MS_MAX};
use jobbie_proto::request::Hold;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::chain::{Chain, ChainBody};
use crate::error::ApiError;
use crate::json::{self, Raw};
use crate::moment::{Timestamp, duration_ms};
use crate::namespace::Namespace;
use crate::options::{Retries, micros, priority};

/// A new job.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct NewJobBody {
    pub(crate) queue: Option<String>,
    #[serde(deserialize_with = "json::present")]
    pub(crate) payload: Option<Raw>,
    pub(crate) priority: Option<String>,
    pub(crate) unique_key: Option<String>,
    pub(crate) unique_period: Option<i64>,
    pub(crate) max_retries: Option<i64>,
    pub(crate) retry_backoff: Option<String>,
    pub(crate) retry_base_delay: Option<String>,
    pub(crate) retry_max_delay: Option<String>,
    pub(crate) scheduled_at: Option<Timestamp>,
    pub(crate) expire_after: Option<String>,
    #[serde(deserialize_with = "tags")]
    pub(crate) tags: Option<Raw>,
    #[serde(deserialize_with = "json::object")]
    pub(crate) chain: Option<ChainBody>,
    #[serde(deserialize_with = "json::object")]
    pub(crate) agent: Option<AgentBody>,
    pub(crate) depends_on: Option<Vec<String>>,
    pub(crate) parent_id: Option<String>,
    #[serde(deserialize_with = "json::unless_null")]
    pub(crate) checkpoint: Option<Raw>,
    pub(crate) chain_id: Option<String>,
    pub(crate) chain_step: Option<i64>,
    #[serde(deserialize_with = "json::unless_null")]
    pub(crate) chain_config: Option<Raw>,
    /// Whom it is for, for limits by key and fair sharing. Beyond the contract.
    pub(crate) limit_key: Option<String>,
    /// It waits for a human first. Beyond the contract.
    #[serde(deserialize_with = "json::object")]
    pub(crate) hold: Option<HoldBody>,
}

/// Limits of an agent job.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct AgentBody {
    max_iterations: Option<i64>,
    max_cost_usd: Option<f64>,
    iteration_timeout: Option<String>,
}

/// What a new job waits for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct HoldBody {
    reason: Option<String>,
    timeout: Option<String>,
    timeout_action: Option<String>,
}

/// Tags: an object of texts, as it was written.
fn tags<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Raw>, D::Error> {
    let Some(raw) = json::unless_null(from)? else { return Ok(None) };
    let sound = serde_json::from_str::<HashMap<String, Option<String>>>(raw.get());
    sound.map_err(serde::de::Error::custom)?;
    Ok(Some(raw))
}

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// An error with the name of what it is about before it.
pub(crate) fn prefixed(error: ApiError, at: &str) -> ApiError {
    ApiError { message: format!("{at}{}", error.message), ..error }
}

#[derive(Debug)]
struct HeldFirst {
    reason: String,
    timeout_ms: u64,
    then: HoldEnd,
}

impl HeldFirst {
    fn new(at: &str, body: HoldBody) -> Result<Self, ApiError> {
        let timeout = body.timeout.as_deref().filter(|text| !text.is_empty());
        let timeout = timeout.map(|text| duration_ms(&format!("{at}hold.timeout"), text));
        let timeout_ms = timeout.transpose()?.unwrap_or(0);
        let then = match body.timeout_action.as_deref() {
            Some("approve") => HoldEnd::Approve,
            Some("cancel") => HoldEnd::Cancel,
            None | Some("" | "none") => HoldEnd::Stay,
            Some(_) => {
                let what = format!("{at}hold.timeout_action: approve, cancel or none");
                return Err(ApiError::validation(what));
            }
        };
        if (timeout_ms == 0) != (then == HoldEnd::Stay) {
            let what = format!("{at}hold: a timeout and what happens then go together");
            return Err(ApiError::validation(what));
        }
        Ok(Self { reason: body.reason.unwrap_or_default(), timeout_ms, then })
    }
}

/// A job that is checked and ready to go.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) queue: String,
    payload: Vec<u8>,
    tags: Vec<u8>,
    priority: u8,
    unique: Option<(String, Duration)>,
    retries: Retries,
    scheduled_at: Option<Timestamp>,
    expire_after: Option<Duration>,
    chain: Option<Chain>,
    agent: Option<AgentLimits>,
    checkpoint: Option<Raw>,
    depends_on: Vec<JobId>,
    parent: Option<JobId>,
    limit_key: String,
    hold: Option<HeldFirst>,
}

fn agent(at: &str, body: &AgentBody) -> Result<AgentLimits, ApiError> {
    let timeout = body.iteration_timeout.as_deref().filter(|text| !text.is_empty());
    let timeout = timeout.map(|text| duration_ms(&format!("{at}agent.iteration_timeout"), text));
    let iterations = body.max_iterations.unwrap_or(0).max(0);
    Ok(AgentLimits {
        max_iterations: u32::try_from(iterations).unwrap_or(u32::MAX),
        max_cost_micros: micros(body.max_cost_usd.unwrap_or(0.0)),
        iteration_timeout_ms: timeout.transpose()?.unwrap_or(0),
    })
}

fn job_ids(at: &str, ids: Vec<String>) -> Result<Vec<JobId>, ApiError> {
    let mut found = Vec::with_capacity(ids.len());
    for id in ids.iter().map(|id| id.trim()).filter(|id| !id.is_empty()) {
        let bad = |_| ApiError::validation(format!("{at}: \"{id}\" is no job id"));
        found.push(id.parse::<JobId>().map_err(bad)?);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

impl Prepared {
    /// Checks a job. `at` is what its fields are called by in errors, such as `jobs[3].`.
    pub(crate) fn new(
        body: NewJobBody,
        namespace: &Namespace,
        payload_bytes: usize,
        at: &str,
    ) -> Result<Self, ApiError> {
        let queue = body.queue.unwrap_or_default();
        let queue = namespace.queue(&queue).map_err(|e| prefixed(e, at))?;
        let payload = body.payload.as_ref().map_or(&b"{}"[..], |raw| raw.get().as_bytes());
        if payload_bytes > 0 && payload.len() > payload_bytes {
            return Err(ApiError::too_large(format!(
                "{at}payload has {} bytes, at most {payload_bytes} are taken",
                payload.len()
            )));
        }
        let outside = body.chain_id.is_some() || body.chain_config.is_some();
        if body.chain.is_none() && (outside || body.chain_step.is_some()) {
            let what = "chain_id, chain_step, chain_config: describe the chain by chain instead";
            return Err(ApiError::unsupported(format!("{at}{what}")));
        }
        if body.agent.is_none() && body.checkpoint.is_some() {
            let what = "checkpoint: only agent jobs can begin with one";
            return Err(ApiError::unsupported(format!("{at}{what}")));
        }
        let retries = Retries::new(
            at,
            body.max_retries,
            body.retry_backoff.as_deref(),
            body.retry_base_delay.as_deref(),
            body.retry_max_delay.as_deref(),
        )?;
        let expire_after = match body.expire_after.as_deref() {
            None | Some("") => None,
            Some(text) => match duration_ms(&format!("{at}expire_after"), text)? {
                0 => return Err(ApiError::validation(format!("{at}expire_after: more than 0"))),
                ms => Some(Duration::from_millis(ms)),
            },
        };
        let period = |seconds: Option<i64>| {
            let seconds = seconds.filter(|seconds| *seconds > 0).map_or(3600, i64::unsigned_abs);
            Duration::from_millis(seconds.saturating_mul(1000).min(PERIOD_MS_MAX))
        };
        let unique = filled(body.unique_key);
        let limit_key = body.limit_key.unwrap_or_default();
        if unique.as_ref().is_some_and(|key| key.len() > KEY_BYTES_MAX) {
            return Err(ApiError::validation(format!("{at}unique_key: at most 255 bytes")));
        }
        if limit_key.len() > LIMIT_KEY_BYTES_MAX {
            return Err(ApiError::validation(format!("{at}limit_key: at most 255 bytes")));
        }
        let chain = body.chain.map(|chain| Chain::new(at, chain, &queue, namespace));
        let parent = filled(body.parent_id).map(|id| job_ids(&format!("{at}parent_id"), vec![id]));
        Ok(Self {
            payload: payload.to_vec(),
            tags: json::bytes(body.tags.as_ref()).to_vec(),
            priority: priority(body.priority.as_deref()),
            unique: unique.map(|key| (key, period(body.unique_period))),
            retries,
            scheduled_at: body.scheduled_at,
            expire_after,
            chain: chain.transpose()?,
            agent: body.agent.as_ref().map(|body| agent(at, body)).transpose()?,
            checkpoint: body.checkpoint,
            depends_on: job_ids(&format!("{at}depends_on"), body.depends_on.unwrap_or_default())?,
            parent: parent.transpose()?.and_then(|ids| ids.first().copied()),
            limit_key,
            hold: body.hold.map(|body| HeldFirst::new(at, body)).transpose()?,
            queue,
        })
    }

    /// What it is answered with.
    pub(crate) fn status(&self) -> &'static str {
        match (&self.hold, &self.scheduled_at) {
            (Some(_), _) => "held",
            (None, Some(_)) => "scheduled",
            (None, None) => "pending",
        }
    }

    pub(crate) fn is_unique(&self) -> bool {
        self.unique.is_some()
    }

    /// The job.
    pub(crate) fn job<'a>(&'a self, key: Option<&'a [u8]>) -> TiedJob<'a> {
        let mut job = NewJob::new(&self.queue, &self.payload)
            .tags(&self.tags)
            .priority(self.priority)
            .limit_key(&self.limit_key);
        job = self.retries.put(job);
        if let Some((key, period)) = &self.unique {
            job = job.unique(key.as_bytes(), *period);
        }
        if let Some(key) = key {
            job = job.key(key, Duration::from_millis(KEY_MS_DEFAULT));
        }
        if let Some(Timestamp(at)) = self.scheduled_at {
            job = job.at(UNIX_EPOCH + Duration::from_micros(at.0));
        }
        if let Some(time) = self.expire_after {
            job = job.expire_after(time);
        }
        if let Some(limits) = self.agent {
            job = job.agent(limits).checkpoint(json::bytes(self.checkpoint.as_ref()));
        }
        if let Some(HeldFirst { reason, timeout_ms, then }) = &self.hold {
            let (timeout_ms, then) = (*timeout_ms, *then);
            job = job.hold(Hold { reason: reason.as_bytes(), by: "", timeout_ms, then });
        }
        let mut tied = TiedJob::from(job).after(&self.depends_on);
        if let Some(parent) = self.parent {
            tied = tied.parent(parent);
        }
        match &self.chain {
            Some(chain) => chain.tie(tied, &self.tags),
            None => tied,
        }
    }
}
