//! What one job may cost.

use jobbie_proto::event::{Event, OverrunAt, Rule};
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{JobAction, JobControl};
use jobbie_proto::rules::{Budget, OnExceed, Scope};
use jobbie_proto::{Code, Request, ShardId};

use crate::net::Net;
use crate::{per_job, survives, tag};

fn queue() -> Scope {
    Scope::Queue("q".into())
}

fn overruns(net: &Net, when: OverrunAt) -> usize {
    net.nodes[0].count(|event| {
        matches!(event, Event::Ruled(rule)
            if matches!(**rule, Rule::Overrun { at, .. } if at == when))
    })
}

#[test]
fn an_ack_that_costs_too_much_is_refused_and_counted() {
    let mut net = Net::new(1);
    net.set(per_job(queue(), 10, OnExceed::Reject));
    net.add("q", "", 3);
    let got = net.get("q", 3);
    assert_eq!(net.finish(got[0], 10), Code::Ok, "exactly the limit");
    assert_eq!(net.beat(got[1], 6), Code::Ok);
    assert_eq!(net.finish(got[1], 5), Code::BudgetExceeded);
    assert_eq!(net.state_of(got[1].job), Ok(JobState::Held));
    assert_eq!(net.spent(&queue()), 21, "what it cost is spent");
    assert_eq!(net.finish(got[1], 5), Code::NotActive, "its lease is over");
    assert_eq!(net.spent(&queue()), 21);
    assert_eq!(overruns(&net, OverrunAt::Ack), 1);
    let view = net.nodes[0].state.job(got[1].job).expect("it is there");
    assert_eq!(view.cost_micros, 11);
    assert!(view.hold.0 > 0, "why it is held is in the log");
    // An ack that says nothing of usage is not refused, whatever the job has cost.
    assert_eq!(net.ack(got[2], b""), Code::Ok);
    // Approved, it may be finished without more cost only when somebody raises the limit or says no more.
    let action = JobAction::Approve { note: b"", by: "" };
    let job_controls = vec![JobControl { job: got[1].job, action }];
    net.run(ShardId(0), Request { job_controls, ..Request::default() });
    survives(&mut net);
}

#[test]
fn an_ack_only_minds_budgets_that_reject() {
    for on_exceed in [OnExceed::Hold, OnExceed::AlertOnly] {
        let mut net = Net::new(1);
        net.set(per_job(queue(), 10, on_exceed));
        net.add("q", "", 1);
        let got = net.one("q");
        assert_eq!(net.finish(got, 11), Code::Ok, "{on_exceed:?}");
        assert_eq!(net.state_of(got.job), Err(Code::NotFound));
    }
}

#[test]
fn heartbeats_hold_cancel_or_warn() {
    let states = [
        (OnExceed::AlertOnly, JobState::Active),
        (OnExceed::Hold, JobState::Held),
        (OnExceed::Reject, JobState::Cancelled),
    ];
    for (on_exceed, state) in states {
        let mut net = Net::new(1);
        net.set(per_job(tag("a", "1"), 10, on_exceed));
        net.add("q", r#"{"a":1}"#, 1);
        net.add("q", "", 1);
        let got = net.get("q", 2);
        assert_eq!(net.beat(got[0], 10), Code::Ok);
        assert_eq!(net.beat(got[1], 11), Code::Ok, "a job without the tag");
        assert_eq!(net.beat(got[0], 1), Code::BudgetExceeded);
        assert_eq!(net.state_of(got[0].job), Ok(state));
        let again = if state == JobState::Active { Code::BudgetExceeded } else { Code::NotActive };
        assert_eq!(net.beat(got[0], 0), again);
        survives(&mut net);
    }
}

#[test]
fn the_smallest_limit_counts_and_of_equal_ones_the_strictest() {
    let mut net = Net::new(1);
    net.set(per_job(Scope::Global, 10, OnExceed::AlertOnly));
    net.set(per_job(queue(), 20, OnExceed::Reject));
    net.add("q", r#"{"a":"x"}"#, 9);
    let got = net.get("q", 3);
    assert_eq!(net.finish(got[0], 21), Code::Ok, "the smallest only warns");
    net.set(per_job(queue(), 10, OnExceed::Reject));
    assert_eq!(net.finish(got[1], 11), Code::BudgetExceeded);
    // A tag rule concerns jobs that come after it.
    net.set(per_job(tag("a", "x"), 5, OnExceed::Reject));
    assert_eq!(net.finish(got[2], 6), Code::Ok);
    survives(&mut net);
}

#[test]
fn one_request_adds_what_its_heartbeats_say() {
    let mut net = Net::new(1);
    let budget = Budget { daily: Some(1000), ..per_job(queue(), 10, OnExceed::Hold) };
    net.set(budget);
    net.add("q", "", 2);
    let got = net.get("q", 2);
    let beat = |job| jobbie_proto::request::Heartbeat {
        job,
        extend_ms: 0,
        progress: b"",
        checkpoint: b"",
    };
    let mut usages = crate::usage(6);
    usages.push(jobbie_proto::request::ReportUsage { of: 1, ..usages[0] });
    usages.push(jobbie_proto::request::ReportUsage { of: 2, ..usages[0] });
    let request = Request {
        heartbeats: vec![beat(got[0]), beat(got[1]), beat(got[0])],
        heartbeat_usages: usages,
        ..Request::default()
    };
    let reply = net.run(ShardId(0), request);
    assert_eq!(reply.heartbeats, [Code::Ok, Code::Ok, Code::BudgetExceeded]);
    assert_eq!(net.state_of(got[0].job), Ok(JobState::Held));
    assert_eq!(net.spent(&queue()), 18);
}
