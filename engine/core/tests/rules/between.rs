//! Rules of several shards, told by messages.

use jobbie_proto::rules::{Budget, DAY_US, OnExceed, RuleControl, Scope};
use jobbie_proto::{Code, ShardId};

use crate::net::Net;
use crate::{HOME, HOUR_US, daily, survives, tag};

#[test]
fn every_shard_knows_the_rules_and_adds_up_at_home() {
    let mut net = Net::new(3);
    let queues: Vec<_> = (0..3).map(|shard| net.queue(shard)).collect();
    net.spend(&queues[1], "", 2);
    net.set(daily(Scope::Global, 10, OnExceed::Reject));
    net.settle();
    assert_eq!(net.spent(&Scope::Global), 2, "what was spent elsewhere before");
    net.spend(&queues[0], "", 3);
    net.spend(&queues[1], "", 3);
    net.spend(&queues[2], "", 2);
    // Not told yet: it is on its way.
    for queue in &queues {
        assert_eq!(net.exceeded(queue), None);
    }
    net.settle();
    for (shard, queue) in (0..).zip(&queues) {
        assert_eq!(net.exceeded(queue), Some(OnExceed::Reject));
        assert_eq!(net.told(ShardId(shard)), 1);
        let refused = net.refused(ShardId(shard), Net::ask(&[queue], 1, 0));
        assert_eq!(refused.0, Code::BudgetExceeded);
    }
    assert_eq!(net.spent(&Scope::Global), 10);
    survives(&mut net);
    // Raised, it opens everywhere; the crossing that was told before does not close it again.
    net.set(daily(Scope::Global, 12, OnExceed::Reject));
    net.settle();
    assert!(queues.iter().all(|queue| net.exceeded(queue).is_none()));
    net.spend(&queues[2], "", 2);
    net.settle();
    assert!(queues.iter().all(|queue| net.exceeded(queue) == Some(OnExceed::Reject)));
    assert_eq!(net.told(HOME), 2);
    net.at(DAY_US);
    net.timers();
    assert!(queues.iter().all(|queue| net.exceeded(queue).is_none()), "another day");
    net.control(RuleControl::DeleteBudget(Scope::Global));
    net.settle();
    assert!(net.nodes.iter().all(|node| node.state.budgets_spent() == 0));
    survives(&mut net);
}

#[test]
fn spending_that_comes_late_counts_for_its_day() {
    let mut net = Net::new(2);
    let queue = net.queue(1);
    net.at(DAY_US - HOUR_US);
    net.set(daily(tag("a", "b"), 10, OnExceed::Hold));
    net.settle();
    net.spend(&queue, r#"{"a":"b"}"#, 9);
    let (first, messages) = net.letter(1, 0, 10).expect("it has spent");
    net.at(DAY_US + 1);
    net.timers();
    net.spend(&queue, r#"{"a":"b"}"#, 2);
    net.take(1, 0, first, &messages);
    assert_eq!(net.spent(&tag("a", "b")), 0, "that was yesterday");
    net.settle();
    assert_eq!(net.spent(&tag("a", "b")), 2);
    survives(&mut net);
}

#[test]
fn a_budget_that_is_gone_counts_nothing() {
    let mut net = Net::new(2);
    let queue = net.queue(1);
    net.set(daily(Scope::Global, 10, OnExceed::Hold));
    net.settle();
    net.spend(&queue, "", 9);
    net.control(RuleControl::DeleteBudget(Scope::Global));
    net.set(daily(Scope::Global, 10, OnExceed::Hold));
    let (first, messages) = net.letter(1, 0, 10).expect("it has spent");
    net.take(1, 0, first, &messages);
    assert_eq!(net.spent(&Scope::Global), 0, "of the other budget");
    net.settle();
    assert_eq!(net.spent(&Scope::Global), 9, "once the shard knows the new one");
    survives(&mut net);
}

#[test]
fn nothing_at_all_stops_every_shard() {
    let mut net = Net::new(3);
    let queues: Vec<_> = (0..3).map(|shard| net.queue(shard)).collect();
    queues.iter().for_each(|queue| _ = net.add(queue, "", 1));
    net.set(daily(Scope::Global, 0, OnExceed::Hold));
    net.settle();
    for day in 1..4 {
        assert!(queues.iter().all(|queue| net.exceeded(queue) == Some(OnExceed::Hold)));
        assert_eq!(net.told(HOME), day);
        net.at(day as u64 * DAY_US);
        net.timers();
        net.settle();
    }
    survives(&mut net);
}

#[test]
fn what_jobs_cost_in_the_mean_does_not_hide_that_the_days_money_is_spent() {
    let mut net = Net::new(3);
    let queues: Vec<_> = (0..3).map(|shard| net.queue(shard)).collect();
    queues.iter().for_each(|queue| _ = net.add(queue, "", 1));
    net.set(Budget { per_job: Some(4), ..daily(Scope::Global, 10, OnExceed::Reject) });
    net.settle();
    net.spend(&queues[0], "", 5);
    net.settle();
    assert_eq!((net.exceeded(&queues[0]), net.told(HOME)), (Some(OnExceed::Reject), 1));
    assert_eq!(net.exceeded(&queues[1]), None, "its jobs cost nothing yet");
    net.spend(&queues[1], "", 5);
    net.settle();
    let told: Vec<_> = (0..3).map(|shard| net.told(ShardId(shard))).collect();
    assert_eq!(told, [2, 2, 1], "each limit once");
    assert_eq!(net.exceeded(&queues[2]), Some(OnExceed::Reject));
    survives(&mut net);
}

#[test]
fn both_limits_may_be_reached_before_either_is_told() {
    let mut net = Net::new(2);
    let queue = net.queue(0);
    net.add(&queue, "", 2);
    net.set(Budget { per_job: Some(4), ..daily(Scope::Global, 10, OnExceed::AlertOnly) });
    net.settle();
    net.consequences = 0;
    net.spend(&queue, "", 5);
    net.spend(&queue, "", 5);
    assert_eq!(net.told(HOME), 0);
    net.consequences = 1;
    net.settle();
    assert_eq!((net.told(HOME), net.told(ShardId(1))), (2, 1));
}

#[test]
fn a_day_that_has_begun_elsewhere_is_told_once() {
    let mut net = Net::new(2);
    let queue = net.queue(1);
    net.set(daily(Scope::Global, 0, OnExceed::AlertOnly));
    net.settle();
    assert_eq!(net.told(HOME), 1);
    // The other shard is in its next day, which its home has not begun.
    net.at(DAY_US - 1);
    net.add(&net.queue(0), "", 1);
    net.at(DAY_US);
    net.spend(&queue, "", 5);
    let (first, messages) = net.letter(1, 0, 10).expect("it has spent");
    net.at(DAY_US - 1);
    net.take(1, 0, first, &messages);
    assert_eq!(net.told(HOME), 2);
    net.at(DAY_US);
    net.timers();
    assert_eq!(net.told(HOME), 2);
}
