//! Budgets and approval policies to bytes and back, the same in requests and replies.

use super::blob::{BlobReader, len_u16};
use super::generated as fb;
use super::table::{Table, code, collect};
use super::{DecodeError, EncodeError};
use crate::limits::{OPS_PER_REQUEST_MAX, POLICIES_MAX, QUEUE_BUDGETS_MAX, TAG_BUDGETS_MAX};
use crate::reply::{BudgetView, PolicyView, RuleDone};
use crate::rules::{Budget, JobTag, OnExceed, Policy, PolicyMode, RuleControl, Scope};
use crate::{EventSeq, Micros};

const SET_BUDGET: u8 = 1;
const DELETE_BUDGET: u8 = 2;
const ADD_POLICY: u8 = 3;
const DELETE_POLICY: u8 = 4;

const HAS_DAILY: u8 = 1;
const HAS_PER_JOB: u8 = 2;
const MODE_ALL: u8 = 4;
const ENABLED: u8 = 8;
const HAS_QUEUE: u8 = 16;
const HAS_TAG: u8 = 32;

/// Rules that one reply tells of.
const VIEWS_MAX: usize = QUEUE_BUDGETS_MAX + TAG_BUDGETS_MAX + 1 + POLICIES_MAX;

/// The texts of a rule, in the order of the blob.
#[derive(Clone, Copy, Default)]
struct Texts<'a> {
    queue: &'a str,
    key: &'a str,
    value: &'a str,
    name: &'a str,
}

impl<'a> Texts<'a> {
    fn tag(&mut self, tag: &'a JobTag) {
        (self.key, self.value) = (&tag.key, &tag.value);
    }
}

fn scope_to<'a>(scope: &'a Scope, wire: &mut fb::Rule, texts: &mut Texts<'a>) {
    wire.set_scope(match scope {
        Scope::Global => 0,
        Scope::Queue(queue) => {
            texts.queue = queue;
            1
        }
        Scope::Tag(tag) => {
            texts.tag(tag);
            2
        }
    });
}

fn budget_to<'a>(budget: &'a Budget, wire: &mut fb::Rule, texts: &mut Texts<'a>) {
    let Budget { scope, daily, per_job, on_exceed } = budget;
    let flag = |amount: &Option<u64>, flag| if amount.is_some() { flag } else { 0 };
    wire.set_kind(SET_BUDGET);
    wire.set_flags(flag(daily, HAS_DAILY) | flag(per_job, HAS_PER_JOB));
    wire.set_daily(daily.unwrap_or(0));
    wire.set_per_job(per_job.unwrap_or(0));
    wire.set_on_exceed(*on_exceed as u8);
    scope_to(scope, wire, texts);
}

fn policy_to<'a>(policy: &'a Policy, wire: &mut fb::Rule, texts: &mut Texts<'a>) {
    let Policy { name, mode, enabled, queue, tag } = policy;
    let flag = |set: bool, flag| if set { flag } else { 0 };
    wire.set_kind(ADD_POLICY);
    wire.set_flags(
        flag(*mode == PolicyMode::All, MODE_ALL)
            | flag(*enabled, ENABLED)
            | flag(queue.is_some(), HAS_QUEUE)
            | flag(tag.is_some(), HAS_TAG),
    );
    texts.name = name;
    texts.queue = queue.as_deref().unwrap_or("");
    if let Some(tag) = tag {
        texts.tag(tag);
    }
}

fn put(mut wire: fb::Rule, texts: Texts<'_>, out: &mut Vec<u8>) -> Result<fb::Rule, EncodeError> {
    let Texts { queue, key, value, name } = texts;
    wire.set_queue_len(len_u16("queue", queue.as_bytes())?);
    wire.set_key_len(len_u16("tag key", key.as_bytes())?);
    wire.set_value_len(len_u16("tag value", value.as_bytes())?);
    wire.set_name_len(len_u16("policy name", name.as_bytes())?);
    for part in [queue, key, value, name] {
        out.extend_from_slice(part.as_bytes());
    }
    Ok(wire)
}

/// Appends the texts of rule controls to `out` and says the rest.
pub(super) fn controls_to(
    controls: &[RuleControl],
    out: &mut Vec<u8>,
) -> Result<Vec<fb::Rule>, EncodeError> {
    let control = |control: &RuleControl| {
        let (mut wire, mut texts) = (fb::Rule::default(), Texts::default());
        match control {
            RuleControl::SetBudget(budget) => budget_to(budget, &mut wire, &mut texts),
            RuleControl::DeleteBudget(scope) => {
                wire.set_kind(DELETE_BUDGET);
                scope_to(scope, &mut wire, &mut texts);
            }
            RuleControl::AddPolicy(policy) => policy_to(policy, &mut wire, &mut texts),
            RuleControl::DeletePolicy(id) => {
                wire.set_kind(DELETE_POLICY);
                wire.set_id(id.0);
            }
        }
        put(wire, texts, out)
    };
    controls.iter().map(control).collect()
}

/// Appends the texts of budgets and policies to `out` and says the rest.
pub(super) fn views_to(
    budgets: &[BudgetView],
    policies: &[PolicyView],
    out: &mut Vec<u8>,
) -> Result<(Vec<fb::Rule>, Vec<fb::RuleState>), EncodeError> {
    let (mut rules, mut states) = (Vec::new(), Vec::new());
    for view in budgets {
        let (mut wire, mut texts) = (fb::Rule::default(), Texts::default());
        budget_to(&view.budget, &mut wire, &mut texts);
        wire.set_id(view.id.0);
        rules.push(put(wire, texts, out)?);
        states.push(fb::RuleState::new(view.created.0, view.spent, view.exceeded));
    }
    for view in policies {
        let (mut wire, mut texts) = (fb::Rule::default(), Texts::default());
        policy_to(&view.policy, &mut wire, &mut texts);
        wire.set_id(view.id.0);
        rules.push(put(wire, texts, out)?);
        states.push(fb::RuleState::new(view.created.0, 0, false));
    }
    Ok((rules, states))
}

fn scope(wire: &fb::Rule, texts: Texts<'_>) -> Result<Scope, DecodeError> {
    match wire.scope() {
        0 => Ok(Scope::Global),
        1 => Ok(Scope::Queue(texts.queue.to_owned())),
        2 => Ok(Scope::Tag(tag(texts))),
        number => Err(DecodeError::Value { field: "scope of budget", value: number.into() }),
    }
}

fn tag(texts: Texts<'_>) -> JobTag {
    JobTag { key: texts.key.to_owned(), value: texts.value.to_owned() }
}

fn rule<'a>(wire: &fb::Rule, blob: &mut BlobReader<'a>) -> Result<RuleControl, DecodeError> {
    let texts: Texts<'a> = Texts {
        queue: blob.text("queue", wire.queue_len().into())?,
        key: blob.text("tag key", wire.key_len().into())?,
        value: blob.text("tag value", wire.value_len().into())?,
        name: blob.text("policy name", wire.name_len().into())?,
    };
    let has = |flag| wire.flags() & flag != 0;
    Ok(match wire.kind() {
        SET_BUDGET => {
            let number = wire.on_exceed();
            let unknown = DecodeError::Value { field: "on_exceed", value: number.into() };
            RuleControl::SetBudget(Budget {
                scope: scope(wire, texts)?,
                daily: has(HAS_DAILY).then(|| wire.daily()),
                per_job: has(HAS_PER_JOB).then(|| wire.per_job()),
                on_exceed: OnExceed::from_u8(number).ok_or(unknown)?,
            })
        }
        DELETE_BUDGET => RuleControl::DeleteBudget(scope(wire, texts)?),
        ADD_POLICY => RuleControl::AddPolicy(Policy {
            name: texts.name.to_owned(),
            mode: if has(MODE_ALL) { PolicyMode::All } else { PolicyMode::Any },
            enabled: has(ENABLED),
            queue: has(HAS_QUEUE).then(|| texts.queue.to_owned()),
            tag: has(HAS_TAG).then(|| tag(texts)),
        }),
        DELETE_POLICY => RuleControl::DeletePolicy(EventSeq(wire.id())),
        kind => {
            return Err(DecodeError::Value { field: "kind of rule control", value: kind.into() });
        }
    })
}

pub(super) fn controls(
    table: &Table<'_>,
    blob: &mut BlobReader<'_>,
) -> Result<Vec<RuleControl>, DecodeError> {
    let field = fb::Request::VT_RULE_CONTROLS;
    let controls = table.list("rule controls", field, OPS_PER_REQUEST_MAX)?;
    collect(controls, |raw| rule(&fb::Rule(raw), blob))
}

pub(super) fn done_to(done: &RuleDone) -> fb::RuleDone {
    fb::RuleDone::new(done.id.0, done.code as u8)
}

pub(super) fn done(table: &Table<'_>) -> Result<Vec<RuleDone>, DecodeError> {
    let field = fb::Reply::VT_RULE_CONTROLS;
    collect(table.list("rule controls", field, OPS_PER_REQUEST_MAX)?, |raw| {
        let done = fb::RuleDone(raw);
        Ok(RuleDone { code: code(done.code())?, id: EventSeq(done.id()) })
    })
}

/// What a budget that is exceeded does with a queue.
pub(super) fn exceeded(number: u8) -> Result<Option<OnExceed>, DecodeError> {
    let Some(what) = number.checked_sub(1) else { return Ok(None) };
    let unknown = DecodeError::Value { field: "on_exceed", value: number.into() };
    OnExceed::from_u8(what).map(Some).ok_or(unknown)
}

pub(super) fn views(
    table: &Table<'_>,
    blob: &mut BlobReader<'_>,
) -> Result<(Vec<BudgetView>, Vec<PolicyView>), DecodeError> {
    use fb::Reply as T;
    let rules = table.list("rules", T::VT_RULES, VIEWS_MAX)?;
    let states = table.list("states of rules", T::VT_RULE_STATES, VIEWS_MAX)?;
    if rules.len() != states.len() {
        return Err(DecodeError::Parallel { field: "states of rules" });
    }
    let (mut budgets, mut policies) = (Vec::new(), Vec::new());
    for (raw, state) in rules.iter().zip(states) {
        let (wire, state) = (fb::Rule(*raw), fb::RuleState(*state));
        let (id, created) = (EventSeq(wire.id()), Micros(state.created_us()));
        match rule(&wire, blob)? {
            RuleControl::SetBudget(budget) => {
                let (spent, exceeded) = (state.spent(), state.exceeded());
                budgets.push(BudgetView { id, budget, created, spent, exceeded });
            }
            RuleControl::AddPolicy(policy) => policies.push(PolicyView { id, policy, created }),
            _ => {
                let value = wire.kind().into();
                return Err(DecodeError::Value { field: "kind of rule", value });
            }
        }
    }
    Ok((budgets, policies))
}
