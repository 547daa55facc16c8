//! Budgets and approval policies, and what was spent, folded the obvious way.

use std::collections::{BTreeMap, BTreeSet};

use jobbie_proto::event::{Excess, OverrunAt, Rule};
use jobbie_proto::reply::JobState;
use jobbie_proto::rules::{Budget, OnExceed, Policy, PolicyMode, Scope, day_of};
use jobbie_proto::usage::UsagePhase;
use jobbie_proto::{Code, Micros};

use super::Model;
use super::absorb::Step;
use crate::check::{crossings, overruns, r10_one_state, r11_leases, usage};

/// A budget as this shard knows it.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) id: u64,
    pub(crate) budget: Budget,
    /// At its home: what was spent on the newest day on which anything was.
    pub(crate) day: u32,
    pub(crate) total: u64,
    /// Elsewhere: the newest day on which its home said that it is spent.
    pub(crate) told: Option<u32>,
    /// Days on which the log says that it is exceeded, since it was set; and whether that is of what jobs cost in the mean.
    pub(crate) announced: BTreeSet<(u32, bool)>,
    /// At its home: the day on which it was spent, as long as the log does not say so.
    pub(crate) untold: Option<u32>,
}

/// All that is known of rules, and of money.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) accounts: BTreeMap<Scope, Account>,
    pub(crate) policies: BTreeMap<u64, Policy>,
    /// Jobs and the rules whose tags they have.
    pub(crate) tagged: BTreeMap<u64, Vec<u64>>,
    /// What was spent here, by queue and day; of all queues without a name.
    pub(crate) spent: BTreeMap<(String, u32), u64>,
    /// The same by number of the budget of a tag.
    pub(crate) of_tags: BTreeMap<(u64, u32), u64>,
    /// How many acks with usage each queue had, and what they cost.
    acks: BTreeMap<String, (u64, u64)>,
    /// As it was before the group at hand.
    pub(crate) acks_before: BTreeMap<String, (u64, u64)>,
    /// Budgets of tags that stopped their jobs before the group at hand.
    pub(crate) closed_tags: BTreeSet<u64>,
    /// Crossings so far, to show that a run was worth something.
    pub(crate) crossings: u64,
}

impl Model {
    pub(crate) fn is_home_of(&self, scope: &Scope) -> bool {
        scope.home(self.shards) == self.shard
    }

    /// What was spent on a day of the jobs of a queue; of all jobs without a name.
    pub(crate) fn spent(&self, queue: &str, day: u32) -> u64 {
        self.rules.spent.get(&(queue.to_owned(), day)).copied().unwrap_or(0)
    }

    /// Whether the daily limit of a budget is reached, as far as this shard knows.
    pub(crate) fn is_spent(&self, account: &Account, day: u32) -> bool {
        let Some(daily) = account.budget.daily else { return false };
        let known = match &account.budget.scope {
            Scope::Queue(queue) => self.spent(queue, day),
            scope if self.is_home_of(scope) && account.day == day => account.total,
            _ => 0,
        };
        daily == 0 || account.told == Some(day) || known >= daily
    }

    /// Before a group: what its fetches must pass over.
    pub(super) fn note_closed(&mut self) {
        if self.rules.accounts.is_empty() {
            return self.rules.closed_tags.clear();
        }
        self.rules.acks_before = self.rules.acks.clone();
        let day = day_of(Micros(self.time));
        let stops = |account: &&Account| {
            matches!(account.budget.scope, Scope::Tag(_))
                && account.budget.on_exceed != OnExceed::AlertOnly
                && self.is_spent(account, day)
        };
        let closed = self.rules.accounts.values().filter(stops).map(|account| account.id);
        self.rules.closed_tags = closed.collect();
    }

    /// Budgets that concern a job.
    pub(crate) fn budgets_of(&self, seq: u64) -> impl Iterator<Item = &Account> {
        let queue = &self.job(seq).class.queue;
        let rules = self.rules.tagged.get(&seq).map_or(&[][..], |rules| rules);
        self.rules.accounts.values().filter(move |account| match &account.budget.scope {
            Scope::Global => true,
            Scope::Queue(of) => of == queue,
            Scope::Tag(_) => rules.contains(&account.id),
        })
    }

    /// A job of this shard has cost money.
    pub(super) fn charge(&mut self, seq: u64, queue: &str, micros: u64, phase: UsagePhase) {
        let day = day_of(Micros(self.time));
        for name in [queue, ""] {
            *self.rules.spent.entry((name.to_owned(), day)).or_default() += micros;
        }
        if phase == UsagePhase::Ack {
            let acks = self.rules.acks.entry(queue.to_owned()).or_default();
            (acks.0, acks.1) = (acks.0 + 1, acks.1 + micros);
        }
        let scopes: Vec<_> = self.budgets_of(seq).map(|a| a.budget.scope.clone()).collect();
        for scope in scopes {
            if let Scope::Tag(_) = scope {
                let id = self.rules.accounts[&scope].id;
                *self.rules.of_tags.entry((id, day)).or_default() += micros;
            }
            self.count(&scope, day, micros);
        }
    }

    /// At its home, a budget is added up.
    fn count(&mut self, scope: &Scope, day: u32, micros: u64) {
        if !self.is_home_of(scope) {
            return;
        }
        let account = self.rules.accounts.get_mut(scope).expect("just found");
        if day > account.day {
            (account.day, account.total) = (day, 0);
        }
        if day < account.day {
            return;
        }
        account.total += micros;
        self.note_untold(scope, day);
    }

    fn note_untold(&mut self, scope: &Scope, day: u32) {
        let account = &self.rules.accounts[scope];
        let is_told = account.announced.contains(&(day, false));
        if self.is_home_of(scope) && !is_told && self.is_spent(account, day) {
            let account = self.rules.accounts.get_mut(scope).expect("just found");
            account.untold = account.untold.or(Some(day));
        }
    }

    fn budget_set(&mut self, id: u64, budget: &Budget) {
        let (scope, day) = (&budget.scope, day_of(Micros(self.time)));
        let known = self.rules.accounts.remove(scope).filter(|account| account.id == id);
        let own = match scope {
            Scope::Global => self.spent("", day),
            Scope::Queue(queue) => self.spent(queue, day),
            Scope::Tag(_) => 0,
        };
        let (day_before, total) = known.map_or((day, own), |known| (known.day, known.total));
        let account = Account {
            id,
            budget: budget.clone(),
            day: day_before,
            total,
            told: None,
            announced: BTreeSet::new(),
            untold: None,
        };
        self.rules.accounts.insert(scope.clone(), account);
        self.note_untold(scope, day);
    }

    /// The approval policy that concerns an agent job: the newest.
    pub(crate) fn policy_for(&self, seq: u64) -> Option<&Policy> {
        let queue = &self.job(seq).class.queue;
        let rules = self.rules.tagged.get(&seq).map_or(&[][..], |rules| rules);
        let mut newest_first = self.rules.policies.iter().rev();
        let found = newest_first.find(|(id, policy)| {
            let of_queue = policy.queue.as_ref().map(|name| name == queue);
            let of_tag = policy.tag.as_ref().map(|_| rules.contains(id));
            let hold: Vec<bool> = [of_queue, of_tag].into_iter().flatten().collect();
            let meets = match policy.mode {
                PolicyMode::Any => hold.contains(&true),
                PolicyMode::All => !hold.is_empty() && !hold.contains(&false),
            };
            policy.enabled && meets
        });
        found.map(|(_, policy)| policy)
    }

    pub(super) fn rule(&mut self, rule: &Rule, step: &mut Step<'_>) {
        let event = self.number();
        let number = |id: u64| if id == 0 { event } else { id };
        match rule {
            Rule::BudgetSet { id, budget, .. } => {
                self.budget_set(number(id.0), budget);
                step.outcome.rule_controls.push((Code::Ok, number(id.0)));
            }
            Rule::BudgetDeleted { scope } => {
                let known = self.rules.accounts.remove(scope).map_or(0, |account| account.id);
                step.outcome.rule_controls.push((Code::Ok, known));
            }
            Rule::PolicyAdded { id, policy, .. } => {
                self.rules.policies.insert(number(id.0), policy.clone());
                step.outcome.rule_controls.push((Code::Ok, number(id.0)));
            }
            Rule::PolicyDeleted { id, code } => {
                self.rules.policies.remove(&id.0);
                step.outcome.rule_controls.push((*code, id.0));
            }
            Rule::Tagged { jobs } => jobs.iter().for_each(|tagged| {
                let rules = tagged.rules.iter().map(|rule| rule.0).collect();
                self.rules.tagged.insert(tagged.job.0, rules);
            }),
            Rule::Spent { budget, day, micros, .. } => {
                let of = self.rules.accounts.values().find(|account| account.id == budget.0);
                let scope = of.expect("only known budgets count").budget.scope.clone();
                self.count(&scope, *day, *micros);
            }
            Rule::DayTurned { .. } => {}
            Rule::Exceeded { .. } => self.exceeded(rule),
            Rule::Overrun { .. } => self.overran(rule, step),
        }
    }

    fn exceeded(&mut self, rule: &Rule) {
        let Rule::Exceeded { scope, budget, excess, day, held, .. } = rule else { unreachable!() };
        if let Some(job) = held {
            r10_one_state::leaves(job.0, self.job(job.0), &[JobState::Pending], "held by a budget");
            self.hold_for_good(job.0);
        }
        let from_home = !self.is_home_of(scope) && *excess == Excess::Daily;
        let known = self.rules.accounts.get(scope).filter(|account| account.id == budget.0);
        let Some(account) = known else { return };
        crossings::told(self, account, rule, from_home);
        let account = self.rules.accounts.get_mut(scope).expect("just found");
        account.announced.insert((*day, *excess == Excess::Mean));
        if from_home {
            account.told = account.told.max(Some(*day));
        } else {
            account.untold = account.untold.filter(|_| *excess == Excess::Mean);
            self.rules.crossings += 1;
        }
    }

    fn overran(&mut self, rule: &Rule, step: &mut Step<'_>) {
        let Rule::Overrun { job, at, on_exceed, .. } = rule else { unreachable!() };
        let seq = job.0;
        r10_one_state::leaves(seq, self.job(seq), &[JobState::Active], "said to cost too much");
        overruns::overran(self, rule);
        let request = step.fact.request.expect("workers tell costs");
        match at {
            OverrunAt::Ack => {
                let acks = request.acks.iter().map(|ack| ack.job);
                r11_leases::takes_effect(self, seq, "acked", acks);
                usage::counted(self, request, seq, &step.counted);
                step.outcome.acks.push(Code::BudgetExceeded);
            }
            OverrunAt::Heartbeat => {
                let code = step.outcome.heartbeats.last_mut().expect("of its heartbeat");
                *code = Code::BudgetExceeded;
            }
        }
        match (at, on_exceed) {
            (OverrunAt::Ack, _) | (OverrunAt::Heartbeat, OnExceed::Hold) => {
                self.hold_for_good(seq);
                self.leave_if_noted(seq);
            }
            (OverrunAt::Heartbeat, OnExceed::Reject) => self.set_state(seq, JobState::Cancelled),
            (OverrunAt::Heartbeat, OnExceed::AlertOnly) => {}
        }
    }
}
