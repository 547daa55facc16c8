//! Drives the engine and the naive model side by side, and compares everything after every step.

use std::collections::BTreeMap;

use jobbie_core::{
    Decision, Settings, Snapshot, State, decide, decide_close_session, decide_open_session,
    decide_operations, decide_timers,
};
use jobbie_proto::event::{Event, Group, QueueSettings, Sharing};
use jobbie_proto::reply::{AgentView, JOB_STATES, JobView};
use jobbie_proto::request::{
    Ack, Enqueue, EnqueueHold, Fail, Fetch, Heartbeat, JobControl, JobRef, QueueAction,
    QueueControl, ScheduleControl, When,
};
use jobbie_proto::{Code, JobId, JobSeq, LeaseToken, Micros, Request, SessionId, ShardId};

use crate::naive::{Naive, Outcome};
use crate::naive_agents;
use crate::naive_usage;
use crate::plans;
use crate::steps::{Op, Step};
use crate::values::{LIMIT_KEYS, QUEUES, UNIQUES, action, enqueue, make_hold, schedule_action};

/// So many steps are checked each; of those behind them each so many, and the end.
const CHECKED_ALL: usize = 60;
const CHECKED_EVERY: usize = 8;

struct Client {
    session: u64,
    number: u64,
    confirmed_below: u64,
}

struct Held {
    snapshot: Snapshot,
    expected: Vec<Vec<u8>>,
    log_at: usize,
}

/// Both sides, and the log between them.
pub(crate) struct Driver {
    pub(crate) state: State,
    pub(crate) model: Naive,
    pub(crate) now: Micros,
    log: Vec<(Micros, Group)>,
    clients: BTreeMap<u8, Client>,
    jobs: Vec<JobId>,
    planned: Vec<JobId>,
    tokens: BTreeMap<u64, Vec<LeaseToken>>,
    held: Option<Held>,
    has_rates: bool,
}

fn chunks(state: &State) -> Vec<Vec<u8>> {
    state.snapshot().collect()
}

/// Runs a history. Panics where the two sides differ.
pub(crate) fn run(steps: &[Step]) {
    let mut driver = Driver {
        state: State::new(ShardId(0), 1),
        model: Naive::new(),
        now: Micros(1_000_000_000),
        log: Vec::new(),
        clients: BTreeMap::new(),
        jobs: Vec::new(),
        planned: Vec::new(),
        tokens: BTreeMap::new(),
        held: None,
        has_rates: false,
    };
    for (nth, step) in steps.iter().enumerate() {
        driver.step(step);
        driver.compare();
        // It takes time that grows with the state, and a state that contradicts itself hardly heals.
        if nth < CHECKED_ALL || nth % CHECKED_EVERY == 0 {
            driver.state.check();
        }
    }
    driver.finish();
}

impl Driver {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Request { client, ops, confirm } => self.request(*client, ops, *confirm),
            Step::Control { client, jobs } => self.control(*client, jobs),
            Step::Archive { client, jobs } => self.archive(*client, jobs),
            Step::Configure { client, queue, limits } => self.configure(*client, *queue, *limits),
            Step::Append { client, events } => self.append(*client, events),
            Step::Schedule { client, controls } => self.schedule(*client, controls),
            Step::Repeat { client, back } => self.repeat(*client, *back),
            Step::Advance { us } => self.now.0 += us,
            Step::Timers { limit } => self.timers(*limit),
            Step::Operate { client, meant } => self.operate(*client, meant),
            Step::CancelOperation { client, back } => self.cancel_operation(*client, *back),
            Step::Operations { limit, times } => self.operations(*limit, *times),
            Step::Close { client } => self.close(*client),
            Step::Sight { client, name, queues } => self.sight(*client, *name, *queues),
            Step::Restart => self.restart(),
            Step::HoldSnapshot => self.hold_snapshot(),
        }
        self.model.now = self.now.0;
    }

    pub(crate) fn absorb(&mut self, group: Group) -> Option<jobbie_proto::Reply> {
        let next = self.state.next_event().plus(group.count());
        let reply = self.state.absorb(self.now, &group);
        assert_eq!(self.state.next_event(), next, "r08: events are not dense");
        self.log.push((self.now, group));
        reply.map(|reply| (*reply).clone())
    }

    pub(crate) fn client(&mut self, client: u8) -> u64 {
        if let Some(client) = self.clients.get(&client) {
            return client.session;
        }
        let id = u128::from(client) << 100;
        let opened = decide_open_session(&self.state, id, "name", "host", &mut Vec::new());
        let Decision::Events(group) = opened else { panic!("{opened:?}") };
        self.absorb(group);
        let session = self.model.open();
        assert_eq!(self.state.session_of(id), Some(SessionId(session)));
        let again = decide_open_session(&self.state, id, "name", "host", &mut Vec::new());
        assert_eq!(again, Decision::Nothing);
        self.clients.insert(client, Client { session, number: 0, confirmed_below: 0 });
        session
    }

    pub(crate) fn job(&self, job: usize, token: u8) -> JobRef {
        let id = self.jobs.iter().rev().nth(job).copied();
        let id = id.unwrap_or(JobId::new(5, ShardId(0), JobSeq(999)));
        let tokens = self.tokens.get(&id.seq().0);
        let newest = tokens.and_then(|t| t.last()).copied().unwrap_or_default();
        let token = match token {
            0 | 1 => newest,
            2 => LeaseToken(0),
            _ => tokens.and_then(|t| t.first()).copied().unwrap_or(LeaseToken(1)),
        };
        JobRef { job: id, token }
    }

    pub(crate) fn build(&mut self, client: u8, ops: &[Op], confirm: bool) -> Request<'static> {
        let session = SessionId(self.client(client));
        let client = self.clients.get_mut(&client).expect("it is open");
        client.number += 1;
        if confirm {
            client.confirmed_below = client.number;
        }
        let (number, confirmed_below) = (client.number, client.confirmed_below);
        let mut request = Request { session, number, confirmed_below, ..Request::default() };
        for op in ops {
            self.add(op, &mut request);
        }
        request
    }

    fn add(&self, op: &Op, request: &mut Request<'static>) {
        match *op {
            Op::Enqueue { queue, options, key, unique, times, hold, plan, agent } => {
                let limit_key = LIMIT_KEYS[usize::from(options) % LIMIT_KEYS.len()];
                let like = enqueue(queue, options, key);
                let mut job = Enqueue { unique: UNIQUES[unique], limit_key, ..like };
                let enqueue = request.enqueues.len() as u32;
                if let Some(plan) = plan {
                    job.when = When::Now;
                    request.plans.push(plans::plan(enqueue, plan));
                } else {
                    let hold = hold.map(|hold| EnqueueHold { enqueue, hold: make_hold(hold) });
                    request.holds.extend(hold);
                    request.agents.extend(agent.map(|with| naive_agents::agent(enqueue, with)));
                }
                request.enqueues.extend(std::iter::repeat_n(job, usize::from(times)));
            }
            Op::Ack { job, token, usage, said } => {
                let of = request.acks.len() as u32;
                request.agent_acks.extend(said.map(|with| naive_agents::said(of, with)));
                request.ack_usages.extend(usage.map(|with| naive_usage::usage(of, with)));
                request.acks.push(Ack { job: self.job(job, token), result: b"result" });
            }
            Op::Fail { job, token, no_retry } => {
                let (job, error, backtrace) = (self.job(job, token), b"error", b"");
                request.fails.push(Fail { job, error, backtrace, no_retry });
            }
            Op::Heartbeat { job, token, extend_ms, with, usage } => {
                let of = request.heartbeats.len() as u32;
                request.heartbeat_usages.extend(usage.map(|with| naive_usage::usage(of, with)));
                request.heartbeats.push(Heartbeat {
                    job: self.job(job, token),
                    extend_ms,
                    progress: if with & 1 == 0 { b"" } else { b"p" },
                    checkpoint: if with & 2 == 0 { b"" } else { b"c" },
                });
            }
            Op::Release { job, token } => request.releases.push(self.job(job, token)),
            Op::Cancel { job } => request.cancels.push(self.job(job, 0).job),
            Op::Delete { job } => request.deletes.push(self.job(job, 0).job),
            Op::Pause { queue, paused } => {
                let action = if paused { QueueAction::Pause } else { QueueAction::Resume };
                request.queue_controls.push(QueueControl { queue: QUEUES[queue], action });
            }
            Op::Fetch { ref queues, count, lease_ms, wait } => {
                request.fetch = Some(Fetch {
                    queues: queues.iter().map(|at| QUEUES[*at]).collect(),
                    count,
                    lease_ms,
                    wait_ms: u32::from(wait),
                    worker: "",
                });
            }
            Op::Extend { ms } => request.extend_session_ms = ms,
        }
    }

    fn request(&mut self, client: u8, ops: &[Op], confirm: bool) {
        self.model.now = self.now.0;
        let request = self.build(client, ops, confirm);
        self.perform(&request);
    }

    fn control(&mut self, client: u8, jobs: &[(usize, u8, u8)]) {
        self.model.now = self.now.0;
        let mut request = self.build(client, &[], false);
        let control = |&(job, kind, with): &(usize, u8, u8)| JobControl {
            job: self.job(job, 0).job,
            action: action(kind, with),
        };
        request.job_controls = jobs.iter().map(control).collect();
        self.see_checkpoints(&mut request);
        self.perform(&request);
    }

    /// Events for jobs that once had a plan, and now and then for others.
    fn append(&mut self, client: u8, events: &[(usize, usize, u8)]) {
        self.model.now = self.now.0;
        let mut request = self.build(client, &[], false);
        let append = |&(job, kind, id): &(usize, usize, u8)| {
            let planned = self.planned.iter().rev().nth(job % 4).copied().filter(|_| job < 11);
            plans::append(planned.unwrap_or_else(|| self.job(job, 0).job), kind, id)
        };
        request.appends = events.iter().map(append).collect();
        self.perform(&request);
    }

    fn configure(&mut self, client: u8, queue: usize, [a, b, c, d]: [u8; 4]) {
        self.model.now = self.now.0;
        let few = |n: u8| if n < 128 { 0 } else { 1 + u32::from(n % 4) };
        let window = |rate: u32| if rate == 0 { 0 } else { 400 };
        let (rate, key_rate) = (few(b), few(d));
        let settings = QueueSettings {
            concurrency: few(a),
            rate,
            window_ms: window(rate),
            key_concurrency: few(c),
            key_rate,
            key_window_ms: 2 * window(key_rate),
            fair: Sharing::None,
        };
        self.has_rates |= rate > 0 || key_rate > 0;
        let mut request = self.build(client, &[], false);
        let action = QueueAction::Configure(settings);
        request.queue_controls = vec![QueueControl { queue: QUEUES[queue], action }];
        self.perform(&request);
    }

    fn schedule(&mut self, client: u8, controls: &[(usize, usize, u8, u8)]) {
        self.model.now = self.now.0;
        let mut request = self.build(client, &[], false);
        let control = |&(queue, name, kind, with): &(usize, usize, u8, u8)| ScheduleControl {
            queue: QUEUES[queue],
            name: ["hourly", "a report"][name],
            action: schedule_action(kind, with),
        };
        request.schedule_controls = controls.iter().map(control).collect();
        self.perform(&request);
    }

    pub(crate) fn perform(&mut self, request: &Request<'static>) {
        if self.has_rates {
            // As a shard does before it decides anything: windows open by that.
            self.timers(1000);
        }
        let expected = self.model.request(request);
        let mut blob = Vec::new();
        let decision = decide(&self.state, self.now, request, &mut blob);
        let happened = match decision {
            Decision::Events(group) => {
                let reply = self.absorb(group).expect("it has a session");
                for run in reply.enqueued.iter().filter(|run| run.code == Code::Ok) {
                    let id = |nth| JobId::new(run.created_ms, ShardId(0), run.first_job.plus(nth));
                    self.jobs.extend((0..u64::from(run.count)).map(id));
                }
                let has_plan = |id: &&JobId| self.state.job(**id).is_ok_and(|v| v.plan.is_some());
                let made = reply.enqueued.iter().map(|run| run.count as usize).sum::<usize>();
                let new = self.jobs.iter().rev().take(made).filter(has_plan).copied();
                self.planned
                    .extend(new.filter(|id| !self.planned.contains(id)).collect::<Vec<_>>());
                let runs = reply.schedule_controls.iter();
                for run in runs.filter(|run| run.code == Code::Ok && run.job.0 > 0) {
                    self.jobs.push(JobId::new(run.created_ms, ShardId(0), run.job));
                }
                for lease in &reply.leases {
                    let tokens = self.tokens.entry(lease.job.0).or_default();
                    let grows = tokens.last().is_none_or(|last| last < &lease.token);
                    assert!(grows, "r11: a token did not grow");
                    tokens.push(lease.token);
                }
                let again = decide(&self.state, self.now, request, &mut Vec::new());
                assert_eq!(again, Decision::Repeat(reply.clone().into()), "r09: a repeat differs");
                Outcome::Reply(reply.into())
            }
            Decision::Repeat(reply) => Outcome::Reply((*reply).clone().into()),
            Decision::Nothing => Outcome::Nothing,
            Decision::Wait => Outcome::Wait,
            Decision::Refuse { code, .. } => Outcome::Refuse(code),
        };
        assert_eq!(happened, expected, "{request:?}");
    }

    /// A repeat of an answered request gets that answer; of a confirmed one, a refusal.
    fn repeat(&mut self, client: u8, back: u64) {
        let session = SessionId(self.client(client));
        let client = &self.clients[&client];
        let number = client.number.saturating_sub(back).max(1);
        let confirmed_below = client.confirmed_below.min(number);
        let request = Request { session, number, confirmed_below, ..Request::default() };
        self.perform(&request);
    }

    fn timers(&mut self, limit: usize) {
        self.model.now = self.now.0;
        loop {
            let events =
                decide_timers(&self.state, &Settings::default(), self.now, limit, &mut Vec::new());
            let group = Group { events, ..Group::default() };
            if group.events.is_empty() {
                break;
            }
            let keys = group.events.iter().filter(|e| matches!(e, Event::UniqueTaken { .. }));
            let jobs = group.count() - keys.map(Event::count).sum::<u64>();
            assert!(jobs <= limit as u64, "more timers than asked for");
            for event in &group.events {
                if let Event::ScheduleFired { job, duplicate: false, .. } = event {
                    self.jobs.push(JobId::new(self.now.ms(), ShardId(0), *job));
                }
            }
            self.model.timers(&group.events);
            assert_eq!(self.absorb(group), None);
        }
        let next = self.state.next_timer(&Settings::default());
        let left = next.is_some_and(|due| due <= self.now) && !self.model.operates();
        assert!(!left, "something due was left");
    }

    fn close(&mut self, client: u8) {
        self.model.now = self.now.0;
        if let Some(Client { session, .. }) = self.clients.remove(&client) {
            let group = decide_close_session(&self.state, SessionId(session));
            self.absorb(group.expect("it is open"));
            self.model.close(session);
            assert_eq!(decide_close_session(&self.state, SessionId(session)), None);
        }
    }

    fn restart(&mut self) {
        let before = chunks(&self.state);
        let restored = State::restore(&before).expect("it was just written");
        restored.check();
        let later = self.now.plus_ms(100_000);
        let due = |state: &State| {
            decide_timers(state, &Settings::default(), later, 1000, &mut Vec::new())
        };
        assert_eq!(due(&restored), due(&self.state), "r07: time does other things after a restore");
        let step = |state: &State| decide_operations(state, later, 3, &mut Vec::new());
        assert_eq!(step(&restored), step(&self.state), "r07: other steps after a restore");
        self.state = restored;
        assert!(chunks(&self.state) == before, "r07: a restored state is written differently");
    }

    /// What a snapshot says does not depend on what happens while it is written.
    fn hold_snapshot(&mut self) {
        self.check_held();
        let (snapshot, expected) = (self.state.snapshot(), chunks(&self.state));
        self.held = Some(Held { snapshot, expected, log_at: self.log.len() });
    }

    fn check_held(&mut self) {
        let Some(held) = self.held.take() else { return };
        let written: Vec<_> = held.snapshot.collect();
        assert!(written == held.expected, "a snapshot changed while it was written");
        let mut state = State::restore(&written).expect("it was just written");
        for (time, group) in &self.log[held.log_at..] {
            state.absorb(*time, group);
        }
        assert!(chunks(&state) == chunks(&self.state), "r07: snapshot and suffix differ");
    }

    fn compare(&self) {
        let (state, model) = (&self.state, &self.model);
        assert_eq!(state.next_event().0, model.next_event, "events");
        assert_eq!(state.next_job().0, model.next_job, "jobs");
        let mut counts: BTreeMap<&str, [u64; JOB_STATES]> = BTreeMap::new();
        for job in model.jobs.values() {
            let view = state.job(job.view.id);
            let plan = job.plan.as_ref().map(|plan| Box::new(plan.view(job.view.state)));
            let checkpoint = job.view.checkpoint;
            let agent = job.view.agent.map(|agent| AgentView { checkpoint, ..agent });
            let expected = JobView { plan, agent, ..job.view.clone() };
            assert_eq!(view, Ok(expected), "r10: a job differs");
            let counts = counts.entry(&job.view.class.queue).or_default();
            counts[job.view.state as usize] += 1;
        }
        assert_eq!(state.stats().jobs, model.jobs.len() as u64, "r10: jobs in memory");
        assert_eq!(state.stats().sessions, model.sessions.len() as u64, "sessions");
        let queues: Vec<_> = state.queues("", "").collect();
        assert_eq!(queues.len(), model.queues.len(), "queues");
        for (queue, (name, (paused, completed, enqueued))) in queues.iter().zip(&model.queues) {
            let mut jobs = counts.remove(&**name).unwrap_or_default();
            jobs[5] = *completed;
            assert_eq!((&queue.queue, queue.paused, queue.jobs), (name, *paused, jobs), "r10");
            assert_eq!(queue.enqueued_total, *enqueued, "enqueued");
            let settings = model.settings.get(name).copied().unwrap_or_default();
            assert_eq!(queue.settings, settings, "settings");
            assert_eq!(queue.draining, model.draining.contains(name), "draining");
        }
        let due = model.jobs.values().filter_map(|job| Naive::due(&job.view));
        let due = due.chain(model.first_planned()).chain(model.first_silent()).min();
        // Windows that open are timers too.
        let next = state.next_timer(&Settings::default()).map(|due| due.0);
        let now = model.operates().then_some(state.time().0);
        let due = due.into_iter().chain(now).min();
        if self.has_rates {
            assert!(next.is_some() || due.is_none(), "next timer");
            assert!(due.is_none_or(|due| next.is_some_and(|next| next <= due)), "next timer");
        } else {
            assert_eq!(next, due, "next timer");
        }
        self.compare_workers();
        self.compare_usage();
        let operations: Vec<_> = state.operations().collect();
        assert_eq!(operations, model.operation_views(), "operations");
        for ((queue, name), planned) in &model.schedules {
            let view = state.schedule(queue, name);
            assert_eq!(view.as_ref(), Some(&planned.view), "a schedule differs");
        }
        let definitions = model.schedules.values().map(|planned| planned.view.defined.0);
        let oldest = model.jobs.values().map(|job| job.view.record.0).chain(definitions).min();
        let oldest = oldest.unwrap_or(model.next_event);
        assert_eq!(state.oldest_needed_event().0, oldest, "oldest needed event");
    }

    /// Every job that can be fetched is, in order, on both sides; then the log is replayed.
    fn finish(&mut self) {
        while self.model.operates() {
            self.operations(3, 1);
            self.compare();
        }
        self.timers(1000);
        let fetch = Op::Fetch { queues: vec![0, 1, 2], count: 5, lease_ms: 1000, wait: true };
        for _ in 0..10 {
            self.request(9, std::slice::from_ref(&fetch), false);
            self.compare();
        }
        self.check_held();
        self.state.check();
        let mut replayed = State::new(ShardId(0), 1);
        for (time, group) in &self.log {
            replayed.absorb(*time, group);
        }
        assert_eq!(replayed.digest(), self.state.digest(), "r07: replay has another digest");
        assert!(chunks(&replayed) == chunks(&self.state), "r07: replay is another state");
    }
}
