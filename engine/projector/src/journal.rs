//! The public events: what streams, webhooks and subscribers see of the log.

use jobbie_proto::{JobId, Micros};

use crate::namespace::Namespace;

/// One public event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEvent {
    /// Its number among the events of all shards, strictly rising, from 1, with gaps: twice the sum over all shards of the event
    /// numbers up to it, in the order of time, then shard, less 1; the second public event of one event has no less. So it follows
    /// from the logs alone.
    pub seq: u64,
    /// What happened: `enqueued`, `started`, `completed`, …
    pub kind: &'static str,
    /// The job, if it is about one.
    pub job: Option<JobId>,
    /// Its queue at that time, or the queue it is about, with its namespace.
    pub queue: String,
    /// When.
    pub at: Micros,
    /// What more there is to say, as JSON; empty is nothing.
    pub data: Vec<u8>,
}

/// Which events are wanted: those that match every set that is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only its queues; what is of no queue is of the default one.
    pub namespace: Namespace,
    /// Any of these queues, with their namespace.
    pub queues: Vec<String>,
    /// Any of these jobs.
    pub jobs: Vec<JobId>,
    /// Any of these kinds.
    pub kinds: Vec<String>,
}

/// No public event up to the events that add up to `sum` over all shards has a higher number.
#[must_use]
pub fn newest_seq(sum: u64) -> u64 {
    2 * sum
}

/// The number of an event: `sum` is the sum over all shards of the event numbers up to it, this one included. Few events are told
/// as two, `failed` and `dead` for instance: the second has the even number.
pub(crate) fn seq_of(sum: u64, nth: u64) -> u64 {
    2 * sum - 1 + nth
}
