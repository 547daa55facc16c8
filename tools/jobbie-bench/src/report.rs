//! The result of a run: one line of JSON, and a few lines for people.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::Serialize;

/// What a run found. Rates are jobs a second, times are microseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// enqueue, lifecycle, steady, backlog, parked or due.
    pub workload: &'static str,
    /// Jobs a second: created (enqueue, backlog), finished (lifecycle, steady), or given out from the first job's time to
    /// the last one's coming (due).
    pub jobs_per_s: u64,
    /// Median latency of a request; of workers, from fetch to answered ack; of parked, from sending a job to a worker
    /// having it; of due, the firing error: from a job's time to a worker having it.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// Longest.
    pub max_us: f64,
    /// Operations the server refused.
    pub errors: u64,
    /// When a write counted.
    pub durability: String,
    /// Shards of the server.
    pub shards: u32,
    /// Connections; of steady, producers and as many workers.
    pub connections: u32,
    /// Jobs a request.
    pub batch: u32,
    /// Requests open on a connection.
    pub inflight: u32,
    /// Queues.
    pub queues: u32,
    /// Size of a job.
    pub payload_bytes: u32,
    /// Jobs measured.
    pub jobs: u64,
    /// Time they took, in seconds.
    pub seconds: f64,
    /// Whether workers acked and fetched in one request.
    pub combine: bool,
    /// Whether the jobs had every option.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub every_option: bool,
    /// Whether each job had a unique key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unique: bool,
    /// Limit keys that the jobs had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_keys: Option<u32>,
    /// Whether the first limit keys had most jobs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub zipf: bool,
    /// Whether the queues had limits.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub limits: bool,
    /// Whether limit keys shared fairly.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fair: bool,
    /// Whether jobs were due in another order than they were enqueued in.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shuffle: bool,
    /// Whether all jobs were of one batch.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub callback: bool,
    /// From sealing the batch, when its last job was done, to a worker having its callback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_us: Option<u64>,
    /// Jobs a second that were to be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// Median from when a job was meant to be sent to a worker having it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_p50_us: Option<f64>,
    /// 99th percentile of the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_p99_us: Option<f64>,
    /// Jobs a second while draining.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_jobs_per_s: Option<u64>,
    /// Processor time of the server for 100,000 of the jobs measured, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu_s_per_100k: Option<f64>,
    /// Growth of the server's memory for each waiting job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_bytes_per_job: Option<f64>,
    /// The first refusal's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_error: Option<&'static str>,
    /// Whether each job was seen to be finished exactly once.
    pub delivery: Delivery,
    /// What was wrong with the delivery.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

/// Whether the delivery was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// The jobs are still on the server.
    #[default]
    Unchecked,
    /// Each job exactly once.
    ExactlyOnce,
    /// Not so: see the faults.
    Wrong,
}

impl Report {
    /// Fills in the latencies.
    pub fn set_latency(&mut self, latency_ns: &Histogram<u64>) {
        self.p50_us = quantile_us(latency_ns, 0.5);
        self.p99_us = quantile_us(latency_ns, 0.99);
        self.p999_us = quantile_us(latency_ns, 0.999);
        self.max_us = latency_ns.max() as f64 / 1000.0;
    }

    /// Fills in jobs, time and rate.
    pub fn set_rate(&mut self, jobs: u64, seconds: f64) {
        self.jobs = jobs;
        self.seconds = (seconds * 1e6).round() / 1e6;
        self.jobs_per_s = rate(jobs, seconds);
    }

    /// Fills in whether the delivery is right.
    pub fn set_delivery(&mut self, faults: Vec<String>) {
        self.delivery = if faults.is_empty() { Delivery::ExactlyOnce } else { Delivery::Wrong };
        self.faults = faults;
    }

    /// Whether nothing went wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.errors == 0 && self.faults.is_empty()
    }

    /// The one line.
    ///
    /// # Panics
    /// Never: there is nothing in it that JSON has no form for.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }

    /// A few lines for people.
    #[must_use]
    pub fn text(&self) -> String {
        let latency = if self.workload == "due" { "firing error" } else { "latency" };
        let mut text = format!(
            "{}: {} jobs/s ({} jobs in {:.3} s)\n{latency}: p50 {:.0} µs, p99 {:.0} µs, p99.9 {:.0} µs, max {:.0} µs\n",
            self.workload,
            self.jobs_per_s,
            self.jobs,
            self.seconds,
            self.p50_us,
            self.p99_us,
            self.p999_us,
            self.max_us
        );
        let mut line = |what: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = writeln!(text, "{what}: {value}");
            }
        };
        let start = self.start_p50_us.zip(self.start_p99_us);
        line(
            "enqueue to start",
            start.map(|(p50, p99)| format!("p50 {p50:.0} µs, p99 {p99:.0} µs")),
        );
        line("callback", self.callback_us.map(|us| format!("{us} µs after the batch was sealed")));
        line("drain", self.drain_jobs_per_s.map(|r| format!("{r} jobs/s")));
        line(
            "server",
            self.server_cpu_s_per_100k.map(|s| format!("{s:.2} s of processor per 100,000 jobs")),
        );
        line("memory", self.rss_bytes_per_job.map(|b| format!("{b:.1} bytes per waiting job")));
        let errors = (self.errors > 0)
            .then(|| format!("{} ({})", self.errors, self.first_error.unwrap_or("?")));
        line("refused", errors);
        line(
            "delivery",
            Some(match self.delivery {
                Delivery::ExactlyOnce => "each job exactly once".to_owned(),
                Delivery::Unchecked => "not checked, the jobs are still there".to_owned(),
                Delivery::Wrong => format!("WRONG: {}", self.faults.join("; ")),
            }),
        );
        text
    }
}

/// Jobs a second.
#[must_use]
pub fn rate(jobs: u64, seconds: f64) -> u64 {
    if seconds > 0.0 { (jobs as f64 / seconds).round() as u64 } else { 0 }
}

/// A quantile in microseconds, to a tenth.
#[must_use]
pub fn quantile_us(of_ns: &Histogram<u64>, quantile: f64) -> f64 {
    (of_ns.value_at_quantile(quantile) as f64 / 100.0).round() / 10.0
}
