//! Flags of the HTTP side.

use std::net::SocketAddr;

use clap::Args;

use super::{ADDR_DEFAULT, LogFormat};

/// Flags of the HTTP side as a process of its own.
#[derive(Debug, Args)]
pub(crate) struct ShimArgs {
    /// Nodes to connect to, as host:port, with commas between them
    #[arg(long, default_value = ADDR_DEFAULT, value_delimiter = ',', value_name = "ADDRS")]
    pub(crate) connect: Vec<String>,
    /// Address and port for HTTP
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub(crate) http: SocketAddr,
    /// What the nodes are shown, and callers must show; needed when other machines can connect
    #[arg(long, default_value = "", hide_env_values = true, value_name = "TEXT")]
    pub(crate) token: String,
    /// Form of the log on stderr
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace
    #[arg(long, default_value = "info", value_name = "FILTER")]
    pub(crate) log_level: String,
}

#[derive(Debug, Args)]
pub(crate) struct HttpArgs {
    /// Address and port for HTTP
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub(crate) http: SocketAddr,
    /// Serve no HTTP
    #[arg(long)]
    pub(crate) no_http: bool,
}
