//! Events of jobs that a worker has.

use jobbie_proto::event::{ExtendedJob, FailOutcome, LeasedJob, QuarantinedJob};
use jobbie_proto::reply::{Failed, JobState, Lease, LeasedAgent};
use jobbie_proto::{Code, EventSeq, JobSeq, LeaseToken, Micros, Reply, SessionId};

use super::Mark;
use crate::class::ClassId;
use crate::jobs::{Handle, Special};
use crate::slab::NONE;
use crate::state::State;
use crate::ties::End;

impl State {
    pub(super) fn leased(
        &mut self,
        session: SessionId,
        deadline: Micros,
        lease_ms: u32,
        jobs: &[LeasedJob],
        reply: &mut Reply,
    ) {
        let owner = self.sessions.find(session.0).expect("a lease for an unknown session");
        self.digest.mix_all(&[Mark::Leased as u64, session.0, deadline.0, u64::from(lease_ms)]);
        reply.leases.reserve(jobs.len());
        // Jobs leave the front of one queue after another: each front moves once, not for each job.
        let mut untrimmed: Option<ClassId> = None;
        for leased in jobs {
            let token = self.number_event();
            let job = leased.job.0;
            let (origin, handle) = self.jobs.look_up(job).expect("an unknown job was leased");
            let special = handle.map(Handle::special);
            let state = self.state_of(special);
            assert_eq!(state, JobState::Pending, "a job that is {} was leased", state.name());
            let detached = match special {
                Some(Special::Struct(number)) => self.detach_struct(number),
                _ => self.detach_waiting(job, origin.class),
            };
            if let Some(class) = untrimmed.replace(detached.class)
                && class != detached.class
            {
                self.trim(class);
            }
            let number = self.track_untrimmed(detached, JobState::Active, token);
            let tracked = self.tracked.get_mut(number);
            assert_eq!(leased.attempt, tracked.attempt + 1, "attempts are not consecutive");
            tracked.attempt = leased.attempt;
            let (mut checkpoint, placed) = match tracked.side {
                NONE => (EventSeq(0), EventSeq(0)),
                side => {
                    let side = self.sides.get(side);
                    (side.checkpoint, side.placed)
                }
            };
            if self.is_limited(detached.class) {
                self.count_lease(detached.class, job);
            }
            let lease = self.begin_lease(number, deadline.0, lease_ms);
            self.hold(lease, owner);
            if let Some(agent) = self.agents.get(job) {
                if checkpoint.0 == 0 {
                    checkpoint = agent.first_checkpoint();
                }
                let state = agent.state(self.usage.cost_of(job));
                let lease = reply.leases.len() as u32;
                reply.agents.push(LeasedAgent { lease, state });
            }
            self.digest.mix(job);
            self.digest.mix(u64::from(leased.attempt));
            reply.leases.push(Lease {
                job: leased.job,
                created_ms: origin.created_ms,
                token: LeaseToken(token),
                attempt: leased.attempt,
                max_retries: self.classes.get(origin.class).class.max_retries,
                deadline,
                record: EventSeq(self.record_of(job, origin)),
                checkpoint,
                placed,
                payload: EventSeq(self.payloads.get(job).copied().unwrap_or(0)),
            });
        }
        if let Some(class) = untrimmed {
            self.trim(class);
        }
    }

    /// The struct of an active job.
    pub(super) fn active(&self, job: JobSeq) -> u32 {
        match self.jobs.handle(job.0).map(Handle::special) {
            Some(Special::Struct(number)) if self.tracked.get(number).state == JobState::Active => {
                number
            }
            _ => panic!("job {job} is not active"),
        }
    }

    pub(super) fn completed(&mut self, job: JobSeq) {
        let event = self.number_event();
        let number = self.active(job);
        self.ends(job.0, event, End::Completed);
        self.digest.mix(Mark::Completed as u64);
        self.digest.mix(job.0);
        let detached = self.detach_struct(number);
        self.complete(detached);
    }

    pub(super) fn failed(&mut self, job: JobSeq, attempt: u32, outcome: FailOutcome) -> Failed {
        let event = self.number_event();
        let number = self.active(job);
        let tracked = self.tracked.get(number);
        assert_eq!(attempt, tracked.attempt, "another attempt failed than is active");
        let max_retries = self.classes.get(tracked.class).class.max_retries;
        let detached = self.detach(job.0);
        let (next_attempt, attempts_left) = match outcome {
            FailOutcome::Retrying(due) => {
                self.track(detached, JobState::Retrying, due.0);
                self.set_expiry_timer(number, Some(due.0));
                (due, max_retries.saturating_sub(attempt))
            }
            FailOutcome::Dead => {
                self.ends(job.0, event, End::Died);
                self.track(detached, JobState::Dead, self.time);
                (Micros(0), 0)
            }
        };
        self.side_mut(number).error = EventSeq(event);
        let words = [Mark::Failed as u64, job.0, u64::from(attempt), next_attempt.0];
        self.digest.mix_all(&words);
        self.leave_if_noted(job.0);
        Failed { code: Code::Ok, next_attempt, attempts_left }
    }

    pub(super) fn extended(&mut self, extended: &ExtendedJob) {
        let event = self.number_event();
        let number = self.active(extended.job);
        let tracked = self.tracked.get(number);
        let deadline = extended.deadline.0;
        self.leases.extend(tracked.timer, tracked.mark, deadline);
        if !extended.progress.is_empty() {
            self.side_mut(number).progress = EventSeq(event);
        }
        if !extended.checkpoint.is_empty() {
            self.side_mut(number).checkpoint = EventSeq(event);
        }
        let kept = u64::from(extended.progress.is_empty()) << 1
            | u64::from(extended.checkpoint.is_empty());
        self.digest.mix_all(&[Mark::Extended as u64, extended.job.0, deadline, kept]);
    }

    pub(super) fn session_extended(&mut self, session: SessionId, deadline: Micros) {
        self.number_event();
        let at = self.sessions.find(session.0).expect("an unknown session was extended");
        let mut number = self.sessions.get(at).first;
        while number != NONE {
            let lease = *self.leases.get(number);
            if lease.deadline < deadline.0 {
                let token = self.tracked.get(lease.job).mark;
                self.leases.extend(number, token, deadline.0);
            }
            number = lease.next_held;
        }
        self.digest.mix_all(&[Mark::SessionExtended as u64, session.0, deadline.0]);
    }

    /// Given back: the attempt does not count.
    pub(super) fn released(&mut self, job: JobSeq) {
        let event = self.number_event();
        self.active(job);
        self.digest.mix_all(&[Mark::Released as u64, job.0]);
        let detached = self.detach(job.0);
        let number = self.step_back(detached, event);
        self.tracked.get_mut(number).attempt -= 1;
        self.leave_if_noted(job.0);
    }

    /// Not given back in time: the attempt counts.
    pub(super) fn lease_expired(&mut self, job: JobSeq) {
        let event = self.number_event();
        self.active(job);
        self.digest.mix_all(&[Mark::LeaseExpired as u64, job.0]);
        let detached = self.detach(job.0);
        let number = self.step_back(detached, event);
        let tracked = self.tracked.get_mut(number);
        tracked.lease_expiries = tracked.lease_expiries.saturating_add(1);
        self.leave_if_noted(job.0);
    }

    /// Not given back in time once too often: it is dead.
    pub(super) fn quarantined(&mut self, job: &QuarantinedJob) {
        let event = self.number_event();
        let number = self.active(job.job);
        self.digest.mix_all(&[Mark::Quarantined as u64, job.job.0, u64::from(job.lease_expiries)]);
        assert_eq!(job.attempt, self.tracked.get(number).attempt, "another attempt is active");
        self.ends(job.job.0, event, End::Died);
        let detached = self.detach(job.job.0);
        let number = self.track(detached, JobState::Dead, self.time);
        self.tracked.get_mut(number).lease_expiries =
            u16::try_from(job.lease_expiries).unwrap_or(u16::MAX);
        self.side_mut(number).error = EventSeq(event);
    }
}
