//! The same promises kept by ordinary maps: slow, obvious, and written from the meaning of the
//! operations, not from the engine.

use std::collections::{BTreeMap, BTreeSet};

use jobbie_proto::event::{BackoffKind, Class, HoldEnd, QueueSettings};
use jobbie_proto::reply::{Enqueued, Failed, JobState, JobView, KinView, Lease, OperationView};
use jobbie_proto::request::{Agent, Enqueue, EnqueuePlan, Fetch, Hold, JobRef, When};
use jobbie_proto::{Code, EventSeq, JobId, JobSeq, LeaseToken, Micros, Reply, Request, ShardId};

use crate::naive_operations::Operation;
use crate::naive_plans::NaivePlan;
use crate::naive_schedules::Planned;
use crate::naive_usage::Reported;
use crate::naive_workers::NaiveWorkers;

#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) view: JobView,
    pub(crate) session: u64,
    pub(crate) lease_ms: u32,
    /// Order of arrival among the waiting.
    pub(crate) arrival: u64,
    /// What it was enqueued with.
    pub(crate) original: Class,
    pub(crate) placed: EventSeq,
    pub(crate) plan: Option<NaivePlan>,
}

/// What follows a run of new jobs.
enum After {
    Unique,
    Agent { job: u64, agent: Agent<'static> },
    Hold { job: u64, until: u64, then: HoldEnd },
    Plan { job: u64, plan: NaivePlan },
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    pub(crate) confirmed_below: u64,
    pub(crate) replies: BTreeMap<u64, Reply>,
}

type Special<'a> = (Option<&'a Hold<'a>>, Option<&'a EnqueuePlan<'a>>, Option<&'a Agent<'static>>);

type Content = (Vec<u8>, Vec<u8>, u64, Class, When, Vec<u8>, String, String);

#[derive(Clone, Debug)]
struct Key {
    content: Content,
    job: u64,
    created_ms: u64,
    until: u64,
}

#[derive(Default)]
pub(crate) struct Naive {
    pub(crate) now: u64,
    pub(crate) next_event: u64,
    pub(crate) next_job: u64,
    pub(crate) arrivals: u64,
    /// The job that the next one may follow in one run.
    pub(crate) run: Option<u64>,
    pub(crate) jobs: BTreeMap<u64, Job>,
    /// Paused, completed, enqueued.
    pub(crate) queues: BTreeMap<String, (bool, u64, u64)>,
    keys: BTreeMap<(String, Vec<u8>), Key>,
    pub(crate) settings: BTreeMap<String, QueueSettings>,
    pub(crate) draining: BTreeSet<String>,
    /// When jobs were given out, by queue, and by queue and limit key.
    pub(crate) claims: BTreeMap<(String, Option<String>), Vec<u64>>,
    /// Since when a queue has lanes: those who arrived before go first.
    pub(crate) lanes: BTreeMap<String, u64>,
    /// Job and end, by queue and unique key.
    pub(crate) uniques: BTreeMap<(String, Vec<u8>), (u64, u64)>,
    /// As they were when a group of timers was decided.
    pub(crate) uniques_seen: BTreeMap<(String, Vec<u8>), (u64, u64)>,
    /// By queue and name.
    pub(crate) schedules: BTreeMap<(String, String), Planned>,
    pub(crate) sessions: BTreeMap<u64, Session>,
    pub(crate) operations: Vec<Operation>,
    /// Usage of all times.
    pub(crate) reports: Vec<Reported>,
    /// Operations that are over.
    pub(crate) ended: Vec<OperationView>,
    /// Jobs with lower numbers have no keys in these queues any more.
    pub(crate) deleted_below: BTreeMap<String, u64>,
    pub(crate) workers: NaiveWorkers,
    /// By job: errors whose events do not name the one before them, and that one.
    pub(crate) error_links: BTreeMap<u64, Vec<(u64, u64)>>,
    pub(crate) archive: crate::naive_archive::Archive,
}

/// What should come of a request.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    Reply(Box<Reply>),
    Nothing,
    Wait,
    Refuse(Code),
}

impl Naive {
    pub(crate) fn new() -> Self {
        Self { next_event: 1, next_job: 1, ..Self::default() }
    }

    pub(crate) fn event(&mut self) -> u64 {
        self.next_event += 1;
        self.next_event - 1
    }

    pub(crate) fn open(&mut self) -> u64 {
        let id = self.event();
        self.sessions.insert(id, Session::default());
        id
    }

    pub(crate) fn close(&mut self, id: u64) {
        let mut held: Vec<_> = self.jobs.values().filter(|job| job.session == id).collect();
        held.sort_by_key(|job| job.view.token.0);
        let held: Vec<u64> = held.iter().map(|job| job.view.id.seq().0).collect();
        for job in held {
            self.event();
            self.give_back(job);
        }
        self.event();
        self.sessions.remove(&id);
    }

    pub(crate) fn request(&mut self, request: &Request<'static>) -> Outcome {
        let Some(session) = self.sessions.get(&request.session.0) else {
            return Outcome::Refuse(Code::SessionGone);
        };
        if request.number < session.confirmed_below || request.number < request.confirmed_below {
            return Outcome::Refuse(Code::BadRequestNumber);
        }
        if let Some(reply) = session.replies.get(&request.number) {
            return Outcome::Reply(reply.clone().into());
        }
        if !self.is_valid(request) {
            return Outcome::Refuse(Code::Invalid);
        }
        if let Some(code) = self.schedules_refused(request) {
            return Outcome::Refuse(code);
        }
        let before = self.next_event;
        self.run = None;
        let mut reply = Reply::default();
        let mut after = Vec::new();
        let (arrived, laned) = (self.arrivals, self.lanes.clone());
        for (at, enqueue) in request.enqueues.iter().enumerate() {
            let hold = request.holds.iter().find(|hold| hold.enqueue as usize == at);
            let plan = request.plans.iter().find(|plan| plan.enqueue as usize == at);
            let agent = request.agents.iter().find(|agent| agent.enqueue as usize == at);
            let special = (hold.map(|hold| &hold.hold), plan, agent.map(|agent| &agent.agent));
            self.enqueue(enqueue, special, &mut after, &mut reply);
        }
        self.settle(&mut after);
        reply.acks = (0..request.acks.len()).map(|at| self.ack(request, at)).collect();
        for fail in &request.fails {
            reply.fails.push(self.fail(fail.job, fail.no_retry));
        }
        for (at, beat) in request.heartbeats.iter().enumerate() {
            self.report(beat.job, at, &request.heartbeat_usages);
            let now = self.now;
            let code = self.worker(beat.job, |model, job| {
                let event = EventSeq(model.next_event - 1);
                let job = model.jobs.get_mut(&job).expect("it was found");
                let ms = if beat.extend_ms == 0 { job.lease_ms } else { beat.extend_ms };
                job.view.due.0 = job.view.due.0.max(now + u64::from(ms) * 1000);
                if !beat.progress.is_empty() {
                    job.view.progress = event;
                }
                if !beat.checkpoint.is_empty() {
                    job.view.checkpoint = event;
                }
            });
            reply.heartbeats.push(code);
        }
        if request.extend_session_ms > 0 {
            self.event();
            let end = self.now + u64::from(request.extend_session_ms) * 1000;
            for job in self.jobs.values_mut().filter(|job| job.session == request.session.0) {
                job.view.due.0 = job.view.due.0.max(end);
            }
        }
        for release in &request.releases {
            let code = self.worker(*release, |model, job| model.give_back(job));
            reply.releases.push(code);
        }
        for job in &request.cancels {
            reply.cancels.push(self.cancel(*job));
        }
        for job in &request.deletes {
            self.event();
            let known = self.find(*job).is_some();
            if known {
                self.remove(job.seq().0);
            }
            reply.deletes.push(if known { Code::Ok } else { Code::NotFound });
        }
        for control in &request.job_controls {
            let code = self.control(control.job, &control.action);
            reply.job_controls.push(code);
        }
        self.archive_controls(request, &mut reply);
        reply.appended = request.appends.iter().map(|append| self.append(append)).collect();
        for control in &request.queue_controls {
            self.event();
            self.queue_control(control);
        }
        for control in &request.schedule_controls {
            let done = self.schedule_control(control);
            reply.schedule_controls.push(done);
        }
        if let Some(operate) = &request.operation {
            reply.operated = Some(self.operate(operate));
        }
        if let Some(fetch) = &request.fetch {
            self.fetch(request.session.0, fetch, arrived, &laned, &mut reply);
        }
        if self.next_event == before {
            let waits = request.fetch.as_ref().is_some_and(|fetch| fetch.wait_ms > 0);
            return if waits { Outcome::Wait } else { Outcome::Nothing };
        }
        let session = self.sessions.get_mut(&request.session.0).expect("it is open");
        session.confirmed_below = session.confirmed_below.max(request.confirmed_below);
        session.replies.retain(|number, _| *number >= request.confirmed_below);
        session.replies.insert(request.number, reply.clone());
        Outcome::Reply(reply.into())
    }

    /// A job as the client names it.
    pub(crate) fn find(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(&id.seq().0).filter(|job| job.view.id == id)
    }

    /// What follows a run of new jobs: it is about their keys and holds.
    fn settle(&mut self, after: &mut Vec<After>) {
        for after in after.drain(..) {
            let event = EventSeq(self.event());
            match after {
                After::Unique => {}
                After::Agent { job, agent } => self.make_agent(job, &agent),
                After::Hold { job, until, then } => self.hold(job, until, then, event),
                After::Plan { job, plan } => self.plan(job, plan, event.0),
            }
        }
    }

    pub(crate) fn hold(&mut self, job: u64, until: u64, then: HoldEnd, event: EventSeq) {
        self.end(job, JobState::Held);
        let view = &mut self.jobs.get_mut(&job).expect("it exists").view;
        (view.due, view.then, view.hold, view.ended) = (Micros(until), then, event, Micros(0));
    }

    pub(crate) fn remove(&mut self, job: u64) -> Job {
        self.uniques.retain(|_, (owner, _)| *owner != job);
        self.error_links.remove(&job);
        self.jobs.remove(&job).expect("it was found")
    }

    fn enqueue(
        &mut self,
        enqueue: &Enqueue<'_>,
        (hold, plan, agent): Special<'_>,
        after: &mut Vec<After>,
        reply: &mut Reply,
    ) {
        let class = Class {
            queue: enqueue.queue.into(),
            priority: enqueue.priority,
            max_retries: enqueue.max_retries,
            backoff: enqueue.backoff,
            backoff_base_ms: enqueue.backoff_base_ms,
            backoff_cap_ms: enqueue.backoff_cap_ms,
            expire_after_ms: enqueue.expire_after_ms,
        };
        let content = (
            enqueue.payload.to_vec(),
            enqueue.tags.to_vec(),
            enqueue.key_ms,
            class.clone(),
            enqueue.when,
            enqueue.unique.to_vec(),
            enqueue.limit_key.to_owned(),
            format!("{:?} {agent:?}", plan.map(|plan| (plan.deadline_ms, &plan.kinds))),
        );
        let key = (enqueue.queue.to_owned(), enqueue.key.to_vec());
        let free_below = self.keys_end_below(enqueue.queue);
        let lives = |key: &&Key| key.until > self.now && key.job >= free_below;
        let taken = self.keys.get(&key).filter(lives).cloned();
        let unique = (enqueue.queue.to_owned(), enqueue.unique.to_vec());
        let owner = self.uniques.get(&unique).filter(|(_, until)| *until > self.now).copied();
        let owner = owner.filter(|(owner, _)| !self.unique_is_over(enqueue.queue, *owner));
        // A run of jobs is ended by whatever is no job of its class.
        let class_before = self.jobs.get(&(self.next_job - 1)).map(|job| job.original.clone());
        let keyed_before =
            self.jobs.get(&(self.next_job - 1)).map(|job| !job.view.limit_key.is_empty());
        let continues = class_before.as_ref() == Some(&class)
            && keyed_before == Some(!enqueue.limit_key.is_empty())
            && self.run == Some(self.next_job - 1)
            && taken.is_none()
            && owner.is_none();
        if !continues {
            self.settle(after);
        }
        let event = self.event();
        if let Some(taken) = taken {
            self.run = None;
            let same = taken.content == content;
            reply.enqueued.push(Enqueued {
                code: if same { Code::Duplicate } else { Code::Conflict },
                created_ms: taken.created_ms,
                first_job: JobSeq(taken.job),
                count: 1,
            });
            return;
        }
        if let Some((job, _)) = owner {
            self.run = None;
            reply.enqueued.push(Enqueued {
                code: Code::Duplicate,
                created_ms: self.jobs[&job].view.id.created_ms(),
                first_job: JobSeq(job),
                count: 1,
            });
            return;
        }
        let job = self.next_job;
        if !enqueue.unique.is_empty() {
            let ms = if enqueue.unique_ms == 0 { 3_600_000 } else { enqueue.unique_ms };
            self.uniques.insert(unique, (job, self.now + ms * 1000));
            after.push(After::Unique);
        }
        after.extend(agent.map(|agent| After::Agent { job, agent: *agent }));
        if let Some(hold) = hold {
            let (until, then) = (self.until(hold), hold.then);
            after.push(After::Hold { job, until, then });
        }
        after.extend(plan.map(|plan| After::Plan { job, plan: NaivePlan::new(plan) }));
        let created_ms = self.now / 1000;
        if !enqueue.key.is_empty() {
            let key_ms = if enqueue.key_ms == 0 { 24 * 3600 * 1000 } else { enqueue.key_ms };
            let until = self.now + key_ms * 1000;
            self.keys.insert(key, Key { content, job, created_ms, until });
        }
        let due = match enqueue.when {
            When::Now => 0,
            When::DelayMs(ms) => self.now + ms * 1000,
            When::At(time) => time.0.max(1),
        };
        if continues {
            reply.enqueued.last_mut().expect("the run it continues").count += 1;
        } else {
            reply.enqueued.push(Enqueued {
                code: Code::Ok,
                created_ms,
                first_job: JobSeq(job),
                count: 1,
            });
        }
        self.run = Some(job);
        assert_eq!(self.admit(&class, enqueue.limit_key, EventSeq(event), due), job);
    }

    /// A new job, whose payload is in `record`.
    pub(crate) fn admit(
        &mut self,
        class: &Class,
        limit_key: &str,
        record: EventSeq,
        due: u64,
    ) -> u64 {
        let (job, created_ms) = (self.next_job, self.now / 1000);
        self.next_job += 1;
        self.queues.entry(class.queue.clone()).or_default().2 += 1;
        let expire_at = match class.expire_after_ms {
            0 => 0,
            ms => (created_ms + ms) * 1000,
        };
        if !limit_key.is_empty() {
            self.lanes.entry(class.queue.clone()).or_insert(self.arrivals);
        }
        self.arrivals += 1;
        let view = JobView {
            id: JobId::new(created_ms, ShardId(0), JobSeq(job)),
            state: if due == 0 { JobState::Pending } else { JobState::Scheduled },
            class: class.clone(),
            limit_key: limit_key.into(),
            attempt: 0,
            token: LeaseToken(0),
            due: Micros(due),
            expire_at: Micros(expire_at),
            ended: Micros(0),
            lease_expiries: 0,
            then: HoldEnd::Stay,
            record,
            payload: EventSeq(0),
            hold: EventSeq(0),
            last_error: EventSeq(0),
            checkpoint: EventSeq(0),
            progress: EventSeq(0),
            plan: None,
            cost_micros: 0,
            agent: None,
            waits_for: 0,
            batch: None,
            kin: KinView::default(),
        };
        let (original, arrival) = (class.clone(), self.arrivals);
        self.jobs.insert(
            job,
            Job {
                view,
                session: 0,
                lease_ms: 0,
                arrival,
                original,
                placed: EventSeq(0),
                plan: None,
            },
        );
        job
    }

    /// Does something to a leased job, or says why not.
    pub(crate) fn worker(&mut self, lease: JobRef, work: impl FnOnce(&mut Self, u64)) -> Code {
        self.event();
        let Some(job) = self.find(lease.job) else { return Code::NotFound };
        if job.view.state != JobState::Active {
            return Code::NotActive;
        }
        if lease.token.0 != 0 && lease.token != job.view.token {
            return Code::StaleLease;
        }
        work(self, lease.job.seq().0);
        Code::Ok
    }

    pub(crate) fn fail(&mut self, lease: JobRef, no_retry: bool) -> Failed {
        let now = self.now;
        let (mut next_attempt, mut attempts_left) = (Micros(0), 0);
        let code = self.worker(lease, |model, job| {
            let event = model.next_event - 1;
            let job = model.jobs.get_mut(&job).expect("it was found");
            let (class, attempt) = (&job.view.class, u64::from(job.view.attempt));
            let base = u64::from(class.backoff_base_ms);
            let delay = match class.backoff {
                BackoffKind::None => 0,
                BackoffKind::Fixed => base,
                BackoffKind::Linear => base * attempt,
                BackoffKind::Exponential => base * 2_u64.pow(attempt as u32 - 1),
            };
            let delay = match class.backoff_cap_ms {
                0 => delay,
                cap => delay.min(u64::from(cap)),
            };
            let left = u64::from(class.max_retries).saturating_sub(attempt);
            job.view.state = JobState::Dead;
            (job.view.due, job.view.ended) = (Micros(0), Micros(now));
            if left > 0 && !no_retry {
                (job.view.state, job.view.ended) = (JobState::Retrying, Micros(0));
                job.view.due = Micros(now + delay * 1000);
                (next_attempt, attempts_left) = (job.view.due, left as u32);
            }
            job.view.last_error = EventSeq(event);
            (job.session, job.view.token) = (0, LeaseToken(0));
            let (seq, dead) = (job.view.id.seq().0, job.view.state == JobState::Dead);
            model.uniques.retain(|_, (owner, _)| !dead || *owner != seq);
        });
        Failed { code, next_attempt, attempts_left }
    }

    pub(crate) fn wait_behind(&mut self, job: u64) {
        self.arrivals += 1;
        let job = self.jobs.get_mut(&job).expect("it exists");
        job.arrival = self.arrivals;
        (job.session, job.view.token, job.view.due) = (0, LeaseToken(0), Micros(0));
        job.view.state = JobState::Pending;
        (job.view.ended, job.view.then) = (Micros(0), HoldEnd::Stay);
    }

    pub(crate) fn give_back(&mut self, job: u64) {
        self.wait_behind(job);
        self.jobs.get_mut(&job).expect("it exists").view.attempt -= 1;
    }

    pub(crate) fn end(&mut self, job: u64, state: JobState) {
        if !matches!(state, JobState::Held | JobState::Planned) {
            self.uniques.retain(|_, (owner, _)| *owner != job);
        }
        let now = self.now;
        let job = self.jobs.get_mut(&job).expect("it exists");
        (job.session, job.view.token, job.view.due) = (0, LeaseToken(0), Micros(0));
        job.view.state = state;
        (job.view.ended, job.view.then) = (Micros(now), HoldEnd::Stay);
    }

    pub(crate) fn cancel(&mut self, id: JobId) -> Code {
        self.event();
        let Some(job) = self.find(id) else { return Code::NotFound };
        if matches!(job.view.state, JobState::Dead | JobState::Cancelled) {
            return Code::IllegalState;
        }
        self.end(id.seq().0, JobState::Cancelled);
        Code::Ok
    }

    pub(crate) fn fetch(
        &mut self,
        session: u64,
        fetch: &Fetch<'_>,
        arrived: u64,
        laned: &BTreeMap<String, u64>,
        reply: &mut Reply,
    ) {
        let (mut leased, mut expired) = (Vec::new(), Vec::new());
        for (at, queue) in fetch.queues.iter().enumerate() {
            let paused = self.queues.get(*queue).is_none_or(|queue| queue.0);
            if paused || self.is_closed(queue) || fetch.queues[..at].contains(queue) {
                continue;
            }
            let mut waiting: Vec<_> = self
                .jobs
                .iter()
                .filter(|(_, job)| job.view.state == JobState::Pending)
                .filter(|(_, job)| job.view.class.queue == *queue)
                .map(|(seq, job)| (job.view.class.priority, job.arrival, *seq))
                .collect();
            waiting.sort_unstable();
            let most = leased.len().saturating_add(self.room(queue, None));
            let most = most.min(fetch.count as usize);
            let lanes = laned.get(*queue);
            let has_older = lanes.is_some_and(|since| waiting.iter().any(|w| w.1 <= *since));
            let mut given: BTreeMap<&str, usize> = BTreeMap::new();
            for (_, arrival, job) in waiting {
                if leased.len() == most {
                    break;
                }
                let view = &self.jobs[&job].view;
                let key = &*view.limit_key;
                // New jobs wait for the next request, where there are lanes.
                let is_new = arrival > arrived && (lanes.is_some() || !key.is_empty());
                let blocked = !key.is_empty()
                    && self.room(queue, Some(key)) <= given.get(key).copied().unwrap_or(0);
                if is_new || blocked {
                    continue;
                }
                let dies = view.expire_at.0 > 0 && view.expire_at.0 <= self.now;
                if !dies {
                    *given.entry(key).or_default() += 1;
                    leased.push(job);
                } else if !has_older || lanes.is_some_and(|since| arrival <= *since) {
                    expired.push(job);
                }
            }
        }
        if leased.is_empty() {
            return;
        }
        for job in expired {
            self.expire(job);
        }
        for job in leased {
            let token = LeaseToken(self.event());
            let (queue, key) = {
                let view = &self.jobs[&job].view;
                (view.class.queue.clone(), view.limit_key.clone())
            };
            self.claim(&queue, None);
            if !key.is_empty() {
                self.claim(&queue, Some(key));
            }
            let deadline = Micros(self.now + u64::from(fetch.lease_ms) * 1000);
            self.tell_agent(job, reply);
            let job = self.jobs.get_mut(&job).expect("it waits");
            job.view.state = JobState::Active;
            job.view.attempt += 1;
            (job.view.token, job.view.due) = (token, deadline);
            (job.session, job.lease_ms) = (session, fetch.lease_ms);
            reply.leases.push(Lease {
                job: job.view.id.seq(),
                created_ms: job.view.id.created_ms(),
                token,
                attempt: job.view.attempt,
                max_retries: job.view.class.max_retries,
                deadline,
                record: job.view.record,
                checkpoint: job.view.checkpoint,
                placed: job.placed,
                payload: job.view.payload,
            });
        }
    }
}
