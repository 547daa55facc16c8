//! Jobs that wait for events, and the events.

use jobbie_proto::plan::Need;
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{Append, EnqueuePlan, Expected, JobAction, JobControl, When};
use jobbie_proto::{JobId, Request};

use super::Client;
use super::jobs::Order;

const KINDS: [&str; 5] = ["a", "b", "f", "o", "x"];

impl Client {
    /// Plans for a few of the new jobs that can have one.
    pub(super) fn any_plans(
        &mut self,
        orders: &[Order],
        held: &[u32],
    ) -> Vec<EnqueuePlan<'static>> {
        let mut plans = Vec::new();
        for (enqueue, order) in (0..).zip(orders) {
            let like = order.enqueue();
            let can = like.when == When::Now && like.key.is_empty() && !held.contains(&enqueue);
            if can && self.rng.below(10) == 0 {
                plans.push(self.any_plan(enqueue));
            }
        }
        plans
    }

    fn any_plan(&mut self, enqueue: u32) -> EnqueuePlan<'static> {
        let mut some_ms = || if self.rng.coin() { 0 } else { 200 + self.rng.below(3000) };
        let (deadline_ms, a_ms) = (some_ms(), some_ms());
        let kind = |name, need, count, deadline_ms| Expected { name, need, count, deadline_ms };
        let mut kinds = vec![
            kind("a", Need::Required, 1 + self.rng.below(2) as u16, a_ms),
            kind("f", Need::Failure, 1 + self.rng.below(2) as u16, 0),
        ];
        if self.rng.coin() {
            kinds.push(kind("b", Need::Required, 1, 0));
            kinds.push(kind("o", Need::Optional, 1, 0));
        }
        EnqueuePlan { enqueue, deadline_ms, kinds }
    }

    /// Jobs in memory that have a plan, and wait or not.
    fn with_plan(&self, waits: bool, most: usize) -> Vec<JobId> {
        self.world.ledger.with(self.shard, |book| {
            let model = &book.model;
            let planned = |seq: &u64| {
                let job = model.job(*seq);
                job.plan.is_some() && (!waits || job.state == JobState::Planned)
            };
            let found = model.live.iter().rev().copied().filter(planned).take(most);
            found.map(|seq| model.job(seq).id).collect()
        })
    }

    /// Tells a few jobs of something, also of what they know, and also jobs that do not care.
    pub(super) fn append(&mut self) {
        if self.rng.below(5) == 0 {
            return self.plan_again();
        }
        let waits = self.rng.below(4) > 0;
        let mut jobs = self.with_plan(waits, 6);
        if self.rng.below(6) == 0 {
            jobs.extend(self.any_known(1));
        }
        if jobs.is_empty() {
            return;
        }
        let ids: Vec<String> = (0..3).map(|_| self.rng.below(12).to_string()).collect();
        let mut appends = Vec::new();
        for id in &ids[..1 + self.rng.below(3) as usize] {
            let job = jobs[self.rng.below(jobs.len() as u64) as usize];
            let kind = KINDS[self.rng.below(KINDS.len() as u64) as usize];
            let (id, source) = (id.as_bytes(), if self.rng.coin() { "worker" } else { "domain" });
            appends.push(Append { job, id, kind, data: b"data", source, trace: "" });
        }
        self.submit(Request { appends, ..Request::default() });
    }

    /// Lets jobs with plans begin anew or go on, most of which have ended.
    fn plan_again(&mut self) {
        let jobs = self.with_plan(false, 4);
        let action = if self.rng.coin() { JobAction::Retry } else { JobAction::Requeue };
        let job_controls = jobs.into_iter().map(|job| JobControl { job, action }).collect();
        self.submit(Request { job_controls, ..Request::default() });
    }

    /// Calls off everything that waits for events, which nobody will append any more.
    pub(super) fn cancel_planned(&mut self) {
        let cancels = self.with_plan(true, 100);
        self.submit(Request { cancels, ..Request::default() });
    }
}
