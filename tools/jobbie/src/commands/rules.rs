//! Budgets and approval policies.

use jobbie_proto::reply::{BudgetView, PolicyView, RuleDone};
use jobbie_proto::request::Stats;
use jobbie_proto::rules::{Budget, JobTag, Policy, RULES_HOME, RuleControl, Scope};
use jobbie_proto::usage::dollars;
use jobbie_proto::{Code, EventSeq, Request, ShardId};
use serde_json::Value;

use super::print_failed;
use crate::args::{
    BudgetCommand, ClientArgs, DeletePolicyArgs, PolicyCommand, ScopeArgs, SetBudgetArgs,
    SetPolicyArgs,
};
use crate::call::{CallError, Server};
use crate::exit::Exit;
use crate::output::Rows;

pub(super) fn budget(command: &BudgetCommand) -> Result<Exit, CallError> {
    match command {
        BudgetCommand::List(args) => budgets(&args.client),
        BudgetCommand::Set(args) => set_budget(args),
        BudgetCommand::Delete(args) => delete_budget(args),
    }
}

pub(super) fn policy(command: &PolicyCommand) -> Result<Exit, CallError> {
    match command {
        PolicyCommand::List(args) => policies(&args.client),
        PolicyCommand::Set(args) => add_policy(args),
        PolicyCommand::Delete(args) => delete_policy(args),
    }
}

/// Does something at the home of a rule.
fn control(client: &ClientArgs, control: RuleControl) -> Result<RuleDone, CallError> {
    let mut server = Server::connect(client, None)?;
    let home = control.home(server.shards().count() as u16);
    let mut request = Request { rule_controls: vec![control], ..Request::default() };
    let mut done = None;
    server.call(home, &mut request, |reply| {
        done = done.or(reply.rule_controls.first().copied());
    })?;
    done.ok_or_else(|| {
        let reason = "its answer says nothing of the rule".into();
        CallError::Lost { addr: client.addr.clone(), reason }
    })
}

/// What shards say of their rules.
fn ask(
    client: &ClientArgs,
    shards: impl FnOnce(&Server) -> Vec<ShardId>,
) -> Result<(Vec<BudgetView>, Vec<PolicyView>), CallError> {
    let mut server = Server::connect(client, None)?;
    let (mut budgets, mut policies) = (Vec::new(), Vec::new());
    for shard in shards(&server) {
        let mut request = Request { stats: Stats::Rules, ..Request::default() };
        server.call(shard, &mut request, |reply| {
            budgets.extend_from_slice(&reply.budgets);
            policies.extend_from_slice(&reply.policies);
        })?;
    }
    Ok((budgets, policies))
}

/// The kind of a scope, and what it names.
fn named(scope: &Scope) -> (&'static str, String) {
    match scope {
        Scope::Global => ("global", "*".into()),
        Scope::Queue(queue) => ("queue", queue.clone()),
        Scope::Tag(tag) => ("tag", tag_text(tag)),
    }
}

fn tag_text(JobTag { key, value }: &JobTag) -> String {
    format!("{key}={value}")
}

fn usd(micros: Option<u64>) -> Value {
    micros.map_or(Value::Null, |micros| dollars(micros).into())
}

fn budgets(client: &ClientArgs) -> Result<Exit, CallError> {
    let (mut budgets, _) = ask(client, |server| server.shards().collect())?;
    budgets.sort_by(|a, b| named(&a.budget.scope).cmp(&named(&b.budget.scope)));
    let mut rows = Rows::new(&[
        "scope",
        "target",
        "daily_usd",
        "per_job_usd",
        "on_exceed",
        "spent_today_usd",
        "exceeded",
    ]);
    for BudgetView { budget, spent, exceeded, .. } in budgets {
        let (scope, target) = named(&budget.scope);
        rows.push(vec![
            scope.into(),
            target.into(),
            usd(budget.daily),
            usd(budget.per_job),
            budget.on_exceed.name().into(),
            dollars(spent).into(),
            exceeded.into(),
        ]);
    }
    if rows.is_empty() {
        eprintln!("there are no budgets");
        return Ok(Exit::Nothing);
    }
    rows.print(client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

fn set_budget(args: &SetBudgetArgs) -> Result<Exit, CallError> {
    let scope = args.scope.scope().map_err(CallError::Usage)?;
    let SetBudgetArgs { daily, per_job, on_exceed, .. } = *args;
    let on_exceed = on_exceed.into();
    let budget = Budget { scope: scope.clone(), daily, per_job, on_exceed };
    control(&args.scope.client, RuleControl::SetBudget(budget))?;
    told(&args.scope.client, &scope, "set")
}

fn delete_budget(args: &ScopeArgs) -> Result<Exit, CallError> {
    let scope = args.scope().map_err(CallError::Usage)?;
    control(&args.client, RuleControl::DeleteBudget(scope.clone()))?;
    told(&args.client, &scope, "deleted")
}

fn told(client: &ClientArgs, scope: &Scope, done: &str) -> Result<Exit, CallError> {
    let (scope, target) = named(scope);
    let mut rows = Rows::new(&["scope", "target", "result"]);
    rows.push(vec![scope.into(), target.into(), done.into()]);
    rows.print_one(client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

fn policies(client: &ClientArgs) -> Result<Exit, CallError> {
    let (_, policies) = ask(client, |_| vec![RULES_HOME])?;
    let mut rows = Rows::new(&["id", "name", "mode", "enabled", "queue", "tag"]);
    for PolicyView { id, policy, .. } in policies {
        let Policy { name, mode, enabled, queue, tag } = policy;
        rows.push(vec![
            id.0.into(),
            name.into(),
            mode.name().into(),
            enabled.into(),
            queue.map_or(Value::Null, Value::from),
            tag.map_or(Value::Null, |tag| tag_text(&tag).into()),
        ]);
    }
    if rows.is_empty() {
        eprintln!("there are no approval policies");
        return Ok(Exit::Nothing);
    }
    rows.print(client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

fn add_policy(args: &SetPolicyArgs) -> Result<Exit, CallError> {
    let policy = Policy {
        name: args.name.clone(),
        mode: args.mode.into(),
        enabled: !args.disabled,
        queue: args.queue.clone(),
        tag: args.tag.clone(),
    };
    let done = control(&args.client, RuleControl::AddPolicy(policy))?;
    policy_told(&args.client, done.id, "set")
}

fn delete_policy(args: &DeletePolicyArgs) -> Result<Exit, CallError> {
    let id = EventSeq(args.id);
    let done = control(&args.client, RuleControl::DeletePolicy(id))?;
    if done.code != Code::Ok {
        let message = format!("there is no approval policy {}", args.id);
        return Err(CallError::Refused { code: done.code, message });
    }
    policy_told(&args.client, id, "deleted")
}

fn policy_told(client: &ClientArgs, id: EventSeq, done: &str) -> Result<Exit, CallError> {
    let mut rows = Rows::new(&["id", "result"]);
    rows.push(vec![id.0.into(), done.into()]);
    rows.print_one(client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}
