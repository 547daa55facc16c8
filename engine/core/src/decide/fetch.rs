//! Which jobs a worker gets.

use jobbie_proto::event::{Event, LeasedJob};
use jobbie_proto::limits::LEASE_MS_DEFAULT;
use jobbie_proto::reply::JobState;
use jobbie_proto::request::Fetch;
use jobbie_proto::{JobSeq, Micros, Request, SessionId};

use super::BlobSink;
use super::draft::{After, Draft};
use crate::fifo::Item;
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

#[derive(Default)]
struct Found {
    leased: Vec<LeasedJob>,
    expired: Vec<JobSeq>,
    wanted: usize,
}

impl Found {
    fn is_full(&self) -> bool {
        self.leased.len() >= self.wanted || self.expired.len() >= KILLS_MAX
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
        for (at, queue) in fetch.queues.iter().enumerate() {
            // Naming a queue twice must not lease its jobs twice.
            if !fetch.queues[..at].contains(queue) && !self.is_paused(queue) {
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

    fn is_paused(&self, queue: &str) -> bool {
        let own = self.paused.iter().rev().find(|(name, _)| *name == queue);
        own.map_or_else(
            || self.state.queues.find(queue).is_some_and(|at| self.state.queues.get(at).paused),
            |(_, paused)| *paused,
        )
    }

    fn take_from(&self, name: &str, found: &mut Found) {
        let queue = self.state.queues.find(name).map(|at| self.state.queues.get(at));
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
                } else if waits {
                    let (job, attempt) = (JobSeq(arrival.job), arrival.attempt);
                    found.leased.push(LeasedJob { job, attempt });
                }
            }
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
