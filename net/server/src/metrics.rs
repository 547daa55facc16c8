//! Metrics in Prometheus' text format, on a thread of their own.

use std::fmt::Write;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use jobbie_shard::{Histogram, Metrics, SharedMetrics};

/// Why metrics cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("serve metrics on {address}: {source}; choose another address with --metrics")]
pub struct MetricsError {
    address: SocketAddr,
    source: io::Error,
}

/// Serves `GET /metrics` until the process ends.
pub(crate) struct MetricsServer {
    address: SocketAddr,
}

impl MetricsServer {
    pub(crate) fn start(at: SocketAddr, shards: Vec<SharedMetrics>) -> Result<Self, MetricsError> {
        let failed = |source| MetricsError { address: at, source };
        let listener = TcpListener::bind(at).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
        let serve = move || {
            runtime.block_on(async {
                let served = match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => axum::serve(listener, router(shards)).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = served {
                    tracing::error!(%error, "metrics are no longer served");
                }
            });
        };
        std::thread::Builder::new().name("metrics".into()).spawn(serve).map_err(failed)?;
        Ok(Self { address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn router(shards: Vec<SharedMetrics>) -> Router {
    let shards = Arc::new(shards);
    Router::new().route(
        "/metrics",
        get(move || {
            let text = render(&shards);
            async move { ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text) }
        }),
    )
}

type Read = fn(&Metrics) -> u64;

/// Name, kind, help, value.
const NUMBERS: &[(&str, &str, &str, Read)] = &[
    ("connections", "gauge", "Connections now.", |m| m.connections.get()),
    ("intake_frames", "gauge", "Frames that wait to be decided.", |m| m.intake_frames.get()),
    ("frames_total", "counter", "Frames received.", |m| m.frames_total.get()),
    ("overloaded_total", "counter", "Requests refused as overloaded.", |m| {
        m.overloaded_total.get()
    }),
    ("enqueued_total", "counter", "Jobs enqueued.", |m| m.enqueued_total.get()),
    ("leased_total", "counter", "Leases given.", |m| m.leased_total.get()),
    ("completed_total", "counter", "Jobs acked.", |m| m.completed_total.get()),
    ("failed_total", "counter", "Failed attempts.", |m| m.failed_total.get()),
    ("entries_total", "counter", "Log entries committed.", |m| m.entries_total.get()),
    ("entry_bytes_total", "counter", "Body bytes of committed entries.", |m| {
        m.entry_bytes_total.get()
    }),
    ("waiters", "gauge", "Fetches and subscriptions that wait.", |m| m.waiters.get()),
    ("sessions", "gauge", "Open sessions.", |m| m.sessions.get()),
    ("leases", "gauge", "Live leases.", |m| m.leases.get()),
    ("jobs", "gauge", "Jobs in memory.", |m| m.jobs.get()),
    ("mail", "gauge", "Messages to other shards that are not known to have been taken.", |m| {
        m.mail.get()
    }),
    ("budgets_spent", "gauge", "Budgets that have no money left today.", |m| m.budgets_spent.get()),
    ("last_index", "gauge", "Last index in the log.", |m| m.last_index.get()),
    ("flushed_index", "gauge", "Last durable index.", |m| m.flushed_index.get()),
    ("committed_index", "gauge", "Last committed index.", |m| m.committed_index.get()),
    ("applied_index", "gauge", "Last applied index.", |m| m.applied_index.get()),
    ("last_event", "gauge", "Number of the newest event.", |m| m.last_event.get()),
    ("state_hash", "gauge", "Rolling hash of the state at the applied index, low 52 bits.", |m| {
        // A float of Prometheus holds 53 bits exactly.
        m.state_hash.get() & ((1 << 52) - 1)
    }),
    ("snapshots_total", "counter", "Snapshots written.", |m| m.snapshots_total.get()),
    ("log_scrubbed_bytes_total", "counter", "Bytes of sealed log segments read back.", |m| {
        m.log_scrubbed_bytes_total.get()
    }),
    ("log_damage_found_total", "counter", "Places in sealed log segments found damaged.", |m| {
        m.log_damage_found_total.get()
    }),
    ("serving", "gauge", "1 while the shard is led and served here.", |m| m.serving.get()),
];

fn render(shards: &[SharedMetrics]) -> String {
    let mut out = String::new();
    for (name, kind, help, read) in NUMBERS {
        writeln!(out, "# HELP jobbie_{name} {help}\n# TYPE jobbie_{name} {kind}").expect(MEMORY);
        for (shard, metrics) in shards.iter().enumerate() {
            writeln!(out, "jobbie_{name}{{shard=\"{shard}\"}} {}", read(metrics)).expect(MEMORY);
        }
    }
    histogram(
        &mut out,
        shards,
        "commit_us",
        "Microseconds from deciding an entry to its commit.",
        |m| &m.commit_us,
    );
    histogram(&mut out, shards, "entry_groups", "Requests and timer turns in one entry.", |m| {
        &m.entry_groups
    });
    out
}

const MEMORY: &str = "writing to memory cannot fail";

fn histogram(
    out: &mut String,
    shards: &[SharedMetrics],
    name: &str,
    help: &str,
    read: fn(&Metrics) -> &Histogram,
) {
    writeln!(out, "# HELP jobbie_{name} {help}\n# TYPE jobbie_{name} histogram").expect(MEMORY);
    for (shard, metrics) in shards.iter().enumerate() {
        let histogram = read(metrics);
        let mut below = 0;
        for (bound, count) in histogram.buckets() {
            below += count;
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
            writeln!(out, "jobbie_{name}_bucket{{shard=\"{shard}\",le=\"{bound}\"}} {below}")
                .expect(MEMORY);
        }
        writeln!(out, "jobbie_{name}_sum{{shard=\"{shard}\"}} {}", histogram.sum()).expect(MEMORY);
        writeln!(out, "jobbie_{name}_count{{shard=\"{shard}\"}} {below}").expect(MEMORY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_line_for_every_shard_and_buckets_add_up() {
        let text = render(&[SharedMetrics::default(), SharedMetrics::default()]);
        for (name, ..) in NUMBERS {
            assert!(text.contains(&format!("\njobbie_{name}{{shard=\"1\"}} 0\n")), "{name}");
        }
        assert!(text.contains("jobbie_commit_us_bucket{shard=\"0\",le=\"+Inf\"} 0\n"));
        assert!(text.contains("jobbie_commit_us_count{shard=\"1\"} 0\n"));
    }
}
