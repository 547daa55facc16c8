//! Budgets and approval policies, and what jobs have cost against them.
//!
//! A budget of a queue is known to the shard of its queue alone. What concerns jobs of all shards (the budgets of tags, the
//! global one, policies) is set on one, its home, which tells the others by numbered messages (ADR 17). They report what their jobs
//! cost; the home adds up, and tells them when a budget is exceeded.
//!
//! Days are those of log time, in UTC. Nothing happens when one ends but where a budget was exceeded: sums say which day they are of.

mod check;
pub(crate) mod tags;

use std::rc::Rc;

use imbl::shared_ptr::RcK;
use imbl::{GenericOrdMap, GenericOrdSet};
use jobbie_proto::event::Excess;
use jobbie_proto::rules::{Budget, DAY_US, JobTag, OnExceed, Policy, PolicyMode, Scope, day_of};
use jobbie_proto::{EventSeq, JobSeq, Micros, ShardId};

use crate::state::State;
use crate::usage::QueueCost;

type Map<K, V> = GenericOrdMap<K, V, RcK>;
type Set<K> = GenericOrdSet<K, RcK>;

/// A budget with what was spent of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// The event that made it, on its home.
    pub(crate) id: u64,
    pub(crate) created: u64,
    pub(crate) budget: Rc<Budget>,
    /// The day that the sums are of.
    pub(crate) day: u32,
    /// What jobs of this shard have cost.
    pub(crate) own: u64,
    /// What the home has been told of it, or is about to be.
    pub(crate) reported: u64,
    /// What all jobs have cost, as far as it is known; on the home only.
    pub(crate) total: u64,
    /// The newest day on which the log of this shard says that its day's money is spent, since it was set: on the home what that
    /// saw, elsewhere what the home said.
    pub(crate) told: Option<u32>,
    /// The same of what jobs cost in the mean, which each shard sees by itself.
    pub(crate) told_mean: Option<u32>,
    /// The day under which it stands among those that are spent.
    pub(crate) shut: Option<u32>,
}

impl Account {
    /// What was spent on a day, as far as this shard knows.
    pub(crate) fn total_on(&self, day: u32) -> u64 {
        if self.day == day || crate::mutant!(DayNeverTurns) { self.total } else { 0 }
    }

    /// Whether as much was spent on a day as may be.
    pub(crate) fn is_spent(&self, today: u32, at_home: bool) -> bool {
        self.is_spent_with(0, today, at_home)
    }

    /// The same, when so much more is about to be known.
    fn is_spent_with(&self, more: u64, today: u32, at_home: bool) -> bool {
        let Some(daily) = self.budget.daily else { return false };
        daily == 0
            || self.told == Some(today)
            || (at_home && self.total_on(today).saturating_add(more) >= daily)
    }

    /// Whether the jobs of a queue cost more in the mean than one may cost.
    pub(crate) fn is_mean_exceeded(&self, cost: &QueueCost) -> bool {
        let most = |limit: u64| u128::from(limit) * u128::from(cost.acks);
        let limit = self.budget.per_job.filter(|_| !matches!(self.budget.scope, Scope::Tag(_)));
        limit.is_some_and(|limit| u128::from(cost.ack_micros) > most(limit))
    }

    /// Begins the sums of a later day anew.
    pub(crate) fn turn_to(&mut self, day: u32) {
        if day > self.day {
            (self.day, self.own, self.reported, self.total) = (day, 0, 0, 0);
        }
    }
}

/// A budget that became exceeded, which is to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crossing {
    pub(crate) excess: Excess,
    pub(crate) day: u32,
    pub(crate) spent: u64,
    pub(crate) limit: u64,
}

/// An approval policy, and when it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Approval {
    pub(crate) policy: Policy,
    pub(crate) created: u64,
}

/// All rules of a shard. A clone shares everything.
#[derive(Clone, Default)]
pub(crate) struct Rules {
    pub(crate) accounts: Map<Scope, Account>,
    /// By number, which rises with time.
    pub(crate) policies: Map<u64, Rc<Approval>>,
    /// Budgets of all jobs and of tags, by number.
    pub(crate) ids: Map<u64, Scope>,
    /// Rules by the tag they name; numbers rise.
    pub(crate) tags: Map<JobTag, Rc<[u64]>>,
    /// Jobs in memory and the rules whose tags they have.
    pub(crate) tagged: Map<u64, Rc<[u64]>>,
    /// Budgets that are spent, by the day on which that was seen.
    pub(crate) shut: Set<(u32, Scope)>,

    // What is due.
    pub(crate) crossings: Map<Scope, Crossing>,
    /// An event about a rule, and a shard that is to be told of it.
    pub(crate) outgoing: Set<(u64, u16)>,
    /// Numbers of budgets with spending that the home has not been told of.
    pub(crate) unreported: Set<u64>,

    /// Events about rules that some shard has not taken, and how many have not.
    pub(crate) needed: Map<u64, u16>,
}

impl Rules {
    /// Whether there is any budget.
    #[inline]
    pub(crate) fn has_budgets(&self) -> bool {
        !self.accounts.is_empty()
    }

    /// Whether a rule names a tag.
    #[inline]
    pub(crate) fn names_tags(&self) -> bool {
        !self.tags.is_empty()
    }

    /// Whether something is due.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        !self.crossings.is_empty() || !self.outgoing.is_empty() || !self.unreported.is_empty()
    }

    /// When the day turns on which some budget is spent.
    pub(crate) fn turns_at(&self) -> Option<u64> {
        self.shut.get_min().map(|(day, _)| (u64::from(*day) + 1) * DAY_US)
    }

    /// How many budgets of a kind there are.
    pub(crate) fn count(&self, of: impl Fn(&Scope) -> bool) -> usize {
        self.accounts.keys().filter(|scope| of(scope)).count()
    }

    /// A job leaves memory.
    #[inline]
    pub(crate) fn forget(&mut self, job: u64) {
        if !self.tagged.is_empty() {
            self.tagged.remove(&job);
        }
    }

    /// Rules by number whose tag a job has.
    pub(crate) fn rules_of(&self, job: u64) -> &[u64] {
        self.tagged.get(&job).map_or(&[], |rules| rules)
    }

    /// Budgets of tags that are spent at a time, and do more than warn.
    pub(crate) fn spent_tags(&self, at_home: bool, today: u32) -> Vec<u64> {
        let spent = self.shut.iter().filter(|(_, scope)| matches!(scope, Scope::Tag(_)));
        let accounts = spent.map(|(_, scope)| &self.accounts[scope]);
        let stops = |account: &&Account| {
            account.budget.on_exceed > OnExceed::AlertOnly && account.is_spent(today, at_home)
        };
        accounts.filter(stops).map(|account| account.id).collect()
    }

    /// A rule names a tag, or does so no longer.
    fn index(&mut self, tag: &JobTag, id: u64, names: bool) {
        let known = self.tags.get(tag).map_or(&[][..], |rules| rules);
        let mut rules: Vec<_> = known.iter().copied().filter(|rule| *rule != id).collect();
        if names {
            rules.push(id);
            rules.sort_unstable();
        }
        if rules.is_empty() {
            self.tags.remove(tag);
        } else {
            self.tags.insert(tag.clone(), rules.into());
        }
    }

    pub(crate) fn insert_account(&mut self, account: Account) {
        let scope = account.budget.scope.clone();
        if scope.is_shared() {
            self.ids.insert(account.id, scope.clone());
        }
        if let Scope::Tag(tag) = &scope {
            self.index(tag, account.id, true);
        }
        self.accounts.insert(scope, account);
    }

    pub(crate) fn remove_account(&mut self, scope: &Scope) {
        let Some(account) = self.accounts.remove(scope) else { return };
        if let Some(day) = account.shut {
            self.shut.remove(&(day, scope.clone()));
        }
        self.crossings.remove(scope);
        if scope.is_shared() {
            self.ids.remove(&account.id);
            self.unreported.remove(&account.id);
        }
        if let Scope::Tag(tag) = scope {
            self.index(tag, account.id, false);
        }
    }

    pub(crate) fn insert_policy(&mut self, id: u64, approval: Approval) {
        if let Some(tag) = &approval.policy.tag {
            self.index(tag, id, true);
        }
        self.policies.insert(id, Rc::new(approval));
    }

    pub(crate) fn remove_policy(&mut self, id: u64) {
        if let Some(approval) = self.policies.remove(&id)
            && let Some(tag) = &approval.policy.tag
        {
            self.index(tag, id, false);
        }
    }

    /// Puts a changed account back, and whatever follows from what it says now.
    pub(crate) fn settle(&mut self, mut account: Account, today: u32, at_home: bool) {
        let scope = account.budget.scope.clone();
        let shut = account.is_spent(today, at_home).then_some(today);
        if shut != account.shut {
            if let Some(day) = account.shut {
                self.shut.remove(&(day, scope.clone()));
            }
            if let Some(day) = shut {
                self.shut.insert((day, scope.clone()));
            }
            account.shut = shut;
        }
        if let Some(limit) = account.budget.daily.filter(|_| at_home && shut.is_some())
            && account.told < Some(today)
        {
            let (excess, spent) = (Excess::Daily, account.total_on(today));
            let crossing = Crossing { excess, day: today, spent, limit };
            if !self.crossings.contains_key(&scope) {
                self.crossings.insert(scope.clone(), crossing);
            }
        }
        let unreported = account.own > account.reported;
        if scope.is_shared() && !at_home {
            if unreported {
                self.unreported.insert(account.id);
            } else {
                self.unreported.remove(&account.id);
            }
        }
        self.accounts.insert(scope, account);
    }

    /// Jobs have cost money that counts against a budget: `own` of this shard, otherwise of another.
    pub(crate) fn charge(&mut self, scope: &Scope, cost: Cost, at_home: bool) {
        let Some(account) = self.accounts.get(scope) else { return };
        let mut account = account.clone();
        account.turn_to(cost.day);
        if cost.day < account.day {
            return;
        }
        if cost.own {
            account.own = account.own.saturating_add(cost.micros);
        }
        if at_home {
            account.total = account.total.saturating_add(cost.micros);
        }
        self.settle(account, cost.day, at_home);
    }

    /// A message with spending is on its way.
    pub(crate) fn report(&mut self, id: u64, day: u32, micros: u64) {
        let scope = self.ids.get(&id).expect("an unknown budget was reported").clone();
        let mut account = self.accounts[&scope].clone();
        assert_eq!(account.day, day, "spending of another day was reported");
        account.reported += micros;
        assert_eq!(account.reported, account.own, "something else was reported than was spent");
        self.accounts.insert(scope, account);
        self.unreported.remove(&id);
    }

    /// A shard has taken what an event says.
    pub(crate) fn taken(&mut self, event: u64) {
        let left = self.needed.get(&event).expect("it was sent") - 1;
        if left == 0 {
            self.needed.remove(&event);
        } else {
            self.needed.insert(event, left);
        }
    }
}

/// What jobs have cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) day: u32,
    pub(crate) micros: u64,
    /// Whether they are of this shard.
    pub(crate) own: bool,
}

/// What a request that is being decided has told of costs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unabsorbed {
    /// Of jobs of the queue in question.
    pub(crate) of_queue: u64,
    /// Of all jobs.
    pub(crate) all: u64,
}

/// The budget that a job has overrun.
pub(crate) struct Overrun<'s> {
    pub(crate) budget: &'s Budget,
    pub(crate) limit: u64,
}

impl State {
    /// Whether a budget is added up here.
    pub(crate) fn is_home_of(&self, scope: &Scope) -> bool {
        scope.home(self.shards) == self.shard
    }

    /// Whether this shard is where rules of all jobs are set.
    pub(crate) fn is_rules_home(&self) -> bool {
        self.is_home_of(&Scope::Global)
    }

    /// The strictest of the budgets of all jobs and of a queue that have no money left for it at a time.
    pub(crate) fn exceeded_for(&self, queue: &str, now: Micros) -> Option<OnExceed> {
        self.exceeded_with(queue, now, Unabsorbed::default())
    }

    /// The same, when a request that is being decided has told of more costs.
    pub(crate) fn exceeded_with(
        &self,
        queue: &str,
        now: Micros,
        more: Unabsorbed,
    ) -> Option<OnExceed> {
        if !self.rules.has_budgets() {
            return None;
        }
        let (today, cost) = (day_of(now), self.usage.of_queue(queue));
        let of = |scope: &Scope| {
            let account = self.rules.accounts.get(scope)?;
            let more = if *scope == Scope::Global { more.all } else { more.of_queue };
            let mut spent = account.is_spent_with(more, today, self.is_home_of(scope));
            if crate::mutant!(GlobalBudgetPerQueue) && *scope == Scope::Global {
                let own = cost.spent_on(today.into());
                spent = account.budget.daily.is_some_and(|daily| own >= daily);
            }
            (spent || account.is_mean_exceeded(&cost)).then_some(account.budget.on_exceed)
        };
        of(&Scope::Global).max(of(&Scope::Queue(queue.to_owned())))
    }

    /// Whether nothing of a queue is given out at a time because a budget has no money left for it.
    pub(crate) fn is_over_budget(&self, queue: &str, now: Micros) -> bool {
        self.exceeded_for(queue, now) > Some(OnExceed::AlertOnly)
    }

    /// Whether a job has one of some tags.
    pub(crate) fn has_spent_tag(&self, job: u64, spent: &[u64]) -> bool {
        let rules = || self.rules.rules_of(job).iter();
        !spent.is_empty() && rules().any(|rule| spent.contains(rule))
    }

    /// Budgets that concern a job in a queue.
    pub(crate) fn scopes_of(&self, job: u64, queue: &str) -> Vec<Scope> {
        let tags = self.rules.rules_of(job).iter().filter_map(|id| self.rules.ids.get(id).cloned());
        let all = [Scope::Global, Scope::Queue(queue.to_owned())].into_iter().chain(tags);
        all.filter(|scope| self.rules.accounts.contains_key(scope)).collect()
    }

    /// The smallest budget for one job that concerns it, of equal ones the strictest, if it has cost more than that.
    pub(crate) fn overrun(&self, job: u64, queue: &str, spent: u64) -> Option<Overrun<'_>> {
        if !self.rules.has_budgets() {
            return None;
        }
        let budgets = self.scopes_of(job, queue);
        let budgets = budgets.iter().map(|scope| &*self.rules.accounts[scope].budget);
        let limits = budgets.filter_map(|budget| Some((budget.per_job?, budget)));
        let (limit, budget) =
            limits.min_by_key(|(limit, budget)| (*limit, std::cmp::Reverse(budget.on_exceed)))?;
        (spent > limit).then_some(Overrun { budget, limit })
    }

    /// The approval policy that makes an agent job wait for a human before it goes on: the newest that is enabled and concerns it. None of a
    /// job that is not in memory.
    #[must_use]
    pub fn policy_for(&self, job: JobSeq) -> Option<&Policy> {
        if self.rules.policies.is_empty() || !self.jobs.contains(job.0) {
            return None;
        }
        let queue = &*self.queues.get(self.queue_of(job.0)).name;
        let rules = self.rules.rules_of(job.0);
        let concerns = |id: u64, policy: &Policy| {
            let of_queue = policy.queue.as_deref().map(|name| name == queue);
            let of_tag = policy.tag.as_ref().map(|_| rules.contains(&id));
            let mut conditions = [of_queue, of_tag].into_iter().flatten().peekable();
            let any = conditions.peek().is_some();
            policy.enabled
                && any
                && match policy.mode {
                    PolicyMode::Any => conditions.any(|holds| holds),
                    PolicyMode::All => conditions.all(|holds| holds),
                }
        };
        let all = self.rules.policies.iter();
        let mut matching = all
            .filter(|(id, approval)| concerns(**id, &approval.policy))
            .map(|(_, found)| &found.policy);
        if crate::mutant!(PoliciesOldestFirst) { matching.next() } else { matching.next_back() }
    }

    /// How many budgets are spent, for metrics.
    #[must_use]
    pub fn budgets_spent(&self) -> usize {
        self.rules.shut.len()
    }

    /// The other shards, which are to be told of rules.
    pub(crate) fn other_shards(&self) -> impl Iterator<Item = u16> + use<> {
        let own = self.shard;
        (0..self.shards).filter(move |shard| ShardId(*shard) != own)
    }

    /// New jobs have tags that rules name.
    pub(crate) fn tag(&mut self, job: JobSeq, rules: &[EventSeq]) {
        let rules: Rc<[u64]> = rules.iter().map(|rule| rule.0).collect();
        self.rules.tagged.insert(job.0, rules);
    }
}
