//! What workers of all shards said they spent is what the homes of budgets have added up, when nothing is under way.

use jobbie_core::State;
use jobbie_proto::Micros;
use jobbie_proto::rules::{Scope, day_of};

use super::violated;
use crate::model::Model;

pub(crate) fn check(models: &[&Model], states: &[State]) {
    // Shards whose logs are of different days do not count together.
    let days = models.iter().map(|model| day_of(Micros(model.time)));
    let day = days.clone().max().expect("there is a shard");
    let all_same = days.clone().all(|of| of == day);
    for (home, state) in models.iter().zip(states) {
        for view in state.budgets() {
            let scope = &view.budget.scope;
            let today = day_of(Micros(home.time));
            let of_tag =
                |model: &&Model| model.rules.of_tags.get(&(view.id.0, day)).copied().unwrap_or(0);
            let reported: u64 = match scope {
                Scope::Queue(queue) => home.spent(queue, today),
                _ if !all_same => continue,
                Scope::Global => models.iter().map(|model| model.spent("", day)).sum(),
                Scope::Tag(_) => models.iter().map(of_tag).sum(),
            };
            if view.spent != reported {
                let spent = view.spent;
                violated!("spending", "{scope}: {spent} counted, {reported} reported on {today}");
            }
        }
    }
}
