//! Budgets: what has no money left hands out nothing, until its limit is raised, the budget removed, or the day turns.

use jobbie_proto::Micros;
use jobbie_proto::rules::{OnExceed, Scope, day_of};

use super::violated;
use crate::model::{Account, Model};

/// Whether a job has a tag for which no money was left before the group at hand.
pub(crate) fn has_closed_tag(model: &Model, seq: u64) -> bool {
    let rules = model.rules.tagged.get(&seq);
    rules.is_some_and(|rules| rules.iter().any(|rule| model.rules.closed_tags.contains(rule)))
}

/// Whether the acks of a queue cost more in the mean than a job may.
fn is_mean_exceeded(model: &Model, account: &Account, queue: &str) -> bool {
    let (acks, micros) = model.rules.acks_before.get(queue).copied().unwrap_or_default();
    account.budget.per_job.is_some_and(|limit| micros > limit * acks)
}

/// A job is about to be leased.
pub(crate) fn leased(model: &Model, seq: u64, time: u64) {
    if model.rules.accounts.is_empty() {
        return;
    }
    let (queue, day) = (&model.job(seq).class.queue, day_of(Micros(time)));
    for account in model.budgets_of(seq) {
        let is_closed = match account.budget.scope {
            // What a request itself tells of tags counts for the next one.
            Scope::Tag(_) => model.rules.closed_tags.contains(&account.id),
            _ => model.is_spent(account, day) || is_mean_exceeded(model, account, queue),
        };
        if is_closed && account.budget.on_exceed != OnExceed::AlertOnly {
            violated!("budgets", "job {seq} was leased from {queue} on day {day}: {account:?}");
        }
    }
}
