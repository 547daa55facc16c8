//! Events of budgets and approval policies, and what jobs cost.

use std::rc::Rc;

use jobbie_proto::event::{Excess, OverrunAt, Rule};
use jobbie_proto::reply::{JobState, RuleDone};
use jobbie_proto::rules::{Budget, OnExceed, Scope, day_of};
use jobbie_proto::{Code, EventSeq, JobSeq, Micros, Reply};
use xxhash_rust::xxh3::xxh3_64;

use super::Mark;
use crate::rules::{Account, Approval, Cost, Crossing};
use crate::state::State;
use crate::ties::End;

fn hash_of(scope: &Scope) -> u64 {
    xxh3_64(scope.to_string().as_bytes())
}

impl State {
    pub(super) fn absorb_rule(&mut self, rule: &Rule, reply: &mut Reply) {
        let event = self.number_event();
        self.digest.mix(Mark::Ruled as u64);
        match rule {
            Rule::BudgetSet { id, created, budget } => {
                let id = self.budget_set(event, *id, *created, budget);
                reply.rule_controls.push(RuleDone { code: Code::Ok, id });
            }
            Rule::BudgetDeleted { scope } => {
                let known = self.rules.accounts.get(scope);
                let id = EventSeq(known.map_or(0, |account| account.id));
                self.rules.remove_account(scope);
                self.tell_others(event, scope.is_shared());
                self.digest.mix_all(&[hash_of(scope), id.0]);
                reply.rule_controls.push(RuleDone { code: Code::Ok, id });
            }
            Rule::PolicyAdded { id, created, policy } => {
                let id = if id.0 == 0 { EventSeq(event) } else { *id };
                let approval = Approval { policy: policy.clone(), created: created.0 };
                self.rules.insert_policy(id.0, approval);
                self.tell_others(event, true);
                self.digest.mix_all(&[id.0, xxh3_64(policy.name.as_bytes())]);
                reply.rule_controls.push(RuleDone { code: Code::Ok, id });
            }
            Rule::PolicyDeleted { id, code } => {
                if *code == Code::Ok {
                    self.rules.remove_policy(id.0);
                    self.tell_others(event, true);
                }
                self.digest.mix_all(&[id.0, *code as u64]);
                reply.rule_controls.push(RuleDone { code: *code, id: *id });
            }
            Rule::Tagged { jobs } => {
                for tagged in jobs {
                    self.tag(tagged.job, &tagged.rules);
                    self.digest.mix_all(&[tagged.job.0, tagged.rules.len() as u64]);
                }
            }
            Rule::Spent { of, budget, day, micros } => {
                let scope = self.rules.ids.get(&budget.0).expect("an unknown budget").clone();
                let cost = Cost { day: *day, micros: *micros, own: false };
                self.rules.charge(&scope, cost, true);
                self.digest.mix_all(&[u64::from(of.0), budget.0, u64::from(*day), *micros]);
            }
            Rule::DayTurned { day } => self.day_turned(*day),
            Rule::Exceeded { .. } => self.exceeded(event, rule),
            Rule::Overrun { .. } => self.overran(event, rule, reply),
        }
    }

    /// Something was set for all shards: the others are to be told.
    fn tell_others(&mut self, event: u64, shared: bool) {
        if !shared || !self.is_rules_home() || self.shards == 1 {
            return;
        }
        let most = if crate::mutant!(RuleToldToOneShard) { 1 } else { self.shards - 1 };
        for shard in self.other_shards().take(usize::from(most)) {
            self.rules.outgoing.insert((event, shard));
        }
        self.rules.needed.insert(event, most);
    }

    fn budget_set(
        &mut self,
        event: u64,
        id: EventSeq,
        created: Micros,
        budget: &Budget,
    ) -> EventSeq {
        let id = if id.0 == 0 { EventSeq(event) } else { id };
        let (scope, today) = (&budget.scope, day_of(self.time()));
        let at_home = self.is_home_of(scope);
        let known = self.rules.accounts.get(scope).filter(|account| account.id == id.0).cloned();
        let mut account = known.unwrap_or_else(|| {
            // What was spent today counts, as far as it is known whose it was.
            let own = match scope {
                Scope::Global => self.usage.of_queue("").spent_on(today.into()),
                Scope::Queue(queue) => self.usage.of_queue(queue).spent_on(today.into()),
                Scope::Tag(_) => 0,
            };
            Account {
                id: id.0,
                created: created.0,
                budget: Rc::new(budget.clone()),
                day: today,
                own,
                reported: 0,
                total: if at_home { own } else { 0 },
                told: None,
                told_mean: None,
                shut: None,
            }
        });
        account.budget = Rc::new(budget.clone());
        (account.told, account.told_mean) = (None, None);
        let crossed = self.rules.accounts.contains_key(scope);
        if crossed {
            self.rules.crossings.remove(scope);
        } else {
            self.rules.insert_account(account.clone());
        }
        self.rules.settle(account, today, at_home);
        self.tell_others(event, scope.is_shared());
        self.digest.mix_all(&[hash_of(scope), id.0, budget.on_exceed as u64]);
        let limit = |limit: Option<u64>| limit.map_or(u64::MAX, |limit| limit);
        self.digest.mix_all(&[limit(budget.daily), limit(budget.per_job)]);
        id
    }

    /// A job of this shard has cost money, which usage knows already.
    pub(super) fn charge_budgets(&mut self, job: u64, micros: u64, is_ack: bool) {
        if !self.rules.has_budgets() {
            return;
        }
        let at = self.queue_of(job);
        let queue = Rc::clone(&self.queues.get(at).name);
        let cost = Cost { day: day_of(self.time()), micros, own: true };
        let scopes = self.scopes_of(job, &queue);
        for scope in &scopes {
            self.rules.charge(scope, cost, self.is_home_of(scope));
        }
        if is_ack {
            scopes.iter().for_each(|scope| self.note_mean(scope, at));
        }
    }

    /// What the jobs of a queue cost in the mean has changed.
    fn note_mean(&mut self, scope: &Scope, at: u32) {
        let (today, cost) = (day_of(self.time()), self.usage.of_queue(&self.queues.get(at).name));
        let account = &self.rules.accounts[scope];
        let Some(limit) = account.budget.per_job else { return };
        if !account.is_mean_exceeded(&cost) {
            // It may have been before.
            return self.opened.push(at);
        }
        if account.told_mean < Some(today) && !self.rules.crossings.contains_key(scope) {
            let (excess, spent) = (Excess::Mean, cost.ack_micros / cost.acks);
            let crossing = Crossing { excess, day: today, spent, limit };
            self.rules.crossings.insert(scope.clone(), crossing);
        }
    }

    /// A budget has no money left: known from its home, or seen here.
    fn exceeded(&mut self, event: u64, rule: &Rule) {
        let Rule::Exceeded { scope, budget, excess, day, held, .. } = rule else { unreachable!() };
        self.digest.mix_all(&[hash_of(scope), budget.0, *excess as u64, u64::from(*day)]);
        let Some(account) = self.rules.accounts.get(scope) else { return };
        if account.id != budget.0 {
            return;
        }
        let mut account = account.clone();
        let at_home = self.is_home_of(scope);
        let from_home = *excess == Excess::Daily && !at_home;
        let told = match excess {
            Excess::Daily => &mut account.told,
            Excess::Mean => &mut account.told_mean,
        };
        if from_home {
            *told = (*told).max(Some(*day));
            account.turn_to(*day);
            self.rules.settle(account, *day, false);
        } else {
            self.rules.crossings.remove(scope);
            if !crate::mutant!(CrossingToldTwice) {
                *told = (*told).max(Some(*day));
                // The limit of the day may have been reached while the other's was due.
                self.rules.settle(account, day_of(self.time()), at_home);
            }
            self.tell_others(event, scope.is_shared() && *excess == Excess::Daily);
        }
        if let Some(job) = held {
            assert_eq!(self.job_state(job.0), JobState::Pending, "another job is at the head");
            self.hold_for_budget(*job, event);
        }
    }

    fn hold_for_budget(&mut self, job: JobSeq, event: u64) {
        let detached = self.detach(job.0);
        let number = self.track(detached, JobState::Held, 0);
        self.set_expiry_timer(number, None);
        self.side_mut(number).hold = EventSeq(event);
        self.leave_if_noted(job.0);
    }

    /// Budgets that were spent on another day are not.
    fn day_turned(&mut self, day: u32) {
        self.digest.mix(u64::from(day));
        let over = self.rules.shut.iter().take_while(|(shut, _)| *shut < day);
        let over: Vec<_> = over.map(|(_, scope)| scope.clone()).collect();
        for scope in over {
            let mut account = self.rules.accounts[&scope].clone();
            if !crate::mutant!(DayNeverTurns) {
                account.turn_to(day);
            }
            let at_home = self.is_home_of(&scope);
            self.rules.settle(account, day, at_home);
        }
    }

    /// A job has cost too much: unless the budget only warns, its lease is over.
    fn overran(&mut self, event: u64, rule: &Rule, reply: &mut Reply) {
        let Rule::Overrun { job, at, spent, limit, on_exceed, .. } = rule else { unreachable!() };
        self.active(*job);
        self.digest.mix_all(&[job.0, *at as u64, *on_exceed as u64, *spent, *limit]);
        match (at, on_exceed) {
            (OverrunAt::Ack, _) | (OverrunAt::Heartbeat, OnExceed::Hold) => {
                self.hold_for_budget(*job, event);
            }
            (OverrunAt::Heartbeat, OnExceed::Reject) => {
                self.ends(job.0, event, End::Stopped);
                let detached = self.detach(job.0);
                self.track(detached, JobState::Cancelled, self.time);
            }
            (OverrunAt::Heartbeat, OnExceed::AlertOnly) => {}
        }
        match at {
            OverrunAt::Ack => reply.acks.push(Code::BudgetExceeded),
            // Of the heartbeat that was taken just before.
            OverrunAt::Heartbeat => {
                *reply.heartbeats.last_mut().expect("its heartbeat") = Code::BudgetExceeded;
            }
        }
    }
}
