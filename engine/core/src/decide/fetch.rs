//! Which jobs a worker gets.

use jobbie_proto::event::{Event, LeasedJob};
use jobbie_proto::limits::{LEASE_MS_DEFAULT, TAG_PASSED_MAX};
use jobbie_proto::reply::JobState;
use jobbie_proto::request::Fetch;
use jobbie_proto::{JobSeq, Micros, Request, SessionId};

use super::BlobSink;
use super::draft::{After, Draft};
use crate::fifo::{Fifo, Item};
use crate::lanes::plan::{Ask, Candidate};
use crate::lanes::{LaneId, Lanes, Waiting};
use crate::queue::Queue;
use crate::state::{Standing, State};

/// Expired jobs that one fetch kills on its way; the timers kill the rest.
const KILLS_MAX: usize = 1000;

/// Decides a fetch on its own: one that waited, or a delivery to a worker that has asked for jobs.
/// The events, if any, end with the lease; none means that there is no job.
///
/// `session` must be open and `fetch` within its limits, as [`super::decide`] has found it.
pub fn decide_fetch(
    state: &State,
    now: Micros,
    session: SessionId,
    fetch: &Fetch<'_>,
    blob: &mut impl BlobSink,
) -> Vec<Event> {
    let mut draft = Draft::new(state, now, &Request::default());
    draft.fetch(session, fetch, blob);
    draft.events
}

/// The job that a queue would give out next, if that is about to be held.
pub(super) fn head_of(state: &State, queue: &str) -> Option<JobSeq> {
    Draft::new(state, state.time(), &Request::default()).head(queue)
}

#[derive(Default)]
struct Found {
    leased: Vec<LeasedJob>,
    expired: Vec<JobSeq>,
    wanted: usize,
    /// How many there may be when the queue now looked at is done with.
    most: usize,
    /// Jobs of the queue now looked at that were passed over because no money is left for their tags.
    passed: usize,
}

impl Found {
    fn is_full(&self) -> bool {
        self.leased.len() >= self.most
            || self.expired.len() >= KILLS_MAX
            || self.passed >= TAG_PASSED_MAX
    }

    /// Another queue, which may give away `room` jobs.
    fn turn_to(&mut self, room: u64) {
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        self.most = self.wanted.min(self.leased.len().saturating_add(room));
        self.passed = 0;
    }
}

impl<'a> Draft<'a> {
    pub(super) fn fetch(
        &mut self,
        session: SessionId,
        fetch: &Fetch<'_>,
        blob: &mut impl BlobSink,
    ) {
        let mut found = Found { wanted: fetch.count as usize, ..Found::default() };
        self.note_spent_tags();
        for (at, queue) in fetch.queues.iter().enumerate() {
            // Naming a queue twice must not lease its jobs twice.
            let closed = self.is_paused(queue) || self.is_over_budget(queue);
            if !fetch.queues[..at].contains(queue) && !closed {
                self.take_from(queue, &mut found);
            }
        }
        if found.leased.is_empty() {
            return;
        }
        if !found.expired.is_empty() {
            self.events.push(Event::Expired { jobs: found.expired });
        }
        let lease_ms = if fetch.lease_ms == 0 { LEASE_MS_DEFAULT } else { fetch.lease_ms };
        self.events.push(Event::Leased {
            session,
            worker: blob.append(fetch.worker.as_bytes()),
            deadline: self.now.plus_ms(u64::from(lease_ms)),
            lease_ms,
            jobs: found.leased,
        });
    }

    /// The first job that a queue would give out, whatever money is left.
    fn head(&self, queue: &str) -> Option<JobSeq> {
        let mut found = Found { wanted: 1, ..Found::default() };
        self.take_from(queue, &mut found);
        found.leased.first().map(|leased| leased.job)
    }

    fn is_paused(&self, queue: &str) -> bool {
        let own = self.paused.iter().rev().find(|(name, _)| *name == queue);
        own.map_or_else(
            || self.state.queues.find(queue).is_some_and(|at| self.state.queues.get(at).paused),
            |(_, paused)| *paused,
        )
    }

    fn take_from(&self, name: &str, found: &mut Found) {
        let at = self.state.queues.find(name);
        if at.is_some_and(|at| self.state.is_closed(at)) {
            return;
        }
        let queue = at.map(|at| self.state.queues.get(at));
        let limited = queue.filter(|queue| queue.is_limited());
        found.turn_to(limited.map_or(u64::MAX, |queue| {
            let here = |job: &&u64| Some(self.state.queue_of(**job)) == at;
            queue.room(self.now.0, self.ended.iter().filter(here).count() as u64)
        }));
        if let Some(queue) = limited
            && let Some(lanes) = &queue.lanes
        {
            return self.take_from_lanes(queue, lanes, found);
        }
        for tier in 0..jobbie_proto::limits::PRIORITY_TIERS {
            if let Some(queue) = queue {
                let expires = queue.expiring > 0;
                for item in queue.tiers[usize::from(tier)].iter() {
                    if found.is_full() {
                        return;
                    }
                    self.take_item(item, expires, found);
                }
            }
            let arrivals = self.arrivals.iter().flatten();
            for arrival in arrivals.filter(|a| a.queue == name && a.tier == tier) {
                if found.is_full() {
                    return;
                }
                // Released jobs are in memory and may have expired; new ones have not.
                let known = arrival.job < self.state.next_job;
                let waits =
                    !known || matches!(self.after(arrival.job), Some(After::In(JobState::Pending)));
                if known && waits && self.state.is_expired(arrival.job, self.now.0) {
                    found.expired.push(JobSeq(arrival.job));
                } else if waits && !self.is_tag_spent(arrival.job) {
                    let (job, attempt) = (JobSeq(arrival.job), arrival.attempt);
                    found.leased.push(LeasedJob { job, attempt });
                }
            }
        }
    }

    /// Jobs that waited before the queue had lanes go before the others of their tier. New jobs of the same request wait
    /// for the next.
    fn take_from_lanes(&self, queue: &Queue, lanes: &Lanes, found: &mut Found) {
        let ended: Vec<LaneId> =
            self.ended.iter().filter_map(|job| self.lane_of(queue, *job)).collect();
        let ask = Ask {
            wanted: found.most - found.leased.len(),
            expired_max: KILLS_MAX.saturating_sub(found.expired.len()),
            ended: &ended,
        };
        let plan =
            lanes.plan(self.now.0, ask, |waiting| self.candidate(waiting, queue.expiring > 0));
        // Beside older jobs it says more than is needed; timers kill the rest.
        if !self.has_older(queue) {
            let jobs = plan.expired.iter().map(|pick| pick.waiting.job);
            let expired = jobs.filter(|job| self.state.is_expired(*job, self.now.0));
            found.expired.extend(expired.map(JobSeq));
        }
        let mut picks = plan.picks.iter().peekable();
        for tier in 0..jobbie_proto::limits::PRIORITY_TIERS {
            for item in queue.tiers[usize::from(tier)].iter() {
                if found.is_full() {
                    return;
                }
                self.take_item(item, queue.expiring > 0, found);
            }
            while found.leased.len() < found.most
                && let Some(pick) = picks.next_if(|pick| pick.tier == tier)
            {
                let job = pick.waiting.job;
                let attempt = match self.state.standing(job) {
                    Standing::Tracked(tracked) => tracked.attempt + 1,
                    Standing::Fresh => 1,
                    Standing::Sleeping(_) => unreachable!("a sleeping job waits in no lane"),
                };
                found.leased.push(LeasedJob { job: JobSeq(job), attempt });
            }
        }
    }

    /// Whether jobs that waited before the queue had lanes still do, after what the request has done so far.
    fn has_older(&self, queue: &Queue) -> bool {
        let waits = |item: Item| {
            let mut from = 0;
            while let Some(nth) = self.state.next_waiting(item, from) {
                let job = match item {
                    Item::Run { first, .. } => first + nth,
                    Item::Single { job, .. } => job,
                };
                if self.after(job).is_none() {
                    return true;
                }
                from = nth + 1;
            }
            false
        };
        queue.tiers.iter().flat_map(Fifo::iter).any(waits)
    }

    fn lane_of(&self, queue: &Queue, job: u64) -> Option<LaneId> {
        let class = self.state.class_of(job);
        let own = self.state.queues.get(self.state.classes.get(class).queue);
        let here = std::ptr::eq(own, queue);
        here.then(|| self.state.find_lane(class, queue.lanes.as_ref()?)).flatten()
    }

    fn candidate(&self, waiting: Waiting, expires: bool) -> Candidate {
        if self.after(waiting.job).is_some() || !self.state.waits_at(waiting) {
            return Candidate::Gone;
        }
        let expired = expires && self.state.is_expired(waiting.job, self.now.0);
        // Both are passed over.
        if expired || self.is_tag_spent(waiting.job) {
            Candidate::Expired
        } else {
            Candidate::Waits
        }
    }

    #[inline]
    fn take_item(&self, item: Item, expires: bool, found: &mut Found) {
        let mut from = 0;
        while !found.is_full()
            && let Some(at) = self.state.next_waiting(item, from)
        {
            from = at + 1;
            let job = match item {
                Item::Run { first, .. } => first + at,
                Item::Single { job, .. } => job,
            };
            if self.after(job).is_some() {
                continue;
            }
            if expires && self.state.is_expired(job, self.now.0) && !crate::mutant!(ExpiredLeased) {
                found.expired.push(JobSeq(job));
                continue;
            }
            if self.is_tag_spent(job) {
                found.passed += 1;
                continue;
            }
            let attempt = match item {
                Item::Run { .. } => 1,
                Item::Single { .. } => match self.state.standing(job) {
                    Standing::Tracked(tracked) => tracked.attempt + 1,
                    _ => unreachable!("a single has a struct"),
                },
            };
            found.leased.push(LeasedJob { job: JobSeq(job), attempt });
        }
    }
}
