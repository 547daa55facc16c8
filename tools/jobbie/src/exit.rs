//! What the process tells whoever started it. The numbers are documented in `docs/operations.md` and never change.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Failed for a reason that has no number of its own.
    Failed = 1,
    /// A wrong flag, variable or config key; nothing was tried.
    Usage = 2,
    /// No connection, or it was lost and whether the command was done is unknown.
    Connection = 3,
    /// No such job, or no job to fetch.
    Nothing = 4,
    /// The server refuses it, and will again.
    Refused = 5,
    /// The server cannot do it now; nothing was done.
    Busy = 6,
    /// The data directory is in use, damaged, of another shape or unusable.
    DataDir = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
