//! An entry body that has every fact about what ties jobs together, in every shape.

use jobbie_proto::event::{
    BackoffKind, ChainedJob, Class, Event, Group, ON_FAILURE, Parcel, Step, Tie,
};
use jobbie_proto::{BatchId, Code, EventSeq, JobId, JobSeq, Micros, SessionId, ShardId};

use crate::events::{body_of, part};

/// The blob that the events refer to.
pub(crate) const BLOB: &[u8] = b"{\"step\":9}{\"tag\":8}";

fn class(queue: &str) -> Class {
    Class {
        queue: queue.into(),
        priority: 2,
        max_retries: 3,
        backoff: BackoffKind::Exponential,
        backoff_base_ms: 5000,
        backoff_cap_ms: 600_000,
        expire_after_ms: 0,
    }
}

fn step(queue: &str, limit_key: &str) -> Step {
    let (payload, tags) = (part(BLOB, "{\"step\":9}"), part(BLOB, "{\"tag\":8}"));
    Step { class: class(queue), limit_key: limit_key.into(), payload, tags }
}

fn job(shard: u16, seq: u64) -> JobId {
    JobId::new(1_795_000_000_123, ShardId(shard), JobSeq(seq))
}

fn batch() -> BatchId {
    BatchId::new(1_795_000_000_124, ShardId(3), EventSeq(77))
}

fn chained(step_number: i32, rest: Vec<Step>, handlers: bool) -> Tie {
    let handler = |queue| handlers.then(|| step(queue, ""));
    Tie::Chained(ChainedJob {
        job: JobSeq(5),
        chain: job(3, 5),
        step: step_number,
        rest,
        on_failure: handler("failures"),
        on_exit: handler("a queue name longer than eight bytes"),
    })
}

fn parcels() -> Vec<Parcel> {
    vec![
        Parcel::Tally { batch: batch(), succeeded: 11, failed: 12 },
        Parcel::Step { cause: EventSeq(90) },
        Parcel::Callback { batch: EventSeq(77) },
        Parcel::Ask { on: job(4, 6), by: job(3, 5) },
        Parcel::Settled { on: job(3, 9), by: job(4, 8) },
    ]
}

/// All of it, in two groups.
pub(crate) fn groups() -> Vec<Group> {
    let asked = vec![
        Tie::BatchOpened { callback: None },
        Tie::BatchOpened { callback: Some(step("callbacks", "ann")) },
        Tie::BatchSealed { batch: EventSeq(77), total: 100_000 },
        Tie::SealRefused { batch: EventSeq(77), code: Code::IllegalState },
        Tie::Joined { batch: batch(), jobs: vec![JobSeq(5), JobSeq(6)] },
        chained(0, vec![step("second", ""), step("third", "bob")], true),
        chained(ON_FAILURE, Vec::new(), false),
        Tie::ChainLeft { jobs: vec![JobSeq(5)] },
        Tie::Awaits {
            job: JobSeq(7),
            due: Micros(1_795_000_000_000_000),
            on: vec![job(3, 5), job(4, 6)],
            done: vec![job(3, 4)],
        },
    ];
    let followed = vec![
        Tie::BatchCounted { batch: EventSeq(77), of: ShardId(4), succeeded: 11, failed: 12 },
        Tie::BatchesForgotten { batches: vec![EventSeq(77)] },
        Tie::Awaited { job: job(3, 5), by: vec![job(4, 8)] },
        Tie::Settled { on: job(4, 6), jobs: vec![job(3, 7), job(3, 8)] },
        Tie::Sent { to: ShardId(4), first: 40, parcels: parcels() },
        Tie::Received { from: ShardId(4), last: 50 },
        Tie::Delivered { to: ShardId(4), last: 44 },
    ];
    let group = |session, number, ties: Vec<Tie>| Group {
        session: SessionId(session),
        number,
        confirmed_below: number,
        events: ties.into_iter().map(Event::from).collect(),
    };
    vec![group(9, 8, asked), group(0, 0, followed)]
}

/// The body that holds them.
pub(crate) fn body() -> Vec<u8> {
    body_of(BLOB, &groups())
}
