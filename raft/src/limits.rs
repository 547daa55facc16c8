//! Every bound of a group.

/// Entries given to the log at once. Raft merges what waits while an append runs; entries are
/// batches already, so few are enough, and one append stays within a few large bodies.
pub const APPEND_ENTRIES_MAX: u64 = 16;
/// Entries sent to a follower at once.
pub const REPLICATE_ENTRIES_MAX: u64 = 16;
/// A follower this many entries behind is sent a snapshot.
pub const SNAPSHOT_LAG_ENTRIES: u64 = 10_000;
/// Messages waiting for Raft; a sender waits beyond it. The shard has a few proposals under way.
pub const CHANNEL_MESSAGES_MAX: u64 = 1024;
/// Bytes of bodies sent to a follower at once, unless a single entry is larger.
pub const REPLICATE_BYTES_MAX: usize = 4 << 20;
