//! One frame of each kind with every field set, as version 1 wrote them.

use jobbie_proto::agent::AgentLimits;
use jobbie_proto::event::{BackoffKind, HoldEnd};
use jobbie_proto::reply::{Enqueued, Failed, JobState, Lease, QueueStats, Reply, ShardStats};
use jobbie_proto::request::{
    Ack, ArchivedAction, ArchivedControl, Enqueue, Fail, Fetch, Heartbeat, JobRef, QueueAction,
    QueueControl, Revive, RevivedAgent, Stats, When,
};
use jobbie_proto::wire::{ClientFrame, ServerFrame};
use jobbie_proto::wire::{
    Durability, Encoder, Endpoint, EnqueuedRun, Hello, JobBytes, JobDetails, LeaseBytes, LeasedJob,
    Limits, Lookup, LostLease, Refused, ReplyFrame, ReplyHead, StatsAnswer, Subscribe, Welcome,
};
use jobbie_proto::{
    Code, EventSeq, JobId, JobSeq, LeaseToken, Micros, Request, SessionId, ShardId,
};

const SHARD: ShardId = ShardId(3);
const MS: u64 = 1_795_000_000_123;

fn id(seq: u64) -> JobId {
    JobId::new(MS, SHARD, JobSeq(seq))
}

fn held(seq: u64) -> JobRef {
    JobRef { job: id(seq), token: LeaseToken(seq + 100) }
}

fn hello() -> Hello<'static> {
    Hello {
        version_min: 1,
        version_max: 2,
        client: 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
        resume_session: SessionId(7),
        shard: SHARD,
        token: b"secret",
        name: "worker-1",
        host: "größe",
    }
}

fn plain(queue: &'static str, payload: &'static [u8]) -> Enqueue<'static> {
    Enqueue {
        queue,
        payload,
        tags: b"",
        key: b"",
        key_ms: 86_400_000,
        unique: b"",
        unique_ms: 0,
        limit_key: "",
        priority: 2,
        max_retries: 3,
        backoff: BackoffKind::Exponential,
        backoff_base_ms: 5000,
        backoff_cap_ms: 600_000,
        expire_after_ms: 0,
        when: When::Now,
    }
}

fn enqueue() -> Request<'static> {
    let full = Enqueue {
        tags: br#"{"a":1}"#,
        key: b"k-1",
        key_ms: 1000,
        unique: b"",
        unique_ms: 0,
        limit_key: "",
        priority: 0,
        max_retries: 9,
        backoff: BackoffKind::Linear,
        backoff_base_ms: 1,
        backoff_cap_ms: 2,
        expire_after_ms: 3,
        when: When::DelayMs(60_000),
        ..plain("images/größe", b"full")
    };
    let at = Enqueue { when: When::At(Micros(MS * 1000)), ..plain("mail", b"") };
    Request {
        session: SessionId(7),
        number: 12,
        confirmed_below: 10,
        enqueues: vec![plain("mail", b"to: ann"), plain("mail", b"to: bob"), full, at],
        ..Request::default()
    }
}

fn everything_else() -> Request<'static> {
    let fetch = Fetch {
        queues: vec!["mail", "images/größe"],
        count: 5,
        lease_ms: 30_000,
        wait_ms: 1000,
        worker: "w-2",
    };
    Request {
        session: SessionId(7),
        number: 13,
        confirmed_below: 13,
        acks: vec![Ack { job: held(1), result: b"done" }, Ack { job: held(2), result: b"" }],
        fails: vec![Fail { job: held(3), error: b"broken", backtrace: b"at 1", no_retry: true }],
        heartbeats: vec![Heartbeat {
            job: held(4),
            extend_ms: 60_000,
            progress: b"50%",
            checkpoint: b"page 2",
        }],
        extend_session_ms: 45_000,
        releases: vec![held(5)],
        cancels: vec![id(6)],
        deletes: vec![id(7), id(8)],
        queue_controls: vec![
            QueueControl { queue: "mail", action: QueueAction::Pause },
            QueueControl { queue: "sms", action: QueueAction::Resume },
        ],
        fetch: Some(fetch),
        lookups: vec![id(9)],
        stats: Stats::Queues { prefix: "im", after: "images" },
        ..Request::default()
    }
}

fn archived() -> Request<'static> {
    let content = Enqueue {
        tags: br#"{"a":1}"#,
        unique: b"welcome-ann",
        unique_ms: 60_000,
        limit_key: "ann",
        ..plain("mail", b"to: ann")
    };
    let limits =
        AgentLimits { max_iterations: 9, max_cost_micros: 1_000_000, iteration_timeout_ms: 5_000 };
    let full = Revive {
        content,
        checkpoint: b"page 2",
        progress: b"50%",
        parent: Some(id(3)),
        cost_micros: 12_300,
        agent: Some(RevivedAgent { iteration: 4, limits }),
    };
    let bare = Revive {
        content: plain("sms", b""),
        checkpoint: b"",
        progress: b"",
        parent: None,
        cost_micros: 0,
        agent: None,
    };
    let control = |seq, action| ArchivedControl { job: id(seq), action };
    Request {
        session: SessionId(7),
        number: 14,
        confirmed_below: 14,
        archived: vec![
            control(1, ArchivedAction::Revive(Box::new(full))),
            control(2, ArchivedAction::Delete),
            control(3, ArchivedAction::Move { queue: "images/größe" }),
            control(4, ArchivedAction::Revive(Box::new(bare))),
        ],
        ..Request::default()
    }
}

/// Name and content of frames with what came later.
pub(crate) fn later() -> Vec<(&'static str, Request<'static>)> {
    vec![("request_archived", archived())]
}

/// The bytes of each of them as this release writes them.
pub(crate) fn encoded_later() -> Vec<(&'static str, Vec<u8>)> {
    let encoded = |(name, request)| {
        let mut out = Vec::new();
        Encoder::new().request(&mut out, &request).expect("samples fit a frame");
        (name, out)
    };
    later().into_iter().map(encoded).collect()
}

/// Name and content of each frame a client sends.
pub(crate) fn client() -> Vec<(&'static str, ClientFrame<'static>)> {
    let subscribe =
        Subscribe { subscription: 1, queues: vec!["mail", "sms"], lease_ms: 60_000, worker: "w-2" };
    vec![
        ("hello", ClientFrame::Hello(hello())),
        ("request_enqueue", ClientFrame::Request(enqueue())),
        ("request_rest", ClientFrame::Request(everything_else())),
        ("subscribe", ClientFrame::Subscribe(subscribe)),
        ("credit", ClientFrame::Credit { subscription: 1, add: 10 }),
        ("unsubscribe", ClientFrame::Unsubscribe { subscription: 1 }),
        ("goodbye", ClientFrame::Goodbye),
        ("ping", ClientFrame::Ping { nonce: 99 }),
    ]
}

fn welcome() -> Welcome<'static> {
    Welcome {
        version: 1,
        session: SessionId(7),
        shard: SHARD,
        shards: 4,
        endpoints: vec![
            Endpoint { shard: ShardId(0), address: "10.0.0.1:7400", leader: true },
            Endpoint { shard: SHARD, address: "", leader: false },
        ],
        limits: Limits { lease_ms_max: 77, ..Limits::default() },
        server_time: Micros(MS * 1000),
        durability: Durability::IntervalMs(5),
        server_version: "0.1.0",
        store: 0xffee_ddcc_bbaa_9988_7766_5544_3322_1100,
        // Came later: version 1 says nothing of them.
        abilities: Default::default(),
        settings: Default::default(),
    }
}

const JOB_BYTES: JobBytes<'static> = JobBytes {
    payload: b"to: ann",
    tags: b"{}",
    key: b"k-1",
    error: b"broken",
    backtrace: b"at 1",
    progress: b"50%",
    checkpoint: b"page 2",
    hold_reason: b"",
    hold_by: "",
    limit_key: "",
};

fn lookups() -> Vec<Lookup<'static>> {
    let details = JobDetails {
        state: JobState::Retrying,
        queue: "mail",
        priority: 1,
        max_retries: 3,
        backoff: BackoffKind::Fixed,
        backoff_base_ms: 5,
        backoff_cap_ms: 6,
        expire_after_ms: 7,
        attempt: 2,
        token: LeaseToken(8),
        due: Micros(9),
        expire_at: Micros(10),
        ended: Micros(0),
        lease_expiries: 0,
        then: HoldEnd::Stay,
        waits_for: 0,
        batch: None,
        cost_micros: 0,
        agent: None,
        bytes: JOB_BYTES,
    };
    vec![Lookup { details: Some(details), ..Lookup::not_found(id(20)) }, Lookup::not_found(id(21))]
}

fn reply() -> Reply {
    let run =
        |code, first, count| Enqueued { code, created_ms: MS, first_job: JobSeq(first), count };
    let lease = |seq| Lease {
        job: JobSeq(seq),
        created_ms: MS,
        token: LeaseToken(seq + 100),
        attempt: 2,
        max_retries: 3,
        deadline: Micros(MS * 1000 + 30_000_000),
        record: EventSeq(1),
        checkpoint: EventSeq(2),
        placed: EventSeq(0),
        payload: EventSeq(0),
    };
    Reply {
        rule_controls: Vec::new(),
        operated: None,
        code: Code::Ok,
        enqueued: vec![run(Code::Ok, 30, 2), run(Code::Duplicate, 5, 1)],
        acks: vec![Code::Ok, Code::StaleLease],
        fails: vec![Failed { code: Code::Ok, next_attempt: Micros(11), attempts_left: 1 }],
        heartbeats: vec![Code::NotActive],
        releases: vec![Code::Ok],
        cancels: vec![Code::IllegalState],
        deletes: vec![Code::Ok, Code::NotFound],
        job_controls: vec![],
        schedule_controls: vec![],
        leases: vec![lease(40), lease(41)],
        batches: vec![],
        batch_seals: vec![],
        appended: vec![],
        agents: vec![],
    }
}

fn leased() -> Vec<LeasedJob<'static>> {
    let job = |lease: &Lease| LeasedJob {
        job: id(lease.job.0),
        token: lease.token,
        deadline: lease.deadline,
        attempt: lease.attempt,
        max_retries: lease.max_retries,
        queue: "mail",
        payload: b"to: ann",
        tags: b"{}",
        checkpoint: b"page 2",
        agent: None,
    };
    reply().leases.iter().map(job).collect()
}

fn lease_bytes(_: usize, _: &Lease) -> LeaseBytes<'static> {
    LeaseBytes { queue: "mail", payload: b"to: ann", tags: b"{}", checkpoint: b"page 2" }
}

fn queues() -> Vec<QueueStats> {
    let jobs = [1, 2, 3, 4, 5, 6, 7, 8, 0, 0];
    let queue = "images".into();
    vec![QueueStats { queue, paused: true, jobs, enqueued_total: 36, ..QueueStats::default() }]
}

const SHARD_STATS: ShardStats = ShardStats {
    queues: 1,
    sessions: 2,
    leases: 3,
    jobs: 4,
    last_event: EventSeq(5),
    last_job: JobSeq(6),
    state_hash: 7,
    time: Micros(8),
};

fn reply_frame() -> ReplyFrame<'static> {
    let reply = reply();
    let runs = reply.enqueued.iter().map(|run| EnqueuedRun {
        code: run.code,
        first: id(run.first_job.0),
        count: run.count,
    });
    ReplyFrame {
        operated: None,
        rule_controls: Vec::new(),
        operations: Vec::new(),
        budgets: Vec::new(),
        policies: Vec::new(),
        number: 13,
        code: Code::Ok,
        more: false,
        retry_after_ms: 0,
        message: "",
        redirect: "",
        enqueued: runs.collect(),
        acks: reply.acks,
        fails: reply.fails,
        heartbeats: reply.heartbeats,
        releases: reply.releases,
        cancels: reply.cancels,
        deletes: reply.deletes,
        job_controls: reply.job_controls,
        leases: leased(),
        lookups: lookups(),
        queue_stats: queues(),
        shard_stats: Some(SHARD_STATS),
        ..ReplyFrame::default()
    }
}

fn refused() -> Refused<'static> {
    Refused {
        retry_after_ms: 5,
        redirect: "10.0.0.2:7400",
        ..Refused::new(Code::BadVersion, "use a client of version 1")
    }
}

fn lost() -> Vec<LostLease> {
    vec![LostLease { job: held(1), code: Code::NotActive }]
}

/// Name and content of each frame a server sends.
pub(crate) fn server() -> Vec<(&'static str, ServerFrame<'static>)> {
    let refusal = ReplyFrame {
        number: 14,
        code: Code::NotLeader,
        retry_after_ms: 20,
        message: "another node leads",
        redirect: "10.0.0.2:7400",
        ..ReplyFrame::default()
    };
    vec![
        ("welcome", ServerFrame::Welcome(welcome())),
        ("reply", ServerFrame::Reply(reply_frame())),
        ("reply_refused", ServerFrame::Reply(refusal)),
        ("deliver", ServerFrame::Deliver { subscription: 1, leases: leased() }),
        ("lost", ServerFrame::Lost(lost())),
        ("refused", ServerFrame::Refused(refused())),
        ("go_away", ServerFrame::GoAway { grace_ms: 500, message: "restart" }),
        ("pong", ServerFrame::Pong { nonce: 99, server_time: Micros(MS * 1000) }),
    ]
}

/// The bytes of each frame as this release writes them.
pub(crate) fn encoded() -> Vec<(&'static str, Vec<u8>)> {
    let mut e = Encoder::new();
    let mut all = Vec::new();
    for (name, frame) in client() {
        let mut out = Vec::new();
        match &frame {
            ClientFrame::Hello(hello) => e.hello(&mut out, hello),
            ClientFrame::Request(request) => e.request(&mut out, request),
            ClientFrame::Subscribe(subscribe) => e.subscribe(&mut out, subscribe),
            _ => Ok(()),
        }
        .expect("samples fit a frame");
        match frame {
            ClientFrame::Credit { subscription, add } => e.credit(&mut out, subscription, add),
            ClientFrame::Unsubscribe { subscription } => e.unsubscribe(&mut out, subscription),
            ClientFrame::Goodbye => e.goodbye(&mut out),
            ClientFrame::Ping { nonce } => e.ping(&mut out, nonce),
            _ => {}
        }
        all.push((name, out));
    }
    for (name, _) in server() {
        all.push((name, server_bytes(&mut e, name)));
    }
    all
}

fn server_bytes(e: &mut Encoder, name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let head = ReplyHead { number: 13, shard: SHARD, ..ReplyHead::default() };
    let refusal = ReplyHead {
        number: 14,
        shard: SHARD,
        message: "another node leads",
        retry_after_ms: 20,
        redirect: "10.0.0.2:7400",
    };
    let not_leader = Reply { code: Code::NotLeader, ..Reply::default() };
    let queues = queues();
    let (queues, shard) = (&queues[..], Some(SHARD_STATS));
    let stats = StatsAnswer { queues, shard, ..StatsAnswer::default() };
    match name {
        "welcome" => e.welcome(&mut out, &welcome()),
        "reply" => e.reply(&mut out, &head, &reply(), lease_bytes, lookups(), stats),
        "reply_refused" => e.plain_reply(&mut out, &refusal, &not_leader),
        "deliver" => e.deliver(&mut out, 1, SHARD, (&reply().leases, &[]), lease_bytes),
        "lost" => e.lost(&mut out, &lost()),
        "refused" => e.refused(&mut out, &refused()),
        "go_away" => e.go_away(&mut out, 500, "restart"),
        "pong" => {
            e.pong(&mut out, 99, Micros(MS * 1000));
            Ok(())
        }
        other => unreachable!("no sample {other}"),
    }
    .expect("samples fit a frame");
    out
}
