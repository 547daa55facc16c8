//! Jobs that go to queues of other shards: each transition, and what hangs on the old id.

use jobbie_proto::event::{BulkAction, Event, HoldEnd, JobFilter, Task, Tie};
use jobbie_proto::limits::RETENTION_MS;
use jobbie_proto::reply::{JobState, JobView};
use jobbie_proto::request::{
    Ack, Children, Enqueue, EnqueueHold, EnqueuePlan, Fail, Fetch, Heartbeat, Hold, JobAction,
    JobControl, JobRef, Parents, Ties, When,
};
use jobbie_proto::{Code, JobId, LeaseToken, Micros, Request, ShardId};

use crate::cases::{state, waits};
use crate::net::{Net, enqueue};

pub(crate) fn control(net: &mut Net, job: JobId, action: JobAction<'_>) -> Code {
    let job_controls = vec![JobControl { job, action }];
    let reply = net.run(job.shard(), Request { job_controls, ..Request::default() });
    reply.job_controls[0]
}

pub(crate) fn move_to(net: &mut Net, job: JobId, queue: &str) -> Code {
    control(net, job, JobAction::Move { queue })
}

pub(crate) fn view(net: &Net, job: JobId) -> JobView {
    net.nodes[usize::from(job.shard().0)].state.job(job).expect("it is in memory")
}

/// Where a job is, as its old id says.
pub(crate) fn now_of(net: &Net, job: JobId) -> JobId {
    view(net, job).kin.moved_to.expect("it has arrived")
}

pub(crate) fn one(net: &mut Net, job: Enqueue<'_>) -> JobId {
    net.enqueue(Request { enqueues: vec![job], ..Request::default() })[0]
}

pub(crate) fn held() -> Hold<'static> {
    Hold { reason: b"why", by: "ann", timeout_ms: 60_000, then: HoldEnd::Cancel }
}

/// A job of the first shard in a state, with what belongs to that; what it looks like.
fn stood(net: &mut Net, state: JobState) -> JobId {
    let queue = net.queue(0);
    let when = match state {
        JobState::Scheduled => When::DelayMs(70_000),
        _ => When::Now,
    };
    let job = one(
        net,
        Enqueue {
            when,
            payload: b"{\"work\":1}",
            tags: b"tags",
            limit_key: "tenant",
            priority: 1,
            max_retries: 5,
            backoff_base_ms: 50_000,
            expire_after_ms: 90_000,
            ..enqueue(&queue)
        },
    );
    match state {
        JobState::Pending | JobState::Scheduled => {}
        JobState::Held => assert_eq!(control(net, job, JobAction::Hold(held())), Code::Ok),
        JobState::Cancelled => {
            let cancels = vec![job];
            net.run(job.shard(), Request { cancels, ..Request::default() });
        }
        JobState::Retrying | JobState::Dead => {
            let (lease, _) = net.fetch(&queue, 1)[0].clone();
            let beat = Heartbeat { job: lease, extend_ms: 0, progress: b"half", checkpoint: b"3" };
            net.run(job.shard(), Request { heartbeats: vec![beat], ..Request::default() });
            let no_retry = state == JobState::Dead;
            let fail = Fail { job: lease, error: b"no", backtrace: b"at 7", no_retry };
            net.run(job.shard(), Request { fails: vec![fail], ..Request::default() });
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(view(net, job).state, state);
    job
}

const STATES: [JobState; 6] = [
    JobState::Pending,
    JobState::Scheduled,
    JobState::Retrying,
    JobState::Held,
    JobState::Dead,
    JobState::Cancelled,
];

#[test]
fn a_job_arrives_as_it_was_in_every_state() {
    for state in STATES {
        let mut net = Net::new(2);
        let there = net.queue(1);
        let old = stood(&mut net, state);
        let before = view(&net, old);
        net.now = net.now.plus_ms(10_000);
        assert_eq!(move_to(&mut net, old, &there), Code::Ok);
        let going = view(&net, old);
        assert_eq!((going.state, &*going.kin.moves_to), (JobState::Moved, &*there));
        assert_eq!(going.kin.moved_to, None);
        net.settle();
        let new = now_of(&net, old);
        assert_eq!(new.shard(), ShardId(1));
        let after = view(&net, new);
        assert_eq!((after.state, &*after.class.queue), (state, &*there));
        assert_eq!((after.due, after.then, after.ended), (before.due, before.then, before.ended));
        assert_eq!(after.expire_at, before.expire_at);
        assert_eq!((after.attempt, &after.limit_key), (before.attempt, &before.limit_key));
        let class = jobbie_proto::event::Class { queue: there.clone(), ..before.class.clone() };
        assert_eq!(after.class, class);
        assert_eq!(after.kin.moved_from, Some(old));
        let has = |view: &JobView| {
            [view.checkpoint, view.progress, view.last_error, view.hold].map(|event| event.0 > 0)
        };
        assert_eq!(has(&after), has(&before), "{state:?}");
        let bytes = net.moved_bytes(new);
        match state {
            JobState::Held => assert_eq!(bytes, ["", "", "", "", "why", "ann"]),
            JobState::Retrying | JobState::Dead => {
                assert_eq!(bytes, ["3", "half", "no", "at 7", "", ""]);
            }
            _ => assert_eq!(bytes, [""; 6]),
        }
        // Time goes on for it as it would have.
        if before.due.0 > 0 {
            net.now = before.due;
            net.now.0 -= 1;
            net.timers();
            assert_eq!(view(&net, new).state, state);
            net.now = before.due;
            net.timers();
            let next =
                if state == JobState::Held { JobState::Cancelled } else { JobState::Pending };
            assert_eq!(view(&net, new).state, next);
        }
        if before.ended.0 > 0 {
            net.now = before.ended.plus_ms(RETENTION_MS);
            net.now.0 -= 1;
            net.timers();
            assert_eq!(view(&net, new).state, state);
            net.now = before.ended.plus_ms(RETENTION_MS);
            net.timers();
            net.settle();
            assert_eq!(crate::cases::state(&net, new), Err(Code::NotFound));
            assert_eq!(crate::cases::state(&net, old), Err(Code::NotFound), "its stub is gone");
        } else if state == JobState::Pending {
            net.now = before.expire_at;
            net.now.0 -= 1;
            net.timers();
            assert_eq!(view(&net, new).state, state);
            net.now = before.expire_at;
            net.timers();
            assert_eq!(view(&net, new).state, JobState::Dead);
        }
        net.restart_all();
    }
}

#[test]
fn what_is_asked_of_the_old_id_is_answered_with_moved() {
    let mut net = Net::new(2);
    let (here, there) = (net.queue(0), net.queue(1));
    let old = one(&mut net, enqueue(&here));
    move_to(&mut net, old, &there);
    for _ in 0..2 {
        let actions = [
            JobAction::Retry,
            JobAction::Requeue,
            JobAction::Hold(held()),
            JobAction::Approve { note: b"", by: "" },
            JobAction::Reject { reason: b"", by: "" },
            JobAction::Move { queue: &here },
            JobAction::Prioritize { priority: 0 },
            JobAction::Replace { payload: b"" },
        ];
        for action in actions {
            assert_eq!(control(&mut net, old, action), Code::Moved, "{action:?}");
        }
        let (cancels, deletes) = (vec![old], vec![old]);
        let reply = net.run(old.shard(), Request { cancels, deletes, ..Request::default() });
        assert_eq!(
            (&reply.cancels[..], &reply.deletes[..]),
            (&[Code::Moved][..], &[Code::Moved][..])
        );
        assert!(net.fetch(&here, 1).is_empty());
        net.settle();
    }
    let new = now_of(&net, old);
    let leased = net.fetch(&there, 9);
    assert_eq!(leased.len(), 1);
    assert_eq!(net.ack(leased[0].0, b""), Code::Ok);
    net.settle();
    for id in [old, new] {
        assert_eq!(state(&net, id), Err(Code::NotFound), "completed, as any other");
    }
    // Whoever asks later for the old id is told that it is completed.
    net.enqueue(waits(&here, &[old]));
    assert_eq!(net.fetch(&here, 9).len(), 1);
}

/// How a lease ends, and whether the job goes then.
#[test]
fn b25_an_active_job_stays_with_its_worker_and_goes_when_that_gives_it_back() {
    type Ends = fn(&mut Net, JobRef);
    fn fail(net: &mut Net, job: JobRef, no_retry: bool) {
        let fails = vec![Fail { job, error: b"no", backtrace: b"", no_retry }];
        net.run(job.job.shard(), Request { fails, ..Request::default() });
    }
    let ends: [(&str, Ends, Option<JobState>); 7] = [
        (
            "release",
            |net, job| {
                let here = net.queue(0);
                let fetch =
                    Fetch { queues: vec![&here], count: 9, lease_ms: 1000, wait_ms: 0, worker: "" };
                let (releases, fetch) = (vec![job], Some(fetch));
                let request = Request { releases, fetch, ..Request::default() };
                let reply = net.run(job.job.shard(), request);
                assert!(reply.leases.is_empty(), "handed out again by the same request");
            },
            Some(JobState::Pending),
        ),
        ("fail", |net, job| fail(net, job, false), Some(JobState::Retrying)),
        (
            "lease runs out",
            |net, _| {
                net.now = net.now.plus_ms(1000);
                net.timers();
            },
            Some(JobState::Pending),
        ),
        (
            "hold",
            |net, job| assert_eq!(control(net, job.job, JobAction::Hold(held())), Code::Ok),
            Some(JobState::Held),
        ),
        ("ack", |net, job| assert_eq!(net.ack(job, b""), Code::Ok), None),
        ("die", |net, job| fail(net, job, true), None),
        (
            "cancel",
            |net, job| {
                let cancels = vec![job.job];
                net.run(job.job.shard(), Request { cancels, ..Request::default() });
            },
            None,
        ),
    ];
    for (name, end, goes) in ends {
        let mut net = Net::new(2);
        let (here, there) = (net.queue(0), net.queue(1));
        let old = one(&mut net, Enqueue { max_retries: 3, ..enqueue(&here) });
        let (lease, _) = net.fetch(&here, 1)[0].clone();
        assert_eq!(move_to(&mut net, old, &there), Code::Ok);
        net.settle();
        let noted = view(&net, old);
        assert_eq!((noted.state, &*noted.kin.moves_to), (JobState::Active, &*there), "{name}");
        net.restart_all();
        end(&mut net, lease);
        assert!(net.fetch(&here, 9).is_empty(), "{name}: handed out by the old queue");
        net.settle();
        assert!(net.fetch(&here, 9).is_empty(), "{name}: handed out by the old queue");
        match goes {
            Some(state) => {
                let new = view(&net, now_of(&net, old));
                let attempt = u32::from(name != "release");
                assert_eq!((new.state, new.attempt), (state, attempt), "{name}");
                assert_eq!(new.lease_expiries, u32::from(name == "lease runs out"));
            }
            None => {
                let jobs = net.nodes[1].state.stats().last_job;
                assert_eq!(jobs.0, 0, "{name}: it ended where it was");
                let kin = net.nodes[0].state.job(old).map(|view| view.kin.moves_to);
                assert!(kin.is_ok_and(|to| to.is_empty()) == (name != "ack"), "{name}");
            }
        }
    }
}

#[test]
fn another_move_of_an_active_job_replaces_the_first_and_one_back_drops_it() {
    let mut net = Net::new(3);
    let (here, there, third) = (net.queue(0), net.queue(1), net.queue(2));
    let old = one(&mut net, enqueue(&here));
    let (lease, _) = net.fetch(&here, 1)[0].clone();
    let releases = || Request { releases: vec![lease], ..Request::default() };
    move_to(&mut net, old, &there);
    assert_eq!(move_to(&mut net, old, &here), Code::Ok);
    assert_eq!(view(&net, old).kin.moves_to, "");
    net.run(old.shard(), releases());
    let (lease, _) = net.fetch(&here, 1)[0].clone();
    move_to(&mut net, old, &there);
    move_to(&mut net, old, &third);
    let releases = vec![lease];
    net.run(old.shard(), Request { releases, ..Request::default() });
    net.settle();
    assert_eq!(now_of(&net, old).shard(), ShardId(2));
}

#[test]
fn planned_jobs_stay_and_an_operation_skips_them() {
    let mut net = Net::new(2);
    let (here, there) = (net.queue(0), net.queue(1));
    let kinds = vec![jobbie_proto::request::Expected {
        name: "paid",
        need: jobbie_proto::plan::Need::Required,
        count: 1,
        deadline_ms: 0,
    }];
    let plans = vec![EnqueuePlan { enqueue: 0, deadline_ms: 0, kinds }];
    let enqueues = vec![enqueue(&here), enqueue(&here), enqueue(&here)];
    let jobs = net.enqueue(Request { enqueues, plans, ..Request::default() });
    assert_eq!(move_to(&mut net, jobs[0], &there), Code::Unsupported);
    move_to(&mut net, jobs[1], &there);
    let action = BulkAction::Move { queue: there.clone() };
    let bulk = |filter| Task::Bulk { action: action.clone(), filter, dry_run: false };
    net.operate(ShardId(0), bulk(JobFilter::of_queue(&here)), Vec::new());
    let done = net.nodes[0].state.operations().last().expect("one");
    assert_eq!((done.applied, done.skipped), (1, 1), "the one that has gone is not meant");
    net.operate(ShardId(0), bulk(JobFilter::default()), jobs.clone());
    let done = net.nodes[0].state.operations().last().expect("two");
    assert_eq!((done.applied, done.skipped), (0, 3));
    net.settle();
    assert_eq!(net.fetch(&there, 9).len(), 2);
}

#[test]
fn a_queue_that_is_deleted_takes_no_job_that_has_gone() {
    let mut net = Net::new(2);
    let (here, there) = (net.queue(0), net.queue(1));
    let jobs = net.enqueue(Request { enqueues: vec![enqueue(&here); 3], ..Request::default() });
    move_to(&mut net, jobs[0], &there);
    net.operate(ShardId(0), Task::DeleteQueue { queue: here.clone() }, Vec::new());
    assert_eq!(net.nodes[0].state.queue_stats(&here), None, "it is gone all the same");
    net.settle();
    net.restart_all();
    let (lease, _) = net.fetch(&there, 9)[0].clone();
    net.ack(lease, b"");
    net.settle();
    assert_eq!(net.nodes[0].state.queue_stats(&here), None);
    assert_eq!(net.nodes[0].state.stats().jobs, 0);
}

#[test]
fn a_job_of_a_schedule_takes_its_payload_along() {
    use jobbie_proto::request::{Definition, ScheduleAction, ScheduleControl};
    let mut net = Net::new(2);
    let (here, there) = (net.queue(0), net.queue(1));
    let set = Definition {
        expression: "0 0 1 1 *",
        zone: "",
        missed: jobbie_proto::event::Missed::Once,
        payload: b"scheduled",
        tags: b"t",
        unique: b"",
        unique_ms: 0,
        limit_key: "",
        priority: 2,
        max_retries: 2,
        backoff: jobbie_proto::event::BackoffKind::None,
        backoff_base_ms: 0,
        backoff_cap_ms: 0,
        expire_after_ms: 0,
    };
    let control = |action| ScheduleControl { queue: &here, name: "s", action };
    let schedule_controls = vec![control(ScheduleAction::Set(set))];
    net.run(ShardId(0), Request { schedule_controls, ..Request::default() });
    let schedule_controls = vec![control(ScheduleAction::Run)];
    let reply = net.run(ShardId(0), Request { schedule_controls, ..Request::default() });
    let made = reply.schedule_controls[0];
    let old = JobId::new(made.created_ms, ShardId(0), made.job);
    move_to(&mut net, old, &there);
    let schedule_controls = vec![control(ScheduleAction::Delete)];
    net.run(ShardId(0), Request { schedule_controls, ..Request::default() });
    net.settle();
    assert_eq!(net.fetch(&there, 1)[0].1, b"scheduled");
}

#[test]
fn parents_are_told_and_children_listed_wherever_they_are() {
    let mut net = Net::new(2);
    let (here, there) = (net.queue(0), net.queue(1));
    let parent = one(&mut net, enqueue(&here));
    let parents = vec![Parents { parent, first: 1, count: 3 }];
    let ties = Ties { parents, ..Ties::default() };
    let enqueues = vec![enqueue(&here); 5];
    let holds = vec![EnqueueHold { enqueue: 3, hold: held() }];
    let jobs = net.enqueue(Request { enqueues, holds, ties, ..Request::default() });
    let with_parent = |net: &Net| {
        let has = |job: &&JobId| view(net, **job).kin.parent == Some(parent);
        jobs.iter().filter(has).copied().collect::<Vec<_>>()
    };
    assert_eq!(with_parent(&net), jobs[1..4]);
    let children = |net: &Net, shard: usize, after, count| {
        let children = Some(Children { parent, after, count });
        let request = Request { children, ..Request::default() };
        let told = jobbie_core::answers(&net.nodes[shard].state, &request).children;
        told.into_iter().map(|child| (child.job, child.state)).collect::<Vec<_>>()
    };
    let none = jobbie_proto::JobSeq(0);
    let (pending, held) = (JobState::Pending, JobState::Held);
    let all = [(jobs[1], pending), (jobs[2], pending), (jobs[3], held)];
    assert_eq!(children(&net, 0, none, 9), all);
    assert_eq!(children(&net, 0, none, 2), all[..2]);
    assert_eq!(children(&net, 0, jobs[2].seq(), 9), all[2..]);
    assert_eq!(children(&net, 1, none, 9), []);
    // A child that moves is told of by its new shard, also when its parent is gone.
    let deletes = vec![parent];
    net.run(ShardId(0), Request { deletes, ..Request::default() });
    move_to(&mut net, jobs[2], &there);
    net.settle();
    net.restart_all();
    let new = now_of(&net, jobs[2]);
    assert_eq!(view(&net, new).kin.parent, Some(parent));
    assert_eq!(children(&net, 0, none, 9), [all[0], all[2]]);
    assert_eq!(children(&net, 1, none, 9), [(new, pending)]);
    let children = Some(Children { parent, after: none, count: 1001 });
    let (code, message) = net.refused(ShardId(0), Request { children, ..Request::default() });
    assert_eq!((code, &*message), (Code::Invalid, "children.count: 1001, not in 1..=1000"));
}

/// Messages late, lost and doubled, and a crash of both shards between any two steps.
#[test]
fn a_job_is_in_one_place_whatever_is_lost_between_two_steps() {
    for crash_at in 0..12 {
        let mut net = Net::new(2);
        net.consequences = 0;
        let (here, there) = (net.queue(0), net.queue(1));
        let old = one(&mut net, Enqueue { unique: b"u", unique_ms: 60_000, ..enqueue(&here) });
        let mut step = 0;
        let mut after_step = |net: &mut Net| {
            if step == crash_at {
                net.restart_all();
            }
            step += 1;
        };
        move_to(&mut net, old, &there);
        after_step(&mut net);
        net.consequences_of(ShardId(0));
        after_step(&mut net);
        let (first, messages) = net.letter(0, 1, 9).expect("the job");
        let last = net.take(0, 1, first, &messages);
        after_step(&mut net);
        assert_eq!(net.take(0, 1, first, &messages), last, "it comes again");
        net.consequences_of(ShardId(1));
        after_step(&mut net);
        let (first_back, back) = net.letter(1, 0, 9).expect("where it is");
        let last_back = net.take(1, 0, first_back, &back);
        after_step(&mut net);
        // What is known to have come need not be said.
        net.delivered(0, 1, last);
        assert_eq!(net.take(0, 1, first, &messages), last, "it comes a third time");
        assert_eq!(net.take(1, 0, first_back, &back), last_back);
        after_step(&mut net);
        net.delivered(1, 0, last_back);
        after_step(&mut net);
        let (lease, _) = net.fetch(&there, 9)[0].clone();
        assert_eq!(net.ack(lease, b""), Code::Ok);
        after_step(&mut net);
        net.consequences_of(ShardId(1));
        after_step(&mut net);
        let (first, end) = net.letter(1, 0, 9).expect("its end");
        net.take(1, 0, first, &end);
        after_step(&mut net);
        net.settle();
        let made =
            |event: &Event| matches!(event, Event::Tied(tie) if matches!(**tie, Tie::Arrived(_)));
        assert_eq!(net.nodes[1].count(made), 1);
        assert_eq!(net.nodes.iter().map(|node| node.state.stats().jobs).sum::<u64>(), 0);
        assert_ne!(one(&mut net, Enqueue { unique: b"u", ..enqueue(&here) }), old);
    }
}

#[test]
fn an_ack_of_the_old_lease_comes_too_late() {
    let mut net = Net::new(2);
    let (here, there) = (net.queue(0), net.queue(1));
    let old = one(&mut net, enqueue(&here));
    let (lease, _) = net.fetch(&here, 1)[0].clone();
    move_to(&mut net, old, &there);
    net.now = net.now.plus_ms(1000);
    net.timers();
    net.settle();
    assert_eq!(net.ack(lease, b""), Code::NotActive);
    let token = LeaseToken(0);
    let acks = vec![Ack { job: JobRef { job: old, token }, result: b"" }];
    let reply = net.run(old.shard(), Request { acks, ..Request::default() });
    assert_eq!(reply.acks, [Code::NotActive]);
    assert_eq!(net.fetch(&there, 9).len(), 1);
    assert!(net.now > Micros(0));
}
