//! Budgets and approval policies as rows, and back.

use std::rc::Rc;

use jobbie_proto::EventSeq;
use jobbie_proto::Micros;
use jobbie_proto::event::{Excess, Parcel};
use jobbie_proto::limits::{BUDGET_MICROS_MAX, POLICIES_MAX, QUEUE_BUDGETS_MAX, TAG_BUDGETS_MAX};
use jobbie_proto::rules::{Budget, Policy, Scope, day_of};
use rkyv::{Archive, Deserialize, Serialize};

use super::read::{Checked, require};
use crate::rules::{Account, Approval, Crossing};
use crate::state::State;

/// Rows of one chunk: the texts of each are below two kilobytes.
const ROWS: usize = 100;

/// One fact; those of a kind stand together, in the order of the kinds, and rise.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(super) enum RuleRow {
    Budget {
        id: u64,
        created: u64,
        budget: Budget,
        day: u32,
        own: u64,
        reported: u64,
        total: u64,
        told: Option<u32>,
        told_mean: Option<u32>,
        /// The day on which it was seen to be spent.
        shut: Option<u32>,
        /// What is to be logged of it.
        crossing: Option<CrossingRow>,
    },
    Policy {
        id: u64,
        created: u64,
        policy: Policy,
    },
    /// A job, and the rules whose tags it has.
    Tagged {
        job: u64,
        rules: Vec<u64>,
    },
    /// An event about a rule that a shard is to be told of.
    Outgoing {
        event: u64,
        to: u16,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(super) struct CrossingRow {
    excess: Excess,
    day: u32,
    spent: u64,
    limit: u64,
}

/// How far the rows have come: behind the last one of its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum RuleCursor {
    #[default]
    Start,
    Budget(Scope),
    Policy(u64),
    Tagged(u64),
    Outgoing(u64, u16),
}

impl RuleCursor {
    fn kind(&self) -> u8 {
        match self {
            Self::Start => 0,
            Self::Budget(_) => 1,
            Self::Policy(_) => 2,
            Self::Tagged(_) => 3,
            Self::Outgoing(..) => 4,
        }
    }
}

fn budget(state: &State, account: &Account) -> RuleRow {
    let Account { id, created, day, own, reported, total, told, told_mean, shut, .. } = *account;
    let crossing = state.rules.crossings.get(&account.budget.scope).map(|crossing| {
        let Crossing { excess, day, spent, limit } = *crossing;
        CrossingRow { excess, day, spent, limit }
    });
    let forgets = crate::mutant!(SpendingMissingFromSnapshot);
    let (own, total) = if forgets { (reported, 0) } else { (own, total) };
    let budget = (*account.budget).clone();
    RuleRow::Budget {
        id,
        created,
        budget,
        day,
        own,
        reported,
        total,
        told,
        told_mean,
        shut,
        crossing,
    }
}

/// The next rows, and where to go on.
pub(super) fn page(state: &State, at: &RuleCursor) -> (Vec<RuleRow>, Option<RuleCursor>) {
    use std::ops::Bound::{Excluded, Unbounded};
    let rules = &state.rules;
    let scope = if let RuleCursor::Budget(scope) = at { Excluded(scope) } else { Unbounded };
    let policy = if let RuleCursor::Policy(id) = at { Excluded(*id) } else { Unbounded };
    let job = if let RuleCursor::Tagged(job) = at { Excluded(*job) } else { Unbounded };
    let letter =
        if let RuleCursor::Outgoing(event, to) = at { Excluded((*event, *to)) } else { Unbounded };
    let kind = at.kind();
    let budgets = rules
        .accounts
        .range::<_, Scope>((scope, Unbounded))
        .filter(|_| kind <= 1)
        .map(|(scope, own)| (budget(state, own), RuleCursor::Budget(scope.clone())));
    let policies = rules.policies.range((policy, Unbounded)).filter(|_| kind <= 2);
    let policies = policies.map(|(id, approval)| {
        let Approval { policy, created } = (**approval).clone();
        (RuleRow::Policy { id: *id, created, policy }, RuleCursor::Policy(*id))
    });
    let tags = !crate::mutant!(TagsMissingFromSnapshot);
    let tagged = rules.tagged.range((job, Unbounded)).filter(|_| kind <= 3 && tags);
    let tagged = tagged.map(|(job, rules)| {
        (RuleRow::Tagged { job: *job, rules: rules.to_vec() }, RuleCursor::Tagged(*job))
    });
    let outgoing = rules.outgoing.range((letter, Unbounded)).map(|(event, to)| {
        (RuleRow::Outgoing { event: *event, to: *to }, RuleCursor::Outgoing(*event, *to))
    });
    // Kinds that are over are not walked again.
    let budgets = budgets.take(if kind <= 1 { ROWS } else { 0 });
    let policies = policies.take(if kind <= 2 { ROWS } else { 0 });
    let tagged = tagged.take(if kind <= 3 { ROWS } else { 0 });
    let all = budgets.chain(policies).chain(tagged).chain(outgoing);
    let (mut rows, mut next) = (Vec::new(), None);
    for (row, cursor) in all.take(ROWS) {
        rows.push(row);
        next = Some(cursor);
    }
    let more = rows.len() == ROWS;
    (rows, next.filter(|_| more))
}

/// Takes in one row.
pub(super) fn restore(state: &mut State, row: RuleRow) -> Checked {
    let today = day_of(Micros(state.time));
    match row {
        RuleRow::Budget {
            id,
            created,
            budget,
            day,
            own,
            reported,
            total,
            told,
            told_mean,
            shut,
            crossing,
        } => {
            let (scope, rules) = (budget.scope.clone(), &state.rules);
            require(!rules.accounts.contains_key(&scope), "a budget comes twice")?;
            let amounts = [budget.daily, budget.per_job];
            let fits = amounts.into_iter().flatten().all(|limit| limit <= BUDGET_MICROS_MAX);
            require(fits && amounts != [None; 2], "a budget without sound limits")?;
            require(
                rules.accounts.len() <= QUEUE_BUDGETS_MAX + TAG_BUDGETS_MAX,
                "too many budgets",
            )?;
            let at_home = state.is_home_of(&scope);
            require(!at_home || id < state.next_event, "a budget is ahead of its event")?;
            require(reported <= own && (at_home || total == 0), "a budget counts wrongly")?;
            let budget = Rc::new(budget);
            let account =
                Account { id, created, budget, day, own, reported, total, told, told_mean, shut };
            require(
                shut.is_none_or(|day| account.is_spent(day, at_home)),
                "a budget is not spent",
            )?;
            let unseen = account.is_spent(today, at_home) && shut.is_none();
            require(!unseen, "a budget is spent and stands among the others")?;
            if let Some(day) = shut {
                state.rules.shut.insert((day, scope.clone()));
            }
            if let Some(CrossingRow { excess, day, spent, limit }) = crossing {
                state.rules.crossings.insert(scope.clone(), Crossing { excess, day, spent, limit });
            }
            if scope.is_shared() && !at_home && own > reported {
                state.rules.unreported.insert(id);
            }
            state.rules.insert_account(account);
        }
        RuleRow::Policy { id, created, policy } => {
            require(!state.rules.policies.contains_key(&id), "a policy comes twice")?;
            require(state.rules.policies.len() < POLICIES_MAX, "too many policies")?;
            state.rules.insert_policy(id, Approval { policy, created });
        }
        RuleRow::Tagged { job, rules } => {
            require(state.jobs.contains(job), "a tag without a job")?;
            require(!rules.is_empty() && rules.is_sorted_by(|a, b| a < b), "rules out of order")?;
            let known = state.rules.tagged.insert(job, rules.into());
            require(known.is_none(), "a job comes twice with its tags")?;
        }
        RuleRow::Outgoing { event, to } => {
            require(event < state.next_event && to < state.shards, "a letter from nowhere")?;
            require(state.is_rules_home(), "a shard tells of rules whose home it is not")?;
            state.rules.outgoing.insert((event, to));
            needs(state, event);
        }
    }
    Ok(())
}

fn needs(state: &mut State, event: u64) {
    let waits = state.rules.needed.get(&event).copied().unwrap_or(0);
    state.rules.needed.insert(event, waits + 1);
}

/// Messages on their way need their events. Called once, when all rows are in.
pub(super) fn finish(state: &mut State) {
    let events: Vec<EventSeq> = {
        let open = state.ties.post.all_open(None);
        open.filter_map(|(_, _, parcel)| match parcel {
            Parcel::Rule { event } => Some(event),
            _ => None,
        })
        .collect()
    };
    events.into_iter().for_each(|event| needs(state, event.0));
}
