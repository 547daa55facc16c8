//! Budgets and approval policies.

use jobbie_proto::reply::{BudgetView, PolicyView, RuleDone};
use jobbie_proto::request::Stats;
use jobbie_proto::rules::{Budget, Policy, RULES_HOME, RuleControl, Scope};
use jobbie_proto::{Code, EventSeq, Request, ShardId};

use crate::client::short_answer;
use crate::{Client, Error};

impl Client {
    /// Sets a budget, or gives the one of its scope other limits; its number. When this returns, the shard where the budget is at home
    /// has it in its log; other shards follow by themselves. A budget of a tag concerns jobs that are enqueued after their shard knows it.
    ///
    /// # Errors
    /// [`Error::Refused`] with `INVALID` for a budget without limits or with one above a billion dollars.
    pub async fn set_budget(&self, budget: &Budget) -> Result<EventSeq, Error> {
        let done = self.control_rule(RuleControl::SetBudget(budget.clone())).await?;
        Ok(done.id)
    }

    /// Removes a budget, if there is one.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_budget(&self, scope: &Scope) -> Result<(), Error> {
        self.control_rule(RuleControl::DeleteBudget(scope.clone())).await.map(drop)
    }

    /// Every budget, by scope, with what was spent today.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn budgets(&self) -> Result<Vec<BudgetView>, Error> {
        let mut all = Vec::new();
        for shard in (0..self.topology().shards).map(ShardId) {
            let mut request = Request { stats: Stats::Rules, ..Request::default() };
            all.append(&mut self.request(shard, &mut request).await?.budgets);
        }
        all.sort_by(|a, b| a.budget.scope.cmp(&b.budget.scope));
        Ok(all)
    }

    /// Makes an approval policy, newer than all others; its number.
    ///
    /// # Errors
    /// [`Error::Refused`] with `OVERLOADED` when there are 100.
    pub async fn add_policy(&self, policy: &Policy) -> Result<EventSeq, Error> {
        let done = self.control_rule(RuleControl::AddPolicy(policy.clone())).await?;
        Ok(done.id)
    }

    /// Removes an approval policy; whether it was there.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_policy(&self, id: EventSeq) -> Result<bool, Error> {
        let done = self.control_rule(RuleControl::DeletePolicy(id)).await?;
        Ok(done.code == Code::Ok)
    }

    /// Every approval policy, newest first.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn policies(&self) -> Result<Vec<PolicyView>, Error> {
        let mut request = Request { stats: Stats::Rules, ..Request::default() };
        Ok(self.request(RULES_HOME, &mut request).await?.policies)
    }

    async fn control_rule(&self, control: RuleControl) -> Result<RuleDone, Error> {
        let home = control.home(self.topology().shards);
        let mut request = Request { rule_controls: vec![control], ..Request::default() };
        let answer = self.request(home, &mut request).await?;
        answer.rule_controls.first().copied().ok_or_else(short_answer)
    }
}
