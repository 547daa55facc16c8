//! What a shard counts. Written by its thread alone, read by any.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number with one writer, so that adding needs no locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the shard's thread may.
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.get().wrapping_add(n), Ordering::Relaxed);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Buckets of a [`Histogram`]: powers of two from 1, the last without bound.
pub const BUCKETS: usize = 28;

/// How often a value was at most 1, 2, 4, … and their sum.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
    sum: Counter,
}

impl Histogram {
    pub(crate) fn record(&self, value: u64) {
        let at = (u64::BITS - value.saturating_sub(1).leading_zeros()) as usize;
        self.buckets[at.min(BUCKETS - 1)].add(1);
        self.sum.add(value);
    }

    /// Upper bound and count of each bucket; the last bound is `None`.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> + '_ {
        let bound = |at: usize| (at + 1 < BUCKETS).then(|| 1 << at);
        self.buckets.iter().enumerate().map(move |(at, count)| (bound(at), count.get()))
    }

    /// Sum of all values.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum.get()
    }
}

/// Everything a shard counts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Connections now.
    pub connections: Counter,
    /// Frames that wait to be decided, now.
    pub intake_frames: Counter,
    /// Frames ever received.
    pub frames_total: Counter,
    /// Requests refused because the shard was full.
    pub overloaded_total: Counter,
    /// Jobs ever enqueued since the start of the process.
    pub enqueued_total: Counter,
    /// Leases ever given since the start of the process.
    pub leased_total: Counter,
    /// Jobs ever acked since the start of the process.
    pub completed_total: Counter,
    /// Jobs that ever failed an attempt since the start of the process.
    pub failed_total: Counter,
    /// Log entries ever committed since the start of the process.
    pub entries_total: Counter,
    /// Body bytes of those.
    pub entry_bytes_total: Counter,
    /// Microseconds from proposing an entry to its commit.
    pub commit_us: Histogram,
    /// Requests and timer turns in one entry.
    pub entry_groups: Histogram,
    /// Fetches and subscriptions that wait, now.
    pub waiters: Counter,
    /// Open sessions, now.
    pub sessions: Counter,
    /// Live leases, now.
    pub leases: Counter,
    /// Jobs in memory, now.
    pub jobs: Counter,
    /// Messages to other shards that are not known to have been taken, now.
    pub mail: Counter,
    /// Budgets that have no money left today, now.
    pub budgets_spent: Counter,
    /// Last index in the log.
    pub last_index: Counter,
    /// Last durable index.
    pub flushed_index: Counter,
    /// Last committed index.
    pub committed_index: Counter,
    /// Last applied index.
    pub applied_index: Counter,
    /// Number of the newest event.
    pub last_event: Counter,
    /// Rolling hash of the state after the applied entry.
    pub state_hash: Counter,
    /// Snapshots written since the start of the process.
    pub snapshots_total: Counter,
    /// Bytes of sealed segments read back in the background since the start of the process.
    pub log_scrubbed_bytes_total: Counter,
    /// Places where that found damage.
    pub log_damage_found_total: Counter,
    /// 1 while this node leads the shard and serves it.
    pub serving: Counter,
}

/// Metrics of one shard, shared with whoever shows them.
pub type SharedMetrics = Arc<Metrics>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_into_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for value in [0, 1, 2, 3, 4, 5, u64::MAX / 2] {
            histogram.record(value);
        }
        let counts: Vec<_> = histogram.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, [(Some(1), 2), (Some(2), 1), (Some(4), 2), (Some(8), 1), (None, 1)]);
    }
}
