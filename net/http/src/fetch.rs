//! Workers ask for jobs, and wait for them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body as ResponseBody, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use http_body::{Frame, SizeHint};
use jobbie_client::{AgentState, Error, FetchOptions, Job};
use jobbie_proto::Request;
use jobbie_proto::limits::{LEASE_MS_MAX, LEASE_MS_MIN, WORKER_BYTES_MAX};
use jobbie_proto::request::JobRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{Body, Caller};
use crate::json::{self, Raw};
use crate::leased::Lease;
use crate::moment;
use crate::namespace::Namespace;
use crate::routes::{Doc, Routes};

/// Jobs that one request may ask for.
const COUNT_MAX: i64 = 512;
/// How long a request is held when it does not say, and at most, in seconds.
const HOLD_SECONDS_DEFAULT: i64 = 30;
const HOLD_SECONDS_MAX: i64 = 60;
/// How long a lease is when the request does not say, in seconds.
const LEASE_SECONDS_DEFAULT: i64 = 60;
/// A shard is asked again after this time, so that one whose caller has gone waits no longer.
const TURN_MS: u64 = 5000;

pub(crate) fn routes() -> Routes {
    let one = Doc::new("Wait for a job; 204 when there is none").takes::<FetchBody>();
    let many = Doc::new("Wait for jobs").takes::<FetchBody>().gives::<ManyLeased>();
    Routes::default().post("/fetch", fetch, one.gives::<LeasedJob>()).post(
        "/fetch/batch",
        fetch_batch,
        many,
    )
}

/// Which jobs are wanted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct FetchBody {
    pub(crate) queues: Option<Vec<String>>,
    pub(crate) worker_id: Option<String>,
    pub(crate) hostname: Option<String>,
    pub(crate) timeout: Option<i64>,
    /// Seconds of the lease, when they are not `timeout`. Beyond the contract.
    pub(crate) lease_duration: Option<i64>,
    pub(crate) count: Option<i64>,
}

/// A job for a worker.
#[derive(Serialize, JsonSchema)]
pub(crate) struct LeasedJob {
    pub(crate) job_id: String,
    pub(crate) queue: String,
    pub(crate) payload: Raw,
    pub(crate) attempt: u32,
    pub(crate) max_retries: u32,
    pub(crate) lease_duration: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoint: Option<Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tags: Option<Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<AgentObject>,
    /// Sent back with an ack, fail or heartbeat, it makes sure that this lease is meant. Beyond the contract.
    lease_token: String,
}

#[derive(Serialize, JsonSchema)]
struct ManyLeased {
    jobs: Vec<LeasedJob>,
}

/// How far an agent job is. What is 0 is left out.
#[derive(Serialize, JsonSchema)]
pub(crate) struct AgentObject {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_iterations: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_cost_usd: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) iteration_timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) iteration: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) total_cost_usd: Option<f64>,
}

/// Dollars of micro-dollars.
pub(crate) fn dollars(micros: u64) -> f64 {
    micros as f64 / 1e6
}

impl From<AgentState> for AgentObject {
    fn from(state: AgentState) -> Self {
        let AgentState { iteration, cost_micros, limits } = state;
        let money = |micros: u64| (micros > 0).then(|| dollars(micros));
        let timeout = limits.iteration_timeout_ms;
        Self {
            max_iterations: Some(limits.max_iterations).filter(|n| *n > 0),
            max_cost_usd: money(limits.max_cost_micros),
            iteration_timeout: (timeout > 0).then(|| moment::duration_text(timeout)),
            iteration: Some(iteration).filter(|n| *n > 0),
            total_cost_usd: money(cost_micros),
        }
    }
}

impl LeasedJob {
    fn new(job: &Job, namespace: &Namespace, lease_ms: u32) -> Self {
        Self {
            job_id: job.id.to_string(),
            queue: namespace.shown(&job.queue).to_owned(),
            payload: json::payload(&job.payload),
            attempt: job.attempt,
            max_retries: job.max_retries,
            lease_duration: lease_ms.div_ceil(1000),
            checkpoint: json::some_raw(&job.checkpoint),
            tags: json::some_raw(&job.tags),
            agent: job.agent.map(AgentObject::from),
            lease_token: job.token.to_string(),
        }
    }
}

/// A fetch, checked.
struct Wanted {
    queues: Vec<String>,
    worker: String,
    count: u32,
    lease_ms: u32,
    hold: Duration,
}

/// How long a request of a client that gives up after `seconds` is held: a bit less.
fn hold(seconds: i64) -> Duration {
    let seconds = if seconds <= 0 { HOLD_SECONDS_DEFAULT } else { seconds.min(HOLD_SECONDS_MAX) };
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let early = (whole / 20).max(Duration::from_millis(500));
    whole.saturating_sub(early).max(Duration::from_millis(100))
}

fn lease_ms(seconds: i64) -> u32 {
    let seconds = if seconds <= 0 { LEASE_SECONDS_DEFAULT } else { seconds };
    let ms = u32::try_from(seconds.saturating_mul(1000)).unwrap_or(u32::MAX);
    ms.clamp(LEASE_MS_MIN, LEASE_MS_MAX)
}

impl Wanted {
    fn new(app: &App, body: &FetchBody, caller: &Caller, is_one: bool) -> Result<Self, ApiError> {
        let queues = body.queues.as_deref().unwrap_or_default();
        if queues.is_empty() {
            return Err(ApiError::validation("queues is required"));
        }
        let queues = queues.iter().map(|queue| caller.namespace.queue(queue));
        let worker = body.worker_id.clone().unwrap_or_default();
        let host = body.hostname.as_deref().unwrap_or_default();
        if worker.len() > WORKER_BYTES_MAX || host.len() > WORKER_BYTES_MAX {
            return Err(ApiError::validation("worker_id and hostname: at most 255 bytes each"));
        }
        app.leased.saw_worker(&worker, host);
        let timeout = body.timeout.unwrap_or(0);
        let count = if is_one { 1 } else { body.count.unwrap_or(1).clamp(1, COUNT_MAX) };
        Ok(Self {
            queues: queues.collect::<Result<_, _>>()?,
            worker,
            count: u32::try_from(count).unwrap_or(1),
            lease_ms: lease_ms(body.lease_duration.filter(|s| *s > 0).unwrap_or(timeout)),
            hold: hold(timeout),
        })
    }
}

type Claimed = Result<Vec<Job>, Error>;

/// Asks shards until there is a job or the time is over.
async fn claim(app: &App, wanted: &Wanted, to: &oneshot::Sender<Claimed>) -> Claimed {
    let queues: Vec<&str> = wanted.queues.iter().map(String::as_str).collect();
    let until = Instant::now() + wanted.hold;
    // At once first: a request that waits occupies a session, and most find something.
    let mut wait_ms = 0;
    loop {
        let (count, lease_ms) = (wanted.count, wanted.lease_ms);
        let options = FetchOptions { count, lease_ms, wait_ms };
        let jobs = app.client.fetch_as(&wanted.worker, &queues, options).await?;
        let left = until.saturating_duration_since(Instant::now());
        if !jobs.is_empty() || left.is_zero() || to.is_closed() || app.is_stopping() {
            return Ok(jobs);
        }
        let left = u64::try_from(left.as_millis()).unwrap_or(TURN_MS).clamp(1, TURN_MS);
        wait_ms = u32::try_from(left).unwrap_or(1);
    }
}

/// Gives jobs back that nobody got; the attempt is not counted.
async fn release(app: Arc<App>, jobs: Vec<JobRef>) {
    let Some(shard) = jobs.first().map(|job| job.job.shard()) else { return };
    let (here, elsewhere): (Vec<_>, Vec<_>) =
        jobs.into_iter().partition(|job| job.job.shard() == shard);
    let mut request = Request { releases: here, ..Request::default() };
    if let Err(error) = app.client.request(shard, &mut request).await {
        tracing::debug!(%error, "jobs that nobody got come back when their leases end");
    }
    Box::pin(release(app, elsewhere)).await;
}

async fn take(app: &Arc<App>, wanted: Wanted) -> Result<Vec<Job>, ApiError> {
    let _place = if wanted.hold.is_zero() { app.admit()? } else { app.admit_waiting()? };
    let (sender, receiver) = oneshot::channel::<Claimed>();
    let asker = Arc::clone(app);
    // A task of its own: when the caller goes, this function ends, and whatever is leased after that has to go back.
    tokio::spawn(async move {
        let claimed = claim(&asker, &wanted, &sender).await;
        if let Err(Ok(jobs)) = sender.send(claimed) {
            release(asker, jobs.iter().map(Job::lease).collect()).await;
        }
    });
    tokio::select! {
        claimed = receiver => {
            let gone = || ApiError::internal("the fetch ended without an answer");
            Ok(claimed.map_err(|_| gone())??)
        }
        () = app.stopping() => Ok(Vec::new()),
    }
}

/// How a fetch is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetching {
    /// With a job, when there is one.
    One,
    /// With jobs, when there are some.
    Many,
    /// With what there is, without waiting.
    AtOnce,
}

/// Jobs for a caller. They go back with `returned`, and the attempt is not counted.
pub(crate) struct Fetched {
    pub(crate) jobs: Vec<LeasedJob>,
    pub(crate) returned: Returned,
}

/// Leases that go back when this is dropped, unless it is [`Returned::kept`].
pub(crate) struct Returned {
    app: Arc<App>,
    jobs: Vec<JobRef>,
}

impl Returned {
    /// The caller has them.
    pub(crate) fn kept(&mut self) {
        self.jobs.clear();
    }
}

impl Drop for Returned {
    fn drop(&mut self) {
        let jobs = std::mem::take(&mut self.jobs);
        if !jobs.is_empty()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(release(Arc::clone(&self.app), jobs));
        }
    }
}

/// Leases jobs, and remembers that.
///
/// # Errors
/// When the request cannot be, its budgets are exhausted, or too many wait.
pub(crate) async fn fetch_jobs(
    app: &Arc<App>,
    caller: &Caller,
    body: &FetchBody,
    how: Fetching,
) -> Result<Fetched, ApiError> {
    let mut wanted = Wanted::new(app, body, caller, how == Fetching::One)?;
    match how {
        Fetching::One => {}
        Fetching::Many => app.charge_more(caller, wanted.count as usize)?,
        Fetching::AtOnce => wanted.hold = Duration::ZERO,
    }
    let lease_ms = wanted.lease_ms;
    let jobs = take(app, wanted).await?;
    let leases = jobs.iter().map(Job::lease).collect();
    let returned = Returned { app: Arc::clone(app), jobs: leases };
    let lease = |job: &Job| (job.id, Lease { namespace: caller.namespace.clone(), ms: lease_ms });
    app.leased.put(jobs.iter().map(lease));
    let told = jobs.iter().map(|job| LeasedJob::new(job, &caller.namespace, lease_ms));
    Ok(Fetched { jobs: told.collect(), returned })
}

async fn fetch(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body<FetchBody>,
) -> Result<Response, ApiError> {
    let Fetched { jobs, returned } = fetch_jobs(&app, &caller, &body, Fetching::One).await?;
    Ok(match jobs.first() {
        Some(job) => handed_over(json::ok(job), returned),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

async fn fetch_batch(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body<FetchBody>,
) -> Result<Response, ApiError> {
    let Fetched { jobs, returned } = fetch_jobs(&app, &caller, &body, Fetching::Many).await?;
    Ok(handed_over(json::ok(&ManyLeased { jobs }), returned))
}

/// An answer with jobs in it, which go back when the connection never asks for it.
pub(crate) fn handed_over(response: Response, returned: Returned) -> Response {
    response.map(|body| ResponseBody::new(HandOver { returned, body }))
}

/// A body that gives its jobs back when the connection never asks for it.
struct HandOver {
    returned: Returned,
    body: ResponseBody,
}

impl http_body::Body for HandOver {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.returned.kept();
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_held_for_less_than_its_client_waits() {
        let ms = |seconds| hold(seconds).as_millis();
        assert_eq!((ms(30), ms(60), ms(500)), (28_500, 57_000, 57_000));
        assert_eq!((ms(1), ms(0), ms(-5)), (500, 28_500, 28_500));
    }

    #[test]
    fn the_lease_is_as_long_as_was_asked() {
        assert_eq!((lease_ms(30), lease_ms(0), lease_ms(-1)), (30_000, 60_000, 60_000));
        assert_eq!((lease_ms(3600), lease_ms(i64::MAX)), (3_600_000, LEASE_MS_MAX));
    }
}
