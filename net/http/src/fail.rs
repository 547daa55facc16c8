//! Workers say that it did not work.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use jobbie_client::{JobId, Micros};
use jobbie_proto::request::{Fail, JobRef};
use jobbie_proto::{Code, Request};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ack::{state_of, token};
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
struct FailBody {
    error: Option<String>,
    backtrace: Option<String>,
    /// Another attempt would fail too. Beyond the contract.
    no_retry: Option<bool>,
    /// As the fetch gave it. Beyond the contract.
    lease_token: Option<String>,
}

/// What becomes of the job.
#[derive(Serialize, JsonSchema)]
struct Failed {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<String>,
    attempts_remaining: u32,
}

async fn fail(
    State(app): State<Arc<App>>,
    caller: Caller,
    Name(job_id): Name<String>,
    Body(body): Body<FailBody>,
) -> Result<Response, ApiError> {
    let bad = |_| ApiError::bad(CODE, format!("\"{job_id}\" is no job id"));
    let job: JobId = job_id.parse().map_err(bad)?;
    let token = token(body.lease_token.as_deref(), CODE)?;
    let _place = app.admit()?;
    app.check_owner(&caller.namespace, job).await?;
    if job.shard().0 >= app.client.topology().shards {
        return Ok(json::ok(
            &json!({ "status": "unknown", "failed": false, "attempts_remaining": 0 }),
        ));
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
        let state = state_of(&app, job).await?;
        return Ok(json::ok(&json!({ "status": state, "failed": false, "attempts_remaining": 0 })));
    }
    let is_dead = failed.next_attempt == Micros(0);
    Ok(json::ok(&Failed {
        status: if is_dead { "dead" } else { "retrying" },
        next_attempt_at: moment::some(failed.next_attempt),
        attempts_remaining: if is_dead { 0 } else { failed.attempts_left },
    }))
}
