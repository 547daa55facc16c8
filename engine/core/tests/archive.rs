//! Jobs that were completed and have left memory: revived, deleted and moved.

mod shard;

use jobbie_core::{Decision, Settings, State, decide};
use jobbie_proto::agent::AgentLimits;
use jobbie_proto::event::{ArchivedJob, Event, Group, HoldEnd};
use jobbie_proto::event::{JobFilter, Task};
use jobbie_proto::limits::{PAYLOAD_BYTES_MAX, QUEUE_BYTES_MAX, RESULT_BYTES_MAX};
use jobbie_proto::placement::shard_of;
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{
    Ack, ArchivedAction, ArchivedControl, BatchSeal, Children, Depends, Enqueue, Fail, Hold,
    JobAction, JobControl, JobRef, Members, Operate, Revive, RevivedAgent, Stats, Ties,
};
use jobbie_proto::{Code, EventSeq, JobId, JobSeq, LeaseToken, Micros, Request, ShardId};
use shard::{Shard, enqueue, fetch};

fn content(content: Enqueue<'_>) -> Revive<'_> {
    let (checkpoint, progress, parent, cost_micros, agent) = (&b""[..], &b""[..], None, 0, None);
    Revive { content, checkpoint, progress, parent, cost_micros, agent }
}

fn reviving<'a>(job: JobId, revive: Revive<'a>) -> ArchivedControl<'a> {
    ArchivedControl { job, action: ArchivedAction::Revive(Box::new(revive)) }
}

fn run(shard: &mut Shard, archived: Vec<ArchivedControl<'_>>) -> Vec<Code> {
    let request = Request { archived, ..shard.request() };
    shard.run(&request).job_controls
}

fn revive(shard: &mut Shard, job: JobId, with: Enqueue<'_>) -> Code {
    run(shard, vec![reviving(job, content(with))])[0]
}

fn delete(shard: &mut Shard, job: JobId) -> Code {
    run(shard, vec![ArchivedControl { job, action: ArchivedAction::Delete }])[0]
}

fn move_to(shard: &mut Shard, job: JobId, queue: &str) -> Code {
    run(shard, vec![ArchivedControl { job, action: ArchivedAction::Move { queue } }])[0]
}

fn ack(shard: &mut Shard, job: JobRef) {
    let request = Request { acks: vec![Ack { job, result: b"" }], ..shard.request() };
    assert_eq!(shard.run(&request).acks, [Code::Ok]);
}

/// A job that was made so, fetched and completed.
fn completed(shard: &mut Shard, with: Enqueue<'_>) -> JobId {
    let id = shard.enqueue(vec![with])[0];
    let job = shard.fetch(with.queue, 1)[0];
    assert_eq!(job.job, id);
    ack(shard, job);
    assert_eq!(shard.state.job(id), Err(Code::NotFound));
    id
}

/// The same state by way of a snapshot.
fn restored(shard: &Shard) -> State {
    let chunks: Vec<_> = shard.state.snapshot().collect();
    let state = State::restore(&chunks).expect("it was just written");
    state.check();
    assert!(state.snapshot().eq(chunks), "a restored state is written differently");
    assert_eq!(state.oldest_needed_event(), shard.state.oldest_needed_event());
    state
}

#[test]
fn a_revived_job_waits_behind_others_with_all_attempts_before_it() {
    let mut shard = Shard::new();
    let id = completed(&mut shard, enqueue("q"));
    let other = shard.enqueue(vec![enqueue("q")])[0];
    shard.now = shard.now.plus_ms(5_000);
    let record = shard.state.next_event();
    let with = Revive { checkpoint: b"page 2", progress: b"50%", ..content(enqueue("q")) };
    assert_eq!(run(&mut shard, vec![reviving(id, with)]), [Code::Ok]);
    let view = shard.state.job(id).expect("it is back");
    assert_eq!((view.state, view.attempt, view.lease_expiries), (JobState::Pending, 0, 0));
    assert_eq!((view.record, view.checkpoint, view.progress), (record, record, record));
    assert_eq!((view.last_error, view.hold, view.batch), (EventSeq(0), EventSeq(0), None));
    let queue = shard.state.queue_stats("q").expect("it exists");
    assert_eq!((queue.enqueued_total, queue.jobs[JobState::Completed as usize]), (2, 1));
    assert_eq!(queue.jobs[JobState::Pending as usize], 2);
    let request = Request { fetch: Some(fetch("q", 2)), ..shard.request() };
    let leases = shard.run(&request).leases;
    let jobs: Vec<_> = leases.iter().map(|lease| lease.job).collect();
    assert_eq!(jobs, [other.seq(), id.seq()]);
    let lease = &leases[1];
    assert_eq!((lease.attempt, lease.record, lease.checkpoint), (1, record, record));
    assert_eq!((lease.created_ms, lease.max_retries), (id.created_ms(), 2));
    ack(&mut shard, JobRef { job: id, token: lease.token });
    let queue = shard.state.queue_stats("q").expect("it exists");
    assert_eq!((queue.enqueued_total, queue.jobs[JobState::Completed as usize]), (2, 2));
    // And once more.
    assert_eq!(revive(&mut shard, id, enqueue("q")), Code::Ok);
    assert_eq!(shard.fetch("q", 9).len(), 1);
}

#[test]
fn a_revived_job_is_like_any_other() {
    let mut shard = Shard::new();
    let id = completed(&mut shard, enqueue("q"));
    assert_eq!(revive(&mut shard, id, Enqueue { max_retries: 1, ..enqueue("r") }), Code::Ok);
    let job = shard.fetch("r", 1)[0];
    let fails = vec![Fail { job, error: b"no", backtrace: b"", no_retry: false }];
    let request = Request { fails, ..shard.request() };
    shard.run(&request);
    assert_eq!(shard.state.job(id).map(|view| view.state), Ok(JobState::Dead));
    assert_eq!(revive(&mut shard, id, enqueue("r")), Code::IllegalState);
    let hold = Hold { reason: b"", by: "", timeout_ms: 0, then: HoldEnd::Stay };
    for action in [JobAction::Retry, JobAction::Hold(hold), JobAction::Move { queue: "q" }] {
        let job_controls = vec![JobControl { job: id, action }];
        let request = Request { job_controls, ..shard.request() };
        assert_eq!(shard.run(&request).job_controls, [Code::Ok]);
    }
    let deletes = vec![id];
    let request = Request { deletes, ..shard.request() };
    assert_eq!(shard.run(&request).deletes, [Code::Ok]);
    // Whoever was deleted stays so.
    assert_eq!(revive(&mut shard, id, enqueue("q")), Code::NotFound);
    assert_eq!(delete(&mut shard, id), Code::NotFound);
    assert_eq!(move_to(&mut shard, id, "r"), Code::NotFound);
}

#[test]
fn only_what_was_completed_here_is_archived() {
    let mut shard = Shard::of(shard_of("q", 2), 2);
    let id = completed(&mut shard, enqueue("q"));
    let live = shard.enqueue(vec![enqueue("q")])[0];
    let elsewhere = (0..).map(|n| format!("queue-{n}"));
    let elsewhere = elsewhere.into_iter().find(|q| shard_of(q, 2) != shard.state.shard());
    let elsewhere = elsewhere.expect("half of them are");
    let away = shard.enqueue(vec![enqueue("q")])[0];
    let action = JobAction::Move { queue: &elsewhere };
    let job_controls = vec![JobControl { job: away, action }];
    let request = Request { job_controls, ..shard.request() };
    assert_eq!(shard.run(&request).job_controls, [Code::Ok]);
    let (of, ms) = (shard.state.shard(), id.created_ms());
    let unmade = JobId::new(ms, of, shard.state.next_job());
    let ahead = JobId::new(shard.now.ms() + 1, of, id.seq());
    let other = JobId::new(live.created_ms() - 1, of, live.seq());
    let zero = JobId::new(ms, of, JobSeq(0));
    for (job, code) in [
        (live, Code::IllegalState),
        (away, Code::Moved),
        (unmade, Code::NotFound),
        (ahead, Code::NotFound),
        (other, Code::NotFound),
        (zero, Code::NotFound),
    ] {
        let events = shard.state.next_event();
        assert_eq!(revive(&mut shard, job, enqueue("q")), code, "{job}");
        assert_eq!(delete(&mut shard, job), code, "{job}");
        assert_eq!(move_to(&mut shard, job, "q"), code, "{job}");
        assert_eq!(shard.state.next_event(), events.plus(3), "each refusal is recorded");
    }
    assert_eq!(move_to(&mut shard, id, &elsewhere), Code::Unsupported);
    let there = JobId::new(ms, ShardId(1 - of.0), id.seq());
    let archived = vec![ArchivedControl { job: there, action: ArchivedAction::Delete }];
    let request = Request { archived, ..shard.request() };
    assert_eq!(shard.refused(&request).0, Code::WrongShard);
    let request =
        Request { archived: vec![reviving(id, content(enqueue(&elsewhere)))], ..shard.request() };
    let (code, message) = shard.refused(&request);
    assert_eq!(code, Code::WrongShard);
    assert!(message.starts_with("archived[0].queue: lives on shard"), "{message}");
}

#[test]
fn deleting_and_moving_are_facts_that_change_nothing() {
    let mut shard = Shard::new();
    let id = completed(&mut shard, enqueue("q"));
    let before = shard.state.stats();
    let archived = vec![ArchivedControl { job: id, action: ArchivedAction::Move { queue: "new" } }];
    let request = Request { archived, ..shard.request() };
    let decided = decide(&shard.state, shard.now, &request, &mut Vec::new());
    let Decision::Events(Group { events, .. }) = decided else { panic!("{decided:?}") };
    let moved = ArchivedJob::Moved { job: id.seq(), queue: "new".into() };
    assert_eq!(events, [Event::Archived(Box::new(moved))]);
    assert_eq!(shard.run(&request).job_controls, [Code::Ok]);
    assert_eq!(delete(&mut shard, id), Code::Ok);
    let after = shard.state.stats();
    assert_eq!((after.jobs, after.queues), (before.jobs, before.queues));
    assert_eq!(after.last_event, before.last_event.plus(2));
    // The shard does not know that it was deleted: whoever keeps such jobs does.
    assert_eq!(delete(&mut shard, id), Code::Ok);
    // Who waits for it waits for a job that was completed.
    let ties = Ties { depends: vec![Depends { enqueue: 0, on: vec![id] }], ..Ties::default() };
    let request = Request { enqueues: vec![enqueue("q")], ties, ..shard.request() };
    shard.run(&request);
    assert_eq!(shard.fetch("q", 9).len(), 1);
}

#[test]
fn a_repeated_request_gets_the_first_answer() {
    let mut shard = Shard::new();
    let id = completed(&mut shard, enqueue("q"));
    let unmade = JobId::new(id.created_ms(), ShardId(0), JobSeq(99));
    let archived = vec![
        reviving(id, content(enqueue("q"))),
        ArchivedControl { job: unmade, action: ArchivedAction::Delete },
    ];
    let request = Request { archived, ..shard.request() };
    let first = shard.run(&request);
    assert_eq!(first.job_controls, [Code::Ok, Code::NotFound]);
    assert!(first.deletes.is_empty(), "a refusal answers where its request asked");
    let job = shard.fetch("q", 1)[0];
    ack(&mut shard, job);
    // Done again, it would be done.
    for state in [restored(&shard), shard.state.clone()] {
        let again = decide(&state, shard.now, &request, &mut Vec::new());
        let Decision::Repeat(reply) = again else { panic!("{again:?}") };
        assert_eq!(*reply, first);
    }
    assert_eq!(shard.state.job(id), Err(Code::NotFound));
}

#[test]
fn a_revived_job_takes_its_unique_key_again() {
    let mut shard = Shard::new();
    let unique = Enqueue { unique: b"u", unique_ms: 60_000, ..enqueue("q") };
    let (a, b) = (completed(&mut shard, unique), completed(&mut shard, unique));
    let both = vec![reviving(a, content(unique)), reviving(b, content(unique))];
    assert_eq!(run(&mut shard, both), [Code::Ok, Code::Duplicate]);
    assert_eq!(revive(&mut shard, b, unique), Code::Duplicate);
    assert_eq!(shard.state.job(b), Err(Code::NotFound));
    assert_eq!(shard.enqueue(vec![unique]), [a], "a duplicate names the owner");
    assert_eq!(revive(&mut shard, b, Enqueue { queue: "r", ..unique }), Code::Ok);
    let job = shard.fetch("q", 1)[0];
    ack(&mut shard, job);
    let c = shard.enqueue(vec![unique])[0];
    assert_ne!(c, a);
    assert_eq!(revive(&mut shard, a, unique), Code::Duplicate);
    // Its time is over.
    shard.now = shard.now.plus_ms(60_000);
    assert_eq!(revive(&mut shard, a, unique), Code::Ok);
    assert_eq!(shard.enqueue(vec![unique]), [a]);
}

#[test]
fn the_expiry_of_a_revived_job_counts_anew() {
    let mut shard = Shard::new();
    let short = Enqueue { expire_after_ms: 300, ..enqueue("q") };
    let id = completed(&mut shard, short);
    let other = shard.enqueue(vec![short])[0];
    shard.now = shard.now.plus_ms(200);
    assert_eq!(revive(&mut shard, id, short), Code::Ok);
    let due = shard.now.plus_ms(300);
    assert_eq!(shard.state.job(id).map(|view| view.expire_at), Ok(due));
    let back = restored(&shard);
    assert_eq!(back.job(id), shard.state.job(id));
    assert_eq!(back.next_timer(&Settings::default()), shard.state.next_timer(&Settings::default()));
    shard.now = shard.now.plus_ms(100);
    shard.timers();
    let state = |shard: &Shard, id| shard.state.job(id).map(|view| view.state);
    assert_eq!(
        (state(&shard, other), state(&shard, id)),
        (Ok(JobState::Dead), Ok(JobState::Pending))
    );
    shard.now = Micros(due.0 - 1);
    shard.timers();
    assert_eq!(state(&shard, id), Ok(JobState::Pending));
    shard.now = due;
    assert!(shard.fetch("q", 1).is_empty());
    shard.timers();
    assert_eq!(state(&shard, id), Ok(JobState::Dead));
}

#[test]
fn agent_state_cost_limit_key_and_parent_come_along() {
    let mut shard = Shard::new();
    let id = completed(&mut shard, enqueue("q"));
    let parent = JobId::new(5, ShardId(0), JobSeq(77));
    let limits = AgentLimits { max_iterations: 3, max_cost_micros: 900, iteration_timeout_ms: 7 };
    let agent = Some(RevivedAgent { iteration: 2, limits });
    let limited = Enqueue { limit_key: "ann", priority: 0, ..enqueue("q") };
    let with = Revive {
        agent,
        parent: Some(parent),
        cost_micros: 40,
        checkpoint: b"{}",
        ..content(limited)
    };
    assert_eq!(run(&mut shard, vec![reviving(id, with)]), [Code::Ok]);
    let view = shard.state.job(id).expect("it is back");
    let agent = view.agent.expect("it is an agent job");
    assert_eq!((agent.iteration, agent.limits, agent.checkpoint), (2, limits, view.record));
    assert_eq!((view.cost_micros, &*view.limit_key, view.class.priority), (40, "ann", 0));
    let children = |state: &State| {
        let children = Some(Children { parent, after: JobSeq(0), count: 9 });
        jobbie_core::answers(state, &Request { children, ..Request::default() }).children
    };
    assert_eq!(children(&shard.state).len(), 1);
    let back = restored(&shard);
    assert_eq!((back.job(id), children(&back)), (shard.state.job(id), children(&shard.state)));
    let job = shard.fetch("q", 1)[0];
    ack(&mut shard, job);
    assert_eq!(shard.state.job(id), Err(Code::NotFound));
    assert!(children(&shard.state).is_empty());
}

#[test]
fn a_batch_has_counted_a_revived_member() {
    let mut shard = Shard::new();
    let ties = Ties { batch_opens: vec![None], ..Ties::default() };
    let request = Request { ties, ..shard.request() };
    let batch = shard.run(&request).batches[0];
    let members = vec![Members { batch, first: 0, count: 2 }];
    let ties = Ties { members, ..Ties::default() };
    let request = Request { enqueues: vec![enqueue("q"); 2], ties, ..shard.request() };
    shard.run(&request);
    let ties = Ties { batch_seals: vec![BatchSeal { batch, total: 2 }], ..Ties::default() };
    let request = Request { ties, ..shard.request() };
    shard.run(&request);
    let job = shard.fetch("q", 1)[0];
    ack(&mut shard, job);
    let counted = |shard: &mut Shard| {
        loop {
            let events = jobbie_core::decide_consequences(&shard.state, 100);
            if events.is_empty() {
                break;
            }
            shard.state.absorb(shard.now, &Group { events, ..Group::default() });
            shard.state.check();
        }
        let view = shard.state.batch(batch).expect("it is there");
        (view.succeeded, view.failed, view.ended > Micros(0))
    };
    assert_eq!(counted(&mut shard), (1, 0, false));
    assert_eq!(revive(&mut shard, job.job, enqueue("q")), Code::Ok);
    assert_eq!(shard.state.job(job.job).map(|view| view.batch), Ok(None));
    for job in shard.fetch("q", 2) {
        ack(&mut shard, job);
    }
    assert_eq!(counted(&mut shard), (2, 0, true));
}

/// A job's number lies in a page of which all others are long gone, or between others that came from elsewhere.
#[test]
fn pages_of_long_gone_numbers_hold_a_job_again() {
    let mut shard = Shard::new();
    let ids = shard::without_checks(|| {
        let ids: Vec<_> = (0..6).flat_map(|_| shard.enqueue(vec![enqueue("q"); 500])).collect();
        loop {
            let jobs = shard.fetch("q", 1000);
            if jobs.is_empty() {
                break ids;
            }
            let acks = jobs.into_iter().map(|job| Ack { job, result: b"" }).collect();
            let request = Request { acks, ..shard.request() };
            shard.run(&request);
        }
    });
    shard.state.check();
    assert_eq!(shard.state.oldest_needed_event(), shard.state.next_event());
    let stays = shard.enqueue(vec![enqueue("stays")])[0];
    let oldest = shard.state.oldest_needed_event();
    let mut back = Vec::new();
    for at in [700, 1500, 701, 699, 0, 1023, 1024, 2999, 1, 511, 512] {
        shard.now = shard.now.plus_ms(1);
        let record = shard.state.next_event();
        assert_eq!(revive(&mut shard, ids[at], enqueue("q")), Code::Ok);
        back.push((ids[at], record));
        let state = restored(&shard);
        for (id, record) in &back {
            for state in [&shard.state, &state] {
                assert_eq!(state.job(*id).map(|view| view.record), Ok(*record));
            }
        }
        // The log is kept for the job that was made last, and not for those that were made before.
        assert_eq!(shard.state.oldest_needed_event(), oldest);
        if at == 1500 {
            shard.state = state;
        }
    }
    let order: Vec<_> = shard.fetch("q", 99).into_iter().map(|job| job.job).collect();
    assert!(order.iter().eq(back.iter().map(|(id, _)| id)));
    let token = LeaseToken(0);
    let job = JobRef { job: stays, token };
    let leased = shard.fetch("stays", 1)[0];
    assert_eq!(leased.job, job.job);
    ack(&mut shard, leased);
    assert_eq!(shard.state.oldest_needed_event(), back[0].1, "the first that was revived");
    for job in order {
        ack(&mut shard, JobRef { job, token });
        restored(&shard);
    }
    assert_eq!(shard.state.oldest_needed_event(), shard.state.next_event());
}

#[test]
fn an_operation_does_not_mean_who_is_revived_after_it_began() {
    let mut shard = Shard::new();
    let unique = Enqueue { unique: b"u", unique_ms: 60_000, ..enqueue("q") };
    let (before, after) = (completed(&mut shard, enqueue("q")), completed(&mut shard, unique));
    assert_eq!(revive(&mut shard, before, enqueue("q")), Code::Ok);
    let task = Task::DeleteQueue { queue: "q".into() };
    assert_eq!(task.filter().queue, JobFilter { queue: "q".into(), ..task.filter() }.queue);
    let operation = Some(Operate::Start { task, jobs: Vec::new() });
    let request = Request { operation, ..shard.request() };
    shard.run(&request);
    assert_eq!(revive(&mut shard, after, unique), Code::Ok);
    assert_eq!(shard.enqueue(vec![unique]), [after], "its key is its own");
    loop {
        let events = jobbie_core::decide_operations(&shard.state, shard.now, 9, &mut Vec::new());
        if events.is_empty() {
            break;
        }
        shard.state.absorb(shard.now, &Group { events, ..Group::default() });
        shard.state.check();
    }
    assert_eq!(shard.state.job(before), Err(Code::NotFound));
    assert_eq!(shard.state.job(after).map(|view| view.state), Ok(JobState::Pending));
    assert_eq!(shard.enqueue(vec![unique]), [after]);
    assert_eq!(shard.fetch("q", 9).len(), 1);
    let request = Request { stats: Stats::Queue("q"), ..shard.request() };
    assert_eq!(jobbie_core::answers(&shard.state, &request).queues.len(), 1);
}

#[test]
fn bad_requests_are_refused_whole_and_say_why() {
    let mut shard = Shard::new();
    let id = completed(&mut shard, enqueue("q"));
    let digest = shard.state.digest();
    let refused = |shard: &mut Shard, with: Revive<'_>| {
        let request = Request { archived: vec![reviving(id, with)], ..shard.request() };
        shard.refused(&request)
    };
    let delete = ArchivedControl { job: id, action: ArchivedAction::Delete };
    let archived = vec![delete.clone(), delete.clone()];
    let request = Request { archived, ..shard.request() };
    let message = "archived[1].job: named in archived[0] too";
    assert_eq!(shard.refused(&request), (Code::Invalid, message.into()));
    let fetch = Some(fetch("q", 1));
    let request = Request { archived: vec![delete], fetch, ..shard.request() };
    let message = "archived: in one request with fetch, send them one after the other";
    assert_eq!(shard.refused(&request), (Code::Invalid, message.into()));
    let name = "x".repeat(QUEUE_BYTES_MAX + 1);
    let action = ArchivedAction::Move { queue: &name };
    let request =
        Request { archived: vec![ArchivedControl { job: id, action }], ..shard.request() };
    assert_eq!(shard.refused(&request).0, Code::TooLarge);
    let large = vec![0; PAYLOAD_BYTES_MAX.max(RESULT_BYTES_MAX) + 1];
    let plain = || content(enqueue("q"));
    let cases = [
        (content(enqueue("")), Code::Invalid, "queue: empty"),
        (content(Enqueue { payload: &large, ..enqueue("q") }), Code::TooLarge, "payload: "),
        (content(Enqueue { tags: &large, ..enqueue("q") }), Code::TooLarge, "tags: "),
        (content(Enqueue { unique: &large, ..enqueue("q") }), Code::TooLarge, "unique: "),
        (content(Enqueue { priority: 3, ..enqueue("q") }), Code::Invalid, "priority: 3, at most 2"),
        (
            content(Enqueue { expire_after_ms: u64::MAX, ..enqueue("q") }),
            Code::Invalid,
            "expire_after_ms: ",
        ),
        (Revive { checkpoint: &large, ..plain() }, Code::TooLarge, "checkpoint: "),
        (Revive { progress: &large, ..plain() }, Code::TooLarge, "progress: "),
        (
            Revive { parent: Some(JobId::new(1, ShardId(9), JobSeq(1))), ..plain() },
            Code::Invalid,
            "parent: of shard 9",
        ),
        (
            Revive { agent: Some(RevivedAgent::default()), ..plain() },
            Code::Invalid,
            "iteration: 0, iterations begin at 1",
        ),
    ];
    for (with, code, field) in cases {
        let (refusal, message) = refused(&mut shard, with);
        assert_eq!(refusal, code, "{message}");
        assert!(message.starts_with(&format!("archived[0].{field}")), "{message}");
    }
    assert_eq!(shard.state.digest(), digest);
    // What is not brought along does not matter.
    let key = Enqueue { key: &large, key_ms: u64::MAX, ..enqueue("q") };
    assert_eq!(revive(&mut shard, id, key), Code::Ok);
}
