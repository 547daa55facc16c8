//! An entry body that has every event of archived jobs, in every shape.

use jobbie_proto::agent::AgentLimits;
use jobbie_proto::event::{
    ArchivedJob, Asked, BackoffKind, Blob, Class, Event, Group, RevivedJob, UniqueKey,
};
use jobbie_proto::{Code, JobId, JobSeq, Micros, SessionId, ShardId};

use crate::events::{body_of, part};

/// The blob that the events refer to.
pub(crate) const BLOB: &[u8] = br#"to: ann{"a":1}page 250%key"#;

fn class(queue: &str) -> Class {
    Class {
        queue: queue.into(),
        priority: 1,
        max_retries: 0x0102_0304,
        backoff: BackoffKind::Linear,
        backoff_base_ms: 0x1112_1314,
        backoff_cap_ms: 0x2122_2324,
        expire_after_ms: 0x3132_3334_3536_3738,
    }
}

fn archived(archived: ArchivedJob) -> Event {
    Event::Archived(Box::new(archived))
}

/// Every kind of them, in one group.
pub(crate) fn groups() -> Vec<Group> {
    let full = RevivedJob {
        job: JobSeq(5),
        created_ms: 1_795_000_000_123,
        class: class("a queue with a name longer than eight"),
        limit_key: "a tenant longer than eight".into(),
        payload: part(BLOB, "to: ann"),
        tags: part(BLOB, "{\"a\":1}"),
        checkpoint: part(BLOB, "page 2"),
        progress: part(BLOB, "50%"),
        expire_at: Micros(0x4142_4344_4546_4748),
        parent: Some(JobId::new(1, ShardId(2), JobSeq(3))),
        cost_micros: 0x5152_5354_5556_5758,
        iteration: 7,
        limits: AgentLimits {
            max_iterations: 0x6162_6364,
            max_cost_micros: 0x7172_7374_7576_7778,
            iteration_timeout_ms: 0x8182_8384_8586_8788,
        },
    };
    let plain = RevivedJob {
        job: JobSeq(6),
        created_ms: 1,
        class: Class { expire_after_ms: 0, ..class("q") },
        limit_key: String::new(),
        payload: Blob::default(),
        tags: Blob::default(),
        checkpoint: Blob::default(),
        progress: Blob::default(),
        expire_at: Micros(0),
        parent: None,
        cost_micros: 0,
        iteration: 0,
        limits: AgentLimits::default(),
    };
    let unique =
        UniqueKey { job: JobSeq(5), hash: 1 << 90 | 9, until: Micros(99), key: part(BLOB, "key") };
    let refused = |asked, code| Event::Refused { job: JobSeq(9), asked, code };
    let events = vec![
        archived(ArchivedJob::Revived(full)),
        Event::UniqueTaken { jobs: vec![unique] },
        archived(ArchivedJob::Revived(plain)),
        archived(ArchivedJob::Deleted { job: JobSeq(7) }),
        archived(ArchivedJob::Moved { job: JobSeq(8), queue: "another queue".into() }),
        refused(Asked::Revive, Code::Duplicate),
        refused(Asked::DeleteArchived, Code::NotFound),
        refused(Asked::MoveArchived, Code::IllegalState),
    ];
    vec![Group { session: SessionId(9), number: 8, confirmed_below: 7, events }]
}

/// The body that holds them.
pub(crate) fn body() -> Vec<u8> {
    body_of(BLOB, &groups())
}
