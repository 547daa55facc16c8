//! The node, for people and for what watches it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use jobbie_client::{JobState, QueueStats, ShardStats};
use jobbie_proto::wire::Durability;
use prometheus::core::Collector;
use prometheus::{GaugeVec, Opts, Registry, TextEncoder};
use serde_json::json;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::Caller;
use crate::json;
use crate::moment;
use crate::routes::{Doc, Routes};
use crate::workers;

/// Silence after which a worker does not count as active, in microseconds.
const ACTIVE_US: u64 = 300_000_000;
/// States by which jobs are counted.
const STATES: [JobState; 8] = [
    JobState::Pending,
    JobState::Active,
    JobState::Held,
    JobState::Completed,
    JobState::Dead,
    JobState::Scheduled,
    JobState::Retrying,
    JobState::Cancelled,
];

pub(crate) fn routes() -> Routes {
    Routes::default()
        .get("/cluster/status", status, Doc::new("What the node is and how far its read model is"))
        .get("/metrics", metrics, Doc::new("Metrics in the text format of Prometheus"))
}

fn durability(of: Durability) -> String {
    match of {
        Durability::Fsync => "fsync".to_owned(),
        Durability::IntervalMs(ms) => format!("interval:{ms}ms"),
        Durability::None => "none".to_owned(),
    }
}

async fn status(State(app): State<Arc<App>>, _: Caller) -> Result<Response, ApiError> {
    let topology = app.client.topology();
    let shards = app.client.stats().await?;
    let lag = app.progress.lag();
    let applied: u64 = shards.iter().map(|(_, stats)| stats.last_event.0).sum();
    let shard = |(shard, stats): &(_, ShardStats)| {
        json!({
            "shard": format!("{shard}"),
            "last_event": stats.last_event.0,
            "jobs": stats.jobs,
            "leases": stats.leases,
            "queues": stats.queues,
            "sessions": stats.sessions,
        })
    };
    let node = format!("{:032x}", topology.store);
    Ok(json::ok(&json!({
        "mode": "single",
        "status": "healthy",
        "state": "Leader",
        "node_id": node,
        "leader_id": node,
        "leader_addr": app.config.connect.first(),
        "applied_index": applied.to_string(),
        "commit_index": applied.to_string(),
        "durability": durability(topology.durability),
        "lifecycle_events": app.read_model.is_some(),
        "server_version": topology.server_version,
        "shards": shards.iter().map(shard).collect::<Vec<_>>(),
        "sqlite_mirror": {
            "async": true,
            "enabled": app.read_model.is_some(),
            "lag": lag.events,
            "lag_ms": lag.ms,
        },
        "nodes": [{ "id": node, "role": "leader", "status": "healthy", "self": true }],
    })))
}

/// Numbers that are only known when they are asked for.
struct Gathered {
    registry: Registry,
}

impl Gathered {
    fn put(&self, collector: Box<dyn Collector>) {
        // Two of one name would be a defect of this file, and cost only the second.
        if let Err(error) = self.registry.register(collector) {
            tracing::error!(%error, "a metric is missing");
        }
    }

    fn gauge(&self, name: &str, help: &str, labels: &[&str], values: &[(Vec<&str>, f64)]) {
        match GaugeVec::new(Opts::new(name, help), labels) {
            Ok(gauge) => {
                for (labels, value) in values {
                    gauge.with_label_values(labels).set(*value);
                }
                self.put(Box::new(gauge));
            }
            Err(error) => tracing::error!(%error, "a metric is missing"),
        }
    }

    fn number(&self, name: &str, help: &str, value: u64) {
        self.gauge(name, help, &[], &[(vec![], value as f64)]);
    }

    fn queues(&self, queues: &[QueueStats]) {
        self.number("jobbie_queues_total", "Queues.", queues.len() as u64);
        let mut all: BTreeMap<&str, u64> = BTreeMap::new();
        let mut each = Vec::new();
        for stats in queues {
            for state in STATES {
                let jobs = stats.jobs[state as usize];
                *all.entry(state.name()).or_default() += jobs;
                each.push((vec![stats.queue.as_str(), state.name()], jobs as f64));
            }
        }
        let all: Vec<_> = all.into_iter().map(|(state, jobs)| (vec![state], jobs as f64)).collect();
        self.gauge("jobbie_jobs", "Jobs by state.", &["state"], &all);
        self.gauge("jobbie_queue_jobs", "Jobs by queue and state.", &["queue", "state"], &each);
        let completed = queues.iter().map(|stats| stats.jobs[JobState::Completed as usize]).sum();
        let enqueued = queues.iter().map(|stats| stats.enqueued_total).sum();
        let help = "Jobs enqueued, of queues that are not deleted.";
        self.number("jobbie_throughput_enqueued_total", help, enqueued);
        let help = "Jobs completed, of queues that are not deleted.";
        self.number("jobbie_throughput_completed_total", help, completed);
    }

    fn shards(&self, shards: &[(jobbie_client::ShardId, ShardStats)]) {
        let sum =
            |of: fn(&ShardStats) -> u64| shards.iter().map(|(_, stats)| of(stats)).sum::<u64>();
        let events = sum(|stats| stats.last_event.0);
        self.number("jobbie_raft_applied_index", "Events of all shards.", events);
        self.number("jobbie_raft_commit_index", "Events of all shards.", events);
        self.number("jobbie_sessions", "Sessions of the binary protocol.", sum(|s| s.sessions));
        self.number("jobbie_leases", "Live leases.", sum(|stats| stats.leases));
        self.number("jobbie_jobs_in_memory", "Jobs that shards keep.", sum(|stats| stats.jobs));
    }
}

async fn metrics(State(app): State<Arc<App>>, _: Caller) -> Result<Response, ApiError> {
    let gathered = Gathered { registry: Registry::new() };
    let (queues, shards, workers) =
        tokio::join!(app.client.queues(""), app.client.stats(), workers::all(&app));
    match &queues {
        Ok(queues) => gathered.queues(queues),
        Err(_) => app.metrics.failed.inc(),
    }
    match &shards {
        Ok(shards) => gathered.shards(shards),
        Err(_) => app.metrics.failed.inc(),
    }
    let is_leader = u64::from(shards.is_ok());
    gathered.number("jobbie_cluster_is_leader", "Whether shards answer here.", is_leader);
    match &workers {
        Ok(workers) => {
            let begins = moment::now().0.saturating_sub(ACTIVE_US);
            let active = workers.iter().filter(|worker| worker.last_seen.0 >= begins).count();
            let help = "Workers seen in the last 24 hours.";
            gathered.number("jobbie_workers_registered", help, workers.len() as u64);
            let help = "Workers seen in the last 5 minutes.";
            gathered.number("jobbie_workers_active", help, active as u64);
        }
        Err(_) => app.metrics.failed.inc(),
    }
    let lag = app.progress.lag();
    let help = "Committed events that the read model lacks.";
    gathered.number("jobbie_sqlite_mirror_lag_updates", help, lag.events);
    let help = "Age of the oldest of them, in milliseconds.";
    gathered.number("jobbie_sqlite_mirror_lag_ms", help, lag.ms);
    app.metrics.all().into_iter().for_each(|collector| gathered.put(collector));
    let text = TextEncoder::new().encode_to_string(&gathered.registry.gather());
    let text = text.map_err(|error| ApiError::internal(error.to_string()))?;
    let mut response = Response::new(text.into());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}
