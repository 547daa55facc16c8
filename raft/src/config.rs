//! How a group behaves.

use std::sync::Arc;

use openraft::{Config, SnapshotPolicy};

use crate::limits::{
    APPEND_ENTRIES_MAX, CHANNEL_MESSAGES_MAX, REPLICATE_ENTRIES_MAX, SNAPSHOT_LAG_ENTRIES,
};

/// How a group comes into being on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// On first start the node founds the group, as its only member under this address.
    Single {
        /// Where peers would reach it.
        address: String,
    },
    /// On first start these nodes found the group together; each of them is given the same list.
    Founders(crate::Membership),
    /// The node waits until a leader takes it in.
    Join,
}

/// Configuration of one member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// This node. Never reused for another data directory.
    pub node: u64,
    /// What to do when the log is empty.
    pub bootstrap: Bootstrap,
    /// How often a leader tells its followers that it is there, in milliseconds (at least 5).
    pub heartbeat_ms: u64,
    /// How long a follower waits without hearing of a leader before it wants to be one, in
    /// milliseconds; a random time from here to twice as much (at least three heartbeats). Longer
    /// delays failover; shorter takes a slow disk for a dead leader.
    pub election_ms: u64,
    /// How long sending one snapshot may take, in milliseconds.
    pub snapshot_ms: u64,
}

impl GroupConfig {
    /// The defaults for `node`.
    #[must_use]
    pub fn new(node: u64, bootstrap: Bootstrap) -> Self {
        Self { node, bootstrap, heartbeat_ms: 100, election_ms: 600, snapshot_ms: 60_000 }
    }

    /// openraft's configuration.
    ///
    /// # Errors
    /// What is out of range.
    pub(crate) fn to_raft(&self) -> Result<Arc<Config>, String> {
        if self.heartbeat_ms < 5 || self.election_ms < 3 * self.heartbeat_ms {
            return Err("election_ms must be at least 3 heartbeat_ms, and that at least 5".into());
        }
        let config = Config {
            cluster_name: "jobbie".to_owned(),
            heartbeat_interval: self.heartbeat_ms,
            election_timeout_min: self.election_ms,
            election_timeout_max: 2 * self.election_ms,
            install_snapshot_timeout: self.snapshot_ms,
            max_payload_entries: REPLICATE_ENTRIES_MAX,
            max_append_entries: Some(APPEND_ENTRIES_MAX),
            replication_lag_threshold: SNAPSHOT_LAG_ENTRIES,
            // The shard knows the bytes of its log and asks for snapshots itself.
            snapshot_policy: SnapshotPolicy::Never,
            // The shard knows which snapshots are kept and lets go of the log before the oldest of them.
            max_in_snapshot_log_to_keep: u64::MAX,
            api_channel_size: Some(CHANNEL_MESSAGES_MAX),
            notification_channel_size: Some(CHANNEL_MESSAGES_MAX),
            enable_pre_vote: Some(true),
            // A restarted leader asks again: its state was rebuilt and may be behind.
            enable_leader_restore: Some(false),
            // A follower that lost what it had flushed must not be believed.
            allow_log_reversion: Some(false),
            ..Config::default()
        };
        let config = config.validate().map_err(|error| error.to_string())?;
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elections_must_outlast_heartbeats() {
        let mut config = GroupConfig::new(1, Bootstrap::Join);
        assert!(config.to_raft().is_ok());
        config.heartbeat_ms = 300;
        assert!(config.to_raft().is_err());
    }
}
