//! How long commits take, from the metrics that the server serves for Prometheus.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The histogram of the time from deciding an entry to its commit, in microseconds.
const BUCKET: &str = "jobbie_commit_us_bucket{shard=\"";
/// How long the server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Metrics are some kilobytes a shard.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// How many commits took at most so long, by shard and microseconds; the last bound is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Latency(BTreeMap<u16, BTreeMap<u64, u64>>);

/// Asks the server.
pub(super) fn read(addr: SocketAddr) -> Result<Latency, String> {
    let answer = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&addr, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        write!(stream, "GET /metrics HTTP/1.0\r\nHost: {addr}\r\n\r\n")?;
        let mut text = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = answer().map_err(|e| format!("metrics at {addr}: {e}"))?;
    let latency = parse(&text);
    if latency.0.is_empty() {
        return Err(format!("metrics at {addr}: none of jobbie"));
    }
    Ok(latency)
}

fn parse(text: &str) -> Latency {
    let mut latency = Latency::default();
    for line in text.lines().filter_map(|line| line.strip_prefix(BUCKET)) {
        let parts = || {
            let (shard, rest) = line.split_once("\",le=\"")?;
            let (bound, count) = rest.split_once("\"} ")?;
            let bound = if bound == "+Inf" { u64::MAX } else { bound.parse().ok()? };
            Some((shard.parse().ok()?, bound, count.trim().parse().ok()?))
        };
        if let Some((shard, bound, count)) = parts() {
            latency.0.entry(shard).or_default().insert(bound, count);
        }
    }
    latency
}

impl Latency {
    /// The bound in microseconds under which 99 of 100 commits of a shard were since `before`; `None` when there were
    /// none, `u64::MAX` when it is beyond the largest.
    pub(super) fn p99_since(&self, before: Option<&Self>, shard: u16) -> Option<u64> {
        let now = self.0.get(&shard)?;
        let before = before.and_then(|before| before.0.get(&shard));
        let since = |bound: &u64, count: u64| {
            count.saturating_sub(before.and_then(|of| of.get(bound)).copied().unwrap_or(0))
        };
        let (bound, count) = now.last_key_value()?;
        let all = since(bound, *count);
        let wanted = (all * 99).div_ceil(100);
        let found = now.iter().find(|(bound, count)| since(bound, **count) >= wanted);
        found.map(|(bound, _)| *bound).filter(|_| all > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(counts: [u64; 3]) -> String {
        let [a, b, c] = counts;
        format!(
            "HTTP/1.0 200 OK\r\n\r\n# TYPE jobbie_commit_us histogram\n\
             jobbie_commit_us_bucket{{shard=\"1\",le=\"64\"}} {a}\n\
             jobbie_commit_us_bucket{{shard=\"1\",le=\"128\"}} {b}\n\
             jobbie_commit_us_bucket{{shard=\"1\",le=\"+Inf\"}} {c}\njobbie_jobs{{shard=\"1\"}} 3\n"
        )
    }

    #[test]
    fn the_99th_percentile_is_that_of_the_commits_in_between() {
        let before = parse(&text([1000, 1000, 1000]));
        let now = parse(&text([1098, 1099, 1100]));
        assert_eq!(now.p99_since(Some(&before), 1), Some(128));
        assert_eq!(now.p99_since(None, 1), Some(64));
        assert_eq!(now.p99_since(Some(&now), 1), None, "there were none");
        assert_eq!(now.p99_since(None, 0), None);
        let slow = parse(&text([1000, 1000, 1100]));
        assert_eq!(slow.p99_since(Some(&before), 1), Some(u64::MAX));
    }
}
