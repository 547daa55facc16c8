//! Events of agent jobs.

use jobbie_proto::agent::AgentStatus;
use jobbie_proto::event::{EnqueuedAgent, Iteration, RevisedJob};
use jobbie_proto::reply::JobState;
use jobbie_proto::{Code, EventSeq, JobSeq, Reply};
use xxhash_rust::xxh3::xxh3_64;

use super::Mark;
use crate::agents::Agent;
use crate::state::State;

impl State {
    /// A job that was just enqueued is worked on in iterations.
    pub(super) fn agent_enqueued(&mut self, enqueued: &EnqueuedAgent) {
        let event = self.number_event();
        let job = enqueued.job.0;
        assert!(self.jobs.contains(job), "an agent job that is not there");
        assert!(self.agents.get(job).is_none(), "an agent job comes twice");
        self.agents.insert(job, Agent::new(enqueued, event));
        let limits = &enqueued.limits;
        let own = u64::from(!enqueued.checkpoint.is_empty());
        self.digest.mix_all(&[Mark::AgentEnqueued as u64, job, u64::from(limits.max_iterations)]);
        self.digest.mix_all(&[limits.max_cost_micros, limits.iteration_timeout_ms, own]);
    }

    /// An iteration of an active agent job is over. One that is done is completed by another event.
    pub(super) fn iterated(&mut self, iteration: &Iteration, reply: &mut Reply) {
        let event = self.number_event();
        let job = iteration.job.0;
        let number = self.active(iteration.job);
        let attempt = self.tracked.get(number).attempt;
        assert_eq!(iteration.attempt, attempt, "another attempt was acked");
        let mut agent = *self.agents.get(job).expect("an iteration of a job that is no agent job");
        agent.take(event, iteration);
        self.agents.insert(job, agent);
        if !iteration.checkpoint.is_empty() {
            self.side_mut(number).checkpoint = EventSeq(event);
        }
        let what = u64::from(iteration.next) << 8 | iteration.status as u64;
        let kept = self.side(self.tracked.get(number)).checkpoint.0;
        self.digest.mix_all(&[Mark::Iterated as u64, job, u64::from(iteration.number), what, kept]);
        self.digest.mix_all(&iteration.amounts.named().map(|(_, amount)| amount));
        let names = [&iteration.model, &iteration.provider].map(|name| xxh3_64(name.as_bytes()));
        self.digest.mix_all(&names);
        match iteration.status {
            AgentStatus::Done => return,
            AgentStatus::Continue => {
                let detached = self.detach(job);
                let number = self.step_back(detached, event);
                self.begin_anew(number);
                self.leave_if_noted(job);
            }
            AgentStatus::Hold => {
                let detached = self.detach(job);
                let number = self.track(detached, JobState::Held, 0);
                self.set_expiry_timer(number, None);
                self.side_mut(number).hold = EventSeq(event);
                self.leave_if_noted(job);
            }
        }
        reply.acks.push(Code::Ok);
    }

    /// All attempts are before an agent job that goes on: they are counted for each iteration.
    pub(super) fn begin_anew(&mut self, number: u32) {
        let tracked = self.tracked.get_mut(number);
        if !crate::mutant!(AgentKeepsAttempts) {
            (tracked.attempt, tracked.lease_expiries) = (0, 0);
        }
    }

    /// A held agent job goes on with feedback.
    pub(super) fn revised(&mut self, revised: &RevisedJob) {
        let JobSeq(job) = revised.job;
        assert!(self.agents.get(job).is_some(), "feedback for a job that is no agent job");
        let event = self.controlled(Mark::Revised, revised.job, &[JobState::Held]);
        let number = self.let_go_on(job, event);
        self.side_mut(number).checkpoint = EventSeq(event);
    }
}
