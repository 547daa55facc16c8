//! What the process tells whoever started it. The numbers never change; this is the one place that says what they mean, and
//! `docs/operations.md` has the same words.

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

impl Exit {
    /// Every way to end.
    const ALL: [Self; 8] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Connection,
        Self::Nothing,
        Self::Refused,
        Self::Busy,
        Self::DataDir,
    ];

    /// What it means, as the manual says it.
    fn means(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed for another reason",
            Self::Usage => "wrong flag, variable or config key; nothing was tried",
            Self::Connection => {
                "no connection, or it was lost and whether the command was done is unknown"
            }
            Self::Nothing => "nothing there: no such job, or no job to fetch",
            Self::Refused => "refused: it would be refused again",
            Self::Busy => "busy or full: nothing was done, try again",
            Self::DataDir => "the data directory is in use, damaged, of another shape or unusable",
        }
    }

    /// All of them in one sentence.
    pub(crate) fn in_words() -> String {
        let each = Self::ALL.map(|exit| format!("{} {}", exit as u8, exit.means()));
        format!("Exit codes: {}", each.join(". "))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_has_every_code_in_the_same_words() {
        let manual = include_str!("../../../docs/operations.md");
        for exit in Exit::ALL {
            let row = format!("| {} | {}", exit as u8, exit.means());
            assert!(manual.contains(&row), "{row}");
        }
        assert!(Exit::in_words().contains("4 nothing there"));
    }
}
