//! Jobs that are worked on in iterations, and what work used.

use jobbie_proto::agent::{AgentLimits, AgentStatus};
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{
    Agent, AgentAck, EnqueueAgent, EnqueuePlan, JobAction, JobControl, JobRef, ReportUsage, Usage,
};
use jobbie_proto::usage::Amounts;
use jobbie_proto::{EventSeq, JobId, Request};

use super::Client;
use super::jobs::Order;

const MODELS: [(&str, &str); 3] = [("", ""), ("large", "here"), ("small", "there")];

/// Mean cost of a report, in micro-dollars.
const COST_MICROS: u64 = 200;

impl Client {
    /// Agents among the new jobs, which have no plan.
    pub(super) fn any_agents(
        &mut self,
        orders: &[Order],
        plans: &[EnqueuePlan<'_>],
    ) -> Vec<EnqueueAgent<'static>> {
        if !self.world.plan.agents {
            return Vec::new();
        }
        let mut agents = Vec::new();
        for (enqueue, order) in (0..).zip(orders) {
            let planned = plans.iter().any(|plan| plan.enqueue == enqueue);
            let can = !planned && order.enqueue().key.is_empty();
            if can && self.rng.below(3) == 0 {
                agents.push(EnqueueAgent { enqueue, agent: self.any_agent() });
            }
        }
        agents
    }

    fn any_agent(&mut self) -> Agent<'static> {
        let few = self.rng.below(5) as u32;
        let max_cost_micros = if self.rng.coin() { 0 } else { COST_MICROS + self.rng.below(1500) };
        let limits =
            AgentLimits { max_iterations: few, max_cost_micros, iteration_timeout_ms: 500 };
        let checkpoint: &[u8] = if self.rng.coin() { b"{}" } else { b"" };
        Agent { limits, checkpoint, replayed: None }
    }

    /// What becomes of the agent jobs among those acked, and now and then of others, which are none.
    pub(super) fn say_of_iterations(&mut self, request: &mut Request<'_>) {
        for (of, ack) in (0..).zip(&request.acks) {
            let is_agent = self.is_agent(&ack.job) || self.rng.below(40) == 0;
            if !is_agent || request.ties.exits.contains(&of) || self.rng.below(8) == 0 {
                continue;
            }
            let status = match self.rng.below(8) {
                0 | 1 => AgentStatus::Done,
                2 => AgentStatus::Hold,
                _ => AgentStatus::Continue,
            };
            let checkpoint: &[u8] = if self.rng.coin() { b"{\"n\":1}" } else { b"" };
            let reason: &[u8] = if self.rng.coin() { b"a question" } else { b"" };
            request.agent_acks.push(AgentAck { of, status: status as u8, checkpoint, reason });
        }
    }

    fn is_agent(&self, job: &JobRef) -> bool {
        let seq = job.job.seq().0;
        self.world.ledger.with(self.shard, |book| book.model.job(seq).agent.is_some())
    }

    /// What the work on some of the jobs used that are acked or prolonged.
    pub(super) fn report_usage(&mut self, request: &mut Request<'_>) {
        for of in 0..request.acks.len() as u32 {
            if self.rng.coin() {
                let usage = self.any_usage();
                request.ack_usages.push(ReportUsage { of, usage });
            }
        }
        for of in 0..request.heartbeats.len() as u32 {
            if self.rng.coin() {
                let usage = self.any_usage();
                request.heartbeat_usages.push(ReportUsage { of, usage });
            }
        }
    }

    fn any_usage(&mut self) -> Usage<'static> {
        let (model, provider) = MODELS[self.rng.below(3) as usize];
        if self.rng.below(12) == 0 {
            return Usage { amounts: Amounts::default(), model, provider };
        }
        let amounts = Amounts {
            input_tokens: self.rng.below(1000),
            output_tokens: self.rng.below(100),
            cache_read_tokens: self.rng.below(10),
            cache_creation_tokens: self.rng.below(10),
            cost_micros: self.rng.below(2 * COST_MICROS),
        };
        Usage { amounts, model, provider }
    }

    /// A human looks at held agent jobs, and now and then at one that is none.
    pub(super) fn judge(&mut self) {
        let most = 1 + self.rng.below(6) as usize;
        let mut jobs: Vec<(JobId, u64)> = self.world.ledger.with(self.shard, |book| {
            let model = &book.model;
            let held = |seq: &u64| {
                let job = model.job(*seq);
                job.state == JobState::Held && job.agent.is_some()
            };
            let held = model.live.iter().copied().filter(held).take(most);
            held.map(|seq| (model.job(seq).id, model.job(seq).checkpoint)).collect()
        });
        if self.rng.below(8) == 0 {
            let others = self.any_known(1).into_iter();
            jobs.extend(others.map(|job| (job, 0)));
        }
        jobs.sort_unstable();
        jobs.dedup_by_key(|(job, _)| *job);
        let by = "an operator";
        let mut job_controls = Vec::new();
        for (job, newest) in jobs {
            // Of another checkpoint than there is, now and then.
            let replaces = EventSeq(if self.rng.below(8) == 0 { 1 } else { newest });
            let (checkpoint, feedback) = (br#"{"feedback":["more"]}"#, b"more");
            let action = match self.rng.below(8) {
                0 => JobAction::Reject { reason: b"no", by },
                1..=4 => JobAction::Revise { checkpoint, feedback, by, replaces },
                _ => JobAction::Approve { note: b"fine", by },
            };
            job_controls.push(JobControl { job, action });
        }
        self.submit(Request { job_controls, ..Request::default() });
    }
}
