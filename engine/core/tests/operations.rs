//! Work on many jobs: what it takes and what it leaves, and that it ends the same wherever it is interrupted.

mod shard;

use jobbie_core::{Settings, State, decide_operations};
use jobbie_proto::event::{BulkAction, Event, Group, HoldEnd, JobFilter, QueueSettings, Task};
use jobbie_proto::limits::{OPERATIONS_ENDED_MAX, OPERATIONS_MAX};
use jobbie_proto::plan::Need;
use jobbie_proto::reply::{JOB_STATES, JobState, Operated, OperationStatus, OperationView};
use jobbie_proto::request::{
    Ack, Enqueue, Expected, Operate, Plan, QueueAction, QueueControl, Stats, When,
};
use jobbie_proto::{Code, JobId, JobSeq, OperationId, Request, ShardId};
use shard::{Shard, enqueue, fetch};

fn start(task: Task) -> Option<Operate> {
    Some(Operate::Start { task, jobs: Vec::new() })
}

fn bulk(action: BulkAction, filter: JobFilter) -> Task {
    Task::Bulk { action, filter, dry_run: false }
}

fn hold() -> BulkAction {
    let (reason, by) = ("look".to_owned(), "ann".to_owned());
    BulkAction::Hold { reason, by, timeout_ms: 0, then: HoldEnd::Stay }
}

fn clear(queue: &str) -> Task {
    Task::Clear { queue: queue.to_owned() }
}

fn delete_queue(queue: &str) -> Task {
    Task::DeleteQueue { queue: queue.to_owned() }
}

trait Operates {
    fn begin(&mut self, operation: Option<Operate>) -> Operated;
    fn step(&mut self, limit: usize) -> Vec<Event>;
    fn finish(&mut self, limit: usize) -> OperationView;
    fn states(&self, jobs: &[JobId]) -> Vec<Option<JobState>>;
}

impl Operates for Shard {
    fn begin(&mut self, operation: Option<Operate>) -> Operated {
        let request = Request { operation, ..self.request() };
        self.run(&request).operated.expect("it answers")
    }

    fn step(&mut self, limit: usize) -> Vec<Event> {
        let events = decide_operations(&self.state, self.now, limit, &mut Vec::new());
        if !events.is_empty() {
            self.state.absorb(self.now, &Group { events: events.clone(), ..Group::default() });
            self.state.check();
        }
        events
    }

    /// All steps; how the last operation to end ended.
    fn finish(&mut self, limit: usize) -> OperationView {
        while !self.step(limit).is_empty() {
            assert!(
                self.state.next_timer(&Settings::default()).is_none_or(|at| at > self.now)
                    || self.runs()
            );
        }
        assert!(!self.runs());
        self.state.operations().last().expect("one ended")
    }

    fn states(&self, jobs: &[JobId]) -> Vec<Option<JobState>> {
        jobs.iter().map(|job| self.state.job(*job).ok().map(|view| view.state)).collect()
    }
}

impl Shard {
    fn runs(&self) -> bool {
        self.state.operations().any(|view| view.status == OperationStatus::Running)
    }
}

/// Jobs of every kind in `q`, and others beside it.
fn crowd() -> (Shard, Vec<JobId>) {
    let mut shard = Shard::new();
    let mut jobs = Vec::new();
    for n in 0..40_u64 {
        let (key, unique) = (n.to_le_bytes(), (n + 100).to_le_bytes());
        let like = Enqueue {
            key: if n % 5 == 0 { &key } else { b"" },
            unique: if n % 7 == 0 { &unique } else { b"" },
            priority: (n % 3) as u8,
            limit_key: if n % 4 == 0 { "ann" } else { "" },
            when: if n % 6 == 1 { When::DelayMs(9_000_000) } else { When::Now },
            expire_after_ms: if n % 8 == 2 { 5_000_000 } else { 0 },
            ..enqueue(if n % 9 == 8 { "other" } else { "q" })
        };
        jobs.append(&mut shard.enqueue(vec![like]));
        shard.now.0 += 1000;
    }
    let leases = shard.fetch("q", 6);
    let acks = vec![Ack { job: leases[0], result: b"" }];
    let cancels = vec![leases[1].job, jobs[30]];
    let settings = QueueSettings { concurrency: 9, key_concurrency: 4, ..QueueSettings::default() };
    let control = |action| QueueControl { queue: "q", action };
    let queue_controls = vec![
        control(QueueAction::Configure(settings)),
        control(QueueAction::Weigh { key: "ann", weight: 9 }),
    ];
    let request = Request { acks, cancels, queue_controls, ..shard.request() };
    shard.run(&request);
    (shard, jobs)
}

/// Every kind of operation on the same crowd.
fn tasks(jobs: &[JobId]) -> Vec<Operate> {
    let of = JobFilter::of_queue;
    let mut all: Vec<_> = [
        clear("q"),
        delete_queue("q"),
        bulk(BulkAction::Cancel, of("q")),
        bulk(BulkAction::Delete, JobFilter { limit_key: "ann".into(), ..JobFilter::default() }),
        bulk(BulkAction::Retry, of("q").in_states(&[JobState::Cancelled, JobState::Scheduled])),
        bulk(hold(), JobFilter { priority: Some(1), ..of("q") }),
        bulk(BulkAction::Move { queue: "new".into() }, of("q")),
        bulk(BulkAction::Prioritize { priority: 0 }, of("other")),
        Task::Bulk { action: BulkAction::Cancel, filter: of("q"), dry_run: true },
    ]
    .into_iter()
    .map(|task| Operate::Start { task, jobs: Vec::new() })
    .collect();
    let task = bulk(BulkAction::Cancel, JobFilter::default());
    all.push(Operate::Start { task, jobs: jobs[5..25].to_vec() });
    all
}

fn chunks(state: &State) -> Vec<Vec<u8>> {
    state.snapshot().collect()
}

/// At every step: restored from a snapshot taken there, it makes the same steps and ends the same.
#[test]
fn r07_an_operation_ends_the_same_wherever_it_is_interrupted() {
    let (_, jobs) = crowd();
    for operate in tasks(&jobs) {
        let (mut shard, _) = crowd();
        shard.begin(Some(operate.clone()));
        let mut log = Vec::new();
        let mut snapshots = vec![chunks(&shard.state)];
        loop {
            let events = shard.step(2);
            if events.is_empty() {
                break;
            }
            // Somebody else is served in between.
            shard.enqueue(vec![enqueue("q")]);
            log.push(events);
            snapshots.push(chunks(&shard.state));
        }
        let expected = chunks(&shard.state);
        assert!(log.len() > 1, "{operate:?} took one step");
        for stop in 0..snapshots.len() {
            let restored = State::restore(&snapshots[stop]).expect("just written");
            restored.check();
            let mut again = Shard { state: restored, ..Shard::new() };
            (again.now, again.session, again.number) = (shard.now, shard.session, 0);
            again.number = shard.number - (log.len() - stop) as u64;
            for events in &log[stop..] {
                assert_eq!(again.step(2), *events, "{operate:?} after step {stop}");
                again.enqueue(vec![enqueue("q")]);
            }
            assert!(chunks(&again.state) == expected, "{operate:?} after step {stop}");
            assert_eq!(again.state.digest(), shard.state.digest());
        }
    }
}

#[test]
fn clearing_takes_what_waited_when_it_was_asked_for() {
    let (mut shard, jobs) = crowd();
    let waiting =
        |state: &Option<JobState>| matches!(state, Some(JobState::Pending | JobState::Scheduled));
    let in_q: Vec<JobId> = jobs
        .iter()
        .copied()
        .filter(|job| shard.state.job(*job).is_ok_and(|view| view.class.queue == "q"))
        .collect();
    let before = shard.states(&in_q);
    let meant = before.iter().filter(|state| waiting(state)).count();
    shard.begin(start(clear("q")));
    // Nothing that waited is handed out from now on; what is new has to wait, and stays.
    assert!(shard.fetch("q", 100).is_empty());
    assert!(!shard.state.is_fetchable("q", shard.now));
    shard.step(3);
    let later = shard.enqueue(vec![enqueue("q"); 2]);
    assert!(shard.fetch("q", 100).is_empty());
    let ended = shard.finish(3);
    assert_eq!((ended.applied, ended.estimate), (meant as u64, meant as u64));
    for (before, after) in before.iter().zip(shard.states(&in_q)) {
        assert_eq!(after, before.filter(|_| !waiting(before)));
    }
    assert!(shard.state.drain_opened().contains(&"q".into()), "those who wait are told");
    assert_eq!(shard.states(&later), [Some(JobState::Pending); 2]);
    assert_eq!(shard.fetch("q", 100).len(), 2);
    let stats = shard.state.queue_stats("q").expect("it stays");
    assert_eq!(stats.settings.concurrency, 9);
}

/// An enqueue is not taken for a repeat of a job that is as good as removed.
#[test]
fn keys_of_condemned_jobs_are_free_at_once() {
    for task in [clear("q"), delete_queue("q")] {
        let mut shard = Shard::new();
        let like = Enqueue { unique: b"u", key: b"k", ..enqueue("q") };
        let old = shard.enqueue(vec![like]);
        let deletes = matches!(task, Task::DeleteQueue { .. });
        shard.begin(start(task));
        // A cleared job's idempotency key stays, as that of any deleted job.
        let again = shard.enqueue(vec![if deletes { like } else { Enqueue { key: b"", ..like } }]);
        assert_ne!(again, old);
        shard.finish(1);
        assert_eq!(shard.states(&[old[0], again[0]]), [None, Some(JobState::Pending)]);
        let repeat = shard.enqueue(vec![Enqueue { key: b"", ..like }]);
        assert_eq!(repeat, again, "the new job has the unique key");
        let restored = State::restore(chunks(&shard.state)).expect("just written");
        restored.check();
        assert_eq!(chunks(&restored), chunks(&shard.state));
    }
}

/// A job that did not wait when it was looked at stays, and so does its key.
#[test]
fn a_job_that_was_passed_over_keeps_its_key() {
    let mut shard = Shard::new();
    let like = Enqueue { unique: b"u", ..enqueue("q") };
    let job = shard.enqueue(vec![like]);
    let lease = shard.fetch("q", 1);
    shard.enqueue(vec![enqueue("q"); 3]);
    shard.begin(start(clear("q")));
    shard.step(1);
    let request = Request { releases: lease, ..shard.request() };
    shard.run(&request);
    assert_eq!(shard.states(&job), [Some(JobState::Pending)]);
    assert_eq!(shard.enqueue(vec![like]), job, "the key is taken");
    shard.finish(1);
    assert_eq!(shard.states(&job), [Some(JobState::Pending)]);
}

#[test]
fn a_deleted_queue_comes_back_with_nothing_of_before() {
    let (mut shard, _) = crowd();
    let control = vec![QueueControl { queue: "q", action: QueueAction::Pause }];
    let request = Request { queue_controls: control, ..shard.request() };
    shard.run(&request);
    shard.begin(start(delete_queue("q")));
    shard.finish(4);
    assert_eq!(shard.state.queue_stats("q"), None);
    let names = |state: &State| state.queues("", "").map(|queue| queue.queue).collect::<Vec<_>>();
    assert_eq!((names(&shard.state), shard.state.stats().queues), (vec!["other".to_owned()], 1));
    let restored = State::restore(chunks(&shard.state)).expect("just written");
    restored.check();
    assert_eq!((names(&restored), chunks(&restored)), (names(&shard.state), chunks(&shard.state)));
    shard.state = restored;
    let jobs = shard.enqueue(vec![Enqueue { key: &0_u64.to_le_bytes(), ..enqueue("q") }]);
    let stats = shard.state.queue_stats("q").expect("it is back");
    assert_eq!((stats.paused, stats.settings), (false, QueueSettings::default()));
    assert_eq!((stats.enqueued_total, stats.jobs.iter().sum::<u64>()), (1, 1));
    assert_eq!(shard.fetch("q", 9)[0].job, jobs[0]);
}

/// What is used while it is deleted is there afterwards.
#[test]
fn a_queue_that_is_used_while_it_is_deleted_stays() {
    type Use = fn(&mut Shard);
    let uses: [Use; 3] = [
        |shard| drop(shard.enqueue(vec![enqueue("q")])),
        |shard| {
            let queue_controls = vec![QueueControl { queue: "q", action: QueueAction::Pause }];
            let request = Request { queue_controls, ..shard.request() };
            shard.run(&request);
        },
        |shard| {
            let other = shard.enqueue(vec![enqueue("elsewhere")])[0];
            let action = BulkAction::Move { queue: "q".into() };
            let task = bulk(action, JobFilter::default());
            shard.begin(Some(Operate::Start { task, jobs: vec![other] }));
        },
    ];
    for use_it in uses {
        let (mut shard, _) = crowd();
        shard.begin(start(delete_queue("q")));
        shard.step(5);
        use_it(&mut shard);
        shard.finish(5);
        assert!(shard.state.queue_stats("q").is_some());
    }
}

#[test]
fn an_operation_can_be_ended_and_its_queue_goes_on() {
    let (mut shard, _) = crowd();
    let operation = shard.begin(start(clear("q"))).operation;
    shard.step(3);
    let cancel = || Some(Operate::Cancel { operation });
    assert_eq!(shard.begin(cancel()).code, Code::Ok);
    assert_eq!(shard.begin(cancel()).code, Code::IllegalState);
    let unknown = Operate::Cancel { operation: OperationId(1) };
    assert_eq!(shard.begin(Some(unknown)).code, Code::NotFound);
    assert!(shard.step(9).is_empty());
    let view = shard.state.operations().next().expect("it is remembered");
    assert_eq!((view.status, view.applied), (OperationStatus::Cancelled, 3));
    assert!(!shard.fetch("q", 1).is_empty());
}

/// A small operation is not kept waiting by a large one, and both end.
#[test]
fn operations_take_turns() {
    let mut shard = Shard::new();
    shard.enqueue(vec![enqueue("q"); 400]);
    let few = shard.enqueue(vec![enqueue("few"); 3]);
    let large = shard.begin(start(bulk(hold(), JobFilter::of_queue("q")))).operation;
    (0..5).for_each(|_| drop(shard.step(8)));
    let task = bulk(BulkAction::Cancel, JobFilter::default());
    let small = shard.begin(Some(Operate::Start { task, jobs: few })).operation;
    shard.step(8);
    let views: Vec<_> = shard.state.operations().map(|view| (view.id, view.status)).collect();
    assert_eq!(views, [(large, OperationStatus::Running), (small, OperationStatus::Done)]);
    assert_eq!(shard.finish(8).applied, 400);
}

/// However many jobs there are, a step looks at a bounded number of them.
#[test]
fn a_step_is_bounded_whatever_it_finds() {
    let mut shard = Shard::new();
    shard::without_checks(|| drop(shard.enqueue(vec![enqueue("q"); 9_000])));
    let filter = JobFilter { priority: Some(0), ..JobFilter::default() };
    shard.begin(start(bulk(BulkAction::Cancel, filter)));
    let Some(Event::OperationAdvanced { looked_at, applied, .. }) = shard.step(100).pop() else {
        panic!("it goes on");
    };
    assert_eq!((looked_at, applied), (400, 0));
    shard.begin(start(bulk(hold(), JobFilter::of_queue("q"))));
    // Jobs with an event each are fewer.
    assert_eq!(shard.step(100).len(), 25 + 1);
}

#[test]
fn a_dry_run_counts_and_changes_nothing() {
    let (mut shard, jobs) = crowd();
    let before = shard.states(&jobs);
    let filter = JobFilter::of_queue("q");
    let task = Task::Bulk { action: BulkAction::Cancel, filter: filter.clone(), dry_run: true };
    shard.begin(start(task));
    let counted = shard.finish(3);
    assert_eq!(shard.states(&jobs), before);
    shard.begin(start(bulk(BulkAction::Cancel, filter)));
    let done = shard.finish(3);
    assert_eq!((counted.applied, counted.skipped), (done.applied, done.skipped));
    assert!(counted.applied > 20 && counted.skipped == 2, "{counted:?}");
}

#[test]
fn the_number_of_operations_is_bounded() {
    let mut shard = Shard::new();
    shard.enqueue(vec![enqueue("q")]);
    let operation = || start(bulk(hold(), JobFilter::of_queue("q")));
    (0..OPERATIONS_MAX).for_each(|_| assert_eq!(shard.begin(operation()).code, Code::Ok));
    let one_more = Request { operation: operation(), ..shard.request() };
    let (code, message) = shard.refused(&one_more);
    assert_eq!(code, Code::Overloaded);
    assert!(message.contains("wait for one or cancel it"), "{message}");
    shard.finish(9);
    shard.begin(operation());
    shard.finish(9);
    assert_eq!(shard.state.operations().count(), OPERATIONS_ENDED_MAX);
}

#[test]
fn jobs_with_plans_are_meant_by_their_state() {
    let mut shard = Shard::new();
    let kinds = [Expected { name: "a", need: Need::Required, count: 1, deadline_ms: 0 }];
    let plan = Plan { deadline_ms: 60_000, kinds: &kinds };
    let jobs: Vec<_> = (0..3).map(|_| shard.enqueue_planned(enqueue("q"), plan)).collect();
    let other = shard.enqueue(vec![enqueue("q")])[0];
    let filter = || JobFilter::of_queue("q").in_states(&[JobState::Planned]);
    shard.begin(start(bulk(hold(), filter())));
    assert_eq!((shard.finish(9).applied, shard.finish(9).skipped), (0, 3));
    shard.begin(start(clear("q")));
    assert_eq!(shard.finish(9).applied, 1, "a plan does not wait in the queue");
    shard.begin(start(bulk(BulkAction::Cancel, filter())));
    assert_eq!(shard.finish(2).applied, 3);
    assert_eq!(shard.states(&jobs), [Some(JobState::Cancelled); 3]);
    assert_eq!(shard.states(&[other]), [None]);
    shard.begin(start(bulk(BulkAction::Retry, JobFilter::of_queue("q"))));
    assert_eq!(shard.finish(2).applied, 3);
    assert_eq!(shard.states(&jobs), [Some(JobState::Planned); 3]);
    shard.begin(start(delete_queue("q")));
    assert_eq!(shard.finish(2).applied, 3);
    assert_eq!((shard.states(&jobs), shard.state.queue_stats("q")), (vec![None; 3], None));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let (mut shard, jobs) = crowd();
    let of = JobFilter::of_queue;
    let cancel = |filter| bulk(BulkAction::Cancel, filter);
    let none = JobFilter::default;
    let cases: Vec<(Task, Vec<JobId>, Code, &str)> = vec![
        (cancel(none()), vec![], Code::Invalid, "names no jobs and has no filter"),
        (cancel(of("q")), jobs.clone(), Code::Invalid, "names jobs and has a filter"),
        (clear("q"), jobs.clone(), Code::Invalid, "only bulk operations name jobs"),
        (clear(""), vec![], Code::Invalid, "operation.queue: empty"),
        (delete_queue("a\nb"), vec![], Code::Invalid, "control character"),
        (
            cancel(JobFilter { limit_key: "k".repeat(10 << 20), ..none() }),
            vec![],
            Code::TooLarge,
            "operation.filter.limit_key: 10485760 bytes, at most 255",
        ),
        (cancel(JobFilter { priority: Some(3), ..none() }), vec![], Code::Invalid, "at most 2"),
        (cancel(of("q").in_states(&JobState::ALL)), vec![], Code::Invalid, "completed jobs"),
        (
            cancel(JobFilter { states: 1 << JOB_STATES, ..of("q") }),
            vec![],
            Code::Invalid,
            "a bit above",
        ),
        (
            cancel(JobFilter { created_after_ms: 253_402_300_799_000, ..none() }),
            vec![],
            Code::Invalid,
            "operation.filter.created_after_ms: 253402300799000, at most 17592186044415",
        ),
        (
            cancel(JobFilter { created_after_ms: 5, created_before_ms: 5, ..none() }),
            vec![],
            Code::Invalid,
            "not after created_after_ms",
        ),
        (
            bulk(BulkAction::Prioritize { priority: 9 }, of("q")),
            vec![],
            Code::Invalid,
            "operation.action.priority: 9, at most 2",
        ),
        (
            bulk(BulkAction::Approve { note: "n".repeat(4097), by: String::new() }, of("q")),
            vec![],
            Code::TooLarge,
            "at most 4096",
        ),
        (
            cancel(none()),
            vec![JobId::new(5, ShardId(1), JobSeq(1))],
            Code::WrongShard,
            "operation.jobs[0]",
        ),
    ];
    let before = shard.state.digest();
    for (task, jobs, code, words) in cases {
        let operation = Some(Operate::Start { task, jobs });
        let request = Request { operation, ..shard.request() };
        let (refused, message) = shard.refused(&request);
        assert!(refused == code && message.contains(words), "{refused:?} {message}");
    }
    let with = Request {
        operation: start(clear("q")),
        fetch: Some(fetch("q", 1)),
        stats: Stats::Operations,
        ..shard.request()
    };
    let (code, message) = shard.refused(&with);
    assert!(code == Code::Invalid && message.contains("in one request with fetch"), "{message}");
    assert_eq!(shard.state.digest(), before);
}

/// What is done to them there is seen in `ties`.
#[test]
fn a_bulk_move_may_go_to_another_shard_and_does_not_mean_what_has_gone() {
    let mut shard = Shard::of(ShardId(0), 4);
    let far = (0..).map(|n| format!("q{n}"));
    let mut far = far.filter(|q| jobbie_proto::placement::shard_of(q, 4) != ShardId(0));
    let action = BulkAction::Move { queue: far.next().expect("one in four is not") };
    let filter = JobFilter { priority: Some(1), ..JobFilter::default() };
    let request = Request { operation: start(bulk(action.clone(), filter)), ..shard.request() };
    assert_eq!(shard.run(&request).operated.map(|operated| operated.code), Some(Code::Ok));
    let filter = JobFilter { states: 1 << JobState::Moved as u8, ..JobFilter::default() };
    let request = Request { operation: start(bulk(action, filter)), ..shard.request() };
    let (code, message) = shard.refused(&request);
    assert!(code == Code::Invalid && message.contains("moved jobs are on other"), "{message}");
}
