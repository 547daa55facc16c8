//! One shard: what arrives is decided in batches, each batch becomes one log entry, and every
//! answer leaves when its entry is committed.
//!
//! Generic over the runtime and the disk, without sockets: `net/server` puts it on a thread with
//! listeners, the simulator puts it on virtual time.
//!
//! | module | is |
//! |---|---|
//! | `shard` | what a shard has, and its handle |
//! | `start`, `machine` | from disk to serving, and the state machine as Raft sees it |
//! | `run`, `turn`, `frames` | the loop, one turn of it, and what each frame means |
//! | `entry`, `release`, `outgoing` | an entry being decided, committed, and its answers |
//! | `mail`, `relay` | letters of other shards, and to them |
//! | `intake`, `waiters`, `sessions` | who asks, who waits, who is there |
//! | `records` | payloads back from the log |
//! | `feed` | what whoever follows the log on another thread is told |

mod bell;
mod clock;
mod connection;
mod damage;
mod entry;
mod errors;
mod feed;
mod frame;
mod frames;
mod history;
mod intake;
pub mod limits;
mod machine;
mod mail;
mod metrics;
mod outbox;
mod outgoing;
mod outlines;
mod records;
mod relay;
mod release;
mod run;
mod sessions;
mod shard;
#[cfg(feature = "sim")]
pub mod sim;
mod snapshots;
mod snapshotting;
mod start;
mod turn;
mod waiters;
mod workers;

/// Tells whoever simulates. Gone in a release.
macro_rules! tell {
    ($($what:tt)*) => {
        #[cfg(feature = "sim")]
        $crate::sim::tell($($what)*);
    };
}

/// Whether the planted defect is on. Always false, and gone, in a release.
macro_rules! mutant {
    ($name:ident) => {{
        #[cfg(feature = "sim")]
        {
            $crate::sim::is_planted($crate::sim::Mutant::$name)
        }
        #[cfg(not(feature = "sim"))]
        {
            false
        }
    }};
}
use {mutant, tell};

pub use clock::Clock;
pub use connection::Connection;
pub use feed::Feed;
pub use frame::Frame;
pub use mail::Post;
pub use metrics::{BUCKETS, Counter, Histogram, Metrics, SharedMetrics};
pub use outbox::Outbox;
pub use shard::{Settings, Shard, ShardConfig};
pub use start::StartError;
