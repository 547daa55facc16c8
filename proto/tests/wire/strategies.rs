//! Random frames. Borrowed parts are leaked: a test run makes a few megabytes.

use jobbie_proto::event::{BackoffKind, HoldEnd, QueueSettings, Sharing};
use jobbie_proto::request::{
    Ack, Enqueue, EnqueueHold, Fail, Fetch, Heartbeat, Hold, JobAction, JobControl, JobRef,
    QueueAction, QueueControl, Stats, When,
};
use jobbie_proto::wire::{
    ClientFrame, Durability, Endpoint, Hello, Limits, LostLease, Refused, ServerFrame, Subscribe,
    Welcome,
};
use jobbie_proto::{Code, JobId, JobSeq, LeaseToken, Micros, Request, SessionId, ShardId};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn bytes() -> impl Strategy<Value = &'static [u8]> {
    prop_oneof![
        3 => Just(&[][..]),
        1 => vec(any::<u8>(), 0..40).prop_map(|v| &*v.leak()),
    ]
}

pub(crate) fn text() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        2 => select(vec!["", "a", "mail", "größe", "images/thumbnails"]),
        1 => "[a-z.:é]{0,30}".prop_map(|s| &*s.leak()),
    ]
}

pub(crate) fn job_id() -> impl Strategy<Value = JobId> {
    (0..1u64 << 44, 0..1024u16, 0..1u64 << 49)
        .prop_map(|(ms, shard, seq)| JobId::new(ms, ShardId(shard), JobSeq(seq)))
}

pub(crate) fn job_ref() -> impl Strategy<Value = JobRef> {
    (job_id(), any::<u64>()).prop_map(|(job, token)| JobRef { job, token: LeaseToken(token) })
}

pub(crate) fn code() -> impl Strategy<Value = Code> {
    select(Code::ALL)
}

pub(crate) fn backoff() -> impl Strategy<Value = BackoffKind> {
    (0..4u8).prop_map(|n| BackoffKind::from_u8(n).unwrap())
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        4 => Just(When::Now),
        1 => any::<u64>().prop_map(When::DelayMs),
        1 => any::<u64>().prop_map(|us| When::At(Micros(us))),
    ]
}

fn enqueue() -> impl Strategy<Value = Enqueue<'static>> {
    let numbers = (any::<u64>(), any::<u8>(), any::<u32>(), any::<u32>(), any::<u32>());
    let options = prop_oneof![3 => Just((0, 2, 3, 5000, 600_000)), 1 => numbers];
    let keys = (bytes(), bytes(), any::<u64>(), text());
    (text(), bytes(), bytes(), keys, options, backoff(), 0..3u64, when()).prop_map(
        |(
            queue,
            payload,
            tags,
            (key, unique, ms, limit_key),
            numbers,
            backoff,
            expire_after_ms,
            when,
        )| {
            Enqueue {
                queue,
                payload,
                tags,
                key,
                key_ms: numbers.0,
                unique,
                unique_ms: if unique.is_empty() { 0 } else { ms },
                limit_key,
                priority: numbers.1,
                max_retries: numbers.2,
                backoff,
                backoff_base_ms: numbers.3,
                backoff_cap_ms: numbers.4,
                expire_after_ms,
                when,
            }
        },
    )
}

fn fetch() -> impl Strategy<Value = Fetch<'static>> {
    (vec(text(), 0..20), any::<u32>(), any::<u32>(), any::<u32>(), text()).prop_map(
        |(queues, count, lease_ms, wait_ms, worker)| Fetch {
            queues,
            count,
            lease_ms,
            wait_ms,
            worker,
        },
    )
}

fn stats() -> impl Strategy<Value = Stats<'static>> {
    prop_oneof![
        Just(Stats::None),
        Just(Stats::Shard),
        text().prop_map(Stats::Queue),
        (text(), text()).prop_map(|(prefix, after)| Stats::Queues { prefix, after }),
    ]
}

fn hold() -> impl Strategy<Value = Hold<'static>> {
    (bytes(), text(), any::<u64>(), 0..3u8).prop_map(|(reason, by, timeout_ms, then)| Hold {
        reason,
        by,
        timeout_ms,
        then: HoldEnd::from_u8(then).unwrap(),
    })
}

pub(crate) fn settings() -> impl Strategy<Value = QueueSettings> {
    let some = (any::<[u32; 6]>(), 0..3u8).prop_map(|(n, fair)| QueueSettings {
        concurrency: n[0],
        rate: n[1],
        window_ms: n[2],
        key_concurrency: n[3],
        key_rate: n[4],
        key_window_ms: n[5],
        fair: Sharing::from_u8(fair).unwrap(),
    });
    prop_oneof![Just(QueueSettings::default()), some]
}

fn queue_control() -> impl Strategy<Value = QueueControl<'static>> {
    let action = prop_oneof![
        2 => Just(QueueAction::Pause),
        2 => Just(QueueAction::Resume),
        1 => Just(QueueAction::Drain),
        1 => settings().prop_map(QueueAction::Configure),
        1 => (text(), any::<u16>()).prop_map(|(key, weight)| QueueAction::Weigh { key, weight }),
    ];
    (text(), action).prop_map(|(queue, action)| QueueControl { queue, action })
}

fn job_control() -> impl Strategy<Value = JobControl<'static>> {
    let action = prop_oneof![
        Just(JobAction::Retry),
        Just(JobAction::Requeue),
        hold().prop_map(JobAction::Hold),
        (bytes(), text()).prop_map(|(note, by)| JobAction::Approve { note, by }),
        (bytes(), text()).prop_map(|(reason, by)| JobAction::Reject { reason, by }),
        text().prop_map(|queue| JobAction::Move { queue }),
        any::<u8>().prop_map(|priority| JobAction::Prioritize { priority }),
        bytes().prop_map(|payload| JobAction::Replace { payload }),
    ];
    (job_id(), action).prop_map(|(job, action)| JobControl { job, action })
}

pub(crate) fn request() -> impl Strategy<Value = Request<'static>> {
    let ack = (job_ref(), bytes()).prop_map(|(job, result)| Ack { job, result });
    let fail = (job_ref(), bytes(), bytes(), any::<bool>())
        .prop_map(|(job, error, backtrace, no_retry)| Fail { job, error, backtrace, no_retry });
    let beat = (job_ref(), any::<u32>(), bytes(), bytes()).prop_map(
        |(job, extend_ms, progress, checkpoint)| Heartbeat { job, extend_ms, progress, checkpoint },
    );
    let ids = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>());
    let jobs = (vec((enqueue(), option::weighted(0.1, hold())), 0..30), vec(ack, 0..5));
    let results = (vec(fail, 0..5), vec(beat, 0..5));
    let refs =
        (vec(job_ref(), 0..4), vec(job_id(), 0..4), vec(job_id(), 0..4), vec(job_control(), 0..4));
    let rest =
        (vec(queue_control(), 0..3), proptest::option::of(fetch()), vec(job_id(), 0..4), stats());
    (ids, jobs, results, refs, rest).prop_map(|(ids, jobs, results, refs, rest)| Request {
        session: SessionId(ids.0),
        number: ids.1,
        confirmed_below: ids.2,
        extend_session_ms: ids.3,
        enqueues: jobs.0.iter().map(|(enqueue, _)| *enqueue).collect(),
        holds: (0..)
            .zip(&jobs.0)
            .filter_map(|(enqueue, (_, hold))| Some(EnqueueHold { enqueue, hold: (*hold)? }))
            .collect(),
        acks: jobs.1,
        fails: results.0,
        heartbeats: results.1,
        releases: refs.0,
        cancels: refs.1,
        deletes: refs.2,
        job_controls: refs.3,
        queue_controls: rest.0,
        fetch: rest.1,
        lookups: rest.2,
        stats: rest.3,
    })
}

pub(crate) fn client_frame() -> impl Strategy<Value = ClientFrame<'static>> {
    let numbers = (any::<u16>(), any::<u16>(), any::<u128>(), any::<u64>(), any::<u16>());
    let hello = (numbers, bytes(), text(), text()).prop_map(|(n, token, name, host)| Hello {
        version_min: n.0,
        version_max: n.1,
        client: n.2,
        resume_session: SessionId(n.3),
        shard: ShardId(n.4),
        token,
        name,
        host,
    });
    let subscribe = (any::<u32>(), vec(text(), 0..5), any::<u32>(), text()).prop_map(
        |(subscription, queues, lease_ms, worker)| Subscribe {
            subscription,
            queues,
            lease_ms,
            worker,
        },
    );
    prop_oneof![
        8 => request().prop_map(ClientFrame::Request),
        2 => hello.prop_map(ClientFrame::Hello),
        1 => subscribe.prop_map(ClientFrame::Subscribe),
        1 => (any::<u32>(), any::<u32>())
            .prop_map(|(subscription, add)| ClientFrame::Credit { subscription, add }),
        1 => any::<u32>().prop_map(|subscription| ClientFrame::Unsubscribe { subscription }),
        1 => Just(ClientFrame::Goodbye),
        1 => any::<u64>().prop_map(|nonce| ClientFrame::Ping { nonce }),
    ]
}

fn welcome() -> impl Strategy<Value = Welcome<'static>> {
    let endpoint = (any::<u16>(), text(), any::<bool>())
        .prop_map(|(shard, address, leader)| Endpoint { shard: ShardId(shard), address, leader });
    let durability = prop_oneof![
        Just(Durability::None),
        any::<u32>().prop_map(Durability::IntervalMs),
        Just(Durability::Fsync)
    ];
    let numbers = (any::<u16>(), any::<u64>(), any::<u16>(), any::<u16>(), any::<u64>());
    (numbers, vec(endpoint, 0..9), any::<u32>(), durability, text(), any::<u128>()).prop_map(
        |(n, endpoints, limit, durability, server_version, store)| Welcome {
            version: n.0,
            session: SessionId(n.1),
            shard: ShardId(n.2),
            shards: n.3,
            endpoints,
            limits: Limits { lease_ms_max: limit, frame_bytes_max: !limit, ..Limits::default() },
            server_time: Micros(n.4),
            durability,
            server_version,
            store,
        },
    )
}

/// Every frame of a server but replies and deliveries, which are encoded from other types.
pub(crate) fn small_server_frame() -> impl Strategy<Value = ServerFrame<'static>> {
    let lost = (job_ref(), code()).prop_map(|(job, code)| LostLease { job, code });
    let refused = (code(), text(), any::<u16>(), any::<u16>(), any::<u32>(), text()).prop_map(
        |(code, message, version_min, version_max, retry_after_ms, redirect)| Refused {
            code,
            message,
            version_min,
            version_max,
            retry_after_ms,
            redirect,
        },
    );
    prop_oneof![
        welcome().prop_map(ServerFrame::Welcome),
        vec(lost, 0..9).prop_map(ServerFrame::Lost),
        refused.prop_map(ServerFrame::Refused),
        (any::<u32>(), text())
            .prop_map(|(grace_ms, message)| ServerFrame::GoAway { grace_ms, message }),
        (any::<u64>(), any::<u64>())
            .prop_map(|(nonce, time)| ServerFrame::Pong { nonce, server_time: Micros(time) }),
    ]
}
