//! Messages as what the JSON routes take, and what those give as messages.

use serde_json::value::RawValue;

use super::messages::{
    AckBatchItem, AckRequest, AgentConfig, AgentState, EnqueueRequest, FailRequest, FailResponse,
    FetchBatchJob, FetchResponse, HeartbeatJobUpdate, UsageReport,
};
use crate::ack::AckBody;
use crate::error::ApiError;
use crate::fail::{FailBody, Failed};
use crate::fetch::{AgentObject, LeasedJob};
use crate::heartbeat::BeatBody;
use crate::json::{self, Raw};
use crate::new_job::{AgentBody, NewJobBody};
use crate::usage_report::UsageBody;

/// A number as messages have it.
pub(super) fn int(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

pub(super) fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// A text with JSON in it, if there is something in it.
fn json_text(field: &str, text: &str) -> Result<Option<Raw>, ApiError> {
    if is_blank(text) {
        return Ok(None);
    }
    let bad = |_| ApiError::validation(format!("{field} is no JSON"));
    serde_json::from_str::<&RawValue>(text).map(|raw| Some(raw.to_owned())).map_err(bad)
}

/// The same with `null` for "not there".
fn unless_null(field: &str, text: &str) -> Result<Option<Raw>, ApiError> {
    Ok(json_text(field, text)?.filter(|raw| raw.get() != "null"))
}

fn agent(limits: AgentConfig) -> AgentBody {
    AgentBody {
        max_iterations: Some(i64::from(limits.max_iterations)),
        max_cost_usd: Some(limits.max_cost_usd),
        iteration_timeout: filled(limits.iteration_timeout),
    }
}

pub(super) fn new_job(asked: EnqueueRequest) -> Result<NewJobBody, ApiError> {
    let mut body = match asked.options_json.trim() {
        "" => NewJobBody::default(),
        text if !text.starts_with('{') => {
            return Err(ApiError::validation("options_json is no object"));
        }
        text => {
            let bad = |e| ApiError::validation(format!("options_json cannot be read: {e}"));
            serde_json::from_str(text).map_err(bad)?
        }
    };
    if !is_blank(&asked.queue) {
        body.queue = Some(asked.queue);
    }
    if let Some(payload) = json_text("payload_json", &asked.payload_json)? {
        body.payload = Some(payload);
    }
    if let Some(limits) = asked.agent {
        body.agent = Some(agent(limits));
    }
    Ok(body)
}

fn usage(report: UsageReport) -> UsageBody {
    UsageBody {
        input_tokens: Some(report.input_tokens),
        output_tokens: Some(report.output_tokens),
        cache_creation_tokens: Some(report.cache_creation_tokens),
        cache_read_tokens: Some(report.cache_read_tokens),
        model: filled(report.model),
        provider: filled(report.provider),
        cost_usd: Some(report.cost_usd),
    }
}

pub(super) fn ack_item(asked: AckRequest) -> AckBatchItem {
    let AckRequest { job_id, result_json, usage, checkpoint_json, agent_status, hold_reason } =
        asked;
    let step_status = String::new();
    AckBatchItem {
        job_id,
        result_json,
        usage,
        checkpoint_json,
        agent_status,
        hold_reason,
        step_status,
    }
}

pub(super) fn ack(item: AckBatchItem) -> Result<AckBody, ApiError> {
    let result = json_text("result_json", &item.result_json)?;
    Ok(AckBody {
        job_id: Some(item.job_id),
        result: Some(result.unwrap_or_else(|| json::raw(b"{}"))),
        checkpoint: unless_null("checkpoint_json", &item.checkpoint_json)?,
        usage: item.usage.map(usage),
        agent_status: filled(item.agent_status),
        hold_reason: filled(item.hold_reason),
        step_status: filled(item.step_status),
        ..AckBody::default()
    })
}

pub(super) fn fail(asked: FailRequest) -> FailBody {
    let (error, backtrace) = (Some(asked.error), Some(asked.backtrace));
    FailBody { error, backtrace, ..FailBody::default() }
}

pub(super) fn failed(failed: &Failed) -> FailResponse {
    FailResponse {
        status: failed.status.to_owned(),
        next_attempt_at: failed.next_attempt_at.map(Into::into),
        attempts_remaining: int(failed.attempts_remaining),
    }
}

pub(super) fn beat(update: HeartbeatJobUpdate) -> Result<BeatBody, ApiError> {
    Ok(BeatBody {
        progress: unless_null("progress_json", &update.progress_json)?,
        checkpoint: unless_null("checkpoint_json", &update.checkpoint_json)?,
        usage: update.usage.map(usage),
        ..BeatBody::default()
    })
}

fn text(raw: Option<Raw>) -> String {
    raw.map(|raw| raw.get().to_owned()).unwrap_or_default()
}

fn agent_state(agent: AgentObject) -> AgentState {
    AgentState {
        max_iterations: int(agent.max_iterations.unwrap_or_default()),
        max_cost_usd: agent.max_cost_usd.unwrap_or_default(),
        iteration_timeout: agent.iteration_timeout.unwrap_or_default(),
        iteration: int(agent.iteration.unwrap_or_default()),
        total_cost_usd: agent.total_cost_usd.unwrap_or_default(),
    }
}

pub(super) fn job(job: LeasedJob) -> FetchBatchJob {
    FetchBatchJob {
        job_id: job.job_id,
        queue: job.queue,
        payload_json: job.payload.get().to_owned(),
        attempt: int(job.attempt),
        max_retries: int(job.max_retries),
        lease_duration: int(job.lease_duration),
        checkpoint_json: text(job.checkpoint),
        tags_json: text(job.tags),
        agent: job.agent.map(agent_state),
    }
}

/// A job that is found.
pub(super) fn found(job: FetchBatchJob) -> FetchResponse {
    FetchResponse {
        found: true,
        job_id: job.job_id,
        queue: job.queue,
        payload_json: job.payload_json,
        attempt: job.attempt,
        max_retries: job.max_retries,
        lease_duration: job.lease_duration,
        checkpoint_json: job.checkpoint_json,
        tags_json: job.tags_json,
        agent: job.agent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_their_own_go_before_options() {
        let asked = EnqueueRequest {
            queue: "mail".to_owned(),
            payload_json: " [1, 2] ".to_owned(),
            options_json: r#"{"queue":"no","payload":3,"max_retries":7,"agent":null}"#.to_owned(),
            ..EnqueueRequest::default()
        };
        let body = new_job(asked).expect("it is sound");
        assert_eq!(body.queue.as_deref(), Some("mail"));
        assert_eq!(body.payload.expect("a payload").get(), "[1, 2]");
        assert_eq!(body.max_retries, Some(7));
        for options_json in ["[]", "{", r#"{"max_retries":"7"}"#] {
            let options_json = options_json.to_owned();
            let asked = EnqueueRequest { options_json, ..EnqueueRequest::default() };
            assert_eq!(new_job(asked).expect_err("not sound").code, "VALIDATION_ERROR");
        }
    }

    #[test]
    fn a_blank_result_is_an_empty_object_and_a_blank_checkpoint_none() {
        let item = AckBatchItem { result_json: " ".to_owned(), ..AckBatchItem::default() };
        let body = ack(item).expect("it is sound");
        assert_eq!(body.result.expect("a result").get(), "{}");
        assert!(body.checkpoint.is_none() && body.agent_status.is_none());
        let item = AckBatchItem { checkpoint_json: "{".to_owned(), ..AckBatchItem::default() };
        assert!(ack(item).is_err());
    }
}
