//! Flags of what is done to many jobs.

use clap::{Args, ValueEnum};
use jobbie_proto::id::OperationRef;
use jobbie_proto::limits;
use jobbie_proto::reply::JobState;

use super::units::{instant_ms, queue_name};
use super::{ByArgs, ClientArgs, HoldTimeoutArgs, QueueArgs};

/// How long a command waits for what it began.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Do not wait: print what was begun, for `jobbie operations`
    #[arg(long = "async")]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ClearArgs {
    #[command(flatten)]
    pub(crate) queue: QueueArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DestroyArgs {
    #[command(flatten)]
    pub(crate) queue: QueueArgs,
    /// Yes, all of its jobs
    #[arg(long, required = true)]
    pub(crate) confirm: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// What is done to each job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Action {
    /// Call it off
    Cancel,
    /// Remove it
    Delete,
    /// Scheduled, dead or cancelled: let it run now, with all its attempts before it
    Retry,
    /// Dead: let it wait again; the attempts it made still count
    Requeue,
    /// Let it wait for a human
    Hold,
    /// Held: let it go on
    Approve,
    /// Held: it is dead
    Reject,
    /// Put it into the queue named by --to
    Move,
    /// Pending or scheduled: give it the tier named by --tier
    Prioritize,
}

/// States that jobs in memory are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    Pending,
    Scheduled,
    Active,
    Retrying,
    Held,
    Dead,
    Cancelled,
    Planned,
}

impl State {
    pub(crate) fn state(self) -> JobState {
        match self {
            Self::Pending => JobState::Pending,
            Self::Scheduled => JobState::Scheduled,
            Self::Active => JobState::Active,
            Self::Retrying => JobState::Retrying,
            Self::Held => JobState::Held,
            Self::Dead => JobState::Dead,
            Self::Cancelled => JobState::Cancelled,
            Self::Planned => JobState::Planned,
        }
    }
}

/// Which jobs are meant.
#[derive(Debug, Args)]
pub(crate) struct FilterArgs {
    /// Only jobs of this queue
    #[arg(long, value_parser = queue_name, value_name = "QUEUE")]
    pub(crate) queue: Option<String>,
    /// Only jobs in one of these states, as `pending,scheduled`
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STATES")]
    pub(crate) state: Vec<State>,
    /// Only jobs of this tier
    #[arg(long, value_parser = clap::value_parser!(u8).range(..i64::from(limits::PRIORITY_TIERS)), value_name = "TIER")]
    pub(crate) priority: Option<u8>,
    /// Only jobs with this limit key
    #[arg(long, value_name = "TEXT")]
    pub(crate) limit_key: Option<String>,
    /// Only jobs created after this time: as 2026-11-22T10:00:00Z, or in milliseconds since 1970
    #[arg(long, value_parser = instant_ms, value_name = "TIME")]
    pub(crate) created_after: Option<u64>,
    /// Only jobs created before this time
    #[arg(long, value_parser = instant_ms, value_name = "TIME")]
    pub(crate) created_before: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct BulkArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// What is done to each job; those in a state in which that is not done are skipped. Without any of the flags
    /// that say which jobs, they are read from standard input: an id a line, or JSON as other commands print it, of
    /// which the field `id` or `job` counts
    #[arg(value_enum)]
    pub(crate) action: Action,
    /// `-` says that the jobs come from standard input, which it is without any flag that says which
    #[arg(value_parser = ["-"], conflicts_with_all = ["queue", "state", "priority", "limit_key", "created_after", "created_before"])]
    pub(crate) stdin: Option<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// Where jobs are moved to
    #[arg(long, value_parser = queue_name, value_name = "QUEUE", required_if_eq("action", "move"))]
    pub(crate) to: Option<String>,
    /// The tier that jobs get: 0 critical, 1 high, 2 normal
    #[arg(long, value_parser = clap::value_parser!(u8).range(..i64::from(limits::PRIORITY_TIERS)), value_name = "TIER", required_if_eq("action", "prioritize"))]
    pub(crate) tier: Option<u8>,
    /// What holding, approving and rejecting say to people
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) by: ByArgs,
    #[command(flatten)]
    pub(crate) timeout: HoldTimeoutArgs,
    /// Only count the jobs
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// What is done to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OperationsAction {
    /// End it where it is; what it did remains
    Cancel,
}

#[derive(Debug, Args)]
pub(crate) struct OperationsArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Without it, operations are listed
    #[arg(value_enum, requires = "operation")]
    pub(crate) action: Option<OperationsAction>,
    /// Operation, as op_0_17
    #[arg(value_name = "ID")]
    pub(crate) operation: Option<OperationRef>,
}
