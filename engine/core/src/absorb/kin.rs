//! Events of jobs that go to other shards or come from there, and of parents.

use std::rc::Rc;

use jobbie_proto::event::{ArrivedJob, Blob, Fate, HoldEnd, Standing};
use jobbie_proto::reply::JobState;
use jobbie_proto::{EventSeq, JobId, JobSeq, ShardId};

use super::Mark;
use crate::agents::Agent;
use crate::state::{Standing as Stands, State};
use crate::ties::Link;
use crate::ties::kin::{Away, Passage};

impl State {
    /// A job goes to a queue of another shard: now, or when its worker gives it back.
    pub(super) fn moved_away(&mut self, job: u64, queue: &str) {
        let name = self.ties.kin.name(queue);
        if self.job_state(job) == JobState::Active {
            self.ties.kin.change(job, |kin| kin.leaving = Some(name));
        } else {
            self.depart(job, name);
        }
    }

    /// A worker has given a job back, which waits now: it goes where it is to go.
    #[inline]
    pub(super) fn leave_if_noted(&mut self, job: u64) {
        if self.ties.kin.is_used() {
            self.leave(job);
        }
    }

    fn leave(&mut self, job: u64) {
        let noted = self.ties.kin.get(job).and_then(|kin| kin.leaving.clone());
        if let Some(queue) = noted
            && !crate::mutant!(NotedMoveForgotten)
        {
            self.depart(job, queue);
        }
    }

    fn depart(&mut self, job: u64, queue: Rc<str>) {
        let was = self.job_state(job);
        let legal = !matches!(was, JobState::Active | JobState::Completed | JobState::Moved);
        assert!(legal, "a job that is {} went to another shard", was.name());
        assert!(self.plans.get(job).is_none(), "a job with a plan went to another shard");
        let (mark, then) = match self.standing(job) {
            Stands::Fresh => (0, HoldEnd::Stay),
            Stands::Sleeping(due) => (due, HoldEnd::Stay),
            Stands::Tracked(tracked) => (tracked.mark, tracked.then),
        };
        let detached = self.detach(job);
        self.track(detached, JobState::Moved, mark);
        let blocked = self.ties.blocked.remove(job).map(|blocked| (blocked.event, blocked.due));
        let to = self.shard_of_queue(&queue);
        self.digest.mix_all(&[job, u64::from(to.0), was as u64]);
        let passage = Passage::Due;
        self.ties.kin.change(job, |kin| {
            let parent = kin.parent.take();
            kin.leaving = None;
            kin.away =
                Some(Rc::new(Away { queue, to, was, then, blocked, parent, passage, now: None }));
        });
        self.ties.kin.unsent.insert(job);
    }

    /// A job is sent to its shard.
    pub(super) fn job_sent(&mut self, job: JobSeq, to: ShardId, number: u64) {
        assert!(self.ties.kin.unsent.remove(&job.0).is_some(), "a job was sent that is not due");
        self.ties.kin.change_away(job.0, |away| {
            assert_eq!(away.to, to, "a job was sent to another shard");
            away.passage = Passage::Sent(number);
        });
    }

    /// A job's shard has it: what it took along is not needed here any more.
    pub(super) fn job_delivered(&mut self, job: JobSeq) {
        let job = job.0;
        self.payloads.remove(job);
        if !crate::mutant!(MemberCountedByBoth) {
            self.ties.members.remove(job);
        }
        self.ties.chains.remove(job);
        self.schedules.forget(job);
        self.ties.kin.change_away(job, |away| {
            (away.passage, away.parent, away.blocked) = (Passage::Over, None, None);
        });
    }

    /// A job that was moved from here is known to be on its shard. So that has taken the message it came with, and all
    /// before it, whether or not it has said so.
    fn has_arrived(&mut self, job: JobSeq) {
        let state = self.job_state(job.0);
        assert_eq!(state, JobState::Moved, "a job that is {} is elsewhere", state.name());
        let away = self.ties.kin.away(job.0).expect("it has moved");
        if let Passage::Sent(number) = away.passage {
            let to = away.to;
            self.over(to, number);
        }
    }

    pub(super) fn located(&mut self, job: JobSeq, now: JobId) {
        self.digest.mix_all(&[job.0, now.to_u128() as u64]);
        self.has_arrived(job);
        self.ties.kin.change_away(job.0, |away| away.now = Some(now));
        let from = self.ties.kin.get(job.0).and_then(|kin| kin.from);
        if let Some((from, _)) = from {
            self.ties.kin.located.insert(from, now);
        }
        if crate::mutant!(StubForgottenEarly) {
            let detached = self.detach(job.0);
            self.forget(detached);
        }
    }

    /// What hangs on the old id learns what became of the job.
    pub(super) fn fated(&mut self, job: JobSeq, fate: Fate) {
        self.digest.mix_all(&[job.0, fate as u64]);
        self.has_arrived(job);
        self.ties.kin.fated(job.0, fate);
        match fate {
            Fate::Ended => return self.release_unique(job.0),
            Fate::Completed => {
                if crate::mutant!(MemberCountedByBoth)
                    && let Some(batch) = self.ties.members.get(job.0).copied()
                {
                    self.ties.tally(batch, true);
                }
                if self.ties.waiting_for(job.0).next().is_some() {
                    self.ties.settling.insert(job.0, self.id_of(job.0));
                }
            }
            Fate::Gone => self.ties.gone.insert(job.0),
        }
        let detached = self.detach(job.0);
        self.forget(detached);
    }

    pub(super) fn parented(&mut self, parent: JobId, jobs: &[JobSeq]) {
        self.digest.mix_all(&[parent.to_u128() as u64, jobs.len() as u64]);
        for job in jobs {
            self.ties.kin.change(job.0, |kin| kin.parent = Some(parent));
        }
    }

    /// A job came, and is as it was.
    pub(super) fn arrived(&mut self, arrived: &ArrivedJob, event: u64) {
        let ArrivedJob { from, standing, attempt, lease_expiries, expire_at, .. } = *arrived;
        let job = arrived.job.0;
        self.digest.mix_all(&[job, from.to_u128() as u64, u64::from(attempt), expire_at.0]);
        self.ties.kin.change(job, |kin| kin.from = Some((from, expire_at.0)));
        self.ties.kin.located.insert(from, self.id_of(job));
        if arrived.failure_handled {
            let link = *self.ties.chains.get(job).expect("a job of no chain was handled by one");
            self.ties.chains.insert(job, Link { on_failure: None, ..link });
        }
        if arrived.cost_micros > 0 {
            self.usage.set_cost(job, arrived.cost_micros);
        }
        if arrived.iteration > 0 {
            self.agents.insert(job, Agent::arrived(arrived, event));
        }
        let agent = [u64::from(arrived.iteration), arrived.limits.max_cost_micros];
        self.digest.mix_all(&[arrived.cost_micros, agent[0], agent[1]]);
        // It was enqueued elsewhere.
        let queue = self.queue_of(job);
        self.queues.get_mut(queue).enqueued_total -= 1;
        let number = self.stand(job, standing, event);
        let tracked = self.tracked.get_mut(number);
        tracked.attempt = if crate::mutant!(MoveForgetsAttempts) { 0 } else { attempt };
        tracked.lease_expiries = u16::try_from(lease_expiries).unwrap_or(u16::MAX);
        let at = |parts: &[Blob]| {
            let said = parts.iter().any(|part| !part.is_empty());
            if said { EventSeq(event) } else { EventSeq(0) }
        };
        let checkpoint = at(&[arrived.checkpoint]);
        let progress = at(&[arrived.progress]);
        let error = at(&[arrived.error, arrived.backtrace]);
        let hold = at(&[arrived.hold_reason, arrived.hold_by]);
        if [checkpoint, progress, error, hold].iter().any(|part| part.0 > 0) {
            let side = self.side_mut(number);
            (side.checkpoint, side.progress) = (checkpoint, progress);
            (side.error, side.hold) = (error, hold);
        }
    }

    fn stand(&mut self, job: u64, standing: Standing, event: u64) -> u32 {
        let detached = self.detach(job);
        let (state, due) = match standing {
            Standing::Pending => return self.step_back(detached, event),
            Standing::Scheduled(due) => (JobState::Scheduled, due),
            Standing::Retrying(due) => (JobState::Retrying, due),
            Standing::Held { until, then } => {
                let number = self.track(detached, JobState::Held, until.0);
                self.tracked.get_mut(number).then = then;
                self.set_expiry_timer(number, (until.0 > 0).then_some(until.0));
                return number;
            }
            // Another shard's time may be ahead.
            Standing::Dead(at) => {
                return self.track(detached, JobState::Dead, at.0.min(self.time));
            }
            Standing::Cancelled(at) => {
                return self.track(detached, JobState::Cancelled, at.0.min(self.time));
            }
        };
        let number = self.track(detached, state, due.0);
        self.set_expiry_timer(number, Some(due.0));
        self.digest.mix(Mark::Moved as u64);
        number
    }
}
