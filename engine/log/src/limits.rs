//! Every bound of the log.

use jobbie_io::BLOCK_BYTES;

/// Smallest segment, in bytes.
pub const SEGMENT_BYTES_MIN: u64 = 1 << 20;
/// Largest segment, in bytes; offsets are kept as 32-bit block numbers and footers are one read.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// Segment size when none is configured, in bytes.
pub const SEGMENT_BYTES_DEFAULT: u64 = 32 << 20;
/// A fresh disk shall hold at least this many segments, or segments get smaller.
pub const SEGMENTS_PER_DISK_MIN: u64 = 16;

/// Writes in flight. More destroys coalescing and gains little elsewhere.
pub const WRITES_IN_FLIGHT: usize = 2;
/// Small records queued together are copied into one write of at most this many bytes.
pub const WRITE_BYTES_MAX: usize = 1 << 20;
/// A record of this many bytes or more is written from its own buffer, without a copy.
pub const WRITE_IN_PLACE_BYTES_MIN: usize = 64 << 10;

/// The sparse index has one point for about this many bytes of segment.
pub const POINT_BYTES: u32 = 64 << 10;
/// Bytes of one read of older records.
pub const CHUNK_BYTES: usize = 256 << 10;
/// Chunks of older records kept in memory.
pub const CHUNKS_MAX: usize = 16;

/// Bytes of one read while a log is opened.
pub const WINDOW_BYTES: usize = 1 << 20;

/// Open descriptors for sealed segments.
pub const OPEN_SEGMENTS_MAX: usize = 64;

/// Bytes zeroed at once when a segment is prepared.
pub const ZERO_BYTES: usize = 64 << 10;
/// The log rests when nothing was written for this long, in nanoseconds; then zeroing goes on without pause.
pub const ZERO_IDLE_NANOS: u64 = 5_000_000;
/// From this many bytes a write on, writing what was only allocated is faster than zeroing it beside the log.
pub const BULK_WRITE_BYTES: usize = 256 << 10;

/// Room that entries leave in the last segment there is, in bytes: without it the log could not say
/// that it gives up a segment, and so never get space again.
pub const ENTRY_RESERVE_BYTES: u64 = 64 << 10;
/// The same for votes, truncations and marks.
pub const CONTROL_RESERVE_BYTES: u64 = 16 << 10;

/// Bytes left free on the disk for snapshots and the file system itself.
pub const SPACE_MARGIN_BYTES: u64 = 1 << 20;

/// The log is idle when nothing was flushed for this long; then a mark is written once.
pub const MARK_IDLE_NANOS: u64 = 100_000_000;
/// How often space is looked for while it is low, in nanoseconds.
pub const SPACE_PROBE_NANOS: u64 = 500_000_000;

/// Bytes of one chunk of a snapshot.
pub const SNAPSHOT_CHUNK_BYTES: usize = 256 << 10;
/// A snapshot being written is flushed each time this many bytes are.
pub const SNAPSHOT_SYNC_BYTES: u64 = 4 << 20;
/// Rest after each chunk of a new snapshot that is read back, in nanoseconds.
pub const SNAPSHOT_READ_PAUSE_NANOS: u64 = 200_000;
/// Sealed segments are read back and checked anew after this long, in nanoseconds: a week. Drives ask for no more
/// often, and a backup or a replica that is to help must still be from before the damage.
pub const SCRUB_AGAIN_NANOS: u64 = 7 * 24 * 3600 * 1_000_000_000;
/// Rest before each [`CHUNK_BYTES`] of a sealed segment that is read back while the log rests, in nanoseconds: at
/// most 125 MiB/s, of which the checksums take some per cent of a core.
pub const SCRUB_REST_NANOS: u64 = 2_000_000;
/// Rest before each of them while the log writes, in nanoseconds: at most 5 MiB/s, too little to be felt by the
/// writes, and still 3 TiB before all begins anew.
pub const SCRUB_BUSY_NANOS: u64 = 50_000_000;
/// Damage found and not yet told to anybody; what is found beyond that is only counted.
pub const DAMAGE_UNTOLD_MAX: usize = 64;

/// Opaque membership bytes in a snapshot's header.
pub const MEMBERSHIP_BYTES_MAX: usize = 3 << 10;
/// Snapshots kept, the newest ones.
pub const SNAPSHOTS_KEPT: usize = 2;

const _: () = assert!(CHUNK_BYTES.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(ZERO_BYTES.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(SEGMENT_BYTES_MIN.is_multiple_of(ZERO_BYTES as u64));
const _: () = assert!(SCRUB_REST_NANOS < ZERO_IDLE_NANOS && ZERO_IDLE_NANOS < SCRUB_BUSY_NANOS);
const _: () = assert!(WRITE_IN_PLACE_BYTES_MIN < WRITE_BYTES_MAX);
