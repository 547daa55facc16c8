//! R14: no job runs before it is due, after it expired or from a paused queue; tiers first, then first come first served.

use jobbie_proto::reply::JobState;

use super::{limits, violated};
use crate::model::{Job, Model};

/// A job's time is said to have come.
pub(crate) fn promoted(seq: u64, job: &Job, time: u64) {
    if !matches!(job.state, JobState::Scheduled | JobState::Retrying) {
        violated!("r14", "job {seq} was promoted while {:?}", job.state);
    }
    if time < job.due {
        violated!("r14", "job {seq} was promoted {} µs early", job.due - time);
    }
}

/// A job is about to be leased, by a group that begins with event `group`.
pub(crate) fn leased(model: &Model, seq: u64, time: u64, group: u64) {
    let job = &model.jobs[seq as usize - 1];
    if job.state != JobState::Pending {
        violated!("r14", "job {seq} was leased while {:?}", job.state);
    }
    if job.expire_at.is_some_and(|at| at <= time) {
        violated!("r14", "job {seq} was leased after it expired");
    }
    let queue = &job.class.queue;
    if model.paused.contains(queue) {
        violated!("r14", "job {seq} was leased from {queue}, which is paused");
    }
    if model.is_closed(queue) {
        violated!("r14", "job {seq} was leased from {queue}, which is being emptied");
    }
    let place = job.place(seq);
    let first = (queue.clone(), 0, 0, 0);
    for (_, tier, position, other) in model.waiting.range(first..place) {
        let passed_over = &model.jobs[*other as usize - 1];
        let live = passed_over.expire_at.is_none_or(|at| at > time);
        if live && !limits::may_be_passed(model, passed_over, job, time, group) {
            let at = (job.class.priority, job.position);
            violated!(
                "r14",
                "job {seq} {at:?} was leased before {other} ({tier}, {position}): {passed_over:?}"
            );
        }
    }
}
