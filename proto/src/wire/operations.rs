//! Operations to bytes and back, the same in requests and replies.

use super::blob::{BlobReader, len_u16, len_u32};
use super::generated as fb;
use super::table::{Table, code, collect, hold_end, job_id};
use super::{DecodeError, EncodeError};
use crate::event::{BulkAction, JobFilter, Task};
use crate::limits::{OPERATION_JOBS_MAX, OPERATIONS_ENDED_MAX, OPERATIONS_MAX};
use crate::reply::{Operated, OperationStatus, OperationView};
use crate::request::Operate;
use crate::{Micros, OperationId};

/// Operations that one reply tells of.
const VIEWS_MAX: usize = OPERATIONS_MAX + OPERATIONS_ENDED_MAX;
/// Stands for any tier.
const ANY_PRIORITY: u8 = u8::MAX;

/// The texts of a task, in the order of the blob.
#[derive(Clone, Copy, Default)]
struct Texts<'a> {
    queue: &'a str,
    limit_key: &'a str,
    to: &'a str,
    text: &'a str,
    by: &'a str,
}

fn put_action<'a>(action: &'a BulkAction, wire: &mut fb::Operation, texts: &mut Texts<'a>) {
    let number = match action {
        BulkAction::Retry => 1,
        BulkAction::Requeue => 2,
        BulkAction::Hold { reason, by, timeout_ms, then } => {
            wire.set_value(*timeout_ms);
            wire.set_then(*then as u8);
            (texts.text, texts.by) = (reason, by);
            3
        }
        BulkAction::Approve { note, by } => {
            (texts.text, texts.by) = (note, by);
            4
        }
        BulkAction::Reject { reason, by } => {
            (texts.text, texts.by) = (reason, by);
            5
        }
        BulkAction::Move { queue } => {
            texts.to = queue;
            6
        }
        BulkAction::Prioritize { priority } => {
            wire.set_value((*priority).into());
            7
        }
        BulkAction::Cancel => 9,
        BulkAction::Delete => 10,
    };
    wire.set_action(number);
}

/// Appends the texts of a task to `out` and says the rest.
pub(super) fn task_to(task: &Task, out: &mut Vec<u8>) -> Result<fb::Operation, EncodeError> {
    let (mut wire, mut texts) = (fb::Operation::default(), Texts::default());
    wire.set_priority(ANY_PRIORITY);
    match task {
        Task::Clear { queue } => {
            wire.set_kind(1);
            texts.queue = queue;
        }
        Task::DeleteQueue { queue } => {
            wire.set_kind(2);
            texts.queue = queue;
        }
        Task::Bulk { action, filter, dry_run } => {
            wire.set_kind(3);
            wire.set_dry_run(*dry_run);
            put_action(action, &mut wire, &mut texts);
            (texts.queue, texts.limit_key) = (&filter.queue, &filter.limit_key);
            wire.set_states(filter.states);
            wire.set_priority(filter.priority.unwrap_or(ANY_PRIORITY));
            wire.set_created_after_ms(filter.created_after_ms);
            wire.set_created_before_ms(filter.created_before_ms);
        }
    }
    let Texts { queue, limit_key, to, text, by } = texts;
    wire.set_queue_len(len_u16("queue", queue.as_bytes())?);
    wire.set_limit_key_len(len_u16("limit key", limit_key.as_bytes())?);
    wire.set_to_len(len_u16("queue", to.as_bytes())?);
    wire.set_text_len(len_u32("text", text.as_bytes())?);
    wire.set_by_len(len_u16("by", by.as_bytes())?);
    for part in [queue, limit_key, to, text, by] {
        out.extend_from_slice(part.as_bytes());
    }
    Ok(wire)
}

fn action(wire: &fb::Operation, texts: Texts<'_>) -> Result<BulkAction, DecodeError> {
    let (text, by) = (texts.text.to_owned(), texts.by.to_owned());
    Ok(match wire.action() {
        1 => BulkAction::Retry,
        2 => BulkAction::Requeue,
        3 => BulkAction::Hold {
            reason: text,
            by,
            timeout_ms: wire.value(),
            then: hold_end(wire.then())?,
        },
        4 => BulkAction::Approve { note: text, by },
        5 => BulkAction::Reject { reason: text, by },
        6 => BulkAction::Move { queue: texts.to.to_owned() },
        7 => {
            let value = wire.value();
            let priority = u8::try_from(value);
            let priority = priority.map_err(|_| DecodeError::Value { field: "priority", value })?;
            BulkAction::Prioritize { priority }
        }
        9 => BulkAction::Cancel,
        10 => BulkAction::Delete,
        kind => {
            let field = "action of an operation";
            return Err(DecodeError::Value { field, value: kind.into() });
        }
    })
}

fn task(wire: &fb::Operation, blob: &mut BlobReader<'_>) -> Result<Task, DecodeError> {
    let texts = Texts {
        queue: blob.text("queue", wire.queue_len().into())?,
        limit_key: blob.text("limit key", wire.limit_key_len().into())?,
        to: blob.text("queue", wire.to_len().into())?,
        text: blob.text("text", wire.text_len())?,
        by: blob.text("by", wire.by_len().into())?,
    };
    let queue = texts.queue.to_owned();
    match wire.kind() {
        1 => Ok(Task::Clear { queue }),
        2 => Ok(Task::DeleteQueue { queue }),
        3 => Ok(Task::Bulk {
            action: action(wire, texts)?,
            filter: JobFilter {
                queue,
                states: wire.states(),
                priority: Some(wire.priority()).filter(|priority| *priority != ANY_PRIORITY),
                limit_key: texts.limit_key.to_owned(),
                created_after_ms: wire.created_after_ms(),
                created_before_ms: wire.created_before_ms(),
            },
            dry_run: wire.dry_run(),
        }),
        kind => {
            let field = "kind of operation";
            Err(DecodeError::Value { field, value: kind.into() })
        }
    }
}

/// What a request says of an operation.
pub(super) fn operate(
    table: &Table<'_>,
    blob: &mut BlobReader<'_>,
) -> Result<Option<Operate>, DecodeError> {
    use fb::Request as T;
    let cancelled = table.u64(T::VT_CANCEL_OPERATION)?;
    let Some(wire) = table.structure(T::VT_OPERATION)?.map(fb::Operation) else {
        let operation = OperationId(cancelled);
        return Ok((cancelled != 0).then_some(Operate::Cancel { operation }));
    };
    if cancelled != 0 {
        return Err(DecodeError::Value { field: "a second operation", value: cancelled });
    }
    let jobs = table.list("jobs of an operation", T::VT_OPERATION_JOBS, OPERATION_JOBS_MAX)?;
    let jobs = collect(jobs, |raw| job_id(&fb::JobId(raw)))?;
    Ok(Some(Operate::Start { task: task(&wire, blob)?, jobs }))
}

pub(super) fn operated(wire: &fb::Operated) -> Result<Operated, DecodeError> {
    Ok(Operated { code: code(wire.code())?, operation: OperationId(wire.operation()) })
}

pub(super) fn operated_to(operated: &Operated) -> fb::Operated {
    fb::Operated::new(operated.operation.0, operated.code as u8)
}

pub(super) fn progress_to(view: &OperationView) -> fb::OperationProgress {
    fb::OperationProgress::new(
        view.id.0,
        view.estimate,
        view.looked_at,
        view.applied,
        view.skipped,
        view.started.0,
        view.ended.0,
        view.jobs,
        view.status as u8,
    )
}

/// The operations that a reply tells of.
pub(super) fn views(
    table: &Table<'_>,
    blob: &mut BlobReader<'_>,
) -> Result<Vec<OperationView>, DecodeError> {
    use fb::Reply as T;
    let tasks = table.list("operations", T::VT_OPERATIONS, VIEWS_MAX)?;
    let progress = table.list("progress", T::VT_OPERATIONS_PROGRESS, VIEWS_MAX)?;
    if tasks.len() != progress.len() {
        return Err(DecodeError::Parallel { field: "progress of operations" });
    }
    let mut views = Vec::with_capacity(tasks.len());
    for (wire, progress) in tasks.iter().zip(progress) {
        let progress = fb::OperationProgress(*progress);
        let status = progress.status();
        views.push(OperationView {
            id: OperationId(progress.operation()),
            task: task(&fb::Operation(*wire), blob)?,
            status: OperationStatus::from_u8(status).ok_or(DecodeError::Value {
                field: "status of an operation",
                value: status.into(),
            })?,
            jobs: progress.jobs(),
            estimate: progress.estimate(),
            looked_at: progress.looked_at(),
            applied: progress.applied(),
            skipped: progress.skipped(),
            started: Micros(progress.started_us()),
            ended: Micros(progress.ended_us()),
        });
    }
    Ok(views)
}
