//! The append-only log of one shard.
//!
//! A log is one directory of fixed-size segments, written through a [`jobbie_io::Disk`] in aligned
//! blocks, two writes at a time. It gives entries back by index and by event sequence number, recovers
//! the longest valid prefix after a crash, and refuses to open when anything before its end is
//! damaged. Bodies are opaque. `docs/format.md` specifies the bytes.
//!
//! ```text
//! let Opened { log, driver, report } = Log::open(disk, config, identity, Create::IfMissing).await?;
//! spawn(driver);
//! log.append(vec![entry], |result| …)?;
//! ```

mod body;
mod chunks;
mod config;
mod core;
mod driver;
mod entry;
mod error;
mod follow;
mod format;
pub mod limits;
mod log;
#[cfg(feature = "mutants")]
pub mod mutants;
mod part;
mod queue;
mod read;
mod recover;
mod rewrite;
mod scan;
mod segment;
mod segments;
mod shared;
mod signal;
pub mod snapshot;
mod tail;
mod verify;
mod walk;
mod window;

/// Whether the planted defect is on. Always false, and gone, in a release.
macro_rules! mutant {
    ($name:ident) => {{
        #[cfg(feature = "mutants")]
        {
            $crate::mutants::is_planted($crate::mutants::Mutant::$name)
        }
        #[cfg(not(feature = "mutants"))]
        {
            false
        }
    }};
}
use mutant;

pub use body::{Body, BodyBuilder};
pub use config::{Durability, LogConfig};
pub use core::Space;
pub use driver::Driver;
pub use entry::{Entry, EntryId, EntryKind, Identity, Vote};
pub use error::{AppendError, ControlError, Damage, LogFailed, OpenError, ReadError};
pub use follow::{Beginning, FollowError, Follower};
pub use format::FORMAT_VERSION;
pub use format::header::HEADER_BYTES;
pub use log::{Log, LogState, LogStats};
pub use part::{EntryBlocks, Part};
pub use recover::{Create, Opened, RecoveryReport};
#[doc(hidden)]
pub use rewrite::rewrite_record;
pub use scan::TornTail;
pub use snapshot::{SnapshotError, SnapshotMeta, SnapshotReader, SnapshotWriter, Snapshots};
pub use verify::{Unsealed, Verified, identify, unsealed, verify};
