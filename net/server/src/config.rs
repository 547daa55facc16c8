//! How a node is started.

use std::net::SocketAddr;
use std::path::PathBuf;

use jobbie_log::Durability;
use jobbie_log::limits::SEGMENT_BYTES_DEFAULT;
use jobbie_proto::limits::{
    LEASE_EXPIRIES_MAX_MAX, RETENTION_MS_MAX, RETENTION_MS_MIN, SHARDS_MAX,
};
use jobbie_shard::Settings;

/// Configuration of one node.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Directory of everything the node stores; made when missing.
    pub data_dir: PathBuf,
    /// Where shard 0 listens; shard *k* listens *k* ports above. Port 0 takes any free ports.
    pub listen: SocketAddr,
    /// Host name or address that clients are told to connect to; `None` is that of `listen`.
    pub advertise: Option<String>,
    /// Shards of a new data directory (1..=1024); `None` is one per core. Of an existing one it must be
    /// what that was made with.
    pub shards: Option<u16>,
    /// What an answer is worth.
    pub durability: Durability,
    /// Bytes of one log segment (1 MiB to 1 GiB, whole MiB).
    pub segment_bytes: u64,
    /// Log bytes of one shard after which its state is written down anew (at least 1 MiB): what a restart
    /// reads at most.
    pub snapshot_log_bytes: u64,
    /// Log bytes of the whole node that are kept for history and for read models to be made anew, beside what is needed, while
    /// there is room on the disk; 0 is none.
    pub history_bytes: u64,
    /// Whether a read model is kept, for search and history.
    pub read_model: bool,
    /// What clients must show; empty asks for nothing.
    pub token: String,
    /// Where metrics are served over HTTP; `None` is nowhere.
    pub metrics: Option<SocketAddr>,
    /// What depends on nothing but the operators' wishes: how long ended jobs are kept, when jobs are quarantined.
    pub settings: Settings,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("jobbie-data"),
            listen: SocketAddr::from(([127, 0, 0, 1], 7400)),
            advertise: None,
            shards: None,
            durability: Durability::Fsync,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            snapshot_log_bytes: 256 << 20,
            history_bytes: 4 << 30,
            read_model: true,
            token: String::new(),
            metrics: None,
            settings: Settings::default(),
        }
    }
}

impl ServerConfig {
    /// # Errors
    /// The first thing that cannot be, and what to do about it.
    pub fn validate(&self) -> Result<(), String> {
        if self.shards.is_some_and(|shards| shards == 0 || shards > SHARDS_MAX) {
            return Err(format!("--shards must be between 1 and {SHARDS_MAX}"));
        }
        if self.listen.ip().is_unspecified() && self.advertise.is_none() {
            return Err(format!(
                "--listen {} takes connections on every address: say with --advertise HOST which one \
                 clients are to use",
                self.listen
            ));
        }
        if !self.listen.ip().is_loopback() && self.token.is_empty() {
            return Err(format!(
                "--listen {} can be reached from other machines: set --token, which clients must \
                 then show",
                self.listen
            ));
        }
        if self.snapshot_log_bytes < 1 << 20 {
            return Err("--snapshot-log-bytes must be at least 1 MiB".to_owned());
        }
        let fits = (1 << 20..=1 << 30).contains(&self.segment_bytes);
        if !fits || !self.segment_bytes.is_multiple_of(1 << 20) {
            return Err("--segment-bytes must be 1 MiB to 1 GiB, in whole MiB".to_owned());
        }
        let Settings { retention_ms, lease_expiries_max, .. } = self.settings;
        if !(RETENTION_MS_MIN..=RETENTION_MS_MAX).contains(&retention_ms) {
            let most = RETENTION_MS_MAX / 86_400_000;
            return Err(format!("--retention is {retention_ms}ms, and must be 1h to {most}d"));
        }
        if lease_expiries_max > LEASE_EXPIRIES_MAX_MAX {
            return Err(format!(
                "--lease-expiries-max is {lease_expiries_max}, and must be at most {LEASE_EXPIRIES_MAX_MAX}; 0 is never"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_can_reach_must_be_named_and_guarded() {
        let listen = |listen: &str| ServerConfig {
            listen: listen.parse().expect("an address"),
            ..ServerConfig::default()
        };
        assert_eq!(listen("127.0.0.1:7400").validate(), Ok(()));
        assert!(listen("0.0.0.0:7400").validate().unwrap_err().contains("--advertise"));
        assert!(listen("192.0.2.1:7400").validate().unwrap_err().contains("--token"));
        let guarded = ServerConfig { token: "secret".into(), ..listen("192.0.2.1:7400") };
        assert_eq!(guarded.validate(), Ok(()));
    }
}
