//! What operators and time do, in the naive model.

use std::collections::BTreeSet;

use jobbie_proto::event::{Event, HoldEnd, QueueSettings};
use jobbie_proto::limits::WORKER_SILENT_MS_MAX;
use jobbie_proto::reply::{JobState, JobView};
use jobbie_proto::request::{Hold, JobAction, QueueAction, QueueControl};
use jobbie_proto::{Code, EventSeq, JobId, Request};

use crate::naive::Naive;

/// The rate of a queue, or of its keys.
pub(crate) fn rate_of(settings: &QueueSettings, key: &Option<String>) -> (u32, u32) {
    match key {
        None => (settings.rate, settings.window_ms),
        Some(_) => (settings.key_rate, settings.key_window_ms),
    }
}

impl Naive {
    pub(crate) fn queue_control(&mut self, control: &QueueControl<'_>) {
        let name = control.queue.to_owned();
        let queue = self.queues.entry(name.clone()).or_default();
        match control.action {
            QueueAction::Pause | QueueAction::Resume => {
                queue.0 = control.action == QueueAction::Pause;
                self.draining.remove(&name);
            }
            QueueAction::Drain => {
                queue.0 = true;
                self.draining.insert(name);
            }
            QueueAction::Configure(settings) => {
                let old = self.settings.insert(name.clone(), settings).unwrap_or_default();
                let now = self.now;
                for ((queue, key), claims) in &mut self.claims {
                    if *queue != name {
                        continue;
                    }
                    // A claim that has left its window does not come back into a longer one.
                    for (rate, window_ms) in [rate_of(&old, key), rate_of(&settings, key)] {
                        let counts = rate > 0 && window_ms > 0;
                        claims.retain(|at| counts && *at + u64::from(window_ms) * 1000 > now);
                    }
                }
            }
            QueueAction::Weigh { .. } => {}
        }
    }

    /// How many more jobs may be given out, of a queue or of one of its keys.
    pub(crate) fn room(&self, queue: &str, key: Option<&str>) -> usize {
        let settings = self.settings.get(queue).copied().unwrap_or_default();
        let concurrency =
            if key.is_some() { settings.key_concurrency } else { settings.concurrency };
        let active = self.jobs.values().filter(|job| {
            let here = job.view.class.queue == queue && job.view.state == JobState::Active;
            here && key.is_none_or(|key| job.view.limit_key == key)
        });
        let slots = match concurrency {
            0 => usize::MAX,
            most => (most as usize).saturating_sub(active.count()),
        };
        let of = (queue.to_owned(), key.map(str::to_owned));
        let (rate, window_ms) = rate_of(&settings, &of.1);
        if rate == 0 {
            return slots;
        }
        let counts = |at: &&u64| **at + u64::from(window_ms) * 1000 > self.now;
        let counted = self.claims.get(&of).map_or(0, |all| all.iter().filter(counts).count());
        slots.min((rate as usize).saturating_sub(counted))
    }

    pub(crate) fn claim(&mut self, queue: &str, key: Option<String>) {
        let settings = self.settings.get(queue).copied().unwrap_or_default();
        if rate_of(&settings, &key).0 > 0 {
            self.claims.entry((queue.to_owned(), key)).or_default().push(self.now);
        }
    }

    /// A request that controls jobs does nothing else, and names each once.
    pub(crate) fn is_valid(&self, request: &Request<'_>) -> bool {
        let jobs: BTreeSet<_> = request.job_controls.iter().map(|c| c.job.seq()).collect();
        let archived: BTreeSet<_> = request.archived.iter().map(|c| c.job.seq()).collect();
        jobs.len() == request.job_controls.len() && archived.len() == request.archived.len()
    }

    pub(crate) fn until(&self, hold: &Hold<'_>) -> u64 {
        if hold.then == HoldEnd::Stay { 0 } else { self.now + hold.timeout_ms * 1000 }
    }

    /// Whether an action is done to a job in this state.
    pub(crate) fn is_legal(action: &JobAction<'_>, state: JobState) -> bool {
        use JobState::{Active, Cancelled, Dead, Held, Pending, Retrying, Scheduled};
        match action {
            JobAction::Retry => matches!(state, Scheduled | Dead | Cancelled),
            JobAction::Requeue => state == Dead,
            JobAction::Hold(_) => matches!(state, Pending | Scheduled | Active | Retrying),
            JobAction::Approve { .. } | JobAction::Reject { .. } | JobAction::Revise { .. } => {
                state == Held
            }
            JobAction::Move { .. } => true,
            JobAction::Prioritize { .. } => matches!(state, Pending | Scheduled),
            JobAction::Replace { .. } => matches!(state, Pending | Scheduled | Retrying | Held),
        }
    }

    pub(crate) fn control(&mut self, id: JobId, action: &JobAction<'_>) -> Code {
        use JobState::{Dead, Pending};
        let event = EventSeq(self.event());
        let Some(job) = self.find(id) else { return Code::NotFound };
        let (seq, state) = (id.seq().0, job.view.state);
        if !Self::is_legal(action, state) {
            return Code::IllegalState;
        }
        let now_waits = |model: &mut Self| {
            if state == Pending {
                model.wait_behind(seq);
            }
        };
        match *action {
            JobAction::Retry | JobAction::Requeue => {
                if !self.plan_again(seq, *action == JobAction::Retry) {
                    self.wait_behind(seq);
                }
                let view = &mut self.jobs.get_mut(&seq).expect("it was found").view;
                view.lease_expiries = 0;
                if *action == JobAction::Retry {
                    view.attempt = 0;
                }
            }
            JobAction::Hold(hold) => {
                let until = self.until(&hold);
                self.hold(seq, until, hold.then, event);
            }
            JobAction::Approve { .. } => {
                self.wait_behind(seq);
                self.begin_anew(seq);
            }
            JobAction::Revise { replaces, .. } => {
                let view = &self.jobs[&seq].view;
                if view.agent.is_none() {
                    return Code::NotAgent;
                }
                if view.checkpoint != replaces {
                    return Code::IllegalState;
                }
                self.wait_behind(seq);
                self.begin_anew(seq);
                self.jobs.get_mut(&seq).expect("it was found").view.checkpoint = event;
            }
            JobAction::Reject { .. } => {
                self.end(seq, Dead);
                self.jobs.get_mut(&seq).expect("it was found").view.last_error = event;
            }
            JobAction::Move { queue } => {
                if !self.jobs[&seq].view.limit_key.is_empty() {
                    self.lanes.entry(queue.into()).or_insert(self.arrivals);
                }
                now_waits(self);
                self.queues.entry(queue.into()).or_default();
                let job = self.jobs.get_mut(&seq).expect("it was found");
                (job.view.class.queue, job.placed) = (queue.into(), event);
            }
            JobAction::Prioritize { priority } => {
                now_waits(self);
                self.jobs.get_mut(&seq).expect("it was found").view.class.priority = priority;
            }
            JobAction::Replace { .. } => {
                self.jobs.get_mut(&seq).expect("it was found").view.payload = event;
            }
        }
        Code::Ok
    }

    /// Follows what the engine says that time has done, if it may have.
    pub(crate) fn timers(&mut self, events: &[Event]) {
        self.see_uniques();
        for event in events {
            match event {
                Event::LeaseExpired { jobs } => jobs.iter().for_each(|job| {
                    self.event();
                    let view = &self.jobs[&job.0].view;
                    assert_eq!(view.state, JobState::Active, "r12: lease of job {job}");
                    assert!(view.due.0 <= self.now, "r12: the lease of job {job} ended early");
                    let spent = view.attempt >= view.class.max_retries.max(1);
                    assert!(!spent || view.lease_expiries < 2, "b2: job {job} kills its workers");
                    self.wait_behind(job.0);
                    self.jobs.get_mut(&job.0).expect("it exists").view.lease_expiries += 1;
                }),
                Event::Quarantined { jobs } => jobs.iter().for_each(|quarantined| {
                    let event = EventSeq(self.event());
                    let job = quarantined.job.0;
                    let view = &self.jobs[&job].view;
                    assert_eq!(view.state, JobState::Active, "r12: lease of job {job}");
                    assert!(view.due.0 <= self.now, "r12: the lease of job {job} ended early");
                    assert!(view.attempt >= view.class.max_retries, "b2: attempts are left");
                    assert!(view.lease_expiries >= 2, "b2: too few leases ran out");
                    assert_eq!(quarantined.lease_expiries, view.lease_expiries + 1);
                    assert_eq!(quarantined.attempt, view.attempt);
                    self.end(job, JobState::Dead);
                    let view = &mut self.jobs.get_mut(&job).expect("it exists").view;
                    (view.last_error, view.lease_expiries) = (event, quarantined.lease_expiries);
                }),
                Event::Approved { job, .. } => {
                    self.event();
                    self.check_hold(job.0, HoldEnd::Approve);
                    self.wait_behind(job.0);
                    self.begin_anew(job.0);
                }
                Event::Cancelled { jobs } => jobs.iter().for_each(|job| {
                    self.event();
                    self.check_hold(job.0, HoldEnd::Cancel);
                    self.end(job.0, JobState::Cancelled);
                }),
                Event::WorkersForgotten { workers } => workers.iter().for_each(|key| {
                    self.event();
                    let worker = self.workers.remove(&(key.session.0, key.name.clone()));
                    let seen = worker.expect("an unknown worker was forgotten").last_seen;
                    let silent = seen.plus_ms(WORKER_SILENT_MS_MAX);
                    assert!(silent.0 <= self.now, "a worker was forgotten early");
                }),
                Event::LimitsOpened { queues } => queues.iter().for_each(|_| {
                    self.event();
                }),
                Event::Purged { jobs } => jobs.iter().for_each(|job| {
                    self.event();
                    let view = &self.jobs[&job.0].view;
                    let ended = matches!(view.state, JobState::Dead | JobState::Cancelled);
                    assert!(ended, "job {job} was purged while {}", view.state.name());
                    assert!(Self::due(view).is_some_and(|at| at <= self.now), "purged early");
                    self.remove(job.0);
                }),
                Event::Promoted { jobs } => jobs.iter().for_each(|job| {
                    self.event();
                    let view = &self.jobs[&job.0].view;
                    let waits = matches!(view.state, JobState::Scheduled | JobState::Retrying);
                    assert!(waits, "r14: job {job} did not wait for a time");
                    assert!(view.due.0 <= self.now, "r14: job {job} was promoted early");
                    self.wait_behind(job.0);
                }),
                Event::Expired { jobs } => jobs.iter().for_each(|job| {
                    let view = &self.jobs[&job.0].view;
                    let can = matches!(
                        view.state,
                        JobState::Pending
                            | JobState::Scheduled
                            | JobState::Retrying
                            | JobState::Held
                            | JobState::Planned
                    );
                    assert!(can, "job {job} expired while {}", view.state.name());
                    let over = view.expire_at.0 > 0 && view.expire_at.0 <= self.now;
                    assert!(over, "job {job} expired early");
                    self.expire(job.0);
                }),
                Event::PlanTimedOut { jobs } => {
                    jobs.iter().for_each(|job| self.plan_times_out(job.0));
                }
                schedule => self.schedule_timer(schedule),
            }
        }
    }

    pub(crate) fn check_hold(&self, job: u64, then: HoldEnd) {
        let view = &self.jobs[&job].view;
        assert_eq!((view.state, view.then), (JobState::Held, then), "the hold of job {job}");
        assert!(view.due.0 <= self.now, "the hold of job {job} ended early");
    }

    pub(crate) fn expire(&mut self, job: u64) {
        let event = self.event();
        self.end(job, JobState::Dead);
        self.link_error(job, event);
        self.jobs.get_mut(&job).expect("it exists").view.last_error = EventSeq(event);
    }

    /// When time alone does something to a job.
    pub(crate) fn due(job: &JobView) -> Option<u64> {
        let expire = (job.expire_at.0 > 0).then_some(job.expire_at.0);
        match job.state {
            JobState::Active => Some(job.due.0),
            JobState::Held | JobState::Planned if job.due.0 > 0 => {
                Some(expire.map_or(job.due.0, |at| at.min(job.due.0)))
            }
            JobState::Pending | JobState::Held | JobState::Planned => expire,
            JobState::Dead | JobState::Cancelled => Some(job.ended.0 + 7 * 86_400_000_000),
            JobState::Scheduled | JobState::Retrying => {
                Some(expire.map_or(job.due.0, |at| at.min(job.due.0)))
            }
            _ => None,
        }
    }
}
