//! Entry bodies that have every kind of event between them: those of version 1, and those that version 2 added.

use jobbie_proto::event::{
    Asked, BackoffKind, Blob, Class, CompletedJob, EnqueuedJob, Event, ExtendedJob, FailOutcome,
    Group, HoldEnd, KeyTaken, Late, LeasedJob, LimitedJobs, QuarantinedJob, QueueSettings, Sharing,
    UniqueKey, codec,
};
use jobbie_proto::{Code, EventSeq, JobSeq, LeaseToken, Micros, SessionId};

/// The blob that the events of version 1 refer to.
pub(crate) const BLOB: &[u8] = b"workerhostpayloadtagskeyresulterrorbacktrace{1}[2]";
/// The blob that the events of version 2 refer to.
pub(crate) const BLOB_2: &[u8] = b"payloadtagskeyuniquereasonannnoteother payload";

fn blob(text: &str) -> Blob {
    part(BLOB, text)
}

fn blob_2(text: &str) -> Blob {
    part(BLOB_2, text)
}

fn part(of: &[u8], text: &str) -> Blob {
    let whole = std::str::from_utf8(of).expect("it is text");
    let offset = whole.find(text).expect("a part of the blob");
    Blob { offset: offset as u32, len: text.len() as u32 }
}

fn class() -> Class {
    Class {
        queue: "mail".into(),
        priority: 1,
        max_retries: 5,
        backoff: BackoffKind::Linear,
        backoff_base_ms: 1000,
        backoff_cap_ms: 60_000,
        expire_after_ms: 3_600_000,
    }
}

fn enqueued() -> Event {
    let job = |due| EnqueuedJob {
        payload: blob("payload"),
        tags: blob("tags"),
        key: blob("key"),
        due: Micros(due),
    };
    let key = KeyTaken {
        nth: 1,
        key_hash: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
        content_hash: 0x1112_1314_1516_1718,
        until: Micros(1_700_000_000_000_000),
    };
    let jobs = vec![job(0), job(1_600_000_000_000_000)];
    Event::Enqueued { class: class(), first_job: JobSeq(1), jobs, keys: vec![key] }
}

fn work() -> Vec<Event> {
    let failed = |attempt, outcome, previous| Event::Failed {
        job: JobSeq(2),
        attempt,
        outcome,
        error: blob("error"),
        backtrace: blob("backtrace"),
        previous: EventSeq(previous),
    };
    let extended = ExtendedJob {
        job: JobSeq(2),
        deadline: Micros(90),
        progress: blob("{1}"),
        checkpoint: blob("[2]"),
    };
    vec![
        Event::Leased {
            session: SessionId(1),
            worker: blob("worker"),
            deadline: Micros(80),
            lease_ms: 60_000,
            jobs: [1, 2].map(|n| LeasedJob { job: JobSeq(n), attempt: 1 }).to_vec(),
        },
        Event::Completed { jobs: vec![CompletedJob { job: JobSeq(1), result: blob("result") }] },
        Event::Extended { jobs: vec![extended] },
        Event::SessionExtended { session: SessionId(1), deadline: Micros(95) },
        failed(1, FailOutcome::Retrying(Micros(99)), 0),
        failed(2, FailOutcome::Dead, 10),
    ]
}

fn rest() -> Vec<Event> {
    let jobs = || vec![JobSeq(3), JobSeq(4)];
    vec![
        Event::Deduplicated { job: JobSeq(2), created_ms: 7, code: Code::Duplicate },
        Event::Released { jobs: jobs() },
        Event::LeaseExpired { jobs: jobs() },
        Event::Promoted { jobs: jobs() },
        Event::Expired { jobs: jobs() },
        Event::Cancelled { jobs: jobs() },
        Event::Deleted { jobs: jobs() },
        Event::QueuePaused { queue: "a queue name longer than eight bytes".into() },
        Event::QueueResumed { queue: "q".into() },
        Event::Ignored {
            job: JobSeq(3),
            token: LeaseToken(4),
            late: Late::Release,
            code: Code::StaleLease,
        },
        Event::Refused { job: JobSeq(9), asked: Asked::Delete, code: Code::NotFound },
        Event::SessionClosed { session: SessionId(1) },
    ]
}

/// Every kind of event of version 1, in three groups.
pub(crate) fn groups() -> Vec<Group> {
    let opened = Event::SessionOpened { client: 5, name: blob("worker"), host: blob("host") };
    let group = |session, number, confirmed_below, events| Group {
        session: SessionId(session),
        number,
        confirmed_below,
        events,
    };
    let mut asked = vec![enqueued()];
    asked.extend(work());
    vec![group(0, 0, 0, vec![opened]), group(1, 7, 6, asked), group(0, 0, 0, rest())]
}

/// The body that holds them.
pub(crate) fn body() -> Vec<u8> {
    body_of(BLOB, &groups())
}

fn limited() -> Event {
    let job = |payload, due| EnqueuedJob {
        payload: blob_2(payload),
        tags: blob_2("tags"),
        key: blob_2("key"),
        due: Micros(due),
    };
    let key = |nth| KeyTaken {
        nth,
        key_hash: 0x2122_2324_2526_2728_292a_2b2c_2d2e_2f20,
        content_hash: 0x3132_3334_3536_3738,
        until: Micros(1_700_000_000_000_000),
    };
    Event::Limited(Box::new(LimitedJobs {
        class: class(),
        first_job: JobSeq(5),
        jobs: vec![job("payload", 0), job("other payload", 1_600_000_000_000_000), job("", 0)],
        keys: vec![key(0), key(2)],
        limit_keys: vec!["ann".into(), "a tenant with a name that is longer".into(), "ann".into()],
    }))
}

fn unique_taken() -> Event {
    let taken = |job, until| UniqueKey {
        job: JobSeq(job),
        hash: 0x4142_4344_4546_4748_494a_4b4c_4d4e_4f40,
        until: Micros(until),
        key: blob_2("unique"),
    };
    Event::UniqueTaken { jobs: vec![taken(5, 1_650_000_000_000_000), taken(7, u64::MAX)] }
}

fn quarantined() -> Event {
    let lost = |job, previous| QuarantinedJob {
        job: JobSeq(job),
        attempt: 3,
        lease_expiries: 4,
        session: SessionId(9),
        error: blob_2("reason"),
        previous: EventSeq(previous),
    };
    Event::Quarantined { jobs: vec![lost(5, 0), lost(6, 21)] }
}

fn controls() -> Vec<Event> {
    let held = |until, then| Event::Held {
        job: JobSeq(6),
        until: Micros(until),
        then,
        reason: blob_2("reason"),
        by: blob_2("ann"),
    };
    let jobs = || vec![JobSeq(5), JobSeq(7)];
    vec![
        Event::Retried { jobs: jobs() },
        Event::Requeued { jobs: jobs() },
        held(0, HoldEnd::Stay),
        Event::Approved { job: JobSeq(6), note: blob_2("note"), by: blob_2("ann") },
        held(1_650_000_000_000_000, HoldEnd::Approve),
        held(1_660_000_000_000_000, HoldEnd::Cancel),
        Event::Rejected {
            job: JobSeq(6),
            reason: blob_2("reason"),
            by: blob_2("ann"),
            previous: EventSeq(20),
        },
        Event::Moved { job: JobSeq(7), queue: "a queue name longer than eight bytes".into() },
        Event::Prioritized { jobs: jobs(), priority: 0 },
        Event::Replaced { job: JobSeq(7), payload: blob_2("other payload") },
        Event::Purged { jobs: jobs() },
    ]
}

fn queue_settings() -> Vec<Event> {
    let configured = |fair| Event::QueueConfigured {
        queue: "mail".into(),
        settings: QueueSettings {
            concurrency: 10,
            rate: 100,
            window_ms: 60_000,
            key_concurrency: 2,
            key_rate: 20,
            key_window_ms: 30_000,
            fair,
        },
    };
    vec![
        configured(Sharing::None),
        configured(Sharing::Jobs),
        configured(Sharing::WorkerTime),
        Event::QueueDrained { queue: "mail".into() },
        Event::KeyWeighed { queue: "mail".into(), key: "ann".into(), weight: 1000 },
        Event::LimitsOpened {
            queues: vec!["mail".into(), "a queue name longer than eight bytes".into()],
        },
    ]
}

fn refused() -> impl Iterator<Item = Event> {
    let asked = [
        Asked::Retry,
        Asked::Requeue,
        Asked::Hold,
        Asked::Approve,
        Asked::Reject,
        Asked::Move,
        Asked::Prioritize,
        Asked::Replace,
    ];
    let refused = |asked| {
        // The only code of 64 and above in an event.
        let elsewhere = asked == Asked::Move;
        let code = if elsewhere { Code::Unsupported } else { Code::IllegalState };
        Event::Refused { job: JobSeq(6), asked, code }
    };
    asked.into_iter().map(refused)
}

/// Every kind of event that version 2 added, in two groups.
pub(crate) fn groups_2() -> Vec<Group> {
    let mut asked = vec![limited(), unique_taken()];
    asked.extend(controls());
    asked.extend(queue_settings());
    asked.extend(refused());
    let group = |session, number, confirmed_below, events| Group {
        session: SessionId(session),
        number,
        confirmed_below,
        events,
    };
    // No number here is that of a version: behind zeros it would make a cut look like the trailer of an empty entry.
    vec![group(9, 8, 7, asked), group(0, 0, 0, vec![quarantined()])]
}

/// The body that holds them.
pub(crate) fn body_2() -> Vec<u8> {
    body_of(BLOB_2, &groups_2())
}

/// An entry body.
pub(crate) fn body_of(blob: &[u8], groups: &Vec<Group>) -> Vec<u8> {
    let mut body = blob.to_vec();
    codec::finish(&mut body, blob.len(), groups);
    body
}
