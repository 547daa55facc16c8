//! Whether an operation may begin.

use jobbie_proto::event::{BulkAction, JobFilter, Task};
use jobbie_proto::limits::{
    CREATED_MS_END, LIMIT_KEY_BYTES_MAX, OPERATION_JOBS_MAX, OPERATION_TEXT_BYTES_MAX,
    OPERATIONS_MAX, PRIORITY_TIERS, QUEUES_MAX,
};
use jobbie_proto::placement::shard_of;
use jobbie_proto::reply::{JOB_STATES, JobState};
use jobbie_proto::request::{JobAction, Operate};
use jobbie_proto::{Code, JobId, Request};

use super::validate::{
    Checked, Field, Refusal, at_most, bytes, check_action, invalid, job, queue, stands_alone,
};
use crate::state::State;

/// An operation changes nothing together with anything else, so that it is clear which jobs are meant.
pub(super) fn operation(state: &State, request: &Request<'_>) -> Checked {
    let Some(operate) = &request.operation else { return Ok(()) };
    stands_alone(request, "operation")?;
    let Operate::Start { task, jobs } = operate else { return Ok(()) };
    check_task(state, task, jobs)?;
    if state.operations.running().len() >= OPERATIONS_MAX {
        let message = format!(
            "operation: {OPERATIONS_MAX} run, the most a shard does at a time: wait for one or cancel it"
        );
        return Err(Refusal { code: Code::Overloaded, message });
    }
    Ok(())
}

fn check_task(state: &State, task: &Task, jobs: &[JobId]) -> Checked {
    let field = |name: &str| format!("operation.{name}");
    match task {
        Task::Clear { queue: name } | Task::DeleteQueue { queue: name } => {
            if !jobs.is_empty() {
                return invalid("operation.jobs: only bulk operations name jobs".into());
            }
            queue(state, name, &field)
        }
        Task::Bulk { action, filter, .. } => {
            meant(state, filter, jobs)?;
            bulk(state, action)
        }
    }
}

/// Jobs are named or filtered, not both, and not neither: that would be all there are.
fn meant(state: &State, filter: &JobFilter, jobs: &[JobId]) -> Checked {
    match (jobs.is_empty(), filter.is_empty()) {
        (true, true) => invalid(
            "operation: it names no jobs and has no filter; give ids, or at least one of queue, states, \
             priority, limit_key, created_after_ms and created_before_ms"
                .into(),
        ),
        (false, false) => {
            invalid("operation: it names jobs and has a filter, give one of them".into())
        }
        (true, false) => check_filter(state, filter),
        (false, true) => {
            if jobs.len() > OPERATION_JOBS_MAX {
                let message = format!(
                    "operation.jobs: {} ids, at most {OPERATION_JOBS_MAX}: send several operations",
                    jobs.len()
                );
                return Err(Refusal { code: Code::TooLarge, message });
            }
            let mut all = jobs.iter().enumerate();
            all.try_for_each(|(at, id)| job(state, *id, &|_| format!("operation.jobs[{at}]")))
        }
    }
}

fn check_filter(state: &State, filter: &JobFilter) -> Checked {
    let field: Field<'_> = &|name| format!("operation.filter.{name}");
    if !filter.queue.is_empty() {
        queue(state, &filter.queue, field)?;
    }
    bytes(filter.limit_key.as_bytes(), LIMIT_KEY_BYTES_MAX, "limit_key", field)?;
    if filter.states >> JOB_STATES != 0 {
        let message = format!(
            "{}: {:#b}, has a bit above those of the {JOB_STATES} states",
            field("states"),
            filter.states
        );
        return invalid(message);
    }
    if filter.states >> JobState::Completed as u8 & 1 == 1 {
        return invalid(format!(
            "{}: completed jobs have left memory and cannot be meant",
            field("states")
        ));
    }
    if filter.states >> JobState::Moved as u8 & 1 == 1 {
        return invalid(format!(
            "{}: moved jobs are on other shards, and are meant there",
            field("states")
        ));
    }
    if let Some(priority) = filter.priority {
        at_most(priority.into(), u64::from(PRIORITY_TIERS) - 1, "priority", field)?;
    }
    let (after, before) = (filter.created_after_ms, filter.created_before_ms);
    at_most(after, CREATED_MS_END - 1, "created_after_ms", field)?;
    at_most(before, CREATED_MS_END - 1, "created_before_ms", field)?;
    if before > 0 && before <= after {
        return invalid(format!(
            "{}: {before}, not after created_after_ms, which is {after}",
            field("created_before_ms")
        ));
    }
    Ok(())
}

fn bulk(state: &State, action: &BulkAction) -> Checked {
    let field: Field<'_> = &|name| format!("operation.action.{name}");
    let Some(for_job) = action.for_job() else { return Ok(()) };
    check_action(&for_job, field)?;
    match for_job {
        JobAction::Hold(hold) => bytes(hold.reason, OPERATION_TEXT_BYTES_MAX, "reason", field),
        JobAction::Approve { note, .. } => bytes(note, OPERATION_TEXT_BYTES_MAX, "note", field),
        JobAction::Reject { reason, .. } => {
            bytes(reason, OPERATION_TEXT_BYTES_MAX, "reason", field)
        }
        JobAction::Move { queue } => target(state, queue),
        _ => Ok(()),
    }
}

/// Whether another shard has room is seen when they come there.
fn target(state: &State, queue: &str) -> Checked {
    if shard_of(queue, state.shards) != state.shard {
        return Ok(());
    }
    if state.queues.find(queue).is_none() && state.queues.len() >= QUEUES_MAX {
        let message = format!("queue: {QUEUES_MAX} exist, the most a shard holds");
        return Err(Refusal { code: Code::Overloaded, message });
    }
    Ok(())
}
