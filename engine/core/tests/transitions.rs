//! Every transition of a job by its number in the list of transitions that the behaviour was taken from (T1 to T25; docs/semantics.md
//! tells them in words): the state it leads to, and for every other field whether it is set, cleared or kept. And when time acts,
//! to the microsecond.
//!
//! T7, T8 and T16 are those of jobs that are done in several rounds, which are not built; T24 is in `ties/cases.rs`.

#[path = "transitions/settings.rs"]
mod settings;
mod shard;
#[path = "transitions/stage.rs"]
mod stage;
#[path = "transitions/timing.rs"]
mod timing;

use jobbie_proto::limits::RETENTION_MS;
use jobbie_proto::reply::{JobState, JobView};
use jobbie_proto::request::{Definition, Enqueue, ScheduleAction, ScheduleControl, When};
use jobbie_proto::{Code, EventSeq, LeaseToken, Micros, Request};
use shard::{Shard, enqueue};
use stage::{Case, EXPIRE_MS, LEASE_MS, stage};

use JobState::{Active, Cancelled, Completed, Dead, Held, Pending, Retrying, Scheduled};

/// What a transition is called, where it begins, what makes it, and all that is known of the job then; nothing when it has left
/// memory. The view before and the shard after are given.
type Row = (&'static str, JobState, fn(&mut Case), fn(JobView, &Case) -> Option<JobView>);

const NEVER: Micros = Micros(0);
const NO_LEASE: LeaseToken = LeaseToken(0);

fn pending(before: JobView) -> JobView {
    JobView { state: Pending, due: NEVER, token: NO_LEASE, ..before }
}

fn ended(state: JobState, before: JobView, case: &Case) -> JobView {
    JobView { state, ended: case.shard.now, due: NEVER, token: NO_LEASE, ..before }
}

fn cancelled(before: JobView, case: &Case) -> Option<JobView> {
    Some(ended(Cancelled, before, case))
}

/// With an error of its own.
fn dead(before: JobView, case: &Case) -> Option<JobView> {
    Some(JobView { last_error: case.newest(), ..ended(Dead, before, case) })
}

fn held(before: JobView, case: &Case) -> Option<JobView> {
    Some(JobView { state: Held, hold: case.newest(), ..pending(before) })
}

fn retried(before: JobView, _: &Case) -> Option<JobView> {
    Some(JobView { attempt: 0, lease_expiries: 0, ended: NEVER, ..pending(before) })
}

fn moved(before: JobView, _: &Case) -> Option<JobView> {
    let mut after = before;
    after.class.queue = "r".into();
    Some(after)
}

fn urgent(before: JobView, _: &Case) -> Option<JobView> {
    let mut after = before;
    after.class.priority = 0;
    Some(after)
}

fn gone(_: JobView, _: &Case) -> Option<JobView> {
    None
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("T4 promote", Scheduled, |c| c.pass_ms(5_000), |v, _| Some(pending(v))),
    ("T4 promote", Retrying, |c| c.pass_ms(1_000), |v, _| Some(pending(v))),
    ("T5 fetch", Pending, |c| assert_eq!(c.fetch().len(), 1), |v, c| Some(JobView {
        state: Active, attempt: v.attempt + 1, token: LeaseToken(c.newest().0), due: c.shard.now.plus_ms(LEASE_MS), ..v
    })),
    ("heartbeat", Active, |c| { c.pass_ms(400); assert_eq!(c.heartbeat(b"p", b"c"), Code::Ok) }, |v, c| Some(JobView {
        due: c.shard.now.plus_ms(LEASE_MS), progress: c.newest(), checkpoint: c.newest(), ..v
    })),
    ("heartbeat without anything", Active, |c| assert_eq!(c.heartbeat(b"", b""), Code::Ok), |v, _| Some(v)),
    ("T6 ack", Active, |c| assert_eq!(c.ack(), Code::Ok), gone),
    ("T9 fail", Active, |c| assert_eq!(c.fail(false), Code::Ok), |v, c| Some(JobView {
        state: Retrying, due: c.shard.now.plus_ms(1_000), token: NO_LEASE, last_error: c.newest(), ..v
    })),
    ("T10 fail, not to be retried", Active, |c| assert_eq!(c.fail(true), Code::Ok), dead),
    ("T10 fail, no attempt left", Active, |c| {
        assert_eq!(c.fail(false), Code::Ok);
        c.pass_ms(1_000);
        assert_eq!(c.fetch().len(), 1);
        assert_eq!(c.fail(false), Code::Ok);
    }, |v, c| dead(JobView { attempt: 3, ..v }, c)),
    ("T11 lease expiry", Active, |c| c.pass_ms(LEASE_MS), |v, _| Some(JobView {
        lease_expiries: v.lease_expiries + 1, ..pending(v)
    })),
    ("release", Active, |c| assert_eq!(c.release(), Code::Ok), |v, _| Some(JobView { attempt: v.attempt - 1, ..pending(v) })),
    ("T12 cancel", Pending, |c| assert_eq!(c.cancel(), Code::Ok), cancelled),
    ("T12 cancel", Scheduled, |c| assert_eq!(c.cancel(), Code::Ok), cancelled),
    ("T12 cancel", Retrying, |c| assert_eq!(c.cancel(), Code::Ok), cancelled),
    ("T12 cancel", Active, |c| assert_eq!(c.cancel(), Code::Ok), cancelled),
    ("T12 cancel", Held, |c| assert_eq!(c.cancel(), Code::Ok), cancelled),
    ("T13 hold", Pending, |c| assert_eq!(c.hold(), Code::Ok), held),
    ("T13 hold", Scheduled, |c| assert_eq!(c.hold(), Code::Ok), held),
    ("T13 hold", Retrying, |c| assert_eq!(c.hold(), Code::Ok), held),
    ("T13 hold", Active, |c| assert_eq!(c.hold(), Code::Ok), held),
    ("T14 approve", Held, |c| assert_eq!(c.approve(), Code::Ok), |v, _| Some(pending(v))),
    ("T15 reject", Held, |c| assert_eq!(c.reject(), Code::Ok), dead),
    ("T17 retry", Dead, |c| assert_eq!(c.retry(), Code::Ok), retried),
    ("T17 retry", Cancelled, |c| assert_eq!(c.retry(), Code::Ok), retried),
    ("T17 retry", Scheduled, |c| assert_eq!(c.retry(), Code::Ok), retried),
    ("T18 requeue", Dead, |c| assert_eq!(c.requeue(), Code::Ok), |v, c| Some(JobView { attempt: v.attempt, ..retried(v, c)? })),
    ("T19 expire", Pending, |c| c.pass_until_expiry(), dead),
    ("T19 expire", Scheduled, |c| c.pass_until_expiry(), dead),
    ("T19 expire", Retrying, |c| c.pass_until_expiry(), dead),
    ("T19 expire", Held, |c| c.pass_until_expiry(), dead),
    ("T20 purge", Dead, |c| c.pass_ms(RETENTION_MS), gone),
    ("T20 purge", Cancelled, |c| c.pass_ms(RETENTION_MS), gone),
    ("T21 delete", Pending, |c| assert_eq!(c.delete(), Code::Ok), gone),
    ("T21 delete", Scheduled, |c| assert_eq!(c.delete(), Code::Ok), gone),
    ("T21 delete", Active, |c| assert_eq!(c.delete(), Code::Ok), gone),
    ("T21 delete", Retrying, |c| assert_eq!(c.delete(), Code::Ok), gone),
    ("T21 delete", Held, |c| assert_eq!(c.delete(), Code::Ok), gone),
    ("T21 delete", Dead, |c| assert_eq!(c.delete(), Code::Ok), gone),
    ("T21 delete", Cancelled, |c| assert_eq!(c.delete(), Code::Ok), gone),
    ("T22 move", Pending, |c| assert_eq!(c.move_to("r"), Code::Ok), moved),
    ("T22 move", Scheduled, |c| assert_eq!(c.move_to("r"), Code::Ok), moved),
    ("T22 move", Active, |c| assert_eq!(c.move_to("r"), Code::Ok), moved),
    ("T22 move", Retrying, |c| assert_eq!(c.move_to("r"), Code::Ok), moved),
    ("T22 move", Held, |c| assert_eq!(c.move_to("r"), Code::Ok), moved),
    ("T22 move", Dead, |c| assert_eq!(c.move_to("r"), Code::Ok), moved),
    ("T22 move", Cancelled, |c| assert_eq!(c.move_to("r"), Code::Ok), moved),
    ("T23 change priority", Pending, |c| assert_eq!(c.prioritize(0), Code::Ok), urgent),
    ("T23 change priority", Scheduled, |c| assert_eq!(c.prioritize(0), Code::Ok), urgent),
];

#[test]
fn every_transition_sets_clears_and_keeps_what_it_should() {
    for (name, from, act, becomes) in ROWS {
        let mut case = stage(*from);
        let before = case.view().expect("it is staged");
        act(&mut case);
        let after = case.view();
        let expected = becomes(before, &case).ok_or(Code::NotFound);
        assert_eq!(after, expected, "{name} of a job that is {from:?}");
        let restored = jobbie_core::State::restore(case.shard.state.snapshot());
        let restored = restored.expect("it was just written").job(case.job.job);
        assert_eq!(restored, after, "{name} of a job that is {from:?}, in a snapshot");
    }
}

/// Whatever becomes pending stands behind those that were pending before, also where it was pending itself.
#[test]
fn what_becomes_pending_goes_to_the_back_of_its_tier() {
    for (name, from, act, _) in ROWS {
        let mut case = stage(*from);
        let rivals = ["q", "r"].map(|queue| Enqueue { priority: 0, ..enqueue(queue) });
        let normal = ["q", "r"].map(enqueue);
        case.shard.enqueue(rivals.into_iter().chain(normal).collect());
        if *name == "T5 fetch" || *name == "T10 fail, no attempt left" || *name == "T20 purge" {
            continue; // Makes no pending job, and fetches those beside it.
        }
        act(&mut case);
        let Ok(view) = case.view() else { continue };
        if view.state == Pending {
            let queue = view.class.queue.clone();
            let order: Vec<_> = case.shard.fetch(&queue, 9).iter().map(|lease| lease.job).collect();
            let at = order.iter().position(|job| *job == case.job.job);
            let expected = if view.class.priority == 0 { 1 } else { 2 };
            assert_eq!(at, Some(expected), "{name} of a job that is {from:?}: {order:?}");
        }
    }
}

/// T1, T2: nothing is known of a new job but what it was enqueued with.
#[test]
fn t1_t2_new_jobs_are_pending_or_scheduled_even_for_a_time_that_is_over() {
    let cases = [
        (When::Now, Pending, NEVER),
        (When::DelayMs(700), Scheduled, Micros(1_700_000)),
        (When::At(Micros(2_000_001)), Scheduled, Micros(2_000_001)),
        (When::At(Micros(1)), Scheduled, Micros(1)),
    ];
    for (when, state, due) in cases {
        let mut shard = Shard::new();
        let event = shard.state.next_event();
        let job = Enqueue { when, expire_after_ms: EXPIRE_MS, limit_key: "ann", ..enqueue("q") };
        let id = shard.enqueue(vec![job])[0];
        let view = shard.state.job(id).expect("it is new");
        assert_eq!((view.state, view.due, view.record), (state, due, event), "{when:?}");
        assert_eq!((view.attempt, view.lease_expiries, view.token), (0, 0, NO_LEASE), "{when:?}");
        assert_eq!((view.expire_at, &*view.limit_key), (shard.now.plus_ms(EXPIRE_MS), "ann"));
        let none = [view.payload, view.hold, view.last_error, view.checkpoint, view.progress];
        assert_eq!((none, view.ended), ([EventSeq(0); 5], NEVER), "{when:?}");
        shard.now = shard.now.max(due);
        shard.timers();
        assert_eq!(shard.fetch("q", 1)[0].job, id, "{when:?}");
    }
}

#[test]
fn t3_a_live_unique_key_makes_no_job_and_names_its_owner() {
    let mut shard = Shard::new();
    let unique = Enqueue { unique: b"u", unique_ms: 60_000, ..enqueue("q") };
    let owner = shard.enqueue(vec![unique])[0];
    let (before, next) = (shard.state.job(owner), shard.state.next_job());
    let other = Enqueue { payload: b"other", priority: 0, when: When::DelayMs(9), ..unique };
    let request = Request { enqueues: vec![other], ..shard.request() };
    let run = shard.run(&request).enqueued[0];
    assert_eq!((run.code, run.first_job, run.count), (Code::Duplicate, owner.seq(), 1));
    assert_eq!((shard.state.job(owner), shard.state.next_job()), (before, next));
    assert_eq!(shard.state.queue_stats("q").expect("it exists").enqueued_total, 1);
}

#[test]
fn t6_t20_t21_what_leaves_memory_is_counted_where_it_should_be() {
    let counts = |from, act: fn(&mut Case)| {
        let mut case = stage(from);
        act(&mut case);
        let stats = case.shard.state.queue_stats("q").expect("it exists");
        (stats.jobs[Completed as usize], stats.jobs.iter().sum::<u64>(), stats.enqueued_total)
    };
    assert_eq!(counts(Active, |c| assert_eq!(c.ack(), Code::Ok)), (1, 1, 1));
    assert_eq!(counts(Active, |c| assert_eq!(c.delete(), Code::Ok)), (0, 0, 1));
    assert_eq!(counts(Dead, |c| c.pass_ms(RETENTION_MS)), (0, 0, 1));
}

#[test]
fn t19_expiry_leaves_active_and_ended_jobs_alone() {
    for state in [Active, Dead, Cancelled] {
        let mut case = stage(state);
        // Its lease is longer than it may live.
        if state == Active {
            assert_eq!(case.extend_ms(2 * EXPIRE_MS as u32), Code::Ok);
        }
        let before = case.view();
        case.pass_until_expiry();
        assert_eq!(case.view(), before, "{state:?}");
        if state == Active {
            // It steps back: nobody gets it, and it dies at once.
            assert_eq!(case.release(), Code::Ok);
            assert_eq!(case.fetch(), []);
            case.shard.timers();
            assert_eq!(case.view().map(|view| view.state), Ok(Dead));
        }
    }
}

#[test]
fn t25_a_schedule_makes_a_pending_job_at_its_planned_time() {
    let mut shard = Shard::new();
    let Enqueue { payload, tags, unique, unique_ms, limit_key, priority, .. } = enqueue("q");
    let Enqueue { max_retries, backoff, backoff_base_ms, backoff_cap_ms, expire_after_ms, .. } =
        enqueue("q");
    let (expression, zone, missed) = ("* * * * *", "", Default::default());
    let definition = Definition {
        expression,
        zone,
        missed,
        payload,
        tags,
        unique,
        unique_ms,
        limit_key,
        priority,
        max_retries,
        backoff,
        backoff_base_ms,
        backoff_cap_ms,
        expire_after_ms,
    };
    let set = ScheduleControl { queue: "q", name: "s", action: ScheduleAction::Set(definition) };
    let defined = shard.state.next_event();
    let request = Request { schedule_controls: vec![set], ..shard.request() };
    shard.run(&request);
    shard.now = Micros(60_000_000 - 1);
    shard.timers();
    assert_eq!(shard.state.stats().jobs, 0);
    shard.now = Micros(60_000_000);
    shard.timers();
    let job = shard.state.schedule("q", "s").and_then(|view| view.last_job).expect("it ran");
    let view = shard.state.job(job).expect("it waits");
    assert_eq!((view.state, view.attempt, view.record), (Pending, 0, defined));
    assert_eq!((view.due, view.id.created_ms()), (NEVER, 60_000));
    assert_eq!(shard.fetch("q", 9).len(), 1);
}
