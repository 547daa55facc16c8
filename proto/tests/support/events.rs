//! An entry body with every kind of event, as version 1 writes it.

use jobbie_proto::event::{
    Asked, BackoffKind, Blob, Class, CompletedJob, EnqueuedJob, Event, ExtendedJob, FailOutcome,
    Group, KeyTaken, Late, LeasedJob, codec,
};
use jobbie_proto::{Code, EventSeq, JobSeq, LeaseToken, Micros, SessionId};

/// The blob that the sample's events refer to.
pub(crate) const BLOB: &[u8] = b"workerhostpayloadtagskeyresulterrorbacktrace{1}[2]";

fn blob(text: &str) -> Blob {
    let whole = std::str::from_utf8(BLOB).expect("it is text");
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

/// Every kind of event, in three groups.
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
    let mut body = BLOB.to_vec();
    codec::finish(&mut body, BLOB.len(), &groups());
    body
}
