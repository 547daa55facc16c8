//! What can go wrong, by what the caller can do about it.

use std::io;

use crate::entry::{EntryId, Identity};

/// Something on the disk is not what was written. Never repaired, never skipped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} is damaged at offset {offset}: expected {expected}, found {found}")]
pub struct Damage {
    /// File name in the log's directory.
    pub file: String,
    /// Offset of the first wrong structure, in bytes.
    pub offset: u64,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// Why a log did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory holds no log, and none was to be created.
    #[error("there is no log here")]
    Missing,
    /// The directory holds somebody else's log.
    #[error("this log belongs to {found:?}, expected {expected:?}")]
    Foreign {
        /// Who opens it.
        expected: Identity,
        /// What its superblock says.
        found: Identity,
    },
    /// A file that cannot be here.
    #[error("{file} does not belong here: {why}")]
    StrangeFile {
        /// File name.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file that should be here.
    #[error("{file} is missing")]
    MissingFile {
        /// File name.
        file: String,
    },
    /// Damage before the end of the log.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// A snapshot beside the log that is not this log's, or cannot be read.
    #[error(transparent)]
    Snapshot(Box<crate::snapshot::SnapshotError>),
    /// The configuration cannot work.
    #[error("log configuration: {0}")]
    Config(String),
    /// The disk refused.
    #[error("{action}")]
    Io {
        /// What was being done.
        action: String,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn snapshot(error: crate::snapshot::SnapshotError) -> Self {
        Self::Snapshot(Box::new(error))
    }

    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action: action.into(), source }
    }
}

/// The log stopped for good after a failed write or flush: what it had not acknowledged by then may
/// or may not be on the disk. Only opening it again tells.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log stopped after an error: {reason}")]
pub struct LogFailed {
    /// What happened first.
    pub reason: String,
}

/// Why entries were not taken. Nothing of the call was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The log has stopped.
    #[error(transparent)]
    Failed(#[from] LogFailed),
    /// The disk is full and the reserve is used up. Try again when [`crate::Log::space`] says so.
    #[error("no space left for the log")]
    NoSpace,
    /// An index that does not follow the last one.
    #[error("entry {found} does not follow, expected {expected}")]
    IndexGap {
        /// The index that would follow.
        expected: u64,
        /// The index given.
        found: u64,
    },
    /// An event sequence number that does not follow the last one.
    #[error("entry {index} begins with event {found}, expected {expected}")]
    EventGap {
        /// The entry.
        index: u64,
        /// The event that would follow.
        expected: u64,
        /// The event given.
        found: u64,
    },
    /// A body that fits in no segment.
    #[error("entry {index} has {bytes} bytes, at most {bytes_max} fit in a segment")]
    TooLarge {
        /// The entry.
        index: u64,
        /// Its body, in bytes.
        bytes: usize,
        /// [`crate::Log::body_bytes_max`].
        bytes_max: usize,
    },
}

/// Why a vote, truncation or purge was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The log has stopped.
    #[error(transparent)]
    Failed(#[from] LogFailed),
    /// The disk is full and the reserve is used up.
    #[error("no space left for the log")]
    NoSpace,
    /// The log has no such entry.
    #[error("entry {id:?} is not in the log")]
    NoSuchEntry {
        /// The entry named.
        id: EntryId,
    },
    /// The entry that had to be read could not be.
    #[error(transparent)]
    Read(Box<ReadError>),
}

/// Why entries could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The log has stopped.
    #[error(transparent)]
    Failed(#[from] LogFailed),
    /// The range begins before the log does.
    #[error("entry {index} is no longer in the log, which begins at {first}")]
    Purged {
        /// The first index asked for.
        index: u64,
        /// The first index there is.
        first: u64,
    },
    /// The range begins after the end of the log.
    #[error("entry {index} is not in the log yet, which ends before {end}")]
    Beyond {
        /// The first index asked for.
        index: u64,
        /// The first index there is not.
        end: u64,
    },
    /// The event's segment has been recycled.
    #[error("event {event} is no longer in the log, which begins with event {first}")]
    Trimmed {
        /// The event asked for.
        event: u64,
        /// The first event there is.
        first: u64,
    },
    /// The event has not happened.
    #[error("event {event} is not in the log yet, which ends before event {end}")]
    FutureEvent {
        /// The event asked for.
        event: u64,
        /// The first event there is not.
        end: u64,
    },
    /// Something on the disk is not what was written.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The disk refused.
    #[error("read {file}: {reason}")]
    Io {
        /// File name.
        file: String,
        /// What the system said.
        reason: String,
    },
}

/// Whether the disk, or somebody's share of it, is full.
pub(crate) fn is_no_space(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}
