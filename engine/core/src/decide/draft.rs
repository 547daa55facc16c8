//! A group being made: its events, and what they will have changed, so that one request may touch
//! a job twice.

use hashbrown::HashMap;
use jobbie_proto::event::Event;
use jobbie_proto::reply::JobState;
use jobbie_proto::rules::{OnExceed, day_of};
use jobbie_proto::{Code, JobId, JobSeq, LeaseToken, Micros, Request};

use crate::rules::Unabsorbed;
use crate::state::{Standing, State};

/// What a request will have made of a job.
#[derive(Clone, Copy, Debug)]
pub(super) enum After {
    /// It left memory.
    Gone,
    /// It is in this state.
    In(JobState),
    /// It is still active, until then.
    Until(u64),
}

/// An active job.
#[derive(Clone, Copy)]
pub(super) struct Lease {
    pub(super) job: u64,
    pub(super) number: u32,
    pub(super) deadline: u64,
    pub(super) lease_ms: u32,
}

/// A job that the request itself put at the back of its tier.
pub(super) struct Arrival<'a> {
    pub(super) queue: &'a str,
    pub(super) tier: u8,
    pub(super) job: u64,
    pub(super) attempt: u32,
}

pub(super) struct Draft<'a> {
    pub(super) state: &'a State,
    pub(super) now: Micros,
    pub(super) events: Vec<Event>,
    /// Only kept when the request can touch a job twice.
    touched: Option<HashMap<u64, After, FixedState>>,
    /// Only kept when the request also fetches.
    pub(super) arrivals: Option<Vec<Arrival<'a>>>,
    pub(super) paused: Vec<(&'a str, bool)>,
    /// Active jobs that the request ended; only kept when it also fetches.
    pub(super) ended: Vec<u64>,
    /// Budgets of tags that have no money left; only looked up when the request also fetches.
    spent_tags: Vec<u64>,
    /// What jobs have cost in this request; only kept when there are budgets.
    costs: HashMap<u64, u64, FixedState>,
}

pub(super) type FixedState = std::hash::BuildHasherDefault<JobHasher>;

impl<'a> Draft<'a> {
    pub(super) fn new(state: &'a State, now: Micros, request: &Request<'a>) -> Self {
        Self {
            state,
            now,
            events: Vec::new(),
            touched: can_touch_twice(request).then(HashMap::default),
            arrivals: request.fetch.is_some().then(Vec::new),
            paused: Vec::new(),
            ended: Vec::new(),
            spent_tags: Vec::new(),
            costs: HashMap::default(),
        }
    }

    /// The request says that a job has cost more.
    pub(super) fn note_cost(&mut self, job: u64, micros: u64) {
        if self.state.rules.has_budgets() {
            let cost = self.costs.entry(job).or_default();
            *cost = cost.saturating_add(micros);
        }
    }

    /// Whether nothing of a queue is given out because no money is left for it, after what the request said so far.
    pub(super) fn is_over_budget(&self, queue: &str) -> bool {
        if self.costs.is_empty() {
            return self.state.is_over_budget(queue, self.now);
        }
        let at = self.state.queues.find(queue);
        let here = self.costs.iter().filter(|(job, _)| Some(self.state.queue_of(**job)) == at);
        let sum = |sum: u64, cost: &u64| sum.saturating_add(*cost);
        let of_queue = here.map(|(_, cost)| cost).fold(0, sum);
        let more = Unabsorbed { of_queue, all: self.costs.values().fold(0, sum) };
        self.state.exceeded_with(queue, self.now, more) > Some(OnExceed::AlertOnly)
    }

    /// What a job has cost, after what the request said so far.
    pub(super) fn cost_of(&self, job: u64) -> u64 {
        let own = self.costs.get(&job).copied().unwrap_or(0);
        self.state.usage.cost_of(job).saturating_add(own)
    }

    /// Looks up for which tags no money is left.
    pub(super) fn note_spent_tags(&mut self) {
        if self.state.rules.has_budgets() {
            let at_home = self.state.is_rules_home();
            self.spent_tags = self.state.rules.spent_tags(at_home, day_of(self.now));
        }
    }

    /// Whether a job has one of them.
    #[inline]
    pub(super) fn is_tag_spent(&self, job: u64) -> bool {
        !self.spent_tags.is_empty() && self.state.has_spent_tag(job, &self.spent_tags)
    }

    pub(super) fn touch(&mut self, job: u64, after: After) {
        if self.arrivals.is_some() && !matches!(after, After::Until(_)) {
            self.end(job);
        }
        if let Some(touched) = &mut self.touched {
            touched.insert(job, after);
        }
    }

    fn end(&mut self, job: u64) {
        let was_active = match self.after(job) {
            Some(After::Until(_)) => true,
            Some(After::Gone | After::In(_)) => false,
            None => job < self.state.next_job && self.state.job_state(job) == JobState::Active,
        };
        if was_active {
            self.ended.push(job);
        }
    }

    pub(super) fn after(&self, job: u64) -> Option<After> {
        self.touched.as_ref()?.get(&job).copied()
    }

    /// A job in memory and its state, after what the request did so far.
    pub(super) fn find(&self, job: JobId) -> Result<(u64, JobState), Code> {
        let seq = self.state.resolve(job)?;
        let state = match self.after(seq) {
            Some(After::Gone) => return Err(Code::NotFound),
            Some(After::In(state)) => state,
            Some(After::Until(_)) => JobState::Active,
            None => self.state.job_state(seq),
        };
        if state == JobState::Moved { Err(Code::Moved) } else { Ok((seq, state)) }
    }

    /// What becomes of an active job that would be in this state: it may be to go elsewhere.
    pub(super) fn given_back(&self, job: u64, state: JobState) -> JobState {
        let leaves = self.state.ties.kin.get(job).is_some_and(|kin| kin.leaving.is_some());
        if leaves { JobState::Moved } else { state }
    }

    /// The lease that `token` speaks of, if it still holds.
    pub(super) fn lease(&self, job: JobId, token: LeaseToken) -> Result<Lease, Code> {
        let (seq, special) = self.state.resolve_special(job)?;
        let after = self.after(seq);
        match after {
            Some(After::Gone) => return Err(Code::NotFound),
            Some(After::In(_)) => return Err(Code::NotActive),
            Some(After::Until(_)) | None => {}
        }
        let Standing::Tracked(tracked) = self.state.standing_of(special) else {
            return Err(Code::NotActive);
        };
        let lease = tracked.lease().ok_or(Code::NotActive)?;
        if token.0 != 0 && token.0 != tracked.mark && !crate::mutant!(TokenUncompared) {
            return Err(Code::StaleLease);
        }
        let deadline = match after {
            Some(After::Until(deadline)) => deadline,
            _ => self.state.leases.get(lease).deadline,
        };
        let number = self.state.leases.get(lease).job;
        Ok(Lease { job: seq, number, deadline, lease_ms: self.state.leases.get(lease).lease_ms })
    }

    /// Adds `job` to the last event when it lists jobs of the same kind.
    pub(super) fn push_job(&mut self, job: u64, kind: fn(Vec<JobSeq>) -> Event) {
        let job = JobSeq(job);
        let same = self
            .events
            .last()
            .is_some_and(|e| std::mem::discriminant(e) == std::mem::discriminant(&kind(vec![])));
        match self.events.last_mut() {
            Some(
                Event::Released { jobs }
                | Event::Cancelled { jobs }
                | Event::Deleted { jobs }
                | Event::Retried { jobs }
                | Event::Requeued { jobs },
            ) if same => {
                jobs.push(job);
            }
            _ => self.events.push(kind(vec![job])),
        }
    }
}

/// Whether some job may be named twice, or fetched after it was named.
fn can_touch_twice(request: &Request<'_>) -> bool {
    fn rises<T>(list: &[T], job: impl Fn(&T) -> JobId) -> bool {
        list.is_sorted_by(|a, b| job(a) < job(b))
    }
    let lists = [
        request.acks.len(),
        request.fails.len(),
        request.heartbeats.len(),
        request.releases.len(),
        request.cancels.len(),
        request.deletes.len(),
    ];
    let steps_back = lists[3..].iter().any(|&len| len > 0) || !request.agent_acks.is_empty();
    let fetched = request.fetch.is_some() && steps_back;
    let all_rise = rises(&request.acks, |a| a.job.job)
        && rises(&request.fails, |f| f.job.job)
        && rises(&request.heartbeats, |h| h.job.job)
        && rises(&request.releases, |r| r.job)
        && rises(&request.cancels, |c| *c)
        && rises(&request.deletes, |d| *d);
    lists.iter().filter(|&&len| len > 0).count() > 1 || !all_rise || fetched
}

/// Job numbers are dense: one multiplication spreads them.
#[derive(Clone, Copy, Default)]
pub(super) struct JobHasher(u64);

impl std::hash::Hasher for JobHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxhash_rust::xxh3::xxh3_64_with_seed(bytes, self.0);
    }

    /// Of something that is a hash already.
    fn write_u128(&mut self, n: u128) {
        self.write_u64(n as u64);
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0 ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}
