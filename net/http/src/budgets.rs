//! Budgets and approval policies.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use jobbie_client::{
    Budget, BudgetView, EventSeq, JobTag, OnExceed, Policy, PolicyMode, PolicyView, Scope,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{Body, Caller, Name};
use crate::fetch::dollars;
use crate::json;
use crate::moment;
use crate::namespace::Namespace;
use crate::options::micros;
use crate::routes::{Doc, Routes};

const BUDGET: &str = "BUDGET_ERROR";
const POLICY: &str = "POLICY_ERROR";
const POLICY_PREFIX: &str = "apol_";

pub(crate) fn routes() -> Routes {
    let set = Doc::new("Set a budget").takes::<BudgetBody>().gives::<BudgetObject>();
    let add = Doc::new("Make an approval policy").takes::<PolicyBody>().gives::<PolicyObject>();
    Routes::default()
        .get("/budgets", budgets, Doc::new("Budgets").gives::<Vec<BudgetObject>>())
        .post("/budgets", set_budget, set)
        .delete("/budgets/{scope}/{target}", delete_budget, Doc::new("Remove a budget"))
        .get(
            "/approval-policies",
            policies,
            Doc::new("Policies, newest first").gives::<Vec<PolicyObject>>(),
        )
        .post("/approval-policies", add_policy, add)
        .delete("/approval-policies/{id}", delete_policy, Doc::new("Remove an approval policy"))
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct BudgetBody {
    scope: Option<String>,
    target: Option<String>,
    daily_usd: Option<f64>,
    per_job_usd: Option<f64>,
    on_exceed: Option<String>,
}

/// A budget.
#[derive(Serialize, JsonSchema)]
struct BudgetObject {
    id: String,
    scope: &'static str,
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    daily_usd: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_job_usd: Option<f64>,
    on_exceed: &'static str,
    created_at: String,
    /// What was spent today. Beyond the contract.
    spent_today_usd: f64,
    /// Beyond the contract.
    exceeded: bool,
}

impl BudgetObject {
    fn new(view: &BudgetView, by: &Namespace) -> Self {
        let (scope, target) = match &view.budget.scope {
            Scope::Global => ("global", "*".to_owned()),
            Scope::Queue(queue) => ("queue", by.shown(queue).to_owned()),
            Scope::Tag(JobTag { key, value }) => ("tag", format!("{key}:{value}")),
        };
        Self {
            id: format!("budget_{:026x}", view.id.0),
            scope,
            target,
            daily_usd: view.budget.daily.map(dollars),
            per_job_usd: view.budget.per_job.map(dollars),
            on_exceed: view.budget.on_exceed.name(),
            created_at: moment::text(view.created),
            spent_today_usd: dollars(view.spent),
            exceeded: view.exceeded,
        }
    }
}

/// What a budget is about.
fn scope(scope: &str, target: &str, by: &Namespace) -> Result<Scope, ApiError> {
    let bad = |message: &str| ApiError::bad(BUDGET, message);
    match scope {
        "global" => Ok(Scope::Global),
        "queue" if target.is_empty() => Err(bad("target is required")),
        "queue" => Ok(Scope::Queue(by.queue(target).map_err(|error| error.of(BUDGET))?)),
        "tag" => {
            let pair = target.find([':', '=']).map(|at| (&target[..at], &target[at + 1..]));
            let (key, value) = pair
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| bad("target: a tag is key:value or key=value"))?;
            Ok(Scope::Tag(JobTag { key: key.to_owned(), value: value.to_owned() }))
        }
        _ => Err(bad("scope: queue, tag or global")),
    }
}

/// Budgets of all and of tags are everybody's business: only the default namespace has them.
fn may_see(scope: &Scope, by: &Namespace) -> bool {
    match scope {
        Scope::Queue(queue) => by.owns(queue),
        Scope::Global | Scope::Tag(_) => *by == Namespace::default(),
    }
}

fn foreign(code: &'static str) -> ApiError {
    ApiError::bad(code, "global and tag rules belong to the namespace default")
}

async fn budgets(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, ApiError> {
    let by = &caller.namespace;
    let mut all = app.client.budgets().await?;
    all.retain(|view| may_see(&view.budget.scope, by));
    let mut told: Vec<_> = all.iter().map(|view| BudgetObject::new(view, by)).collect();
    told.sort_by(|a, b| (a.scope, &a.target).cmp(&(b.scope, &b.target)));
    Ok(json::ok(&told))
}

async fn set_budget(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body<BudgetBody>,
) -> Result<Response, ApiError> {
    let by = &caller.namespace;
    let bad = |message: &str| ApiError::bad(BUDGET, message);
    let target = body.target.unwrap_or_default();
    let scope = scope(&body.scope.unwrap_or_default(), &target, by)?;
    if !may_see(&scope, by) {
        return Err(foreign(BUDGET));
    }
    let is_negative = |limit: Option<f64>| limit.is_some_and(|limit| limit < 0.0);
    if is_negative(body.daily_usd) || is_negative(body.per_job_usd) {
        return Err(bad("limits: 0 or more"));
    }
    let on_exceed = match body.on_exceed.as_deref() {
        None | Some("" | "hold") => OnExceed::Hold,
        Some("reject") => OnExceed::Reject,
        Some("alert_only") => OnExceed::AlertOnly,
        Some(_) => return Err(bad("on_exceed: hold, reject or alert_only")),
    };
    let (daily, per_job) = (body.daily_usd.map(micros), body.per_job_usd.map(micros));
    if daily.or(per_job).is_none() {
        return Err(bad("daily_usd or per_job_usd is required"));
    }
    let budget = Budget { scope, daily, per_job, on_exceed };
    let failed = |error| ApiError::from(error).of(BUDGET);
    app.client.set_budget(&budget).await.map_err(failed)?;
    let all = app.client.budgets().await.map_err(failed)?;
    let set = all.iter().find(|view| view.budget.scope == budget.scope);
    let set = set.ok_or_else(|| bad("somebody removed the budget at once"))?;
    Ok(json::ok(&BudgetObject::new(set, by)))
}

async fn delete_budget(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name((word, target)): Name<(String, String)>,
) -> Result<Response, ApiError> {
    let scope = scope(&word, &target, &caller.namespace)?;
    if !may_see(&scope, &caller.namespace) {
        return Err(foreign(BUDGET));
    }
    app.client.delete_budget(&scope).await.map_err(|error| ApiError::from(error).of(BUDGET))?;
    Ok(json::status("deleted"))
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct PolicyBody {
    name: Option<String>,
    mode: Option<String>,
    enabled: Option<bool>,
    queue: Option<String>,
    tag_key: Option<String>,
    tag_value: Option<String>,
}

/// An approval policy.
#[derive(Serialize, JsonSchema)]
struct PolicyObject {
    id: String,
    name: String,
    mode: &'static str,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag_value: Option<String>,
    created_at: String,
}

impl PolicyObject {
    fn new(view: &PolicyView, by: &Namespace) -> Self {
        let policy = &view.policy;
        Self {
            id: format!("{POLICY_PREFIX}{:026x}", view.id.0),
            name: policy.name.clone(),
            mode: policy.mode.name(),
            enabled: policy.enabled,
            queue: policy.queue.as_deref().map(|queue| by.shown(queue).to_owned()),
            tag_key: policy.tag.as_ref().map(|tag| tag.key.clone()),
            tag_value: policy.tag.as_ref().map(|tag| tag.value.clone()),
            created_at: moment::text(view.created),
        }
    }
}

fn policy_is_of(policy: &Policy, by: &Namespace) -> bool {
    match &policy.queue {
        Some(queue) => by.owns(queue),
        None => *by == Namespace::default(),
    }
}

async fn policies(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, ApiError> {
    let by = &caller.namespace;
    let all = app.client.policies().await?;
    let ours = all.iter().filter(|view| policy_is_of(&view.policy, by));
    Ok(json::ok(&ours.map(|view| PolicyObject::new(view, by)).collect::<Vec<_>>()))
}

fn policy(body: PolicyBody, by: &Namespace) -> Result<Policy, ApiError> {
    let bad = |message: &str| ApiError::bad(POLICY, message);
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let mode = match body.mode.as_deref() {
        None | Some("" | "any") => PolicyMode::Any,
        Some("all") => PolicyMode::All,
        Some(_) => return Err(bad("mode: any or all")),
    };
    let queue = filled(body.queue).map(|queue| by.queue(&queue)).transpose();
    let value = body.tag_value.unwrap_or_default();
    let policy = Policy {
        name: filled(body.name).ok_or_else(|| bad("name is required"))?,
        mode,
        enabled: body.enabled.unwrap_or(true),
        queue: queue.map_err(|error| error.of(POLICY))?,
        tag: filled(body.tag_key).map(|key| JobTag { key, value }),
    };
    // A tag of everybody's jobs is no business of one namespace, unless jobs must be in its queue, too.
    let is_bound = policy.queue.is_some() && (policy.tag.is_none() || mode == PolicyMode::All);
    if *by != Namespace::default() && !is_bound {
        return Err(foreign(POLICY));
    }
    Ok(policy)
}

async fn add_policy(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body<PolicyBody>,
) -> Result<Response, ApiError> {
    let policy = policy(body, &caller.namespace)?;
    let failed = |error| ApiError::from(error).of(POLICY);
    let id = app.client.add_policy(&policy).await.map_err(failed)?;
    let all = app.client.policies().await.map_err(failed)?;
    let made = all.iter().find(|view| view.id == id);
    let made = made.ok_or_else(|| ApiError::bad(POLICY, "somebody removed the policy at once"))?;
    Ok(json::ok(&PolicyObject::new(made, &caller.namespace)))
}

async fn delete_policy(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(text): Name<String>,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::bad(POLICY, format!("there is no policy {text}"));
    let digits = text.strip_prefix(POLICY_PREFIX).filter(|digits| digits.len() == 26);
    let id = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).map(EventSeq);
    let id = id.ok_or_else(unknown)?;
    let failed = |error| ApiError::from(error).of(POLICY);
    let all = app.client.policies().await.map_err(failed)?;
    let is_ours = |view: &&PolicyView| policy_is_of(&view.policy, &caller.namespace);
    all.iter().filter(is_ours).find(|view| view.id == id).ok_or_else(unknown)?;
    if !app.client.delete_policy(id).await.map_err(failed)? {
        return Err(unknown());
    }
    Ok(json::status("deleted"))
}
