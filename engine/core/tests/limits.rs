//! What limits a queue, with virtual time: exact at every edge, and never leaked.

mod shard;

use jobbie_core::Settings;
use jobbie_proto::event::{QueueSettings, Sharing};
use jobbie_proto::request::{
    Ack, Enqueue, Fail, JobAction, JobControl, JobRef, QueueAction, QueueControl,
};
use jobbie_proto::{Code, JobId, Request};
use shard::{Shard, enqueue, without_checks};

type End = fn(&mut Shard, JobRef);

fn configure(shard: &mut Shard, queue: &'static str, settings: QueueSettings) {
    let action = QueueAction::Configure(settings);
    let queue_controls = vec![QueueControl { queue, action }];
    let request = Request { queue_controls, ..shard.request() };
    shard.run(&request);
}

fn keyed<'a>(queue: &'a str, limit_key: &'a str) -> Enqueue<'a> {
    Enqueue { limit_key, ..enqueue(queue) }
}

fn ack(shard: &mut Shard, jobs: &[JobRef]) {
    let acks = jobs.iter().map(|job| Ack { job: *job, result: b"" }).collect();
    let request = Request { acks, ..shard.request() };
    assert!(shard.run(&request).acks.iter().all(|code| *code == Code::Ok));
}

fn ids(leases: &[JobRef]) -> Vec<JobId> {
    leases.iter().map(|lease| lease.job).collect()
}

#[test]
fn no_more_are_active_than_may_be_and_every_end_frees_a_slot() {
    let ends: [(&str, End); 8] = [
        ("ack", |shard, job| ack(shard, &[job])),
        ("fail", |shard, job| {
            let fail = Fail { job, error: b"", backtrace: b"", no_retry: true };
            let request = Request { fails: vec![fail], ..shard.request() };
            shard.run(&request);
        }),
        ("release", |shard, job| {
            let request = Request { releases: vec![job], ..shard.request() };
            shard.run(&request);
        }),
        ("cancel", |shard, job| {
            let request = Request { cancels: vec![job.job], ..shard.request() };
            shard.run(&request);
        }),
        ("delete", |shard, job| {
            let request = Request { deletes: vec![job.job], ..shard.request() };
            shard.run(&request);
        }),
        ("hold", |shard, job| {
            let action = JobAction::Hold(jobbie_proto::request::Hold::default());
            let job_controls = vec![JobControl { job: job.job, action }];
            let request = Request { job_controls, ..shard.request() };
            shard.run(&request);
        }),
        ("move", |shard, job| {
            let action = JobAction::Move { queue: "elsewhere" };
            let job_controls = vec![JobControl { job: job.job, action }];
            let request = Request { job_controls, ..shard.request() };
            shard.run(&request);
        }),
        ("expiry", |shard, _| {
            shard.now = shard.now.plus_ms(1000);
            shard.timers();
        }),
    ];
    for keys in [["", ""], ["ann", "ann"]] {
        for (name, end) in ends {
            let mut shard = Shard::new();
            let settings = match keys[0] {
                "" => QueueSettings { concurrency: 1, ..QueueSettings::default() },
                _ => QueueSettings { key_concurrency: 1, ..QueueSettings::default() },
            };
            configure(&mut shard, "q", settings);
            shard.enqueue(keys.iter().map(|key| keyed("q", key)).collect());
            let first = shard.fetch("q", 9);
            assert_eq!(first.len(), 1, "{name}");
            assert_eq!(shard.fetch("q", 9), [], "{name}: the only slot is taken");
            end(&mut shard, first[0]);
            assert!(shard.state.is_fetchable("q", shard.now), "{name}: nothing to be fetched");
            assert_eq!(shard.fetch("q", 9).len(), 1, "{name}: the slot leaked");
        }
    }
}

#[test]
fn acks_and_a_fetch_of_one_request_use_the_slots_that_become_free() {
    for key in ["", "ann"] {
        let mut shard = Shard::new();
        let settings =
            QueueSettings { concurrency: 2, key_concurrency: 2, ..QueueSettings::default() };
        configure(&mut shard, "q", settings);
        shard.enqueue(vec![keyed("q", key); 6]);
        let two = shard.fetch("q", 9);
        assert_eq!(two.len(), 2);
        let acks = two.iter().map(|job| Ack { job: *job, result: b"" }).collect();
        let fetch = Some(shard::fetch("q", 9));
        let request = Request { acks, fetch, ..shard.request() };
        assert_eq!(shard.run(&request).leases.len(), 2, "key {key:?}");
    }
}

#[test]
fn a_rate_holds_in_every_window_and_opens_to_the_microsecond() {
    for key in ["", "ann"] {
        let mut shard = Shard::new();
        let rates = match key {
            "" => QueueSettings { rate: 3, window_ms: 400, ..QueueSettings::default() },
            _ => QueueSettings { key_rate: 3, key_window_ms: 400, ..QueueSettings::default() },
        };
        configure(&mut shard, "q", rates);
        shard.enqueue(vec![keyed("q", key); 9]);
        let begin = shard.now;
        assert_eq!(shard.fetch("q", 1).len(), 1);
        shard.now = begin.plus_ms(100);
        assert_eq!(shard.fetch("q", 9).len(), 2, "the rest of the rate");
        assert_eq!(shard.fetch("q", 9), []);
        // Acks do not give it back.
        let opens = begin.plus_ms(400);
        assert_eq!(shard.state.next_timer(&Settings::default()), Some(opens));
        shard.now = opens;
        shard.now.0 -= 1;
        shard.timers();
        assert_eq!(shard.fetch("q", 9), []);
        shard.now = opens;
        shard.timers();
        assert_eq!(shard.fetch("q", 9).len(), 1, "the first has left the window");
        assert_eq!(shard.fetch("q", 9), []);
        shard.now = begin.plus_ms(500);
        shard.timers();
        assert_eq!(shard.fetch("q", 9).len(), 2);
    }
}

#[test]
fn a_key_at_its_limit_does_not_hold_up_the_others() {
    let mut shard = Shard::new();
    configure(&mut shard, "q", QueueSettings { key_concurrency: 1, ..QueueSettings::default() });
    let all = shard.enqueue(vec![
        keyed("q", "ann"),
        keyed("q", "ann"),
        keyed("q", "bob"),
        enqueue("q"),
        enqueue("q"),
    ]);
    let leases = shard.fetch("q", 9);
    assert_eq!(ids(&leases), [all[0], all[2], all[3], all[4]], "without a key is without a limit");
    ack(&mut shard, &leases[..1]);
    assert_eq!(ids(&shard.fetch("q", 9)), [all[1]]);
}

#[test]
fn limits_that_change_hold_from_the_next_fetch_on_and_interrupt_nothing() {
    let mut shard = Shard::new();
    shard.enqueue(vec![enqueue("q"); 6]);
    let three = shard.fetch("q", 3);
    configure(&mut shard, "q", QueueSettings { concurrency: 2, ..QueueSettings::default() });
    assert_eq!(shard.fetch("q", 9), []);
    ack(&mut shard, &three[..2]);
    assert_eq!(shard.fetch("q", 9).len(), 1);
    configure(&mut shard, "q", QueueSettings::default());
    assert_eq!(shard.fetch("q", 9).len(), 2);
    ack(&mut shard, &three[2..]);
}

#[test]
fn jobs_from_before_the_first_key_go_first_in_their_tier() {
    let mut shard = Shard::new();
    let old = shard.enqueue(vec![enqueue("q"); 2]);
    let urgent = Enqueue { priority: 0, ..keyed("q", "ann") };
    let new = shard.enqueue(vec![keyed("q", "ann"), urgent, enqueue("q")]);
    let order = ids(&shard.fetch("q", 9));
    assert_eq!(order, [new[1], old[0], old[1], new[0], new[2]]);
}

/// A key with a backlog of a hundred thousand delays nobody by more than a round.
#[test]
fn keys_share_a_queue_fairly_by_their_weights() {
    without_checks(|| {
        let mut shard = Shard::new();
        let settings = QueueSettings { fair: Sharing::Jobs, ..QueueSettings::default() };
        configure(&mut shard, "q", settings);
        for _ in 0..20 {
            shard.enqueue(vec![keyed("q", "large"); 5000]);
        }
        let names: Vec<String> = (0..9).map(|n| format!("small-{n}")).collect();
        let small = names.iter().flat_map(|name| vec![keyed("q", name); 100]).collect();
        shard.enqueue(small);
        let action = QueueAction::Weigh { key: "small-0", weight: 3 };
        let queue_controls = vec![QueueControl { queue: "q", action }];
        let request = Request { queue_controls, ..shard.request() };
        shard.run(&request);
        // Twelve shares: one each, and three of the first.
        let leases = shard.fetch("q", 120);
        let mut served = std::collections::BTreeMap::<String, u32>::new();
        for lease in &leases {
            let key = shard.state.job(lease.job).expect("it is active").limit_key;
            *served.entry(key).or_default() += 1;
        }
        for (key, jobs) in &served {
            let share = if key == "small-0" { 30 } else { 10 };
            assert!(jobs.abs_diff(share) <= 3, "{key} got {jobs} of 120, its share is {share}");
        }
        assert_eq!(served.len(), 10);
        shard.enqueue(vec![keyed("q", "new")]);
        let next = shard.fetch("q", 13);
        let is_new =
            |job: &JobRef| shard.state.job(job.job).expect("it is active").limit_key == "new";
        assert!(next.iter().any(is_new), "a new key was not served within a round");
        shard.state.check();
    });
}

#[test]
fn a_queue_is_drained_when_its_last_active_job_ends() {
    let mut shard = Shard::new();
    shard.enqueue(vec![enqueue("q"); 2]);
    let one = shard.fetch("q", 1);
    let act = |shard: &mut Shard, action| {
        let queue_controls = vec![QueueControl { queue: "q", action }];
        let request = Request { queue_controls, ..shard.request() };
        shard.run(&request);
        shard.state.queue_stats("q").expect("it exists")
    };
    let stats = act(&mut shard, QueueAction::Drain);
    assert!(stats.paused && stats.draining);
    assert_eq!(shard.fetch("q", 9), []);
    ack(&mut shard, &one);
    let stats = act(&mut shard, QueueAction::Resume);
    assert!(!stats.paused && !stats.draining);
    assert_eq!(shard.fetch("q", 9).len(), 1);
}

#[test]
fn limits_that_cannot_be_are_refused_and_say_why() {
    let mut shard = Shard::new();
    let refused = |shard: &mut Shard, action| {
        let queue_controls = vec![QueueControl { queue: "q", action }];
        let request = Request { queue_controls, ..shard.request() };
        let (code, message) = shard.refused(&request);
        assert_eq!(code, if message.contains("bytes") { Code::TooLarge } else { Code::Invalid });
        message
    };
    let set = |settings| QueueAction::Configure(settings);
    let half = QueueSettings { rate: 5, ..QueueSettings::default() };
    let message = refused(&mut shard, set(half));
    assert!(
        message.starts_with("queue_controls[0].rate and queue_controls[0].window_ms"),
        "{message}"
    );
    let long = QueueSettings { key_rate: 5, key_window_ms: u32::MAX, ..QueueSettings::default() };
    let message = refused(&mut shard, set(long));
    assert_eq!(message, "queue_controls[0].key_window_ms: 4294967295, at most 604800000");
    let fast = QueueSettings { rate: u32::MAX, window_ms: 1, ..QueueSettings::default() };
    let message = refused(&mut shard, set(fast));
    assert_eq!(message, "queue_controls[0].rate: 4294967295, at most 1000000");
    let message = refused(&mut shard, QueueAction::Weigh { key: "k", weight: 0 });
    assert_eq!(message, "queue_controls[0].weight: 0, not in 1..=1000");
    let message = refused(&mut shard, QueueAction::Weigh { key: "", weight: 1 });
    assert_eq!(message, "queue_controls[0].key: empty, at least 1 byte");
    let key = "k".repeat(10 << 20);
    let request = Request { enqueues: vec![keyed("q", &key)], ..shard.request() };
    let (code, message) = shard.refused(&request);
    assert_eq!(
        (code, &*message),
        (Code::TooLarge, "enqueues[0].limit_key: 10485760 bytes, at most 255")
    );
}

/// Whatever is shared, limited and half done: a snapshot brings it back, and what comes then is the same.
#[test]
fn lanes_come_back_from_a_snapshot_as_they_were() {
    let names = ["", "ann", "bob", "cy"];
    for (seed, fair) in [(1_u64, Sharing::Jobs), (2, Sharing::WorkerTime), (3, Sharing::None)] {
        let mut shard = Shard::new();
        let mut open: Vec<JobRef> = Vec::new();
        let mut random = seed;
        let mut below = |n: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % n
        };
        for step in 0..500 {
            shard.now = shard.now.plus_ms(below(30));
            shard.timers();
            match below(12) {
                0 => {
                    let few = 1 + below(4) as u32;
                    let settings = QueueSettings {
                        key_concurrency: below(3) as u32,
                        key_rate: few,
                        key_window_ms: 200,
                        concurrency: 2 * few,
                        fair,
                        ..QueueSettings::default()
                    };
                    configure(&mut shard, "q", settings);
                }
                1..=5 => {
                    let name = names[below(4) as usize];
                    let job = Enqueue { priority: below(3) as u8, ..keyed("q", name) };
                    shard.enqueue(vec![job; 1 + below(3) as usize]);
                }
                6..=8 => open.append(&mut shard.fetch("q", 1 + below(4) as u32)),
                _ if !open.is_empty() => {
                    let job = open.swap_remove(below(open.len() as u64) as usize);
                    let acks = vec![Ack { job, result: b"" }];
                    let request = Request { acks, ..shard.request() };
                    shard.run(&request);
                }
                _ => {}
            }
            if step % 7 == 0 {
                let chunks: Vec<_> = shard.state.snapshot().collect();
                let restored = jobbie_core::State::restore(&chunks).expect("it was just written");
                restored.check();
                assert!(restored.snapshot().eq(chunks), "step {step}: it is written differently");
                assert_eq!(
                    restored.next_timer(&Settings::default()),
                    shard.state.next_timer(&Settings::default())
                );
                // From here on, the one that came back.
                shard.state = restored;
            }
        }
    }
}
