//! Events that make jobs, move them through time, or end them without a worker.

use jobbie_proto::JobSeq;
use jobbie_proto::event::{Class, EnqueuedJob, KeyTaken, LimitedJobs, UniqueKey};
use jobbie_proto::reply::JobState;

use super::Mark;
use crate::class::{ClassId, hash_of};
use crate::jobs::{Handle, Origin, Special};
use crate::keys::Key;
use crate::state::State;
use crate::ties::End;
use crate::unique::Unique;

impl State {
    pub(super) fn enqueued(
        &mut self,
        class: &Class,
        first_job: JobSeq,
        jobs: &[EnqueuedJob],
        keys: &[KeyTaken],
    ) {
        let id = self.intern(class, "");
        let words = [Mark::Enqueued as u64, hash_of(class, ""), first_job.0, jobs.len() as u64];
        self.digest.mix_all(&words);
        self.make(id, first_job, jobs);
        self.take_keys(class, first_job, jobs.len(), keys);
    }

    /// Jobs with limit keys; their queue has lanes from now on.
    pub(super) fn limited(&mut self, limited: &LimitedJobs) {
        let LimitedJobs { class, first_job, jobs, keys, limit_keys } = limited;
        assert_eq!(jobs.len(), limit_keys.len(), "a job without its limit key");
        let mut known: Option<(&str, ClassId)> = None;
        for (nth, (job, limit_key)) in (0..).zip(jobs.iter().zip(limit_keys)) {
            let id = match known {
                Some((key, id)) if key == limit_key => id,
                _ => self.intern(class, limit_key),
            };
            known = Some((limit_key, id));
            self.ensure_lanes(self.classes.get(id).queue);
            let hash = self.classes.get(id).hash;
            self.digest.mix_all(&[Mark::Limited as u64, hash, first_job.0 + nth]);
            self.make(id, first_job.plus(nth), std::slice::from_ref(job));
        }
        self.take_keys(class, *first_job, jobs.len(), keys);
    }

    pub(super) fn make(&mut self, class: ClassId, first_job: JobSeq, jobs: &[EnqueuedJob]) {
        assert_eq!(first_job.0, self.next_job, "job numbers are not consecutive");
        let (event, count, created_ms) = (self.next_event, jobs.len() as u64, self.time().ms());
        self.create(first_job.0, count, Origin { event, created_ms, class });
        self.next_event += count;
        self.next_job += count;
        let mut nth = 0;
        for run in jobs.chunk_by(|a, b| a.due.0 == 0 && b.due.0 == 0) {
            let (first, position) = (first_job.0 + nth, event + nth);
            nth += run.len() as u64;
            if run[0].due.0 == 0 {
                self.wait_fresh(first, run.len() as u64, class, position);
            } else {
                self.sleep(first, class, run[0].due.0);
                self.digest.mix_all(&[first, run[0].due.0]);
            }
        }
    }

    fn take_keys(&mut self, class: &Class, first_job: JobSeq, count: usize, keys: &[KeyTaken]) {
        if keys.is_empty() {
            return;
        }
        let created_ms = self.time().ms();
        let free_below = self.keys_end_below(&class.queue);
        for key in keys {
            assert!((key.nth as usize) < count, "a key of a job that was not enqueued");
            let job = first_job.0 + u64::from(key.nth);
            let (hash, content, until) = (key.key_hash, key.content_hash, key.until.0);
            self.keys.take(Key { hash, content, until, job, created_ms }, self.time, free_below);
            self.digest.mix_all(&[job, hash as u64, (hash >> 64) as u64, content, until]);
        }
    }

    pub(super) fn unique_taken(&mut self, taken: &UniqueKey) {
        self.number_event();
        let UniqueKey { job, hash, until, .. } = *taken;
        self.take_unique(Unique { hash, until: until.0, job: job.0 }, |state, owner| {
            state.unique_is_over(&state.queues.get(state.queue_of(job.0)).name, owner)
        });
        let words = [hash as u64, (hash >> 64) as u64, until.0];
        self.digest.mix_all(&[Mark::UniqueTaken as u64, job.0]);
        self.digest.mix_all(&words);
    }

    /// Scheduled or retrying to pending.
    pub(super) fn promoted(&mut self, job: JobSeq) {
        let event = self.number_event();
        self.digest.mix_all(&[Mark::Promoted as u64, job.0]);
        match self.jobs.handle(job.0).map(Handle::special) {
            Some(Special::Sleeper(_)) => {
                let class = self.jobs.origin(job.0).class;
                self.wake(job.0, class, event);
            }
            Some(Special::Struct(number)) => {
                let state = self.tracked.get(number).state;
                let waits = matches!(state, JobState::Scheduled | JobState::Retrying);
                assert!(waits, "a job that is {} was promoted", state.name());
                let detached = self.detach(job.0);
                self.step_back(detached, event);
            }
            None => panic!("job {job} was promoted without waiting for a time"),
        }
    }

    /// Anything but active and terminal to dead.
    pub(super) fn expired(&mut self, job: JobSeq) {
        let event = self.number_event();
        self.digest.mix_all(&[Mark::Expired as u64, job.0]);
        let state = self.job_state(job.0);
        let waits = matches!(
            state,
            JobState::Pending
                | JobState::Scheduled
                | JobState::Retrying
                | JobState::Held
                | JobState::Planned
        );
        assert!(waits, "a job that is {} expired", state.name());
        self.ends(job.0, event, End::Died);
        let detached = self.detach(job.0);
        let number = self.track(detached, JobState::Dead, self.time);
        self.link_error(job.0, number, event);
    }

    pub(super) fn cancelled(&mut self, job: JobSeq) {
        let event = self.number_event();
        self.digest.mix_all(&[Mark::Cancelled as u64, job.0]);
        let state = self.job_state(job.0);
        let ended = !matches!(
            state,
            JobState::Pending
                | JobState::Scheduled
                | JobState::Active
                | JobState::Retrying
                | JobState::Held
                | JobState::Planned
        );
        assert!(!ended, "a job that is {} was cancelled", state.name());
        self.ends(job.0, event, End::Stopped);
        let detached = self.detach(job.0);
        self.track(detached, JobState::Cancelled, self.time);
    }

    pub(super) fn deleted(&mut self, job: JobSeq) {
        let event = self.number_event();
        self.digest.mix_all(&[Mark::Deleted as u64, job.0]);
        assert!(self.job_state(job.0) != JobState::Moved, "a job that is elsewhere was deleted");
        self.ends(job.0, event, End::Stopped);
        self.ties.gone.insert(job.0);
        let detached = self.detach(job.0);
        self.forget(detached);
    }

    /// Kept long enough since it ended.
    pub(super) fn purged(&mut self, job: JobSeq) {
        self.number_event();
        self.digest.mix_all(&[Mark::Purged as u64, job.0]);
        let state = self.job_state(job.0);
        let ended = state.has_ended();
        assert!(ended, "a job that is {} was purged", state.name());
        self.ties.gone.insert(job.0);
        let detached = self.detach(job.0);
        self.forget(detached);
    }
}
