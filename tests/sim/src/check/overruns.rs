//! A job that costs more than a budget allows for one is noticed, and only such a job.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jobbie_proto::event::Rule;
use jobbie_proto::rules::OnExceed;

use super::violated;
use crate::model::Model;

/// The smallest limit for one job that a job is above, and what happens then.
fn expected(model: &Model, seq: u64) -> Option<(u64, OnExceed)> {
    let budgets = model.budgets_of(seq).map(|account| &account.budget);
    let limits = budgets.filter_map(|budget| Some((budget.per_job?, budget.on_exceed)));
    let smallest = limits.min_by_key(|(limit, on_exceed)| (*limit, Reverse(*on_exceed)));
    smallest.filter(|(limit, _)| model.job(seq).cost > *limit)
}

/// The log says that a job costs too much.
pub(crate) fn overran(model: &Model, rule: &Rule) {
    let Rule::Overrun { job, spent, limit, on_exceed, .. } = rule else { unreachable!() };
    let (cost, expected) = (model.job(job.0).cost, expected(model, job.0));
    if *spent != cost || expected != Some((*limit, *on_exceed)) {
        violated!("overruns", "{rule:?}: job {job} cost {cost}, the limit is {expected:?}");
    }
}

/// The ack of a job is taken; `counted` are those that said what they used.
pub(crate) fn passed(model: &Model, seq: u64, counted: &BTreeSet<u64>) {
    if let Some((limit, OnExceed::Reject)) = expected(model, seq)
        && counted.contains(&seq)
    {
        let cost = model.job(seq).cost;
        violated!("overruns", "job {seq} cost {cost}, at most {limit}, and its ack was taken");
    }
}
