//! What each event does that is not of every day's work.

use std::sync::Arc;

use jobbie_proto::agent::AgentStatus;
use jobbie_proto::event::{
    AppendedEvent, ArrivedJob, Blob, Class, Event, Iteration, OverrunAt, Rule, SeenWorker,
    SetSchedule, Task,
};
use jobbie_proto::plan::Effect;
use jobbie_proto::reply::JobState;
use jobbie_proto::rules::OnExceed;
use jobbie_proto::{JobSeq, Micros, SessionId, placement};

use super::events::Made;
use super::{Definition, Folding, Session};
use crate::error::Result;
use crate::public::Kind;
use crate::record::{Record, group};

impl Folding<'_> {
    pub(super) fn rarer(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Tied(tie) => self.tied(tie),
            Event::Expired { jobs } => self.each(jobs, Self::expired),
            Event::PlanTimedOut { jobs } => self.each(jobs, Self::plan_timed_out),
            Event::Cancelled { jobs } => self.each(jobs, Self::cancelled),
            Event::Deleted { jobs } => self.each(jobs, Self::deleted),
            Event::Purged { jobs } => self.each(jobs, Self::purged),
            Event::Retried { jobs } => self.each(jobs, Self::retried),
            Event::Requeued { jobs } => self.each(jobs, Self::requeued),
            Event::Prioritized { jobs, priority } => {
                self.each(jobs, |folding, job| folding.prioritized(job, *priority))
            }
            Event::UniqueTaken { jobs } => {
                for taken in jobs {
                    let key = taken.key.of(self.blob);
                    self.change(taken.job, |record| {
                        record.rare().unique_key = key.to_vec();
                        group::REST
                    })?;
                    self.event += 1;
                }
                Ok(())
            }
            Event::Quarantined { jobs } => {
                for job in jobs {
                    let brief = self.change(job.job, Record::dies)?;
                    self.error(job.job, job.attempt, job.error.of(self.blob), b"")?;
                    self.publish_job(Kind::Reclaimed, brief, b"");
                    self.publish_job(Kind::Dead, brief, b"");
                    self.event += 1;
                }
                Ok(())
            }
            Event::Held { job, reason, .. } => self.held(*job, reason.of(self.blob)),
            Event::Approved { job, .. } => {
                let brief = self.change(*job, Record::goes_on_held)?;
                self.publish_job(Kind::Approved, brief, b"");
                Ok(())
            }
            Event::Rejected { job, reason, .. } => self.rejected(*job, *reason),
            Event::Moved { job, queue } => self.moved(*job, queue),
            Event::Replaced { job, payload } => {
                let payload = payload.of(self.blob);
                let brief = self.change(*job, |record| {
                    record.payload = payload.to_vec();
                    group::PAYLOAD
                })?;
                self.publish_job(Kind::Replaced, brief, b"");
                Ok(())
            }
            Event::Planned(planned) => {
                self.change(planned.job, |record| {
                    record.rare().planned = true;
                    record.goes_on() | group::REST
                })?;
                Ok(())
            }
            Event::Appended(appended) => self.appended(appended),
            Event::UsageReported(used) => {
                self.change(used.job, |record| {
                    let rare = record.rare();
                    rare.cost = rare.cost.saturating_add(used.amounts.cost_micros);
                    group::REST
                })?;
                Ok(())
            }
            Event::AgentEnqueued(agent) => {
                let checkpoint = agent.checkpoint.of(self.blob);
                self.change(agent.job, |record| {
                    let rare = record.rare();
                    (rare.iteration, rare.limits) = (1, agent.limits);
                    record.checks(checkpoint) | group::REST
                })?;
                Ok(())
            }
            Event::Iterated(iteration) => self.iterated(iteration),
            Event::Revised(revised) => {
                let checkpoint = revised.checkpoint.of(self.blob);
                let brief = self.change(revised.job, |record| {
                    record.goes_on_held() | record.checks(checkpoint)
                })?;
                self.publish_job(Kind::Approved, brief, br#"{"revised":true}"#);
                Ok(())
            }
            Event::Ruled(rule) => self.ruled(rule),
            Event::Archived(archived) => self.archived(archived),
            other => {
                self.nobodys(other);
                Ok(())
            }
        }
    }

    /// Events that are about no job, and those of schedules.
    fn nobodys(&mut self, event: &Event) {
        match event {
            Event::SessionOpened { name, host, .. } => {
                let text = |blob: &Blob| String::from_utf8_lossy(blob.of(self.blob)).into();
                let (name, host) = (text(name), text(host));
                let key = (self.shard.0, self.event);
                self.fold.sessions.insert(key, Session { name, host, extensions: Vec::new() });
                self.fold.changed_sessions.insert(key);
            }
            Event::SessionClosed { session } => {
                let key = (self.shard.0, session.0);
                self.fold.sessions.remove(&key);
                self.fold.changed_sessions.insert(key);
            }
            Event::SessionExtended { session, deadline } => {
                self.session_extended(*session, *deadline);
            }
            Event::WorkerSeen(seen) => self.worker_seen(seen),
            Event::WorkersForgotten { workers } => {
                for worker in workers {
                    let key = (self.shard.0, worker.session.0, worker.name.clone());
                    self.fold.workers.remove(&key);
                    self.fold.changed_workers.insert(key);
                }
            }
            Event::QueuePaused { queue } | Event::QueueDrained { queue } => {
                self.publish_queue(Kind::QueuePaused, queue, b"");
            }
            Event::QueueResumed { queue } => self.publish_queue(Kind::QueueResumed, queue, b""),
            Event::OperationStarted(started) => match &started.task {
                Task::Clear { queue } => self.publish_queue(Kind::QueueCleared, queue, b""),
                Task::DeleteQueue { queue } => self.publish_queue(Kind::QueueDeleted, queue, b""),
                Task::Bulk { .. } => {}
            },
            Event::ScheduleSet(set) => self.schedule_set(set),
            Event::ScheduleDeleted { queue, name } => {
                let key = (self.shard.0, queue.clone(), name.clone());
                self.fold.schedules.remove(&key);
                self.fold.changed_schedules.insert(key);
            }
            Event::ScheduleFired { queue, name, job, duplicate: false, .. } => {
                self.fired(queue, name, *job);
            }
            _ => {}
        }
    }

    fn publish_queue(&mut self, kind: Kind, queue: &str, data: &[u8]) {
        let queue = self.fold.queues.intern(queue);
        self.publish(kind, None, queue, data);
    }

    fn session_extended(&mut self, session: SessionId, deadline: Micros) {
        let key = (self.shard.0, session.0);
        let Some(known) = self.fold.sessions.get_mut(&key) else { return };
        let ends = &mut known.extensions;
        while ends.last().is_some_and(|(_, end)| *end <= deadline.0) {
            ends.pop();
        }
        ends.push((self.event, deadline.0));
        self.fold.changed_sessions.insert(key);
    }

    pub(super) fn note_worker(&mut self, seen: &SeenWorker) {
        let Some(asks) = &seen.asks else { return };
        let key = (self.shard.0, seen.worker.session.0, seen.worker.name.clone());
        if self.fold.workers.insert(key.clone(), Arc::from(&*asks.host)).is_none() {
            self.new_workers.push(seen.worker.clone());
        }
        self.fold.changed_workers.insert(key);
    }

    fn worker_seen(&mut self, seen: &SeenWorker) {
        let Some(asks) = &seen.asks else { return };
        if self.new_workers.contains(&seen.worker) {
            let data = serde_json::json!({ "worker": seen.worker.name, "hostname": asks.host });
            // It is of the namespace of what it asks for.
            let queue = asks.queues.first().map_or("", String::as_str);
            self.publish_queue(Kind::WorkerRegistered, queue, data.to_string().as_bytes());
        }
    }

    fn schedule_set(&mut self, set: &SetSchedule) {
        let key = (self.shard.0, set.class.queue.clone(), set.name.clone());
        let definition = Definition {
            event: self.event,
            priority: set.class.priority,
            max_retries: set.class.max_retries,
            backoff: set.class.backoff,
            backoff_base_ms: set.class.backoff_base_ms,
            backoff_cap_ms: set.class.backoff_cap_ms,
            expire_after_ms: set.class.expire_after_ms,
            limit_key: set.limit_key.clone(),
            payload: set.payload.of(self.blob).to_vec(),
            tags: set.tags.of(self.blob).to_vec(),
        };
        self.fold.schedules.insert(key.clone(), definition);
        self.fold.changed_schedules.insert(key);
    }

    /// A schedule makes a job. If the log has given up its definition, the job is told of without what it carries.
    fn fired(&mut self, queue: &str, name: &str, job: JobSeq) {
        let key = (self.shard.0, queue.to_owned(), name.to_owned());
        let Some(definition) = self.fold.schedules.get(&key).cloned() else { return };
        let class = Class {
            queue: queue.to_owned(),
            priority: definition.priority,
            max_retries: definition.max_retries,
            backoff: definition.backoff,
            backoff_base_ms: definition.backoff_base_ms,
            backoff_cap_ms: definition.backoff_cap_ms,
            expire_after_ms: definition.expire_after_ms,
        };
        let made = Made {
            payload: &definition.payload,
            tags: &definition.tags,
            due: Micros(0),
            limit_key: &definition.limit_key,
        };
        let queue = self.fold.queues.intern(queue);
        self.make(job, queue, &class, &made);
    }

    fn expired(&mut self, job: JobSeq) -> Result<()> {
        let brief = self.change(job, Record::dies)?;
        self.error(job, 0, b"job expired", b"")?;
        self.publish_job(Kind::Expired, brief, b"");
        self.publish_job(Kind::Dead, brief, b"");
        Ok(())
    }

    fn plan_timed_out(&mut self, job: JobSeq) -> Result<()> {
        let brief = self.change(job, Record::dies)?;
        self.error(job, 0, b"plan timed out", b"")?;
        self.publish_job(Kind::Dead, brief, b"");
        Ok(())
    }

    fn cancelled(&mut self, job: JobSeq) -> Result<()> {
        let time = self.time;
        let brief = self.change(job, |record| record.cancel(time))?;
        self.publish_job(Kind::Cancelled, brief, b"");
        Ok(())
    }

    pub(super) fn deleted(&mut self, job: JobSeq) -> Result<()> {
        let brief = self.remove(job)?;
        self.publish_job(Kind::Deleted, brief, b"");
        Ok(())
    }

    fn purged(&mut self, job: JobSeq) -> Result<()> {
        let brief = self.remove(job)?;
        self.publish_job(Kind::Purged, brief, b"");
        Ok(())
    }

    fn retried(&mut self, job: JobSeq) -> Result<()> {
        let none = Arc::clone(&self.fold.empty);
        let brief = self.change(job, |record| {
            let mut changed = record.ends() | record.goes_on();
            record.attempt = 0;
            (record.completed, record.failed, record.cancelled) = (0, 0, 0);
            (record.worker, record.host) = (Arc::clone(&none), none);
            changed |= group::ATTEMPT | group::COMPLETED | group::FAILED | group::WORKER;
            changed
        })?;
        self.publish_job(Kind::Retried, brief, b"");
        Ok(())
    }

    fn requeued(&mut self, job: JobSeq) -> Result<()> {
        let none = Arc::clone(&self.fold.empty);
        let brief = self.change(job, |record| {
            record.failed = 0;
            (record.worker, record.host) = (Arc::clone(&none), none);
            record.goes_on() | group::FAILED | group::WORKER
        })?;
        self.publish_job(Kind::Requeued, brief, b"");
        Ok(())
    }

    fn prioritized(&mut self, job: JobSeq, priority: u8) -> Result<()> {
        let brief = self.change(job, |record| {
            record.priority = priority;
            group::PRIORITY
        })?;
        let data = format!(r#"{{"priority":{priority}}}"#);
        self.publish_job(Kind::PriorityChanged, brief, data.as_bytes());
        Ok(())
    }

    pub(super) fn held(&mut self, job: JobSeq, reason: &[u8]) -> Result<()> {
        let brief = self.change(job, |record| {
            let mut changed = record.hold(reason);
            // Its time is forgotten.
            record.rare().awaits_due = 0;
            changed |= record.leaves_if_noted();
            changed
        })?;
        self.publish_job(Kind::Held, brief, b"");
        Ok(())
    }

    fn rejected(&mut self, job: JobSeq, reason: Blob) -> Result<()> {
        let brief = self.change(job, Record::dies)?;
        let reason: &[u8] = if reason.is_empty() { b"rejected" } else { reason.of(self.blob) };
        self.error(job, 0, reason, b"")?;
        self.publish_job(Kind::Rejected, brief, b"");
        Ok(())
    }

    fn moved(&mut self, job: JobSeq, queue: &str) -> Result<()> {
        let here = placement::shard_of(queue, self.fold.shards) == self.shard;
        let to = self.fold.queues.intern(queue);
        let brief = self.change(job, |record| {
            if here {
                record.queue = to;
                let Some(rare) = &mut record.rare else { return group::QUEUE };
                rare.leaving.clear();
                group::QUEUE | group::REST
            } else if record.state == JobState::Active {
                record.rare().leaving = queue.to_owned();
                group::REST
            } else {
                record.departs()
            }
        })?;
        let data = serde_json::json!({ "queue": queue }).to_string();
        self.publish_job(Kind::Moved, brief, data.as_bytes());
        Ok(())
    }

    fn appended(&mut self, appended: &AppendedEvent) -> Result<()> {
        match appended.effect {
            Effect::Completed => self.completed(appended.job, Blob::default()),
            Effect::Failed => {
                let brief = self.change(appended.job, Record::dies)?;
                self.error(appended.job, 0, appended.error.of(self.blob), b"")?;
                self.publish_job(Kind::Dead, brief, b"");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// An iteration of an agent job is over. If that was the last one, an event behind this completes the job.
    fn iterated(&mut self, iteration: &Iteration) -> Result<()> {
        let of = |blob: Blob| blob.of(self.blob);
        let (checkpoint, result) = (of(iteration.checkpoint), of(iteration.result));
        let reason = of(iteration.reason);
        let brief = self.change(iteration.job, |record| {
            let mut changed = record.checks(checkpoint) | group::REST;
            if !result.is_empty() {
                record.result = result.to_vec();
                changed |= group::RESULT;
            }
            record.rare().iteration = iteration.next;
            changed |= match iteration.status {
                AgentStatus::Done => 0,
                AgentStatus::Continue => {
                    record.rare().hold_reason.clear();
                    record.attempt = 0;
                    record.waits() | group::ATTEMPT | record.leaves_if_noted()
                }
                AgentStatus::Hold => record.hold(reason) | record.leaves_if_noted(),
            };
            changed
        })?;
        match iteration.status {
            AgentStatus::Done => {}
            AgentStatus::Continue => self.publish_job(Kind::Continued, brief, b""),
            AgentStatus::Hold => self.publish_job(Kind::Held, brief, b""),
        }
        Ok(())
    }

    fn ruled(&mut self, rule: &Rule) -> Result<()> {
        match rule {
            Rule::Exceeded { held: Some(job), .. } => self.hold_for_budget(*job, rule.reason()),
            Rule::Overrun { job, at, on_exceed, .. } => match (at, on_exceed) {
                (OverrunAt::Ack, _) | (OverrunAt::Heartbeat, OnExceed::Hold) => {
                    self.hold_for_budget(*job, rule.reason())
                }
                (OverrunAt::Heartbeat, OnExceed::Reject) => self.cancelled(*job),
                (OverrunAt::Heartbeat, OnExceed::AlertOnly) => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn hold_for_budget(&mut self, job: JobSeq, reason: &str) -> Result<()> {
        let held = |record: &mut Record| record.hold(reason.as_bytes()) | record.leaves_if_noted();
        let brief = self.change(job, held)?;
        self.publish_job(Kind::Held, brief, b"");
        Ok(())
    }

    /// What a job that came takes along.
    pub(super) fn carried(record: &mut Record, arrived: &ArrivedJob, blob: &[u8]) -> u16 {
        let mut changed = record.checks(arrived.checkpoint.of(blob));
        if !arrived.progress.is_empty() {
            record.progress = arrived.progress.of(blob).to_vec();
            changed |= group::PROGRESS;
        }
        let rare = record.rare();
        rare.cost = arrived.cost_micros;
        (rare.iteration, rare.limits) = (arrived.iteration, arrived.limits);
        rare.hold_reason = String::from_utf8_lossy(arrived.hold_reason.of(blob)).into_owned();
        changed | group::REST
    }
}

impl Record {
    /// It has a newer checkpoint, if there is any.
    pub(super) fn checks(&mut self, checkpoint: &[u8]) -> u16 {
        if checkpoint.is_empty() {
            return 0;
        }
        self.checkpoint = checkpoint.to_vec();
        group::CHECKPOINT
    }
}
