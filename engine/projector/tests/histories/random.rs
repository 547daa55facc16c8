//! Anything that can be asked of the engine, in any order.

use jobbie_proto::agent::AgentLimits;
use jobbie_proto::event::{BackoffKind, BulkAction, HoldEnd, JobFilter, Missed, Task};
use jobbie_proto::plan::Need;
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{
    Ack, Agent, AgentAck, Append, Chain, Definition, Depends, Enqueue, EnqueueAgent, EnqueueHold,
    EnqueuePlan, Expected, Fail, Fetch, Heartbeat, Hold, JobAction, JobControl, JobRef, Members,
    Operate, Parents, QueueAction, QueueControl, ReportUsage, ScheduleAction, ScheduleControl,
    Ties, Usage, When,
};
use jobbie_proto::rules::{Budget, OnExceed, RuleControl, Scope};
use jobbie_proto::usage::Amounts;
use jobbie_proto::{BatchId, EventSeq, JobId, Request, ShardId, placement};

use crate::shards::{Rng, Shards};

pub(crate) const SHARDS: u16 = 3;
pub(crate) const QUEUES: [&str; 6] = ["q-0", "q-1", "q-2", "ns::mails", "ns::pictures", "other"];
const HOLD: Hold<'_> =
    Hold { reason: b"because", by: "me", timeout_ms: 300, then: HoldEnd::Approve };

pub(crate) struct Random {
    pub(crate) rng: Rng,
    pub(crate) shards: Shards,
    leases: Vec<JobRef>,
    batches: Vec<BatchId>,
    texts: u64,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let (rng, shards) = (Rng(seed), Shards::new(SHARDS));
        Self { rng, shards, leases: Vec::new(), batches: Vec::new(), texts: 0 }
    }

    fn shard(&mut self) -> u16 {
        self.rng.below(u64::from(SHARDS)) as u16
    }

    fn job(&mut self) -> Option<JobId> {
        if self.shards.jobs.is_empty() {
            return None;
        }
        // Mostly a new one.
        let all = self.shards.jobs.len() as u64;
        let back =
            if self.rng.one_in(3) { self.rng.below(all) } else { self.rng.below(all.min(20)) };
        Some(self.shards.jobs[(all - 1 - back) as usize])
    }

    pub(crate) fn step(&mut self) {
        self.shards.now.0 += 1 + self.rng.below(2_000);
        match self.rng.below(40) {
            0..=9 => self.enqueue(),
            10..=15 => self.fetch(),
            16..=20 => self.work(),
            21..=26 => self.control(),
            27 => self.queue(),
            28 => self.schedule(),
            29 => self.operation(),
            30..=33 => {
                let (from, to) = (self.shard(), self.shard());
                self.shards.letter(from, to);
            }
            34 => {
                self.shards.now.0 += self.rng.below(400_000);
                (0..SHARDS).for_each(|shard| self.shards.timers(shard));
            }
            35 => {
                let shard = self.shard();
                self.shards.sight(shard, 0, "worker-0", "host-b");
                self.shards.sight(shard, 1, "named", "host-c");
            }
            36 => self.batch(),
            37 => self.append(),
            38 => self.rule(),
            _ => {
                let (shard, extend) = (self.shard(), 500 + self.rng.below(3000) as u32);
                let request = Request { extend_session_ms: extend, ..Request::default() };
                self.shards.run(shard, 0, request);
            }
        }
        for shard in 0..SHARDS {
            if !self.rng.one_in(4) {
                self.shards.consequences(shard);
            }
            self.shards.operations(shard);
        }
    }

    fn enqueue(&mut self) {
        self.texts += 1;
        let queue = *self.rng.pick(&QUEUES);
        let n = self.texts;
        let word = *self.rng.pick(&["Invoice", "invoice", "receipt", "100%_done", "x"]);
        let payload = format!(
            r#"{{"n":{},"kind":"{word}","list":["a",{n}],"deep":{{"flag":true}}}}"#,
            n % 10
        );
        let tags = format!(r#"{{"tenant":"t{}","word":"{word}","number":5}}"#, n % 4);
        let unique = format!("unique-{}", self.rng.below(5));
        let limit_key = if self.rng.one_in(4) { "tenant-1" } else { "" };
        let when = match self.rng.below(4) {
            0 => When::DelayMs(self.rng.below(300)),
            _ => When::Now,
        };
        let one = Enqueue {
            queue,
            payload: payload.as_bytes(),
            tags: if self.rng.one_in(2) { tags.as_bytes() } else { b"" },
            key: b"",
            key_ms: 0,
            unique: if self.rng.one_in(4) { unique.as_bytes() } else { b"" },
            unique_ms: 0,
            limit_key,
            priority: *self.rng.pick(&[0, 1, 2, 2, 2, 3]),
            max_retries: 1 + self.rng.below(3) as u32,
            backoff: BackoffKind::Fixed,
            backoff_base_ms: 100,
            backoff_cap_ms: 0,
            expire_after_ms: if self.rng.one_in(6) { 1 + self.rng.below(800) } else { 0 },
            when,
        };
        let count = if self.rng.one_in(3) { 1 + self.rng.below(4) as usize } else { 1 };
        let mut request = Request { enqueues: vec![one; count], ..Request::default() };
        match self.rng.below(10) {
            0 => request.holds = vec![EnqueueHold { enqueue: 0, hold: HOLD }],
            1 if one.when == When::Now => {
                let name = "paid";
                let kind = Expected { name, need: Need::Required, count: 1, deadline_ms: 0 };
                let failed = Expected { name: "refused", need: Need::Failure, ..kind };
                let (deadline_ms, kinds) = (1 + self.rng.below(2000), vec![kind, failed]);
                request.plans = vec![EnqueuePlan { enqueue: 0, deadline_ms, kinds }];
            }
            2..=3 => {
                let limits = AgentLimits { max_iterations: 3, ..AgentLimits::default() };
                let agent = Agent { limits, checkpoint: b"{\"at\":0}", replayed: None };
                request.agents = vec![EnqueueAgent { enqueue: 0, agent }];
            }
            _ => {}
        }
        let handler = Enqueue { payload: b"{}", tags: b"", unique: b"", when: When::Now, ..one };
        request.ties = self.ties(&handler);
        self.shards.run(placement::shard_of(queue, SHARDS).0, 0, request);
    }

    fn ties<'a>(&mut self, handler: &Enqueue<'a>) -> Ties<'a> {
        let mut ties = Ties::default();
        if self.rng.one_in(4) && !self.batches.is_empty() {
            let batch = *self.rng.pick(&self.batches);
            ties.members = vec![Members { batch, first: 0, count: 1 }];
        }
        if self.rng.one_in(4) {
            let steps = (0..self.rng.below(3))
                .map(|_| Enqueue { queue: self.rng.pick::<&str>(&QUEUES), ..*handler })
                .collect();
            let (on_failure, on_exit) = (Some(*handler), Some(*handler));
            ties.chains = vec![Chain { enqueue: 0, steps, on_failure, on_exit }];
        }
        let (one, two) = (self.job(), self.job());
        if let (Some(one), Some(two), true) = (one, two, self.rng.one_in(3)) {
            let mut on = vec![one, two];
            on.dedup();
            ties.depends = vec![Depends { enqueue: 0, on }];
        }
        if let (Some(parent), true) = (one, self.rng.one_in(4)) {
            ties.parents = vec![Parents { parent, first: 0, count: 1 }];
        }
        ties
    }

    fn fetch(&mut self) {
        let (shard, session) = (self.shard(), self.rng.below(2) as usize);
        let worker = if self.rng.one_in(3) { "named" } else { "" };
        let (count, lease_ms) = (1 + self.rng.below(6) as u32, 100 + self.rng.below(800) as u32);
        let fetch = Fetch { queues: QUEUES.to_vec(), count, lease_ms, wait_ms: 0, worker };
        let mut queues = fetch.queues.clone();
        queues.retain(|queue| placement::shard_of(queue, SHARDS) == ShardId(shard));
        if queues.is_empty() {
            return;
        }
        let fetch = Some(Fetch { queues, ..fetch });
        let reply = self.shards.run(shard, session, Request { fetch, ..Request::default() });
        for lease in reply.leases {
            let job = JobId::new(lease.created_ms, ShardId(shard), lease.job);
            self.leases.push(JobRef { job, token: lease.token });
        }
    }

    fn work(&mut self) {
        if self.leases.is_empty() {
            return;
        }
        let at = self.rng.below(self.leases.len() as u64) as usize;
        let job = if self.rng.one_in(3) { self.leases[at] } else { self.leases.swap_remove(at) };
        let shard = job.job.shard().0;
        let amounts = Amounts { cost_micros: self.rng.below(900_000), ..Amounts::default() };
        let usage = ReportUsage { of: 0, usage: Usage { amounts, model: "m", provider: "p" } };
        let usages = if self.rng.one_in(2) { vec![usage] } else { Vec::new() };
        let request = match self.rng.below(8) {
            0..=3 => {
                let status = self.rng.below(3) as u8;
                let said = AgentAck { of: 0, status, checkpoint: b"{\"at\":9}", reason: b"why" };
                let node = &self.shards.nodes[usize::from(shard)];
                let is_agent = node.state.job(job.job).is_ok_and(|view| view.agent.is_some());
                let agent_acks = if is_agent { vec![said] } else { Vec::new() };
                let acks = vec![Ack { job, result: b"{\"ok\":true}" }];
                Request { acks, agent_acks, ack_usages: usages, ..Request::default() }
            }
            4..=5 => {
                let no_retry = self.rng.one_in(3);
                let fails = vec![Fail { job, error: b"It Broke", backtrace: b"at 1", no_retry }];
                Request { fails, ..Request::default() }
            }
            6 => {
                let progress = if self.rng.one_in(2) { b"{\"done\":5}".as_slice() } else { b"" };
                let checkpoint = if self.rng.one_in(2) { b"{\"c\":1}".as_slice() } else { b"" };
                let beat = Heartbeat { job, extend_ms: 700, progress, checkpoint };
                let heartbeats = vec![beat];
                Request { heartbeats, heartbeat_usages: usages, ..Request::default() }
            }
            _ => Request { releases: vec![job], ..Request::default() },
        };
        self.shards.run(shard, 0, request);
    }

    fn control(&mut self) {
        let Some(job) = self.job() else { return };
        let shard = job.shard().0;
        let mut request = Request::default();
        let queue = *self.rng.pick(&QUEUES);
        let node = &self.shards.nodes[usize::from(shard)];
        let replaces = node.state.job(job).map_or(EventSeq(0), |view| view.checkpoint);
        let action = match self.rng.below(14) {
            0 => {
                request.cancels = vec![job];
                return drop(self.shards.run(shard, 0, request));
            }
            1 => {
                request.deletes = vec![job];
                return drop(self.shards.run(shard, 0, request));
            }
            2..=3 => JobAction::Retry,
            4 => JobAction::Requeue,
            5 => JobAction::Hold(HOLD),
            6 => JobAction::Approve { note: b"", by: "" },
            7 => {
                JobAction::Reject { reason: if self.rng.one_in(2) { b"bad" } else { b"" }, by: "" }
            }
            8 => JobAction::Revise { checkpoint: b"{\"r\":1}", feedback: b"f", by: "", replaces },
            9..=11 => JobAction::Move { queue },
            12 => JobAction::Prioritize { priority: self.rng.below(4) as u8 },
            _ => JobAction::Replace { payload: br#"{"kind":"replaced Invoice"}"# },
        };
        request.job_controls = vec![JobControl { job, action }];
        self.shards.run(shard, 0, request);
    }

    fn queue(&mut self) {
        let queue = *self.rng.pick(&QUEUES);
        let action = if self.rng.one_in(3) { QueueAction::Pause } else { QueueAction::Resume };
        let queue_controls = vec![QueueControl { queue, action }];
        let shard = placement::shard_of(queue, SHARDS).0;
        self.shards.run(shard, 0, Request { queue_controls, ..Request::default() });
    }

    fn schedule(&mut self) {
        let (queue, name) = (*self.rng.pick(&QUEUES), *self.rng.pick(&["daily", "hourly"]));
        let definition = Definition {
            expression: "* * * * *",
            zone: "",
            missed: Missed::Once,
            payload: br#"{"kind":"scheduled"}"#,
            tags: br#"{"tenant":"cron"}"#,
            unique: b"",
            unique_ms: 0,
            limit_key: "",
            priority: 1,
            max_retries: 2,
            backoff: BackoffKind::None,
            backoff_base_ms: 0,
            backoff_cap_ms: 0,
            expire_after_ms: 5000,
        };
        let action = match self.rng.below(5) {
            0..=1 => ScheduleAction::Set(definition),
            2..=3 => ScheduleAction::Run,
            _ => ScheduleAction::Delete,
        };
        let schedule_controls = vec![ScheduleControl { queue, name, action }];
        let shard = placement::shard_of(queue, SHARDS).0;
        self.shards.run(shard, 0, Request { schedule_controls, ..Request::default() });
    }

    fn operation(&mut self) {
        let (queue, shard) = (self.rng.pick(&QUEUES).to_string(), self.shard());
        let task = match self.rng.below(6) {
            0 => Task::Clear { queue },
            1 => Task::DeleteQueue { queue },
            n => Task::Bulk {
                action: match n {
                    2 => BulkAction::Move { queue },
                    3 => BulkAction::Cancel,
                    4 => BulkAction::Prioritize { priority: 1 },
                    _ => BulkAction::Retry,
                },
                filter: JobFilter::default().in_states(&[
                    JobState::Scheduled,
                    JobState::Pending,
                    JobState::Dead,
                ]),
                dry_run: false,
            },
        };
        let operation = Some(Operate::Start { task, jobs: Vec::new() });
        self.shards.run(shard, 0, Request { operation, ..Request::default() });
    }

    fn batch(&mut self) {
        let shard = self.shard();
        let ties = Ties { batch_opens: vec![None], ..Ties::default() };
        let reply = self.shards.run(shard, 0, Request { ties, ..Request::default() });
        self.batches.extend(reply.batches);
    }

    fn append(&mut self) {
        let planned = |shards: &Shards, job: &JobId| {
            let node = &shards.nodes[usize::from(job.shard().0)];
            node.state.job(*job).is_ok_and(|view| view.state == JobState::Planned)
        };
        let jobs: Vec<_> =
            self.shards.jobs.iter().copied().filter(|job| planned(&self.shards, job)).collect();
        if jobs.is_empty() {
            return;
        }
        let job = *self.rng.pick(&jobs);
        let kind = if self.rng.one_in(3) { "refused" } else { "paid" };
        let append = Append { job, id: b"1", kind, data: b"{}", source: "", trace: "" };
        let appends = vec![append];
        self.shards.run(job.shard().0, 0, Request { appends, ..Request::default() });
    }

    fn rule(&mut self) {
        let queue = self.rng.pick(&QUEUES).to_string();
        let shard = placement::shard_of(&queue, SHARDS).0;
        let on_exceed = *self.rng.pick(&[OnExceed::Hold, OnExceed::Reject, OnExceed::AlertOnly]);
        let scope = Scope::Queue(queue);
        let rule = if self.rng.one_in(3) {
            RuleControl::DeleteBudget(scope)
        } else {
            let (daily, per_job) = (Some(2_000_000), Some(500_000));
            RuleControl::SetBudget(Budget { scope, daily, per_job, on_exceed })
        };
        let rule_controls = vec![rule];
        self.shards.run(shard, 0, Request { rule_controls, ..Request::default() });
    }
}
