//! Events of budgets and approval policies.

use jobbie_proto::event::{Excess, OverrunAt, Rule, TaggedJob};
use jobbie_proto::rules::{Budget, Policy, Scope};
use serde_json::{Value, json};

fn budget(budget: &Budget) -> Value {
    let Budget { scope, daily, per_job, on_exceed } = budget;
    json!({
        "scope": scope.to_string(), "daily_micros": daily, "per_job_micros": per_job,
        "on_exceed": on_exceed.name(),
    })
}

fn policy(policy: &Policy) -> Value {
    let Policy { name, mode, enabled, queue, tag } = policy;
    let tag = tag.as_ref().map(|tag| Scope::Tag(tag.clone()).to_string());
    json!({ "name": name, "mode": mode.name(), "enabled": enabled, "queue": queue, "tag": tag })
}

pub(super) fn rule(rule: &Rule) -> Value {
    match rule {
        Rule::BudgetSet { id, created, budget: set } => json!({
            "event": "budget_set", "id": id.0, "created_us": created.0, "budget": budget(set),
        }),
        Rule::BudgetDeleted { scope } => {
            json!({ "event": "budget_deleted", "scope": scope.to_string() })
        }
        Rule::PolicyAdded { id, created, policy: added } => json!({
            "event": "policy_added", "id": id.0, "created_us": created.0, "policy": policy(added),
        }),
        Rule::PolicyDeleted { id, code } => {
            json!({ "event": "policy_deleted", "id": id.0, "code": code.name() })
        }
        Rule::Tagged { jobs } => {
            let job = |tagged: &TaggedJob| {
                let rules: Vec<_> = tagged.rules.iter().map(|rule| rule.0).collect();
                json!({ "job": tagged.job.0, "rules": rules })
            };
            json!({ "event": "tagged", "jobs": jobs.iter().map(job).collect::<Vec<_>>() })
        }
        Rule::Spent { of, budget, day, micros } => json!({
            "event": "budget_spent", "of_shard": of.0, "budget": budget.0, "day": day,
            "micros": micros,
        }),
        Rule::Exceeded { scope, budget, excess, day, spent, limit, on_exceed, held, reason } => {
            let why = match excess {
                Excess::Daily => "daily",
                Excess::Mean => "mean",
            };
            json!({
                "event": "budget_exceeded", "scope": scope.to_string(), "budget": budget.0,
                "why": why, "day": day, "spent_micros": spent, "limit_micros": limit,
                "on_exceed": on_exceed.name(), "held": held.map(|job| job.0), "reason": reason,
            })
        }
        Rule::DayTurned { day } => json!({ "event": "day_turned", "day": day }),
        Rule::Overrun { job, at, scope, spent, limit, on_exceed, reason } => {
            let at = match at {
                OverrunAt::Ack => "ack",
                OverrunAt::Heartbeat => "heartbeat",
            };
            json!({
                "event": "budget_overrun", "job": job.0, "at": at, "scope": scope.to_string(),
                "spent_micros": spent, "limit_micros": limit, "on_exceed": on_exceed.name(),
                "reason": reason,
            })
        }
    }
}
