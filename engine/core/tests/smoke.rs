//! The life of a job, step by step.

use jobbie_core::{
    Decision, State, decide, decide_close_session, decide_open_session, decide_timers,
};
use jobbie_proto::event::{BackoffKind, Group};
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{Ack, Enqueue, Fail, Fetch, Heartbeat, JobRef, When};
use jobbie_proto::{Code, JobId, LeaseToken, Micros, Reply, Request, SessionId, ShardId};

struct Shard {
    state: State,
    now: Micros,
    session: SessionId,
    number: u64,
}

impl Shard {
    fn new() -> Self {
        let mut state = State::new(ShardId(0), 1);
        let now = Micros(1_000_000);
        let session = SessionId(state.next_event().0);
        let opened = decide_open_session(&state, 7, "worker", "host", &mut Vec::new());
        let Decision::Events(group) = opened else { panic!("{opened:?}") };
        assert_eq!(state.absorb(now, &group), None);
        assert_eq!(state.session_of(7), Some(session));
        Self { state, now, session, number: 0 }
    }

    fn request<'a>(&mut self) -> Request<'a> {
        self.number += 1;
        Request { session: self.session, number: self.number, ..Request::default() }
    }

    fn run(&mut self, request: &Request<'_>) -> Reply {
        match decide(&self.state, self.now, request, &mut Vec::new()) {
            Decision::Events(group) => {
                let reply = self.state.absorb(self.now, &group).expect("it has a session");
                self.state.check();
                (*reply).clone()
            }
            Decision::Nothing => Reply::default(),
            other => panic!("{other:?}"),
        }
    }

    fn timers(&mut self) {
        loop {
            let events = decide_timers(&self.state, self.now, 10);
            if events.is_empty() {
                break;
            }
            self.state.absorb(self.now, &Group { events, ..Group::default() });
            self.state.check();
        }
        assert!(self.state.next_timer().is_none_or(|due| due > self.now));
    }

    fn id(&self, created_ms: u64, job: jobbie_proto::JobSeq) -> JobId {
        JobId::new(created_ms, self.state.shard(), job)
    }
}

fn enqueue(queue: &str) -> Enqueue<'_> {
    Enqueue {
        queue,
        payload: b"work",
        tags: b"",
        key: b"",
        key_ms: 0,
        priority: 2,
        max_retries: 2,
        backoff: BackoffKind::Fixed,
        backoff_base_ms: 1000,
        backoff_cap_ms: 0,
        expire_after_ms: 0,
        when: When::Now,
    }
}

fn fetch(queue: &str, count: u32) -> Fetch<'_> {
    Fetch { queues: vec![queue], count, lease_ms: 1000, wait_ms: 0, worker: "" }
}

#[test]
fn a_job_is_fetched_extended_failed_retried_and_acked() {
    let mut shard = Shard::new();
    let mut request = shard.request();
    request.enqueues = vec![enqueue("q"); 3];
    let reply = shard.run(&request);
    assert_eq!((reply.enqueued[0].count, reply.enqueued[0].first_job.0), (3, 1));
    let created_ms = reply.enqueued[0].created_ms;

    let mut request = shard.request();
    request.fetch = Some(fetch("q", 2));
    let leases = shard.run(&request).leases;
    assert_eq!(leases.iter().map(|l| (l.job.0, l.attempt)).collect::<Vec<_>>(), [(1, 1), (2, 1)]);
    let [one, two] = [0, 1].map(|n: usize| JobRef {
        job: shard.id(created_ms, leases[n].job),
        token: leases[n].token,
    });
    let again = shard.state.clone();
    assert!(matches!(
        decide(&again, shard.now, &request, &mut Vec::new()),
        Decision::Repeat(reply) if reply.leases == leases
    ));

    shard.now.0 += 500_000;
    let mut request = shard.request();
    let beat = Heartbeat { job: one, extend_ms: 0, progress: b"50%", checkpoint: b"c" };
    request.heartbeats = vec![beat];
    request.fails = vec![Fail { job: two, error: b"no", backtrace: b"", no_retry: false }];
    let reply = shard.run(&request);
    assert_eq!(reply.heartbeats, [Code::Ok]);
    assert_eq!(reply.fails[0].next_attempt, Micros(2_500_000));
    assert_eq!(reply.fails[0].attempts_left, 1);
    assert_eq!(shard.state.job(two.job).unwrap().state, JobState::Retrying);
    assert_eq!(shard.state.job(one.job).unwrap().due, Micros(2_500_000));

    shard.now = Micros(2_499_999);
    assert!(decide_timers(&shard.state, shard.now, 10).is_empty());
    shard.now = Micros(2_500_000);
    shard.timers();
    let view = shard.state.job(one.job).unwrap();
    assert_eq!((view.state, view.attempt, view.checkpoint.0 > 0), (JobState::Pending, 1, true));

    let mut request = shard.request();
    request.fetch = Some(fetch("q", 9));
    let leases = shard.run(&request).leases;
    assert_eq!(
        leases.iter().map(|l| (l.job.0, l.attempt)).collect::<Vec<_>>(),
        [(3, 1), (1, 2), (2, 2)]
    );

    let mut request = shard.request();
    let token = |n: usize| leases[n].token;
    request.acks = vec![
        Ack { job: one, result: b"late" },
        Ack { job: JobRef { token: token(1), ..one }, result: b"done" },
        Ack { job: JobRef { token: LeaseToken(0), ..one }, result: b"twice" },
    ];
    request.fails = vec![Fail {
        job: JobRef { token: token(2), ..two },
        error: b"",
        backtrace: b"",
        no_retry: false,
    }];
    let reply = shard.run(&request);
    assert_eq!(reply.acks, [Code::StaleLease, Code::Ok, Code::NotFound]);
    assert_eq!((reply.fails[0].code, reply.fails[0].next_attempt), (Code::Ok, Micros(0)));
    assert_eq!(shard.state.job(one.job), Err(Code::NotFound));
    assert_eq!(shard.state.job(two.job).unwrap().state, JobState::Dead);

    let group = decide_close_session(&shard.state, shard.session).unwrap();
    shard.state.absorb(shard.now, &group);
    shard.state.check();
    let stats = shard.state.stats();
    assert_eq!((stats.leases, stats.sessions, stats.jobs), (0, 0, 2));
    assert_eq!(shard.state.fetchable("q"), 1);
}
