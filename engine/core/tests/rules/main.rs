//! Budgets and approval policies: on one shard, and on several with messages between them.

mod between;
mod daily;
mod jobs;
mod random;
mod set;
mod tags;

#[allow(dead_code, reason = "written for ties, of which this needs a part")]
#[path = "../ties/net.rs"]
mod net;

use jobbie_core::Decision;
use jobbie_proto::event::{Event, Rule};
use jobbie_proto::placement::shard_of;
use jobbie_proto::reply::{JobState, RuleDone};
use jobbie_proto::request::{Ack, Fetch, Heartbeat, JobRef, ReportUsage, Usage};
use jobbie_proto::rules::{Budget, JobTag, OnExceed, RULES_HOME, RuleControl, Scope};
use jobbie_proto::usage::Amounts;
use jobbie_proto::{Code, JobId, Micros, Request, ShardId};

use net::{Net, enqueue};

pub(crate) const HOUR_US: u64 = 3600 * 1_000_000;
pub(crate) const LONG_MS: u32 = 20 * 3600 * 1000;

pub(crate) fn tag(key: &str, value: &str) -> Scope {
    Scope::Tag(JobTag { key: key.into(), value: value.into() })
}

pub(crate) fn daily(scope: Scope, micros: u64, on_exceed: OnExceed) -> Budget {
    Budget { scope, daily: Some(micros), per_job: None, on_exceed }
}

pub(crate) fn per_job(scope: Scope, micros: u64, on_exceed: OnExceed) -> Budget {
    Budget { scope, daily: None, per_job: Some(micros), on_exceed }
}

pub(crate) fn usage(cost_micros: u64) -> Vec<ReportUsage<'static>> {
    let amounts = Amounts { cost_micros, ..Amounts::default() };
    vec![ReportUsage { of: 0, usage: Usage { amounts, model: "m", provider: "p" } }]
}

impl Net {
    pub(crate) fn control(&mut self, control: RuleControl) -> RuleDone {
        let home = control.home(self.nodes.len() as u16);
        let request = Request { rule_controls: vec![control], ..Request::default() };
        self.run(home, request).rule_controls[0]
    }

    pub(crate) fn set(&mut self, budget: Budget) -> u64 {
        let done = self.control(RuleControl::SetBudget(budget));
        assert_eq!(done.code, Code::Ok);
        done.id.0
    }

    pub(crate) fn add(&mut self, queue: &str, tags: &str, count: usize) -> Vec<JobId> {
        let job = jobbie_proto::request::Enqueue { tags: tags.as_bytes(), ..enqueue(queue) };
        self.enqueue(Request { enqueues: vec![job; count], ..Request::default() })
    }

    /// A fetch whose lease is long.
    pub(crate) fn ask<'a>(queues: &[&'a str], count: u32, wait_ms: u32) -> Request<'a> {
        let queues = queues.to_vec();
        let fetch = Fetch { queues, count, lease_ms: LONG_MS, wait_ms, worker: "" };
        Request { fetch: Some(fetch), ..Request::default() }
    }

    pub(crate) fn get(&mut self, queue: &str, count: u32) -> Vec<JobRef> {
        let shard = shard_of(queue, self.nodes.len() as u16);
        let reply = self.run(shard, Net::ask(&[queue], count, 0));
        let lease = |lease: &jobbie_proto::reply::Lease| JobRef {
            job: JobId::new(lease.created_ms, shard, lease.job),
            token: lease.token,
        };
        reply.leases.iter().map(lease).collect()
    }

    pub(crate) fn one(&mut self, queue: &str) -> JobRef {
        let got = self.get(queue, 1);
        assert_eq!(got.len(), 1, "nothing is given out");
        got[0]
    }

    pub(crate) fn finish(&mut self, job: JobRef, cost: u64) -> Code {
        let acks = vec![Ack { job, result: b"" }];
        let ack_usages = usage(cost);
        self.run(job.job.shard(), Request { acks, ack_usages, ..Request::default() }).acks[0]
    }

    pub(crate) fn beat(&mut self, job: JobRef, cost: u64) -> Code {
        let heartbeats = vec![Heartbeat { job, extend_ms: 0, progress: b"", checkpoint: b"" }];
        let heartbeat_usages = usage(cost);
        let request = Request { heartbeats, heartbeat_usages, ..Request::default() };
        self.run(job.job.shard(), request).heartbeats[0]
    }

    /// Makes a job of a queue and does it at a cost.
    pub(crate) fn spend(&mut self, queue: &str, tags: &str, cost: u64) -> Code {
        self.add(queue, tags, 1);
        let job = self.one(queue);
        self.finish(job, cost)
    }

    pub(crate) fn state_of(&self, job: JobId) -> Result<JobState, Code> {
        self.nodes[usize::from(job.shard().0)].state.job(job).map(|view| view.state)
    }

    pub(crate) fn exceeded(&self, queue: &str) -> Option<OnExceed> {
        let shard = shard_of(queue, self.nodes.len() as u16);
        self.nodes[usize::from(shard.0)].state.queue_stats(queue).expect("it is there").exceeded
    }

    /// How often the log of a shard says that a budget is exceeded.
    pub(crate) fn told(&self, shard: ShardId) -> usize {
        let is = |event: &Event| matches!(event, Event::Ruled(rule) if matches!(**rule, Rule::Exceeded { .. }));
        self.nodes[usize::from(shard.0)].count(is)
    }

    pub(crate) fn spent(&self, scope: &Scope) -> u64 {
        let home = scope.home(self.nodes.len() as u16);
        let state = &self.nodes[usize::from(home.0)].state;
        state.budgets().find(|view| view.budget.scope == *scope).expect("it is there").spent
    }

    pub(crate) fn at(&mut self, time: u64) {
        self.now = Micros(time);
    }

    pub(crate) fn is_nothing(&mut self, request: Request<'_>) -> bool {
        self.decide(ShardId(0), request) == Decision::Nothing
    }
}

/// The home of what concerns all shards.
pub(crate) const HOME: ShardId = RULES_HOME;

/// Snapshots and logs give back the same state.
pub(crate) fn survives(net: &mut Net) {
    for at in 0..net.nodes.len() {
        net.nodes[at].restart();
        net.nodes[at].take_snapshot();
        net.nodes[at].restart();
    }
}
