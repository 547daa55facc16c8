//! What the histories ask for, from small numbers.

use jobbie_proto::event::{BackoffKind, HoldEnd, Missed};
use jobbie_proto::request::{Definition, Enqueue, Hold, JobAction, ScheduleAction, When};
use jobbie_proto::{EventSeq, Micros};

use crate::naive_schedules::PLANS;

pub(crate) const QUEUES: [&str; 3] = ["a", "b/c", "größe"];
pub(crate) const PAYLOADS: [&[u8]; 2] = [b"payload", b""];
pub(crate) const UNIQUES: [&[u8]; 6] = [b"", b"", b"", b"", b"u1", b"u2"];
pub(crate) const LIMIT_KEYS: [&str; 5] = ["", "", "", "ann", "bob"];
pub(crate) const KEYS: [&[u8]; 4] = [b"", b"", b"k1", b"k2"];

pub(crate) fn make_hold(with: u8) -> Hold<'static> {
    let then = HoldEnd::from_u8(with % 3).expect("three");
    let timeout_ms = if then == HoldEnd::Stay { 0 } else { 700 };
    Hold { reason: b"look", by: "ann", timeout_ms, then }
}

pub(crate) fn action(kind: u8, with: u8) -> JobAction<'static> {
    match kind {
        0 => JobAction::Retry,
        1 => JobAction::Requeue,
        2 => JobAction::Hold(make_hold(with)),
        3 => JobAction::Approve { note: b"fine", by: "ann" },
        4 => JobAction::Reject { reason: b"no", by: "ann" },
        5 => JobAction::Move { queue: QUEUES[usize::from(with % 3)] },
        6 => JobAction::Prioritize { priority: with % 3 },
        8 => JobAction::Revise {
            checkpoint: b"revised",
            feedback: b"not so",
            by: "ann",
            replaces: EventSeq(with.into()),
        },
        _ => JobAction::Replace { payload: b"other" },
    }
}

pub(crate) fn schedule_action(kind: u8, with: u8) -> ScheduleAction<'static> {
    // Mostly every minute.
    let plan = if with.is_multiple_of(4) { usize::from(with / 4) % PLANS.len() } else { 0 };
    let (expression, zone, ..) = PLANS[plan];
    let job = enqueue(0, with & 0b0111_1111, 0);
    match kind {
        0 => ScheduleAction::Pause,
        1 => ScheduleAction::Resume,
        2 => ScheduleAction::Run,
        3 => ScheduleAction::Delete,
        _ => ScheduleAction::Set(Definition {
            expression,
            zone,
            missed: Missed::from_u8(kind % 3).expect("three"),
            payload: job.payload,
            tags: job.tags,
            unique: UNIQUES[usize::from(with % 5)],
            unique_ms: 100_000,
            limit_key: LIMIT_KEYS[usize::from(with / 5) % LIMIT_KEYS.len()],
            priority: job.priority,
            max_retries: job.max_retries,
            backoff: job.backoff,
            backoff_base_ms: job.backoff_base_ms,
            backoff_cap_ms: job.backoff_cap_ms,
            expire_after_ms: job.expire_after_ms,
        }),
    }
}

pub(crate) fn enqueue(queue: usize, options: u8, key: usize) -> Enqueue<'static> {
    let bit = |n: u8| options >> n & 1 == 1;
    Enqueue {
        queue: QUEUES[queue],
        payload: PAYLOADS[usize::from(bit(0))],
        tags: b"",
        key: KEYS[key],
        key_ms: 1500,
        unique: b"",
        unique_ms: 1200,
        limit_key: "",
        priority: if bit(1) { 0 } else { 2 },
        max_retries: if bit(2) { 3 } else { 1 },
        backoff: BackoffKind::from_u8(options >> 3 & 3).expect("two bits"),
        backoff_base_ms: 300,
        backoff_cap_ms: if bit(5) { 500 } else { 0 },
        expire_after_ms: if bit(6) { 1200 } else { 0 },
        when: match options >> 6 {
            0 | 1 => When::Now,
            2 => When::DelayMs(400),
            _ if bit(1) => When::At(Micros(1_001_500_000)),
            _ => When::Now,
        },
    }
}
