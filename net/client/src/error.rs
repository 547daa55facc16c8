//! What can go wrong, and whether it was done all the same.

use jobbie_proto::ability::Ability;
use jobbie_proto::wire::EncodeError;
use jobbie_proto::{BatchId, Code, JobId};

/// What is known of a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not done and will not be: it may be tried again.
    NotDone,
    /// It may have been done. Trying again may do it twice, unless it carries an idempotency key.
    Unknown,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotDone => "not done",
            Self::Unknown => "unknown whether it was done",
        })
    }
}

/// A call that did not succeed. [`Error::outcome`] says whether it may be tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The server understood and declined. Not done.
    #[error("{}: {message}", code.name())]
    Refused {
        /// Why.
        code: Code,
        /// What the server says about it.
        message: String,
    },
    /// One job's operation changed nothing: the lease is over, or the job is not in a state for it.
    #[error("{}: {job} is unchanged", code.name())]
    Job {
        /// The job.
        job: JobId,
        /// Why.
        code: Code,
    },
    /// An operation on a batch changed nothing.
    #[error("{}: {batch} is unchanged", code.name())]
    Batch {
        /// The batch.
        batch: BatchId,
        /// Why.
        code: Code,
    },
    /// The idempotency key is taken by a job with other content. Not done: use another key, or look at that job.
    #[error("CONFLICT: the idempotency key belongs to {job}, which has other content")]
    Conflict {
        /// The job that has the key.
        job: JobId,
    },
    /// The time allowed for the call is over.
    #[error("no answer within {after_ms} ms ({outcome}); {cause}")]
    Deadline {
        /// What is known of it.
        outcome: Outcome,
        /// How long the call took.
        after_ms: u64,
        /// What kept it.
        cause: String,
    },
    /// The server has forgotten the session, so it cannot say what became of the request, and will not do it any
    /// more. Unknown.
    #[error("SESSION_GONE: the session ended before the answer came ({})", Outcome::Unknown)]
    SessionGone,
    /// The server refuses this client for good: fix the cause and connect again.
    #[error("connection to {address} refused, {}: {message}", code.name())]
    ConnectionRefused {
        /// The server.
        address: String,
        /// Why.
        code: Code,
        /// What the server says about it.
        message: String,
    },
    /// What is at the address is not a jobbie server, or a newer one.
    #[error("{address}: {message}; is this the port of the binary protocol?")]
    Protocol {
        /// The server.
        address: String,
        /// What was wrong.
        message: String,
        /// What is known of the request.
        outcome: Outcome,
    },
    /// An argument cannot be right. Not done.
    #[error("{0}")]
    Invalid(String),
    /// It does not fit a frame. Not done.
    #[error(transparent)]
    TooLarge(#[from] EncodeError),
    /// The server is too old for it: it was not sent. Not done.
    #[error(
        "the server, release {server_version}, does not know {}: nothing was sent; update the server", ability.name()
    )]
    Lacking {
        /// What it would have to know.
        ability: Ability,
        /// Release of the server.
        server_version: String,
    },
    /// The client was closed.
    #[error("the client is closed ({outcome})")]
    Closed {
        /// What is known of the request.
        outcome: Outcome,
    },
}

impl Error {
    /// Whether no queue that a fetch named has money left.
    pub(crate) fn is_over_budget(&self) -> bool {
        matches!(self, Self::Refused { code: Code::BudgetExceeded, .. })
    }

    /// Whether the request may have been done.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::SessionGone => Outcome::Unknown,
            Self::Deadline { outcome, .. }
            | Self::Protocol { outcome, .. }
            | Self::Closed { outcome } => *outcome,
            Self::Refused { code: Code::Unavailable | Code::SessionGone, .. } => Outcome::Unknown,
            Self::Refused { .. }
            | Self::Job { .. }
            | Self::Batch { .. }
            | Self::Conflict { .. }
            | Self::ConnectionRefused { .. }
            | Self::Lacking { .. }
            | Self::Invalid(_)
            | Self::TooLarge(_) => Outcome::NotDone,
        }
    }
}
