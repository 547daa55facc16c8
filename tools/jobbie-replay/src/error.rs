//! What can be wrong, and the number that says so.

use std::path::PathBuf;
use std::process::ExitCode;

use jobbie_io::runtime::RuntimeError;
use jobbie_log::{OpenError, ReadError, SnapshotError};

/// What the process ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Every record is as it was written.
    Sound = 0,
    /// The end is torn, as a crash leaves it.
    Torn = 1,
    /// Something is not as it was written.
    Damaged = 2,
    /// It could not be read.
    Failed = 3,
    /// It does not hold what was asked for.
    Nothing = 4,
    /// A wrong flag.
    Usage = 64,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    #[error("{}: {source}", dir.display())]
    Dir { dir: PathBuf, source: std::io::Error },
    #[error("{} holds no jobbie data: neither it nor a folder in it has a superblock", dir.display())]
    NoData { dir: PathBuf },
    #[error("{}: {source}{}", dir.display(), because(source))]
    Open { dir: PathBuf, source: Box<OpenError> },
    #[error("{}: {source}", dir.display())]
    Read { dir: PathBuf, source: Box<ReadError> },
    #[error("{}: entry {index}: {reason}", dir.display())]
    Body { dir: PathBuf, index: u64, reason: String },
    #[error("{}: {source}", dir.display())]
    Snapshot { dir: PathBuf, source: Box<SnapshotError> },
    #[error("{}: the snapshot at entry {index}: {reason}", dir.display())]
    State { dir: PathBuf, index: u64, reason: String },
    #[error("{}: the log begins at entry {first}, and {wanted}", dir.display())]
    Purged { dir: PathBuf, first: u64, wanted: String },
    #[error(
        "{}: the server let go of entries {at} to {} while they were read: run it again",
        dir.display(), first - 1
    )]
    Gone { dir: PathBuf, at: u64, first: u64 },
    /// A wrong argument that only shows at work.
    #[error("{0}")]
    Usage(String),
    /// The log has it not.
    #[error("{0}")]
    Nothing(String),
    #[error("write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Model(#[from] jobbie_projector::Error),
    #[error(transparent)]
    Pump(#[from] Box<jobbie_projector::pump::PumpError>),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("print: {0}")]
    Print(#[from] std::io::Error),
}

fn because(source: &OpenError) -> String {
    std::error::Error::source(source).map_or_else(String::new, |source| format!(": {source}"))
}

fn snapshot_exit(error: &SnapshotError) -> Exit {
    match error {
        SnapshotError::Damaged(_) | SnapshotError::Foreign { .. } => Exit::Damaged,
        _ => Exit::Failed,
    }
}

impl ReplayError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Open { source, .. } => match source.as_ref() {
                OpenError::Damaged(_)
                | OpenError::StrangeFile { .. }
                | OpenError::MissingFile { .. }
                | OpenError::Foreign { .. } => Exit::Damaged,
                OpenError::Snapshot(source) => snapshot_exit(source),
                OpenError::Missing | OpenError::Config(_) | OpenError::Io { .. } => Exit::Failed,
            },
            Self::Read { source, .. } if matches!(**source, ReadError::Damaged(_)) => Exit::Damaged,
            Self::Usage(_) => Exit::Usage,
            Self::Nothing(_) => Exit::Nothing,
            Self::Body { .. } | Self::State { .. } => Exit::Damaged,
            Self::Snapshot { source, .. } => snapshot_exit(source),
            _ => Exit::Failed,
        }
    }
}
