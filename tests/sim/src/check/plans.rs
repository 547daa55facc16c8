//! Plans: what an appended event does follows from the plan and from what came before, and time is exact.

use jobbie_proto::event::AppendedEvent;
use jobbie_proto::plan::{Effect, Need};
use jobbie_proto::reply::JobState;

use super::violated;
use crate::model::{Job, Plan};

/// What an event should do. Of one that is not recorded the log has no kind, which does not matter then.
pub(crate) fn effect(job: &Job, id: &[u8], kind: &str, event: &AppendedEvent, time: u64) -> Effect {
    let Some(plan) = &job.plan else { return Effect::Unplanned };
    if plan.ids.iter().any(|known| known == id) {
        return Effect::Duplicate;
    }
    if job.state != JobState::Planned {
        return Effect::Late;
    }
    let seq = event.job.0;
    if plan.due() > 0 && plan.due() <= time {
        violated!("plans", "an event of job {seq} was taken although its plan is over");
    }
    if job.expire_at.is_some_and(|at| at <= time) {
        violated!("plans", "an event of job {seq} was taken although it has expired");
    }
    let Some(expected) = plan.planned.kinds.iter().find(|expected| expected.name == kind) else {
        return Effect::Unexpected;
    };
    let seen = plan.seen(kind) + 1;
    let mut after = plan.clone();
    after.counted.push(kind.to_owned());
    match expected.need {
        _ if seen > usize::from(expected.count) => Effect::Surplus,
        Need::Failure if seen == usize::from(expected.count) => Effect::Failed,
        Need::Required if after.is_satisfied() => Effect::Completed,
        _ => Effect::Counted,
    }
}

/// No plan is over early.
pub(crate) fn timed_out(seq: u64, plan: &Plan, time: u64) {
    if plan.due() == 0 || plan.due() > time {
        violated!("plans", "the plan of job {seq} is over at {}, not at {time}", plan.due());
    }
}
