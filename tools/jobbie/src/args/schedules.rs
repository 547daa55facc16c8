//! What is asked of schedules.

use clap::{Args, Subcommand, ValueEnum};
use jobbie_proto::limits;

use super::units::{expression, queue_name, schedule_name};
use super::{ClientArgs, JobOptions};

#[derive(Debug, Args)]
pub(crate) struct SchedulesArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Only those of this queue
    #[arg(value_parser = queue_name)]
    pub(crate) queue: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Make a schedule, or give the one of that name another definition
    Set(SetScheduleArgs),
    /// Show one schedule
    Show(ShowScheduleArgs),
    /// Make no jobs
    Pause(ScheduleArgs),
    /// Make jobs again, from the next planned time on
    Resume(ScheduleArgs),
    /// Make a job now and print its id
    Run(ScheduleArgs),
    /// Remove the schedule; the jobs it has made stay
    Delete(ScheduleArgs),
}

/// What becomes of planned times at which the server was down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MissedRuns {
    /// They are skipped
    Skip,
    /// The newest is made up for
    Once,
    /// All are made up for, at most the newest 100
    All,
}

#[derive(Debug, Args)]
pub(crate) struct ScheduleArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Queue
    #[arg(value_parser = queue_name)]
    pub(crate) queue: String,
    /// Name of the schedule there
    #[arg(value_parser = schedule_name)]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct ShowScheduleArgs {
    #[command(flatten)]
    pub(crate) schedule: ScheduleArgs,
    /// How many of its next planned times to show
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(..=i64::from(limits::SCHEDULE_TIMES_MAX)), value_name = "N")]
    pub(crate) next: u16,
}

#[derive(Debug, Args)]
pub(crate) struct SetScheduleArgs {
    #[command(flatten)]
    pub(crate) schedule: ScheduleArgs,
    /// When: minute, hour, day of month, month, day of week, as `30 2 * * mon-fri`, or `@daily` and the like
    #[arg(value_parser = expression, allow_hyphen_values = true)]
    pub(crate) expression: String,
    /// What the workers get: a text, `@file`, or `-` for standard input; `@@text` is the text `@text`
    #[arg(default_value = "-")]
    pub(crate) payload: String,
    /// IANA name of the time zone by whose clock it goes
    #[arg(long, default_value = "UTC", value_name = "ZONE")]
    pub(crate) zone: String,
    /// What becomes of planned times at which the server was down
    #[arg(long, value_enum, default_value = "once")]
    pub(crate) missed: MissedRuns,
    #[command(flatten)]
    pub(crate) options: JobOptions,
}
