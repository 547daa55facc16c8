//! Agent jobs, in the naive model.

use jobbie_proto::agent::{AgentLimits, AgentState, AgentStatus};
use jobbie_proto::event::HoldEnd;
use jobbie_proto::reply::{AgentView, JobState, LeasedAgent};
use jobbie_proto::request::{Agent, AgentAck, EnqueueAgent, JobAction};
use jobbie_proto::{Code, EventSeq, Reply, Request};

use crate::driver::Driver;
use crate::naive::Naive;

/// A new agent job with small limits.
pub(crate) fn agent(enqueue: u32, with: u8) -> EnqueueAgent<'static> {
    let limits = AgentLimits {
        max_iterations: u32::from(with % 4),
        max_cost_micros: if with & 4 == 0 { 0 } else { 2500 },
        iteration_timeout_ms: 0,
    };
    let checkpoint: &[u8] = if with & 8 == 0 { b"" } else { b"first" };
    EnqueueAgent { enqueue, agent: Agent { limits, checkpoint, replayed: None } }
}

/// What a worker says of an iteration: mostly that it goes on.
pub(crate) fn said(of: u32, with: u8) -> AgentAck<'static> {
    let status =
        [AgentStatus::Continue, AgentStatus::Continue, AgentStatus::Hold, AgentStatus::Done];
    AgentAck {
        of,
        status: status[usize::from(with % 4)] as u8,
        checkpoint: if with & 4 == 0 { b"" } else { b"kept" },
        reason: if with & 8 == 0 { b"" } else { b"look" },
    }
}

impl Naive {
    pub(crate) fn make_agent(&mut self, job: u64, agent: &Agent<'_>) {
        let event = EventSeq(self.next_event - 1);
        let view = &mut self.jobs.get_mut(&job).expect("it exists").view;
        view.agent = Some(AgentView {
            iteration: 1,
            limits: agent.limits,
            newest: EventSeq(0),
            checkpoint: EventSeq(0),
        });
        if !agent.checkpoint.is_empty() {
            view.checkpoint = event;
        }
    }

    /// The next lease of a reply may be of an agent job.
    pub(crate) fn tell_agent(&self, job: u64, reply: &mut Reply) {
        let view = &self.jobs[&job].view;
        if let Some(AgentView { iteration, limits, .. }) = view.agent {
            let state = AgentState { iteration, cost_micros: view.cost_micros, limits };
            let lease = reply.leases.len() as u32;
            reply.agents.push(LeasedAgent { lease, state });
        }
    }

    /// All attempts are before an agent job that goes on.
    pub(crate) fn begin_anew(&mut self, job: u64) {
        let view = &mut self.jobs.get_mut(&job).expect("it exists").view;
        if view.agent.is_some() {
            (view.attempt, view.lease_expiries) = (0, 0);
        }
    }

    fn complete(&mut self, job: u64) {
        let job = self.remove(job);
        self.archive.completed.insert(job.view.id.seq().0, job.view.id);
        self.queues.get_mut(&job.view.class.queue).expect("it exists").1 += 1;
    }

    pub(crate) fn ack(&mut self, request: &Request<'static>, at: usize) -> Code {
        let lease = request.acks[at].job;
        let said = request.agent_acks.iter().find(|said| said.of as usize == at);
        let view = self.find(lease.job).map(|job| job.view.clone());
        let own = view.filter(|view| {
            let is_own = lease.token.0 == 0 || lease.token == view.token;
            view.state == JobState::Active && is_own
        });
        let agent = own.as_ref().and_then(|view| view.agent);
        if own.is_some() && agent.is_none() && said.is_some() {
            self.event();
            return Code::NotAgent;
        }
        self.report(lease, at, &request.ack_usages);
        let (Some(view), Some(agent)) = (own, agent) else {
            return self.worker(lease, |model, job| model.complete(job));
        };
        let job = view.id.seq().0;
        let event = EventSeq(self.event());
        let said = said.copied().unwrap_or_default();
        let view = &mut self.jobs.get_mut(&job).expect("it is active").view;
        if !said.checkpoint.is_empty() {
            view.checkpoint = event;
        }
        view.agent.as_mut().expect("it is one").newest = event;
        let (limits, cost) = (agent.limits, view.cost_micros);
        let has_had_all = limits.max_iterations > 0 && agent.iteration >= limits.max_iterations;
        let costs_too_much = limits.max_cost_micros > 0 && cost > limits.max_cost_micros;
        match AgentStatus::from_u8(said.status).expect("known") {
            AgentStatus::Done => {
                self.event();
                self.complete(job);
            }
            AgentStatus::Hold => self.hold(job, 0, HoldEnd::Stay, event),
            AgentStatus::Continue => {
                view.agent.as_mut().expect("it is one").iteration += 1;
                if has_had_all || costs_too_much {
                    self.hold(job, 0, HoldEnd::Stay, event);
                } else {
                    self.wait_behind(job);
                    self.begin_anew(job);
                }
            }
        }
        Code::Ok
    }
}

impl Driver {
    /// Half of those who give feedback have seen the checkpoint.
    pub(crate) fn see_checkpoints(&self, request: &mut Request<'static>) {
        for control in &mut request.job_controls {
            if let JobAction::Revise { replaces, .. } = &mut control.action
                && replaces.0.is_multiple_of(2)
            {
                let view = self.state.job(control.job);
                *replaces = view.map_or(EventSeq(0), |view| view.checkpoint);
            }
        }
    }
}
