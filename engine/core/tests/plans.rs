//! Planned jobs: what follows from which events, when, and what is left of it.

mod shard;

use std::collections::BTreeMap;

use jobbie_core::{Decision, Settings, State, decide};
use jobbie_proto::event::{Event, Group, HoldEnd};
use jobbie_proto::limits::{EVENTS_PER_JOB_MAX, PERIOD_MS_MAX, RETENTION_MS};
use jobbie_proto::plan::{Effect, Need, PlanStatus};
use jobbie_proto::reply::{Appended, JobState, JobView};
use jobbie_proto::request::{
    Append, Enqueue, EnqueueHold, EnqueuePlan, Expected, Fetch, History, Hold, JobAction,
    JobControl, Plan, When,
};
use jobbie_proto::{Code, EventSeq, JobId, Micros, Request, ShardId};
use shard::{Shard, enqueue, required};

use Effect::{Completed, Counted, Duplicate, Failed, Late, NotFound, Surplus, Unexpected};

fn optional(name: &str, count: u16) -> Expected<'_> {
    Expected { need: Need::Optional, ..required(name, count) }
}

fn failure(name: &str, count: u16) -> Expected<'_> {
    Expected { need: Need::Failure, ..required(name, count) }
}

/// Paid once, shipped twice, perhaps rated, never refunded.
fn kinds() -> [Expected<'static>; 4] {
    [required("paid", 1), required("shipped", 2), optional("rated", 1), failure("refunded", 1)]
}

fn planned(deadline_ms: u64) -> (Shard, JobId) {
    let mut shard = Shard::new();
    let id = shard.enqueue_planned(enqueue("q"), Plan { deadline_ms, kinds: &kinds() });
    (shard, id)
}

fn with(kinds: Vec<Expected<'_>>, deadline_ms: u64) -> EnqueuePlan<'_> {
    EnqueuePlan { enqueue: 0, deadline_ms, kinds }
}

fn event<'a>(job: JobId, kind: &'a str, id: &'a str) -> Append<'a> {
    Append { job, id: id.as_bytes(), kind, data: b"", source: "", trace: "" }
}

fn append_all(shard: &mut Shard, appends: Vec<Append<'_>>) -> Vec<Appended> {
    let request = Request { appends, ..shard.request() };
    shard.run(&request).appended
}

fn append(shard: &mut Shard, job: JobId, kind: &str, id: &str) -> (Effect, Option<PlanStatus>) {
    let appended = append_all(shard, vec![event(job, kind, id)])[0];
    (appended.effect, appended.status)
}

fn control(shard: &mut Shard, job: JobId, action: JobAction<'_>) -> Code {
    let request = Request { job_controls: vec![JobControl { job, action }], ..shard.request() };
    shard.run(&request).job_controls[0]
}

fn view(shard: &Shard, job: JobId) -> JobView {
    shard.state.job(job).expect("it is in memory")
}

fn status(shard: &Shard, job: JobId) -> PlanStatus {
    view(shard, job).plan.expect("it has a plan").status
}

fn seen(shard: &Shard, job: JobId) -> Vec<u16> {
    view(shard, job).plan.expect("it has a plan").kinds.iter().map(|kind| kind.seen).collect()
}

/// The state as a replay of a snapshot has it.
fn restored(state: &State) -> State {
    let restored = State::restore(state.snapshot()).expect("a snapshot reads back");
    restored.check();
    assert_eq!(restored.digest(), state.digest());
    restored
}

#[test]
fn the_status_follows_from_the_events() {
    use PlanStatus::{InProgress, Satisfied, Waiting};
    let f = PlanStatus::Failed;
    type Case = (&'static [(&'static str, &'static str, Effect)], PlanStatus, Option<JobState>);
    let live = Some(JobState::Planned);
    let dead = Some(JobState::Dead);
    let cases: [Case; 10] = [
        (&[], Waiting, live),
        (&[("other", "1", Unexpected)], Waiting, live),
        (&[("paid", "1", Counted)], InProgress, live),
        (&[("rated", "1", Counted)], InProgress, live),
        (
            &[("paid", "1", Counted), ("paid", "1", Duplicate), ("paid", "2", Surplus)],
            InProgress,
            live,
        ),
        (
            &[("shipped", "1", Counted), ("shipped", "1", Duplicate), ("paid", "2", Counted)],
            InProgress,
            live,
        ),
        // An id is one event, whatever its kind.
        (&[("paid", "1", Counted), ("shipped", "1", Duplicate)], InProgress, live),
        (
            &[
                ("shipped", "1", Counted),
                ("paid", "2", Counted),
                ("shipped", "3", Completed),
                ("paid", "4", NotFound),
            ],
            Satisfied,
            None,
        ),
        (&[("refunded", "1", Failed), ("paid", "2", Late), ("paid", "2", Duplicate)], f, dead),
        (
            &[
                ("paid", "1", Counted),
                ("shipped", "2", Counted),
                ("refunded", "3", Failed),
                ("shipped", "4", Late),
            ],
            f,
            dead,
        ),
    ];
    for (events, expected, state) in cases {
        let (mut shard, job) = planned(0);
        let mut last = None;
        for (kind, id, effect) in events {
            let (did, status) = append(&mut shard, job, kind, id);
            assert_eq!(did, *effect, "{kind} {id} of {events:?}");
            last = status.or(last);
            shard.state = restored(&shard.state);
        }
        assert_eq!(last.unwrap_or(Waiting), expected, "{events:?}");
        assert_eq!(shard.state.job(job).ok().map(|view| view.state), state, "{events:?}");
        if state.is_some() {
            assert_eq!(status(&shard, job), expected);
        }
        // All at once is the same as one after the other.
        let (mut shard, job) = planned(0);
        let all = events.iter().map(|(kind, id, _)| event(job, kind, id)).collect::<Vec<_>>();
        if !all.is_empty() {
            let did: Vec<_> = append_all(&mut shard, all).iter().map(|did| did.effect).collect();
            assert_eq!(did, events.iter().map(|(.., effect)| *effect).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_completed_plan_counts_as_a_completed_job_and_leaves_nothing() {
    let (mut shard, job) = planned(60_000);
    let stats = |shard: &Shard| shard.state.queue_stats("q").expect("it exists").jobs;
    assert_eq!(stats(&shard), [0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert!(shard.fetch("q", 9).is_empty(), "no worker gets it");
    for (kind, id) in [("paid", "1"), ("shipped", "2"), ("shipped", "3")] {
        append(&mut shard, job, kind, id);
    }
    assert_eq!(stats(&shard), [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!((shard.state.stats().jobs, shard.state.next_timer(&Settings::default())), (0, None));
    assert_eq!(append(&mut shard, job, "paid", "9"), (NotFound, None));
}

#[test]
fn time_fails_a_plan_exactly_at_its_deadline() {
    let paid = Expected { deadline_ms: 3_000, ..required("paid", 1) };
    let kinds = [paid, required("shipped", 1)];
    // What comes before, when the plan is over then.
    let cases: [(&[&str], u64); 3] = [(&[], 3_000), (&["shipped"], 3_000), (&["paid"], 9_000)];
    for (events, over_ms) in cases {
        for is_told_by_an_event in [false, true] {
            let mut shard = Shard::new();
            let job =
                shard.enqueue_planned(enqueue("q"), Plan { deadline_ms: 9_000, kinds: &kinds });
            for kind in events {
                append(&mut shard, job, kind, kind);
            }
            let over = shard.now.plus_ms(over_ms);
            assert_eq!(
                (view(&shard, job).due, shard.state.next_timer(&Settings::default())),
                (over, Some(over))
            );
            shard.now = Micros(over.0 - 1);
            shard.timers();
            shard.state = restored(&shard.state);
            assert_eq!(view(&shard, job).state, JobState::Planned);
            shard.now = over;
            if is_told_by_an_event {
                // No event is in time only because the timer is late.
                assert_eq!(append(&mut shard, job, "paid", "x").0, Late);
            } else {
                shard.timers();
            }
            let dead = view(&shard, job);
            assert_eq!((dead.state, status(&shard, job)), (JobState::Dead, PlanStatus::TimedOut));
            assert!(dead.last_error > EventSeq(0) && dead.ended == over);
        }
    }
}

#[test]
fn expiry_and_cancellation_stop_a_plan() {
    for deadline_ms in [0, 5_000, 9_000] {
        let mut shard = Shard::new();
        let job = Enqueue { expire_after_ms: 5_000, ..enqueue("q") };
        let id = shard.enqueue_planned(job, Plan { deadline_ms, kinds: &kinds() });
        shard.now = shard.now.plus_ms(5_000);
        let (effect, stopped) = append(&mut shard, id, "paid", "1");
        assert_eq!((effect, stopped), (Late, Some(PlanStatus::Stopped)));
    }
    let (mut shard, job) = planned(5_000);
    let request = Request { cancels: vec![job], ..shard.request() };
    assert_eq!(shard.run(&request).cancels, [Code::Ok]);
    assert_eq!(append(&mut shard, job, "refunded", "1"), (Late, Some(PlanStatus::Stopped)));
    assert_eq!(view(&shard, job).state, JobState::Cancelled);
    shard.now = shard.now.plus_ms(RETENTION_MS);
    shard.timers();
    assert_eq!(shard.state.job(job), Err(Code::NotFound));
}

#[test]
fn a_retry_begins_anew_and_a_requeue_goes_on_but_ids_are_kept() {
    for (action, left) in [(JobAction::Retry, [0, 0, 0, 0]), (JobAction::Requeue, [1, 1, 0, 0])] {
        let (mut shard, job) = planned(5_000);
        for (kind, id) in [("paid", "1"), ("shipped", "2"), ("refunded", "3")] {
            append(&mut shard, job, kind, id);
        }
        assert_eq!(
            (status(&shard, job), seen(&shard, job)),
            (PlanStatus::Failed, vec![1, 1, 0, 1])
        );
        shard.now = shard.now.plus_ms(60_000);
        assert_eq!(control(&mut shard, job, action), Code::Ok);
        let again = view(&shard, job);
        assert_eq!((again.state, again.due), (JobState::Planned, shard.now.plus_ms(5_000)));
        assert_eq!(seen(&shard, job), left);
        shard.state = restored(&shard.state);
        assert_eq!(append(&mut shard, job, "refunded", "3").0, Duplicate);
        let missing = usize::from(4 - left.iter().sum::<u16>()) - 1;
        let rest = [("shipped", "4"), ("shipped", "5"), ("paid", "6")];
        for (kind, id) in &rest[..missing - 1] {
            assert_eq!(append(&mut shard, job, kind, id).0, Counted, "{action:?} {kind}");
        }
        let (kind, id) = rest[missing - 1];
        assert_eq!(append(&mut shard, job, kind, id), (Completed, Some(PlanStatus::Satisfied)));
    }
}

#[test]
fn a_cancelled_or_timed_out_plan_can_be_retried() {
    let (mut shard, job) = planned(5_000);
    append(&mut shard, job, "paid", "1");
    shard.now = shard.now.plus_ms(5_000);
    shard.timers();
    for _ in 0..2 {
        assert_eq!(control(&mut shard, job, JobAction::Retry), Code::Ok);
        assert_eq!((status(&shard, job), seen(&shard, job)), (PlanStatus::Waiting, vec![0; 4]));
        assert!(shard.fetch("q", 1).is_empty(), "no worker gets it");
        let request = Request { cancels: vec![job], ..shard.request() };
        assert_eq!(shard.run(&request).cancels, [Code::Ok]);
    }
}

#[test]
fn source_trace_and_data_do_not_matter() {
    let run = |source, trace, data: &'static [u8]| {
        let (mut shard, job) = planned(5_000);
        for (kind, id) in [("paid", "1"), ("shipped", "2"), ("shipped", "2"), ("other", "3")] {
            append_all(&mut shard, vec![Append { source, trace, data, ..event(job, kind, id) }]);
        }
        let chunks: Vec<_> = shard.state.snapshot().collect();
        (shard.state.digest(), chunks)
    };
    assert!(run("worker", "00-aa", b"1") == run("billing", "", b""));
}

#[test]
fn events_form_a_chain_from_the_newest() {
    let (mut shard, job) = planned(0);
    let history = |shard: &Shard, from| {
        let history = Some(History { job, from: EventSeq(from), count: 10 });
        jobbie_core::answers(&shard.state, &Request { history, ..Request::default() }).history
    };
    assert_eq!(history(&shard, 0), None);
    let mut chain = BTreeMap::new();
    for (kind, id) in
        [("paid", "1"), ("paid", "1"), ("other", "2"), ("refunded", "3"), ("paid", "4")]
    {
        let request = Request { appends: vec![event(job, kind, id)], ..shard.request() };
        let decision = decide(&shard.state, shard.now, &request, &mut Vec::new());
        let Decision::Events(group) = decision else { panic!("{decision:?}") };
        let [Event::Appended(appended)] = &group.events[..] else { panic!("{group:?}") };
        if appended.effect.is_recorded() {
            chain.insert(shard.state.next_event().0, appended.previous.0);
        }
        shard.run(&request);
    }
    let newest = *chain.last_key_value().expect("four").0;
    assert_eq!(history(&shard, 0), Some(EventSeq(newest)));
    let links: Vec<_> = std::iter::successors(Some(newest), |at| chain.get(at).copied()).collect();
    assert_eq!(links.len(), 5, "{links:?}");
    assert_eq!(links.last(), Some(&0));
    // Nothing else in the log can be asked for.
    let record = view(&shard, job).plan.expect("it has one").record.0;
    assert_eq!((history(&shard, record), history(&shard, newest + 1)), (None, None));
    assert_eq!(history(&shard, record + 1), Some(EventSeq(record + 1)));
}

#[test]
fn a_job_has_so_many_events_and_no_more() {
    let (mut shard, job) = planned(0);
    shard::without_checks(|| {
        let ids: Vec<_> = (0..EVENTS_PER_JOB_MAX).map(|n| n.to_string()).collect();
        append_all(&mut shard, ids.iter().map(|id| event(job, "other", id)).collect());
    });
    let before = view(&shard, job);
    let did = append_all(&mut shard, vec![event(job, "paid", "one more")])[0];
    assert_eq!((did.effect, did.effect.code()), (Effect::Full, Code::PlanFull));
    assert_eq!(append(&mut shard, job, "paid", "0").0, Duplicate, "what was recorded is known");
    assert_eq!(view(&shard, job), before);
    let snapshot: Vec<_> = shard.state.snapshot().collect();
    assert!(snapshot.iter().all(|chunk| chunk.len() < 256 << 10));
    assert_eq!(view(&shard, job), restored(&shard.state).job(job).expect("it is there"));
}

#[test]
fn many_plans_make_many_chunks() {
    let mut shard = Shard::new();
    let names: Vec<_> = (0..64).map(|n| format!("kind {n}")).collect();
    let kinds: Vec<_> = names.iter().map(|name| required(name, 1)).collect();
    shard::without_checks(|| {
        for _ in 0..300 {
            shard.enqueue_planned(enqueue("q"), Plan { deadline_ms: 0, kinds: &kinds });
        }
    });
    let snapshot: Vec<_> = shard.state.snapshot().collect();
    assert!(snapshot.iter().all(|chunk| chunk.len() < 256 << 10), "a chunk is too long");
    restored(&shard.state);
}

#[test]
fn keys_and_batches_go_with_plans() {
    let mut shard = Shard::new();
    let kinds = kinds();
    let job = |key, unique| Enqueue { key, unique, limit_key: "ann", ..enqueue("q") };
    let plan = |enqueue, deadline_ms| EnqueuePlan { enqueue, deadline_ms, kinds: kinds.to_vec() };
    let make = |shard: &mut Shard, jobs: Vec<Enqueue<'static>>, plans| {
        let request = Request { enqueues: jobs, plans, ..shard.request() };
        let reply = shard.run(&request);
        reply.enqueued.iter().map(|run| (run.code, run.count)).collect::<Vec<_>>()
    };
    let jobs = vec![job(b"", b""), job(b"k", b"u"), job(b"", b"")];
    assert_eq!(make(&mut shard, jobs, vec![plan(1, 0)]), [(Code::Ok, 3)]);
    let states = shard.state.queue_stats("q").expect("it exists").jobs;
    assert_eq!((states[JobState::Pending as usize], states[JobState::Planned as usize]), (2, 1));
    // What is expected is part of what was asked for.
    assert_eq!(make(&mut shard, vec![job(b"k", b"u")], vec![plan(0, 0)]), [(Code::Duplicate, 1)]);
    assert_eq!(make(&mut shard, vec![job(b"k", b"u")], vec![plan(0, 1)]), [(Code::Conflict, 1)]);
    assert_eq!(make(&mut shard, vec![job(b"k", b"u")], vec![]), [(Code::Conflict, 1)]);
    assert_eq!(make(&mut shard, vec![job(b"", b"u")], vec![]), [(Code::Duplicate, 1)]);
    let planned = JobId::new(shard.now.ms(), ShardId(0), jobbie_proto::JobSeq(2));
    append(&mut shard, planned, "refunded", "1");
    assert_eq!(make(&mut shard, vec![job(b"", b"u")], vec![]), [(Code::Ok, 1)], "the key is free");
    assert_eq!(shard.fetch("q", 9).len(), 3);
}

#[test]
fn a_request_does_not_fetch_the_planned_jobs_it_makes() {
    let mut shard = Shard::new();
    let plans = vec![EnqueuePlan { enqueue: 0, deadline_ms: 0, kinds: kinds().to_vec() }];
    let fetch = Some(Fetch { queues: vec!["q"], count: 9, lease_ms: 1000, wait_ms: 0, worker: "" });
    let enqueues = vec![enqueue("q"), enqueue("q")];
    let request = Request { enqueues, plans, fetch, ..shard.request() };
    let reply = shard.run(&request);
    assert_eq!(reply.leases.iter().map(|lease| lease.job.0).collect::<Vec<_>>(), [2]);
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let (shard, job) = planned(0);
    let long = "n".repeat(129);
    let huge = "n".repeat(10 << 20);
    let many: Vec<String> = (0..65).map(|n| n.to_string()).collect();
    let paid = || required("paid", 1);
    let late = |kind| Expected { deadline_ms: 1, ..kind };
    let plans: [(EnqueuePlan<'_>, Code, &str); 13] = [
        (
            with(vec![paid(), paid()], 0),
            Code::Invalid,
            "plans[0].kinds[1].name: \"paid\" comes twice",
        ),
        (
            with(vec![required("paid", 0)], 0),
            Code::Invalid,
            "plans[0].kinds[0].count: 0, at least 1",
        ),
        (
            with(vec![required("", 1)], 0),
            Code::Invalid,
            "plans[0].kinds[0].name: empty, at least 1 byte",
        ),
        (
            with(vec![required("a\nb", 1)], 0),
            Code::Invalid,
            "plans[0].kinds[0].name: has a control character",
        ),
        (
            with(vec![required(&long, 1)], 0),
            Code::TooLarge,
            "plans[0].kinds[0].name: 129 bytes, at most 128",
        ),
        (
            with(vec![required(&huge, 1)], 0),
            Code::TooLarge,
            "plans[0].kinds[0].name: 10485760 bytes, at most 128",
        ),
        (
            with(many.iter().map(|name| required(name, 1)).collect(), 0),
            Code::Invalid,
            "plans[0].kinds: 65, at most 64",
        ),
        (
            with(vec![], 0),
            Code::Invalid,
            "plans[0].kinds: none is required, so the plan could never be satisfied",
        ),
        (
            with(vec![optional("rated", 1), failure("refunded", 1)], 0),
            Code::Invalid,
            "plans[0].kinds: none is required, so the plan could never be satisfied",
        ),
        // The year 9999.
        (
            with(vec![paid()], 253_402_300_799_000),
            Code::Invalid,
            "plans[0].deadline_ms: 253402300799000, at most 3162240000000",
        ),
        (
            with(vec![Expected { deadline_ms: PERIOD_MS_MAX + 1, ..paid() }], 0),
            Code::Invalid,
            "plans[0].kinds[0].deadline_ms: 3162240000001, at most 3162240000000",
        ),
        (
            with(vec![paid(), late(failure("refunded", 1))], 0),
            Code::Invalid,
            "plans[0].kinds[1].deadline_ms: 1 for a kind that is failure, only required ones have a deadline",
        ),
        (
            EnqueuePlan { enqueue: 1, ..with(vec![paid()], 0) },
            Code::Invalid,
            "plans[0].enqueue: 1, not a later enqueue's",
        ),
    ];
    let base = Request { session: shard.session, number: 99, ..Request::default() };
    for (plan, code, message) in plans {
        let request = Request { enqueues: vec![enqueue("q")], plans: vec![plan], ..base.clone() };
        assert_eq!(shard.refused(&request), (code, message.to_owned()));
    }
    let plan = vec![with(vec![paid()], 0)];
    let timed = vec![Enqueue { when: When::DelayMs(1), ..enqueue("q") }];
    let request = Request { enqueues: timed, plans: plan.clone(), ..base.clone() };
    let message = "plans[0].enqueue: its job has a time, and no worker gets a planned job: leave the time out";
    assert_eq!(shard.refused(&request), (Code::Invalid, message.into()));
    let hold = Hold { reason: b"", by: "", timeout_ms: 0, then: HoldEnd::Stay };
    let holds = vec![EnqueueHold { enqueue: 0, hold }];
    let request = Request { enqueues: vec![enqueue("q")], plans: plan, holds, ..base.clone() };
    let message =
        "plans[0].enqueue: its job is held, and no worker gets a planned job: leave the hold out";
    assert_eq!(shard.refused(&request), (Code::Invalid, message.into()));
    let elsewhere = JobId::new(1, ShardId(1), jobbie_proto::JobSeq(1));
    let data = vec![0; (256 << 10) + 1];
    let appends: [(Append<'_>, Code, &str); 7] = [
        (event(job, "paid", ""), Code::Invalid, "appends[0].id: empty, at least 1 byte"),
        (event(job, "paid", &long), Code::TooLarge, "appends[0].id: 129 bytes, at most 128"),
        (event(job, "", "1"), Code::Invalid, "appends[0].kind: empty, at least 1 byte"),
        (event(job, &huge, "1"), Code::TooLarge, "appends[0].kind: 10485760 bytes, at most 128"),
        (
            Append { data: &data, ..event(job, "paid", "1") },
            Code::TooLarge,
            "appends[0].data: 262145 bytes, at most 262144",
        ),
        (
            Append { source: &huge, ..event(job, "paid", "1") },
            Code::TooLarge,
            "appends[0].source: 10485760 bytes, at most 255",
        ),
        (
            event(elsewhere, "paid", "1"),
            Code::WrongShard,
            "appends[0].job: lives on shard 1, this is 0",
        ),
    ];
    for (append, code, message) in appends {
        let request = Request { appends: vec![append], ..base.clone() };
        assert_eq!(shard.refused(&request), (code, message.to_owned()));
    }
    let appends = vec![event(job, "paid", "1")];
    let request = Request { appends, cancels: vec![job], ..base.clone() };
    let message = "appends: in one request with cancels, send them one after the other";
    assert_eq!(shard.refused(&request), (Code::Invalid, message.into()));
    for count in [0, 101] {
        let history = Some(History { job, from: EventSeq(0), count });
        let message = format!("history.count: {count}, not in 1..=100");
        assert_eq!(shard.refused(&Request { history, ..base.clone() }), (Code::Invalid, message));
    }
    assert_eq!(status(&shard, job), PlanStatus::Waiting);
}

/// A crash anywhere: what was logged is replayed, or a snapshot of any moment and the log after it.
#[test]
fn replay_and_snapshot_come_to_the_same_state() {
    let mut log: Vec<(Micros, Group)> = Vec::new();
    let (mut shard, job) = (Shard::new(), JobId::new(1_000, ShardId(0), jobbie_proto::JobSeq(1)));
    let start = shard.state.clone();
    let mut states = vec![shard.state.clone()];
    let kinds = kinds();
    let plan = EnqueuePlan { enqueue: 0, deadline_ms: 5_000, kinds: kinds.to_vec() };
    let mut requests =
        vec![Request { enqueues: vec![enqueue("q")], plans: vec![plan], ..shard.request() }];
    for (kind, id) in [("paid", "1"), ("shipped", "2"), ("refunded", "3"), ("other", "4")] {
        requests.push(Request { appends: vec![event(job, kind, id)], ..shard.request() });
    }
    let retry = JobControl { job, action: JobAction::Retry };
    requests.push(Request { job_controls: vec![retry], ..shard.request() });
    for (kind, id) in
        [("refunded", "3"), ("paid", "5"), ("shipped", "6"), ("shipped", "7"), ("paid", "8")]
    {
        requests.push(Request { appends: vec![event(job, kind, id)], ..shard.request() });
    }
    for request in &requests {
        let decision = decide(&shard.state, shard.now, request, &mut Vec::new());
        let Decision::Events(group) = decision else { panic!("{decision:?}") };
        shard.state.absorb(shard.now, &group);
        log.push((shard.now, group));
        states.push(shard.state.clone());
        shard.now = shard.now.plus_ms(100);
    }
    assert_eq!(shard.state.job(job), Err(Code::NotFound), "it is completed");
    let chunks = |state: &State| state.snapshot().collect::<Vec<_>>();
    for from in 0..=log.len() {
        let mut again = if from == 0 { start.clone() } else { restored(&states[from]) };
        for (time, group) in &log[from..] {
            again.absorb(*time, group);
            again.check();
        }
        assert_eq!(again.digest(), shard.state.digest(), "from {from}");
        assert!(chunks(&again) == chunks(&shard.state), "from {from}");
    }
}
