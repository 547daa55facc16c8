//! One committed group after the other; every step is checked before it is taken.

use std::collections::BTreeSet;

use jobbie_proto::event::{
    Asked, Class, EnqueuedJob, Event, FailOutcome, HoldEnd, KeyTaken, Late, LimitedJobs,
};
use jobbie_proto::reply::{Failed, JobState};
use jobbie_proto::request::{Enqueue, JobRef};
use jobbie_proto::{Code, JobId, JobSeq, Micros};

use super::operations::step_of;
use super::{Fact, Granted, Job, Key, Model, Outcome, Session, class_of, content_of};
use crate::check::{
    agents, budgets, limits, overruns, r08_events, r09_once, r10_one_state, r11_leases,
    r12_lease_ends, r13_attempts, r14_order, usage, violated,
};

/// States out of which a job may be cancelled or expire.
const UNFINISHED: [JobState; 6] = [
    JobState::Pending,
    JobState::Scheduled,
    JobState::Active,
    JobState::Retrying,
    JobState::Held,
    JobState::Planned,
];

/// What a job is made of.
pub(super) struct Made<'a> {
    pub(super) class: &'a Class,
    pub(super) payload: &'a [u8],
    pub(super) tags: &'a [u8],
    pub(super) limit_key: &'a str,
    pub(super) due: u64,
}

/// What a group has done so far.
pub(super) struct Step<'a> {
    pub(super) fact: &'a Fact<'a>,
    pub(super) outcome: Outcome,
    /// Enqueues of the request that were dealt with.
    enqueues: usize,
    /// The first job that the group makes.
    pub(super) new_from: u64,
    /// The operation whose step the group is.
    pub(super) operation: Option<u64>,
    /// Jobs whose acks have said what they used.
    pub(super) counted: BTreeSet<u64>,
    /// The agent job that the event before said is done.
    pub(super) iterated: Option<u64>,
}

impl<'a> Step<'a> {
    /// Whether time alone did it.
    pub(super) fn is_of_time(&self) -> bool {
        self.fact.request.is_none() && self.operation.is_none()
    }

    /// What the next new job was asked for; `None` when another job made it.
    fn next_enqueue(&mut self) -> Option<&'a Enqueue<'a>> {
        let request = self.fact.request?;
        self.enqueues += 1;
        match request.enqueues.get(self.enqueues - 1) {
            Some(enqueue) => Some(enqueue),
            None => violated!("r09", "request {} enqueued more than it asked", request.number),
        }
    }
}

impl Model {
    pub(crate) fn absorb(&mut self, fact: &Fact<'_>) {
        r12_lease_ends::group(self, fact);
        r09_once::group(self, fact);
        self.time = fact.time;
        self.note_closed();
        let new_from = self.jobs.len() as u64 + 1;
        let operation = step_of(fact.group);
        let outcome = Outcome::default();
        let counted = BTreeSet::new();
        let mut step =
            Step { fact, outcome, enqueues: 0, new_from, operation, counted, iterated: None };
        for event in &fact.group.events {
            operation.into_iter().for_each(|operation| self.stepped(operation, event));
            self.event(event, &mut step);
        }
        r08_events::counted(self.next_event, fact.number + fact.group.count());
        let (session, number) = (fact.group.session.0, fact.group.number);
        let Some(session) = self.sessions.get_mut(&session) else { return };
        if number != 0 {
            session.done.insert(number, step.outcome);
        }
        session.confirmed_below = session.confirmed_below.max(fact.group.confirmed_below);
        session.done = session.done.split_off(&session.confirmed_below);
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next_event += 1;
        self.next_event - 1
    }

    fn event(&mut self, event: &Event, step: &mut Step<'_>) {
        let fact = step.fact;
        match event {
            Event::SessionOpened { client, .. } => {
                let session = self.number();
                if self.sessions.values().any(|session| session.client == *client) {
                    violated!("r09", "client {client:x} has two sessions");
                }
                let opened =
                    Session { client: *client, confirmed_below: 0, done: Default::default() };
                self.sessions.insert(session, opened);
                self.sessions_ever.insert(session);
            }
            Event::SessionClosed { session } => {
                self.number();
                assert!(self.sessions.remove(&session.0).is_some(), "a session closed twice");
            }
            Event::Enqueued { class, first_job, jobs, keys } => {
                self.enqueued(class, first_job.0, jobs, keys, None, step);
            }
            Event::Limited(limited) => {
                let LimitedJobs { class, first_job, jobs, keys, limit_keys } = &**limited;
                self.laned.insert(class.queue.clone());
                self.enqueued(class, first_job.0, jobs, keys, Some(limit_keys), step);
            }
            Event::Deduplicated { job, created_ms, code } => {
                self.number();
                let enqueue = step.next_enqueue().expect("only requests are repeated");
                r09_once::deduplicated(self, fact.time, enqueue, job.0, *code);
                let id = JobId::new(*created_ms, self.shard, *job);
                step.outcome.enqueued.push((*code, id, 1));
            }
            Event::Leased { session, deadline, lease_ms, jobs, .. } => {
                for leased in jobs {
                    let seq = leased.job.0;
                    self.leased(seq, leased.attempt, session.0, deadline.0, fact);
                    self.job_mut(seq).lease_ms = *lease_ms;
                    let lease = (self.job(seq).id, self.job(seq).token, deadline.0, leased.attempt);
                    step.outcome.leases.push(lease);
                }
            }
            Event::Completed { jobs } => {
                for job in jobs {
                    self.completed(job.job.0, step);
                    step.outcome.acks.push(Code::Ok);
                }
            }
            Event::Failed { job, attempt, outcome, .. } => {
                let failed = self.failed(job.0, *attempt, *outcome, fact);
                step.outcome.fails.push(failed);
            }
            Event::Extended { jobs } => {
                for job in jobs {
                    let event = self.number();
                    if job.checkpoint.len > 0 {
                        self.job_mut(job.job.0).checkpoint = event;
                    }
                    // A new leader prolongs leases by itself.
                    if let Some(request) = fact.request {
                        let asked = request.heartbeats.iter().map(|heartbeat| heartbeat.job);
                        r11_leases::takes_effect(self, job.job.0, "extended", asked);
                    }
                    let active = [JobState::Active];
                    r10_one_state::leaves(job.job.0, self.job(job.job.0), &active, "extended");
                    self.extend(job.job.0, job.deadline.0, fact);
                    step.outcome.heartbeats.push(Code::Ok);
                }
            }
            Event::SessionExtended { session, deadline } => {
                self.number();
                let theirs = |job: &Job| {
                    job.state == JobState::Active && job.session == session.0 && !job.gone
                };
                let live = self.live.iter().copied().filter(|seq| theirs(self.job(*seq)));
                let shorter: Vec<u64> =
                    live.filter(|seq| self.job(*seq).deadline < deadline.0).collect();
                shorter.into_iter().for_each(|seq| self.extend(seq, deadline.0, fact));
            }
            Event::Released { jobs } => {
                for job in jobs {
                    let event = self.number();
                    if let Some(request) = fact.request {
                        let asked = request.releases.iter().copied();
                        r11_leases::takes_effect(self, job.0, "released", asked);
                        step.outcome.releases.push(Code::Ok);
                    }
                    r10_one_state::leaves(job.0, self.job(job.0), &[JobState::Active], "released");
                    self.job_mut(job.0).attempt -= 1;
                    self.wait(job.0, event);
                    self.leave_if_noted(job.0);
                }
            }
            other => self.unasked(other, step),
        }
    }

    /// Events of timers and operators, and those without effect.
    fn unasked(&mut self, event: &Event, step: &mut Step<'_>) {
        let fact = step.fact;
        match event {
            Event::LeaseExpired { jobs } => {
                for job in jobs {
                    let event = self.number();
                    r10_one_state::leaves(job.0, self.job(job.0), &[JobState::Active], "expired");
                    r12_lease_ends::expired(job.0, self.job(job.0), fact);
                    r13_attempts::lease_expired(job.0, self.job(job.0));
                    self.job_mut(job.0).lease_expiries += 1;
                    self.wait(job.0, event);
                    self.leave_if_noted(job.0);
                }
            }
            Event::Promoted { jobs } => {
                for job in jobs {
                    let event = self.number();
                    r14_order::promoted(job.0, self.job(job.0), fact.time);
                    self.wait(job.0, event);
                }
            }
            Event::Expired { jobs } => {
                for job in jobs {
                    self.number();
                    self.expired(job.0, fact);
                }
            }
            Event::Cancelled { jobs } => {
                for job in jobs {
                    self.number();
                    r10_one_state::leaves(job.0, self.job(job.0), &UNFINISHED, "cancelled");
                    if step.is_of_time() {
                        self.hold_ended(job.0, HoldEnd::Cancel, fact.time);
                    }
                    self.set_state(job.0, JobState::Cancelled);
                    step.outcome.cancels.push(Code::Ok);
                }
            }
            Event::Deleted { jobs } => {
                for job in jobs {
                    self.number();
                    r10_one_state::leaves(job.0, self.job(job.0), &JobState::HERE, "deleted");
                    self.forget(job.0, None);
                    step.outcome.deletes.push(Code::Ok);
                }
            }
            Event::QueueConfigured { queue, settings } => {
                self.number();
                self.queues.entry(queue.clone()).or_default();
                self.configured(queue, *settings, fact.time);
            }
            Event::LimitsOpened { queues } => queues.iter().for_each(|_| {
                self.number();
            }),
            Event::QueuePaused { queue } => {
                self.number();
                self.queues.entry(queue.clone()).or_default();
                self.paused.insert(queue.clone());
            }
            Event::QueueResumed { queue } => {
                self.number();
                self.queues.entry(queue.clone()).or_default();
                self.paused.remove(queue);
            }
            Event::Ignored { late, code, .. } => {
                self.number();
                let outcome = &mut step.outcome;
                let none = Failed { code: *code, next_attempt: Micros(0), attempts_left: 0 };
                match late {
                    Late::Ack => outcome.acks.push(*code),
                    Late::Fail => outcome.fails.push(none),
                    Late::Heartbeat => outcome.heartbeats.push(*code),
                    Late::Release => outcome.releases.push(*code),
                }
            }
            Event::Refused { asked, code, .. } => {
                self.number();
                match asked {
                    Asked::Cancel => step.outcome.cancels.push(*code),
                    Asked::Delete => step.outcome.deletes.push(*code),
                    _ => step.outcome.job_controls.push(*code),
                }
            }
            Event::Tied(tie) => self.tie(tie, step),
            Event::Planned(_) | Event::Appended(_) | Event::PlanTimedOut { .. } => {
                self.plan_event(event, step);
            }
            Event::ScheduleSet(_)
            | Event::SchedulePaused { .. }
            | Event::ScheduleResumed { .. }
            | Event::ScheduleDeleted { .. }
            | Event::ScheduleFired { .. }
            | Event::ScheduleSkipped { .. } => self.schedule_event(event, step),
            Event::OperationStarted(_)
            | Event::OperationAdvanced { .. }
            | Event::OperationEnded { .. }
            | Event::OperationRefused { .. } => self.operation(event, step),
            Event::UsageReported(reported) => self.usage_reported(reported, step),
            Event::AgentEnqueued(_) | Event::Iterated(_) | Event::Revised(_) => {
                self.agent_event(event, step);
            }
            Event::Ruled(rule) => self.rule(rule, step),
            Event::WorkerSeen(seen) => self.worker_seen(seen, step.fact.time),
            Event::WorkersForgotten { workers } => {
                workers.iter().for_each(|worker| self.worker_forgotten(worker, step.fact.time));
            }
            control => self.control(control, step),
        }
    }

    fn enqueued(
        &mut self,
        class: &Class,
        first: u64,
        jobs: &[EnqueuedJob],
        keys: &[KeyTaken],
        limit_keys: Option<&[String]>,
        step: &mut Step<'_>,
    ) {
        let fact = step.fact;
        let created_ms = fact.time / 1000;
        let id = |seq| JobId::new(created_ms, self.shard, JobSeq(seq));
        step.outcome.enqueued.push((Code::Ok, id(first), jobs.len() as u32));
        let mut keys = keys.iter().peekable();
        for (nth, job) in jobs.iter().enumerate() {
            let (seq, event) = (self.jobs.len() as u64 + 1, self.number());
            assert_eq!(seq, first + nth as u64, "job numbers are not dense");
            let payload = fact.bytes(job.payload);
            if let Some(enqueue) = step.next_enqueue() {
                let key = keys.next_if(|key| key.nth as usize == nth);
                self.asked_for(seq, class, job, key, enqueue, fact);
            }
            let limit_key = limit_keys.map_or("", |keys| &*keys[nth]);
            let tags = fact.bytes(job.tags);
            let due = job.due.0;
            self.admit(event, fact.time, &Made { class, payload, tags, limit_key, due });
        }
    }

    /// A job comes into being, by the event of this number.
    pub(super) fn admit(&mut self, event: u64, time: u64, made: &Made<'_>) {
        let Made { class, payload, tags, limit_key, due } = *made;
        let (seq, created_ms) = (self.jobs.len() as u64 + 1, time / 1000);
        let expire = class.expire_after_ms;
        self.jobs.push(Job {
            id: JobId::new(created_ms, self.shard, JobSeq(seq)),
            class: class.clone(),
            payload: payload.to_vec(),
            tags: tags.to_vec(),
            state: JobState::Held,
            gone: false,
            attempt: 0,
            due,
            expire_at: (expire > 0).then(|| created_ms * 1000 + expire * 1000),
            position: 0,
            token: 0,
            session: 0,
            deadline: 0,
            lease_floor_nanos: None,
            lease_ms: 0,
            lease_expiries: 0,
            limit_key: limit_key.to_owned(),
            then: HoldEnd::Stay,
            plan: None,
            placed: 0,
            came: None,
            cost: 0,
            agent: None,
            checkpoint: 0,
        });
        self.live.insert(seq);
        let queue = self.queues.entry(class.queue.clone()).or_default();
        queue.enqueued_total += 1;
        queue.jobs[JobState::Held as usize] += 1;
        if due == 0 {
            self.wait(seq, event);
        } else {
            self.set_state(seq, JobState::Scheduled);
        }
    }

    /// A new job is what its request says, and takes the key it says.
    fn asked_for(
        &mut self,
        seq: u64,
        class: &Class,
        job: &EnqueuedJob,
        key: Option<&KeyTaken>,
        enqueue: &Enqueue<'_>,
        fact: &Fact<'_>,
    ) {
        let payload = fact.bytes(job.payload);
        let same = class_of(enqueue) == *class && enqueue.payload == payload;
        if !same || enqueue.tags != fact.bytes(job.tags) {
            violated!("r10", "job {seq} is another than was enqueued");
        }
        r09_once::enqueued(self, fact.time, enqueue);
        if let Some(key) = key {
            let name = (enqueue.queue.to_owned(), enqueue.key.to_vec());
            let (until, content) = (key.until.0, content_of(enqueue));
            self.keys.insert(name, Key { job: seq, content, until });
        } else if !enqueue.key.is_empty() {
            violated!("r09", "job {seq} did not take its key");
        }
        if enqueue.key.is_empty()
            && let Some(before) = self.payloads.insert(payload.to_vec(), seq)
        {
            violated!("r09", "job {seq} was enqueued before, as {before}");
        }
    }

    fn leased(&mut self, seq: u64, attempt: u32, session: u64, deadline: u64, fact: &Fact<'_>) {
        let token = self.number();
        r11_leases::leased(seq, self.job(seq), token);
        r13_attempts::leased(seq, self.job(seq), attempt);
        r14_order::leased(self, seq, fact.time, fact.number);
        limits::leased(self, seq, fact.time);
        budgets::leased(self, seq, fact.time);
        self.claim(seq, fact.time);
        if !self.sessions.contains_key(&session) {
            violated!("r11", "job {seq} was leased to session {session}, which is not open");
        }
        self.set_state(seq, JobState::Active);
        let job = self.job_mut(seq);
        (job.token, job.attempt, job.session) = (token, attempt, session);
        job.deadline = deadline;
        job.lease_floor_nanos = fact.decided.map(|at| at + (deadline - fact.time) * 1000);
        let (queue, payload) = (job.class.queue.clone(), job.payload.clone());
        self.leases.insert(token, Granted { job: seq, session, deadline, queue, payload });
    }

    fn completed(&mut self, seq: u64, step: &Step<'_>) {
        self.number();
        let request = step.fact.request.expect("workers complete");
        let acks = request.acks.iter();
        usage::counted(self, request, seq, &step.counted);
        overruns::passed(self, seq, &step.counted);
        agents::completed(seq, self.job(seq), step.iterated);
        r11_leases::takes_effect(self, seq, "completed", acks.map(|ack| ack.job));
        self.set_state(seq, JobState::Completed);
        self.forget(seq, Some(JobState::Completed));
    }

    fn failed(&mut self, seq: u64, attempt: u32, outcome: FailOutcome, fact: &Fact<'_>) -> Failed {
        self.number();
        let fails = &fact.request.expect("workers fail").fails;
        let job = |job: JobRef| job.job.seq().0 == seq;
        r11_leases::takes_effect(self, seq, "failed", fails.iter().map(|fail| fail.job));
        // The first of the request with the right token took effect.
        let token = self.job(seq).token;
        let by = fails
            .iter()
            .find(|fail| job(fail.job) && (fail.job.token.0 == 0 || fail.job.token.0 == token));
        let no_retry = by.expect("just found").no_retry;
        assert_eq!(attempt, self.job(seq).attempt, "another attempt failed than was given out");
        r13_attempts::failed(seq, self.job(seq), fact.time, no_retry, outcome);
        let max_retries = self.job(seq).class.max_retries;
        match outcome {
            FailOutcome::Retrying(due) => {
                self.set_state(seq, JobState::Retrying);
                self.job_mut(seq).due = due.0;
                self.leave_if_noted(seq);
                let attempts_left = max_retries - attempt;
                Failed { code: Code::Ok, next_attempt: due, attempts_left }
            }
            FailOutcome::Dead => {
                self.set_state(seq, JobState::Dead);
                Failed { code: Code::Ok, next_attempt: Micros(0), attempts_left: 0 }
            }
        }
    }

    fn extend(&mut self, seq: u64, deadline: u64, fact: &Fact<'_>) {
        r12_lease_ends::extended(seq, self.job(seq), deadline);
        let job = self.job_mut(seq);
        job.deadline = deadline;
        let floor = fact.decided.map(|at| at + deadline.saturating_sub(fact.time) * 1000);
        job.lease_floor_nanos = job.lease_floor_nanos.max(floor);
    }

    fn expired(&mut self, seq: u64, fact: &Fact<'_>) {
        let job = self.job(seq);
        let waiting = UNFINISHED.into_iter().filter(|state| *state != JobState::Active);
        r10_one_state::leaves(seq, job, &waiting.collect::<Vec<_>>(), "expired");
        if job.expire_at.is_none_or(|at| at > fact.time) {
            violated!("r10", "job {seq} expired before its time");
        }
        self.set_state(seq, JobState::Dead);
    }

    /// To the back of its tier.
    pub(super) fn wait(&mut self, seq: u64, event: u64) {
        self.set_state(seq, JobState::Pending);
        self.job_mut(seq).position = event;
        let place = self.job(seq).place(seq);
        self.waiting.insert(place);
    }

    pub(super) fn set_state(&mut self, seq: u64, state: JobState) {
        let before = self.job(seq).state;
        if before == JobState::Pending {
            let place = self.job(seq).place(seq);
            assert!(self.waiting.remove(&place), "a pending job waits somewhere");
        }
        let queue = self.job(seq).class.queue.clone();
        let queue = self.queues.get_mut(&queue).expect("made with its first job");
        queue.jobs[before as usize] -= 1;
        if state == JobState::Moved {
            let queue = self.job(seq).class.queue.clone();
            *self.moved.entry(queue).or_default() += 1;
        } else {
            queue.jobs[state as usize] += 1;
        }
        self.job_mut(seq).state = state;
        if matches!(state, JobState::Dead | JobState::Cancelled) {
            self.blocked.remove(&seq);
            self.leaving.remove(&seq);
            self.uniques.retain(|_, (owner, _)| *owner != seq);
        }
    }

    /// The job leaves memory; the queue's count of completed ones stays.
    pub(super) fn forget(&mut self, seq: u64, counted: Option<JobState>) {
        let (state, queue) = (self.job(seq).state, self.job(seq).class.queue.clone());
        if state == JobState::Moved {
            *self.moved.get_mut(&queue).expect("it has gone from there") -= 1;
        } else if counted.is_none() {
            let queue = self.queues.get_mut(&queue).expect("made with its first job");
            queue.jobs[state as usize] -= 1;
            if state == JobState::Pending {
                let place = self.job(seq).place(seq);
                self.waiting.remove(&place);
            }
        }
        self.uniques.retain(|_, (owner, _)| *owner != seq);
        self.blocked.remove(&seq);
        self.leaving.remove(&seq);
        self.job_mut(seq).gone = true;
        self.live.remove(&seq);
    }
}
