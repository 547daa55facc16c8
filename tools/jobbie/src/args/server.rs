//! Flags of the server.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jobbie_proto::limits;

use super::units::{self, Durability, bytes, durability};
use super::{ADDR_DEFAULT, HttpArgs};

/// How the log on stderr looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// Directory of all files of this node; made when missing
    #[arg(long, default_value = "./jobbie-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Address and port for clients of shard 0; shard k listens k ports above
    #[arg(long, default_value = ADDR_DEFAULT, value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
    /// Host name that clients are told to connect to [default: that of --listen]
    #[arg(long, value_name = "HOST")]
    pub(crate) advertise: Option<String>,
    /// What clients must show; needed when other machines can connect
    #[arg(long, default_value = "", hide_env_values = true, value_name = "TEXT")]
    pub(crate) token: String,
    /// Shards; fixed when the data directory is made [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(limits::SHARDS_MAX)))]
    pub(crate) shards: Option<u16>,
    /// When a write counts: `fsync` (on disk before it is answered), `interval:<ms>`, or `none`. The latter two
    /// lose the newest acknowledged writes when the machine loses power
    #[arg(long, default_value = "fsync", value_parser = durability, value_name = "MODE")]
    pub(crate) durability: Durability,
    /// Form of the log on stderr
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace, or per part as `info,jobbie_log=debug`
    #[arg(long, default_value = "info,openraft=warn", value_name = "FILTER")]
    pub(crate) log_level: String,
    /// Address and port for Prometheus metrics [default: none]
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics: Option<SocketAddr>,
    /// Size of a log segment, as 64MiB; fixed per segment when it is made
    #[arg(long, value_parser = bytes, value_name = "BYTES")]
    pub(crate) segment_bytes: Option<u64>,
    /// Log of a shard, as 256MiB, after which its state is written down anew: what a restart reads at most
    #[arg(long, value_parser = bytes, value_name = "BYTES")]
    pub(crate) snapshot_log_bytes: Option<u64>,
    #[command(flatten)]
    pub(crate) http: HttpArgs,
    /// Keep no read model: there is no search and no history of completed jobs then
    #[arg(long)]
    pub(crate) no_read_model: bool,
    /// Log of the whole node, as 4GiB, that is kept for history and read models beside what is needed, while there is room on the
    /// disk; 0B is none
    #[arg(long, value_parser = bytes, value_name = "BYTES")]
    pub(crate) history_bytes: Option<u64>,
    /// How long dead and cancelled jobs are kept, 1h to 3660d
    #[arg(long, default_value = "168h", value_parser = units::time_ms, value_name = "TIME")]
    pub(crate) retention: u64,
    /// How many workers must lose a job that has no attempt left until it is quarantined; 0 is never
    #[arg(long, default_value_t = limits::LEASE_EXPIRIES_MAX, value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(limits::LEASE_EXPIRIES_MAX_MAX)))]
    pub(crate) lease_expiries_max: u32,
}
