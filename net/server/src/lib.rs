//! Listeners, connections, shard threads and metrics of one node.
//!
//! [`Server::start`] opens a data directory, starts a thread for each of its shards, and returns
//! when all of them serve.

mod clock;
mod config;
mod data_dir;
mod metrics;
mod node;
mod post;
mod read_model;
mod shard_thread;
mod stream;

pub use config::ServerConfig;
pub use data_dir::{DataDir, DataDirError, shard_dir};
pub use jobbie_log::Durability;
pub use jobbie_shard::Settings;
pub use metrics::MetricsError;
pub use node::{Server, StartError};
pub use read_model::{Lag, Position, ReadModel};
pub use shard_thread::ShardError;
