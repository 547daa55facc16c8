//! What may be spent on a day.

use jobbie_core::{Decision, Settings};
use jobbie_proto::event::QueueSettings;
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{Ack, Enqueue, QueueAction, QueueControl};
use jobbie_proto::rules::{DAY_US, OnExceed, RuleControl, Scope};
use jobbie_proto::{Code, Micros, Request, ShardId};

use crate::net::{Net, enqueue};
use crate::{HOUR_US, daily, per_job, survives, usage};

fn queue() -> Scope {
    Scope::Queue("q".into())
}

fn net() -> Net {
    Net::new(1)
}

#[test]
fn a_queue_closes_exactly_at_its_limit() {
    let mut net = net();
    net.set(daily(queue(), 100, OnExceed::Hold));
    let jobs = net.add("q", "", 6);
    let got = net.get("q", 3);
    assert_eq!(net.finish(got[0], 99), Code::Ok);
    assert_eq!((net.exceeded("q"), net.told(ShardId(0))), (None, 0));
    assert_eq!(net.get("q", 1).len(), 1, "99 of 100 is not exceeded");
    assert_eq!(net.finish(got[1], 1), Code::Ok);
    assert_eq!((net.exceeded("q"), net.told(ShardId(0))), (Some(OnExceed::Hold), 1));
    assert_eq!(net.state_of(jobs[4]), Ok(JobState::Held), "the head of the queue");
    assert_eq!(net.state_of(jobs[5]), Ok(JobState::Pending), "and no other");
    assert!(net.is_nothing(Net::ask(&["q"], 1, 0)));
    assert_eq!(net.decide(ShardId(0), Net::ask(&["q"], 1, 9)), Decision::Wait);
    // What goes on costs more, and nothing is said again.
    assert_eq!(net.finish(got[2], 50), Code::Ok);
    assert_eq!((net.spent(&queue()), net.told(ShardId(0))), (150, 1));
    assert_eq!(net.state_of(jobs[5]), Ok(JobState::Pending));
    survives(&mut net);
    assert!(!net.nodes[0].state.is_fetchable("q", net.now));
}

#[test]
fn it_opens_with_the_day_to_the_microsecond() {
    let mut net = net();
    net.at(23 * HOUR_US);
    net.set(daily(queue(), 10, OnExceed::Hold));
    net.add("q", "", 5);
    let got = net.one("q");
    net.finish(got, 10);
    assert_eq!(net.nodes[0].state.next_timer(&Settings::default()), Some(Micros(DAY_US)));
    net.at(DAY_US - 1);
    net.timers();
    assert!(!net.nodes[0].state.is_fetchable("q", net.now));
    assert!(net.is_nothing(Net::ask(&["q"], 1, 0)));
    // A decision needs no timer to know the day.
    assert!(net.nodes[0].state.is_fetchable("q", Micros(DAY_US)));
    net.at(DAY_US);
    net.timers();
    assert_eq!(net.exceeded("q"), None);
    assert_eq!(net.spent(&queue()), 0);
    let got = net.get("q", 2);
    assert_eq!(got.len(), 2);
    assert_eq!(net.finish(got[0], 9), Code::Ok);
    assert_eq!(net.told(ShardId(0)), 1);
    assert_eq!(net.finish(got[1], 1), Code::Ok);
    assert_eq!(net.told(ShardId(0)), 2, "another day, another crossing");
    survives(&mut net);
}

#[test]
fn a_higher_limit_opens_it_and_may_be_crossed_again() {
    let mut net = net();
    net.set(daily(queue(), 10, OnExceed::Hold));
    net.add("q", "", 9);
    let got = net.get("q", 2);
    net.finish(got[0], 10);
    assert!(net.is_nothing(Net::ask(&["q"], 1, 0)));
    net.set(daily(queue(), 11, OnExceed::Hold));
    assert_eq!(net.exceeded("q"), None);
    assert_eq!(net.get("q", 1).len(), 1);
    net.finish(got[1], 1);
    assert_eq!((net.exceeded("q"), net.told(ShardId(0))), (Some(OnExceed::Hold), 2));
    // A limit that is lowered below what was spent closes at once.
    net.set(daily(queue(), 100, OnExceed::Hold));
    assert_eq!(net.exceeded("q"), None);
    net.set(daily(queue(), 5, OnExceed::Hold));
    assert_eq!((net.exceeded("q"), net.told(ShardId(0))), (Some(OnExceed::Hold), 3));
    let deleted = RuleControl::DeleteBudget(queue());
    assert_eq!(net.control(deleted.clone()).code, Code::Ok);
    assert_eq!((net.exceeded("q"), net.get("q", 1).len()), (None, 1));
    assert_eq!(net.control(deleted).code, Code::Ok, "deleting is repeatable");
    // What was spent before the budget was set counts.
    net.set(daily(queue(), 11, OnExceed::Reject));
    assert_eq!(net.exceeded("q"), Some(OnExceed::Reject));
    survives(&mut net);
}

#[test]
fn nothing_at_all_stops_a_queue_every_day() {
    let mut net = net();
    net.add("q", "", 3);
    net.add("r", "", 1);
    net.set(daily(queue(), 0, OnExceed::Reject));
    let refused = net.refused(ShardId(0), Net::ask(&["q"], 1, 1000));
    assert_eq!(refused.0, Code::BudgetExceeded, "{}", refused.1);
    assert_eq!(net.told(ShardId(0)), 1);
    net.at(DAY_US + 5);
    net.timers();
    assert_eq!(net.told(ShardId(0)), 2);
    assert_eq!(net.refused(ShardId(0), Net::ask(&["q"], 1, 0)).0, Code::BudgetExceeded);
    // One of several queues that is open is enough.
    let got = net.run(ShardId(0), Net::ask(&["q", "r"], 5, 0));
    assert_eq!(got.leases.len(), 1);
    assert!(net.is_nothing(Net::ask(&["q", "r"], 5, 0)));
    net.set(daily(Scope::Queue("r".into()), 0, OnExceed::Hold));
    assert!(net.is_nothing(Net::ask(&["q", "r"], 5, 0)), "not all say reject");
    // What else is in the request is done.
    let request = Request { extend_session_ms: 500, ..Net::ask(&["q"], 1, 0) };
    assert_eq!(net.run(ShardId(0), request).leases, []);
    survives(&mut net);
}

#[test]
fn a_fetch_knows_what_its_own_request_has_cost() {
    for (cost, leases) in [(9, 1), (10, 0)] {
        let mut net = net();
        net.set(daily(queue(), 10, OnExceed::Reject));
        net.add("q", "", 2);
        let acks = vec![Ack { job: net.one("q"), result: b"" }];
        let request = Request { acks, ack_usages: usage(cost), ..Net::ask(&["q"], 1, 0) };
        let reply = net.run(ShardId(0), request);
        assert_eq!((reply.acks, reply.leases.len()), (vec![Code::Ok], leases), "{cost}");
    }
}

#[test]
fn a_budget_that_only_warns_stops_nothing() {
    let mut net = net();
    net.set(daily(queue(), 10, OnExceed::AlertOnly));
    net.add("q", "", 4);
    let got = net.get("q", 2);
    net.finish(got[0], 10);
    assert_eq!((net.exceeded("q"), net.told(ShardId(0))), (Some(OnExceed::AlertOnly), 1));
    assert_eq!(net.get("q", 9).len(), 2);
    net.finish(got[1], 10);
    assert_eq!(net.told(ShardId(0)), 1);
}

#[test]
fn the_budget_of_all_jobs_adds_queues_up() {
    let mut net = net();
    net.spend("a", "", 3);
    net.set(daily(Scope::Global, 10, OnExceed::Reject));
    assert_eq!(net.spent(&Scope::Global), 3, "what was spent before counts");
    net.spend("b", "", 6);
    net.add("a", "", 2);
    let got = net.one("a");
    net.finish(got, 1);
    assert_eq!(net.refused(ShardId(0), Net::ask(&["a"], 1, 0)).0, Code::BudgetExceeded);
    assert_eq!(net.refused(ShardId(0), Net::ask(&["never-used"], 1, 0)).0, Code::BudgetExceeded);
    // The strictest counts.
    net.set(daily(Scope::Queue("a".into()), 1, OnExceed::Hold));
    assert_eq!(net.exceeded("a"), Some(OnExceed::Reject));
    net.control(RuleControl::DeleteBudget(Scope::Global));
    assert_eq!(net.exceeded("a"), Some(OnExceed::Hold));
    assert_eq!(net.exceeded("b"), None);
    survives(&mut net);
}

#[test]
fn the_mean_of_a_queue_closes_it_and_opens_it_again() {
    let mut net = net();
    net.at(23 * HOUR_US);
    net.set(per_job(queue(), 10, OnExceed::Hold));
    let jobs = net.add("q", "", 6);
    let got = net.get("q", 4);
    net.finish(got[0], 10);
    assert_eq!(net.exceeded("q"), None, "exactly the limit");
    net.finish(got[1], 11);
    assert_eq!((net.exceeded("q"), net.told(ShardId(0))), (Some(OnExceed::Hold), 1));
    assert_eq!(net.state_of(jobs[4]), Ok(JobState::Held));
    assert!(net.is_nothing(Net::ask(&["q"], 1, 0)));
    net.at(DAY_US);
    net.timers();
    assert!(net.is_nothing(Net::ask(&["q"], 1, 0)), "the mean knows no days");
    net.nodes[0].state.drain_opened();
    net.finish(got[2], 9);
    assert_eq!(net.exceeded("q"), None, "30 for 3");
    assert_eq!(net.get("q", 5).len(), 1);
    // Of all jobs: compared with each queue.
    net.control(RuleControl::DeleteBudget(queue()));
    net.set(per_job(Scope::Global, 9, OnExceed::Hold));
    assert_eq!(net.exceeded("q"), Some(OnExceed::Hold));
    net.spend("r", "", 9);
    assert_eq!(net.exceeded("r"), None);
    survives(&mut net);
}

#[test]
fn the_head_is_the_job_that_would_go_first() {
    let mut net = net();
    let first = |priority| Enqueue { priority, ..enqueue("q") };
    let keyed = |key| Enqueue { limit_key: key, ..enqueue("q") };
    let settings = QueueSettings { key_concurrency: 1, ..QueueSettings::default() };
    let queue_controls =
        vec![QueueControl { queue: "q", action: QueueAction::Configure(settings) }];
    net.run(ShardId(0), Request { queue_controls, ..Request::default() });
    let enqueues = vec![keyed("a"), keyed("a"), keyed("b"), first(2)];
    let jobs = net.enqueue(Request { enqueues, ..Request::default() });
    let got = net.one("q");
    assert_eq!(got.job, jobs[0]);
    net.set(daily(queue(), 0, OnExceed::Hold));
    // The second of key a waits for the first.
    assert_eq!(net.state_of(jobs[1]), Ok(JobState::Pending));
    assert_eq!(net.state_of(jobs[2]), Ok(JobState::Held));
    survives(&mut net);
}
