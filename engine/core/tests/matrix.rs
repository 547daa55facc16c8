//! Which operation is legal in which state, cell by cell, and what each transition leaves of a job.

mod shard;

use jobbie_core::{Decision, answers, decide};
use jobbie_proto::event::HoldEnd;
use jobbie_proto::limits::RETENTION_MS;
use jobbie_proto::placement::shard_of;
use jobbie_proto::reply::{JOB_STATES, JobState, JobView};
use jobbie_proto::request::{
    Ack, AgentAck, Append, ArchivedAction, ArchivedControl, Enqueue, EnqueueHold, Fail, Heartbeat,
    HeldJobs, Hold, JobAction, JobControl, JobRef, Plan, Revive, When,
};
use jobbie_proto::{Code, EventSeq, JobId, JobSeq, LeaseToken, Micros, Reply, Request};
use shard::{Shard, enqueue, fetch, required};

use JobState::{
    Active, Cancelled, Completed, Dead, Held, Moved, Pending, Planned, Retrying, Scheduled,
};

const HOLD: Hold<'static> = Hold { reason: b"why", by: "ann", timeout_ms: 0, then: HoldEnd::Stay };

fn control(shard: &mut Shard, job: JobId, action: JobAction<'_>) -> Code {
    let job_controls = vec![JobControl { job, action }];
    let request = Request { job_controls, ..shard.request() };
    shard.run(&request).job_controls[0]
}

fn fail(job: JobRef, no_retry: bool) -> Fail<'static> {
    Fail { job, error: b"broken", backtrace: b"", no_retry }
}

/// A shard with one job of queue `q` that is in `state`, and the newest lease of it.
fn with_job(state: JobState) -> (Shard, JobRef) {
    let shards = if state == Moved { 2 } else { 1 };
    let mut shard = Shard::of(shard_of("q", shards), shards);
    let later = Enqueue { when: When::DelayMs(5_000), ..enqueue("q") };
    let job = if state == Scheduled { later } else { enqueue("q") };
    let id = match state {
        Planned => {
            shard.enqueue_planned(job, Plan { deadline_ms: 0, kinds: &[required("paid", 2)] })
        }
        _ => shard.enqueue(vec![job])[0],
    };
    let unleased = JobRef { job: id, token: LeaseToken(0) };
    let lease = |shard: &mut Shard| shard.fetch("q", 1)[0];
    let job = match state {
        Pending | Scheduled | Planned => unleased,
        Active => lease(&mut shard),
        Retrying | Dead => {
            let job = lease(&mut shard);
            let request = Request { fails: vec![fail(job, state == Dead)], ..shard.request() };
            shard.run(&request);
            job
        }
        Moved => {
            let names = (0..).map(|n| format!("queue-{n}"));
            let elsewhere = |name: &String| shard_of(name, 2) != shard.state.shard();
            let queue = names.into_iter().find(elsewhere).expect("half of them are");
            assert_eq!(control(&mut shard, id, JobAction::Move { queue: &queue }), Code::Ok);
            unleased
        }
        Held => {
            assert_eq!(control(&mut shard, id, JobAction::Hold(HOLD)), Code::Ok);
            unleased
        }
        Completed => {
            let job = lease(&mut shard);
            let request = Request { acks: vec![Ack { job, result: b"" }], ..shard.request() };
            shard.run(&request);
            job
        }
        Cancelled => {
            let request = Request { cancels: vec![id], ..shard.request() };
            shard.run(&request);
            unleased
        }
    };
    let found = shard.state.job(id).map(|view| view.state);
    assert_eq!(found, if state == Completed { Err(Code::NotFound) } else { Ok(state) });
    (shard, job)
}

type Operation = fn(&mut Shard, JobRef) -> Code;

fn request(shard: &mut Shard, fill: impl FnOnce(&mut Request<'static>)) -> Reply {
    let mut request = shard.request();
    fill(&mut request);
    shard.run(&request)
}

const ACK: Operation =
    |shard, job| request(shard, |r| r.acks = vec![Ack { job, result: b"" }]).acks[0];
const FAIL: Operation =
    |shard, job| request(shard, |r| r.fails = vec![fail(job, false)]).fails[0].code;
const HEARTBEAT: Operation = |shard, job| {
    let beat = Heartbeat { job, extend_ms: 0, progress: b"", checkpoint: b"" };
    request(shard, |r| r.heartbeats = vec![beat]).heartbeats[0]
};
const RELEASE: Operation = |shard, job| request(shard, |r| r.releases = vec![job]).releases[0];
const CANCEL: Operation = |shard, job| request(shard, |r| r.cancels = vec![job.job]).cancels[0];
const DELETE: Operation = |shard, job| request(shard, |r| r.deletes = vec![job.job]).deletes[0];
const RETRY: Operation = |shard, job| control(shard, job.job, JobAction::Retry);
const REQUEUE: Operation = |shard, job| control(shard, job.job, JobAction::Requeue);
const HOLD_IT: Operation = |shard, job| control(shard, job.job, JobAction::Hold(HOLD));
const APPROVE: Operation =
    |shard, job| control(shard, job.job, JobAction::Approve { note: b"", by: "" });
const REJECT: Operation =
    |shard, job| control(shard, job.job, JobAction::Reject { reason: b"", by: "" });
const MOVE: Operation = |shard, job| control(shard, job.job, JobAction::Move { queue: "r" });
const PRIORITIZE: Operation =
    |shard, job| control(shard, job.job, JobAction::Prioritize { priority: 0 });
const REPLACE: Operation =
    |shard, job| control(shard, job.job, JobAction::Replace { payload: b"new" });

/// Of a job that is no agent job.
const CONTINUE: Operation = |shard, job| {
    let said = AgentAck { status: 1, ..AgentAck::default() };
    let fill = |r: &mut Request<'static>| {
        (r.acks, r.agent_acks) = (vec![Ack { job, result: b"" }], vec![said]);
    };
    request(shard, fill).acks[0]
};
const REVISE: Operation = |shard, job| {
    let (checkpoint, feedback, by): (&[u8], &[u8], _) = (b"{}", b"", "");
    let replaces = EventSeq(0);
    control(shard, job.job, JobAction::Revise { checkpoint, feedback, by, replaces })
};

const APPEND: Operation = |shard, job| {
    let append = Append { job: job.job, id: b"1", kind: "paid", data: b"", source: "", trace: "" };
    request(shard, |r| r.appends = vec![append]).appended[0].effect.code()
};

fn archived(shard: &mut Shard, job: JobRef, action: ArchivedAction<'static>) -> Code {
    let control = ArchivedControl { job: job.job, action };
    request(shard, |r| r.archived = vec![control]).job_controls[0]
}

const REVIVE: Operation = |shard, job| {
    let revive = Revive {
        content: enqueue("q"),
        checkpoint: b"",
        progress: b"",
        parent: None,
        cost_micros: 0,
        agent: None,
    };
    archived(shard, job, ArchivedAction::Revive(Box::new(revive)))
};
const DELETE_ARCHIVED: Operation = |shard, job| archived(shard, job, ArchivedAction::Delete);
const MOVE_ARCHIVED: Operation =
    |shard, job| archived(shard, job, ArchivedAction::Move { queue: "q" });

/// In the order of the columns of the table below.
const STATES: [JobState; JOB_STATES] =
    [Pending, Scheduled, Active, Retrying, Held, Completed, Dead, Cancelled, Planned, Moved];

#[test]
fn every_operation_in_every_state() {
    const OK: Code = Code::Ok;
    const NO: Code = Code::IllegalState;
    /// Recorded, without effect.
    const REC: Code = Code::NotActive;
    const GONE: Code = Code::NotFound;
    const AGENT: Code = Code::NotAgent;
    const AWAY: Code = Code::Moved;
    let table: [(&str, Operation, [Code; JOB_STATES]); 20] = [
        ("ack", ACK, [REC, REC, OK, REC, REC, GONE, REC, REC, REC, REC]),
        ("fail", FAIL, [REC, REC, OK, REC, REC, GONE, REC, REC, REC, REC]),
        ("heartbeat", HEARTBEAT, [REC, REC, OK, REC, REC, GONE, REC, REC, REC, REC]),
        ("release", RELEASE, [REC, REC, OK, REC, REC, GONE, REC, REC, REC, REC]),
        ("cancel", CANCEL, [OK, OK, OK, OK, OK, GONE, NO, NO, OK, AWAY]),
        ("delete", DELETE, [OK, OK, OK, OK, OK, GONE, OK, OK, OK, AWAY]),
        ("retry", RETRY, [NO, OK, NO, NO, NO, GONE, OK, OK, NO, AWAY]),
        ("requeue", REQUEUE, [NO, NO, NO, NO, NO, GONE, OK, NO, NO, AWAY]),
        ("hold", HOLD_IT, [OK, OK, OK, OK, NO, GONE, NO, NO, NO, AWAY]),
        ("approve", APPROVE, [NO, NO, NO, NO, OK, GONE, NO, NO, NO, AWAY]),
        ("reject", REJECT, [NO, NO, NO, NO, OK, GONE, NO, NO, NO, AWAY]),
        ("move", MOVE, [OK, OK, OK, OK, OK, GONE, OK, OK, OK, AWAY]),
        ("prioritize", PRIORITIZE, [OK, OK, NO, NO, NO, GONE, NO, NO, NO, AWAY]),
        ("replace", REPLACE, [OK, OK, NO, OK, OK, GONE, NO, NO, NO, AWAY]),
        ("continue", CONTINUE, [REC, REC, AGENT, REC, REC, GONE, REC, REC, REC, REC]),
        ("revise", REVISE, [NO, NO, NO, NO, AGENT, GONE, NO, NO, NO, AWAY]),
        ("append", APPEND, [NO, NO, NO, NO, NO, GONE, NO, NO, OK, NO]),
        ("revive", REVIVE, [NO, NO, NO, NO, NO, OK, NO, NO, NO, AWAY]),
        ("delete archived", DELETE_ARCHIVED, [NO, NO, NO, NO, NO, OK, NO, NO, NO, AWAY]),
        ("move archived", MOVE_ARCHIVED, [NO, NO, NO, NO, NO, OK, NO, NO, NO, AWAY]),
    ];
    for (name, operation, expected) in table {
        for (state, code) in STATES.into_iter().zip(expected) {
            let (mut shard, job) = with_job(state);
            let before = shard.state.job(job.job);
            assert_eq!(operation(&mut shard, job), code, "{name} of a job that is {state:?}");
            if code != Code::Ok {
                assert_eq!(shard.state.job(job.job), before, "{name}: {state:?} was changed");
            }
        }
    }
}

#[test]
fn only_pending_jobs_are_fetched() {
    for state in STATES {
        let (mut shard, _) = with_job(state);
        assert_eq!(shard.fetch("q", 9).len(), usize::from(state == Pending), "{state:?}");
    }
}

/// At most `count` held jobs after one, as the shard tells them.
fn held_after(shard: &Shard, after: u64, count: u32) -> Vec<JobId> {
    let held = Some(HeldJobs { after: JobSeq(after), count });
    answers(&shard.state, &Request { held, ..Request::default() }).held
}

#[test]
fn only_held_jobs_are_listed_as_such() {
    for state in STATES {
        let (shard, job) = with_job(state);
        let expected = if state == Held { vec![job.job] } else { Vec::new() };
        assert_eq!(held_after(&shard, 0, 9), expected, "{state:?}");
    }
}

#[test]
fn held_jobs_are_listed_in_order_and_leave_the_list_with_their_hold() {
    let mut shard = Shard::new();
    let ids = shard.enqueue(vec![enqueue("q"); 6]);
    // In another order than they came in.
    for at in [4, 1, 3, 0, 5] {
        assert_eq!(control(&mut shard, ids[at], JobAction::Hold(HOLD)), Code::Ok);
    }
    let held = [ids[0], ids[1], ids[3], ids[4], ids[5]];
    assert_eq!(held_after(&shard, 0, 9), held);
    assert_eq!(held_after(&shard, 0, 2), held[..2]);
    assert_eq!(held_after(&shard, ids[1].seq().0, 2), held[2..4]);
    assert_eq!(held_after(&shard, ids[2].seq().0, 9), held[2..], "after one that is not held");
    assert_eq!(held_after(&shard, ids[5].seq().0, 9), []);
    assert_eq!(held_after(&shard, u64::MAX, 9), []);

    let unleased = |at: usize| JobRef { job: ids[at], token: LeaseToken(0) };
    assert_eq!(APPROVE(&mut shard, unleased(0)), Code::Ok);
    assert_eq!(REJECT(&mut shard, unleased(1)), Code::Ok);
    assert_eq!(CANCEL(&mut shard, unleased(3)), Code::Ok);
    assert_eq!(DELETE(&mut shard, unleased(4)), Code::Ok);
    assert_eq!(held_after(&shard, 0, 9), [ids[5]]);
    for wrong in [0, 501] {
        let held = Some(HeldJobs { after: JobSeq(0), count: wrong });
        let request = Request { held, ..shard.request() };
        let Decision::Refuse { code, message } =
            decide(&shard.state, shard.now, &request, &mut Vec::new())
        else {
            panic!("{wrong} held jobs were told");
        };
        assert_eq!(code, Code::Invalid);
        assert_eq!(message, format!("held.count: {wrong}, not in 1..=500"));
    }
}

#[test]
fn time_acts_on_those_states_it_may() {
    let after = |state, ms: u64| {
        let (mut shard, job) = with_job(state);
        shard.now = shard.now.plus_ms(ms);
        shard.timers();
        shard.state.job(job.job).map(|view| view.state)
    };
    assert_eq!(after(Scheduled, 5_000), Ok(Pending));
    assert_eq!(after(Scheduled, 4_999), Ok(Scheduled));
    assert_eq!(after(Retrying, 1_000), Ok(Pending));
    assert_eq!(after(Retrying, 999), Ok(Retrying));
    assert_eq!(after(Active, 1_000), Ok(Pending));
    assert_eq!(after(Active, 999), Ok(Active));
    for state in [Dead, Cancelled] {
        assert_eq!(after(state, RETENTION_MS - 1), Ok(state));
        assert_eq!(after(state, RETENTION_MS), Err(Code::NotFound));
    }
    assert_eq!(after(Pending, 10 * RETENTION_MS), Ok(Pending));
    assert_eq!(after(Held, 10 * RETENTION_MS), Ok(Held));
    assert_eq!(after(Planned, 10 * RETENTION_MS), Ok(Planned));
    assert_eq!(after(Moved, 10 * RETENTION_MS), Ok(Moved));
}

fn view(shard: &Shard, job: JobRef) -> JobView {
    shard.state.job(job.job).expect("it is in memory")
}

#[test]
fn a_retried_job_has_all_its_attempts_again_and_keeps_its_error() {
    let (mut shard, job) = with_job(Dead);
    let dead = view(&shard, job);
    assert_eq!((dead.attempt, dead.ended), (1, shard.now));
    assert_eq!(RETRY(&mut shard, job), Code::Ok);
    let again = view(&shard, job);
    assert_eq!((again.state, again.attempt, again.ended), (Pending, 0, Micros(0)));
    assert_eq!(again.last_error, dead.last_error);
    assert_eq!(shard.fetch("q", 1)[0].job, job.job);
    assert_eq!(view(&shard, job).attempt, 1);
}

#[test]
fn a_requeued_job_keeps_its_attempts() {
    let (mut shard, job) = with_job(Dead);
    assert_eq!(REQUEUE(&mut shard, job), Code::Ok);
    let leased = shard.fetch("q", 1)[0];
    assert_eq!(view(&shard, job).attempt, 2);
    // It was the last one.
    let request = Request { fails: vec![fail(leased, false)], ..shard.request() };
    shard.run(&request);
    assert_eq!(view(&shard, job).state, Dead);
}

#[test]
fn a_hold_takes_a_job_from_its_worker_and_ends_by_itself_when_told() {
    for (then, state) in [(HoldEnd::Approve, Pending), (HoldEnd::Cancel, Cancelled)] {
        let (mut shard, job) = with_job(Active);
        let hold = Hold { timeout_ms: 700, then, ..HOLD };
        assert_eq!(control(&mut shard, job.job, JobAction::Hold(hold)), Code::Ok);
        assert_eq!(ACK(&mut shard, job), Code::NotActive);
        let held = view(&shard, job);
        assert_eq!((held.state, held.then), (Held, then));
        assert_eq!((held.due, held.hold.0 > 0), (shard.now.plus_ms(700), true));
        shard.now = held.due;
        shard.now.0 -= 1;
        shard.timers();
        assert_eq!(view(&shard, job).state, Held);
        shard.now = held.due;
        shard.timers();
        assert_eq!(view(&shard, job).state, state);
    }
}

#[test]
fn a_held_job_still_expires() {
    let mut shard = Shard::new();
    let short = Enqueue { expire_after_ms: 300, ..enqueue("q") };
    let id = shard.enqueue(vec![short])[0];
    let hold = Hold { timeout_ms: 700, then: HoldEnd::Approve, ..HOLD };
    assert_eq!(control(&mut shard, id, JobAction::Hold(hold)), Code::Ok);
    shard.now = shard.now.plus_ms(300);
    shard.timers();
    assert_eq!(shard.state.job(id).map(|view| view.state), Ok(Dead));
}

#[test]
fn a_new_job_may_be_held_and_its_request_does_not_fetch_it() {
    let mut shard = Shard::new();
    let holds = vec![EnqueueHold { enqueue: 1, hold: HOLD }];
    let enqueues = vec![enqueue("q"); 3];
    let fetch = Some(fetch("q", 9));
    let request = Request { enqueues, holds, fetch, ..shard.request() };
    let reply = shard.run(&request);
    assert_eq!(reply.enqueued.iter().map(|run| run.count).collect::<Vec<_>>(), [3]);
    assert_eq!(reply.leases.iter().map(|lease| lease.job.0).collect::<Vec<_>>(), [1, 3]);
    assert!(reply.job_controls.is_empty());
    let held = shard.state.queue_stats("q").expect("it exists").jobs[Held as usize];
    assert_eq!(held, 1);
}

#[test]
fn a_moved_job_keeps_its_lease_and_counts_in_its_new_queue() {
    let (mut shard, job) = with_job(Active);
    assert_eq!(MOVE(&mut shard, job), Code::Ok);
    let count = |shard: &Shard, queue| {
        shard.state.queue_stats(queue).expect("it exists").jobs[Active as usize]
    };
    assert_eq!((count(&shard, "q"), count(&shard, "r")), (0, 1));
    assert_eq!(view(&shard, job).class.queue, "r");
    assert_eq!(ACK(&mut shard, job), Code::Ok);
    assert_eq!((count(&shard, "q"), count(&shard, "r")), (0, 0));
    let (mut shard, job) = with_job(Pending);
    assert_eq!(MOVE(&mut shard, job), Code::Ok);
    assert_eq!(shard.fetch("q", 9), []);
    let request = Request { fetch: Some(fetch("r", 9)), ..shard.request() };
    let leases = shard.run(&request).leases;
    assert_eq!(leases.iter().map(|lease| lease.job).collect::<Vec<_>>(), [job.job.seq()]);
    assert!(leases[0].placed.0 > leases[0].record.0, "its worker is told the new queue");
}

#[test]
fn a_job_with_another_tier_goes_to_its_back() {
    let mut shard = Shard::new();
    let urgent = Enqueue { priority: 0, ..enqueue("q") };
    let ids = shard.enqueue(vec![enqueue("q"), enqueue("q"), urgent]);
    assert_eq!(control(&mut shard, ids[1], JobAction::Prioritize { priority: 0 }), Code::Ok);
    let order: Vec<_> = shard.fetch("q", 9).iter().map(|lease| lease.job).collect();
    assert_eq!(order, [ids[2], ids[1], ids[0]]);
}

#[test]
fn a_replaced_payload_leaves_the_job_where_it_was() {
    let mut shard = Shard::new();
    let ids = shard.enqueue(vec![enqueue("q"); 2]);
    assert_eq!(control(&mut shard, ids[0], JobAction::Replace { payload: b"new" }), Code::Ok);
    let request = Request { fetch: Some(fetch("q", 2)), ..shard.request() };
    let leases = shard.run(&request).leases;
    assert_eq!(leases[0].job, ids[0].seq());
    assert!(leases[0].payload > leases[1].record && leases[1].payload.0 == 0);
}

#[test]
fn a_unique_key_is_free_again_when_its_job_has_ended() {
    let ended: [(&str, Operation); 4] = [
        ("ack", ACK),
        ("cancel", CANCEL),
        ("delete", DELETE),
        ("dead", |shard, job| request(shard, |r| r.fails = vec![fail(job, true)]).fails[0].code),
    ];
    for (name, end) in ended {
        let mut shard = Shard::new();
        let unique = Enqueue { unique: b"u", unique_ms: 60_000, ..enqueue("q") };
        let id = shard.enqueue(vec![unique])[0];
        assert_eq!(shard.enqueue(vec![unique]), [id], "{name}: a duplicate names the owner");
        let other = Enqueue { queue: "r", ..unique };
        assert_ne!(shard.enqueue(vec![other]), [id], "{name}: another queue has its own keys");
        let leased = shard.fetch("q", 1)[0];
        assert_eq!(shard.enqueue(vec![unique]), [id], "{name}: it is active");
        assert_eq!(end(&mut shard, leased), Code::Ok, "{name}");
        assert_ne!(shard.enqueue(vec![unique]), [id], "{name}: its key is free");
    }
}

#[test]
fn a_unique_key_is_free_again_when_its_time_is_over() {
    let mut shard = Shard::new();
    let unique = Enqueue { unique: b"u", unique_ms: 500, ..enqueue("q") };
    let id = shard.enqueue(vec![unique, unique])[0];
    let request = Request { enqueues: vec![unique], ..shard.request() };
    let duplicate = shard.run(&request).enqueued[0];
    assert_eq!((duplicate.code, duplicate.first_job), (Code::Duplicate, id.seq()));
    shard.now = shard.now.plus_ms(499);
    assert_eq!(shard.enqueue(vec![unique]), [id]);
    shard.now = shard.now.plus_ms(1);
    let second = shard.enqueue(vec![unique])[0];
    assert_ne!(second, id);
    // The first one's end does not free what is the second's now.
    let request = Request { cancels: vec![id], ..shard.request() };
    shard.run(&request);
    assert_eq!(shard.enqueue(vec![unique]), [second]);
}

#[test]
fn b2_a_job_that_keeps_losing_its_workers_is_quarantined() {
    let mut shard = Shard::new();
    let id = shard.enqueue(vec![enqueue("q")])[0];
    for expiries in 1..=3 {
        assert_eq!(shard.fetch("q", 1).len(), 1, "expiry {expiries}");
        shard.now = shard.now.plus_ms(1_000);
        shard.timers();
        let view = shard.state.job(id).expect("it is kept");
        assert_eq!(view.lease_expiries, expiries);
        // Two attempts are allowed, but nothing is quarantined before its third lost lease.
        assert_eq!(view.state, if expiries < 3 { Pending } else { Dead });
        assert_eq!(view.last_error.0 > 0, expiries == 3, "the evidence is its error");
    }
    assert_eq!(control(&mut shard, id, JobAction::Retry), Code::Ok);
    assert_eq!(shard.state.job(id).map(|view| view.lease_expiries), Ok(0));
}

#[test]
fn bad_controls_are_refused_whole_and_say_why() {
    let (mut shard, job) = with_job(Pending);
    let one = |action| JobControl { job: job.job, action };
    let refused = |shard: &mut Shard, fill: &dyn Fn(&mut Request<'static>)| {
        let mut request = shard.request();
        fill(&mut request);
        let before = shard.state.digest();
        match decide(&shard.state, shard.now, &request, &mut Vec::new()) {
            Decision::Refuse { code, message } => {
                assert_eq!(shard.state.digest(), before);
                (code, message)
            }
            other => panic!("{other:?}"),
        }
    };
    let controls = |shard: &mut Shard, controls: Vec<JobControl<'static>>| {
        refused(shard, &|request| request.job_controls = controls.clone())
    };
    let twice = controls(&mut shard, vec![one(JobAction::Retry), one(JobAction::Requeue)]);
    let message = "job_controls[1].job: named in job_controls[0] too";
    assert_eq!(twice, (Code::Invalid, message.into()));
    let mixed = refused(&mut shard, &|request| {
        request.job_controls = vec![one(JobAction::Retry)];
        request.fetch = Some(fetch("q", 1));
    });
    let message = "job_controls: in one request with fetch, send them one after the other";
    assert_eq!(mixed, (Code::Invalid, message.into()));
    let hold = Hold { timeout_ms: 5, ..HOLD };
    let (code, message) = controls(&mut shard, vec![one(JobAction::Hold(hold))]);
    assert_eq!(code, Code::Invalid);
    assert!(message.starts_with("job_controls[0].timeout_ms: a hold has both"), "{message}");
    let far = Hold { timeout_ms: u64::MAX, then: HoldEnd::Cancel, ..HOLD };
    let (code, message) = controls(&mut shard, vec![one(JobAction::Hold(far))]);
    assert_eq!(code, Code::Invalid);
    assert!(message.starts_with("job_controls[0].timeout_ms: 18446744073709551615"), "{message}");
    let tier = controls(&mut shard, vec![one(JobAction::Prioritize { priority: 3 })]);
    assert_eq!(tier, (Code::Invalid, "job_controls[0].priority: 3, at most 2".into()));
    let (code, message) = controls(&mut shard, vec![one(JobAction::Move { queue: "a\nb" })]);
    assert_eq!(
        (code, &*message),
        (Code::Invalid, "job_controls[0].queue: has a control character")
    );
    let large: &'static [u8] = vec![0; 300_000].leak();
    let (code, _) = controls(&mut shard, vec![one(JobAction::Replace { payload: large })]);
    assert_eq!(code, Code::TooLarge);
    let key: &'static [u8] = vec![0; 10 << 20].leak();
    let (code, message) = refused(&mut shard, &|request| {
        request.enqueues = vec![Enqueue { unique: key, ..enqueue("q") }];
    });
    assert_eq!(
        (code, &*message),
        (Code::TooLarge, "enqueues[0].unique: 10485760 bytes, at most 255")
    );
    let (code, message) = refused(&mut shard, &|request| {
        request.holds = vec![EnqueueHold { enqueue: 0, hold: HOLD }];
    });
    assert_eq!((code, &*message), (Code::Invalid, "holds[0].enqueue: 0, not a later enqueue's"));
}
