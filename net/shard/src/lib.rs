//! One shard: what arrives is decided in batches, each batch becomes one log entry, and every
//! answer leaves when its entry is committed.
//!
//! Generic over the runtime and the disk, without sockets: `net/server` puts it on a thread with
//! listeners, the simulator puts it on virtual time.
