//! Flags of the HTTP side.

use std::net::SocketAddr;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct HttpArgs {
    /// Address and port for HTTP
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub(crate) http: SocketAddr,
    /// Serve no HTTP
    #[arg(long)]
    pub(crate) no_http: bool,
}
