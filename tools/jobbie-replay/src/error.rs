//! What can be wrong, and the number that says so.

use std::path::PathBuf;
use std::process::ExitCode;

use jobbie_io::runtime::RuntimeError;
use jobbie_log::{OpenError, ReadError};

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
    #[error("{}: the log begins at entry {first}; what came before is in a snapshot, which this release does not read", dir.display())]
    Purged { dir: PathBuf, first: u64 },
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("print: {0}")]
    Print(#[from] std::io::Error),
}

fn because(source: &OpenError) -> String {
    match source {
        OpenError::Io { source, .. } => format!(": {source}"),
        _ => String::new(),
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
                OpenError::Missing | OpenError::Config(_) | OpenError::Io { .. } => Exit::Failed,
            },
            Self::Read { source, .. } if matches!(**source, ReadError::Damaged(_)) => Exit::Damaged,
            Self::Body { .. } => Exit::Damaged,
            _ => Exit::Failed,
        }
    }
}
