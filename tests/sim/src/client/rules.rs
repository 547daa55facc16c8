//! Budgets and approval policies: what operators set where their home is.

use jobbie_proto::rules::{
    Budget, JobTag, OnExceed, Policy, PolicyMode, RULES_HOME, RuleControl, Scope,
};
use jobbie_proto::{EventSeq, Request};

use super::Client;

/// Policies at once.
const POLICIES: usize = 4;

fn team() -> JobTag {
    JobTag { key: "team".into(), value: "a".into() }
}

impl Client {
    /// Sets, raises or removes a budget, or a policy.
    pub(super) fn rule(&mut self) {
        let at_home = self.shard == RULES_HOME;
        let control = match self.rng.below(8) {
            0 | 1 if at_home => self.any_policy_control(),
            0 => RuleControl::DeleteBudget(self.any_scope()),
            _ => RuleControl::SetBudget(self.any_budget()),
        };
        self.submit(Request { rule_controls: vec![control], ..Request::default() });
    }

    fn any_scope(&mut self) -> Scope {
        match self.rng.below(3) {
            0 if self.shard == RULES_HOME => Scope::Global,
            1 if self.shard == RULES_HOME => Scope::Tag(team()),
            _ => Scope::Queue(self.queues[0].clone()),
        }
    }

    fn any_budget(&mut self) -> Budget {
        let scope = self.any_scope();
        let known = self.world.ledger.with(self.shard, |book| {
            let account = book.model.rules.accounts.get(&scope);
            account.and_then(|account| account.budget.daily)
        });
        let more = 1000 + self.rng.below(5000);
        let daily = match self.rng.below(12) {
            0 => Some(0),
            1 | 2 => None,
            // Mostly raised by a bit, so that it is soon spent again.
            3..=8 => Some(known.unwrap_or(0) + more),
            _ => Some(more),
        };
        let per_job =
            (daily.is_none() || self.rng.below(4) == 0).then(|| 100 + self.rng.below(600));
        let on_exceed = OnExceed::ALL[self.rng.below(3) as usize];
        Budget { scope, daily, per_job, on_exceed }
    }

    fn any_policy_control(&mut self) -> RuleControl {
        let known: Vec<u64> = self
            .world
            .ledger
            .with(self.shard, |book| book.model.rules.policies.keys().copied().collect());
        if known.len() >= POLICIES || self.rng.below(3) == 0 {
            let id = if known.is_empty() {
                1
            } else {
                known[self.rng.below(known.len() as u64) as usize]
            };
            return RuleControl::DeletePolicy(EventSeq(id));
        }
        let queues = self.world.plan.all_queues();
        let queue = queues[self.rng.below(queues.len() as u64) as usize].clone();
        RuleControl::AddPolicy(Policy {
            name: "review".into(),
            mode: if self.rng.coin() { PolicyMode::Any } else { PolicyMode::All },
            enabled: self.rng.below(6) > 0,
            queue: self.rng.coin().then_some(queue),
            tag: self.rng.coin().then(team),
        })
    }

    /// Lets everything go on that a budget stops: it warns from now on.
    pub(super) fn only_warn(&mut self) {
        let (own, shards) = (self.shard, self.world.plan.shards);
        let stops: Vec<Budget> = self.world.ledger.with(own, |book| {
            let all = book.model.rules.accounts.values().map(|account| &account.budget);
            let stops = all.filter(|budget| {
                budget.on_exceed != OnExceed::AlertOnly && budget.scope.home(shards) == own
            });
            stops.cloned().collect()
        });
        let warn = |budget| Budget { on_exceed: OnExceed::AlertOnly, ..budget };
        let rule_controls =
            stops.into_iter().map(|budget| RuleControl::SetBudget(warn(budget))).collect();
        self.submit(Request { rule_controls, ..Request::default() });
    }
}
