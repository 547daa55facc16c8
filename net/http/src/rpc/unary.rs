//! The methods with one message each way.

use std::collections::BTreeMap;

use super::call::{Answer, Call};
use super::convert::{self, int};
use super::messages::{
    AckBatchRequest, AckBatchResponse, AckRequest, Empty, EnqueueRequest, EnqueueResponse,
    FailRequest, FailResponse, FetchBatchRequest, FetchBatchResponse, FetchResponse,
    GetServerInfoResponse, HeartbeatJobResponse, HeartbeatRequest, HeartbeatResponse,
};
use super::status::Status;
use crate::ack::{ack_many, ack_one, job_id};
use crate::enqueue;
use crate::fail::give_up;
use crate::fetch::{FetchBody, Fetched, Fetching, fetch_jobs};
use crate::heartbeat::{Beaten, beat_all};
use crate::info::API_VERSION;

type Done<O> = Result<Answer<O>, Status>;

pub(super) async fn enqueue(call: Call, asked: EnqueueRequest) -> Done<EnqueueResponse> {
    let body = convert::new_job(asked)?;
    let made = enqueue::put(&call.app, &call.caller, &call.headers, body).await?;
    let enqueue::Enqueued { job_id, status, unique_existing } = made;
    Ok(EnqueueResponse { job_id, status: status.to_owned(), unique_existing }.into())
}

/// A fetch; its seconds say how long it is held and how long the lease is, like `timeout` of the JSON route.
fn wanted(asked: FetchBatchRequest) -> FetchBody {
    FetchBody {
        queues: Some(asked.queues),
        worker_id: Some(asked.worker_id),
        hostname: Some(asked.hostname),
        timeout: Some(i64::from(asked.lease_duration)),
        lease_duration: None,
        count: Some(i64::from(asked.count)),
    }
}

pub(super) async fn fetch(call: Call, asked: FetchBatchRequest) -> Done<FetchResponse> {
    let body = wanted(asked);
    let fetched = fetch_jobs(&call.app, &call.caller, &body, Fetching::One).await?;
    let Fetched { jobs, returned } = fetched;
    let found = jobs.into_iter().next().map(convert::job).map(convert::found);
    Ok(Answer::of_jobs(found.unwrap_or_default(), returned))
}

pub(super) async fn fetch_batch(call: Call, asked: FetchBatchRequest) -> Done<FetchBatchResponse> {
    let body = wanted(asked);
    let fetched = fetch_jobs(&call.app, &call.caller, &body, Fetching::Many).await?;
    let Fetched { jobs, returned } = fetched;
    let jobs = jobs.into_iter().map(convert::job).collect();
    Ok(Answer::of_jobs(FetchBatchResponse { jobs }, returned))
}

/// What an ack or fail is told that came too late. There is no field in which to say so.
fn too_late(job: &str) -> Status {
    Status::invalid(format!("job {job} is not known or not active"))
}

pub(super) async fn ack(call: Call, asked: AckRequest) -> Done<Empty> {
    let item = convert::ack_item(asked);
    let id = item.job_id.clone();
    let job = job_id(&id, "ACK_ERROR")?;
    if ack_one(&call.app, &call.caller, job, convert::ack(item)?).await? {
        return Ok(Empty {}.into());
    }
    Err(too_late(&id))
}

pub(super) async fn ack_batch(call: Call, asked: AckBatchRequest) -> Done<AckBatchResponse> {
    let bodies = asked.items.into_iter().map(convert::ack).collect::<Result<_, _>>()?;
    let acked = ack_many(&call.app, &call.caller, bodies).await?;
    Ok(AckBatchResponse { acked: int(acked) }.into())
}

pub(super) async fn fail(call: Call, asked: FailRequest) -> Done<FailResponse> {
    let id = asked.job_id.clone();
    let failed = give_up(&call.app, &call.caller, &id, &convert::fail(asked)).await?;
    match failed.failed {
        Some(false) => Err(too_late(&id)),
        _ => Ok(convert::failed(&failed).into()),
    }
}

/// What became of heartbeats.
pub(super) fn beaten(beaten: Beaten) -> BTreeMap<String, HeartbeatJobResponse> {
    let told = |(id, told): (String, crate::heartbeat::Told)| {
        (id, HeartbeatJobResponse { status: told.status.to_owned() })
    };
    beaten.jobs.into_iter().map(told).collect()
}

pub(super) async fn heartbeat(call: Call, asked: HeartbeatRequest) -> Done<HeartbeatResponse> {
    let mut jobs = BTreeMap::new();
    for (id, update) in asked.jobs {
        jobs.insert(id, Some(convert::beat(update)?));
    }
    let jobs = beaten(beat_all(&call.app, &call.caller, jobs).await?);
    Ok(HeartbeatResponse { jobs }.into())
}

pub(super) async fn server_info(call: Call, _: Empty) -> Done<GetServerInfoResponse> {
    let server_version = call.app.client.topology().server_version.clone();
    let api_version = API_VERSION.to_owned();
    Ok(GetServerInfoResponse { server_version, api_version }.into())
}
