//! What must hold of rules.

use jobbie_proto::event::Parcel;
use jobbie_proto::rules::{Scope, day_of};

use super::Account;
use crate::state::State;

impl State {
    pub(crate) fn check_rules(&self) {
        let rules = &self.rules;
        let lives = |job: &u64| self.jobs.contains(*job);
        assert!(rules.tagged.keys().all(lives), "a tag without a job");
        for (scope, account) in &rules.accounts {
            assert_eq!(*scope, account.budget.scope, "a budget stands elsewhere");
            self.check_account(scope, account);
        }
        let shut = rules.accounts.values().filter(|account| account.shut.is_some()).count();
        assert_eq!(shut, rules.shut.len(), "spent budgets miscounted");
        let shared = rules.accounts.keys().filter(|scope| scope.is_shared()).count();
        assert_eq!(shared, rules.ids.len(), "budgets of all shards miscounted");
        let known = |id: &u64| rules.ids.contains_key(id) || rules.policies.contains_key(id);
        assert!(rules.tags.values().all(|ids| ids.iter().all(known)), "a tag of no rule");
        for event in rules.needed.keys() {
            let open = self.ties.post.all_open(None);
            let sent = open.filter(|(_, _, parcel)| match parcel {
                Parcel::Rule { event: of } => of.0 == *event,
                _ => false,
            });
            let due = rules.outgoing.iter().filter(|(of, _)| of == event);
            let waits = sent.count() + due.count();
            assert_eq!(waits, usize::from(rules.needed[event]), "shards to be told miscounted");
        }
        let kept = |(event, _): &(u64, u16)| rules.needed.contains_key(event);
        assert!(rules.outgoing.iter().all(kept), "an event is due and not kept");
        for scope in rules.crossings.keys() {
            assert!(rules.accounts.contains_key(scope), "a budget crossed that is gone");
        }
    }

    fn check_account(&self, scope: &Scope, account: &Account) {
        let at_home = self.is_home_of(scope);
        assert!(account.id < self.next_event || !at_home, "a budget is ahead");
        assert!(account.reported <= account.own, "{scope}: more reported than spent");
        assert!(at_home || account.total == 0, "{scope}: added up away from home");
        assert!(!at_home || account.total >= account.own, "{scope}: lost its own");
        if let Some(day) = account.shut {
            assert!(
                self.rules.shut.contains(&(day, scope.clone())),
                "{scope}: not among the spent"
            );
            assert!(account.is_spent(day, at_home), "{scope}: not spent");
        }
        let today = day_of(self.time());
        let unseen = account.is_spent(today, at_home) && account.shut.is_none();
        assert!(!unseen, "{scope}: spent and nobody saw it");
        // What usage says of the same day.
        if account.day == today {
            let (queue, counted) = match scope {
                Scope::Queue(queue) => (&**queue, account.total),
                Scope::Global => ("", account.own),
                Scope::Tag(_) => return,
            };
            let spent = self.usage.of_queue(queue).spent_on(today.into());
            assert_eq!(counted, spent, "{scope}: another sum than that of usage");
        }
    }
}
