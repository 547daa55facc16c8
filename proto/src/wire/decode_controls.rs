//! Bytes to what rarely is in a request: unique keys, holds, and what operators do to jobs.

use super::DecodeError;
use super::blob::BlobReader;
use super::generated as fb;
use super::table::{Names, Table, collect, hold_end, job_id, sharing};
use crate::EventSeq;
use crate::event::QueueSettings;
use crate::limits::OPS_PER_REQUEST_MAX;
use crate::request::{
    Enqueue, EnqueueHold, Hold, JobAction, JobControl, QueueAction, QueueControl,
};

type Wire = fb::Request<'static>;

/// Checks that positions in the enqueues rise and are there.
pub(super) struct Rising {
    field: &'static str,
    next: usize,
    len: usize,
}

impl Rising {
    pub(super) fn new(field: &'static str, len: usize) -> Self {
        Self { field, next: 0, len }
    }

    pub(super) fn position(&mut self, at: u32) -> Result<usize, DecodeError> {
        let at = at as usize;
        if at < self.next || at >= self.len {
            return Err(DecodeError::Range { field: self.field });
        }
        self.next = at + 1;
        Ok(at)
    }
}

pub(super) fn uniques<'a>(
    table: &Table<'a>,
    enqueues: &mut [Enqueue<'a>],
    blob: &mut BlobReader<'a>,
) -> Result<(), DecodeError> {
    let list = table.list("uniques", Wire::VT_UNIQUES, OPS_PER_REQUEST_MAX)?;
    let mut rising = Rising::new("position of a unique key", enqueues.len());
    for raw in list {
        let unique = fb::Unique(*raw);
        let enqueue = &mut enqueues[rising.position(unique.enqueue())?];
        enqueue.unique = blob.bytes("unique key", unique.key_len().into())?;
        enqueue.unique_ms = unique.period_ms();
    }
    Ok(())
}

pub(super) fn holds<'a>(
    table: &Table<'a>,
    enqueues: usize,
    blob: &mut BlobReader<'a>,
) -> Result<Vec<EnqueueHold<'a>>, DecodeError> {
    let mut rising = Rising::new("position of a hold", enqueues);
    collect(table.list("holds", Wire::VT_HOLDS, OPS_PER_REQUEST_MAX)?, |raw| {
        let hold = fb::EnqueueHold(raw);
        rising.position(hold.enqueue())?;
        Ok(EnqueueHold {
            enqueue: hold.enqueue(),
            hold: Hold {
                reason: blob.bytes("reason", hold.reason_len())?,
                by: blob.text("by", hold.by_len().into())?,
                timeout_ms: hold.timeout_ms(),
                then: hold_end(hold.then())?,
            },
        })
    })
}

pub(super) fn job_controls<'a>(
    table: &Table<'a>,
    queues: &Names<'a>,
    blob: &mut BlobReader<'a>,
) -> Result<Vec<JobControl<'a>>, DecodeError> {
    collect(table.list("job controls", Wire::VT_JOB_CONTROLS, OPS_PER_REQUEST_MAX)?, |raw| {
        let control = fb::JobControl(raw);
        let text = blob.bytes("text", control.text_len())?;
        let by = blob.text("by", control.by_len().into())?;
        let value = control.value();
        let action = match control.kind() {
            1 => JobAction::Retry,
            2 => JobAction::Requeue,
            3 => {
                let then = hold_end(control.then())?;
                JobAction::Hold(Hold { reason: text, by, timeout_ms: value, then })
            }
            4 => JobAction::Approve { note: text, by },
            5 => JobAction::Reject { reason: text, by },
            6 => JobAction::Move { queue: queues.get(control.name())? },
            7 => {
                let priority = u8::try_from(value)
                    .map_err(|_| DecodeError::Value { field: "priority", value })?;
                JobAction::Prioritize { priority }
            }
            8 => JobAction::Replace { payload: text },
            // The rest of it is in the list of revisions.
            9 => JobAction::Revise { checkpoint: b"", feedback: text, by, replaces: EventSeq(0) },
            kind => {
                let field = "kind of job control";
                return Err(DecodeError::Value { field, value: kind.into() });
            }
        };
        Ok(JobControl { job: job_id(control.job())?, action })
    })
}

pub(super) fn limit_keys<'a>(
    table: &Table<'a>,
    enqueues: &mut [Enqueue<'a>],
    blob: &mut BlobReader<'a>,
) -> Result<(), DecodeError> {
    let list = table.list("limit keys", Wire::VT_LIMIT_KEYS, OPS_PER_REQUEST_MAX)?;
    let mut rising = Rising::new("position of a limit key", enqueues.len());
    for raw in list {
        let key = fb::LimitKey(*raw);
        let enqueue = &mut enqueues[rising.position(key.enqueue())?];
        enqueue.limit_key = blob.text("limit key", key.key_len().into())?;
    }
    Ok(())
}

/// Pauses and resumes may also be in a list of their own, which comes before this one.
pub(super) fn queue_actions<'a>(
    table: &Table<'a>,
    queues: &Names<'a>,
    controls: &mut Vec<QueueControl<'a>>,
    blob: &mut BlobReader<'a>,
) -> Result<(), DecodeError> {
    for raw in table.list("queue actions", Wire::VT_QUEUE_ACTIONS, OPS_PER_REQUEST_MAX)? {
        let wire = fb::QueueAction(*raw);
        let key = blob.text("limit key", wire.key_len().into())?;
        let action = match wire.kind() {
            1 => QueueAction::Drain,
            2 => QueueAction::Configure(QueueSettings {
                concurrency: wire.concurrency(),
                rate: wire.rate(),
                window_ms: wire.window_ms(),
                key_concurrency: wire.key_concurrency(),
                key_rate: wire.key_rate(),
                key_window_ms: wire.key_window_ms(),
                fair: sharing(wire.fair())?,
            }),
            3 => QueueAction::Weigh { key, weight: wire.weight() },
            4 => QueueAction::Pause,
            5 => QueueAction::Resume,
            kind => {
                let field = "kind of queue action";
                return Err(DecodeError::Value { field, value: kind.into() });
            }
        };
        controls.push(QueueControl { queue: queues.get(wire.name())?, action });
    }
    Ok(())
}
