//! Rules of several shards, told by messages.

use jobbie_proto::rules::{DAY_US, OnExceed, RuleControl, Scope};
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
