//! HTTP/JSON, server-sent events, gRPC and Connect: what every language can speak.
//!
//! [`HttpServer`] is a client of the binary protocol like any other, and reads the read models that a projector keeps. It has no
//! state that a restart would lose, but for what `docs/http.md` names.

mod ack;
mod actions;
mod admin;
mod api;
mod app;
mod archived;
mod budgets;
mod bulk;
mod bulk_archived;
mod bulk_progress;
mod chain;
mod cluster;
mod config;
mod enqueue;
mod enqueue_batch;
mod error;
mod events;
mod extract;
mod fail;
mod fetch;
mod heartbeat;
mod info;
mod job_object;
mod jobs;
mod json;
mod layers;
mod leased;
mod limiter;
mod metrics;
mod moment;
mod namespace;
mod new_job;
mod options;
mod progress;
mod queues;
mod read_model;
mod repeats;
mod routes;
mod rpc;
mod schedules;
mod search;
mod server;
mod unbuilt;
mod usage;
mod usage_report;
mod workers;

pub use config::{HttpConfig, HttpLimits, RateLimits};
pub use progress::{Lag, Progress};
pub use server::{HttpServer, StartError};
