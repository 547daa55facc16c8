//! A job as callers see it: what its shard knows now over what the read model knows of its past.

use jobbie_client::{AgentState, JobInfo, JobState};
use jobbie_projector::row::{ErrorRow, JobRow};
use jobbie_proto::{JobId, Micros};
use schemars::JsonSchema;
use serde::Serialize;

use crate::fetch::AgentObject;
use crate::json::{self, Raw};
use crate::moment;
use crate::namespace::Namespace;
use crate::options::backoff_word;

const CHAIN_PREFIX: &str = "chn_";
const JOB_PREFIX: &str = "job_";

/// A chain by its first job.
pub(crate) fn chain_id(first: JobId) -> String {
    first.to_string().replacen(JOB_PREFIX, CHAIN_PREFIX, 1)
}

/// The first job of a chain.
pub(crate) fn chain_of(text: &str) -> Option<JobId> {
    let digits = text.strip_prefix(CHAIN_PREFIX)?;
    format!("{JOB_PREFIX}{digits}").parse().ok()
}

/// A job.
#[derive(Serialize, JsonSchema)]
pub(crate) struct JobObject {
    id: String,
    queue: String,
    state: &'static str,
    payload: Raw,
    priority: u8,
    attempt: u32,
    max_retries: u32,
    retry_backoff: &'static str,
    retry_base_delay_ms: u32,
    retry_max_delay_ms: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_step: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_config: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled_at: Option<String>,
    created_at: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ErrorObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<AgentObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_reason: Option<String>,
}

/// What went wrong once.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ErrorObject {
    id: u64,
    job_id: String,
    attempt: u32,
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    backtrace: Option<String>,
    created_at: String,
}

/// A text, if there is one.
pub(crate) fn some_text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl ErrorObject {
    pub(crate) fn new(job: JobId, row: &ErrorRow) -> Self {
        Self {
            id: row.id,
            job_id: job.to_string(),
            attempt: row.attempt,
            error: row.error.clone(),
            backtrace: some_text(&row.backtrace),
            created_at: moment::text(row.at),
        }
    }
}

impl JobObject {
    pub(crate) fn new(row: &JobRow, errors: &[ErrorRow], by: &Namespace) -> Self {
        let depends: Vec<String> = row.depends_on.iter().map(ToString::to_string).collect();
        let chain_config =
            (!depends.is_empty()).then(|| serde_json::json!({ "depends_on": depends }));
        Self {
            id: row.id.to_string(),
            queue: by.shown(&row.queue).to_owned(),
            state: row.state.name(),
            payload: json::payload(&row.payload),
            priority: row.priority,
            attempt: row.attempt,
            max_retries: row.max_retries,
            retry_backoff: backoff_word(row.backoff),
            retry_base_delay_ms: row.backoff_base_ms,
            retry_max_delay_ms: row.backoff_cap_ms,
            unique_key: some_text(&String::from_utf8_lossy(&row.unique_key)),
            limit_key: some_text(&row.limit_key),
            batch_id: row.batch.map(|batch| batch.to_string()),
            worker_id: some_text(&row.worker),
            hostname: some_text(&row.host),
            parent_id: row.parent.map(|parent| parent.to_string()),
            chain_id: row.chain.map(|(first, _)| chain_id(first)),
            chain_step: row.chain.map(|(_, step)| step),
            chain_config,
            tags: json::some_raw(&row.tags),
            progress: json::some_raw(&row.progress),
            checkpoint: json::some_raw(&row.checkpoint),
            result: json::some_raw(&row.result),
            lease_expires_at: moment::some(row.lease_expires),
            scheduled_at: moment::some(row.scheduled),
            expire_at: moment::some(row.expires),
            started_at: moment::some(row.started),
            completed_at: moment::some(row.completed),
            failed_at: moment::some(row.failed),
            cancelled_at: moment::some(row.cancelled),
            created_at: moment::text(row.created),
            errors: errors.iter().map(|error| ErrorObject::new(row.id, error)).collect(),
            agent: row.agent.map(AgentObject::from),
            hold_reason: some_text(&row.hold_reason),
        }
    }
}

/// A row of what a shard says, for a job that the read model does not know yet.
fn blank(info: &JobInfo) -> JobRow {
    JobRow {
        id: info.id,
        queue: String::new(),
        state: info.state,
        payload: Vec::new(),
        tags: Vec::new(),
        priority: 0,
        attempt: 0,
        max_retries: 0,
        backoff: info.backoff,
        backoff_base_ms: 0,
        backoff_cap_ms: 0,
        unique_key: Vec::new(),
        limit_key: String::new(),
        batch: None,
        parent: None,
        chain: None,
        depends_on: Vec::new(),
        moved_to: None,
        worker: String::new(),
        host: String::new(),
        progress: Vec::new(),
        checkpoint: Vec::new(),
        result: Vec::new(),
        hold_reason: String::new(),
        agent: None,
        errors: u32::from(!info.error.is_empty()),
        created: Micros(info.id.created_ms().saturating_mul(1000)),
        started: Micros(0),
        lease_expires: Micros(0),
        scheduled: Micros(0),
        expires: Micros(0),
        completed: Micros(0),
        failed: Micros(0),
        cancelled: Micros(0),
        record: 0,
    }
}

/// What a shard says now over what the read model has.
pub(crate) fn merge(row: Option<JobRow>, info: &JobInfo) -> JobRow {
    let row = row.unwrap_or_else(|| blank(info));
    let when = |is: bool| if is { info.due } else { Micros(0) };
    let ended = |is: bool, known: Micros| if is && known == Micros(0) { info.ended } else { known };
    let agent = info.agent.as_ref().map(|agent| AgentState {
        iteration: agent.iteration,
        cost_micros: info.cost_micros,
        limits: agent.limits,
    });
    let waits = matches!(info.state, JobState::Scheduled | JobState::Retrying);
    JobRow {
        id: info.id,
        queue: info.queue.to_string(),
        state: info.state,
        payload: info.payload.to_vec(),
        tags: info.tags.to_vec(),
        priority: info.priority,
        attempt: info.attempt,
        max_retries: info.max_retries,
        backoff: info.backoff,
        backoff_base_ms: info.backoff_base_ms,
        backoff_cap_ms: info.backoff_cap_ms,
        limit_key: info.limit_key.clone(),
        batch: info.batch.or(row.batch),
        parent: info.parent.or(row.parent),
        progress: info.progress.to_vec(),
        checkpoint: info.checkpoint.to_vec(),
        hold_reason: String::from_utf8_lossy(&info.hold_reason).into_owned(),
        agent,
        lease_expires: when(info.state == JobState::Active),
        scheduled: when(waits),
        expires: info.expire_at,
        failed: ended(info.state == JobState::Dead, row.failed),
        cancelled: ended(info.state == JobState::Cancelled, row.cancelled),
        ..row
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobbie_proto::{JobSeq, ShardId};

    #[test]
    fn a_chain_is_named_by_its_first_job() {
        let first = JobId::new(17, ShardId(1), JobSeq(5));
        let name = chain_id(first);
        assert!(name.starts_with("chn_") && name.len() == 30);
        assert_eq!(chain_of(&name), Some(first));
        assert_eq!(chain_of(&first.to_string()), None);
    }
}
