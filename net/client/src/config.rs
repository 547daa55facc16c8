//! How a client behaves.

use std::time::Duration;

use jobbie_proto::limits::{SESSION_REPLIES_MAX, WORKER_BYTES_MAX};

use crate::Error;

/// How a client behaves. Start from [`Config::new`] and change what you need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `host:port` of any nodes; the first that answers tells of the rest.
    pub addresses: Vec<String>,
    /// Name of this program, shown to operators; at most 255 bytes.
    pub name: String,
    /// Name of this machine; at most 255 bytes.
    pub host: String,
    /// Credential; empty is none.
    pub token: Vec<u8>,
    /// How long a call may take, reconnecting and trying again included, in milliseconds.
    pub deadline_ms: u64,
    /// How long a connection may take to be made and to be welcomed, in milliseconds.
    pub connect_ms: u64,
    /// First pause before connecting again, in milliseconds; it doubles up to [`Config::backoff_ms_max`] and is
    /// shortened at random by up to half, so that a restarted server is not met by everybody at once.
    pub backoff_ms_min: u64,
    /// Longest such pause, in milliseconds.
    pub backoff_ms_max: u64,
    /// A connection silent for this long is asked for a sign of life, and given up after as long again, in milliseconds.
    pub silence_ms: u64,
    /// Requests in flight on one connection (1..=4096); further calls wait.
    pub requests_max: usize,
}

impl Config {
    /// The defaults, for the node at `address`.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            addresses: vec![address.into()],
            name: String::new(),
            host: String::new(),
            token: Vec::new(),
            deadline_ms: 30_000,
            connect_ms: 5_000,
            backoff_ms_min: 20,
            backoff_ms_max: 2_000,
            silence_ms: 10_000,
            requests_max: 1024,
        }
    }

    /// # Errors
    /// Names the first field that cannot be right.
    pub fn validate(&self) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error::Invalid(what.to_owned()));
        if self.addresses.is_empty() {
            return wrong("addresses: name at least one server as host:port");
        }
        if let Some(bad) = self.addresses.iter().find(|a| !a.contains(':')) {
            return Err(Error::Invalid(format!("address \"{bad}\": write it as host:port")));
        }
        if self.name.len() > WORKER_BYTES_MAX || self.host.len() > WORKER_BYTES_MAX {
            return wrong("name and host: at most 255 bytes each");
        }
        if self.token.len() > 2048 {
            return wrong("token: at most 2048 bytes");
        }
        if !(1..=SESSION_REPLIES_MAX).contains(&self.requests_max) {
            return wrong("requests_max: 1 to 4096");
        }
        let times = [self.deadline_ms, self.connect_ms, self.backoff_ms_min, self.silence_ms];
        if times.contains(&0) || self.backoff_ms_max < self.backoff_ms_min {
            return wrong("times: none may be 0, and backoff_ms_max not below backoff_ms_min");
        }
        Ok(())
    }

    /// The pause before attempt number `failures`, counted from 1.
    pub(crate) fn backoff(&self, failures: u32) -> Duration {
        let doubled = self.backoff_ms_min.saturating_mul(1 << failures.saturating_sub(1).min(16));
        let longest = doubled.min(self.backoff_ms_max);
        Duration::from_millis(rand::random_range(longest / 2..=longest))
    }
}

impl<S: Into<String>> From<S> for Config {
    fn from(address: S) -> Self {
        Self::new(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound() {
        let config = Config::new("localhost:7400");
        assert!((10..=20).contains(&config.backoff(1).as_millis()));
        assert!((40..=80).contains(&config.backoff(3).as_millis()));
        assert!((1000..=2000).contains(&config.backoff(60).as_millis()));
    }

    #[test]
    fn what_cannot_be_right_is_named() {
        let wrong = |change: fn(&mut Config)| {
            let mut config = Config::new("localhost:7400");
            change(&mut config);
            config.validate().expect_err("it is wrong").to_string()
        };
        assert!(wrong(|c| c.addresses.clear()).contains("addresses"));
        assert!(wrong(|c| c.addresses = vec!["localhost".into()]).contains("host:port"));
        assert!(wrong(|c| c.requests_max = 0).contains("requests_max"));
        assert!(wrong(|c| c.silence_ms = 0).contains("times"));
        assert_eq!(Config::new("localhost:7400").validate(), Ok(()));
    }
}
