//! What a leader asks of the state to serve its clients: who has which lease, who is to be waited for.

use jobbie_proto::request::{Fetch, JobRef};
use jobbie_proto::{Code, JobId, JobSeq, LeaseToken, Micros, Request, SessionId};

use crate::decide::check_request;
use crate::slab::NONE;
use crate::state::{Standing, State};

impl State {
    /// Every open session, by id.
    pub fn session_ids(&self) -> impl Iterator<Item = SessionId> {
        self.sessions.sorted().into_iter().map(|at| SessionId(self.sessions.get(at).id))
    }

    /// Every live lease: its job and when it ends, session by session.
    pub fn leases(&self) -> impl Iterator<Item = (JobSeq, Micros)> {
        let sessions = self.sessions.sorted().into_iter();
        sessions.flat_map(|at| {
            let first = Some(self.sessions.get(at).first).filter(|number| *number != NONE);
            let next = |number: &u32| {
                Some(self.leases.get(*number).next_held).filter(|number| *number != NONE)
            };
            std::iter::successors(first, next).map(|number| {
                let lease = self.leases.get(number);
                (JobSeq(self.tracked.get(lease.job).job), Micros(lease.deadline))
            })
        })
    }

    /// The session that has a job leased and the lease; `None` when the job is not active.
    #[must_use]
    pub fn lease_of(&self, job: JobSeq) -> Option<(SessionId, JobRef)> {
        if !self.jobs.contains(job.0) {
            return None;
        }
        let Standing::Tracked(tracked) = self.standing(job.0) else { return None };
        let lease = self.leases.get(tracked.lease()?);
        let session = SessionId(self.sessions.get(lease.session).id);
        let id = JobId::new(self.jobs.origin(job.0).created_ms, self.shard, job);
        Some((session, JobRef { job: id, token: LeaseToken(tracked.mark) }))
    }
}

/// Whether a fetch is within its limits and of this shard, as [`crate::decide`] asks of those in requests.
///
/// # Errors
/// Why it is not, as a number and for a human.
pub fn validate_fetch(state: &State, fetch: &Fetch<'_>) -> Result<(), (Code, String)> {
    check_request(state, &Request { fetch: Some(fetch.clone()), ..Request::default() })
}
