//! What a waiting job costs in memory, counted at the allocator. The design allows 40 bytes for a plain one and 96
//! with every option set; the limits here are what is reached, and a little more.
//!
//! `engine/core/examples/throughput.rs memory` measures the same from outside, with the server's allocator.

mod shard;

use std::alloc::System;

use jobbie_proto::Request;
use jobbie_proto::event::BackoffKind;
use jobbie_proto::request::{Enqueue, When};
use shard::{Shard, enqueue};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const JOBS: u64 = 50_000;
const MINUTE_MICROS: u64 = 60_000_000;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Plain,
    /// With every option, waiting for its time.
    Delayed,
    /// The same when its time has come.
    Due,
    /// The same without a key.
    Keyless,
    /// Plain, with a unique key.
    Unique,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    kind: Kind,
    batch: u64,
    queues: u64,
    shared_tags: bool,
}

impl Case {
    /// Bytes a job.
    fn measured(self) -> f64 {
        let names: Vec<_> = (0..self.queues).map(|n| format!("queue-{n}")).collect();
        let mut shard = Shard::new();
        let region = Region::new(ALLOCATOR);
        shard::without_checks(|| {
            for first in (0..JOBS).step_by(self.batch as usize) {
                shard.now.0 += 20;
                self.request(
                    &mut shard,
                    first,
                    &names[(first / self.batch % self.queues) as usize],
                );
            }
            if self.kind == Kind::Due {
                shard.now.0 += 10 * MINUTE_MICROS;
                shard.promote();
            }
        });
        let change = region.change();
        let grown = change.bytes_allocated - change.bytes_deallocated;
        assert_eq!(shard.state.stats().jobs, JOBS);
        grown as f64 / JOBS as f64
    }

    fn request(self, shard: &mut Shard, first: u64, queue: &str) {
        let numbers: Vec<_> = (first..first + self.batch).map(u64::to_le_bytes).collect();
        let job = |number| self.enqueue(number, queue);
        let enqueues = numbers.iter().map(job).collect();
        let request = shard.request();
        let confirmed_below = request.number;
        shard.run(&Request { enqueues, confirmed_below, ..request });
    }

    fn enqueue<'a>(self, number: &'a [u8; 8], queue: &'a str) -> Enqueue<'a> {
        if self.kind == Kind::Plain {
            return Enqueue { payload: &[0; 200], ..enqueue(queue) };
        }
        if self.kind == Kind::Unique {
            return Enqueue { payload: &[0; 200], unique: number, ..enqueue(queue) };
        }
        Enqueue {
            payload: &[0; 200],
            priority: 1,
            max_retries: 7,
            backoff: BackoffKind::Linear,
            backoff_cap_ms: 90_000,
            expire_after_ms: 3_600_000,
            tags: if self.shared_tags { b"{\"customer\":\"42\"}" } else { number },
            key: if self.kind == Kind::Keyless { b"" } else { number },
            key_ms: 86_400_000,
            when: When::DelayMs(60_000 + u64::from(number[0])),
            ..enqueue(queue)
        }
    }
}

/// The most that a job may take, in bytes.
fn limit(case: Case) -> f64 {
    let alone = case.batch == 1 && case.queues > 1;
    match (case.kind, alone) {
        (Kind::Plain, false) => 1.5,
        (Kind::Plain, true) => 10.5,
        (Kind::Delayed, false) => 80.5,
        (Kind::Delayed, true) => 89.5,
        // Jobs of many delays come in an order of their own: a run each.
        (Kind::Due, false) => 64.5,
        (Kind::Due, true) => 73.5,
        (Kind::Keyless, false) => 21.5,
        (Kind::Keyless, true) => 30.5,
        // The event that takes the key stands between those of the jobs: a row each.
        (Kind::Unique, _) if case.batch == 1 => 62.5,
        (Kind::Unique, _) => 53.5,
    }
}

/// One test, since the count is of the whole process.
#[test]
fn a_waiting_job_costs_tens_of_bytes() {
    let mut over = Vec::new();
    for kind in [Kind::Plain, Kind::Delayed, Kind::Due, Kind::Keyless, Kind::Unique] {
        for (batch, queues) in [(1, 1), (1, 10), (100, 1), (100, 10), (1000, 1), (1000, 10)] {
            let case = Case { kind, batch, queues, shared_tags: batch == 100 };
            let bytes = case.measured();
            println!("{bytes:6.2} bytes, {case:?}");
            if bytes > limit(case) {
                over.push(format!("{bytes:.2} bytes instead of {}: {case:?}", limit(case)));
            }
        }
    }
    assert!(over.is_empty(), "{over:#?}");
}
