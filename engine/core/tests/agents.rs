//! Agent jobs: what becomes of them when an iteration is over.

mod shard;

use jobbie_core::{Decision, decide};
use jobbie_proto::agent::{AgentLimits, AgentStatus};
use jobbie_proto::event::{Event, HoldEnd, Iteration};
use jobbie_proto::reply::{JobState, Lease};
use jobbie_proto::request::{
    Ack, Agent, AgentAck, EnqueueAgent, Fail, Hold, JobAction, JobControl, JobRef, ReportUsage,
    Usage,
};
use jobbie_proto::usage::Amounts;
use jobbie_proto::{Code, EventSeq, JobId, Reply, Request};
use shard::{Shard, enqueue};

fn enqueue_agent(shard: &mut Shard, limits: AgentLimits) -> JobId {
    let agents = vec![EnqueueAgent { enqueue: 0, agent: Agent { limits, ..Agent::default() } }];
    let request = Request { enqueues: vec![enqueue("q")], agents, ..shard.request() };
    let run = shard.run(&request).enqueued[0];
    JobId::new(run.created_ms, shard.state.shard(), run.first_job)
}

fn limits(max_iterations: u32, max_cost_micros: u64) -> AgentLimits {
    AgentLimits { max_iterations, max_cost_micros, iteration_timeout_ms: 0 }
}

fn request(shard: &mut Shard, job: JobRef, said: AgentAck<'static>, cost: u64) -> Request<'static> {
    let amounts = Amounts { cost_micros: cost, ..Amounts::default() };
    Request {
        acks: vec![Ack { job, result: b"result" }],
        agent_acks: vec![said],
        ack_usages: vec![ReportUsage { of: 0, usage: Usage { amounts, ..Usage::default() } }],
        ..shard.request()
    }
}

/// Fetches the job and acks the iteration; the records of that and what the reply says.
fn iterate(shard: &mut Shard, status: AgentStatus, cost: u64) -> (Iteration, String, Reply) {
    let job = shard.fetch("q", 1)[0];
    let said = AgentAck { status: status as u8, ..AgentAck::default() };
    let request = request(shard, job, said, cost);
    let mut blob = Vec::new();
    let decision = decide(&shard.state, shard.now, &request, &mut blob);
    let Decision::Events(group) = decision else { panic!("{decision:?}") };
    let record = group.events.iter().find_map(|event| match event {
        Event::Iterated(iteration) => Some((**iteration).clone()),
        _ => None,
    });
    let record = record.expect("a record of the iteration");
    let reason = String::from_utf8(record.reason.of(&blob).to_vec()).expect("a text");
    let reply = shard.state.absorb(shard.now, &group).expect("it has a session");
    shard.state.check();
    (record, reason, (*reply).clone())
}

fn control(shard: &mut Shard, job: JobId, action: JobAction<'_>) -> Code {
    let job_controls = vec![JobControl { job, action }];
    let request = Request { job_controls, ..shard.request() };
    shard.run(&request).job_controls[0]
}

const APPROVE: JobAction<'static> = JobAction::Approve { note: b"", by: "" };

#[test]
fn the_last_iteration_holds_and_each_approval_allows_one_more() {
    let mut shard = Shard::new();
    let id = enqueue_agent(&mut shard, limits(2, 0));
    let (first, ..) = iterate(&mut shard, AgentStatus::Continue, 0);
    assert_eq!((first.number, first.next, first.status), (1, 2, AgentStatus::Continue));
    for number in 2..5 {
        let (record, reason, reply) = iterate(&mut shard, AgentStatus::Continue, 0);
        assert_eq!(
            (record.number, record.next, record.status),
            (number, number + 1, AgentStatus::Hold)
        );
        assert_eq!(
            (reason.as_str(), &reply.acks[..]),
            ("max_iterations exceeded (2)", &[Code::Ok][..])
        );
        assert_eq!(shard.state.job(id).map(|view| view.state), Ok(JobState::Held));
        assert_eq!(control(&mut shard, id, APPROVE), Code::Ok);
    }
    let (done, _, reply) = iterate(&mut shard, AgentStatus::Done, 0);
    assert_eq!((done.number, done.next, &reply.acks[..]), (5, 5, &[Code::Ok][..]));
    assert_eq!(shard.state.job(id), Err(Code::NotFound));
}

#[test]
fn cost_is_compared_after_it_was_added_and_must_be_more() {
    let mut shard = Shard::new();
    let id = enqueue_agent(&mut shard, limits(0, 20_000));
    let (record, ..) = iterate(&mut shard, AgentStatus::Continue, 20_000);
    assert_eq!(record.status, AgentStatus::Continue, "as much as may be is not too much");
    let (record, reason, _) = iterate(&mut shard, AgentStatus::Continue, 34_567);
    assert_eq!(record.status, AgentStatus::Hold);
    assert_eq!(reason, "max_cost_usd exceeded (0.0546 > 0.0200)");
    let view = shard.state.job(id).expect("it is held");
    assert_eq!((view.cost_micros, view.agent.expect("it is one").iteration), (54_567, 3));
}

#[test]
fn a_hold_of_its_worker_repeats_the_iteration() {
    let mut shard = Shard::new();
    let id = enqueue_agent(&mut shard, limits(0, 0));
    let (record, reason, _) = iterate(&mut shard, AgentStatus::Hold, 0);
    assert_eq!((record.number, record.next, reason.as_str()), (1, 1, ""));
    assert_eq!(control(&mut shard, id, APPROVE), Code::Ok);
    let (record, ..) = iterate(&mut shard, AgentStatus::Continue, 0);
    assert_eq!((record.number, record.next, record.attempt), (1, 2, 1));
}

#[test]
fn b3_attempts_count_for_each_iteration() {
    let mut shard = Shard::new();
    let id = enqueue_agent(&mut shard, limits(0, 0));
    for _ in 0..4 {
        // Of two attempts, one fails each time.
        let job = shard.fetch("q", 1)[0];
        let fails = vec![Fail { job, error: b"no", backtrace: b"", no_retry: false }];
        let request = Request { fails, ..shard.request() };
        assert_eq!(shard.run(&request).fails[0].attempts_left, 1);
        shard.now = shard.now.plus_ms(1000);
        shard.timers();
        let (record, ..) = iterate(&mut shard, AgentStatus::Continue, 0);
        assert_eq!(record.attempt, 2);
        assert_eq!(shard.state.job(id).map(|view| view.attempt), Ok(0));
    }
}

#[test]
fn what_is_said_of_a_plain_job_or_in_unknown_words_is_refused_and_it_stays_active() {
    let mut shard = Shard::new();
    let id = shard.enqueue(vec![enqueue("q")])[0];
    let job = shard.fetch("q", 1)[0];
    let said = AgentAck { status: AgentStatus::Continue as u8, ..AgentAck::default() };
    let request = request(&mut shard, job, said, 5);
    assert_eq!(shard.run(&request).acks, [Code::NotAgent]);
    let view = shard.state.job(id).expect("it is active");
    assert_eq!((view.state, view.cost_micros), (JobState::Active, 0));
    let unknown = AgentAck { status: 7, ..AgentAck::default() };
    let request = self::request(&mut shard, job, unknown, 0);
    let message = "agent_acks[0].status: 7, not one of 0 (done), 1 (continue), 2 (hold)";
    assert_eq!(shard.refused(&request), (Code::Invalid, message.into()));
    assert_eq!(control(&mut shard, id, JobAction::Hold(HOLD)), Code::Ok);
    let revise =
        JobAction::Revise { checkpoint: b"{}", feedback: b"", by: "", replaces: EventSeq(0) };
    assert_eq!(control(&mut shard, id, revise), Code::NotAgent);
}

const HOLD: Hold<'static> = Hold { reason: b"", by: "", timeout_ms: 0, then: HoldEnd::Stay };

#[test]
fn feedback_goes_only_into_the_checkpoint_that_was_seen() {
    let mut shard = Shard::new();
    let id = enqueue_agent(&mut shard, limits(0, 0));
    let job = shard.fetch("q", 1)[0];
    let status = AgentStatus::Hold as u8;
    let said = AgentAck { status, checkpoint: b"{}", ..AgentAck::default() };
    let request = request(&mut shard, job, said, 0);
    shard.run(&request);
    let seen = shard.state.job(id).expect("it is held").checkpoint;
    let revise =
        |replaces| JobAction::Revise { checkpoint: b"{1}", feedback: b"", by: "", replaces };
    assert_eq!(control(&mut shard, id, revise(EventSeq(seen.0 - 1))), Code::IllegalState);
    assert_eq!(control(&mut shard, id, revise(seen)), Code::Ok);
    let view = shard.state.job(id).expect("it waits");
    assert!(view.checkpoint > seen && view.state == JobState::Pending);
}

#[test]
fn an_agent_job_may_begin_with_a_checkpoint_and_has_no_plan() {
    let mut shard = Shard::new();
    let agent = Agent { checkpoint: b"{}", ..Agent::default() };
    let agents = vec![EnqueueAgent { enqueue: 0, agent }];
    let request = Request { enqueues: vec![enqueue("q"); 2], agents, ..shard.request() };
    shard.run(&request);
    let fetch = Request { fetch: Some(shard::fetch("q", 2)), ..shard.request() };
    let reply = shard.run(&fetch);
    let of = |lease: &Lease| (lease.job, lease.checkpoint.0 > 0);
    let (one, two) = (of(&reply.leases[0]), of(&reply.leases[1]));
    assert!(one.1 && !two.1 && one.0 < two.0, "it keeps its place: {one:?}, {two:?}");
    assert_eq!((reply.agents[0].lease, reply.agents[0].state.iteration), (0, 1));
    let planned = jobbie_proto::request::EnqueuePlan {
        enqueue: 0,
        deadline_ms: 0,
        kinds: vec![shard::required("paid", 1)],
    };
    let request = Request { plans: vec![planned], number: 99, ..request };
    let (code, message) = shard.refused(&request);
    assert_eq!(code, Code::Invalid);
    assert!(message.starts_with("agents[0].enqueue: its job has a plan"), "{message}");
}
