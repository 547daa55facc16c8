//! Jobs that moved to other shards.

use std::time::Duration;

use jobbie_proto::limits::MOVE_HOPS_MAX;
use jobbie_proto::wire::Lookup;
use jobbie_proto::{Code, JobId, Request};
use serde_json::{Value, json};

use crate::call::{CallError, Server};

/// How long to wait before it is asked again where a job on its way has come to.
const PAUSE: Duration = Duration::from_millis(20);

/// Does something to a job where that is; what came of it.
pub(super) fn follow(
    server: &mut Server,
    job: JobId,
    mut act: impl FnMut(&mut Server, JobId) -> Result<Option<Code>, CallError>,
) -> Result<Code, CallError> {
    let (mut job, mut hops) = (job, 0);
    loop {
        match act(server, job)? {
            Some(Code::Moved) => {}
            Some(code) => return Ok(code),
            None => {
                let (addr, reason) = ("the server", "its answer says nothing of the job");
                return Err(CallError::Lost { addr: addr.into(), reason: reason.into() });
            }
        }
        match whereabouts(server, job)? {
            Some(now) if hops < MOVE_HOPS_MAX => (job, hops) = (now, hops + 1),
            None if server.pause(PAUSE) => {}
            _ => return Ok(Code::Moved),
        }
    }
}

/// The id that a moved job has now, once it has arrived.
fn whereabouts(server: &mut Server, job: JobId) -> Result<Option<JobId>, CallError> {
    let mut request = Request { lookups: vec![job], ..Request::default() };
    let mut now = None;
    server.call(job.shard(), &mut request, |reply| {
        now = now.or(reply.lookups.first().and_then(|lookup| lookup.kin.moved_to));
    })?;
    Ok(now)
}

/// A job that is on its way.
pub(super) fn view(lookup: &Lookup<'_>) -> Option<Value> {
    (lookup.code() == Code::Moved).then(|| {
        json!({
            "job": lookup.job.to_string(),
            "state": "moved",
            "moves_to": lookup.kin.moves_to,
            "moved_from": lookup.kin.moved_from.map(|before| before.to_string()),
        })
    })
}
