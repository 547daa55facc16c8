//! Questions: what a job is doing, and how many there are.

use jobbie_proto::event::HoldEnd;
use jobbie_proto::reply::{JobState, JobView, QueueStats, ShardStats};
use jobbie_proto::request::Stats;
use jobbie_proto::{Code, EventSeq, JobId, JobSeq, LeaseToken, Micros, Request};

use crate::slab::NONE;
use crate::state::{Standing, State};
use crate::tracked::Side;

/// Queues in one answer.
const QUEUES_PER_ANSWER: usize = 1000;

/// Answers to the questions of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// One for each lookup.
    pub jobs: Vec<Result<JobView, Code>>,
    /// Of the shard, when asked.
    pub shard: Option<ShardStats>,
    /// Of queues, when asked.
    pub queues: Vec<QueueStats>,
}

/// Answers a request's questions from the state as it is; call it after absorbing what the request did.
#[must_use]
pub fn answers(state: &State, request: &Request<'_>) -> Answers {
    let (shard, queues) = match request.stats {
        Stats::None => (None, Vec::new()),
        Stats::Shard => (Some(state.stats()), Vec::new()),
        Stats::Queue(name) => (None, state.queue_stats(name).into_iter().collect()),
        Stats::Queues { prefix, after } => {
            let queues = state.queues(prefix, after).take(QUEUES_PER_ANSWER).collect();
            (Some(state.stats()), queues)
        }
    };
    Answers { jobs: request.lookups.iter().map(|job| state.job(*job)).collect(), shard, queues }
}

impl State {
    /// Counts of the shard.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        ShardStats {
            queues: self.queues.len() as u64,
            sessions: self.sessions.len() as u64,
            leases: self.leases.len() as u64,
            jobs: self.jobs.live(),
            last_event: EventSeq(self.next_event - 1),
            last_job: JobSeq(self.next_job - 1),
            state_hash: self.digest(),
            time: self.time(),
        }
    }

    /// Counts of one queue, if it exists.
    #[must_use]
    pub fn queue_stats(&self, name: &str) -> Option<QueueStats> {
        self.queues.find(name).map(|at| self.stats_of(at))
    }

    /// Counts of the queues whose name begins with `prefix` and comes after `after`, by name.
    pub fn queues<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
    ) -> impl Iterator<Item = QueueStats> {
        self.queues
            .from(prefix, after)
            .take_while(move |&at| self.queues.get(at).name.starts_with(prefix))
            .map(|at| self.stats_of(at))
    }

    fn stats_of(&self, at: u32) -> QueueStats {
        let queue = self.queues.get(at);
        QueueStats {
            queue: queue.name.to_string(),
            paused: queue.paused,
            draining: queue.draining,
            settings: queue.settings,
            keys: queue.lanes.as_ref().map_or(0, |lanes| lanes.len() as u32),
            jobs: queue.jobs,
            enqueued_total: queue.enqueued_total,
        }
    }

    /// Everything known of a job.
    ///
    /// # Errors
    /// [`Code::WrongShard`], or [`Code::NotFound`] when it has left memory or never was.
    pub fn job(&self, id: JobId) -> Result<JobView, Code> {
        if id.shard() != self.shard {
            return Err(Code::WrongShard);
        }
        let job = self.resolve(id)?;
        let origin = self.jobs.origin(job);
        let mut view = JobView {
            id,
            state: JobState::Pending,
            class: (*self.classes.get(self.class_of(job)).class).clone(),
            limit_key: self.classes.get(self.class_of(job)).limit_key.to_string(),
            attempt: 0,
            token: LeaseToken(0),
            due: Micros(0),
            expire_at: Micros(self.expire_at(origin).unwrap_or(0)),
            ended: Micros(0),
            lease_expiries: 0,
            then: HoldEnd::Stay,
            record: EventSeq(origin.event),
            payload: EventSeq(self.payloads.get(job).copied().unwrap_or(0)),
            hold: EventSeq(0),
            last_error: EventSeq(0),
            checkpoint: EventSeq(0),
            progress: EventSeq(0),
        };
        match self.standing(job) {
            Standing::Fresh => {}
            Standing::Sleeping(due) => (view.state, view.due) = (JobState::Scheduled, Micros(due)),
            Standing::Tracked(tracked) => {
                (view.state, view.attempt) = (tracked.state, tracked.attempt);
                match tracked.state {
                    JobState::Active => {
                        view.token = LeaseToken(tracked.mark);
                        view.due = Micros(self.leases.get(tracked.timer).deadline);
                    }
                    JobState::Scheduled | JobState::Retrying => view.due = Micros(tracked.mark),
                    JobState::Held => (view.due, view.then) = (Micros(tracked.mark), tracked.then),
                    JobState::Dead | JobState::Cancelled => view.ended = Micros(tracked.mark),
                    JobState::Pending | JobState::Completed => {}
                }
                view.lease_expiries = u32::from(tracked.lease_expiries);
                let Side { checkpoint, progress, error, hold, .. } = self.side(tracked);
                (view.checkpoint, view.progress, view.last_error) = (checkpoint, progress, error);
                view.hold = hold;
            }
        }
        Ok(view)
    }

    /// Where a job's struct is, if it has one.
    pub(crate) fn number_of(&self, job: u64) -> Option<u32> {
        match self.jobs.handle(job)?.special() {
            crate::jobs::Special::Struct(number) => Some(number),
            crate::jobs::Special::Sleeper(_) => None,
        }
    }

    /// Leases that ran out for a job in memory.
    #[must_use]
    pub fn lease_expiries(&self, job: JobSeq) -> u32 {
        let number = self.number_of(job.0).unwrap_or(NONE);
        if number == NONE { 0 } else { u32::from(self.tracked.get(number).lease_expiries) }
    }
}
