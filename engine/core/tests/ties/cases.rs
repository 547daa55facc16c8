//! One thing after the other.

use jobbie_core::Settings;
use jobbie_proto::event::{Event, Tie};
use jobbie_proto::limits::BATCH_OPEN_MS_MAX;
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{
    BatchSeal, Chain, Depends, Enqueue, JobAction, JobControl, Members, Ties, When,
};
use jobbie_proto::{BatchId, Code, JobId, Micros, Request, ShardId};

use crate::net::{Net, enqueue};

const HERE: ShardId = ShardId(0);

pub(crate) fn text(payload: &[u8]) -> &str {
    std::str::from_utf8(payload).expect("JSON")
}

pub(crate) fn open(net: &mut Net, callback: Option<Enqueue<'_>>) -> BatchId {
    let ties = Ties { batch_opens: vec![callback], ..Ties::default() };
    net.run(HERE, Request { ties, ..Request::default() }).batches[0]
}

pub(crate) fn seal(net: &mut Net, batch: BatchId, total: u64) -> Code {
    let ties = Ties { batch_seals: vec![BatchSeal { batch, total }], ..Ties::default() };
    net.run(HERE, Request { ties, ..Request::default() }).batch_seals[0]
}

pub(crate) fn members(queue: &str, batch: BatchId, count: u32) -> Request<'_> {
    let enqueues = (0..count).map(|_| enqueue(queue)).collect();
    let ties = Ties { members: vec![Members { batch, first: 0, count }], ..Ties::default() };
    Request { enqueues, ties, ..Request::default() }
}

pub(crate) fn chain<'a>(first: &'a str, steps: &[&'a str]) -> Request<'a> {
    let steps = steps.iter().map(|queue| enqueue(queue)).collect();
    let chain = Chain { enqueue: 0, steps, on_failure: None, on_exit: None };
    let ties = Ties { chains: vec![chain], ..Ties::default() };
    Request { enqueues: vec![enqueue(first)], ties, ..Request::default() }
}

pub(crate) fn waits(queue: &str, on: &[JobId]) -> Request<'static> {
    let queue: &'static str = queue.to_owned().leak();
    let ties = Ties { depends: vec![Depends { enqueue: 0, on: on.to_vec() }], ..Ties::default() };
    Request { enqueues: vec![enqueue(queue)], ties, ..Request::default() }
}

fn control(net: &mut Net, job: JobId, action: JobAction<'_>) -> Code {
    let job_controls = vec![JobControl { job, action }];
    let reply = net.run(job.shard(), Request { job_controls, ..Request::default() });
    reply.job_controls[0]
}

pub(crate) fn state(net: &Net, job: JobId) -> Result<JobState, Code> {
    net.nodes[usize::from(job.shard().0)].state.job(job).map(|view| view.state)
}

/// Whoever opened it has died, perhaps.
#[test]
fn a_batch_that_nobody_seals_is_forgotten_and_one_that_is_sealed_waits_on() {
    let mut net = Net::new(2);
    let (here, there) = (net.queue(0), net.queue(1));
    let (left, sealed) =
        (open(&mut net, Some(enqueue(&here))), open(&mut net, Some(enqueue(&there))));
    let node = |net: &Net| net.nodes[0].state.clone();
    let needed = node(&net).oldest_needed_event();
    net.enqueue(members(&there, left, 1));
    net.enqueue(members(&there, sealed, 1));
    assert_eq!(seal(&mut net, sealed, 1), Code::Ok);
    net.now = Micros(left.opened_ms() * 1000).plus_ms(BATCH_OPEN_MS_MAX - 1);
    net.timers();
    assert!(node(&net).batch(left).is_ok());
    net.now = net.now.plus_ms(1);
    assert!(node(&net).next_timer(&Settings::default()).is_some_and(|at| at <= net.now));
    net.timers();
    net.node(HERE).restart();
    assert_eq!(node(&net).batch(left), Err(Code::NotFound));
    assert!(node(&net).batch(sealed).is_ok());
    assert!(node(&net).oldest_needed_event() > needed, "the log is kept for nobody");
    // What ends now counts for the other one only.
    for (job, _) in net.fetch(&there, 2) {
        net.ack(job, b"");
    }
    net.settle();
    assert_eq!(seal(&mut net, left, 1), Code::NotFound);
    assert_eq!((net.fetch(&here, 9).len(), net.fetch(&there, 9).len()), (0, 1));
}

/// Its producer has counted wrong.
#[test]
fn members_beyond_the_sealed_number_count_for_nothing_and_the_batch_calls_back() {
    let mut net = Net::new(2);
    let (here, there) = (net.queue(0), net.queue(1));
    let batch = open(&mut net, Some(enqueue(&here)));
    net.enqueue(members(&there, batch, 5));
    assert_eq!(seal(&mut net, batch, 3), Code::Ok);
    let jobs = net.fetch(&there, 5);
    net.consequences = 0;
    net.ack(jobs[0].0, b"");
    jobs[1..3].iter().for_each(|(job, _)| net.fail(*job, b"no"));
    jobs[3..].iter().for_each(|(job, _)| assert_eq!(net.ack(*job, b""), Code::Ok));
    net.consequences = 100;
    net.settle();
    let found = net.nodes[0].state.batch(batch).expect("it is remembered");
    assert_eq!((found.total, found.succeeded, found.failed), (Some(3), 3, 0));
    net.node(HERE).take_snapshot();
    net.node(HERE).restart();
    assert_eq!(net.fetch(&here, 9).len(), 1);
}

#[test]
fn a_batch_over_two_shards_calls_back_once_with_its_counts() {
    let mut net = Net::new(3);
    let (a, b, c) = (net.queue(0), net.queue(1), net.queue(2));
    let callback = Enqueue { payload: br#"{"sum":1}"#, ..enqueue(&c) };
    let batch = open(&mut net, Some(callback));
    net.enqueue(members(&a, batch, 2));
    net.enqueue(members(&b, batch, 2));
    assert_eq!(seal(&mut net, batch, 4), Code::Ok);
    for (job, _) in net.fetch(&a, 2) {
        net.ack(job, b"");
    }
    let two = net.fetch(&b, 2);
    net.ack(two[0].0, b"");
    net.fail(two[1].0, b"no");
    assert!(net.fetch(&c, 1).is_empty());
    net.settle();
    let called = net.fetch(&c, 9);
    assert_eq!(called.len(), 1);
    let expected =
        format!(r#"{{"batch":{{"failed":1,"id":"{batch}","succeeded":3,"total":4}},"sum":1}}"#);
    assert_eq!(text(&called[0].1), expected);
    // One that is revived does not count again.
    assert_eq!(control(&mut net, two[1].0.job, JobAction::Retry), Code::Ok);
    let again = net.fetch(&b, 1);
    net.ack(again[0].0, b"");
    net.settle();
    assert!(net.fetch(&c, 1).is_empty());
    let view = net.nodes[0].state.batch(batch).expect("kept for a week");
    assert_eq!((view.total, view.succeeded, view.failed), (Some(4), 3, 1));
    net.now = net.now.plus_ms(8 * 24 * 3600 * 1000);
    net.timers();
    assert_eq!(net.nodes[0].state.batch(batch), Err(Code::NotFound));
}

#[test]
fn every_way_to_end_counts_in_a_batch() {
    let mut net = Net::new(1);
    let (queue, done) = (net.queue(0), "done");
    let batch = open(&mut net, Some(enqueue(done)));
    let jobs = net.enqueue(members(&queue, batch, 5));
    let expiring = Request {
        enqueues: vec![Enqueue { expire_after_ms: 10, ..enqueue(&queue) }],
        ..members(&queue, batch, 1)
    };
    net.enqueue(expiring);
    let control_of = |job| Request {
        job_controls: vec![JobControl { job, action: JobAction::Hold(Default::default()) }],
        ..Request::default()
    };
    net.run(HERE, control_of(jobs[0]));
    let reject = JobAction::Reject { reason: b"", by: "" };
    assert_eq!(control(&mut net, jobs[0], reject), Code::Ok);
    net.run(HERE, Request { cancels: vec![jobs[1]], ..Request::default() });
    net.run(HERE, Request { deletes: vec![jobs[2]], ..Request::default() });
    // A cancelled one that is removed has counted already.
    net.run(HERE, Request { deletes: vec![jobs[1]], ..Request::default() });
    net.now = net.now.plus_ms(20);
    net.timers();
    for (job, _) in net.fetch(&queue, 9) {
        net.ack(job, b"");
    }
    assert_eq!(seal(&mut net, batch, 6), Code::Ok);
    net.settle();
    let called = net.fetch(done, 2);
    assert_eq!(called.len(), 1);
    assert!(text(&called[0].1).contains(r#""failed":4"#), "{}", text(&called[0].1));
}

#[test]
fn an_empty_batch_calls_back_when_it_is_sealed_and_none_is_sealed_twice() {
    let mut net = Net::new(1);
    let batch = open(&mut net, Some(enqueue("done")));
    assert_eq!(seal(&mut net, batch, 0), Code::Ok);
    assert_eq!(seal(&mut net, batch, 0), Code::IllegalState);
    net.settle();
    assert_eq!(net.fetch("done", 2).len(), 1);
    let two = open(&mut net, None);
    net.enqueue(members("q", two, 2));
    for (job, _) in net.fetch("q", 2) {
        net.ack(job, b"");
    }
    assert_eq!(seal(&mut net, two, 1), Code::IllegalState);
    assert_eq!(seal(&mut net, two, 2), Code::Ok);
    let unknown = BatchId::new(two.opened_ms() + 1, HERE, two.number());
    assert_eq!(seal(&mut net, unknown, 2), Code::NotFound);
}

#[test]
fn a_chain_hands_each_result_to_the_next_step_and_ends_with_its_handler() {
    let mut net = Net::new(2);
    let (a, b, exit) = (net.queue(0), net.queue(1), format!("{}-exit", net.queue(0)));
    let mut request = chain(&a, &[&b, &a]);
    request.ties.chains[0].on_exit = Some(enqueue(&exit));
    request.ties.chains[0].steps[0].payload = br#"{"own":true}"#;
    let first = net.enqueue(request)[0];
    let job = net.fetch(&a, 1).remove(0).0;
    net.ack(job, b"[1,2]");
    net.settle();
    let (second, payload) = net.fetch(&b, 2).remove(0);
    let expected = format!(r#"{{"own":true,"previous_job_id":"{first}","previous_result":[1,2]}}"#);
    assert_eq!(text(&payload), expected);
    net.ack(second, b"");
    net.settle();
    let (third, payload) = net.fetch(&a, 2).remove(0);
    assert_eq!(text(&payload), format!(r#"{{"previous_job_id":"{}"}}"#, second.job));
    net.ack(third, b"3");
    net.settle();
    let shard = usize::from(jobbie_proto::placement::shard_of(&exit, 2).0);
    let (last, _) = net.fetch(&exit, 2).remove(0);
    net.ack(last, b"");
    net.settle();
    let chained =
        |event: &Event| matches!(event, Event::Tied(tie) if matches!(**tie, Tie::Chained(_)));
    let all: usize = net.nodes.iter().map(|node| node.count(chained)).sum();
    assert_eq!(all, 4, "on shard {shard}");
}

#[test]
fn a_chain_that_is_left_goes_to_its_end_and_one_that_dies_to_its_handler_once() {
    let mut net = Net::new(1);
    let with_handlers = || {
        let mut request = chain("a", &["b"]);
        request.ties.chains[0].on_exit = Some(enqueue("exit"));
        request.ties.chains[0].on_failure = Some(enqueue("failure"));
        request
    };
    net.enqueue(with_handlers());
    let job = net.fetch("a", 1).remove(0).0;
    let acks = vec![jobbie_proto::request::Ack { job, result: b"7" }];
    let ties = Ties { exits: vec![0], ..Ties::default() };
    net.run(HERE, Request { acks, ties, ..Request::default() });
    net.settle();
    assert!(net.fetch("b", 1).is_empty());
    assert!(text(&net.fetch("exit", 2).remove(0).1).contains(r#""previous_result":7"#));

    net.enqueue(with_handlers());
    let job = net.fetch("a", 1).remove(0).0;
    net.fail(job, b"broken");
    net.settle();
    let failures = net.fetch("failure", 2);
    assert_eq!(failures.len(), 1);
    let expected = format!(r#"{{"error":"broken","failed_job_id":"{}","failed_step":0}}"#, job.job);
    assert_eq!(text(&failures[0].1), expected);
    // Revived it fails again, without another handler; revived once more, it goes on.
    assert_eq!(control(&mut net, job.job, JobAction::Retry), Code::Ok);
    let job = net.fetch("a", 1).remove(0).0;
    net.fail(job, b"again");
    net.settle();
    assert!(net.fetch("failure", 1).is_empty());
    assert_eq!(control(&mut net, job.job, JobAction::Retry), Code::Ok);
    let job = net.fetch("a", 1).remove(0).0;
    net.ack(job, b"");
    net.settle();
    assert_eq!(net.fetch("b", 2).len(), 1);
}

#[test]
fn a_chain_counts_in_its_batch_when_it_ends() {
    let mut net = Net::new(2);
    let (a, b) = (net.queue(0), net.queue(1));
    let batch = open(&mut net, Some(enqueue("done")));
    let mut request = chain(&a, &[&b]);
    request.ties.members = vec![Members { batch, first: 0, count: 1 }];
    net.enqueue(request);
    seal(&mut net, batch, 1);
    let job = net.fetch(&a, 1).remove(0).0;
    net.ack(job, b"");
    net.settle();
    assert_eq!(net.nodes[0].state.batch(batch).expect("open").succeeded, 0);
    let job = net.fetch(&b, 1).remove(0).0;
    net.ack(job, b"");
    net.settle();
    assert_eq!(net.nodes[0].state.batch(batch).expect("kept").succeeded, 1);
}

#[test]
fn a_job_waits_until_all_it_depends_on_is_completed_here_and_elsewhere() {
    let mut net = Net::new(2);
    let (a, b) = (net.queue(0), net.queue(1));
    let done = net.enqueue(Request { enqueues: vec![enqueue(&a)], ..Request::default() })[0];
    let job = net.fetch(&a, 1).remove(0).0;
    net.ack(job, b"");
    let here = net.enqueue(Request { enqueues: vec![enqueue("here")], ..Request::default() })[0];
    let there = net.enqueue(Request { enqueues: vec![enqueue(&b)], ..Request::default() })[0];
    let waiting = net.enqueue(waits(&a, &[there, done, here, there]))[0];
    let view = net.nodes[usize::from(waiting.shard().0)].state.job(waiting).expect("it waits");
    assert_eq!((view.state, view.waits_for, view.due), (JobState::Scheduled, 2, Micros(0)));
    net.settle();
    let job = net.fetch("here", 1).remove(0).0;
    net.ack(job, b"");
    net.settle();
    let job = net.fetch(&b, 1).remove(0).0;
    net.fail(job, b"not yet");
    net.settle();
    assert!(net.fetch(&a, 1).is_empty(), "what has died is not completed");
    assert_eq!(control(&mut net, there, JobAction::Retry), Code::Ok);
    let job = net.fetch(&b, 1).remove(0).0;
    net.ack(job, b"");
    net.settle();
    assert_eq!(net.fetch(&a, 1).remove(0).0.job, waiting);
    // Everything it asks for is completed, also on the other shard.
    let next = net.enqueue(waits(&a, &[there, here]))[0];
    assert_eq!(state(&net, next), Ok(JobState::Scheduled));
    net.settle();
    assert_eq!(net.fetch(&a, 1).remove(0).0.job, next);
}

#[test]
fn what_is_removed_is_waited_for_in_vain_and_an_operator_may_send_the_job_off() {
    let mut net = Net::new(2);
    let (a, b) = (net.queue(0), net.queue(1));
    for queue in [&a, &b] {
        let gone = net.enqueue(Request { enqueues: vec![enqueue(queue)], ..Request::default() })[0];
        let early = net.enqueue(waits(&a, &[gone]))[0];
        net.settle();
        net.run(gone.shard(), Request { deletes: vec![gone], ..Request::default() });
        let late = net.enqueue(waits(&a, &[gone]))[0];
        net.settle();
        assert!(net.fetch(&a, 2).is_empty());
        assert_eq!(control(&mut net, early, JobAction::Retry), Code::Ok);
        assert_eq!(net.fetch(&a, 2).remove(0).0.job, early);
        net.run(late.shard(), Request { cancels: vec![late], ..Request::default() });
    }
    net.nodes.iter().for_each(|node| node.state.check());
}

#[test]
fn a_hold_a_time_and_an_expiry_go_with_dependencies() {
    let mut net = Net::new(1);
    let on = net.enqueue(Request { enqueues: vec![enqueue("on")], ..Request::default() })[0];
    let request = |when, expire_after_ms| Request {
        enqueues: vec![Enqueue { when, expire_after_ms, ..enqueue("q") }],
        ..waits("q", &[on])
    };
    let later = net.enqueue(request(When::DelayMs(5000), 0))[0];
    let expires = net.enqueue(request(When::Now, 100))[0];
    let held = net.enqueue(request(When::Now, 0))[0];
    assert_eq!(control(&mut net, held, JobAction::Hold(Default::default())), Code::Ok);
    let approve = JobAction::Approve { note: b"", by: "" };
    assert_eq!(control(&mut net, held, approve), Code::Ok);
    assert_eq!(state(&net, held), Ok(JobState::Scheduled), "approved, but it still waits");
    assert_eq!(control(&mut net, held, JobAction::Hold(Default::default())), Code::Ok);
    net.now = net.now.plus_ms(200);
    net.timers();
    assert_eq!(state(&net, expires), Ok(JobState::Dead));
    let job = net.fetch("on", 1).remove(0).0;
    net.ack(job, b"");
    net.settle();
    assert!(net.fetch("q", 1).is_empty());
    assert_eq!(control(&mut net, held, approve), Code::Ok);
    let job = net.fetch("q", 1).remove(0).0;
    assert_eq!(job.job, held);
    net.ack(job, b"");
    net.now = net.now.plus_ms(5000);
    net.timers();
    assert_eq!(net.fetch("q", 1).remove(0).0.job, later);
}

#[test]
fn what_cannot_be_asked_for_is_refused_and_changes_nothing() {
    let mut net = Net::new(2);
    let here = net.queue(0);
    let batch = BatchId::new(1, ShardId(9), jobbie_proto::EventSeq(1));
    let elsewhere = BatchId::new(1, ShardId(1), jobbie_proto::EventSeq(1));
    let job = |shard| JobId::new(1, ShardId(shard), jobbie_proto::JobSeq(1));
    let with = |ties| Request { enqueues: vec![enqueue(&here)], ties, ..Request::default() };
    let step = |payload| Chain {
        enqueue: 0,
        steps: vec![Enqueue { payload, ..enqueue("x") }],
        on_failure: None,
        on_exit: None,
    };
    let keyed = Chain { steps: vec![Enqueue { key: b"k", ..enqueue("x") }], ..step(b"") };
    let many = Chain { steps: vec![enqueue("x"); 65], ..step(b"") };
    let late = Chain { enqueue: 1, ..step(b"") };
    let unnamed = Chain { steps: vec![], on_exit: Some(enqueue("")), ..step(b"") };
    let none = Ties::default;
    let depends = |on| Ties { depends: vec![Depends { enqueue: 0, on }], ..none() };
    let seals = |batch, total| Ties { batch_seals: vec![BatchSeal { batch, total }], ..none() };
    let member =
        |batch, count| Ties { members: vec![Members { batch, first: 0, count }], ..none() };
    let chains = |chain| Ties { chains: vec![chain], ..none() };
    let here_batch = BatchId::new(1, HERE, jobbie_proto::EventSeq(1));
    for (ties, code, said) in [
        (depends(vec![]), Code::Invalid, "depends[0].on: 0 jobs, not in 1..=256"),
        (depends(vec![job(0); 257]), Code::Invalid, "depends[0].on: 257 jobs, not in 1..=256"),
        (depends(vec![job(7)]), Code::Invalid, "depends[0].on[0]: of shard 7, and there are 2"),
        (member(batch, 1), Code::Invalid, "members[0].batch: of shard 9, and there are 2"),
        (member(elsewhere, 2), Code::Invalid, "members[0]: 0..2, not later positions of 0..1"),
        (member(elsewhere, 0), Code::Invalid, "members[0]: 0..0, not later positions of 0..1"),
        (
            seals(elsewhere, 1),
            Code::WrongShard,
            "batch_seals[0].batch: lives on shard 1, this is 0",
        ),
        (seals(here_batch, 1 << 41), Code::Invalid, "batch_seals[0].total: 2199023255552, at most"),
        (chains(step(b"7")), Code::Invalid, "chains[0].steps[0].payload: not a JSON object"),
        (chains(keyed), Code::Invalid, "chains[0].steps[0].key: a job that others make"),
        (chains(many), Code::Invalid, "chains[0].steps: 65 steps, at most 64"),
        (chains(late), Code::Invalid, "chains[0]: 1..2, not later positions of 0..1"),
        (chains(unnamed), Code::Invalid, "chains[0].on_exit.queue: empty"),
        (
            Ties { exits: vec![0], ..none() },
            Code::Invalid,
            "exits[0]: 0..1, not later positions of 0..0",
        ),
    ] {
        let (found, message) = net.refused(HERE, with(ties));
        assert!(found == code && message.starts_with(said), "{found:?} {message}");
    }
    assert_eq!(net.nodes[0].state.stats().jobs, 0);
    net.enqueue(Request { ties: chains(step(b"{}")), ..with(none()) });
    let job = net.fetch(&here, 1).remove(0).0;
    let result = vec![0; 300_000];
    let acks = vec![jobbie_proto::request::Ack { job, result: &result }];
    let (code, message) = net.refused(HERE, Request { acks, ..Request::default() });
    assert_eq!(code, Code::TooLarge);
    assert_eq!(
        message,
        "acks[0].result: 300000 bytes, at most 262144: the job is a step of a chain"
    );
}

/// T24: nobody has touched what the server makes, and it waits for a worker.
#[test]
fn t24_the_next_step_and_the_callback_come_into_being_pending() {
    let mut net = Net::new(1);
    let (a, b, c) = (net.queue(0), "b", "c");
    let batch = open(&mut net, Some(enqueue(c)));
    net.enqueue(members(&a, batch, 1));
    net.enqueue(chain(&a, &[b]));
    assert_eq!(seal(&mut net, batch, 1), Code::Ok);
    let leased = net.fetch(&a, 9);
    assert_eq!(leased.len(), 2);
    let next = net.nodes[0].state.next_job();
    for (job, _) in leased {
        net.ack(job, b"");
    }
    net.settle();
    let state = &net.nodes[0].state;
    assert_eq!(state.next_job(), next.plus(2), "one step and one callback");
    for queue in [b, c] {
        let stats = state.queue_stats(queue).expect("it was made");
        assert_eq!((stats.jobs[JobState::Pending as usize], stats.enqueued_total), (1, 1));
    }
    for queue in [b, c] {
        let made = net.fetch(queue, 9);
        assert_eq!(made.len(), 1, "{queue}");
        let view = net.nodes[0].state.job(made[0].0.job).expect("it is leased");
        assert_eq!((view.attempt, view.lease_expiries, view.batch), (1, 0, None), "{queue}");
    }
}
