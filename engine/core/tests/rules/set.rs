//! What may be set, and what is told.

use jobbie_core::ties::mail::Source;
use jobbie_proto::agent::AgentStatus;
use jobbie_proto::event::Event;
use jobbie_proto::limits::{BUDGET_MICROS_MAX, POLICIES_MAX, RULE_CONTROLS_MAX};
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{Ack, Agent, AgentAck, Enqueue, EnqueueAgent};
use jobbie_proto::rules::{Budget, JobTag, OnExceed, Policy, PolicyMode, RuleControl, Scope};
use jobbie_proto::{Code, EventSeq, Request, ShardId};

use crate::net::{Net, enqueue};
use crate::{daily, survives, tag};

fn policy(name: &str) -> Policy {
    Policy { name: name.into(), mode: PolicyMode::Any, enabled: true, queue: None, tag: None }
}

fn request(controls: Vec<RuleControl>) -> Request<'static> {
    Request { rule_controls: controls, ..Request::default() }
}

#[test]
fn what_is_wrong_is_refused_with_its_field() {
    let mut net = Net::new(1);
    let queue = || Scope::Queue("q".into());
    let set = |budget| vec![RuleControl::SetBudget(budget)];
    let ok = daily(queue(), 5, OnExceed::Hold);
    let cases = [
        (set(Budget { daily: None, ..ok.clone() }), Code::Invalid, "a budget has one limit"),
        (set(daily(queue(), BUDGET_MICROS_MAX + 1, OnExceed::Hold)), Code::Invalid, "daily"),
        (set(daily(Scope::Queue(String::new()), 5, OnExceed::Hold)), Code::Invalid, "queue"),
        (set(daily(tag("", "v"), 5, OnExceed::Hold)), Code::Invalid, "tag.key"),
        (set(daily(tag("k", &"v".repeat(256)), 5, OnExceed::Hold)), Code::TooLarge, "tag.value"),
        (vec![RuleControl::AddPolicy(policy(""))], Code::Invalid, "name"),
        (vec![RuleControl::AddPolicy(policy("a\n"))], Code::Invalid, "control character"),
        (
            vec![RuleControl::SetBudget(ok.clone()), RuleControl::DeleteBudget(queue())],
            Code::Invalid,
            "rule_controls[1].scope: named in rule_controls[0] too",
        ),
        (
            vec![RuleControl::DeletePolicy(EventSeq(1)); RULE_CONTROLS_MAX + 1],
            Code::TooLarge,
            "at most 100",
        ),
    ];
    for (controls, code, text) in cases {
        let refused = net.refused(ShardId(0), request(controls));
        assert_eq!(refused.0, code, "{}", refused.1);
        assert!(refused.1.contains(text), "{}", refused.1);
    }
    let with = Request { enqueues: vec![enqueue("q")], ..request(set(ok)) };
    assert!(net.refused(ShardId(0), with).1.contains("send them one after the other"));
}

#[test]
fn rules_have_a_home() {
    let mut net = Net::new(3);
    let queue = net.queue(2);
    let elsewhere = [
        daily(Scope::Global, 5, OnExceed::Hold),
        daily(tag("k", "v"), 5, OnExceed::Hold),
        daily(Scope::Queue(net.queue(1)), 5, OnExceed::Hold),
    ];
    for budget in elsewhere {
        let controls = vec![RuleControl::SetBudget(budget)];
        assert_eq!(net.refused(ShardId(2), request(controls)).0, Code::WrongShard);
    }
    net.set(daily(Scope::Queue(queue), 5, OnExceed::Hold));
    assert_eq!(net.nodes[2].state.budgets().count(), 1);
    assert!(!net.nodes[2].state.has_consequences(), "nobody else is told");
}

#[test]
fn there_is_room_for_so_many() {
    let mut net = Net::new(1);
    let ids: Vec<_> = (0..POLICIES_MAX)
        .map(|n| net.control(RuleControl::AddPolicy(policy(&format!("p{n}")))).id)
        .collect();
    let more = || request(vec![RuleControl::AddPolicy(policy("more"))]);
    assert_eq!(net.refused(ShardId(0), more()).0, Code::Overloaded);
    let gone = RuleControl::DeletePolicy(ids[7]);
    assert_eq!(net.control(gone.clone()).code, Code::Ok);
    assert_eq!(net.control(gone).code, Code::NotFound);
    assert_eq!(net.run(ShardId(0), more()).rule_controls[0].code, Code::Ok);
    let policies: Vec<_> = net.nodes[0].state.policies().map(|view| view.policy.name).collect();
    assert_eq!((policies.len(), &*policies[0], &*policies[1]), (POLICIES_MAX, "more", "p99"));
    survives(&mut net);
}

#[test]
fn tags_are_kept_of_jobs_that_a_rule_names_and_go_with_them() {
    let mut net = Net::new(1);
    let named = Policy { tag: Some(JobTag { key: "k".into(), value: "7".into() }), ..policy("p") };
    net.control(RuleControl::AddPolicy(named));
    let with = |tags: &'static str| Enqueue { tags: tags.as_bytes(), ..enqueue("q") };
    let enqueues = vec![with(r#"{"k":7}"#), with(r#"{"k":8}"#), with("k=7"), with(r#"{"k":"7"}"#)];
    net.enqueue(Request { enqueues, ..Request::default() });
    survives(&mut net);
    let got = net.get("q", 9);
    got.into_iter().for_each(|job| {
        net.finish(job, 1);
    });
    // `check` says that no tag is kept without its job.
    survives(&mut net);
}

#[test]
fn the_newest_policy_that_concerns_a_job_counts() {
    let mut net = Net::new(1);
    let of_queue = |name: &str| Policy { queue: Some("q".into()), ..policy(name) };
    let tagged = || Some(JobTag { key: "k".into(), value: "7".into() });
    let of_tag = |name: &str| Policy { tag: tagged(), ..policy(name) };
    let all = |name: &str| Policy { mode: PolicyMode::All, tag: tagged(), ..of_queue(name) };
    let tags = br#"{"k":7}"#;
    let before = Enqueue { tags, ..enqueue("q") };
    let before = net.enqueue(Request { enqueues: vec![before], ..Request::default() })[0];
    net.control(RuleControl::AddPolicy(policy("without a condition")));
    net.control(RuleControl::AddPolicy(Policy { enabled: false, ..of_queue("disabled") }));
    let made = |net: &mut Net| {
        let jobs = [("q", &b""[..]), ("q", tags), ("r", tags), ("r", b"")];
        jobs.map(|(queue, tags)| {
            let enqueues = vec![Enqueue { tags, ..enqueue(queue) }];
            net.enqueue(Request { enqueues, ..Request::default() })[0]
        })
    };
    let name = |net: &Net, job: jobbie_proto::JobId| {
        net.nodes[0].state.policy_for(job.seq()).map_or("", |policy| &policy.name).to_owned()
    };
    let jobs = made(&mut net);
    assert_eq!(jobs.map(|job| name(&net, job)), [""; 4]);
    net.control(RuleControl::AddPolicy(of_queue("queue")));
    assert_eq!(jobs.map(|job| name(&net, job)), ["queue", "queue", "", ""]);
    net.control(RuleControl::AddPolicy(all("both")));
    net.control(RuleControl::AddPolicy(of_tag("tag")));
    let jobs = made(&mut net);
    assert_eq!(jobs.map(|job| name(&net, job)), ["queue", "tag", "tag", ""]);
    assert_eq!(name(&net, before), "queue", "it came before the rules of its tag");
    let newest = net.nodes[0].state.policies().next().expect("some").id;
    net.control(RuleControl::DeletePolicy(newest));
    assert_eq!(jobs.map(|job| name(&net, job)), ["queue", "both", "", ""]);
    let any = Policy { mode: PolicyMode::Any, ..all("either") };
    net.control(RuleControl::AddPolicy(any));
    let jobs = made(&mut net);
    assert_eq!(jobs.map(|job| name(&net, job)), ["either", "either", "either", ""]);
    survives(&mut net);
}

/// An agent job of the queue that wants to go on: its state then, and why it is held.
fn continues(net: &mut Net, tags: &[u8], reason: &[u8]) -> (JobState, String) {
    let agents = vec![EnqueueAgent { enqueue: 0, agent: Agent::default() }];
    let enqueues = vec![Enqueue { tags, ..enqueue("q") }];
    net.enqueue(Request { enqueues, agents, ..Request::default() });
    let job = net.one("q");
    let status = AgentStatus::Continue as u8;
    let agent_acks = vec![AgentAck { of: 0, status, checkpoint: b"", reason }];
    let acks = vec![Ack { job, result: b"" }];
    let reply = net.run(ShardId(0), Request { acks, agent_acks, ..Request::default() });
    assert_eq!(reply.acks, [Code::Ok]);
    let state = net.state_of(job.job).expect("it is there");
    let said = net.held_for(job.job);
    net.run(ShardId(0), Request { cancels: vec![job.job], ..Request::default() });
    (state, said)
}

impl Net {
    /// The reason in the record that holds a job; empty when none does.
    fn held_for(&self, job: jobbie_proto::JobId) -> String {
        let node = &self.nodes[0];
        let hold = node.state.job(job).expect("it is there").hold;
        let log = node.log();
        let Some(found) = log.find(hold) else { return String::new() };
        match found.event {
            Event::Iterated(iteration) => {
                String::from_utf8(iteration.reason.of(found.blob).to_vec()).expect("text")
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_agent_job_that_a_policy_concerns_waits_for_a_human() {
    let mut net = Net::new(1);
    let tags = br#"{"k":"7"}"#;
    assert_eq!(continues(&mut net, tags, b"").0, JobState::Pending);
    let tag = Some(JobTag { key: "k".into(), value: "7".into() });
    net.control(RuleControl::AddPolicy(Policy { tag, ..policy("look at sevens") }));
    let held = |reason: &str| (JobState::Held, reason.to_owned());
    let matched = held("approval policy matched: look at sevens");
    assert_eq!(continues(&mut net, tags, b""), matched);
    assert_eq!(continues(&mut net, tags, b"I am not sure"), held("I am not sure"));
    assert_eq!(continues(&mut net, b"", b"").0, JobState::Pending);
    survives(&mut net);
}

#[cfg(feature = "mutants")]
#[test]
fn policies_in_the_wrong_order_are_found() {
    use jobbie_core::mutants::{Mutant, plant};
    plant(Some(Mutant::PoliciesOldestFirst));
    let fell = std::panic::catch_unwind(the_newest_policy_that_concerns_a_job_counts).is_err();
    plant(None);
    assert!(fell, "PoliciesOldestFirst was not found");
}
