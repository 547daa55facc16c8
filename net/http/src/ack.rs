//! Workers say that they are done.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use jobbie_client::{AgentStatus, Answer, JobId, LeaseToken, ShardId};
use jobbie_proto::request::{Ack, AgentAck, Heartbeat, JobRef, ReportUsage};
use jobbie_proto::{Code, Request};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{BatchBody, Caller, Name, OptionalBody};
use crate::json::{self, Raw};
use crate::routes::{Doc, Routes};
use crate::usage_report::UsageBody;

const CODE: &str = "ACK_ERROR";
/// Acks of one request.
const ITEMS_MAX: usize = 512;
/// Bytes of acks that go to a shard at once.
const BYTES_SOFT: usize = 2 << 20;

pub(crate) fn routes() -> Routes {
    Routes::default().post("/ack/{job_id}", one, Doc::new("Finish a job").takes::<AckBody>()).post(
        "/ack/batch",
        many,
        Doc::new("Finish many jobs").takes::<AckMany>(),
    )
}

/// What came out of a job.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct AckBody {
    /// Of many only.
    job_id: Option<String>,
    #[serde(deserialize_with = "json::unless_null")]
    result: Option<Raw>,
    #[serde(deserialize_with = "json::unless_null")]
    checkpoint: Option<Raw>,
    #[serde(deserialize_with = "json::object")]
    usage: Option<UsageBody>,
    agent_status: Option<String>,
    hold_reason: Option<String>,
    step_status: Option<String>,
    exit_reason: Option<String>,
    /// As the fetch gave it. Beyond the contract.
    lease_token: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct AckMany {
    acks: Option<Vec<AckBody>>,
}

/// The token of a lease; none given is not checked.
pub(crate) fn token(text: Option<&str>, code: &'static str) -> Result<LeaseToken, ApiError> {
    let text = text.unwrap_or_default();
    let bad = |_| ApiError::bad(code, format!("lease_token: \"{text}\" was given by no fetch"));
    if text.is_empty() { Ok(LeaseToken(0)) } else { text.parse().map(LeaseToken).map_err(bad) }
}

/// An ack, checked.
struct Prepared {
    job: JobRef,
    body: AckBody,
    status: Option<AgentStatus>,
    ends_chain: bool,
}

impl Prepared {
    fn new(job: JobId, body: AckBody) -> Result<Self, ApiError> {
        let word = |word: &Option<String>| word.as_deref().unwrap_or_default().to_ascii_lowercase();
        let status = match word(&body.agent_status).as_str() {
            "" => None,
            "continue" => Some(AgentStatus::Continue),
            "done" => Some(AgentStatus::Done),
            "hold" => Some(AgentStatus::Hold),
            other => {
                return Err(ApiError::bad(CODE, format!("agent_status: \"{other}\" is none")));
            }
        };
        let ends_chain = match word(&body.step_status).as_str() {
            "" | "continue" => false,
            "exit" => true,
            other => return Err(ApiError::bad(CODE, format!("step_status: \"{other}\" is none"))),
        };
        let token = token(body.lease_token.as_deref(), CODE)?;
        Ok(Self { job: JobRef { job, token }, body, status, ends_chain })
    }

    /// Whether something is said that only agent jobs have.
    fn is_agents(&self) -> bool {
        self.status.is_some() || self.body.checkpoint.is_some()
    }

    fn bytes(&self) -> usize {
        json::bytes(self.body.result.as_ref()).len()
            + json::bytes(self.body.checkpoint.as_ref()).len()
    }
}

/// Acks of one shard. With `as_plain`, what only agent jobs have is left out.
fn request<'a>(acks: &[&'a Prepared], as_plain: bool) -> Request<'a> {
    let mut request = Request::default();
    for (of, ack) in (0..).zip(acks) {
        let (job, body) = (ack.job, &ack.body);
        request.acks.push(Ack { job, result: json::bytes(body.result.as_ref()) });
        if let Some(usage) = &body.usage {
            request.ack_usages.push(ReportUsage { of, usage: usage.report() });
        }
        if ack.is_agents() && !as_plain {
            request.agent_acks.push(AgentAck {
                of,
                status: ack.status.unwrap_or_default() as u8,
                checkpoint: json::bytes(body.checkpoint.as_ref()),
                reason: body.hold_reason.as_deref().unwrap_or_default().as_bytes(),
            });
        }
        if ack.ends_chain {
            request.ties.exits.push(of);
        }
    }
    request
}

/// A job that is no agent job keeps its checkpoint by a heartbeat, and is then acked as it is.
async fn ack_plain(app: &App, ack: &Prepared) -> Result<Code, ApiError> {
    let shard = ack.job.job.shard();
    let checkpoint = json::bytes(ack.body.checkpoint.as_ref());
    let beat = Heartbeat { job: ack.job, extend_ms: 0, progress: b"", checkpoint };
    let mut beats = Request { heartbeats: vec![beat], ..Request::default() };
    app.client.request(shard, &mut beats).await?;
    let answer = app.client.request(shard, &mut request(&[ack], true)).await?;
    first(&answer)
}

fn first(answer: &Answer) -> Result<Code, ApiError> {
    let none = || ApiError::internal("the server's answer lacks the ack");
    answer.acks.first().copied().ok_or_else(none)
}

/// What became of each ack.
async fn acked(app: &App, acks: &[Prepared]) -> Result<Vec<Code>, ApiError> {
    let mut codes = vec![Code::NotFound; acks.len()];
    let mut shards: BTreeMap<ShardId, Vec<usize>> = BTreeMap::new();
    for (at, ack) in acks.iter().enumerate() {
        shards.entry(ack.job.job.shard()).or_default().push(at);
    }
    let known = app.client.topology().shards;
    for (shard, places) in shards.into_iter().filter(|(shard, _)| shard.0 < known) {
        for places in split(acks, &places) {
            let some: Vec<&Prepared> = places.iter().map(|at| &acks[*at]).collect();
            let answer = app.client.request(shard, &mut request(&some, false)).await?;
            for (at, code) in places.into_iter().zip(answer.acks) {
                let ack = &acks[at];
                let by_checkpoint = code == Code::NotAgent && ack.status.is_none();
                codes[at] = if by_checkpoint { ack_plain(app, ack).await? } else { code };
            }
        }
    }
    Ok(codes)
}

/// Places of acks that fit a frame together.
fn split(acks: &[Prepared], places: &[usize]) -> Vec<Vec<usize>> {
    let (mut all, mut bytes) = (vec![Vec::new()], 0);
    for &at in places {
        if bytes > BYTES_SOFT {
            all.push(Vec::new());
            bytes = 0;
        }
        bytes += acks[at].bytes();
        if let Some(last) = all.last_mut() {
            last.push(at);
        }
    }
    all
}

/// The state of a job that an ack or fail came too late for.
pub(crate) async fn state_of(app: &App, job: JobId) -> Result<&'static str, ApiError> {
    if let Some(info) = app.client.job(job).await? {
        return Ok(info.state.name());
    }
    if app.read_model.is_some() {
        app.fresh().await;
    }
    Ok(app.past(job).await.map_or("unknown", |row| row.state.name()))
}

async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(job_id): Name<String>,
    OptionalBody(body): OptionalBody<AckBody>,
) -> Result<Response, ApiError> {
    let bad = |_| ApiError::bad(CODE, format!("\"{job_id}\" is no job id"));
    let job: JobId = job_id.parse().map_err(bad)?;
    let ack = [Prepared::new(job, body)?];
    let _place = app.admit()?;
    app.check_owner(&caller.namespace, job).await?;
    match acked(&app, &ack).await?[0] {
        Code::Ok => Ok(json::status("ok")),
        Code::BudgetExceeded => Err(ApiError::new(
            axum::http::StatusCode::TOO_MANY_REQUESTS,
            "BUDGET_EXCEEDED",
            "the job costs more than it may: it is held",
        )),
        Code::NotAgent => Err(ApiError::bad(CODE, "agent_status: the job is no agent job")),
        // It was recorded and changes nothing. A worker must not be told that its ack was wrong: some try for ever.
        _ => {
            let state = state_of(&app, job).await?;
            Ok(json::ok(&json!({ "status": "ok", "acked": false, "state": state })))
        }
    }
}

async fn many(
    State(app): State<Arc<App>>,
    caller: Caller,
    BatchBody(body): BatchBody<AckMany>,
) -> Result<Response, ApiError> {
    let bodies = body.acks.unwrap_or_default();
    if bodies.is_empty() || bodies.len() > ITEMS_MAX {
        return Err(ApiError::validation(format!("acks: 1 to {ITEMS_MAX}")));
    }
    app.charge_more(&caller, bodies.len())?;
    let mut acks = Vec::with_capacity(bodies.len());
    for (n, body) in bodies.into_iter().enumerate() {
        let id = body.job_id.clone().unwrap_or_default();
        if id.is_empty() {
            return Err(ApiError::validation(format!("acks[{n}].job_id is required")));
        }
        // What can be no job is nobody's, like a job that is not known.
        let Ok(job) = id.parse() else { continue };
        acks.push(Prepared::new(job, body)?);
    }
    let _place = app.admit()?;
    let mut ours = Vec::with_capacity(acks.len());
    for ack in acks {
        match app.check_owner(&caller.namespace, ack.job.job).await {
            Ok(()) => ours.push(ack),
            Err(error) if error.code == "NOT_FOUND" => {}
            Err(error) => return Err(error),
        }
    }
    let codes = acked(&app, &ours).await?;
    let done = |(ack, code): &(&Prepared, Code)| {
        *code == Code::Ok && ack.status.unwrap_or_default() == AgentStatus::Done
    };
    let acked = ours.iter().zip(codes).filter(done).count();
    Ok(json::ok(&json!({ "acked": acked })))
}
