//! Events of what operators do with jobs.

use jobbie_proto::event::{Class, Event, HoldEnd};
use jobbie_proto::reply::JobState;
use jobbie_proto::{EventSeq, JobSeq, Micros};

use super::Mark;
use crate::jobs::{Handle, Special};
use crate::state::State;
use crate::ties::{Blocked, End};

impl State {
    /// Absorbs an event of this module; how many jobs it was about.
    pub(super) fn absorb_control(&mut self, event: &Event) -> usize {
        match event {
            Event::Retried { jobs } => jobs.iter().for_each(|job| self.retried(*job)),
            Event::Requeued { jobs } => jobs.iter().for_each(|job| self.requeued(*job)),
            Event::Held { job, until, then, .. } => self.held(*job, *until, *then),
            Event::Approved { job, .. } => self.approved(*job),
            Event::Rejected { job, .. } => self.rejected(*job),
            Event::Moved { job, queue } => self.moved(*job, queue),
            Event::Prioritized { jobs, priority } => {
                jobs.iter().for_each(|job| self.prioritized(*job, *priority));
            }
            Event::Replaced { job, .. } => self.replaced(*job),
            Event::Revised(revised) => self.revised(revised),
            other => unreachable!("{other:?} is absorbed elsewhere"),
        }
        event.count() as usize
    }

    pub(super) fn controlled(&mut self, mark: Mark, job: JobSeq, legal: &[JobState]) -> u64 {
        let event = self.number_event();
        let state = self.job_state(job.0);
        assert!(legal.contains(&state), "a job that is {} cannot be that", state.name());
        self.digest.mix_all(&[mark as u64, job.0]);
        event
    }

    /// All attempts are before it again.
    fn retried(&mut self, job: JobSeq) {
        let legal = [JobState::Scheduled, JobState::Dead, JobState::Cancelled];
        let event = self.controlled(Mark::Retried, job, &legal);
        // Whoever says so does not wait for what it waits for.
        self.ties.blocked.remove(job.0);
        if let Some(Special::Sleeper(_)) = self.jobs.handle(job.0).map(Handle::special) {
            let class = self.jobs.origin(job.0).class;
            return self.wake(job.0, class, event);
        }
        let detached = self.detach(job.0);
        let number = self.go_on(detached, event, true);
        let tracked = self.tracked.get_mut(number);
        if !crate::mutant!(RetryKeepsAttempts) {
            (tracked.attempt, tracked.lease_expiries) = (0, 0);
        }
    }

    fn requeued(&mut self, job: JobSeq) {
        let event = self.controlled(Mark::Requeued, job, &[JobState::Dead]);
        let detached = self.detach(job.0);
        let number = self.go_on(detached, event, false);
        self.tracked.get_mut(number).lease_expiries = 0;
    }

    pub(super) fn held(&mut self, job: JobSeq, until: Micros, then: HoldEnd) {
        let legal = [JobState::Pending, JobState::Scheduled, JobState::Active, JobState::Retrying];
        let event = self.controlled(Mark::Held, job, &legal);
        let detached = self.detach(job.0);
        let number = self.track(detached, JobState::Held, until.0);
        self.tracked.get_mut(number).then = then;
        let ends = until.0 > 0 && !crate::mutant!(HoldNeverEnds);
        self.set_expiry_timer(number, ends.then_some(until.0));
        self.side_mut(number).hold = EventSeq(event);
        // Its time is forgotten, as it is for others.
        if let Some(blocked) = self.ties.blocked.get(job.0).copied() {
            self.ties.blocked.insert(job.0, Blocked { due: 0, ..blocked });
        }
        self.digest.mix_all(&[until.0, then as u64]);
        self.leave_if_noted(job.0);
    }

    fn approved(&mut self, job: JobSeq) {
        let event = self.controlled(Mark::Approved, job, &[JobState::Held]);
        self.let_go_on(job.0, event);
    }

    /// A held job waits, at the back of its tier or for others; its struct.
    pub(super) fn let_go_on(&mut self, job: u64, event: u64) -> u32 {
        let detached = self.detach(job);
        let number = if self.ties.blocked.get(job).is_some() {
            self.block(detached)
        } else {
            self.step_back(detached, event)
        };
        if self.agents.get(job).is_some() {
            self.begin_anew(number);
        }
        number
    }

    fn rejected(&mut self, job: JobSeq) {
        let event = self.controlled(Mark::Rejected, job, &[JobState::Held]);
        self.ends(job.0, event, End::Died);
        let detached = self.detach(job.0);
        let number = self.track(detached, JobState::Dead, self.time);
        self.side_mut(number).error = EventSeq(event);
    }

    fn moved(&mut self, job: JobSeq, queue: &str) {
        let event = self.controlled(Mark::Moved, job, &JobState::HERE);
        self.digest.mix(xxhash_rust::xxh3::xxh3_64(queue.as_bytes()));
        if self.shard_of_queue(queue) != self.shard {
            return self.moved_away(job.0, queue);
        }
        if self.ties.kin.is_used() {
            self.ties.kin.change(job.0, |kin| kin.leaving = None);
        }
        let class = self.class_with(job, |class| class.queue = queue.to_owned());
        let number = self.reclass(job.0, class, event);
        self.side_mut(number).placed = EventSeq(event);
    }

    fn prioritized(&mut self, job: JobSeq, priority: u8) {
        let event =
            self.controlled(Mark::Prioritized, job, &[JobState::Pending, JobState::Scheduled]);
        let class = self.class_with(job, |class| class.priority = priority);
        self.reclass(job.0, class, event);
        self.digest.mix(u64::from(priority));
    }

    /// The class of a job but for one thing.
    fn class_with(
        &mut self,
        job: JobSeq,
        change: impl FnOnce(&mut Class),
    ) -> crate::class::ClassId {
        let entry = self.classes.get(self.class_of(job.0));
        let (mut class, limit_key) = ((*entry.class).clone(), entry.limit_key.clone());
        change(&mut class);
        let to = self.intern(&class, &limit_key);
        if !limit_key.is_empty() {
            self.ensure_lanes(self.classes.get(to).queue);
        }
        to
    }

    fn replaced(&mut self, job: JobSeq) {
        let legal = [JobState::Pending, JobState::Scheduled, JobState::Retrying, JobState::Held];
        let event = self.controlled(Mark::Replaced, job, &legal);
        self.payloads.insert(job.0, event);
    }
}
