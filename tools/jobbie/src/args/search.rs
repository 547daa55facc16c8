//! Flags of commands that ask the HTTP side.

use clap::Args;

use jobbie_proto::reply::JobState;

use super::Output;

/// What commands take that ask the HTTP side.
#[derive(Debug, Args)]
pub(crate) struct HttpClientArgs {
    /// Address of the server's HTTP side
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub(crate) http_addr: String,
    /// How results are printed
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) output: Output,
    /// What the server asks clients to show
    #[arg(long, default_value = "", hide_env_values = true, value_name = "TEXT")]
    pub(crate) token: String,
    /// Namespace [default: that of queues without one]
    #[arg(long, default_value = "", value_name = "NAME")]
    pub(crate) namespace: String,
}

#[derive(Debug, Args)]
pub(crate) struct RebuildArgs {
    #[command(flatten)]
    pub(crate) http: HttpClientArgs,
}

/// Which jobs; all of it has to hold. Times are RFC 3339, as 2027-01-31T12:00:00Z.
#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    #[command(flatten)]
    pub(crate) http: HttpClientArgs,
    /// In this queue
    #[arg(long, value_name = "QUEUE")]
    pub(crate) queue: Option<String>,
    /// In any of these states
    #[arg(long, value_parser = state, value_delimiter = ',', value_name = "STATE")]
    pub(crate) state: Vec<JobState>,
    /// critical, high or normal
    #[arg(long, value_name = "TIER")]
    pub(crate) priority: Option<String>,
    /// With this tag, as name=value; several are all of them
    #[arg(long = "tag", value_parser = tag, value_name = "NAME=VALUE")]
    pub(crate) tags: Vec<(String, String)>,
    /// With this text in the payload
    #[arg(long, value_name = "TEXT")]
    pub(crate) payload_contains: Option<String>,
    /// For whose payload this expression holds, as '.amount > 100'
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) payload_jq: Option<String>,
    /// Made after this time
    #[arg(long, value_name = "TIME")]
    pub(crate) created_after: Option<String>,
    /// Made before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) created_before: Option<String>,
    /// Due after this time
    #[arg(long, value_name = "TIME")]
    pub(crate) scheduled_after: Option<String>,
    /// Due before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) scheduled_before: Option<String>,
    /// Started after this time
    #[arg(long, value_name = "TIME")]
    pub(crate) started_after: Option<String>,
    /// Started before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) started_before: Option<String>,
    /// Completed after this time
    #[arg(long, value_name = "TIME")]
    pub(crate) completed_after: Option<String>,
    /// Completed before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) completed_before: Option<String>,
    /// Expiring after this time
    #[arg(long, value_name = "TIME")]
    pub(crate) expire_after: Option<String>,
    /// Expiring before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) expire_before: Option<String>,
    /// With at least so many attempts begun
    #[arg(long, value_name = "N")]
    pub(crate) attempt_min: Option<u32>,
    /// With at most so many attempts begun
    #[arg(long, value_name = "N")]
    pub(crate) attempt_max: Option<u32>,
    /// With this unique key
    #[arg(long, value_name = "TEXT")]
    pub(crate) unique_key: Option<String>,
    /// Of this batch
    #[arg(long, value_name = "ID")]
    pub(crate) batch_id: Option<String>,
    /// Last given to this worker
    #[arg(long, value_name = "NAME")]
    pub(crate) worker_id: Option<String>,
    /// Enqueued for this job
    #[arg(long, value_name = "JOB")]
    pub(crate) parent_id: Option<String>,
    /// Of this chain
    #[arg(long, value_name = "ID")]
    pub(crate) chain_id: Option<String>,
    /// With an error recorded
    #[arg(long)]
    pub(crate) has_errors: bool,
    /// With this text in an error
    #[arg(long, value_name = "TEXT")]
    pub(crate) error_contains: Option<String>,
    /// Whose id begins so
    #[arg(long, value_name = "TEXT")]
    pub(crate) job_id_prefix: Option<String>,
    /// Sorted by: created_at, priority, started_at, completed_at, scheduled_at, failed_at, attempt
    #[arg(long, default_value = "created_at", value_name = "FIELD")]
    pub(crate) sort: String,
    /// The smallest first
    #[arg(long)]
    pub(crate) ascending: bool,
    /// Jobs at most
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: u64,
}

fn state(text: &str) -> Result<JobState, String> {
    let found = JobState::HERE.into_iter().find(|state| state.name() == text);
    found.ok_or_else(|| format!("one of {}", JobState::HERE.map(JobState::name).join(", ")))
}

fn tag(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a tag is name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}
