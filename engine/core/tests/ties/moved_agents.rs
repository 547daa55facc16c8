//! Agent jobs and what work has cost, when they go to queues of other shards.

use jobbie_proto::agent::{AgentLimits, AgentStatus};
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{Ack, Agent, AgentAck, EnqueueAgent, JobRef, ReportUsage, Usage};
use jobbie_proto::usage::Amounts;
use jobbie_proto::{Code, JobId, Request};

use crate::moves::{move_to, now_of, view};
use crate::net::{Net, enqueue};

const LIMITS: AgentLimits =
    AgentLimits { max_iterations: 3, max_cost_micros: 9_000_000, iteration_timeout_ms: 5_000 };

fn agent(net: &mut Net, queue: &str) -> JobId {
    let agent = Agent { limits: LIMITS, checkpoint: b"{}", replayed: None };
    let agents = vec![EnqueueAgent { enqueue: 0, agent }];
    net.enqueue(Request { enqueues: vec![enqueue(queue)], agents, ..Request::default() })[0]
}

/// Acks an iteration that has cost a dollar.
fn iterate(net: &mut Net, job: JobRef, status: AgentStatus) -> Code {
    let of = AgentAck { of: 0, status: status as u8, checkpoint: b"{\"at\":1}", reason: b"" };
    let amounts = Amounts { cost_micros: 1_000_000, ..Amounts::default() };
    let usage = Usage { amounts, model: "m", provider: "p" };
    let request = Request {
        acks: vec![Ack { job, result: b"r" }],
        agent_acks: vec![of],
        ack_usages: vec![ReportUsage { of: 0, usage }],
        ..Request::default()
    };
    net.run(job.job.shard(), request).acks[0]
}

#[test]
fn an_agent_job_goes_on_elsewhere_with_its_iteration_limits_and_cost() {
    let mut net = Net::new(2);
    let (here, there) = (net.queue(0), net.queue(1));
    let job = agent(&mut net, &here);
    let (lease, _) = net.fetch(&here, 1)[0].clone();
    assert_eq!(iterate(&mut net, lease, AgentStatus::Continue), Code::Ok);
    assert_eq!(move_to(&mut net, job, &there), Code::Ok);
    net.settle();
    (0..2).for_each(|shard| net.nodes[shard].restart());
    let now = now_of(&net, job);
    let found = view(&net, now);
    let state = found.agent.expect("it is an agent job");
    assert_eq!((state.iteration, state.limits, found.cost_micros), (2, LIMITS, 1_000_000));
    assert!(found.checkpoint.0 > 0 && found.attempt == 0);
    // What it cost is not spent again.
    assert_eq!(net.nodes[1].state.usage_sums(&Default::default()), []);
    let (lease, _) = net.fetch(&there, 1)[0].clone();
    assert_eq!(iterate(&mut net, lease, AgentStatus::Continue), Code::Ok);
    let (lease, _) = net.fetch(&there, 1)[0].clone();
    assert_eq!(iterate(&mut net, lease, AgentStatus::Continue), Code::Ok);
    // The third was the last one.
    let found = view(&net, now);
    assert_eq!((found.state, found.cost_micros), (JobState::Held, 3_000_000));
}

#[test]
fn an_agent_job_that_is_to_go_leaves_when_its_iteration_is_over() {
    for (status, then) in
        [(AgentStatus::Continue, JobState::Pending), (AgentStatus::Hold, JobState::Held)]
    {
        let mut net = Net::new(2);
        let (here, there) = (net.queue(0), net.queue(1));
        let job = agent(&mut net, &here);
        let (lease, _) = net.fetch(&here, 1)[0].clone();
        assert_eq!(move_to(&mut net, job, &there), Code::Ok);
        assert_eq!(view(&net, job).state, JobState::Active);
        assert_eq!(iterate(&mut net, lease, status), Code::Ok);
        assert_eq!((view(&net, job).state, net.fetch(&here, 1).len()), (JobState::Moved, 0));
        net.settle();
        let found = view(&net, now_of(&net, job));
        let iteration = if status == AgentStatus::Continue { 2 } else { 1 };
        let agent = found.agent.expect("it is an agent job");
        assert_eq!((found.state, agent.iteration), (then, iteration));
    }
}
