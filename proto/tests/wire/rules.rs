//! Budgets and policies in random frames.

use jobbie_proto::EventSeq;
use jobbie_proto::Micros;
use jobbie_proto::reply::{BudgetView, PolicyView, RuleDone};
use jobbie_proto::rules::{Budget, JobTag, OnExceed, Policy, PolicyMode, RuleControl, Scope};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::strategies::{code, text};

fn tag() -> impl Strategy<Value = JobTag> {
    (text(), text()).prop_map(|(key, value)| JobTag { key: key.into(), value: value.into() })
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        Just(Scope::Global),
        text().prop_map(|queue| Scope::Queue(queue.into())),
        tag().prop_map(Scope::Tag),
    ]
}

pub(crate) fn on_exceed() -> impl Strategy<Value = OnExceed> {
    select(&OnExceed::ALL)
}

fn budget() -> impl Strategy<Value = Budget> {
    (scope(), option::of(any::<u64>()), option::of(any::<u64>()), on_exceed())
        .prop_map(|(scope, daily, per_job, on_exceed)| Budget { scope, daily, per_job, on_exceed })
}

fn policy() -> impl Strategy<Value = Policy> {
    let mode = select(&[PolicyMode::Any, PolicyMode::All]);
    (text(), mode, any::<bool>(), option::of(text()), option::of(tag())).prop_map(
        |(name, mode, enabled, queue, tag)| Policy {
            name: name.into(),
            mode,
            enabled,
            queue: queue.map(str::to_owned),
            tag,
        },
    )
}

pub(crate) fn control() -> impl Strategy<Value = RuleControl> {
    prop_oneof![
        budget().prop_map(RuleControl::SetBudget),
        scope().prop_map(RuleControl::DeleteBudget),
        policy().prop_map(RuleControl::AddPolicy),
        any::<u64>().prop_map(|id| RuleControl::DeletePolicy(EventSeq(id))),
    ]
}

pub(crate) fn done() -> impl Strategy<Value = RuleDone> {
    (code(), any::<u64>()).prop_map(|(code, id)| RuleDone { code, id: EventSeq(id) })
}

pub(crate) fn budget_view() -> impl Strategy<Value = BudgetView> {
    (any::<[u64; 3]>(), budget(), any::<bool>()).prop_map(|(n, budget, exceeded)| BudgetView {
        id: EventSeq(n[0]),
        budget,
        created: Micros(n[1]),
        spent: n[2],
        exceeded,
    })
}

pub(crate) fn policy_view() -> impl Strategy<Value = PolicyView> {
    (any::<[u64; 2]>(), policy()).prop_map(|(n, policy)| PolicyView {
        id: EventSeq(n[0]),
        policy,
        created: Micros(n[1]),
    })
}
