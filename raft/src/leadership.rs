//! Who leads, as far as this node knows.

use crate::shared::Fatal;

/// A node's part in its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// This node leads `term`.
    Leader {
        /// The term; proposals name it.
        term: u64,
        /// Whether an entry of this term is committed, and with it everything that was in the
        /// log before: only then may the machine decide.
        ready: bool,
    },
    /// Another node leads, or nobody does.
    Follower {
        /// The term.
        term: u64,
        /// The leader, when there is one.
        leader: Option<u64>,
    },
    /// The group stopped for good.
    Stopped(Fatal),
}

impl Default for Leadership {
    fn default() -> Self {
        Self::Follower { term: 0, leader: None }
    }
}

impl Leadership {
    /// The term this node leads and may decide in.
    #[must_use]
    pub fn ready_term(&self) -> Option<u64> {
        match self {
            Self::Leader { term, ready: true } => Some(*term),
            _ => None,
        }
    }
}
