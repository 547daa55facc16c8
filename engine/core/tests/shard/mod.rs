//! A shard to try things on.

#![allow(dead_code, reason = "each test file uses its part of it")]

use jobbie_core::{Decision, Settings, State, decide, decide_open_session, decide_timers};
use jobbie_proto::event::{BackoffKind, Group};
use jobbie_proto::plan::Need;
use jobbie_proto::request::{Enqueue, EnqueuePlan, Expected, Fetch, JobRef, Plan, When};
use jobbie_proto::{Code, JobId, Micros, Reply, Request, SessionId, ShardId};

thread_local! {
    static CHECKS: std::cell::Cell<bool> = const { std::cell::Cell::new(true) };
}

/// Does something without checking every step, which takes time that grows with the state.
pub(crate) fn without_checks<T>(work: impl FnOnce() -> T) -> T {
    CHECKS.set(false);
    let done = work();
    CHECKS.set(true);
    done
}

/// A shard with one session and a clock of its own.
pub(crate) struct Shard {
    pub(crate) state: State,
    pub(crate) now: Micros,
    pub(crate) session: SessionId,
    pub(crate) number: u64,
}

impl Shard {
    pub(crate) fn new() -> Self {
        Self::of(ShardId(0), 1)
    }

    /// One of several.
    pub(crate) fn of(shard: ShardId, shards: u16) -> Self {
        let mut state = State::new(shard, shards);
        let now = Micros(1_000_000);
        let session = SessionId(state.next_event().0);
        let opened = decide_open_session(&state, 7, "worker", "host", &mut Vec::new());
        let Decision::Events(group) = opened else { panic!("{opened:?}") };
        assert_eq!(state.absorb(now, &group), None);
        assert_eq!(state.session_of(7), Some(session));
        Self { state, now, session, number: 0 }
    }

    pub(crate) fn request<'a>(&mut self) -> Request<'a> {
        self.number += 1;
        Request { session: self.session, number: self.number, ..Request::default() }
    }

    pub(crate) fn run(&mut self, request: &Request<'_>) -> Reply {
        match decide(&self.state, self.now, request, &mut Vec::new()) {
            Decision::Events(group) => {
                let reply = self.state.absorb(self.now, &group).expect("it has a session");
                if CHECKS.get() {
                    self.state.check();
                }
                (*reply).clone()
            }
            Decision::Nothing => Reply::default(),
            other => panic!("{other:?}"),
        }
    }

    /// The request is refused with this code and message.
    pub(crate) fn refused(&self, request: &Request<'_>) -> (Code, String) {
        match decide(&self.state, self.now, request, &mut Vec::new()) {
            Decision::Refuse { code, message } => (code, message),
            other => panic!("{other:?}"),
        }
    }

    /// Enqueues jobs and gives their ids.
    pub(crate) fn enqueue(&mut self, enqueues: Vec<Enqueue<'_>>) -> Vec<JobId> {
        let request = Request { enqueues, ..self.request() };
        self.enqueue_as(&request)
    }

    /// Enqueues a job that waits for events and gives its id.
    pub(crate) fn enqueue_planned(&mut self, job: Enqueue<'_>, plan: Plan<'_>) -> JobId {
        let Plan { deadline_ms, kinds } = plan;
        let plans = vec![EnqueuePlan { enqueue: 0, deadline_ms, kinds: kinds.to_vec() }];
        let request = Request { enqueues: vec![job], plans, ..self.request() };
        self.enqueue_as(&request)[0]
    }

    fn enqueue_as(&mut self, request: &Request<'_>) -> Vec<JobId> {
        let reply = self.run(request);
        let runs = reply.enqueued.iter();
        runs.flat_map(|run| {
            (0..u64::from(run.count))
                .map(|nth| JobId::new(run.created_ms, self.state.shard(), run.first_job.plus(nth)))
        })
        .collect()
    }

    /// Fetches, and gives jobs and tokens.
    pub(crate) fn fetch(&mut self, queue: &str, count: u32) -> Vec<JobRef> {
        let request = Request { fetch: Some(fetch(queue, count)), ..self.request() };
        let leases = self.run(&request).leases;
        let lease = |l: &jobbie_proto::reply::Lease| JobRef {
            job: JobId::new(l.created_ms, self.state.shard(), l.job),
            token: l.token,
        };
        leases.iter().map(lease).collect()
    }

    /// Everything that is due, without checks.
    pub(crate) fn promote(&mut self) {
        loop {
            let events =
                decide_timers(&self.state, &Settings::default(), self.now, 1000, &mut Vec::new());
            if events.is_empty() {
                break;
            }
            self.state.absorb(self.now, &Group { events, ..Group::default() });
        }
    }

    pub(crate) fn timers(&mut self) {
        loop {
            let events =
                decide_timers(&self.state, &Settings::default(), self.now, 10, &mut Vec::new());
            if events.is_empty() {
                break;
            }
            self.state.absorb(self.now, &Group { events, ..Group::default() });
            self.state.check();
        }
        assert!(self.state.next_timer(&Settings::default()).is_none_or(|due| due > self.now));
    }
}

pub(crate) fn enqueue(queue: &str) -> Enqueue<'_> {
    Enqueue {
        queue,
        payload: b"work",
        tags: b"",
        key: b"",
        key_ms: 0,
        unique: b"",
        unique_ms: 0,
        limit_key: "",
        priority: 2,
        max_retries: 2,
        backoff: BackoffKind::Fixed,
        backoff_base_ms: 1000,
        backoff_cap_ms: 0,
        expire_after_ms: 0,
        when: When::Now,
    }
}

pub(crate) fn required(name: &str, count: u16) -> Expected<'_> {
    Expected { name, need: Need::Required, count, deadline_ms: 0 }
}

pub(crate) fn fetch(queue: &str, count: u32) -> Fetch<'_> {
    Fetch { queues: vec![queue], count, lease_ms: 1000, wait_ms: 0, worker: "" }
}
