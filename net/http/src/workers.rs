//! Who works, and how much is done.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use jobbie_client::WorkerView;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::Caller;
use crate::jobs::with_lag;
use crate::json;
use crate::moment;
use crate::routes::{Doc, Routes};

pub(crate) fn routes() -> Routes {
    Routes::default()
        .get("/workers", list, Doc::new("Workers, seen last first").gives::<Vec<Row>>())
        .get("/metrics/throughput", throughput, Doc::new("The last 60 minutes"))
}

/// A worker.
#[derive(Serialize, JsonSchema)]
struct Row {
    id: String,
    hostname: Option<String>,
    /// A JSON array as a text.
    queues: Option<String>,
    last_heartbeat: String,
    started_at: String,
}

/// A worker has a session on each shard that it asks: it is told once.
fn united(all: Vec<WorkerView>) -> Vec<WorkerView> {
    let mut found: HashMap<String, WorkerView> = HashMap::new();
    for worker in all {
        match found.get_mut(&worker.name) {
            None => {
                found.insert(worker.name.clone(), worker);
            }
            Some(known) => {
                known.started = known.started.min(worker.started);
                known.last_seen = known.last_seen.max(worker.last_seen);
                let more: Vec<_> =
                    worker.queues.into_iter().filter(|q| !known.queues.contains(q)).collect();
                known.queues.extend(more);
            }
        }
    }
    let mut all: Vec<WorkerView> = found.into_values().collect();
    all.sort_by(|a, b| b.last_seen.cmp(&a.last_seen).then_with(|| a.name.cmp(&b.name)));
    all
}

/// Workers that anybody has seen.
pub(crate) async fn all(app: &App) -> Result<Vec<WorkerView>, ApiError> {
    Ok(united(app.client.workers().await?.into_iter().map(|(_, worker)| worker).collect()))
}

async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, ApiError> {
    let by = &caller.namespace;
    let mut rows = Vec::new();
    for worker in all(&app).await? {
        let ours: Vec<&str> =
            worker.queues.iter().filter(|q| by.owns(q)).map(|q| by.shown(q)).collect();
        if ours.is_empty() {
            continue;
        }
        let host = Some(worker.host.clone()).filter(|host| !host.is_empty());
        rows.push(Row {
            hostname: app.leased.host_of(&worker.name).or(host),
            queues: Some(json!(ours).to_string()),
            last_heartbeat: moment::text(worker.last_seen),
            started_at: moment::text(worker.started),
            id: worker.name,
        });
    }
    Ok(json::ok(&rows))
}

async fn throughput(State(app): State<Arc<App>>, _: Caller) -> Result<Response, ApiError> {
    let read_model = app.read_model()?;
    let lag = app.fresh().await;
    let now = moment::now();
    let minutes = read_model.ask(move |reader| reader.minutes(now)).await?;
    let told: Vec<_> = minutes
        .iter()
        .map(|minute| {
            json!({
                "minute": moment::text(minute.begins),
                "enqueued": minute.enqueued,
                "completed": minute.completed,
                "failed": minute.failed,
            })
        })
        .collect();
    Ok(with_lag(json::ok(&told), lag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobbie_client::Micros;

    #[test]
    fn a_worker_of_two_shards_is_told_once() {
        let worker = |name: &str, queue: &str, seen| WorkerView {
            name: name.into(),
            queues: vec![queue.into()],
            started: Micros(seen),
            last_seen: Micros(seen),
            ..WorkerView::default()
        };
        let all = united(vec![worker("a", "p", 5), worker("b", "q", 7), worker("a", "q", 3)]);
        let told: Vec<_> = all.iter().map(|w| (&*w.name, w.started.0, w.last_seen.0)).collect();
        assert_eq!(told, [("b", 7, 7), ("a", 3, 5)]);
        assert_eq!(all[1].queues, ["p", "q"]);
    }
}
