//! What operators do with jobs.

use jobbie_proto::event::HoldEnd;
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{Hold, JobAction, JobControl};
use jobbie_proto::{Code, JobId, Request};

use super::{agents, bytes, moved, print_failed};
use crate::args::{
    ApproveArgs, ClientArgs, HoldArgs, HoldTimeoutArgs, JobsArgs, MoveArgs, PrioritizeArgs,
    RejectArgs, ReplaceArgs, Then,
};
use crate::call::{CallError, Server, explain};
use crate::exit::Exit;
use crate::output::Rows;

pub(super) fn retry(args: &JobsArgs) -> Result<Exit, CallError> {
    control(&args.client, &args.jobs, JobAction::Retry, None)
}

pub(super) fn requeue(args: &JobsArgs) -> Result<Exit, CallError> {
    control(&args.client, &args.jobs, JobAction::Requeue, None)
}

pub(super) fn hold(args: &HoldArgs) -> Result<Exit, CallError> {
    let by = by(args.by.by.as_deref());
    let hold = hold_for(&args.reason, &by, &args.timeout);
    control(&args.jobs.client, &args.jobs.jobs, JobAction::Hold(hold), Some("held"))
}

pub(super) fn approve(args: &ApproveArgs) -> Result<Exit, CallError> {
    let by = by(args.by.by.as_deref());
    let action = JobAction::Approve { note: args.note.as_bytes(), by: &by };
    control(&args.jobs.client, &args.jobs.jobs, action, Some("pending"))
}

pub(super) fn reject(args: &RejectArgs) -> Result<Exit, CallError> {
    let by = by(args.by.by.as_deref());
    if let Some(feedback) = &args.revise {
        return revise(&args.jobs.client, &args.jobs.jobs, feedback, &by);
    }
    let action = JobAction::Reject { reason: args.reason.as_bytes(), by: &by };
    control(&args.jobs.client, &args.jobs.jobs, action, Some("dead"))
}

/// Lets agent jobs go on with feedback and says what came of each. The first refusal is the command's.
fn revise(
    client: &ClientArgs,
    jobs: &[JobId],
    feedback: &str,
    by: &str,
) -> Result<Exit, CallError> {
    let mut server = Server::connect(client, None)?;
    let mut rows = Rows::new(&["job", "result"]);
    let mut refused = None;
    for &job in jobs {
        let code = agents::revise(&mut server, job, feedback, by)?;
        let result = if code == Code::Ok { "pending" } else { code.name() };
        rows.push(vec![job.to_string().into(), result.into()]);
        if code != Code::Ok && refused.is_none() {
            let message = format!("{job}: {}", explain(code, ""));
            refused = Some(CallError::Refused { code, message });
        }
    }
    rows.print(client.output).map_err(print_failed)?;
    refused.map_or(Ok(Exit::Done), Err)
}

pub(super) fn move_job(args: &MoveArgs) -> Result<Exit, CallError> {
    control(&args.client, &[args.job], JobAction::Move { queue: &args.queue }, Some("moved"))
}

pub(super) fn prioritize(args: &PrioritizeArgs) -> Result<Exit, CallError> {
    let action = JobAction::Prioritize { priority: args.priority };
    control(&args.jobs.client, &args.jobs.jobs, action, Some("prioritized"))
}

pub(super) fn replace(args: &ReplaceArgs) -> Result<Exit, CallError> {
    let payload = bytes(&args.payload)?;
    control(&args.client, &[args.job], JobAction::Replace { payload: &payload }, Some("replaced"))
}

/// What a hold says, from its flags.
pub(super) fn hold_for<'a>(reason: &'a str, by: &'a str, timeout: &HoldTimeoutArgs) -> Hold<'a> {
    let then = match timeout.then {
        None => HoldEnd::Stay,
        Some(Then::Approve) => HoldEnd::Approve,
        Some(Then::Cancel) => HoldEnd::Cancel,
    };
    Hold { reason: reason.as_bytes(), by, timeout_ms: timeout.hold_ms.unwrap_or(0), then }
}

/// Who is named as the one who did it.
pub(super) fn by(named: Option<&str>) -> String {
    named.map_or_else(|| std::env::var("USER").unwrap_or_default(), str::to_owned)
}

/// Does one thing to each job and says what came of it, which is the state that it is in then unless `done` says it. The
/// first refusal is the command's.
fn control(
    client: &ClientArgs,
    jobs: &[JobId],
    action: JobAction<'_>,
    done: Option<&str>,
) -> Result<Exit, CallError> {
    let mut server = Server::connect(client, None)?;
    let mut rows = Rows::new(&["job", "result"]);
    let mut refused = None;
    for &job in jobs {
        let mut state = None;
        let code = moved::follow(&mut server, job, |server, job| {
            let job_controls = vec![JobControl { job, action }];
            let lookups = if done.is_none() { vec![job] } else { Vec::new() };
            let mut request = Request { job_controls, lookups, ..Request::default() };
            let mut code = None;
            server.call(job.shard(), &mut request, |reply| {
                code = code.or(reply.job_controls.first().copied());
                let found = reply.lookups.first().and_then(|lookup| lookup.details);
                state = state.or(found.map(|details| details.state));
            })?;
            Ok(code)
        })?;
        let done = done.or(state.map(JobState::name)).unwrap_or_default();
        let result = if code == Code::Ok { done } else { code.name() };
        rows.push(vec![job.to_string().into(), result.into()]);
        if code != Code::Ok && refused.is_none() {
            let message = format!("{job}: {}", explain(code, ""));
            refused = Some(CallError::Refused { code, message });
        }
    }
    rows.print(client.output).map_err(print_failed)?;
    refused.map_or(Ok(Exit::Done), Err)
}
