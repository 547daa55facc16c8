//! What is counted of requests.

use std::time::Duration;

use axum::http::Method;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts};

/// Seconds up to which requests are counted.
const SECONDS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Counters of the HTTP side.
pub(crate) struct HttpMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    pub(crate) errors: IntCounter,
    pub(crate) in_flight: IntGauge,
    pub(crate) throttled: IntCounter,
    pub(crate) overloaded: IntCounter,
    /// What goes wrong when metrics are asked for.
    pub(crate) failed: IntCounter,
}

const SOUND: &str = "names of metrics are sound";

fn counter(name: &str, help: &str) -> IntCounter {
    IntCounter::new(name, help).expect(SOUND)
}

impl Default for HttpMetrics {
    fn default() -> Self {
        let labels = ["method", "route"];
        let requests = Opts::new("jobbie_http_requests_total", "Requests by method and route.");
        let seconds = HistogramOpts::new(
            "jobbie_http_request_duration_seconds",
            "Seconds from a request to its answer, by method and route.",
        );
        let seconds = seconds.buckets(SECONDS.to_vec());
        Self {
            requests: IntCounterVec::new(requests, &labels).expect(SOUND),
            seconds: HistogramVec::new(seconds, &labels).expect(SOUND),
            errors: counter(
                "jobbie_http_request_errors_total",
                "Answers with status 500 and above.",
            ),
            in_flight: IntGauge::new("jobbie_http_requests_in_flight", "Requests under way.")
                .expect(SOUND),
            throttled: counter("jobbie_rate_limit_throttled_total", "Requests beyond a rate."),
            overloaded: counter("jobbie_http_overload_total", "Requests refused as too many."),
            failed: counter("jobbie_metrics_errors_total", "Parts of metrics that were missing."),
        }
    }
}

/// Methods that are counted by name.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

impl HttpMetrics {
    pub(crate) fn count(&self, method: &Method, route: &str, took: Duration) {
        let labels = [method_name(method), route];
        self.requests.with_label_values(&labels).inc();
        self.seconds.with_label_values(&labels).observe(took.as_secs_f64());
    }

    /// Everything, for a registry.
    pub(crate) fn all(&self) -> Vec<Box<dyn prometheus::core::Collector>> {
        vec![
            Box::new(self.requests.clone()),
            Box::new(self.seconds.clone()),
            Box::new(self.errors.clone()),
            Box::new(self.in_flight.clone()),
            Box::new(self.throttled.clone()),
            Box::new(self.overloaded.clone()),
            Box::new(self.failed.clone()),
        ]
    }
}
