//! Entry bodies that have every kind of event between them: those of version 1, and those that version 2 added.

use jobbie_proto::event::{
    Asked, BackoffKind, Blob, BulkAction, Class, CompletedJob, EnqueuedJob, Event, ExtendedJob,
    FailOutcome, Group, HoldEnd, JobFilter, KeyTaken, Late, LeasedJob, LimitedJobs, Missed,
    QuarantinedJob, QueueSettings, SetSchedule, Sharing, StartedOperation, Task, UniqueKey, codec,
};
use jobbie_proto::{Code, EventSeq, JobSeq, LeaseToken, Micros, OperationId, SessionId};

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

pub(crate) fn part(of: &[u8], text: &str) -> Blob {
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

/// Kinds of version 2 about operations, each in what it can say.
pub(crate) fn groups_operations() -> Vec<Group> {
    let text = |text: &str| text.to_owned();
    let by = || text("ann");
    let actions = [
        BulkAction::Cancel,
        BulkAction::Delete,
        BulkAction::Retry,
        BulkAction::Requeue,
        BulkAction::Hold {
            reason: text("a reason longer than eight bytes"),
            by: by(),
            timeout_ms: 9000,
            then: HoldEnd::Cancel,
        },
        BulkAction::Approve { note: text("note"), by: by() },
        BulkAction::Reject { reason: text("reason"), by: by() },
        BulkAction::Move { queue: text("a queue name longer than eight bytes") },
        BulkAction::Prioritize { priority: 0 },
    ];
    let started = |task, jobs, unknown| {
        let below = JobSeq(99);
        Event::OperationStarted(Box::new(StartedOperation { task, jobs, unknown, below }))
    };
    let filter = JobFilter {
        queue: text("mail"),
        states: 0b101_1111,
        priority: Some(1),
        limit_key: text("ann"),
        created_after_ms: 1_650_000_000_000,
        created_before_ms: 1_660_000_000_000,
    };
    let bulk = |action| Task::Bulk {
        dry_run: action == BulkAction::Delete,
        action,
        filter: filter.clone(),
    };
    let mut events: Vec<_> =
        actions.map(|action| started(bulk(action), Vec::new(), 0)).into_iter().collect();
    events.push(started(Task::Clear { queue: text("mail") }, Vec::new(), 0));
    events.push(started(Task::DeleteQueue { queue: text("mail") }, Vec::new(), 0));
    let (action, filter) = (BulkAction::Cancel, JobFilter::default());
    let named = Task::Bulk { action, filter, dry_run: false };
    events.push(started(named, vec![JobSeq(5), JobSeq(7)], 3));
    let operation = OperationId(77);
    let ended = |cancelled| Event::OperationEnded { operation, cancelled };
    events.push(ended(true));
    events.push(Event::OperationRefused { operation, code: Code::NotFound });
    let advanced = Event::OperationAdvanced {
        operation,
        cursor: 0x0003_0707_0707_0707,
        looked_at: 21,
        applied: 20,
        skipped: 19,
    };
    let group = |session, number, confirmed_below, events| Group {
        session: SessionId(session),
        number,
        confirmed_below,
        events,
    };
    vec![group(9, 8, 7, events), group(0, 0, 0, vec![advanced, ended(false)])]
}

/// The body that holds them.
pub(crate) fn body_operations() -> Vec<u8> {
    body_of(BLOB_2, &groups_operations())
}

/// The body that holds them.
pub(crate) fn body_2() -> Vec<u8> {
    body_of(BLOB_2, &groups_2())
}

/// Every kind of event about schedules, in one group.
pub(crate) fn schedules() -> Vec<Group> {
    let (queue, name) = (|| "mail".to_owned(), || "every night at half past two".to_owned());
    let set = |missed, unique: &[u8], next| {
        Event::ScheduleSet(Box::new(SetSchedule {
            name: name(),
            class: class(),
            limit_key: "ann".into(),
            expression: "30 2 * * mon-fri".into(),
            zone: "Europe/Berlin".into(),
            missed,
            payload: blob_2("payload"),
            tags: blob_2("tags"),
            unique: unique.to_vec(),
            unique_ms: 60_000,
            next: Micros(next),
        }))
    };
    let fired = |planned, next, skipped, duplicate| Event::ScheduleFired {
        queue: queue(),
        name: name(),
        planned: Micros(planned),
        next: Micros(next),
        skipped,
        defined: EventSeq(31),
        job: JobSeq(8),
        duplicate,
    };
    let (first, second) = (1_650_000_000_000_000, 1_650_086_400_000_000);
    let events = vec![
        set(Missed::Once, b"", first),
        set(Missed::Skip, b"unique", 0),
        set(Missed::All, b"", first),
        fired(first, second, 7, false),
        fired(0, second, 0, true),
        Event::SchedulePaused { queue: queue(), name: name() },
        Event::ScheduleResumed { queue: queue(), name: name(), next: Micros(second), skipped: 9 },
        Event::ScheduleSkipped { queue: queue(), name: name(), next: Micros(0), skipped: 1000 },
        Event::ScheduleDeleted { queue: queue(), name: name() },
    ];
    vec![Group { session: SessionId(9), number: 8, confirmed_below: 7, events }]
}

/// The body that holds them.
pub(crate) fn body_of_schedules() -> Vec<u8> {
    body_of(BLOB_2, &schedules())
}

/// An entry body.
pub(crate) fn body_of(blob: &[u8], groups: &Vec<Group>) -> Vec<u8> {
    let mut body = blob.to_vec();
    codec::finish(&mut body, blob.len(), groups);
    body
}
