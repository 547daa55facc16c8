//! Agent jobs: each iteration is counted once, its limits hold it, and nothing else does but its worker and its policies.

use jobbie_proto::Request;
use jobbie_proto::agent::{AgentLimits, AgentStatus};
use jobbie_proto::event::Iteration;

use super::violated;
use crate::model::{Job, Model};

/// A job that was just enqueued is said to be one.
pub(crate) fn enqueued(seq: u64, job: &Job, limits: &AgentLimits, request: Option<&Request<'_>>) {
    let request = request.expect("only requests make agent jobs");
    let asked = |agent: &jobbie_proto::request::EnqueueAgent<'_>| {
        let enqueue = &request.enqueues[agent.enqueue as usize];
        enqueue.payload == job.payload && agent.agent.limits == *limits
    };
    if job.agent.is_some() || !request.agents.iter().any(asked) {
        violated!("agents", "job {seq} is an agent job with {limits:?}, which nobody asked for");
    }
}

/// A job is about to be completed; `done` is the agent job that was just said to be done.
pub(crate) fn completed(seq: u64, job: &Job, done: Option<u64>) {
    if job.agent.is_some() && done != Some(seq) {
        violated!("agents", "agent job {seq} is completed without an iteration that says so");
    }
}

/// What the worker of a job says that should become of it.
fn said(request: &Request<'_>, seq: u64, job: &Job) -> AgentStatus {
    let is_meant = |by: jobbie_proto::request::JobRef| {
        by.job.seq().0 == seq && (by.token.0 == 0 || by.token.0 == job.token)
    };
    let at = request.acks.iter().position(|ack| is_meant(ack.job));
    let said = request.agent_acks.iter().find(|said| Some(said.of as usize) == at);
    said.map_or(AgentStatus::Done, |said| AgentStatus::from_u8(said.status).expect("it was taken"))
}

/// An iteration is about to end.
pub(crate) fn iterated(model: &Model, request: &Request<'_>, iteration: &Iteration) {
    let seq = iteration.job.0;
    let job = model.job(seq);
    let Some(agent) = job.agent else {
        violated!("agents", "job {seq}, which is no agent job, was iterated");
    };
    let limits = &agent.limits;
    let is_held = (limits.max_iterations > 0 && agent.iteration >= limits.max_iterations)
        || (limits.max_cost_micros > 0 && job.cost > limits.max_cost_micros);
    let (status, next) = match said(request, seq, job) {
        AgentStatus::Continue if model.policy_for(seq).is_some() => {
            (AgentStatus::Hold, agent.iteration)
        }
        AgentStatus::Continue if is_held => (AgentStatus::Hold, agent.iteration + 1),
        AgentStatus::Continue => (AgentStatus::Continue, agent.iteration + 1),
        status => (status, agent.iteration),
    };
    let found = (iteration.number, iteration.attempt, iteration.status, iteration.next);
    let expected = (agent.iteration, job.attempt, status, next);
    if found != expected {
        violated!("agents", "job {seq} was iterated as {found:?}, should be {expected:?}: {job:?}");
    }
}
