//! Agent jobs: iterations, folded the obvious way.

use jobbie_proto::Code;
use jobbie_proto::agent::{AgentLimits, AgentStatus};
use jobbie_proto::event::{EnqueuedAgent, Event, HoldEnd, Iteration};
use jobbie_proto::reply::JobState;

use super::Model;
use super::absorb::Step;
use crate::check::{agents, overruns, r10_one_state, r11_leases, usage};

/// How far an agent job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agent {
    /// The iteration that is worked on, or is next.
    pub(crate) iteration: u32,
    pub(crate) limits: AgentLimits,
}

impl Model {
    pub(super) fn agent_event(&mut self, event: &Event, step: &mut Step<'_>) {
        match event {
            Event::AgentEnqueued(enqueued) => {
                let event = self.number();
                let EnqueuedAgent { job, limits, checkpoint, .. } = **enqueued;
                agents::enqueued(job.0, self.job(job.0), &limits, step.fact.request);
                let job = self.job_mut(job.0);
                job.agent = Some(Agent { iteration: 1, limits });
                if checkpoint.len > 0 {
                    job.checkpoint = event;
                }
            }
            Event::Iterated(iteration) => self.iterated(iteration, step),
            Event::Revised(revised) => {
                let event = self.next_event;
                self.again(revised.job.0, &[JobState::Held], false, step);
                self.begin_anew(revised.job.0);
                self.job_mut(revised.job.0).checkpoint = event;
            }
            other => unreachable!("{other:?} is no event of an agent job"),
        }
    }

    fn iterated(&mut self, iteration: &Iteration, step: &mut Step<'_>) {
        let event = self.number();
        let seq = iteration.job.0;
        let request = step.fact.request.expect("workers iterate");
        let acks = request.acks.iter().map(|ack| ack.job);
        r11_leases::takes_effect(self, seq, "iterated", acks);
        r10_one_state::leaves(seq, self.job(seq), &[JobState::Active], "iterated");
        usage::counted(self, request, seq, &step.counted);
        overruns::passed(self, seq, &step.counted);
        agents::iterated(self, request, iteration);
        let job = self.job_mut(seq);
        job.agent.as_mut().expect("just checked").iteration = iteration.next;
        if iteration.checkpoint.len > 0 {
            job.checkpoint = event;
        }
        self.usage.iterations += 1;
        match iteration.status {
            // The event that follows completes it.
            AgentStatus::Done => return step.iterated = Some(seq),
            AgentStatus::Continue => {
                self.wait(seq, event);
                self.begin_anew(seq);
            }
            AgentStatus::Hold => self.hold_for_good(seq),
        }
        self.leave_if_noted(seq);
        step.outcome.acks.push(Code::Ok);
    }

    /// Until somebody says otherwise.
    pub(super) fn hold_for_good(&mut self, seq: u64) {
        self.set_state(seq, JobState::Held);
        (self.job_mut(seq).due, self.job_mut(seq).then) = (0, HoldEnd::Stay);
    }

    /// An agent job goes on: attempts count for each iteration.
    pub(super) fn begin_anew(&mut self, seq: u64) {
        let job = self.job_mut(seq);
        if job.agent.is_some() {
            (job.attempt, job.lease_expiries) = (0, 0);
        }
    }
}
