//! A limit of a budget that is exceeded is told of once for each day and setting, and never left untold.

use jobbie_proto::Micros;
use jobbie_proto::event::{Excess, Rule};
use jobbie_proto::rules::{Scope, day_of};

use super::violated;
use crate::model::{Account, Model};

/// The log says that a budget is exceeded.
pub(crate) fn told(model: &Model, account: &Account, rule: &Rule, from_home: bool) {
    let Rule::Exceeded { excess, day, spent, limit, held, .. } = rule else { unreachable!() };
    if account.announced.contains(&(*day, *excess == Excess::Mean)) {
        violated!("crossings", "{rule:?} was told before: {account:?}");
    }
    let of = match excess {
        Excess::Daily => account.budget.daily,
        Excess::Mean => account.budget.per_job,
    };
    if !from_home && (of != Some(*limit) || spent < limit) {
        violated!("crossings", "{rule:?} is not exceeded: {account:?}");
    }
    if *excess == Excess::Daily && !from_home && *day == account.day && *spent > account.total {
        violated!("crossings", "{rule:?}, but not so much was spent: {account:?}");
    }
    let queue = held.map(|job| Scope::Queue(model.job(job.0).class.queue.clone()));
    if queue.is_some_and(|queue| queue != account.budget.scope) {
        violated!("crossings", "{rule:?} holds a job of another queue");
    }
}

/// Nothing is under way any more: whoever has to know of a spent budget does.
pub(crate) fn check(models: &[&Model]) {
    for home in models {
        for (scope, account) in &home.rules.accounts {
            if !home.is_home_of(scope) {
                continue;
            }
            if let Some(day) = account.untold {
                violated!("crossings", "{scope} was spent on day {day}, which was never told");
            }
            let day = account.day;
            // What was spent on another day concerns nobody any more.
            let is_today = day == day_of(Micros(home.time));
            let is_spent = is_today && home.is_spent(account, day);
            if !is_spent || !scope.is_shared() {
                continue;
            }
            for other in models.iter().filter(|other| !other.is_home_of(scope)) {
                let known = other.rules.accounts.get(scope).filter(|known| known.id == account.id);
                if known.is_none_or(|known| known.told < Some(day)) {
                    violated!(
                        "crossings",
                        "{} does not know of {account:?}: {known:?}",
                        other.shard
                    );
                }
            }
        }
    }
}
