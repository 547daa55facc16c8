//! What workers say of their jobs, and operators of any.

use jobbie_proto::event::{
    Asked, BackoffKind, Class, CompletedJob, Event, ExtendedJob, FailOutcome, Late, OverrunAt,
};
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{Fail, Heartbeat, JobRef, QueueAction, QueueControl, ReportUsage};
use jobbie_proto::usage::UsagePhase;
use jobbie_proto::{Code, JobId, Request, SessionId};

use super::BlobSink;
use super::agents::AgentCursor;
use super::draft::{After, Arrival, Draft};
use super::usage::UsageCursor;

/// Milliseconds from the failure of `attempt` (from 1) to the next one.
pub(crate) fn backoff_ms(class: &Class, attempt: u32) -> u64 {
    let base = u64::from(class.backoff_base_ms);
    let delay = match class.backoff {
        BackoffKind::None => 0,
        BackoffKind::Fixed => base,
        BackoffKind::Linear => base * u64::from(attempt),
        BackoffKind::Exponential => {
            let doubled = 1_u64.checked_shl(attempt.saturating_sub(1)).unwrap_or(u64::MAX);
            base.saturating_mul(doubled)
        }
    };
    match class.backoff_cap_ms {
        0 => delay,
        cap => delay.min(u64::from(cap)),
    }
}

impl Draft<'_> {
    fn ignore(&mut self, job: JobRef, late: Late, code: Code) {
        self.events.push(Event::Ignored { job: job.job.seq(), token: job.token, late, code });
    }

    pub(super) fn acks(&mut self, request: &Request<'_>, blob: &mut impl BlobSink) {
        let acks = &request.acks;
        let mut usages = UsageCursor::new(&request.ack_usages);
        let mut agent_acks = AgentCursor::new(&request.agent_acks);
        for (at, ack) in acks.iter().enumerate() {
            let (usage, said) = (usages.of(at), agent_acks.of(at));
            let lease = match self.lease(ack.job.job, ack.job.token) {
                Ok(lease) => lease,
                Err(code) => {
                    self.ignore(ack.job, Late::Ack, code);
                    continue;
                }
            };
            let is_agent = self.state.agents.get(lease.job).is_some();
            if said.is_some() && !is_agent {
                self.ignore(ack.job, Late::Ack, Code::NotAgent);
                continue;
            }
            if let Some(usage) = usage {
                self.report_usage(&lease, UsagePhase::Ack, usage);
            }
            // What becomes of the job is decided from here on. What makes an active job anything but completed by an
            // ack (a budget, a policy) is asked here, with its usage told already.
            if usage.is_some()
                && let Some(overrun) = self.overrun(lease.job, OverrunAt::Ack)
            {
                if crate::mutant!(RefusedAckForgetsUsage) {
                    self.events.pop();
                }
                let after = self.given_back(lease.job, JobState::Held);
                self.touch(lease.job, After::In(after));
                self.events.push(overrun.into());
                continue;
            }
            if is_agent {
                self.iterate(&lease, ack, said, usage, blob);
                continue;
            }
            self.touch(lease.job, After::Gone);
            let done = CompletedJob { job: ack.job.job.seq(), result: blob.append(ack.result) };
            if let Some(Event::Completed { jobs }) = self.events.last_mut() {
                jobs.push(done);
            } else {
                let mut jobs = Vec::with_capacity((acks.len() - at).min(64));
                jobs.push(done);
                self.events.push(Event::Completed { jobs });
            }
        }
    }

    pub(super) fn fails(&mut self, fails: &[Fail<'_>], blob: &mut impl BlobSink) {
        for fail in fails {
            let lease = match self.lease(fail.job.job, fail.job.token) {
                Ok(lease) => lease,
                Err(code) => {
                    self.ignore(fail.job, Late::Fail, code);
                    continue;
                }
            };
            let tracked = self.state.tracked.get(lease.number);
            let class = &self.state.classes.get(tracked.class).class;
            let attempt = tracked.attempt;
            let (outcome, after) = if attempt < class.max_retries && !fail.no_retry {
                let due = self.now.plus_ms(backoff_ms(class, attempt));
                let after = self.given_back(lease.job, JobState::Retrying);
                (FailOutcome::Retrying(due), after)
            } else {
                (FailOutcome::Dead, JobState::Dead)
            };
            self.touch(lease.job, After::In(after));
            self.events.push(Event::Failed {
                job: fail.job.job.seq(),
                attempt,
                outcome,
                error: blob.append(fail.error),
                backtrace: blob.append(fail.backtrace),
                previous: self.state.side(tracked).error,
            });
        }
    }

    pub(super) fn heartbeats(
        &mut self,
        heartbeats: &[Heartbeat<'_>],
        usages: &[ReportUsage<'_>],
        blob: &mut impl BlobSink,
    ) {
        let mut usages = UsageCursor::new(usages);
        for (at, heartbeat) in heartbeats.iter().enumerate() {
            let usage = usages.of(at);
            let lease = match self.lease(heartbeat.job.job, heartbeat.job.token) {
                Ok(lease) => lease,
                Err(code) => {
                    self.ignore(heartbeat.job, Late::Heartbeat, code);
                    continue;
                }
            };
            if let Some(usage) = usage {
                self.report_usage(&lease, UsagePhase::Heartbeat, usage);
            }
            let extend_ms = match heartbeat.extend_ms {
                0 => lease.lease_ms,
                ms => ms,
            };
            let mut deadline = self.now.plus_ms(u64::from(extend_ms));
            deadline.0 = deadline.0.max(lease.deadline);
            self.touch(lease.job, After::Until(deadline.0));
            let extended = ExtendedJob {
                job: heartbeat.job.job.seq(),
                deadline,
                progress: blob.append(heartbeat.progress),
                checkpoint: blob.append(heartbeat.checkpoint),
            };
            if let Some(Event::Extended { jobs }) = self.events.last_mut() {
                jobs.push(extended);
            } else {
                self.events.push(Event::Extended { jobs: vec![extended] });
            }
            // As for acks: what takes the job away from its worker is asked here.
            if let Some(overrun) = self.overrun(lease.job, OverrunAt::Heartbeat) {
                self.overran(lease.job, overrun);
            }
        }
    }

    pub(super) fn extend_session(&mut self, session: SessionId, extend_ms: u32) {
        if extend_ms > 0 {
            let deadline = self.now.plus_ms(u64::from(extend_ms));
            self.events.push(Event::SessionExtended { session, deadline });
        }
    }

    pub(super) fn releases(&mut self, releases: &[JobRef]) {
        for &release in releases {
            let lease = match self.lease(release.job, release.token) {
                Ok(lease) => lease,
                Err(code) => {
                    self.ignore(release, Late::Release, code);
                    continue;
                }
            };
            let after = self.given_back(lease.job, JobState::Pending);
            self.touch(lease.job, After::In(after));
            let tracked = self.state.tracked.get(lease.number);
            let class = &*self.state.classes.get(tracked.class).class;
            if let Some(arrivals) = &mut self.arrivals
                && after == JobState::Pending
            {
                let (queue, tier) = (&*class.queue, class.priority);
                arrivals.push(Arrival { queue, tier, job: lease.job, attempt: tracked.attempt });
            }
            self.push_job(lease.job, |jobs| Event::Released { jobs });
        }
    }

    pub(super) fn cancels(&mut self, cancels: &[JobId]) {
        for &job in cancels {
            let found = self.find(job).and_then(|(seq, state)| match state {
                JobState::Completed | JobState::Dead | JobState::Cancelled => {
                    Err(Code::IllegalState)
                }
                _ => Ok(seq),
            });
            match found {
                Ok(seq) => {
                    self.touch(seq, After::In(JobState::Cancelled));
                    self.push_job(seq, |jobs| Event::Cancelled { jobs });
                }
                Err(code) => {
                    let (job, asked) = (job.seq(), Asked::Cancel);
                    self.events.push(Event::Refused { job, asked, code });
                }
            }
        }
    }

    pub(super) fn deletes(&mut self, deletes: &[JobId]) {
        for &job in deletes {
            match self.find(job) {
                Ok((seq, _)) => {
                    self.touch(seq, After::Gone);
                    self.push_job(seq, |jobs| Event::Deleted { jobs });
                }
                Err(code) => {
                    let (job, asked) = (job.seq(), Asked::Delete);
                    self.events.push(Event::Refused { job, asked, code });
                }
            }
        }
    }
}

impl<'a> Draft<'a> {
    pub(super) fn queue_controls(&mut self, controls: &[QueueControl<'a>]) {
        for control in controls {
            let queue = control.queue.to_owned();
            let (event, paused) = match control.action {
                QueueAction::Pause => (Event::QueuePaused { queue }, Some(true)),
                QueueAction::Resume => (Event::QueueResumed { queue }, Some(false)),
                QueueAction::Drain => (Event::QueueDrained { queue }, Some(true)),
                QueueAction::Configure(settings) => {
                    (Event::QueueConfigured { queue, settings }, None)
                }
                QueueAction::Weigh { key, weight } => {
                    (Event::KeyWeighed { queue, key: key.to_owned(), weight }, None)
                }
            };
            self.paused.extend(paused.map(|paused| (control.queue, paused)));
            self.events.push(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_follows_the_published_vectors() {
        use BackoffKind::{Exponential, Fixed, Linear, None};
        let vectors = [
            (Fixed, 1, 5_000),
            (Fixed, 3, 5_000),
            (Linear, 1, 5_000),
            (Linear, 3, 15_000),
            (Exponential, 1, 5_000),
            (Exponential, 2, 10_000),
            (Exponential, 3, 20_000),
            (Exponential, 10, 600_000),
            (Exponential, 64, 600_000),
            (Exponential, 65, 600_000),
            (Exponential, u32::MAX, 600_000),
            (Linear, u32::MAX, 600_000),
            (None, 7, 0),
        ];
        for (backoff, attempt, delay) in vectors {
            let class = Class {
                queue: "q".into(),
                priority: 0,
                max_retries: 9,
                backoff,
                backoff_base_ms: 5_000,
                backoff_cap_ms: 600_000,
                expire_after_ms: 0,
            };
            assert_eq!(backoff_ms(&class, attempt), delay, "{backoff:?} {attempt}");
            let uncapped = Class { backoff_cap_ms: 0, ..class };
            assert!(backoff_ms(&uncapped, attempt) >= delay);
        }
    }
}
