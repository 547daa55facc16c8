//! R10: each job is in exactly one state, the counts add up, and the engine's view is the model's.

use jobbie_core::State;
use jobbie_proto::reply::JobState;

use super::violated;
use crate::model::{Job, Model};

/// Entries between two comparisons of every job, when they are few.
const EVERY: u64 = 16;

/// A job goes from one of `from` to something else.
pub(crate) fn leaves(seq: u64, job: &Job, from: &[JobState], what: &str) {
    if job.gone || !from.contains(&job.state) {
        let state = if job.gone { "gone" } else { job.state.name() };
        violated!("r10", "job {seq} was {what} while {state}");
    }
}

/// The engine stands exactly where the model does.
pub(crate) fn compare(model: &Model, state: &State, index: u64) {
    let stats = state.stats();
    let leases = model.queues.values().map(|queue| queue.jobs[JobState::Active as usize]).sum();
    let live = model.live.len() as u64;
    let sessions = model.sessions.len() as u64;
    if (stats.leases, stats.jobs, stats.sessions) != (leases, live, sessions) {
        violated!("r10", "{stats:?}, but {leases} leases, {live} jobs, {sessions} sessions");
    }
    for (name, queue) in &model.queues {
        let Some(stats) = state.queue_stats(name) else {
            violated!("r10", "queue {name} is not known");
        };
        let paused = model.paused.contains(name);
        let mut jobs = queue.jobs;
        jobs[JobState::Moved as usize] = model.moved.get(name).copied().unwrap_or(0);
        if (stats.jobs, stats.paused, stats.enqueued_total) != (jobs, paused, queue.enqueued_total)
        {
            violated!("r10", "queue {name} is {stats:?}, should be {queue:?}, paused {paused}");
        }
    }
    for ((queue, name), expected) in &model.schedules {
        let Some(view) = state.schedule(queue, name) else {
            violated!("r10", "schedule {name} of {queue} is not known");
        };
        let next = if expected.paused { 0 } else { expected.next };
        let found = (view.defined.0, view.paused, view.next.0, view.last_planned.0);
        if found != (expected.defined, expected.paused, next, expected.last_planned) {
            violated!("r10", "schedule {name} is {view:?}, should be {expected:?}");
        }
    }
    if index.is_multiple_of(EVERY + live / 8) {
        model.live.iter().for_each(|seq| compare_job(model, state, *seq));
    }
}

fn compare_job(model: &Model, state: &State, seq: u64) {
    let job = model.job(seq);
    let view = match state.job(job.id) {
        Ok(view) => view,
        Err(code) => violated!("r10", "job {seq} is {:?} but {code:?}", job.state),
    };
    let due = match job.state {
        JobState::Active => job.deadline,
        JobState::Scheduled | JobState::Retrying | JobState::Held | JobState::Planned => job.due,
        _ => 0,
    };
    let plan = |plan: &crate::model::Plan| (plan.status(job.state), plan.ids.len());
    let (plan, of) = (job.plan.as_ref().map(plan), view.plan.as_ref());
    if of.map(|plan| (plan.status, plan.events as usize)) != plan {
        violated!("r10", "the plan of job {seq} is {of:?}, should be {plan:?}");
    }
    let agent = view.agent.as_ref().map(|agent| (agent.iteration, agent.limits));
    let (found, expected) = (agent, job.agent.map(|agent| (agent.iteration, agent.limits)));
    // What is left of a job that went away says only where it is.
    let expected = expected.filter(|_| job.state != JobState::Moved);
    if (view.cost_micros, found) != (job.cost, expected) {
        let (found, expected) = ((view.cost_micros, found), (job.cost, expected));
        violated!("r10", "cost and iteration of job {seq}: {found:?}, should be {expected:?}");
    }
    let token = if job.state == JobState::Active { job.token } else { 0 };
    let found = (view.state, view.attempt, view.token.0, view.due.0, view.expire_at.0);
    let expected = (job.state, job.attempt, token, due, job.expire_at.unwrap_or(0));
    if found != expected || view.class != job.class || *view.limit_key != *job.limit_key {
        violated!("r10", "job {seq} is {found:?}, should be {expected:?}");
    }
}
