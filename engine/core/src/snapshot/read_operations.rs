//! Rows to operations.

use std::rc::Rc;

use jobbie_proto::limits::{OPERATION_JOBS_MAX, OPERATIONS_ENDED_MAX, OPERATIONS_MAX};
use jobbie_proto::reply::OperationStatus;

use super::OperationRow;
use super::read::{Checked, require};
use crate::operations::Operation;
use crate::state::State;

/// Takes in one row: those that run by id, then those that are over.
pub(super) fn add(state: &mut State, row: OperationRow) -> Checked {
    let runs = row.status == OperationStatus::Running;
    require((1..state.next_event).contains(&row.id), "an operation is ahead of its event")?;
    require(row.below <= state.next_job, "an operation is ahead of its jobs")?;
    require(row.started <= state.time && row.ended <= state.time, "an operation is ahead of time")?;
    require(row.jobs.len() <= OPERATION_JOBS_MAX, "an operation names too many jobs")?;
    let filter = row.task.filter();
    require(row.jobs.is_empty() || (runs && filter.is_empty()), "an operation names jobs in vain")?;
    let end = if filter.is_empty() { row.jobs.len() as u64 } else { row.below };
    require(row.cursor <= end || !runs, "an operation is past its end")?;
    let closes = match row.task.closes().filter(|_| row.closed) {
        Some(queue) => Some(state.queues.find(queue).ok_or("an operation on an unknown queue")?),
        None => None,
    };
    require(
        closes.is_some() == row.closed && (runs || !row.closed),
        "an operation closes nothing",
    )?;
    let operations = &state.operations;
    let operation = Operation {
        id: row.id,
        task: row.task,
        filter,
        jobs: row.jobs,
        named: row.named,
        below: row.below,
        cursor: row.cursor,
        estimate: row.estimate,
        looked_at: row.looked_at,
        applied: row.applied,
        skipped: row.skipped,
        started: row.started,
        ended: row.ended,
        status: row.status,
    };
    if runs {
        let rises = operations.running().last().is_none_or(|last| last.id < operation.id);
        let first = operations.ended().next().is_none();
        require(rises && first, "operations out of order")?;
        require(operations.running().len() < OPERATIONS_MAX, "too many operations run")?;
        state.operations.start(operation, closes);
    } else {
        require(operations.ended().count() < OPERATIONS_ENDED_MAX, "too many operations ended")?;
        state.operations.remember(Rc::new(operation));
    }
    Ok(())
}
