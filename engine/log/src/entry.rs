//! Entries, their names, and whose log they are in.

use crate::body::Body;

/// Name of an entry: Raft's term and index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId {
    /// Term of the leader that made it.
    pub term: u64,
    /// Position in the log, rising by one.
    pub index: u64,
}

/// What an entry's body is for whoever applies it. The log itself treats all alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// Events.
    Batch,
    /// Nothing; a new leader's first entry.
    Blank,
    /// A change of the members.
    Membership,
}

/// One entry. Clones share the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub id: EntryId,
    /// What it is.
    pub kind: EntryKind,
    /// Leader's time when it was made, in microseconds.
    pub time_us: u64,
    /// Sequence number of its first event; of the next event to come when it holds none.
    pub first_event: u64,
    /// How many events it holds.
    pub event_count: u32,
    /// The content, opaque here.
    pub body: Body,
}

impl Entry {
    /// Sequence number of the first event after this entry.
    #[must_use]
    pub fn next_event(&self) -> u64 {
        self.first_event + u64::from(self.event_count)
    }

    /// Whether `event` is in this entry.
    #[must_use]
    pub fn holds(&self, event: u64) -> bool {
        (self.first_event..self.next_event()).contains(&event)
    }
}

/// Whom this node has voted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Term of the vote.
    pub term: u64,
    /// The candidate.
    pub node: u64,
    /// Whether a majority has granted it, so that the node is leader.
    pub committed: bool,
}

/// Whose log a directory holds. All of it must match when a log is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: u128,
    /// This node; never reused.
    pub node: u64,
    /// The shard.
    pub shard: u32,
    /// Random number of this node's data directory.
    pub store: u128,
}
