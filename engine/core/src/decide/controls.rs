//! What operators do with jobs. Such a request does nothing else and names each job once, so that every decision is
//! about the state as it is.

use jobbie_proto::event::{Asked, Event, HoldEnd, RevisedJob};
use jobbie_proto::placement::shard_of;
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{Hold, JobAction, JobControl};
use jobbie_proto::{Code, EventSeq, JobSeq, Micros};

use super::BlobSink;
use super::draft::Draft;

/// What an action is called when it is refused, and in which states it is not.
pub(super) fn rule(action: &JobAction<'_>) -> (Asked, &'static [JobState]) {
    use JobState::{Active, Cancelled, Dead, Held, Pending, Retrying, Scheduled};
    match action {
        JobAction::Retry => (Asked::Retry, &[Scheduled, Dead, Cancelled]),
        JobAction::Requeue => (Asked::Requeue, &[Dead]),
        JobAction::Hold(_) => (Asked::Hold, &[Pending, Scheduled, Active, Retrying]),
        JobAction::Approve { .. } => (Asked::Approve, &[Held]),
        JobAction::Reject { .. } => (Asked::Reject, &[Held]),
        JobAction::Move { .. } => (Asked::Move, &JobState::HERE),
        JobAction::Prioritize { .. } => (Asked::Prioritize, &[Pending, Scheduled]),
        JobAction::Revise { .. } => (Asked::Revise, &[Held]),
        JobAction::Replace { .. } => (Asked::Replace, &[Pending, Scheduled, Retrying, Held]),
    }
}

impl Draft<'_> {
    pub(super) fn job_controls(&mut self, controls: &[JobControl<'_>], blob: &mut impl BlobSink) {
        for control in controls {
            let (asked, legal) = rule(&control.action);
            let found = self.find(control.job).and_then(|(seq, state)| {
                legal.contains(&state).then_some(seq).ok_or(Code::IllegalState)
            });
            let possible =
                found.and_then(|seq| self.is_possible(seq, &control.action).map(|()| seq));
            match possible {
                Ok(seq) => self.job_control(seq, &control.action, blob),
                Err(code) => {
                    self.events.push(Event::Refused { job: control.job.seq(), asked, code });
                }
            }
        }
    }

    /// A job with a plan cannot go to another shard: its events are addressed to its id. Feedback is for agent jobs, and goes
    /// into the checkpoint that was seen.
    pub(super) fn is_possible(&self, job: u64, action: &JobAction<'_>) -> Result<(), Code> {
        let state = self.state;
        match action {
            JobAction::Revise { .. } if state.agents.get(job).is_none() => Err(Code::NotAgent),
            JobAction::Revise { replaces, .. } if self.checkpoint_of(job) != *replaces => {
                Err(Code::IllegalState)
            }
            JobAction::Move { queue }
                if state.plans.get(job).is_some()
                    && shard_of(queue, state.shards) != state.shard =>
            {
                Err(Code::Unsupported)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn job_control(
        &mut self,
        seq: u64,
        action: &JobAction<'_>,
        blob: &mut impl BlobSink,
    ) {
        let job = JobSeq(seq);
        let event = match *action {
            JobAction::Retry => return self.push_job(seq, |jobs| Event::Retried { jobs }),
            JobAction::Requeue => return self.push_job(seq, |jobs| Event::Requeued { jobs }),
            JobAction::Prioritize { priority: to } => {
                if let Some(Event::Prioritized { jobs, priority }) = self.events.last_mut()
                    && *priority == to
                {
                    return jobs.push(job);
                }
                Event::Prioritized { jobs: vec![job], priority: to }
            }
            JobAction::Hold(hold) => self.held(job, &hold, blob),
            JobAction::Approve { note, by } => {
                let (note, by) = (blob.append(note), blob.append(by.as_bytes()));
                Event::Approved { job, note, by }
            }
            JobAction::Reject { reason, by } => {
                let (reason, by) = (blob.append(reason), blob.append(by.as_bytes()));
                Event::Rejected { job, reason, by, previous: self.last_error(seq) }
            }
            JobAction::Revise { checkpoint, feedback, by, .. } => {
                let checkpoint = blob.append(checkpoint);
                let (feedback, by) = (blob.append(feedback), blob.append(by.as_bytes()));
                Event::Revised(Box::new(RevisedJob { job, checkpoint, feedback, by }))
            }
            JobAction::Move { queue } => Event::Moved { job, queue: queue.to_owned() },
            JobAction::Replace { payload } => {
                Event::Replaced { job, payload: blob.append(payload) }
            }
        };
        self.events.push(event);
    }

    pub(super) fn held(&self, job: JobSeq, hold: &Hold<'_>, blob: &mut impl BlobSink) -> Event {
        let until = match hold.then {
            HoldEnd::Stay => Micros(0),
            HoldEnd::Approve | HoldEnd::Cancel => self.now.plus_ms(hold.timeout_ms),
        };
        let (reason, by) = (blob.append(hold.reason), blob.append(hold.by.as_bytes()));
        Event::Held { job, until, then: hold.then, reason, by }
    }

    fn checkpoint_of(&self, job: u64) -> EventSeq {
        let number = self.state.number_of(job);
        number.map_or(EventSeq(0), |at| self.state.side(self.state.tracked.get(at)).checkpoint)
    }

    fn last_error(&self, job: u64) -> EventSeq {
        let number = self.state.number_of(job);
        number.map_or(EventSeq(0), |at| self.state.side(self.state.tracked.get(at)).error)
    }
}
