//! The command line as plain data. Every flag can also be given as a variable `JOBBIE_<FLAG>` and as a key in the
//! file named by `--config`; a flag beats its variable, which beats the file, which beats the default.

mod agents;
mod http;
mod layers;
mod operations;
mod plans;
mod rules;
mod schedules;
mod search;
mod server;
mod ties;
mod tools;
mod units;
mod usage;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
pub(crate) use http::HttpArgs;
use jobbie_proto::{JobId, limits};

pub(crate) use agents::{AgentArgs, IterationArgs, IterationsArgs, ReplayArgs};
pub(crate) use layers::{UsageError, command, parse};
pub(crate) use operations::{
    Action, BulkArgs, ClearArgs, DestroyArgs, FilterArgs, OperationsArgs, State, WaitArgs,
};
pub(crate) use plans::{EventArgs, EventsArgs, PlanArgs, Verb};
pub(crate) use rules::{
    BudgetCommand, DeletePolicyArgs, PolicyCommand, ScopeArgs, SetBudgetArgs, SetPolicyArgs,
};
pub(crate) use schedules::{
    MissedRuns, ScheduleArgs, ScheduleCommand, SchedulesArgs, SetScheduleArgs, ShowScheduleArgs,
};
pub(crate) use search::{HttpClientArgs, RebuildArgs, SearchArgs};
pub(crate) use server::{LogFormat, ServerArgs};
pub(crate) use ties::{BatchArgs, BatchVerb, OpenArgs, SealArgs, ShowArgs, Step, TieArgs};
pub(crate) use tools::{CompletionsArgs, ManArgs, SeedCommand, Shell, TopArgs, VersionArgs};
pub(crate) use usage::{CacheCommand, SpentArgs, UsageArgs};

pub(crate) use units::{Durability, queue_name};

/// The default address, of the server and of those who look for it.
const ADDR_DEFAULT: &str = "127.0.0.1:7400";

#[derive(Debug, Parser)]
#[command(
    name = "jobbie",
    version,
    about = "A durable job server and its command line",
    after_help = format!(
        "{}. Every flag is also a variable JOBBIE_<FLAG> and a key of the --config file.",
        crate::exit::Exit::in_words()
    )
)]
pub(crate) struct Cli {
    /// TOML file with a table per command, `[client]` for what all client commands share
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server
    Server(ServerArgs),
    /// Create a job and print its id
    Enqueue(Box<EnqueueArgs>),
    /// Take jobs from queues, as a worker does
    Fetch(FetchArgs),
    /// Finish a fetched job
    Ack(AckArgs),
    /// Say that a fetched job failed
    Fail(FailArgs),
    /// Show one job
    Inspect(JobArgs),
    /// Call a job off
    Cancel(JobArgs),
    /// Remove a job
    Delete(JobArgs),
    /// Let dead, cancelled or scheduled jobs run now, with all their attempts before them
    Retry(JobsArgs),
    /// Let dead jobs wait again; the attempts they made still count
    Requeue(JobsArgs),
    /// Let jobs wait for a human
    Hold(HoldArgs),
    /// Let held jobs go on
    Approve(ApproveArgs),
    /// End held jobs: they are dead
    Reject(RejectArgs),
    /// Put a job into another queue
    Move(MoveArgs),
    /// Give pending or scheduled jobs another tier
    Prioritize(PrioritizeArgs),
    /// Give a job that waits another payload
    Replace(ReplaceArgs),
    /// List the jobs that were enqueued for a job
    Children(JobArgs),
    /// Open, seal and show batches of jobs
    Batch(BatchArgs),
    /// Tell a planned job of something that happened
    Event(EventArgs),
    /// List the events of a planned job, newest first
    Events(EventsArgs),
    /// List the errors of a job, newest first
    Errors(ErrorsArgs),
    /// List queues and their counts
    Queues(QueuesArgs),
    /// Stop handing out a queue's jobs
    Pause(QueueArgs),
    /// Hand out a queue's jobs again
    Resume(QueueArgs),
    /// Stop handing out a queue's jobs, until none is active
    Drain(QueueArgs),
    /// List what limits queues
    Limits(QueuesArgs),
    /// Change what limits a queue; what is not named stays as it is
    Limit(LimitArgs),
    /// Give a limit key of a queue another share
    Weigh(WeighArgs),
    /// List schedules
    Schedules(SchedulesArgs),
    /// Make a job again and again, by the clock of a time zone
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// Remove the pending and scheduled jobs of a queue
    Clear(ClearArgs),
    /// Remove a queue: all of its jobs, settings and keys
    Destroy(DestroyArgs),
    /// Do one thing to many jobs
    Bulk(BulkArgs),
    /// List what is being done to many jobs, or end it
    Operations(OperationsArgs),
    /// Search the read model for jobs, over HTTP
    Search(Box<SearchArgs>),
    /// Have the read model made anew from the logs, over HTTP
    Rebuild(RebuildArgs),
    /// List the jobs that wait for a human
    Held(HeldArgs),
    /// List workers that asked for jobs within the last 24 hours
    Workers(WorkersArgs),
    /// List the iterations of an agent job, newest first
    Iterations(IterationsArgs),
    /// Make a new job from an iteration of an agent job
    Replay(ReplayArgs),
    /// Sum up what work on jobs used
    Usage(UsageArgs),
    /// Sum up what prompt caches saved
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Make jobs to look at
    #[command(subcommand)]
    Seed(SeedCommand),
    /// Say how much may be spent
    #[command(subcommand)]
    Budget(BudgetCommand),
    /// Say which agent jobs wait for a human before they go on
    #[command(subcommand)]
    ApprovalPolicy(PolicyCommand),
    /// Show the server's shards and settings
    Status(StatusArgs),
    /// Show queues, shards and workers, and how fast they are, until `q` is pressed
    Top(TopArgs),
    /// Print the version
    Version(VersionArgs),
    /// Print what completes commands and flags in a shell
    Completions(CompletionsArgs),
    /// Write a manual page for each command
    Man(ManArgs),
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A table, or the bare id of what was made
    Table,
    /// One JSON document: an object, or a list of them
    Json,
    /// A JSON object a line
    Jsonl,
}

/// What every client command takes.
#[derive(Debug, Args)]
pub(crate) struct ClientArgs {
    /// Address of the server
    #[arg(long, default_value = ADDR_DEFAULT, value_name = "ADDR")]
    pub(crate) addr: String,
    /// How results are printed
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) output: Output,
    /// What the server asks clients to show
    #[arg(long, default_value = "", hide_env_values = true, value_name = "TEXT")]
    pub(crate) token: String,
    /// How long to try, in milliseconds
    #[arg(long, default_value_t = 10_000, value_name = "MS")]
    pub(crate) timeout_ms: u64,
}

/// How retries are delayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backoff {
    None,
    Fixed,
    Linear,
    Exponential,
}

/// What jobs have beside their payload, whether they are enqueued or made by a schedule.
#[derive(Debug, Args)]
pub(crate) struct JobOptions {
    /// Tier: 0 critical, 1 high, 2 normal
    #[arg(long, default_value_t = limits::PRIORITY_DEFAULT, value_parser = clap::value_parser!(u8).range(..i64::from(limits::PRIORITY_TIERS)))]
    pub(crate) priority: u8,
    /// Attempts in all
    #[arg(long, default_value_t = limits::ATTEMPTS_DEFAULT, value_name = "N")]
    pub(crate) max_retries: u32,
    /// How retries are delayed
    #[arg(long, value_enum, default_value = "exponential")]
    pub(crate) backoff: Backoff,
    /// First delay before a retry, in milliseconds
    #[arg(long, default_value_t = limits::BACKOFF_BASE_MS_DEFAULT, value_name = "MS")]
    pub(crate) backoff_base_ms: u32,
    /// Longest delay before a retry, in milliseconds; 0 is no cap
    #[arg(long, default_value_t = limits::BACKOFF_CAP_MS_DEFAULT, value_name = "MS")]
    pub(crate) backoff_cap_ms: u32,
    /// The job dies when not finished this long after now, in milliseconds; 0 is never
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub(crate) expire_after_ms: u64,
    /// Anything to find the job by, such as a JSON object
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) tags: String,
    /// Unique key: while a job of the queue with this key has not ended, its id is printed and no other is made
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) unique_key: String,
    /// How long the unique key is held at most, in milliseconds
    #[arg(long, default_value_t = limits::UNIQUE_MS_DEFAULT, value_name = "MS")]
    pub(crate) unique_ms: u64,
    /// Who the job is for, such as a tenant; the queue may limit the jobs of each and share fairly between them
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) limit_key: String,
}

#[derive(Debug, Args)]
pub(crate) struct EnqueueArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Queue
    #[arg(value_parser = queue_name)]
    pub(crate) queue: String,
    /// What the worker gets: a text, `@file`, or `-` for standard input; `@@text` is the text `@text`
    #[arg(default_value = "-")]
    pub(crate) payload: String,
    /// Wait this long before the first attempt, in milliseconds
    #[arg(long, value_name = "MS", conflicts_with = "at_ms")]
    pub(crate) delay_ms: Option<u64>,
    /// Not before this time, in milliseconds since 1970
    #[arg(long, value_name = "MS")]
    pub(crate) at_ms: Option<u64>,
    /// Idempotency key: a repeat gives the same job
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) key: String,
    /// How long the key is remembered, in milliseconds
    #[arg(long, default_value_t = limits::KEY_MS_DEFAULT, value_name = "MS")]
    pub(crate) key_ms: u64,
    #[command(flatten)]
    pub(crate) options: JobOptions,
    /// Let the job wait for a human first, for this reason
    #[arg(long, value_name = "REASON")]
    pub(crate) hold: Option<String>,
    #[command(flatten)]
    pub(crate) timeout: HoldTimeoutArgs,
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    #[command(flatten)]
    pub(crate) agent: AgentArgs,
    #[command(flatten)]
    pub(crate) ties: TieArgs,
}

/// What happens to a held job by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Then {
    Approve,
    Cancel,
}

/// How long a job is held.
#[derive(Debug, Args)]
pub(crate) struct HoldTimeoutArgs {
    /// How long the job is held, in milliseconds [default: until somebody decides]
    #[arg(long, value_name = "MS", requires = "then")]
    pub(crate) hold_ms: Option<u64>,
    /// What happens to the job after --hold-ms
    #[arg(long, value_enum, requires = "hold_ms")]
    pub(crate) then: Option<Then>,
}

#[derive(Debug, Args)]
pub(crate) struct JobsArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Job ids
    #[arg(required = true)]
    pub(crate) jobs: Vec<JobId>,
}

/// Who decides about jobs.
#[derive(Debug, Args)]
pub(crate) struct ByArgs {
    /// Who says so [default: the variable USER]
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct HoldArgs {
    #[command(flatten)]
    pub(crate) jobs: JobsArgs,
    /// Why, for people
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) by: ByArgs,
    #[command(flatten)]
    pub(crate) timeout: HoldTimeoutArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    #[command(flatten)]
    pub(crate) jobs: JobsArgs,
    /// Anything to be remembered
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) note: String,
    #[command(flatten)]
    pub(crate) by: ByArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RejectArgs {
    #[command(flatten)]
    pub(crate) jobs: JobsArgs,
    /// Why; becomes the error of the jobs
    #[arg(long, default_value = "", value_name = "TEXT", conflicts_with = "revise")]
    pub(crate) reason: String,
    /// Let held agent jobs go on instead, with this feedback added to the list `feedback` of their checkpoint, a JSON object
    #[arg(long, value_name = "TEXT")]
    pub(crate) revise: Option<String>,
    #[command(flatten)]
    pub(crate) by: ByArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Job id
    pub(crate) job: JobId,
    /// Where it goes
    #[arg(value_parser = queue_name)]
    pub(crate) queue: String,
}

#[derive(Debug, Args)]
pub(crate) struct PrioritizeArgs {
    #[command(flatten)]
    pub(crate) jobs: JobsArgs,
    /// Tier: 0 critical, 1 high, 2 normal
    #[arg(long, value_parser = clap::value_parser!(u8).range(..i64::from(limits::PRIORITY_TIERS)))]
    pub(crate) priority: u8,
}

#[derive(Debug, Args)]
pub(crate) struct ReplaceArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Job id
    pub(crate) job: JobId,
    /// What the worker gets: a text, `@file`, or `-` for standard input
    #[arg(default_value = "-")]
    pub(crate) payload: String,
}

#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Queues, tried in this order
    #[arg(required = true, num_args = 1..=limits::FETCH_QUEUES_MAX, value_parser = queue_name)]
    pub(crate) queues: Vec<String>,
    /// At most this many jobs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::FETCH_COUNT_MAX)), value_name = "N")]
    pub(crate) count: u32,
    /// How long the jobs stay leased, in milliseconds
    #[arg(long, default_value_t = limits::LEASE_MS_DEFAULT, value_parser = clap::value_parser!(u32).range(i64::from(limits::LEASE_MS_MIN)..=i64::from(limits::LEASE_MS_MAX)), value_name = "MS")]
    pub(crate) lease_ms: u32,
    /// How long to wait for a job, in milliseconds
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=i64::from(limits::FETCH_WAIT_MS_MAX)), value_name = "MS")]
    pub(crate) wait_ms: u32,
    /// Worker name [default: host name and process id]
    #[arg(long, value_name = "NAME")]
    pub(crate) worker: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AckArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Job id
    pub(crate) job: JobId,
    /// Token of the lease, as fetch printed it; without it any lease of the job is finished
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) lease_token: u64,
    /// What came out: a text, `@file`, or `-` for standard input
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) result: String,
    #[command(flatten)]
    pub(crate) iteration: IterationArgs,
    #[command(flatten)]
    pub(crate) usage: SpentArgs,
    /// End the job's chain with it: of what comes after it, only the handler of the chain's end is enqueued
    #[arg(long)]
    pub(crate) end_chain: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FailArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Job id
    pub(crate) job: JobId,
    /// What went wrong: a text, `@file`, or `-` for standard input
    pub(crate) error: String,
    /// Token of the lease, as fetch printed it; without it any lease of the job is failed
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) lease_token: u64,
    /// Where it went wrong: a text, `@file`, or `-` for standard input
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) backtrace: String,
    /// Another attempt would fail too: the job is dead
    #[arg(long)]
    pub(crate) no_retry: bool,
}

#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Job id
    pub(crate) job: JobId,
}

#[derive(Debug, Args)]
pub(crate) struct QueueArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Queue
    #[arg(value_parser = queue_name)]
    pub(crate) queue: String,
}

/// What limit keys share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fair {
    /// Nothing: jobs are served in the order in which they came
    None,
    /// Jobs served
    Jobs,
    /// The time for which workers have their jobs
    WorkerTime,
}

#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Queue
    #[arg(value_parser = queue_name)]
    pub(crate) queue: String,
    /// Jobs that workers may have at a time; 0 is no limit
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<u32>,
    /// Jobs that may be given out within any window; 0 is no limit
    #[arg(long, value_name = "N", requires = "window_ms")]
    pub(crate) rate: Option<u32>,
    /// Length of that window, in milliseconds
    #[arg(long, value_name = "MS", requires = "rate")]
    pub(crate) window_ms: Option<u32>,
    /// Jobs of one limit key that workers may have at a time; 0 is no limit
    #[arg(long, value_name = "N")]
    pub(crate) key_concurrency: Option<u32>,
    /// Jobs of one limit key that may be given out within any window of it; 0 is no limit
    #[arg(long, value_name = "N", requires = "key_window_ms")]
    pub(crate) key_rate: Option<u32>,
    /// Length of that window, in milliseconds
    #[arg(long, value_name = "MS", requires = "key_rate")]
    pub(crate) key_window_ms: Option<u32>,
    /// What limit keys share equally, each by its weight
    #[arg(long, value_enum)]
    pub(crate) fair: Option<Fair>,
}

#[derive(Debug, Args)]
pub(crate) struct WeighArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Queue
    #[arg(value_parser = queue_name)]
    pub(crate) queue: String,
    /// Limit key
    pub(crate) key: String,
    /// Its share beside others, which have 1 unless told otherwise
    #[arg(value_parser = clap::value_parser!(u16).range(1..=i64::from(limits::WEIGHT_MAX)))]
    pub(crate) weight: u16,
}

#[derive(Debug, Args)]
pub(crate) struct QueuesArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Only queues whose name begins so
    #[arg(default_value = "")]
    pub(crate) prefix: String,
}

#[derive(Debug, Args)]
pub(crate) struct ErrorsArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Job id
    pub(crate) job: JobId,
    /// At most this many, the newest first
    #[arg(long, default_value_t = limits::HISTORY_COUNT_MAX, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
}

#[derive(Debug, Args)]
pub(crate) struct HeldArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WorkersArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}
