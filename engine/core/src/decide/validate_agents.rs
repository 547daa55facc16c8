//! Whether agent jobs and what workers say of them may be at all.

use jobbie_proto::Request;
use jobbie_proto::agent::AgentStatus;
use jobbie_proto::limits::{
    AGENT_COST_MICROS_MAX, ERROR_BYTES_MAX, HISTORY_COUNT_MAX, PERIOD_MS_MAX, RESULT_BYTES_MAX,
    WORKER_BYTES_MAX,
};
use jobbie_proto::request::AgentAck;

use super::validate::{Checked, Field, LaterEnqueues, at_most, bytes, invalid, job};
use crate::state::State;

pub(super) fn agents(state: &State, request: &Request<'_>) -> Checked {
    let mut later = LaterEnqueues::default();
    for (at, enqueue) in request.agents.iter().enumerate() {
        let field = |name: &str| format!("agents[{at}].{name}");
        later.check(request, enqueue.enqueue, &field)?;
        if request.plans.binary_search_by_key(&enqueue.enqueue, |plan| plan.enqueue).is_ok() {
            return invalid(format!(
                "{}: its job has a plan, and no worker gets a planned job: leave one of them out",
                field("enqueue")
            ));
        }
        let limits = &enqueue.agent.limits;
        at_most(limits.max_cost_micros, AGENT_COST_MICROS_MAX, "max_cost_micros", &field)?;
        at_most(limits.iteration_timeout_ms, PERIOD_MS_MAX, "iteration_timeout_ms", &field)?;
        bytes(enqueue.agent.checkpoint, RESULT_BYTES_MAX, "checkpoint", &field)?;
    }
    agent_acks(request)?;
    let Some(wanted) = request.iterations else { return Ok(()) };
    let field = |name: &str| format!("iterations.{name}");
    job(state, wanted.job, &field)?;
    if (1..=HISTORY_COUNT_MAX).contains(&wanted.count) {
        return Ok(());
    }
    invalid(format!("{}: {}, not in 1..={HISTORY_COUNT_MAX}", field("count"), wanted.count))
}

fn agent_acks(request: &Request<'_>) -> Checked {
    let mut next = 0;
    for (at, AgentAck { of, status, checkpoint, reason }) in request.agent_acks.iter().enumerate() {
        let field = |name: &str| format!("agent_acks[{at}].{name}");
        let position = *of as usize;
        if position < next || position >= request.acks.len() {
            return invalid(format!("{}: {position}, not a later ack's", field("of")));
        }
        next = position + 1;
        let Some(status) = AgentStatus::from_u8(*status) else {
            let known = AgentStatus::ALL.map(|s| format!("{} ({})", s as u8, s.name())).join(", ");
            return invalid(format!("{}: {status}, not one of {known}", field("status")));
        };
        if status != AgentStatus::Done && request.ties.exits.contains(of) {
            return invalid(format!(
                "{}: {}, but the ack ends its job's chain: only a job that is done does",
                field("status"),
                status.name()
            ));
        }
        bytes(checkpoint, RESULT_BYTES_MAX, "checkpoint", &field)?;
        bytes(reason, ERROR_BYTES_MAX, "reason", &field)?;
    }
    Ok(())
}

pub(super) fn revise(checkpoint: &[u8], feedback: &[u8], by: &str, field: Field<'_>) -> Checked {
    if checkpoint.is_empty() {
        return invalid(format!("{}: empty, it has the feedback in it", field("checkpoint")));
    }
    bytes(checkpoint, RESULT_BYTES_MAX, "checkpoint", field)?;
    bytes(feedback, ERROR_BYTES_MAX, "feedback", field)?;
    bytes(by.as_bytes(), WORKER_BYTES_MAX, "by", field)
}
