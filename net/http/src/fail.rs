//! Workers say that it did not work.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use jobbie_client::Micros;
use jobbie_proto::request::{Fail, JobRef};
use jobbie_proto::{Code, Request};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ack::{job_id, state_of, token};
use crate::app::App;
use crate::error::ApiError;
use crate::extract::{Body, Caller, Name};
use crate::json;
use crate::moment;
use crate::routes::{Doc, Routes};

const CODE: &str = "FAIL_ERROR";

pub(crate) fn routes() -> Routes {
    let doc = Doc::new("Give up an attempt").takes::<FailBody>().gives::<Failed>();
    Routes::default().post("/fail/{job_id}", fail, doc)
}

/// What went wrong.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct FailBody {
    pub(crate) error: Option<String>,
    pub(crate) backtrace: Option<String>,
    /// Another attempt would fail too. Beyond the contract.
    pub(crate) no_retry: Option<bool>,
    /// As the fetch gave it. Beyond the contract.
    pub(crate) lease_token: Option<String>,
}

/// What becomes of the job.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Failed {
    pub(crate) status: &'static str,
    /// `false` when it came too late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "moment::serialize")]
    #[schemars(with = "Option<String>")]
    pub(crate) next_attempt_at: Option<Micros>,
    pub(crate) attempts_remaining: u32,
}

impl Failed {
    fn too_late(status: &'static str) -> Self {
        Self { status, failed: Some(false), next_attempt_at: None, attempts_remaining: 0 }
    }
}

/// Gives up an attempt.
///
/// # Errors
/// When the request cannot be, or the server does not take it.
pub(crate) async fn give_up(
    app: &App,
    caller: &Caller,
    id: &str,
    body: &FailBody,
) -> Result<Failed, ApiError> {
    let job = job_id(id, CODE)?;
    let token = token(body.lease_token.as_deref(), CODE)?;
    let _place = app.admit()?;
    app.check_owner(&caller.namespace, job).await?;
    if job.shard().0 >= app.client.topology().shards {
        return Ok(Failed::too_late("unknown"));
    }
    let fail = Fail {
        job: JobRef { job, token },
        error: body.error.as_deref().unwrap_or_default().as_bytes(),
        backtrace: body.backtrace.as_deref().unwrap_or_default().as_bytes(),
        no_retry: body.no_retry.unwrap_or(false),
    };
    let mut request = Request { fails: vec![fail], ..Request::default() };
    let answer = app.client.request(job.shard(), &mut request).await?;
    let none = || ApiError::internal("the server's answer lacks the fail");
    let failed = answer.fails.first().copied().ok_or_else(none)?;
    if failed.code != Code::Ok {
        return Ok(Failed::too_late(state_of(app, job).await?));
    }
    let is_dead = failed.next_attempt == Micros(0);
    Ok(Failed {
        status: if is_dead { "dead" } else { "retrying" },
        failed: None,
        next_attempt_at: (!is_dead).then_some(failed.next_attempt),
        attempts_remaining: if is_dead { 0 } else { failed.attempts_left },
    })
}

async fn fail(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(id): Name<String>,
    Body(body): Body<FailBody>,
) -> Result<Response, ApiError> {
    Ok(json::ok(&give_up(&app, &caller, &id, &body).await?))
}
