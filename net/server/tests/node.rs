//! A whole node and the Rust client, in one process.

use std::path::Path;

use jobbie_client::Client;
use jobbie_server::{Server, ServerConfig};

fn start(dir: &Path, shards: u16) -> Server {
    let config = ServerConfig {
        data_dir: dir.to_owned(),
        listen: "127.0.0.1:0".parse().expect("an address"),
        shards: Some(shards),
        ..ServerConfig::default()
    };
    Server::start(&config).expect("start the node")
}
