//! Jobs that go to other shards and come from there.

use jobbie_proto::JobId;
use jobbie_proto::event::{ArrivedJob, Class, Fate, HoldEnd, Standing};
use jobbie_proto::reply::JobState;

use super::absorb::Step;
use super::{Agent, Job, Model};
use crate::check::{r10_one_state, violated};

/// What a job takes along. Its queue is another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Baggage {
    class: Class,
    limit_key: String,
    payload: Vec<u8>,
    tags: Vec<u8>,
    attempt: u32,
    lease_expiries: u32,
    expire_at: Option<u64>,
    cost: u64,
    agent: Option<Agent>,
}

impl Baggage {
    pub(crate) fn of(job: &Job) -> Self {
        let class = Class { queue: String::new(), ..job.class.clone() };
        let (payload, tags) = (job.payload.clone(), job.tags.clone());
        let Job { attempt, lease_expiries, expire_at, cost, agent, .. } = *job;
        let limit_key = job.limit_key.clone();
        Self { class, limit_key, payload, tags, attempt, lease_expiries, expire_at, cost, agent }
    }
}

impl Model {
    pub(super) fn is_elsewhere(&self, queue: &str) -> bool {
        jobbie_proto::placement::shard_of(queue, self.shards) != self.shard
    }

    /// A move to a queue of another shard.
    pub(super) fn moved_away(&mut self, seq: u64) {
        if self.job(seq).state == JobState::Active {
            self.leaving.insert(seq);
        } else {
            self.depart(seq);
        }
    }

    /// A worker has given a job back, which goes now if it is to.
    pub(super) fn leave_if_noted(&mut self, seq: u64) {
        if self.leaving.remove(&seq) {
            self.depart(seq);
        }
    }

    fn depart(&mut self, seq: u64) {
        r10_one_state::leaves(seq, self.job(seq), &JobState::HERE, "moved");
        if self.job(seq).plan.is_some() {
            violated!("r10", "job {seq} has a plan and went to another shard");
        }
        self.blocked.remove(&seq);
        self.set_state(seq, JobState::Moved);
        self.job_mut(seq).then = HoldEnd::Stay;
    }

    pub(super) fn arrived(&mut self, arrived: &ArrivedJob, event: u64, step: &Step<'_>) {
        let seq = arrived.job.0;
        if let Some(before) = self.came_from.insert(arrived.from, seq) {
            violated!("r09", "{} came twice, as {before} and {seq}", arrived.from);
        }
        let queue = self.job(seq).class.queue.clone();
        self.queues.get_mut(&queue).expect("it has jobs").enqueued_total -= 1;
        let now = step.fact.time;
        let (state, due, then) = match arrived.standing {
            Standing::Pending => (JobState::Pending, 0, HoldEnd::Stay),
            Standing::Scheduled(at) => (JobState::Scheduled, at.0, HoldEnd::Stay),
            Standing::Retrying(at) => (JobState::Retrying, at.0, HoldEnd::Stay),
            Standing::Held { until, then } => (JobState::Held, until.0, then),
            Standing::Dead(at) => (JobState::Dead, at.0.min(now), HoldEnd::Stay),
            Standing::Cancelled(at) => (JobState::Cancelled, at.0.min(now), HoldEnd::Stay),
        };
        if state == JobState::Pending {
            self.wait(seq, event);
        } else {
            self.set_state(seq, state);
        }
        let job = self.job_mut(seq);
        (job.due, job.then, job.attempt) = (due, then, arrived.attempt);
        job.lease_expiries = arrived.lease_expiries;
        job.expire_at = job.expire_at.map(|_| arrived.expire_at.0);
        job.cost = arrived.cost_micros;
        let ArrivedJob { iteration, limits, .. } = *arrived;
        job.agent = (iteration > 0).then_some(Agent { iteration, limits });
        if arrived.checkpoint.len > 0 {
            job.checkpoint = event;
        }
        job.came = Some((arrived.from, Box::new(Baggage::of(job))));
    }

    pub(super) fn fated(&mut self, seq: u64, fate: Fate) {
        r10_one_state::leaves(seq, self.job(seq), &[JobState::Moved], "said to have ended");
        match fate {
            Fate::Ended => self.uniques.retain(|_, (owner, _)| *owner != seq),
            Fate::Completed | Fate::Gone => self.forget(seq, None),
        }
    }

    /// The job that one came as.
    pub(crate) fn as_it_came(&self, from: JobId) -> Option<u64> {
        self.came_from.get(&from).copied()
    }
}
