//! What a client does next.

use jobbie_proto::event::{HoldEnd, QueueSettings, Sharing};
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{
    Ack, EnqueueHold, Fail, Fetch, Heartbeat, Hold, JobAction, JobControl, JobRef, QueueAction,
    QueueControl, Stats,
};
use jobbie_proto::wire::Subscribe;
use jobbie_proto::{JobId, LeaseToken, Request};
use jobbie_sim::Handle;

use super::jobs::Order;
use super::{Client, Held};
use crate::world::Phase;

/// So many jobs that, when they are long, an answer takes several frames.
const FETCH_MANY: u32 = 80;

/// How often held agent jobs are looked at, as habits count.
const JUDGE: u64 = 4;
/// How often budgets and policies are changed.
const RULE: u64 = 2;

/// What happens to a lease.
enum Fate {
    Ack,
    Fail { no_retry: bool },
    Heartbeat { extend_ms: u32, checkpoint: bool },
    Release,
}

impl Client {
    pub(super) fn act(&mut self) {
        if Handle::current().now_nanos() < self.patience_nanos {
            return;
        }
        match self.phase() {
            Phase::Load => self.act_freely(),
            Phase::Drain => self.drain(),
            Phase::Silence | Phase::End => {}
        }
    }

    fn act_freely(&mut self) {
        let habits = self.habits.clone();
        let weights = [
            habits.enqueue,
            habits.fetch,
            habits.subscribe,
            habits.work,
            habits.stale,
            habits.operate,
            habits.ask,
            habits.repeat,
            habits.extend,
            habits.append,
            habits.goodbye,
            if self.world.plan.ties { habits.tie } else { 0 },
            if self.world.plan.agents { JUDGE } else { 0 },
            if self.world.plan.budgets { RULE } else { 0 },
        ];
        let mut at = self.rng.below(weights.iter().sum());
        let mut chosen = 0;
        while at >= weights[chosen] {
            at -= weights[chosen];
            chosen += 1;
        }
        match chosen {
            0 => self.enqueue(),
            1 => self.fetch(),
            2 => self.subscribe(),
            3 => self.work(),
            4 => self.speak_late(),
            5 => self.operate(),
            6 => self.ask(),
            7 => self.repeat(),
            8 => {
                let extend_session_ms = 100 + self.rng.below(3000) as u32;
                self.submit(Request { extend_session_ms, ..Request::default() });
            }
            9 => self.append(),
            10 => self.core.goodbye(),
            11 => self.tie(),
            12 => self.judge(),
            _ => self.rule(),
        }
    }

    /// Works off everything, and nothing else.
    fn drain(&mut self) {
        if self.rng.below(8) == 0 {
            let queues = self.queues.clone();
            let resume = |queue| QueueControl { queue, action: QueueAction::Resume };
            let unlimited = QueueAction::Configure(QueueSettings::default());
            let unlimit = |queue| QueueControl { queue, action: unlimited };
            let act = |queue| [resume(queue), unlimit(queue)];
            let queue_controls = queues.iter().flat_map(|queue| act(queue.as_str())).collect();
            return self.submit(Request { queue_controls, ..Request::default() });
        }
        if self.rng.below(8) == 0 {
            return self.approve_all();
        }
        if self.world.plan.ties && self.rng.below(8) == 0 {
            return self.send_off_blocked();
        }
        if self.rng.below(8) == 0 {
            return self.cancel_planned();
        }
        if self.world.plan.budgets && self.rng.below(8) == 0 {
            return self.only_warn();
        }
        let held = std::mem::take(&mut self.held);
        let acks: Vec<Ack<'_>> =
            held.iter().map(|held| Ack { job: held.job, result: b"drained" }).collect();
        if !self.core.has_room() {
            self.held = held;
            return;
        }
        let queues = self.queues.clone();
        let fetch = Some(Fetch {
            queues: queues.iter().map(String::as_str).collect(),
            count: FETCH_MANY,
            lease_ms: 2000,
            wait_ms: 0,
            worker: "",
        });
        self.submit(Request { acks, fetch, ..Request::default() });
    }

    /// Lets everything go on that waits for a human.
    fn approve_all(&mut self) {
        let held = self.world.ledger.with(self.shard, |book| {
            let held = |seq: &u64| book.model.job(*seq).state == JobState::Held;
            let held = book.model.live.iter().copied().filter(held).take(100);
            held.map(|seq| book.model.job(seq).id).collect::<Vec<_>>()
        });
        let approve =
            |job| JobControl { job, action: JobAction::Approve { note: b"", by: "drain" } };
        let job_controls = held.into_iter().map(approve).collect();
        self.submit(Request { job_controls, ..Request::default() });
    }

    fn enqueue(&mut self) {
        let jobs = 1 + if self.rng.below(4) == 0 { self.rng.below(12) } else { 0 };
        let orders: Vec<Order> = (0..jobs).map(|_| self.order()).collect();
        let enqueues = orders.iter().map(Order::enqueue).collect();
        let queues = self.queues.clone();
        let fetch = (self.rng.below(10) == 0).then(|| self.any_fetch(&queues, 0));
        let held = (0..jobs as u32).filter(|_| self.rng.below(20) == 0).collect::<Vec<_>>();
        let hold = |enqueue| EnqueueHold { enqueue, hold: self.any_hold() };
        let holds = held.iter().copied().map(hold).collect();
        let plans = self.any_plans(&orders, &held);
        let agents = self.any_agents(&orders, &plans);
        self.submit(Request { enqueues, holds, plans, agents, fetch, ..Request::default() });
    }

    fn any_fetch<'a>(&mut self, queues: &'a [String], wait_ms: u32) -> Fetch<'a> {
        let first = self.rng.below(queues.len() as u64) as usize;
        let mut named: Vec<&str> = queues[first..].iter().map(String::as_str).collect();
        if self.rng.below(8) == 0 {
            named.push(&queues[first]);
        }
        Fetch {
            queues: named,
            count: if self.rng.below(40) == 0 { FETCH_MANY } else { 1 + self.rng.below(6) as u32 },
            lease_ms: 100 + self.rng.below(1500) as u32,
            wait_ms,
            worker: if self.rng.coin() { "" } else { "another name" },
        }
    }

    fn fetch(&mut self) {
        let queues = self.queues.clone();
        let wait_ms = if self.rng.coin() { 0 } else { self.rng.below(3000) as u32 };
        let fetch = Some(self.any_fetch(&queues, wait_ms));
        self.submit(Request { fetch, ..Request::default() });
    }

    fn subscribe(&mut self) {
        let add = 1 + self.rng.below(8) as u32;
        match &mut self.subscription {
            None => {
                self.subscriptions += 1;
                let subscription = self.subscriptions;
                let queues = self.queues.clone();
                let lease_ms = 100 + self.rng.below(2000) as u32;
                let queues = queues.iter().map(String::as_str).collect();
                let subscribe = Subscribe { subscription, queues, lease_ms, worker: "" };
                self.core.subscribe(&subscribe).expect("names are short");
                self.core.credit(subscription, add);
                self.subscription = Some((subscription, add));
            }
            Some((subscription, _)) if self.rng.below(5) == 0 => {
                let subscription = *subscription;
                self.core.unsubscribe(subscription);
                self.subscription = None;
            }
            Some((subscription, credit)) => {
                *credit += add;
                let subscription = *subscription;
                self.core.credit(subscription, add);
            }
        }
    }

    /// Finishes, fails, prolongs or gives back what is in hand and ripe.
    fn work(&mut self) {
        if !self.core.has_room() {
            return;
        }
        let now = Handle::current().now_nanos();
        let (ripe, green): (Vec<Held>, Vec<Held>) =
            self.held.iter().partition(|held| held.until_nanos <= now);
        self.held = green;
        let mut fates: Vec<(JobRef, Fate)> = Vec::new();
        for held in ripe {
            if self.rng.below(12) == 0 {
                // Forgotten: its lease runs out.
                self.old.push_back(held.job);
                continue;
            }
            let fate = self.fate();
            if let Fate::Heartbeat { .. } = fate {
                let until_nanos = now + self.about(200_000_000);
                self.held.push(Held { until_nanos, ..held });
            } else {
                self.old.push_back(held.job);
            }
            fates.push((held.job, fate));
        }
        if !fates.is_empty() {
            self.settle(&fates);
        }
    }

    fn fate(&mut self) -> Fate {
        match self.rng.below(20) {
            0..=10 => Fate::Ack,
            11..=14 => Fate::Fail { no_retry: self.rng.below(6) == 0 },
            15..=17 => {
                let extend_ms = if self.rng.coin() { 0 } else { 100 + self.rng.below(1500) as u32 };
                Fate::Heartbeat { extend_ms, checkpoint: self.rng.coin() }
            }
            _ => Fate::Release,
        }
    }

    /// One request with all of it, in no particular order, now and then with new jobs and a fetch.
    fn settle(&mut self, fates: &[(JobRef, Fate)]) {
        let mut request = Request::default();
        for (job, fate) in fates {
            // Zero asks for no check of the token.
            let blind = self.rng.below(40) == 0;
            let token = if blind { LeaseToken(0) } else { job.token };
            let job = JobRef { token, ..*job };
            match fate {
                Fate::Ack => request.acks.push(Ack { job, result: b"done" }),
                Fate::Fail { no_retry } => request.fails.push(Fail {
                    job,
                    error: b"it broke",
                    backtrace: b"here",
                    no_retry: *no_retry,
                }),
                Fate::Heartbeat { extend_ms, checkpoint } => request.heartbeats.push(Heartbeat {
                    job,
                    extend_ms: *extend_ms,
                    progress: b"half",
                    checkpoint: if *checkpoint { b"so far" } else { b"" },
                }),
                Fate::Release => request.releases.push(job),
            }
        }
        if !request.acks.is_empty() && self.world.plan.ties && self.rng.below(6) == 0 {
            request.ties.exits = vec![self.rng.below(request.acks.len() as u64) as u32];
        }
        if self.world.plan.agents {
            self.say_of_iterations(&mut request);
            self.report_usage(&mut request);
        }
        let order = (self.rng.below(8) == 0).then(|| self.order());
        request.enqueues = order.iter().map(Order::enqueue).collect();
        let queues = self.queues.clone();
        if self.rng.below(4) == 0 {
            let wait_ms = self.rng.below(500) as u32;
            request.fetch = Some(self.any_fetch(&queues, wait_ms));
        }
        self.submit(request);
    }

    /// Speaks of leases that are over.
    fn speak_late(&mut self) {
        let count = self.old.len() as u64;
        if count == 0 {
            return;
        }
        let mut fates = Vec::new();
        for _ in 0..1 + self.rng.below(3) {
            let job = self.old[self.rng.below(count) as usize];
            fates.push((job, self.fate()));
        }
        self.settle(&fates);
    }

    pub(super) fn any_known(&mut self, count: u64) -> Vec<JobId> {
        if self.known.is_empty() {
            return Vec::new();
        }
        let len = self.known.len() as u64;
        (0..count).map(|_| self.known[self.rng.below(len) as usize]).collect()
    }

    fn any_hold(&mut self) -> Hold<'static> {
        let then = HoldEnd::from_u8(self.rng.below(3) as u8).expect("there are three");
        let timeout_ms = if then == HoldEnd::Stay { 0 } else { 100 + self.rng.below(3000) };
        Hold { reason: b"look at it", by: "an operator", timeout_ms, then }
    }

    fn any_settings(&mut self) -> QueueSettings {
        let mut few = || if self.rng.coin() { 0 } else { 1 + self.rng.below(5) as u32 };
        let (concurrency, rate, key_concurrency, key_rate) = (few(), few(), few(), few());
        let window = |rate: u32, ms| if rate == 0 { 0 } else { ms };
        QueueSettings {
            concurrency,
            rate,
            window_ms: window(rate, 150),
            key_concurrency,
            key_rate,
            key_window_ms: window(key_rate, 300),
            fair: Sharing::from_u8(self.rng.below(3) as u8).expect("there are three"),
        }
    }

    fn control(&mut self) {
        let count = 1 + self.rng.below(4);
        let mut jobs = self.any_known(count);
        jobs.sort_unstable();
        jobs.dedup();
        let queues = self.queues.clone();
        let payloads: Vec<_> = jobs.iter().map(|_| self.new_payload()).collect();
        let mut job_controls = Vec::new();
        for (job, payload) in jobs.into_iter().zip(&payloads) {
            let by = "an operator";
            let action = match self.rng.below(8) {
                0 => JobAction::Retry,
                1 => JobAction::Requeue,
                2 => JobAction::Hold(self.any_hold()),
                3 => JobAction::Approve { note: b"fine", by },
                4 => JobAction::Reject { reason: b"no", by },
                5 => {
                    JobAction::Move { queue: &queues[self.rng.below(queues.len() as u64) as usize] }
                }
                6 => JobAction::Prioritize { priority: self.rng.below(3) as u8 },
                _ => JobAction::Replace { payload },
            };
            job_controls.push(JobControl { job, action });
        }
        self.submit(Request { job_controls, ..Request::default() });
    }

    fn operate(&mut self) {
        let jobs = 1 + self.rng.below(2);
        if self.world.plan.moves && self.rng.coin() {
            return self.move_some();
        }
        if self.rng.coin() {
            return self.control();
        }
        if self.rng.below(4) == 0 {
            return self.schedule();
        }
        match self.rng.below(5) {
            4 => self.operate_on_many(),
            0 => {
                let cancels = self.any_known(jobs);
                self.submit(Request { cancels, ..Request::default() });
            }
            1 => {
                let deletes = self.any_known(jobs);
                self.submit(Request { deletes, ..Request::default() });
            }
            2 if self.world.plan.limits => {
                let at = self.rng.below(self.queues.len() as u64) as usize;
                let queue = self.queues[at].clone();
                let action = QueueAction::Configure(self.any_settings());
                let queue_controls = vec![QueueControl { queue: &queue, action }];
                self.submit(Request { queue_controls, ..Request::default() });
            }
            _ => {
                let at = self.rng.below(self.queues.len() as u64) as usize;
                let queue = self.queues[at].clone();
                let paused = self.rng.below(3) == 0;
                let action = if paused { QueueAction::Pause } else { QueueAction::Resume };
                let queue_controls = vec![QueueControl { queue: &queue, action }];
                self.submit(Request { queue_controls, ..Request::default() });
            }
        }
    }

    fn ask(&mut self) {
        match self.rng.below(3) {
            0 => self.core.ping(7),
            1 => {
                let lookups = self.any_known(3);
                self.submit(Request { lookups, ..Request::default() });
            }
            _ => {
                let stats = if self.rng.coin() { Stats::Shard } else { Stats::Operations };
                self.submit(Request { stats, ..Request::default() });
            }
        }
    }

    /// Sends a request again that was sent before, answered or not.
    fn repeat(&mut self) {
        if self.recent.is_empty() {
            return;
        }
        let at = self.rng.below(self.recent.len() as u64) as usize;
        let frame = self.recent[at].clone();
        self.core.output().extend_from_slice(&frame);
    }
}
