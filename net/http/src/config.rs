//! How the HTTP side is started.

use std::net::SocketAddr;
use std::path::PathBuf;

use jobbie_proto::limits::PAYLOAD_BYTES_MAX;

/// Configuration of the HTTP side. Start from [`HttpConfig::default`].
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Where it listens. Port 0 takes any free port.
    pub listen: SocketAddr,
    /// `host:port` of the binary protocol of any nodes, at least one.
    pub connect: Vec<String>,
    /// What nodes of the binary protocol are shown, and what callers must show as `X-API-Key` or as bearer token. Empty asks for
    /// nothing.
    pub token: String,
    /// The SQLite file of the read model; without it there is no search, no history and no stream of events.
    pub read_model: Option<PathBuf>,
    /// What is limited.
    pub limits: HttpLimits,
    /// Whether `/docs` and `/openapi.json` are served.
    pub docs: bool,
    /// Threads of the HTTP side; 0 is one for each core, at most 4.
    pub threads: usize,
    /// Time for requests under way when it is stopped, in milliseconds.
    pub grace_ms: u64,
}

/// Limits of the HTTP side. Full is an answer (`OVERLOADED`, `RATE_LIMITED`, 413), never growth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Bytes of a job's payload as JSON (at most 256 KiB, which is also what 0 means).
    pub payload_bytes: usize,
    /// Bytes of a body with one thing in it.
    pub body_bytes: usize,
    /// Bytes of a body with many.
    pub batch_body_bytes: usize,
    /// Open connections; more wait to be taken.
    pub connections: usize,
    /// Requests to shards under way at a time, waiting fetches not counted.
    pub requests: usize,
    /// Fetches that wait at a time.
    pub waiting_fetches: usize,
    /// Open streams of events.
    pub streams: usize,
    /// Queries to the read model at a time.
    pub queries: usize,
    /// How long search waits for the read model to be fresh, in milliseconds.
    pub fresh_ms: u64,
    /// Requests of one client; `None` does not limit them.
    pub rate: Option<RateLimits>,
}

/// Token buckets of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// Reads (GET and HEAD) in a second.
    pub read_rps: u32,
    /// Reads at once.
    pub read_burst: u32,
    /// Everything else, in a second. A batch counts its items.
    pub write_rps: u32,
    /// Writes at once. A batch that is larger takes a full bucket.
    pub write_burst: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { read_rps: 20_000, read_burst: 40_000, write_rps: 50_000, write_burst: 100_000 }
    }
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            payload_bytes: PAYLOAD_BYTES_MAX,
            body_bytes: 4 << 20,
            batch_body_bytes: 16 << 20,
            connections: 16_384,
            requests: 16_384,
            waiting_fetches: 16_384,
            streams: 1024,
            queries: 4,
            fresh_ms: 1000,
            rate: Some(RateLimits::default()),
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            connect: vec!["127.0.0.1:7400".to_owned()],
            token: String::new(),
            read_model: None,
            limits: HttpLimits::default(),
            docs: true,
            threads: 0,
            grace_ms: 500,
        }
    }
}

impl HttpConfig {
    /// # Errors
    /// The first thing that cannot be, and what to do about it.
    pub fn validate(&self) -> Result<(), String> {
        if self.connect.is_empty() {
            return Err("name at least one node to connect to, as host:port".to_owned());
        }
        if !self.listen.ip().is_loopback() && self.token.is_empty() {
            return Err(format!(
                "{} can be reached from other machines: set --token, which callers must then show",
                self.listen
            ));
        }
        let HttpLimits { payload_bytes, body_bytes, batch_body_bytes, .. } = self.limits;
        if payload_bytes > PAYLOAD_BYTES_MAX {
            return Err(format!("payloads have at most {PAYLOAD_BYTES_MAX} bytes"));
        }
        if body_bytes < 1024 || batch_body_bytes < body_bytes {
            return Err("bodies: at least 1024 bytes, and those of batches not smaller".to_owned());
        }
        let limits = self.limits;
        let counts = [limits.connections, limits.requests, limits.waiting_fetches, limits.queries];
        if counts.contains(&0) {
            return Err("connections, requests, waiting fetches and queries: at least 1".to_owned());
        }
        let rate = limits.rate.map(|r| [r.read_rps, r.read_burst, r.write_rps, r.write_burst]);
        if rate.is_some_and(|rate| rate.contains(&0)) {
            return Err("rate limits: at least 1 each".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused() {
        let wrong = |change: fn(&mut HttpConfig)| {
            let mut config = HttpConfig::default();
            change(&mut config);
            config.validate().expect_err("it is wrong")
        };
        assert_eq!(HttpConfig::default().validate(), Ok(()));
        assert!(wrong(|c| c.connect.clear()).contains("host:port"));
        assert!(wrong(|c| c.listen = ([0, 0, 0, 0], 8080).into()).contains("--token"));
        assert!(wrong(|c| c.limits.payload_bytes = 1 << 20).contains("payloads"));
        assert!(wrong(|c| c.limits.batch_body_bytes = 4096).contains("bodies"));
        assert!(wrong(|c| c.limits.queries = 0).contains("queries"));
        let none = RateLimits { read_rps: 0, ..RateLimits::default() };
        let config = HttpConfig {
            limits: HttpLimits { rate: Some(none), ..HttpLimits::default() },
            ..HttpConfig::default()
        };
        assert!(config.validate().expect_err("it is wrong").contains("rate"));
    }
}
