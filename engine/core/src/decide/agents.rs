//! Agent jobs: new ones, and what becomes of them when an iteration is over.

use jobbie_proto::agent::AgentStatus;
use jobbie_proto::event::{Blob, CompletedJob, EnqueuedAgent, Event, Iteration};
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{Ack, Agent as NewAgent, AgentAck, EnqueueAgent, Usage};
use jobbie_proto::usage::MICROS_PER_DOLLAR;
use jobbie_proto::{EventSeq, JobSeq};

use super::BlobSink;
use super::draft::{After, Arrival, Draft, Lease};
use crate::agents::Agent;

/// Walks along what workers say of iterations, whose positions rise.
pub(super) struct AgentCursor<'r, 'a> {
    acks: &'r [AgentAck<'a>],
}

impl<'r, 'a> AgentCursor<'r, 'a> {
    pub(super) fn new(acks: &'r [AgentAck<'a>]) -> Self {
        Self { acks }
    }

    #[inline]
    pub(super) fn of(&mut self, at: usize) -> Option<&'r AgentAck<'a>> {
        let (first, rest) = self.acks.split_first()?;
        if first.of as usize != at {
            return None;
        }
        self.acks = rest;
        Some(first)
    }
}

/// Whether a job is one, and with what.
pub(super) fn agent_enqueued(
    job: JobSeq,
    enqueue: &EnqueueAgent<'_>,
    blob: &mut impl BlobSink,
) -> Event {
    let NewAgent { limits, checkpoint, replayed } = enqueue.agent;
    let checkpoint = blob.append(checkpoint);
    Event::AgentEnqueued(Box::new(EnqueuedAgent { job, limits, checkpoint, replayed }))
}

/// What becomes of an agent job.
struct Outcome {
    status: AgentStatus,
    next: u32,
    /// What the server gives as the reason of a hold.
    reason: String,
}

/// What becomes of an agent job whose work has cost `cost_micros`, this iteration included, when its worker says
/// `said`.
fn outcome(agent: &Agent, said: AgentStatus, cost_micros: u64) -> Outcome {
    let goes_on =
        |status, reason| Outcome { status, next: agent.iteration.saturating_add(1), reason };
    match said {
        AgentStatus::Done | AgentStatus::Hold => {
            Outcome { status: said, next: agent.iteration, reason: String::new() }
        }
        AgentStatus::Continue => {
            let limits = &agent.limits;
            let (most, most_cost) = (limits.max_iterations, limits.max_cost_micros);
            if most > 0 && agent.iteration >= most && !crate::mutant!(GuardrailIgnored) {
                goes_on(AgentStatus::Hold, format!("max_iterations exceeded ({most})"))
            } else if most_cost > 0 && cost_micros > most_cost {
                let (cost, most) = (four_places(cost_micros), four_places(most_cost));
                goes_on(AgentStatus::Hold, format!("max_cost_usd exceeded ({cost} > {most})"))
            } else {
                goes_on(AgentStatus::Continue, String::new())
            }
        }
    }
}

/// Dollars with four decimal places, rounded to the nearest.
fn four_places(micros: u64) -> String {
    let unit = MICROS_PER_DOLLAR / 10_000;
    let rounded = micros / unit + u64::from(micros % unit >= unit / 2);
    format!("{}.{:04}", rounded / 10_000, rounded % 10_000)
}

impl<'a> Draft<'a> {
    /// An active agent job was acked; its usage is told already.
    pub(super) fn iterate(
        &mut self,
        lease: &Lease,
        ack: &Ack<'_>,
        said: Option<&AgentAck<'_>>,
        usage: Option<&Usage<'_>>,
        blob: &mut impl BlobSink,
    ) {
        let state = self.state;
        let agent = state.agents.get(lease.job).expect("only agent jobs are iterated");
        let tracked = state.tracked.get(lease.number);
        let AgentAck { checkpoint, reason, status, .. } = said.copied().unwrap_or_default();
        let said = AgentStatus::from_u8(status).expect("validated");
        let Usage { amounts, model, provider } = usage.copied().unwrap_or_default();
        let cost = state.usage.cost_of(lease.job).saturating_add(amounts.cost_micros);
        let goes_on = said == AgentStatus::Continue;
        let policy = if goes_on { state.policy_for(JobSeq(lease.job)) } else { None };
        let said = if policy.is_some() { AgentStatus::Hold } else { said };
        let Outcome { status, next, reason: mut given } = outcome(agent, said, cost);
        if let Some(policy) = policy {
            given = format!("approval policy matched: {}", policy.name);
        }
        let result = blob.append(ack.result);
        let reason = match status {
            AgentStatus::Hold if reason.is_empty() => blob.append(given.as_bytes()),
            AgentStatus::Hold => blob.append(reason),
            _ => Blob::default(),
        };
        let job = JobSeq(lease.job);
        let checkpoint = blob.append(checkpoint);
        let has_own = !checkpoint.is_empty();
        let kept = if has_own { EventSeq(0) } else { state.side(tracked).checkpoint };
        self.events.push(Event::Iterated(Box::new(Iteration {
            job,
            number: agent.iteration,
            next,
            attempt: tracked.attempt,
            status,
            checkpoint,
            kept,
            result,
            reason,
            amounts,
            model: model.to_owned(),
            provider: provider.to_owned(),
            previous: EventSeq(agent.newest),
        })));
        match status {
            AgentStatus::Done => {
                self.touch(lease.job, After::Gone);
                self.events.push(Event::Completed { jobs: vec![CompletedJob { job, result }] });
            }
            AgentStatus::Hold => {
                let after = self.given_back(lease.job, JobState::Held);
                self.touch(lease.job, After::In(after));
            }
            AgentStatus::Continue => {
                let after = self.given_back(lease.job, JobState::Pending);
                self.touch(lease.job, After::In(after));
                let class = &*state.classes.get(tracked.class).class;
                if let Some(arrivals) = &mut self.arrivals
                    && after == JobState::Pending
                {
                    let (queue, tier) = (&*class.queue, class.priority);
                    arrivals.push(Arrival { queue, tier, job: lease.job, attempt: 1 });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_told_with_four_places() {
        let told = [0, 49, 50, 1_234_567, 999_950, 10_000_000].map(four_places);
        assert_eq!(told, ["0.0000", "0.0000", "0.0001", "1.2346", "1.0000", "10.0000"]);
        assert_eq!(four_places(u64::MAX), "18446744073709.5516");
    }
}
