//! When time acts: not a microsecond before its moment, and at it. The shard wakes at exactly that moment, so what
//! is later than this is the load of the machine.

use jobbie_proto::event::{BackoffKind, HoldEnd, QueueSettings};
use jobbie_proto::limits::LEASE_MS_DEFAULT;
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{
    Ack, Enqueue, EnqueueHold, Fail, Fetch, Heartbeat, Hold, JobRef, QueueAction, QueueControl,
    When,
};
use jobbie_proto::{Code, JobId, Micros, Request};

use crate::shard::{Shard, enqueue, fetch};
use crate::stage::claims;

/// A name; what is done first, which gives the moment; and whether it has happened, without changing anything when it has not.
type Row = (&'static str, fn(&mut Shard) -> Micros, fn(&mut Shard) -> bool);

fn failed(shard: &mut Shard, backoff: BackoffKind, backoff_base_ms: u32) {
    shard.enqueue(vec![Enqueue { backoff, backoff_base_ms, ..enqueue("q") }]);
    let job = shard.fetch("q", 1)[0];
    let fails = vec![Fail { job, error: b"", backtrace: b"", no_retry: false }];
    let request = Request { fails, ..shard.request() };
    shard.run(&request);
}

fn limited(shard: &mut Shard, settings: QueueSettings) {
    let action = QueueAction::Configure(settings);
    let queue_controls = vec![QueueControl { queue: "q", action }];
    let request = Request { queue_controls, ..shard.request() };
    shard.run(&request);
    shard.enqueue(vec![enqueue("q"); 3]);
}

fn timed_and_claimable(shard: &mut Shard) -> bool {
    shard.timers();
    claims(shard, "q") == 1
}

const UNIQUE: Enqueue<'static> = Enqueue {
    queue: "q",
    payload: b"",
    tags: b"",
    key: b"",
    key_ms: 0,
    unique: b"u",
    unique_ms: 5_000,
    limit_key: "",
    priority: 2,
    max_retries: 1,
    backoff: BackoffKind::None,
    backoff_base_ms: 0,
    backoff_cap_ms: 0,
    expire_after_ms: 0,
    when: When::Now,
};

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("scheduled_at to claimable", |shard| {
        shard.enqueue(vec![Enqueue { when: When::At(Micros(7_654_321)), ..enqueue("q") }]);
        Micros(7_654_321)
    }, timed_and_claimable),
    ("delay to claimable", |shard| {
        shard.enqueue(vec![Enqueue { when: When::DelayMs(5_000), ..enqueue("q") }]);
        shard.now.plus_ms(5_000)
    }, timed_and_claimable),
    ("fail, 5 s fixed, to claimable", |shard| {
        failed(shard, BackoffKind::Fixed, 5_000);
        shard.now.plus_ms(5_000)
    }, timed_and_claimable),
    ("fail, 5 s exponential, to claimable", |shard| {
        failed(shard, BackoffKind::Exponential, 5_000);
        shard.now.plus_ms(5_000)
    }, timed_and_claimable),
    ("lease end to claimable", |shard| {
        shard.enqueue(vec![enqueue("q")]);
        assert_eq!(shard.fetch("q", 1).len(), 1);
        shard.now.plus_ms(1_000)
    }, timed_and_claimable),
    ("default lease without heartbeat to claimable", |shard| {
        shard.enqueue(vec![enqueue("q")]);
        let request = Request { fetch: Some(Fetch { lease_ms: 0, ..fetch("q", 1) }), ..shard.request() };
        assert_eq!(shard.run(&request).leases.len(), 1);
        shard.now.plus_ms(LEASE_MS_DEFAULT.into())
    }, timed_and_claimable),
    ("hold that approves itself to claimable", |shard| {
        let hold = Hold { timeout_ms: 5_000, then: HoldEnd::Approve, ..Hold::default() };
        let holds = vec![EnqueueHold { enqueue: 0, hold }];
        let request = Request { enqueues: vec![enqueue("q")], holds, ..shard.request() };
        shard.run(&request);
        shard.now.plus_ms(5_000)
    }, timed_and_claimable),
    ("expire_at to dead", |shard| {
        shard.enqueue(vec![Enqueue { expire_after_ms: 5_000, ..enqueue("q") }]);
        Micros(shard.now.ms() * 1000).plus_ms(5_000)
    }, |shard| {
        shard.timers();
        shard.state.queue_stats("q").expect("it exists").jobs[JobState::Dead as usize] == 1
    }),
    // Nobody has looked at the timers since.
    ("expire_at to not claimable", |shard| {
        shard.enqueue(vec![Enqueue { expire_after_ms: 5_000, ..enqueue("q") }]);
        Micros(shard.now.ms() * 1000).plus_ms(5_000)
    }, |shard| claims(shard, "q") == 0),
    ("unique key's end to accepted", |shard| {
        shard.enqueue(vec![UNIQUE]);
        shard.now.plus_ms(5_000)
    }, |shard| {
        let request = Request { enqueues: vec![UNIQUE], ..shard.request() };
        shard.run(&request).enqueued[0].code == Code::Ok
    }),
    ("rate window slides to next claim", |shard| {
        limited(shard, QueueSettings { rate: 2, window_ms: 5_000, ..QueueSettings::default() });
        assert_eq!(shard.fetch("q", 9).len(), 2);
        shard.now.plus_ms(5_000)
    }, |shard| {
        // Their leases run out before that, and give nothing back.
        timed_and_claimable(shard)
    }),
];

#[test]
fn time_acts_at_its_moment_and_not_a_microsecond_before() {
    for (name, prepare, happened) in ROWS {
        let mut shard = Shard::new();
        let moment = prepare(&mut shard);
        assert!(moment > shard.now, "{name}");
        let before = shard.now;
        shard.now = Micros(moment.0 - 1);
        assert!(!happened(&mut shard), "{name}: {before} to {moment}: too early");
        let mut shard = Shard::new();
        assert_eq!(prepare(&mut shard), moment, "{name}");
        shard.now = moment;
        assert!(happened(&mut shard), "{name}: not at its moment {moment}");
    }
}

/// The earliest is the latest: what needs no time happens in the same instant.
#[test]
fn what_needs_no_time_takes_none() {
    // Enqueue to visible, also in one request.
    let mut shard = Shard::new();
    let request =
        Request { enqueues: vec![enqueue("q")], fetch: Some(fetch("q", 1)), ..shard.request() };
    assert_eq!(shard.run(&request).leases.len(), 1);
    // Fail without backoff to claimable.
    let mut shard = Shard::new();
    failed(&mut shard, BackoffKind::None, 5_000);
    assert!(timed_and_claimable(&mut shard));
    // A slot freed to the next claim.
    let mut shard = Shard::new();
    limited(&mut shard, QueueSettings { concurrency: 1, ..QueueSettings::default() });
    let job = shard.fetch("q", 9)[0];
    assert_eq!(claims(&mut shard, "q"), 0);
    let acks = vec![Ack { job, result: b"" }];
    let request = Request { acks, fetch: Some(fetch("q", 9)), ..shard.request() };
    assert_eq!(shard.run(&request).leases.len(), 1);
}

#[test]
fn the_worker_of_a_cancelled_job_learns_of_it_with_its_next_heartbeat() {
    let mut shard = Shard::new();
    let id: JobId = shard.enqueue(vec![enqueue("q")])[0];
    let job: JobRef = shard.fetch("q", 1)[0];
    let beat = |shard: &mut Shard| {
        let heartbeats = vec![Heartbeat { job, extend_ms: 0, progress: b"", checkpoint: b"" }];
        let request = Request { heartbeats, ..shard.request() };
        shard.run(&request).heartbeats[0]
    };
    assert_eq!(beat(&mut shard), Code::Ok);
    let request = Request { cancels: vec![id], ..shard.request() };
    shard.run(&request);
    assert_eq!(beat(&mut shard), Code::NotActive);
}
