//! What is done for one frame of a worker's stream: acks, fails and heartbeats, then the fetch, then new jobs.
//!
//! Nothing in a frame keeps anything else in it from being done: the answer tells the first thing that went wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use futures_util::{StreamExt, stream};
use jobbie_client::ShardId;
use jobbie_proto::Code;

use super::convert::{self, int, is_blank};
use super::messages::{
    AckBatchItem, FailRequest, FailResponse, HeartbeatJobResponse, HeartbeatJobUpdate,
    LifecycleEnqueueItem,
};
use super::stream_messages::{LifecycleStreamRequest, LifecycleStreamResponse};
use super::unary::beaten;
use crate::ack::{self, Acked, ack_prepared, job_id};
use crate::app::App;
use crate::error::ApiError;
use crate::extract::Caller;
use crate::fail::give_up;
use crate::fetch::{FetchBody, Fetched, Fetching, Returned, fetch_jobs};
use crate::heartbeat::beat_all;
use crate::new_job::Prepared;

/// Fails of one frame under way at a time.
const FAILS_MAX: usize = 64;

/// What came of a frame.
pub(super) struct Exchanged {
    pub(super) response: LifecycleStreamResponse,
    /// Leases of the jobs in it.
    pub(super) returned: Option<Returned>,
    /// Whether there was only a fetch, which found nothing.
    pub(super) is_idle: bool,
}

/// The first thing that went wrong.
#[derive(Default)]
struct Trouble {
    error: String,
    retry_after_ms: u32,
}

impl Trouble {
    fn note(&mut self, what: &str, error: &ApiError) {
        let ApiError { message, retry_after_ms, .. } = error;
        let before = if retry_after_ms.is_some() { "OVERLOADED: " } else { "" };
        self.retry_after_ms = self.retry_after_ms.max(retry_after_ms.unwrap_or(0));
        if self.error.is_empty() {
            self.error = format!("{before}{what}: {message}");
        }
    }

    /// What is sound; the rest is noted.
    fn sound<T>(&mut self, what: &str, result: Result<T, ApiError>) -> Option<T> {
        result.inspect_err(|error| self.note(what, error)).ok()
    }
}

/// Does everything that a frame asks for.
pub(super) async fn exchange(
    app: &Arc<App>,
    caller: &Caller,
    asked: LifecycleStreamRequest,
) -> Exchanged {
    let mut trouble = Trouble::default();
    let only_fetches = asked.acks.is_empty()
        && asked.enqueues.is_empty()
        && asked.fails.is_empty()
        && asked.heartbeats.is_empty();
    let acked = acks(app, caller, asked.acks, &mut trouble).await;
    let failed = fails(app, caller, asked.fails, &mut trouble).await;
    let heartbeats = beats(app, caller, asked.heartbeats, &mut trouble).await;
    let mut fetched = None;
    if asked.fetch_count > 0 {
        let sound = asked.queues.iter().filter(|queue| !is_blank(queue));
        let queues: Vec<String> = sound.cloned().collect();
        if queues.len() < asked.queues.len() {
            trouble.note("fetch", &ApiError::validation("queue is required"));
        }
        let body = FetchBody {
            queues: Some(queues),
            worker_id: Some(asked.worker_id),
            hostname: Some(asked.hostname),
            timeout: None,
            lease_duration: Some(i64::from(asked.lease_duration)),
            count: Some(i64::from(asked.fetch_count)),
        };
        let result = fetch_jobs(app, caller, &body, Fetching::AtOnce).await;
        fetched = trouble.sound("fetch", result);
    }
    let (jobs, returned) = match fetched {
        Some(Fetched { jobs, returned }) => (jobs, Some(returned)),
        None => (Vec::new(), None),
    };
    let enqueued_job_ids = enqueues(app, caller, asked.enqueues, &mut trouble).await;
    let found_nothing = asked.fetch_count > 0 && jobs.is_empty() && trouble.error.is_empty();
    let response = LifecycleStreamResponse {
        request_id: asked.request_id,
        jobs: jobs.into_iter().map(convert::job).collect(),
        acked: int(acked),
        error: trouble.error,
        enqueued_job_ids,
        heartbeats,
        failed,
        retry_after_ms: int(trouble.retry_after_ms),
    };
    Exchanged { response, returned, is_idle: only_fetches && found_nothing }
}

fn prepared(item: AckBatchItem) -> Result<ack::Prepared, ApiError> {
    if is_blank(&item.job_id) {
        return Err(ApiError::validation("job_id is required"));
    }
    let job = job_id(item.job_id.trim(), "ACK_ERROR")?;
    ack::Prepared::new(job, convert::ack(item)?)
}

/// How many jobs are completed.
async fn acks(
    app: &App,
    caller: &Caller,
    items: Vec<AckBatchItem>,
    trouble: &mut Trouble,
) -> usize {
    let known = app.client.topology().shards;
    let mut shards: BTreeMap<ShardId, Vec<ack::Prepared>> = BTreeMap::new();
    for item in items {
        let Some(ack) = trouble.sound("ack", prepared(item)) else { continue };
        let shard = ack.job.job.shard();
        if shard.0 < known {
            shards.entry(shard).or_default().push(ack);
        } else {
            let unknown = format!("job {} is not known", ack.job.job);
            trouble.note("ack", &ApiError::validation(unknown));
        }
    }
    let mut completed = 0;
    for acks in shards.values().flat_map(|acks| acks.chunks(ack::ITEMS_MAX)) {
        completed += acks_of_shard(app, caller, acks, trouble).await;
    }
    completed
}

async fn acks_of_shard(
    app: &App,
    caller: &Caller,
    acks: &[ack::Prepared],
    trouble: &mut Trouble,
) -> usize {
    match ack_prepared(app, caller, acks.to_vec()).await {
        Ok(ended) => count(&ended, trouble),
        // One of them cannot be; the others can.
        Err(error) if acks.len() > 1 && is_of_one(&error) => {
            let mut completed = 0;
            for ack in acks {
                let ended = ack_prepared(app, caller, vec![ack.clone()]).await;
                completed += trouble.sound("ack", ended).map_or(0, |ended| count(&ended, trouble));
            }
            completed
        }
        Err(error) => {
            trouble.note("ack", &error);
            0
        }
    }
}

/// Whether a request may be refused for one of the things in it.
fn is_of_one(error: &ApiError) -> bool {
    matches!(error.status, StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE)
}

fn count(ended: &[Acked], trouble: &mut Trouble) -> usize {
    for Acked { job, code, .. } in ended {
        let what = match code {
            Code::Ok => continue,
            Code::NotFound => "is not known",
            Code::BudgetExceeded => "costs more than it may: it is held",
            Code::NotAgent => "is no agent job",
            _ => "is not active",
        };
        trouble.note("ack", &ApiError::validation(format!("job {job} {what}")));
    }
    ended.iter().filter(|acked| acked.completes).count()
}

/// What became of each.
async fn fails(
    app: &App,
    caller: &Caller,
    items: Vec<FailRequest>,
    trouble: &mut Trouble,
) -> Vec<FailResponse> {
    let ended = stream::iter(items).map(async |item| {
        let id = item.job_id.trim().to_owned();
        if id.is_empty() {
            return Err(ApiError::validation("job_id is required"));
        }
        let failed = give_up(app, caller, &id, &convert::fail(item)).await?;
        Ok((id, failed))
    });
    let ended: Vec<_> = ended.buffered(FAILS_MAX).collect().await;
    let mut told = Vec::with_capacity(ended.len());
    for result in ended {
        let Some((id, failed)) = trouble.sound("fail", result) else {
            told.push(FailResponse::default());
            continue;
        };
        if failed.failed == Some(false) {
            trouble.note("fail", &ApiError::validation(format!("job {id} is not active")));
        }
        told.push(convert::failed(&failed));
    }
    told
}

async fn beats(
    app: &App,
    caller: &Caller,
    updates: BTreeMap<String, HeartbeatJobUpdate>,
    trouble: &mut Trouble,
) -> BTreeMap<String, HeartbeatJobResponse> {
    let mut jobs = BTreeMap::new();
    for (id, update) in updates {
        if is_blank(&id) {
            trouble.note("heartbeat", &ApiError::validation("job_id is required"));
        } else if let Some(beat) = trouble.sound("heartbeat", convert::beat(update)) {
            jobs.insert(id, Some(beat));
        }
    }
    if jobs.is_empty() {
        return BTreeMap::new();
    }
    let told = beat_all(app, caller, jobs).await;
    trouble.sound("heartbeat", told).map(beaten).unwrap_or_default()
}

/// The ids of those that are made.
async fn enqueues(
    app: &App,
    caller: &Caller,
    items: Vec<LifecycleEnqueueItem>,
    trouble: &mut Trouble,
) -> Vec<String> {
    let mut jobs = Vec::with_capacity(items.len());
    for item in items {
        let payload_bytes = app.config.limits.payload_bytes;
        let body = convert::new_job(item);
        let job = body.and_then(|body| Prepared::new(body, &caller.namespace, payload_bytes, ""));
        jobs.extend(trouble.sound("enqueue", job));
    }
    if jobs.is_empty() {
        return Vec::new();
    }
    let Some(_place) = trouble.sound("enqueue", app.admit()) else { return Vec::new() };
    let tied: Vec<_> = jobs.iter().map(|job| job.job(None)).collect();
    let mut ids = Vec::with_capacity(tied.len());
    for made in app.client.enqueue_tied(&tied).await {
        ids.extend(trouble.sound("enqueue", made.map_err(ApiError::from)));
    }
    ids.into_iter().map(|made| made.id.to_string()).collect()
}
