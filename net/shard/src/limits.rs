//! Every bound of one shard.

use std::time::Duration;

use jobbie_proto::limits::FRAME_BYTES_MAX;

/// Bytes of requests of one connection that wait to be decided. Beyond it the connection is not
/// read, so that TCP slows the client down.
pub const CONNECTION_INTAKE_BYTES_MAX: usize = 2 * FRAME_BYTES_MAX;
/// Bytes of requests of all connections that wait to be decided. Beyond it requests that enqueue are
/// answered `OVERLOADED`; acks, fails and heartbeats are still taken.
pub const INTAKE_BYTES_MAX: usize = 64 << 20;
/// Bytes one connection may have decided before the next one has its turn.
pub const TURN_BYTES: usize = 64 << 10;
/// Bytes on their way to one connection from which on it is given no more work.
pub const OUTBOX_BYTES_MAX: usize = 8 << 20;
/// Jobs whose timers are handled in one entry.
pub const TIMER_JOBS_PER_ENTRY: usize = 4096;
/// Messages of one letter to another shard.
pub const LETTER_MESSAGES_MAX: usize = 1024;
/// Bytes from which on a letter takes no more messages.
pub const LETTER_BYTES_MAX: usize = 1 << 20;
/// How long a letter may be under way before it is sent again.
pub const LETTER_RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long the log may not know that messages were taken, in milliseconds, when it has nothing else to note.
pub const DELIVERED_PAUSE_MS: u64 = 50;
/// Jobs that an operation changes in one entry unless the shard is told otherwise.
pub const OPERATION_JOBS_PER_ENTRY: usize = 4096;
/// Only one in so many of them while requests wait, which are decided in the same turn.
pub const BESIDE_REQUESTS: usize = 8;
/// Fetches and subscriptions of one connection that may wait.
pub const WAITERS_PER_CONNECTION_MAX: usize = 1024;
/// Entries proposed and not yet committed, beyond which nothing more is decided: what arrives
/// meanwhile gathers for the next one. More would destroy coalescing and gain little.
pub const ENTRIES_IN_FLIGHT_MAX: usize = 2;
/// Bytes of decoded entries kept to answer fetches from.
pub const RECORD_CACHE_BYTES: usize = 4 << 20;
/// Bytes of outlines of older entries: where their jobs lie, about 12 bytes each and a thousandth of the entry.
pub const OUTLINE_BYTES: usize = 8 << 20;
/// Entries that were decoded once, and get an outline when they are decoded again.
pub const OUTLINE_CANDIDATES_MAX: usize = 1 << 14;
/// Jobs with at most so many blocks between them are read together: reading on costs less than reading again.
pub const PART_GAP_BLOCKS: usize = 16;
/// Parts of entries that one answer reads at a time.
pub const PARTS_AT_ONCE_MAX: usize = 32;
/// Rest after each slice of a snapshot, which takes about as long to encode.
pub const SNAPSHOT_SLICE_PAUSE: Duration = Duration::from_micros(200);
/// Rest after a snapshot for which the disk had no room.
pub const SNAPSHOT_RETRY_PAUSE: Duration = Duration::from_secs(1);

const _: () = assert!(INTAKE_BYTES_MAX >= CONNECTION_INTAKE_BYTES_MAX);
