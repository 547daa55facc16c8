//! What operators and holds do to jobs.

use jobbie_proto::Code;
use jobbie_proto::event::{Event, HoldEnd, QueueSettings};
use jobbie_proto::reply::JobState;

use super::Model;
use super::absorb::Step;
use crate::check::{r10_one_state, r12_lease_ends, r13_attempts, violated};

impl Model {
    pub(super) fn control(&mut self, event: &Event, step: &mut Step<'_>) {
        use JobState::{Active, Cancelled, Dead, Held, Pending, Retrying, Scheduled};
        match event {
            Event::UniqueTaken { jobs } => {
                for unique in jobs {
                    self.number();
                    let queue = self.job(unique.job.0).class.queue.clone();
                    let key = step.fact.bytes(unique.key).to_vec();
                    let until = unique.until.0;
                    self.uniques.insert((queue, key), (unique.job.0, until));
                }
            }
            Event::Quarantined { jobs } => {
                for lost in jobs {
                    self.number();
                    let (seq, fact) = (lost.job.0, step.fact);
                    r10_one_state::leaves(seq, self.job(seq), &[Active], "quarantined");
                    r12_lease_ends::expired(seq, self.job(seq), fact);
                    r13_attempts::quarantined(seq, self.job(seq), lost);
                    self.job_mut(seq).lease_expiries += 1;
                    self.set_state(seq, Dead);
                }
            }
            Event::Retried { jobs } => {
                for job in jobs {
                    self.blocked.remove(&job.0);
                    self.again(job.0, &[Scheduled, Dead, Cancelled], true, step);
                    let job = self.job_mut(job.0);
                    (job.attempt, job.lease_expiries) = (0, 0);
                }
            }
            Event::Requeued { jobs } => {
                for job in jobs {
                    self.again(job.0, &[Dead], false, step);
                    self.job_mut(job.0).lease_expiries = 0;
                }
            }
            Event::Held { job, until, then, .. } => {
                self.number();
                let states = [Pending, Scheduled, Active, Retrying];
                r10_one_state::leaves(job.0, self.job(job.0), &states, "held");
                self.set_state(job.0, Held);
                (self.job_mut(job.0).due, self.job_mut(job.0).then) = (until.0, *then);
                self.leave_if_noted(job.0);
                // A job that is held from the beginning is answered for by its enqueueing.
                if job.0 < step.new_from {
                    step.outcome.job_controls.push(Code::Ok);
                }
            }
            Event::Approved { job, .. } => {
                if step.is_of_time() {
                    self.hold_ended(job.0, HoldEnd::Approve, step.fact.time);
                }
                self.again(job.0, &[Held], false, step);
                self.begin_anew(job.0);
            }
            Event::Rejected { job, .. } => {
                self.number();
                r10_one_state::leaves(job.0, self.job(job.0), &[Held], "rejected");
                self.set_state(job.0, Dead);
                step.outcome.job_controls.push(Code::Ok);
            }
            Event::Moved { job, queue } => {
                let event = self.number();
                step.outcome.job_controls.push(Code::Ok);
                if self.is_elsewhere(queue) {
                    return self.moved_away(job.0);
                }
                self.leaving.remove(&job.0);
                self.queues.entry(queue.clone()).or_default();
                if !self.job(job.0).limit_key.is_empty() {
                    self.laned.insert(queue.clone());
                }
                self.reclass(job.0, event, |class| class.queue.clone_from(queue));
                self.job_mut(job.0).placed = event;
            }
            Event::Prioritized { jobs, priority } => {
                for job in jobs {
                    let event = self.number();
                    let states = [Pending, Scheduled];
                    r10_one_state::leaves(job.0, self.job(job.0), &states, "prioritized");
                    self.reclass(job.0, event, |class| class.priority = *priority);
                    step.outcome.job_controls.push(Code::Ok);
                }
            }
            Event::Replaced { job, payload } => {
                self.number();
                let states = [Pending, Scheduled, Retrying, Held];
                r10_one_state::leaves(job.0, self.job(job.0), &states, "given a payload");
                self.job_mut(job.0).payload = step.fact.bytes(*payload).to_vec();
                step.outcome.job_controls.push(Code::Ok);
            }
            other => unreachable!(
                "{other:?} is handled elsewhere, or needs more time than a simulation has"
            ),
        }
    }

    /// A job is given out: whoever counts that takes note.
    pub(super) fn claim(&mut self, seq: u64, time: u64) {
        let (queue, key) = (self.job(seq).class.queue.clone(), self.job(seq).limit_key.clone());
        let settings = self.settings(&queue);
        if settings.rate > 0 {
            self.claims.entry((queue.clone(), None)).or_default().push(time);
        }
        if settings.key_rate > 0 && !key.is_empty() {
            self.claims.entry((queue, Some(key))).or_default().push(time);
        }
    }

    pub(super) fn configured(&mut self, queue: &str, settings: QueueSettings, time: u64) {
        let old = self.settings.insert(queue.to_owned(), settings).unwrap_or_default();
        for ((of, key), claims) in &mut self.claims {
            for now in [&old, &settings].into_iter().filter(|_| of == queue) {
                let (rate, window_ms) = match key {
                    None => (now.rate, now.window_ms),
                    Some(_) => (now.key_rate, now.key_window_ms),
                };
                claims.retain(|at| rate > 0 && *at + u64::from(window_ms) * 1000 > time);
            }
        }
    }

    pub(super) fn again(
        &mut self,
        seq: u64,
        states: &[JobState],
        is_retry: bool,
        step: &mut Step<'_>,
    ) {
        let event = self.number();
        r10_one_state::leaves(seq, self.job(seq), states, "put back");
        if self.blocked.contains_key(&seq) {
            self.set_state(seq, JobState::Scheduled);
            self.job_mut(seq).due = 0;
        } else if !self.plan_again(seq, step.fact.time, is_retry) {
            self.wait(seq, event);
        }
        if step.fact.request.is_some() {
            step.outcome.job_controls.push(Code::Ok);
        }
    }

    pub(super) fn hold_ended(&self, seq: u64, then: HoldEnd, now: u64) {
        let job = self.job(seq);
        if (job.state, job.then) != (JobState::Held, then) || job.due > now {
            violated!("r14", "the hold of job {seq} ended by itself at {now}: {job:?}");
        }
    }

    /// Another queue or tier; a job that waits goes to its back.
    fn reclass(
        &mut self,
        seq: u64,
        event: u64,
        change: impl FnOnce(&mut jobbie_proto::event::Class),
    ) {
        let (state, from) = (self.job(seq).state, self.job(seq).class.queue.clone());
        if state == JobState::Pending {
            let place = self.job(seq).place(seq);
            self.waiting.remove(&place);
        }
        change(&mut self.job_mut(seq).class);
        let to = self.job(seq).class.queue.clone();
        self.queues.get_mut(&from).expect("made with its first job").jobs[state as usize] -= 1;
        self.queues.get_mut(&to).expect("just made").jobs[state as usize] += 1;
        if state == JobState::Pending {
            self.job_mut(seq).position = event;
            let place = self.job(seq).place(seq);
            self.waiting.insert(place);
        }
    }
}
