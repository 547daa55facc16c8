//! Budgets and approval policies: what is done to them, and what they do.

use jobbie_proto::event::{Event, OverrunAt, Rule, TaggedJob};
use jobbie_proto::reply::JobState;
use jobbie_proto::rules::{OnExceed, RuleControl};
use jobbie_proto::{Code, EventSeq, JobSeq, Micros, Request};

use super::draft::{After, Draft};
use crate::state::State;

/// Adds a job to the event that says which rules name the tags of new jobs.
pub(super) fn tagged(after: &mut Vec<Event>, job: JobSeq, rules: Vec<EventSeq>) {
    if rules.is_empty() {
        return;
    }
    if let Some(Event::Ruled(rule)) = after.last_mut()
        && let Rule::Tagged { jobs } = &mut **rule
    {
        return jobs.push(TaggedJob { job, rules });
    }
    after.push(Rule::Tagged { jobs: vec![TaggedJob { job, rules }] }.into());
}

/// Why a fetch that stands alone is refused: no queue that it names has money left, and all budgets say that whoever asks is to be told so.
pub(super) fn refused_fetch(state: &State, now: Micros, request: &Request<'_>) -> Option<String> {
    let fetch = request.fetch.as_ref().filter(|_| state.rules.has_budgets())?;
    let others = request.operations().iter().any(|(_, count)| *count > 0);
    let rejects = |queue: &&str| state.exceeded_for(queue, now) == Some(OnExceed::Reject);
    if others || request.extend_session_ms > 0 || !fetch.queues.iter().all(rejects) {
        return None;
    }
    Some(format!("fetch.queues: no money is left for {}", fetch.queues.join(", ")))
}

impl Draft<'_> {
    pub(super) fn rule_controls(&mut self, controls: &[RuleControl]) {
        for control in controls {
            let created = self.now;
            let rule = match control {
                RuleControl::SetBudget(budget) => {
                    let known = self.state.rules.accounts.get(&budget.scope);
                    let (id, created) =
                        known.map_or((0, created), |account| (account.id, Micros(account.created)));
                    Rule::BudgetSet { id: EventSeq(id), created, budget: budget.clone() }
                }
                RuleControl::DeleteBudget(scope) => Rule::BudgetDeleted { scope: scope.clone() },
                RuleControl::AddPolicy(policy) => {
                    Rule::PolicyAdded { id: EventSeq(0), created, policy: policy.clone() }
                }
                RuleControl::DeletePolicy(id) => {
                    let known = self.state.rules.policies.contains_key(&id.0);
                    let code = if known { Code::Ok } else { Code::NotFound };
                    Rule::PolicyDeleted { id: *id, code }
                }
            };
            self.events.push(rule.into());
        }
    }

    /// What is said of an active job when it has overrun a budget.
    #[inline]
    pub(super) fn overrun(&self, job: u64, at: OverrunAt) -> Option<Rule> {
        if self.state.rules.has_budgets() { self.find_overrun(job, at) } else { None }
    }

    /// A job has overrun a budget, as its heartbeat shows.
    pub(super) fn overran(&mut self, job: u64, overrun: Rule) {
        let Rule::Overrun { on_exceed, .. } = overrun else { unreachable!() };
        match on_exceed {
            OnExceed::AlertOnly => {}
            OnExceed::Hold => {
                let after = self.given_back(job, JobState::Held);
                self.touch(job, After::In(after));
            }
            OnExceed::Reject => self.touch(job, After::In(JobState::Cancelled)),
        }
        self.events.push(overrun.into());
    }

    fn find_overrun(&self, job: u64, at: OverrunAt) -> Option<Rule> {
        let spent = self.cost_of(job);
        let queue = &self.state.queues.get(self.state.queue_of(job)).name;
        let overrun = self.state.overrun(job, queue, spent)?;
        let on_exceed = overrun.budget.on_exceed;
        if at == OverrunAt::Ack && on_exceed != OnExceed::Reject {
            return None;
        }
        let (job, scope, limit) = (JobSeq(job), overrun.budget.scope.clone(), overrun.limit);
        let reason = String::new();
        let overrun = Rule::Overrun { job, at, scope, spent, limit, on_exceed, reason };
        Some(overrun.explained())
    }
}
