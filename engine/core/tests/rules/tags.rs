//! Budgets of tags, at fetches.

use jobbie_proto::limits::TAG_PASSED_MAX;
use jobbie_proto::request::Enqueue;
use jobbie_proto::rules::{DAY_US, OnExceed, RuleControl};
use jobbie_proto::{Request, ShardId};

use crate::net::{Net, enqueue};
use crate::{HOUR_US, daily, survives, tag};

const A: &str = r#"{"team":"a"}"#;
const B: &str = r#"{"team":"b","x":[1]}"#;

#[test]
fn jobs_with_a_spent_tag_are_passed_over() {
    for (on_exceed, passed) in
        [(OnExceed::Hold, true), (OnExceed::Reject, true), (OnExceed::AlertOnly, false)]
    {
        let mut net = Net::new(1);
        net.at(23 * HOUR_US);
        net.set(daily(tag("team", "a"), 10, on_exceed));
        net.spend("q", A, 9);
        net.spend("q", B, 50);
        let first = net.add("q", A, 1)[0];
        net.add("q", B, 1);
        net.spend("r", A, 1);
        assert_eq!((net.spent(&tag("team", "a")), net.told(ShardId(0))), (10, 1));
        let got = net.get("q", 5);
        assert_eq!(got.len(), if passed { 1 } else { 2 }, "{on_exceed:?}");
        assert_eq!(got[0].job == first, !passed);
        net.at(DAY_US);
        net.timers();
        assert_eq!(net.get("q", 5).len(), usize::from(passed), "the next day");
        survives(&mut net);
    }
}

#[test]
fn they_are_passed_over_in_lanes_and_in_their_own_request() {
    let mut net = Net::new(1);
    net.set(daily(tag("team", "a"), 0, OnExceed::Hold));
    let keyed =
        |tags: &'static str| Enqueue { limit_key: "k", tags: tags.as_bytes(), ..enqueue("q") };
    let enqueues = vec![keyed(A), keyed(B), keyed(A), keyed("")];
    net.enqueue(Request { enqueues, ..Request::default() });
    assert_eq!(net.get("q", 9).len(), 2);
    assert_eq!(net.get("q", 9).len(), 0);
    let plain = Enqueue { tags: A.as_bytes(), ..enqueue("r") };
    let request = Request { enqueues: vec![plain, enqueue("r")], ..Net::ask(&["r"], 5, 0) };
    let reply = net.run(ShardId(0), request);
    assert_eq!(reply.leases.len(), 1);
    net.control(RuleControl::DeleteBudget(tag("team", "a")));
    assert_eq!((net.get("q", 9).len(), net.get("r", 9).len()), (2, 1));
    survives(&mut net);
}

#[test]
fn a_rule_concerns_jobs_that_come_after_it() {
    let mut net = Net::new(1);
    net.add("q", A, 1);
    let id = net.set(daily(tag("team", "a"), 0, OnExceed::Hold));
    assert_eq!(net.get("q", 1).len(), 1, "it came before");
    net.add("q", A, 1);
    assert_eq!(net.get("q", 1).len(), 0);
    // Set again, it is the same rule.
    assert_eq!(net.set(daily(tag("team", "a"), 5, OnExceed::Hold)), id);
    assert_eq!(net.set(daily(tag("team", "a"), 0, OnExceed::Hold)), id);
    assert_eq!(net.get("q", 1).len(), 0);
    // Deleted and made again, it is another.
    net.control(RuleControl::DeleteBudget(tag("team", "a")));
    assert_ne!(net.set(daily(tag("team", "a"), 0, OnExceed::Hold)), id);
    assert_eq!(net.get("q", 1).len(), 1);
}

#[test]
fn a_fetch_passes_over_so_many_and_no_more() {
    let mut net = Net::new(1);
    net.set(daily(tag("team", "a"), 0, OnExceed::Hold));
    net.add("q", A, TAG_PASSED_MAX - 1);
    net.add("q", B, 1);
    assert_eq!(net.get("q", 1).len(), 1);
    net.add("q", A, 1);
    net.add("q", B, 1);
    assert_eq!(net.get("q", 1).len(), 0, "a thousand stand before it");
    survives(&mut net);
}
