//! Jobs and queues as the state knows them, as lines.

use jobbie_proto::Micros;
use jobbie_proto::reply::{JobState, JobView, QueueStats};
use serde_json::{Value, json};

use crate::dump::{Fields, fields};

fn time(at: Micros) -> Value {
    if at == Micros(0) { Value::Null } else { at.0.into() }
}

fn some(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

/// A job. What is in the log alone, such as its payload, is not in it.
pub(crate) fn job(of: &JobView) -> Fields {
    fields(json!({
        "job": of.id.to_string(),
        "state": of.state.name(),
        "queue": of.class.queue,
        "priority": of.class.priority,
        "attempt": of.attempt,
        "max_retries": of.class.max_retries,
        "limit_key": some(&of.limit_key),
        "created_us": of.id.created_ms() * 1000,
        "due_us": time(of.due),
        "expire_at_us": time(of.expire_at),
        "ended_us": time(of.ended),
        "lease_expiries": of.lease_expiries,
        "lease_token": if of.token.0 == 0 { Value::Null } else { of.token.0.into() },
        "waits_for": of.waits_for,
        "batch": of.batch.map(|batch| batch.to_string()),
        "parent": of.kin.parent.map(|id| id.to_string()),
        "moved_from": of.kin.moved_from.map(|id| id.to_string()),
        "moves_to": some(&of.kin.moves_to),
        "moved_to": of.kin.moved_to.map(|id| id.to_string()),
        "cost_micros": of.cost_micros,
        "iteration": of.agent.as_ref().map(|agent| agent.iteration),
        "plan": of.plan.as_ref().map(|_| true),
    }))
}

/// A queue: its counts and settings.
pub(crate) fn queue(of: &QueueStats) -> Fields {
    let mut line = fields(json!({ "queue": of.queue }));
    for state in JobState::ALL {
        line.insert(state.name().to_owned(), of.jobs[state as usize].into());
    }
    let settings = &of.settings;
    line.extend(fields(json!({
        "enqueued_total": of.enqueued_total,
        "paused": of.paused,
        "draining": of.draining,
        "concurrency": settings.concurrency,
        "rate": settings.rate,
        "window_ms": settings.window_ms,
        "key_concurrency": settings.key_concurrency,
        "key_rate": settings.key_rate,
        "key_window_ms": settings.key_window_ms,
        "fair": format!("{:?}", settings.fair).to_lowercase(),
        "keys": of.keys,
        "exceeded": of.exceeded.map(|exceeded| exceeded.name()),
    })));
    line
}
