//! What each event of every day's work does.

use std::sync::Arc;

use jobbie_proto::event::{
    Blob, Class, EnqueuedJob, Event, ExtendedJob, FailOutcome, Group, LeasedJob, Tie,
};
use jobbie_proto::reply::JobState;
use jobbie_proto::{JobSeq, Micros, SessionId};

use super::{Folding, Session, Touched};
use crate::error::Result;
use crate::public::Kind;
use crate::record::{Rare, Record, group};

/// Places in the row of a minute.
pub(super) const ENQUEUED: usize = 0;
pub(super) const COMPLETED: usize = 1;
pub(super) const FAILED: usize = 2;

/// A job that comes into being.
pub(super) struct Made<'a> {
    pub(super) payload: &'a [u8],
    pub(super) tags: &'a [u8],
    pub(super) due: Micros,
    pub(super) limit_key: &'a str,
}

impl Folding<'_> {
    pub(super) fn group(&mut self, group: &Group) -> Result<()> {
        self.arrived.clear();
        for event in &group.events {
            match event {
                Event::Tied(tie) => {
                    if let Tie::Arrived(arrived) = &**tie {
                        self.arrived.push(arrived.job);
                    }
                }
                // Its host is told of jobs that it got just before.
                Event::WorkerSeen(seen) => self.note_worker(seen),
                _ => {}
            }
        }
        group.events.iter().try_for_each(|event| self.event(event))
    }

    fn event(&mut self, event: &Event) -> Result<()> {
        let next = self.event + event.count();
        match event {
            Event::Enqueued { class, first_job, jobs, .. } => {
                self.enqueued(class, *first_job, jobs, &[]);
            }
            Event::Limited(limited) => {
                let keys = &limited.limit_keys;
                self.enqueued(&limited.class, limited.first_job, &limited.jobs, keys);
            }
            Event::Leased { session, deadline, worker, jobs, .. } => {
                self.leased(*session, *deadline, *worker, jobs)?;
            }
            Event::Completed { jobs } => {
                for job in jobs {
                    self.completed(job.job, job.result)?;
                    self.event += 1;
                }
            }
            Event::Failed { job, attempt, outcome, error, backtrace, .. } => {
                self.failed(*job, *attempt, *outcome, [*error, *backtrace])?;
            }
            Event::Extended { jobs } => {
                for job in jobs {
                    self.extended(job)?;
                    self.event += 1;
                }
            }
            Event::Released { jobs } => self.each(jobs, Self::released)?,
            Event::LeaseExpired { jobs } => self.each(jobs, Self::lease_expired)?,
            Event::Promoted { jobs } => self.each(jobs, Self::promoted)?,
            other => self.rarer(other)?,
        }
        self.event = next;
        Ok(())
    }

    /// Jobs of one event, each with its number.
    pub(super) fn each(
        &mut self,
        jobs: &[JobSeq],
        does: impl Fn(&mut Self, JobSeq) -> Result<()>,
    ) -> Result<()> {
        for job in jobs {
            does(self, *job)?;
            self.event += 1;
        }
        Ok(())
    }

    fn enqueued(
        &mut self,
        class: &Class,
        first: JobSeq,
        jobs: &[EnqueuedJob],
        limit_keys: &[String],
    ) {
        let queue = self.fold.queues.intern(&class.queue);
        let blob = self.blob;
        for (nth, job) in jobs.iter().enumerate() {
            let made = Made {
                payload: job.payload.of(blob),
                tags: job.tags.of(blob),
                due: job.due,
                limit_key: limit_keys.get(nth).map_or("", String::as_str),
            };
            self.make(first.plus(nth as u64), queue, class, &made);
            self.event += 1;
        }
    }

    pub(super) fn make(&mut self, job: JobSeq, queue: u32, class: &Class, made: &Made<'_>) {
        let record = self.record(job, queue, class, made, self.time);
        let id = record.id();
        let touched = Touched { record, changed: 0, stored: None, gone: false };
        self.fold.jobs.insert(touched);
        if self.arrived.is_empty() || !self.arrived.contains(&job) {
            self.minute(ENQUEUED);
            self.publish(Kind::Enqueued, Some(id), queue, b"");
        }
    }

    /// A job as it is made.
    pub(super) fn record(
        &self,
        job: JobSeq,
        queue: u32,
        class: &Class,
        made: &Made<'_>,
        created: u64,
    ) -> Record {
        let expires = match class.expire_after_ms {
            0 => 0,
            after => Micros(created / 1000 * 1000).plus_ms(after).0,
        };
        let rare = (!made.limit_key.is_empty())
            .then(|| Box::new(Rare { limit_key: made.limit_key.to_owned(), ..Rare::default() }));
        let none = &self.fold.empty;
        let state = if made.due.0 == 0 { JobState::Pending } else { JobState::Scheduled };
        Record {
            key: self.key(job),
            created,
            queue,
            state,
            priority: class.priority,
            attempt: 0,
            max_retries: class.max_retries,
            backoff: class.backoff,
            backoff_base_ms: class.backoff_base_ms,
            backoff_cap_ms: class.backoff_cap_ms,
            record: self.event,
            worker: Arc::clone(none),
            host: Arc::clone(none),
            session: 0,
            token: 0,
            started: 0,
            lease_expires: 0,
            scheduled: made.due.0,
            expires,
            completed: 0,
            failed: 0,
            cancelled: 0,
            errors: 0,
            rare,
            progress: Vec::new(),
            checkpoint: Vec::new(),
            result: Vec::new(),
            tags: made.tags.to_vec(),
            payload: made.payload.to_vec(),
        }
    }

    fn leased(
        &mut self,
        session: SessionId,
        deadline: Micros,
        worker: Blob,
        jobs: &[LeasedJob],
    ) -> Result<()> {
        let (worker, host) = self.worker_of(session, worker);
        for leased in jobs {
            let (time, token) = (self.time, self.event);
            let brief = self.change(leased.job, |record| {
                record.state = JobState::Active;
                record.attempt = leased.attempt;
                record.worker = Arc::clone(&worker);
                record.host = Arc::clone(&host);
                (record.session, record.token) = (session.0, token);
                (record.started, record.lease_expires) = (time, deadline.0);
                group::STATE | group::ATTEMPT | group::WORKER | group::LEASE
            })?;
            self.publish_job(Kind::Started, brief, b"");
            self.event += 1;
        }
        Ok(())
    }

    /// Name and host of a worker.
    fn worker_of(&self, session: SessionId, worker: Blob) -> (Arc<str>, Arc<str>) {
        let known = self.fold.sessions.get(&(self.shard.0, session.0));
        let none = &self.fold.empty;
        let (own, host) = known.map_or((none, none), |Session { name, host, .. }| (name, host));
        let name = if worker.is_empty() {
            Arc::clone(own)
        } else {
            String::from_utf8_lossy(worker.of(self.blob)).into()
        };
        if self.fold.workers.is_empty() {
            return (name, Arc::clone(host));
        }
        let host =
            self.fold.workers.get(&(self.shard.0, session.0, name.to_string())).unwrap_or(host);
        (name, Arc::clone(host))
    }

    pub(super) fn completed(&mut self, job: JobSeq, result: Blob) -> Result<()> {
        let (time, result) = (self.time, result.of(self.blob));
        let brief = self.change(job, |record| {
            let mut changed = record.ends() | group::STATE | group::COMPLETED;
            (record.state, record.completed) = (JobState::Completed, time);
            if !result.is_empty() {
                record.result = result.to_vec();
                changed |= group::RESULT;
            }
            if let Some(rare) = &mut record.rare {
                rare.hold_reason.clear();
                changed |= group::REST;
            }
            changed
        })?;
        if brief.is_some() {
            self.minute(COMPLETED);
        }
        self.publish_job(Kind::Completed, brief, b"");
        Ok(())
    }

    fn failed(
        &mut self,
        job: JobSeq,
        attempt: u32,
        outcome: FailOutcome,
        [error, backtrace]: [Blob; 2],
    ) -> Result<()> {
        let brief = self.change(job, |record| match outcome {
            FailOutcome::Retrying(due) => {
                let lease = record.ends_lease();
                (record.state, record.scheduled) = (JobState::Retrying, due.0);
                lease | group::STATE | group::SCHEDULED | record.leaves_if_noted()
            }
            FailOutcome::Dead => record.dies(),
        })?;
        self.error(job, attempt, error.of(self.blob), backtrace.of(self.blob))?;
        if brief.is_some() {
            self.minute(FAILED);
        }
        self.publish_job(Kind::Failed, brief, b"");
        if outcome == FailOutcome::Dead {
            self.publish_job(Kind::Dead, brief, b"");
        }
        Ok(())
    }

    fn extended(&mut self, job: &ExtendedJob) -> Result<()> {
        let (progress, checkpoint) = (job.progress.of(self.blob), job.checkpoint.of(self.blob));
        let brief = self.change(job.job, |record| {
            let mut changed = group::LEASE;
            record.lease_expires = record.lease_expires.max(job.deadline.0);
            if !progress.is_empty() {
                record.progress = progress.to_vec();
                changed |= group::PROGRESS;
            }
            if !checkpoint.is_empty() {
                record.checkpoint = checkpoint.to_vec();
                changed |= group::CHECKPOINT;
            }
            changed
        })?;
        if !progress.is_empty() {
            self.publish_job(Kind::Progress, brief, progress);
        }
        Ok(())
    }

    fn released(&mut self, job: JobSeq) -> Result<()> {
        let brief = self.change(job, |record| {
            record.attempt = record.attempt.saturating_sub(1);
            record.waits() | group::ATTEMPT | record.leaves_if_noted()
        })?;
        self.publish_job(Kind::Reclaimed, brief, br#"{"released":true}"#);
        Ok(())
    }

    fn lease_expired(&mut self, job: JobSeq) -> Result<()> {
        let brief = self.change(job, |record| record.waits() | record.leaves_if_noted())?;
        self.publish_job(Kind::Reclaimed, brief, b"");
        Ok(())
    }

    fn promoted(&mut self, job: JobSeq) -> Result<()> {
        let brief = self.change(job, Record::waits)?;
        self.publish_job(Kind::Promoted, brief, b"");
        Ok(())
    }
}
