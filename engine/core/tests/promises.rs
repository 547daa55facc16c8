//! The promises to jobs, one by one, and the life of a job, step by step.

mod shard;

use jobbie_core::{Decision, Settings, State, decide, decide_close_session, decide_timers};
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{
    Ack, Enqueue, Fail, Fetch, Heartbeat, JobRef, QueueAction, QueueControl, When,
};
use jobbie_proto::{Code, JobId, JobSeq, LeaseToken, Micros, Request, SessionId, ShardId};
use shard::{Shard, enqueue, fetch};

#[test]
fn a_job_is_fetched_extended_failed_retried_and_acked() {
    let mut shard = Shard::new();
    let mut request = shard.request();
    request.enqueues = vec![enqueue("q"); 3];
    let reply = shard.run(&request);
    assert_eq!((reply.enqueued[0].count, reply.enqueued[0].first_job.0), (3, 1));
    let created_ms = reply.enqueued[0].created_ms;

    let mut request = shard.request();
    request.fetch = Some(fetch("q", 2));
    let leases = shard.run(&request).leases;
    assert_eq!(leases.iter().map(|l| (l.job.0, l.attempt)).collect::<Vec<_>>(), [(1, 1), (2, 1)]);
    let [one, two] = [0, 1].map(|n: usize| JobRef {
        job: JobId::new(created_ms, shard.state.shard(), leases[n].job),
        token: leases[n].token,
    });
    let again = shard.state.clone();
    assert!(matches!(
        decide(&again, shard.now, &request, &mut Vec::new()),
        Decision::Repeat(reply) if reply.leases == leases
    ));

    shard.now.0 += 500_000;
    let mut request = shard.request();
    let beat = Heartbeat { job: one, extend_ms: 0, progress: b"50%", checkpoint: b"c" };
    request.heartbeats = vec![beat];
    request.fails = vec![Fail { job: two, error: b"no", backtrace: b"", no_retry: false }];
    let reply = shard.run(&request);
    assert_eq!(reply.heartbeats, [Code::Ok]);
    assert_eq!(reply.fails[0].next_attempt, Micros(2_500_000));
    assert_eq!(reply.fails[0].attempts_left, 1);
    assert_eq!(shard.state.job(two.job).unwrap().state, JobState::Retrying);
    assert_eq!(shard.state.job(one.job).unwrap().due, Micros(2_500_000));

    shard.now = Micros(2_499_999);
    assert!(
        decide_timers(&shard.state, &Settings::default(), shard.now, 10, &mut Vec::new())
            .is_empty()
    );
    shard.now = Micros(2_500_000);
    shard.timers();
    let view = shard.state.job(one.job).unwrap();
    assert_eq!((view.state, view.attempt, view.checkpoint.0 > 0), (JobState::Pending, 1, true));

    let mut request = shard.request();
    request.fetch = Some(fetch("q", 9));
    let leases = shard.run(&request).leases;
    assert_eq!(
        leases.iter().map(|l| (l.job.0, l.attempt)).collect::<Vec<_>>(),
        [(3, 1), (1, 2), (2, 2)]
    );

    let mut request = shard.request();
    let token = |n: usize| leases[n].token;
    request.acks = vec![
        Ack { job: one, result: b"late" },
        Ack { job: JobRef { token: token(1), ..one }, result: b"done" },
        Ack { job: JobRef { token: LeaseToken(0), ..one }, result: b"twice" },
    ];
    request.fails = vec![Fail {
        job: JobRef { token: token(2), ..two },
        error: b"",
        backtrace: b"",
        no_retry: false,
    }];
    let reply = shard.run(&request);
    assert_eq!(reply.acks, [Code::StaleLease, Code::Ok, Code::NotFound]);
    assert_eq!((reply.fails[0].code, reply.fails[0].next_attempt), (Code::Ok, Micros(0)));
    assert_eq!(shard.state.job(one.job), Err(Code::NotFound));
    assert_eq!(shard.state.job(two.job).unwrap().state, JobState::Dead);

    let group = decide_close_session(&shard.state, shard.session).unwrap();
    shard.state.absorb(shard.now, &group);
    shard.state.check();
    let stats = shard.state.stats();
    assert_eq!((stats.leases, stats.sessions, stats.jobs), (0, 0, 2));
    assert!(shard.state.is_fetchable("q", shard.now));
}

fn ack(job: JobRef) -> Ack<'static> {
    Ack { job, result: b"" }
}

fn fail(job: JobRef) -> Fail<'static> {
    Fail { job, error: b"", backtrace: b"", no_retry: false }
}

fn beat(job: JobRef, extend_ms: u32) -> Heartbeat<'static> {
    Heartbeat { job, extend_ms, progress: b"", checkpoint: b"" }
}

fn seqs(leases: &[JobRef]) -> Vec<u64> {
    leases.iter().map(|lease| lease.job.seq().0).collect()
}

#[test]
fn r09_a_repeat_gets_the_first_answer_until_it_is_confirmed() {
    let mut shard = Shard::new();
    let first = Request { enqueues: vec![enqueue("q")], ..shard.request() };
    let reply = shard.run(&first);
    shard.state = State::restore(shard.state.snapshot()).unwrap();
    let again = decide(&shard.state, shard.now, &first, &mut Vec::new());
    assert_eq!(again, Decision::Repeat(reply.into()));

    let confirming =
        Request { enqueues: vec![enqueue("q")], confirmed_below: 2, ..shard.request() };
    shard.run(&confirming);
    assert_eq!(shard.refused(&first).0, Code::BadRequestNumber);
    let ahead = Request { confirmed_below: 9, ..shard.request() };
    assert_eq!(shard.refused(&ahead).0, Code::BadRequestNumber);
    let unnumbered = Request { number: 0, ..shard.request() };
    assert_eq!(shard.refused(&unnumbered).0, Code::BadRequestNumber);
    let group = decide_close_session(&shard.state, shard.session).unwrap();
    shard.state.absorb(shard.now, &group);
    assert_eq!(shard.refused(&confirming).0, Code::SessionGone);
    let nobody = Request { session: SessionId(0), ..shard.request() };
    assert_eq!(shard.refused(&nobody).0, Code::SessionGone);
}

#[test]
fn r09_a_key_makes_one_job_or_a_conflict() {
    let mut shard = Shard::new();
    let keyed = Enqueue { key: b"k", key_ms: 5000, ..enqueue("q") };
    let other = Enqueue { payload: b"other", ..keyed };
    let request = Request { enqueues: vec![keyed, keyed, other], ..shard.request() };
    let codes = |reply: &jobbie_proto::Reply| -> Vec<_> {
        reply.enqueued.iter().map(|e| (e.code, e.first_job.0)).collect()
    };
    let first = [(Code::Ok, 1), (Code::Duplicate, 1), (Code::Conflict, 1)];
    assert_eq!(codes(&shard.run(&request)), first);

    let lease = shard.fetch("q", 1);
    let request = Request { acks: vec![ack(lease[0])], ..shard.request() };
    shard.run(&request);
    shard.state = State::restore(shard.state.snapshot()).unwrap();
    shard.now.0 += 4_999_999;
    let elsewhere = Enqueue { queue: "r", ..keyed };
    let request = Request { enqueues: vec![keyed, elsewhere], ..shard.request() };
    let reply = shard.run(&request);
    assert_eq!(codes(&reply), [(Code::Duplicate, 1), (Code::Ok, 2)]);
    assert_eq!(reply.enqueued[0].created_ms, lease[0].job.created_ms());
    shard.now.0 += 1;
    let request = Request { enqueues: vec![other], ..shard.request() };
    assert_eq!(codes(&shard.run(&request)), [(Code::Ok, 3)]);
}

#[test]
fn r09_unconfirmed_answers_are_bounded() {
    let mut shard = Shard::new();
    for _ in 0..jobbie_proto::limits::SESSION_REPLIES_MAX {
        let request =
            Request { deletes: vec![JobId::new(1, ShardId(0), JobSeq(9))], ..shard.request() };
        match decide(&shard.state, shard.now, &request, &mut Vec::new()) {
            Decision::Events(group) => shard.state.absorb(shard.now, &group),
            other => panic!("{other:?}"),
        };
    }
    let request = Request { enqueues: vec![enqueue("q")], ..shard.request() };
    assert_eq!(shard.refused(&request).0, Code::Overloaded);
    let request = Request { confirmed_below: 2, ..request };
    shard.run(&request);
}

/// One job in each state a job can be in, in the order of the table below.
fn one_of_each(shard: &mut Shard) -> Vec<JobId> {
    let once = Enqueue { max_retries: 1, ..enqueue("q") };
    let later = Enqueue { when: When::DelayMs(60_000), ..enqueue("q") };
    let active = shard.enqueue(vec![enqueue("q")]);
    let retrying = shard.enqueue(vec![enqueue("q")]);
    let dead = shard.enqueue(vec![once]);
    let completed = shard.enqueue(vec![enqueue("q")]);
    let leases = shard.fetch("q", 4);
    let request = Request {
        acks: vec![ack(leases[3])],
        fails: vec![fail(leases[1]), fail(leases[2])],
        ..shard.request()
    };
    shard.run(&request);
    let pending = shard.enqueue(vec![enqueue("q")]);
    let scheduled = shard.enqueue(vec![later]);
    let cancelled = shard.enqueue(vec![enqueue("q")]);
    let request = Request { cancels: cancelled.clone(), ..shard.request() };
    shard.run(&request);
    [pending, scheduled, active, retrying, dead, cancelled, completed].concat()
}

#[test]
fn r10_what_is_allowed_in_which_state() {
    use Code::{IllegalState as Illegal, NotActive as Idle, NotFound as Gone, Ok};
    let table = [
        ("ack", [Idle, Idle, Ok, Idle, Idle, Idle, Gone]),
        ("fail", [Idle, Idle, Ok, Idle, Idle, Idle, Gone]),
        ("heartbeat", [Idle, Idle, Ok, Idle, Idle, Idle, Gone]),
        ("release", [Idle, Idle, Ok, Idle, Idle, Idle, Gone]),
        ("cancel", [Ok, Ok, Ok, Ok, Illegal, Illegal, Gone]),
        ("delete", [Ok, Ok, Ok, Ok, Ok, Ok, Gone]),
    ];
    for (operation, expected) in table {
        for (nth, expected) in expected.into_iter().enumerate() {
            let mut shard = Shard::new();
            let id = one_of_each(&mut shard)[nth];
            let before = shard.state.job(id);
            let job = JobRef { job: id, token: LeaseToken(0) };
            let mut request = shard.request();
            match operation {
                "ack" => request.acks = vec![ack(job)],
                "fail" => request.fails = vec![fail(job)],
                "heartbeat" => request.heartbeats = vec![beat(job, 0)],
                "release" => request.releases = vec![job],
                "cancel" => request.cancels = vec![id],
                _ => request.deletes = vec![id],
            }
            let reply = shard.run(&request);
            let fails = reply.fails.iter().map(|fail| fail.code);
            let codes: Vec<_> = [reply.acks, reply.heartbeats, reply.releases].concat();
            let codes: Vec<_> =
                codes.into_iter().chain(fails).chain(reply.cancels).chain(reply.deletes).collect();
            assert_eq!(codes, [expected], "{operation}, case {nth}");
            if expected != Ok {
                assert_eq!(shard.state.job(id), before, "{operation}, case {nth}");
            }
        }
    }
}

#[test]
fn r10_an_id_that_was_never_given_out_finds_nothing() {
    let mut shard = Shard::new();
    let id = shard.enqueue(vec![enqueue("q")])[0];
    let forged = JobId::new(id.created_ms() + 1, ShardId(0), id.seq());
    let request = Request { deletes: vec![forged], ..shard.request() };
    assert_eq!(shard.run(&request).deletes, [Code::NotFound]);
    assert!(shard.state.job(id).is_ok());
}

#[test]
fn r11_tokens_grow_and_an_old_one_has_no_effect() {
    let mut shard = Shard::new();
    shard.enqueue(vec![enqueue("q")]);
    let old = shard.fetch("q", 1)[0];
    shard.now.0 += 1_000_000;
    shard.timers();
    let new = shard.fetch("q", 1)[0];
    assert!(new.job == old.job && new.token > old.token);
    let request = Request {
        acks: vec![ack(old)],
        fails: vec![fail(old)],
        heartbeats: vec![beat(old, 5000)],
        releases: vec![old],
        ..shard.request()
    };
    let before = shard.state.job(new.job);
    let reply = shard.run(&request);
    let stale = Code::StaleLease;
    assert_eq!((reply.acks[0], reply.fails[0].code), (stale, stale));
    assert_eq!((reply.heartbeats[0], reply.releases[0]), (stale, stale));
    assert_eq!(shard.state.job(new.job), before);
}

#[test]
fn r12_no_lease_ends_early_or_is_made_shorter() {
    let mut shard = Shard::new();
    shard.enqueue(vec![enqueue("q"); 2]);
    let leases = shard.fetch("q", 2);
    let due = |shard: &Shard, nth: usize| shard.state.job(leases[nth].job).unwrap().due.0;
    let start = shard.now.0;
    let request = Request { heartbeats: vec![beat(leases[0], 100)], ..shard.request() };
    shard.run(&request);
    assert_eq!(due(&shard, 0), start + 1_000_000);
    let twice = vec![beat(leases[0], 5000), beat(leases[0], 200)];
    let request = Request { heartbeats: twice, extend_session_ms: 2000, ..shard.request() };
    shard.run(&request);
    assert_eq!((due(&shard, 0), due(&shard, 1)), (start + 5_000_000, start + 2_000_000));
    assert_eq!(shard.state.next_timer(&Settings::default()), Some(Micros(start + 2_000_000)));
    shard.now.0 = start + 1_999_999;
    assert!(
        decide_timers(&shard.state, &Settings::default(), shard.now, 9, &mut Vec::new()).is_empty()
    );
    shard.now.0 += 1;
    assert_eq!(
        decide_timers(&shard.state, &Settings::default(), shard.now, 9, &mut Vec::new()).len(),
        1
    );
}

#[test]
fn r13_a_closed_session_gives_its_jobs_back_uncounted() {
    let mut shard = Shard::new();
    shard.enqueue(vec![enqueue("q"); 3]);
    let leases = shard.fetch("q", 2);
    let group = decide_close_session(&shard.state, shard.session).unwrap();
    shard.state.absorb(shard.now, &group);
    shard.state.check();
    let view = shard.state.job(leases[0].job).unwrap();
    assert_eq!((view.state, view.attempt), (JobState::Pending, 0));
    assert!(shard.state.is_fetchable("q", shard.now));
}

#[test]
fn r14_jobs_come_by_queue_then_tier_then_arrival_and_never_before_their_time() {
    let mut shard = Shard::new();
    let urgent = Enqueue { priority: 0, ..enqueue("b") };
    let later = Enqueue { when: When::DelayMs(500), ..enqueue("a") };
    shard.enqueue(vec![urgent, enqueue("a"), later, enqueue("b"), urgent, enqueue("a")]);
    let both = Fetch { queues: vec!["a", "b", "a"], ..fetch("a", 9) };
    let request = Request { fetch: Some(both.clone()), ..shard.request() };
    let leases = shard.run(&request).leases;
    assert_eq!(leases.iter().map(|l| l.job.0).collect::<Vec<_>>(), [2, 6, 1, 5, 4]);
    shard.now.0 += 499_999;
    shard.timers();
    assert!(!shard.state.is_fetchable("a", shard.now));
    shard.now.0 += 1;
    shard.enqueue(vec![enqueue("a")]);
    shard.timers();
    assert_eq!(seqs(&shard.fetch("a", 9)), [7, 3]);
}

#[test]
fn r14_an_expired_job_is_never_leased() {
    let mut shard = Shard::new();
    let short = Enqueue { expire_after_ms: 100, ..enqueue("q") };
    let ids = shard.enqueue(vec![short, enqueue("q"), short]);
    shard.now.0 += 100_000;
    assert_eq!(seqs(&shard.fetch("q", 9)), [2]);
    for id in [ids[0], ids[2]] {
        assert_eq!(shard.state.job(id).unwrap().state, JobState::Dead);
    }
    assert!(shard.state.job(ids[0]).unwrap().last_error.0 > 0);
}

#[test]
fn one_request_sees_its_own_effects_in_the_order_of_its_fields() {
    let mut shard = Shard::new();
    shard.enqueue(vec![enqueue("q"); 2]);
    let leases = shard.fetch("q", 2);
    let fetching = Some(fetch("q", 9));
    let request = Request {
        enqueues: vec![enqueue("q")],
        acks: vec![ack(leases[0]), ack(leases[0])],
        releases: vec![leases[1], leases[1]],
        cancels: vec![leases[0].job],
        fetch: fetching.clone(),
        ..shard.request()
    };
    let reply = shard.run(&request);
    assert_eq!(reply.acks, [Code::Ok, Code::NotFound]);
    assert_eq!(reply.releases, [Code::Ok, Code::NotActive]);
    assert_eq!(reply.cancels, [Code::NotFound]);
    let leased: Vec<_> = reply.leases.iter().map(|l| (l.job.0, l.attempt)).collect();
    assert_eq!(leased, [(3, 1), (2, 1)]);
    let request = Request {
        enqueues: vec![enqueue("q")],
        queue_controls: vec![QueueControl { queue: "q", action: QueueAction::Pause }],
        fetch: fetching,
        ..shard.request()
    };
    assert!(shard.run(&request).leases.is_empty());
}

#[test]
fn a_refusal_names_the_field_and_its_limit() {
    let mut shard = Shard::new();
    let large = vec![0; 300_000];
    let long = "q".repeat(256);
    let good = || vec![enqueue("q"); 3];
    let with = |bad: Enqueue<'static>| [good(), vec![bad]].concat();
    let request = shard.request();
    let refused =
        |enqueues: Vec<Enqueue<'_>>| shard.refused(&Request { enqueues, ..request.clone() });
    let payload = Enqueue { payload: large.leak(), ..enqueue("q") };
    assert_eq!(
        refused(with(payload)),
        (Code::TooLarge, "enqueues[3].payload: 300000 bytes, at most 262144".into())
    );
    assert_eq!(
        refused(with(enqueue(long.leak()))),
        (Code::TooLarge, "enqueues[3].queue: 256 bytes, at most 255".into())
    );
    assert_eq!(
        refused(with(Enqueue { priority: 3, ..enqueue("q") })),
        (Code::Invalid, "enqueues[3].priority: 3, at most 2".into())
    );
    assert_eq!(refused(with(enqueue("a\u{85}b"))).0, Code::Invalid);
    assert_eq!(refused(with(enqueue(""))).1, "enqueues[3].queue: empty, at least 1 byte");
    assert_eq!(refused(vec![enqueue("q"); 10_001]).0, Code::TooLarge);
    let fetch = Some(Fetch { lease_ms: 99, ..fetch("q", 1) });
    assert_eq!(
        shard.refused(&Request { fetch, ..request.clone() }),
        (Code::Invalid, "fetch.lease_ms: 99, not in 100..=86400000".into())
    );
    let foreign = JobId::new(1, ShardId(3), JobSeq(1));
    let request = Request { lookups: vec![foreign], ..request };
    assert_eq!(
        shard.refused(&request),
        (Code::WrongShard, "lookups[0].job: lives on shard 3, this is 0".into())
    );
}

#[test]
fn timers_fire_in_order_and_in_bounded_batches() {
    let mut shard = Shard::new();
    let at = |ms: u64| Enqueue { when: When::DelayMs(ms), ..enqueue("q") };
    shard.enqueue((0..300).map(|n| at(1000 - n * 7 % 300)).collect());
    shard.now.0 += 1_000_000;
    let mut promoted = Vec::new();
    loop {
        let events =
            decide_timers(&shard.state, &Settings::default(), shard.now, 64, &mut Vec::new());
        let [jobbie_proto::Event::Promoted { jobs }] = &events[..] else { break };
        assert!(jobs.len() <= 64);
        promoted.extend(jobs.iter().map(|job| job.0));
        let group = jobbie_proto::event::Group { events, ..Default::default() };
        shard.state.absorb(shard.now, &group);
    }
    let due = |job: &u64| 1000 - (job - 1) * 7 % 300;
    assert!(promoted.is_sorted_by_key(|job| (due(job), *job)));
    assert_eq!((promoted.len(), shard.state.next_timer(&Settings::default())), (300, None));
}

#[test]
fn leases_that_end_together_end_in_the_order_of_their_tokens() {
    let mut shard = Shard::new();
    shard.enqueue(vec![enqueue("q"); 40]);
    let done = shard.fetch("q", 20);
    let mut request = shard.request();
    request.acks = done.iter().map(|job| ack(*job)).collect();
    shard.run(&request);
    // In the places of those, the last one first.
    let leases = shard.fetch("q", 20);
    shard.now.0 += 500_000;
    let mut request = shard.request();
    request.heartbeats = leases.iter().rev().step_by(2).map(|job| beat(*job, 0)).collect();
    shard.run(&request);
    let restored = State::restore(shard.state.snapshot()).unwrap();
    let later = shard.now.plus_ms(1000);
    let (even, odd): (Vec<_>, Vec<_>) = (21..=40).partition(|job| job % 2 == 0);
    for limit in [1, 9, 10, 15, 20, 99] {
        let jobs = [&odd[..], &even].concat().into_iter().take(limit).map(JobSeq).collect();
        let expected = vec![jobbie_proto::Event::LeaseExpired { jobs }];
        assert_eq!(
            decide_timers(&shard.state, &Settings::default(), later, limit, &mut Vec::new()),
            expected
        );
        assert_eq!(
            decide_timers(&restored, &Settings::default(), later, limit, &mut Vec::new()),
            expected
        );
    }
}

#[test]
fn r07_the_digest_tells_states_apart_that_the_same_events_made() {
    let mut shard = Shard::new();
    shard.enqueue(vec![enqueue("q"); 2]);
    let mut other = shard.state.clone();
    // A replica that lost a job the log never took away.
    let lost = jobbie_proto::Event::Deleted { jobs: vec![JobSeq(2)] };
    let group = |events| jobbie_proto::event::Group { events, ..Default::default() };
    other.absorb(shard.now, &group(vec![lost]));
    let before = (shard.state.digest(), other.digest());
    assert_ne!(before.0, before.1);
    let pause = jobbie_proto::Event::QueuePaused { queue: "q".into() };
    shard.state.absorb(shard.now, &group(vec![pause.clone()]));
    other.absorb(shard.now, &group(vec![pause]));
    assert_ne!(shard.state.digest(), other.digest());
}
