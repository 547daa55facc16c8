//! HTTP/JSON and server-sent events: what every language can speak.
//!
//! [`HttpServer`] is a client of the binary protocol like any other, and reads the read models that a projector keeps. It has no
//! state that a restart would lose, but for what `docs/http.md` names.

mod ack;
mod api;
mod app;
mod config;
mod enqueue;
mod enqueue_batch;
mod error;
mod extract;
mod fail;
mod fetch;
mod heartbeat;
mod info;
mod json;
mod layers;
mod leased;
mod limiter;
mod metrics;
mod moment;
mod namespace;
mod new_job;
mod progress;
mod read_model;
mod routes;
mod server;
mod usage_report;

pub use config::{HttpConfig, HttpLimits, RateLimits};
pub use progress::{Lag, Progress};
pub use server::{HttpServer, StartError};
