//! R5: while the disk is full only what adds jobs, payloads or events is refused; leases run out as ever, and writes resume unaided.

use jobbie_proto::reply::JobState;
use jobbie_proto::request::{JobAction, JobControl, Operate, ScheduleAction, ScheduleControl};
use jobbie_proto::{Code, Request};

use super::violated;
use crate::model::Model;

/// How much later than its end a lease may be ended, in microseconds of log time.
const LATE_US: u64 = 1_000_000;

/// A request is answered.
pub(crate) fn reply(request: &Request<'_>, number: u64, code: Code) {
    let replaces = |control: &JobControl<'_>| {
        matches!(control.action, JobAction::Replace { .. } | JobAction::Revise { .. })
    };
    let needs_room =
        |operate: &Operate| matches!(operate, Operate::Start { task, .. } if !task.makes_room());
    let makes = |control: &ScheduleControl<'_>| {
        matches!(control.action, ScheduleAction::Set(_) | ScheduleAction::Run)
    };
    let adds = !request.enqueues.is_empty()
        || !request.appends.is_empty()
        || !request.ties.batch_opens.is_empty()
        || request.job_controls.iter().any(replaces)
        || request.schedule_controls.iter().any(makes)
        || request.operation.as_ref().is_some_and(needs_room);
    if code == Code::NoSpace && !adds {
        violated!("r05", "request {number} adds nothing and was refused for want of space");
    }
}

/// The shard has served without a break, with room in its log, until `log_time` at least.
pub(crate) fn expired(model: &Model, log_time: u64) {
    for seq in &model.live {
        let job = model.job(*seq);
        if job.state == JobState::Active && job.deadline + LATE_US < log_time {
            let late = log_time - job.deadline;
            violated!("r05", "the disk is full and the lease of job {seq} is over by {late} µs");
        }
    }
}
