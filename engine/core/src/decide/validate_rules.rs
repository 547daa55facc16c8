//! Whether what is done to budgets and policies may be.

use std::collections::BTreeMap;

use jobbie_proto::limits::{
    BUDGET_MICROS_MAX, POLICIES_MAX, POLICY_NAME_BYTES_MAX, QUEUE_BUDGETS_MAX, RULE_CONTROLS_MAX,
    RULE_TAG_BYTES_MAX, TAG_BUDGETS_MAX,
};
use jobbie_proto::rules::{Budget, JobTag, Policy, RuleControl, Scope};
use jobbie_proto::{Code, Request};

use super::validate::{
    Checked, Field, Refusal, at_most, bytes, invalid, is_here, plain_name, queue_name, stands_alone,
};
use crate::state::State;

/// Each budget once, and nothing else that changes anything, so that each control is decided about the state as it is.
pub(super) fn check_rules(state: &State, request: &Request<'_>) -> Checked {
    let controls = &request.rule_controls;
    if controls.is_empty() {
        return Ok(());
    }
    stands_alone(request, "rule_controls")?;
    if controls.len() > RULE_CONTROLS_MAX {
        let count = controls.len();
        let message = format!("rule_controls: {count}, at most {RULE_CONTROLS_MAX}");
        return Err(Refusal { code: Code::TooLarge, message });
    }
    let mut named = BTreeMap::new();
    for (at, control) in controls.iter().enumerate() {
        let field = |name: &str| format!("rule_controls[{at}].{name}");
        let scope = match control {
            RuleControl::SetBudget(budget) => {
                check_budget(budget, &field)?;
                Some(&budget.scope)
            }
            RuleControl::DeleteBudget(scope) => {
                check_scope(scope, &field)?;
                Some(scope)
            }
            RuleControl::AddPolicy(policy) => {
                check_policy(policy, &field)?;
                None
            }
            RuleControl::DeletePolicy(_) => None,
        };
        is_here(state, control.home(state.shards), || field("scope"))?;
        let before = scope.and_then(|scope| named.insert(scope, at));
        if let Some(before) = before {
            let message = format!("{}: named in rule_controls[{before}] too", field("scope"));
            return invalid(message);
        }
    }
    check_room(state, controls)
}

fn check_room(state: &State, controls: &[RuleControl]) -> Checked {
    let rules = &state.rules;
    let new = |is: &dyn Fn(&Scope) -> bool| {
        let set = controls.iter().filter_map(|control| match control {
            RuleControl::SetBudget(budget) => Some(&budget.scope),
            _ => None,
        });
        set.filter(|scope| is(scope) && !rules.accounts.contains_key(*scope)).count()
    };
    let is_queue = |scope: &Scope| matches!(scope, Scope::Queue(_));
    let is_tag = |scope: &Scope| matches!(scope, Scope::Tag(_));
    let added = controls.iter().filter(|control| matches!(control, RuleControl::AddPolicy(_)));
    let lists = [
        ("budgets of queues", rules.count(is_queue), new(&is_queue), QUEUE_BUDGETS_MAX, "a shard"),
        ("budgets of tags", rules.count(is_tag), new(&is_tag), TAG_BUDGETS_MAX, "a node"),
        ("policies", rules.policies.len(), added.count(), POLICIES_MAX, "a node"),
    ];
    for (what, known, new, most, who) in lists {
        if new > 0 && known + new > most {
            let message = format!("rule_controls: {known} {what} exist, {who} holds {most}");
            return Err(Refusal { code: Code::Overloaded, message });
        }
    }
    Ok(())
}

fn check_tag(tag: &JobTag, field: Field<'_>) -> Checked {
    if tag.key.is_empty() {
        let message = format!("{}: empty, at least 1 byte", field("tag.key"));
        return invalid(message);
    }
    bytes(tag.key.as_bytes(), RULE_TAG_BYTES_MAX, "tag.key", field)?;
    bytes(tag.value.as_bytes(), RULE_TAG_BYTES_MAX, "tag.value", field)
}

fn check_scope(scope: &Scope, field: Field<'_>) -> Checked {
    match scope {
        Scope::Global => Ok(()),
        Scope::Queue(queue) => queue_name(queue, field),
        Scope::Tag(tag) => check_tag(tag, field),
    }
}

fn check_budget(budget: &Budget, field: Field<'_>) -> Checked {
    check_scope(&budget.scope, field)?;
    at_most(budget.daily.unwrap_or(0), BUDGET_MICROS_MAX, "daily", field)?;
    at_most(budget.per_job.unwrap_or(0), BUDGET_MICROS_MAX, "per_job", field)?;
    if budget.daily.is_none() && budget.per_job.is_none() {
        let (daily, per_job) = (field("daily"), field("per_job"));
        let message = format!("{daily} and {per_job}: a budget has one limit at least");
        return invalid(message);
    }
    Ok(())
}

fn check_policy(policy: &Policy, field: Field<'_>) -> Checked {
    plain_name(&policy.name, POLICY_NAME_BYTES_MAX, "name", field)?;
    policy.queue.as_deref().map_or(Ok(()), |queue| queue_name(queue, field))?;
    policy.tag.as_ref().map_or(Ok(()), |tag| check_tag(tag, field))
}
