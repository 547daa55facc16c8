//! Agent jobs.

use jobbie_proto::agent::{AgentLimits, AgentStatus};
use jobbie_proto::compose::{ComposeError, with_feedback, with_keys};
use jobbie_proto::event::{BackoffKind, Replayed};
use jobbie_proto::limits::KEY_MS_DEFAULT;
use jobbie_proto::reply::AgentView;
use jobbie_proto::request::{
    Agent, AgentAck, Enqueue, EnqueueAgent, JobAction, JobControl, Parents, Ties, When,
};
use jobbie_proto::usage::dollars;
use jobbie_proto::wire::{IterationRecord, Lookup};
use jobbie_proto::{Code, EventSeq, JobId, Request};
use serde_json::{Value, json};

use super::history::{self, walk};
use super::{bytes, print_failed};
use crate::args::{AgentArgs, IterationArgs, IterationsArgs, ReplayArgs};
use crate::call::{CallError, Server, explain};
use crate::exit::Exit;
use crate::output::{Rows, print_made, some_bytes};

/// What is special about the one new job, from its flags.
pub(super) fn agent_for(args: &AgentArgs) -> Vec<EnqueueAgent<'static>> {
    let AgentArgs { agent, agent_max_iterations: most, agent_max_cost_usd: cost, .. } = *args;
    let timeout = args.agent_iteration_timeout;
    if !agent && most.is_none() && cost.is_none() && timeout.is_none() {
        return Vec::new();
    }
    let limits = AgentLimits {
        max_iterations: most.unwrap_or(0),
        max_cost_micros: cost.unwrap_or(0),
        iteration_timeout_ms: timeout.unwrap_or(0),
    };
    vec![EnqueueAgent { enqueue: 0, agent: Agent { limits, ..Agent::default() } }]
}

/// What the one ack says of its iteration.
pub(super) fn said<'a>(args: &'a IterationArgs, checkpoint: &'a [u8]) -> Vec<AgentAck<'a>> {
    let said = args.agent_status.map(|status| AgentAck {
        of: 0,
        status: AgentStatus::from(status) as u8,
        checkpoint,
        reason: args.hold_reason.as_bytes(),
    });
    said.into_iter().collect()
}

/// What `inspect` shows of an agent job.
pub(super) fn view(agent: &AgentView) -> Value {
    json!({
        "iteration": agent.iteration,
        "max_iterations": agent.limits.max_iterations,
        "max_cost_usd": dollars(agent.limits.max_cost_micros),
        "iteration_timeout_ms": agent.limits.iteration_timeout_ms,
    })
}

fn refused(code: Code) -> CallError {
    CallError::Refused { code, message: explain(code, "") }
}

fn not_composed(error: &ComposeError) -> CallError {
    CallError::Refused { code: Code::Invalid, message: format!("{error}; nothing was done") }
}

pub(super) fn iterations(args: &IterationsArgs) -> Result<Exit, CallError> {
    let mut server = Server::connect(&args.client, None)?;
    let mut rows = Rows::new(&[
        "iteration",
        "status",
        "attempt",
        "time_ms",
        "cost_usd",
        "model",
        "reason",
        "checkpoint",
        "result",
    ]);
    walk_iterations(&mut server, args.job, args.count, |iteration| {
        rows.push(row(iteration));
        iteration.previous
    })?;
    history::print(&rows, args.job, "iterations", args.client.output)
}

fn row(of: &IterationRecord<'_>) -> Vec<Value> {
    vec![
        of.number.into(),
        of.status.name().into(),
        of.attempt.into(),
        of.time.ms().into(),
        dollars(of.amounts.cost_micros).into(),
        some_bytes(of.model.as_bytes()),
        some_bytes(of.reason),
        some_bytes(of.checkpoint),
        some_bytes(of.result),
    ]
}

/// Shows the iterations of a job, newest first. `see` says which is before one, or 0 when that is the last one wanted.
fn walk_iterations(
    server: &mut Server,
    job: JobId,
    count: u32,
    mut see: impl FnMut(&IterationRecord<'_>) -> EventSeq,
) -> Result<(), CallError> {
    let mut is_agent = false;
    let ask = |request: &mut Request<'_>, history| request.iterations = Some(history);
    walk(server, job, count, ask, |reply, tell| {
        is_agent |= reply
            .lookups
            .iter()
            .any(|lookup| lookup.details.as_ref().is_some_and(|details| details.agent.is_some()));
        reply.iterations.iter().for_each(|iteration| tell(see(iteration)));
    })?;
    if is_agent { Ok(()) } else { Err(refused(Code::NotAgent)) }
}

/// Looks a job up.
fn look_up<T>(
    server: &mut Server,
    job: JobId,
    mut take: impl FnMut(&Lookup<'_>) -> Option<T>,
) -> Result<T, CallError> {
    let mut request = Request { lookups: vec![job], ..Request::default() };
    let mut found = None;
    server.call(job.shard(), &mut request, |reply| {
        found = found.take().or_else(|| reply.lookups.first().and_then(&mut take));
    })?;
    found.ok_or_else(|| refused(Code::NotFound))
}

/// Lets held agent jobs go on with feedback, one after the other; the first refusal is the command's.
pub(super) fn revise(
    server: &mut Server,
    job: JobId,
    feedback: &str,
    by: &str,
) -> Result<Code, CallError> {
    let (agent, checkpoint) = look_up(server, job, |lookup| {
        let details = lookup.details?;
        Some((details.agent, details.bytes.checkpoint.to_vec()))
    })?;
    let Some(AgentView { checkpoint: replaces, .. }) = agent else { return Ok(Code::NotAgent) };
    let checkpoint = with_feedback(&checkpoint, feedback).map_err(|e| not_composed(&e))?;
    let (checkpoint, feedback) = (&checkpoint[..], feedback.as_bytes());
    let action = JobAction::Revise { checkpoint, feedback, by, replaces };
    let job_controls = vec![JobControl { job, action }];
    let mut request = Request { job_controls, ..Request::default() };
    let mut code = None;
    server.call(job.shard(), &mut request, |reply| {
        code = code.or(reply.job_controls.first().copied());
    })?;
    code.ok_or_else(|| CallError::Lost {
        addr: "the server".into(),
        reason: "its answer says nothing of the job".into(),
    })
}

/// What a new job takes over from another.
struct Original {
    queue: String,
    limit_key: String,
    payload: Vec<u8>,
    tags: Vec<u8>,
    priority: u8,
    max_retries: u32,
    backoff: (BackoffKind, u32, u32),
    expire_after_ms: u64,
    agent: Option<AgentView>,
}

pub(super) fn replay(args: &ReplayArgs) -> Result<Exit, CallError> {
    let (job, number) = (args.job, args.from);
    let mut server = Server::connect(&args.client, None)?;
    let of = look_up(&mut server, job, |lookup| {
        let of = lookup.details?;
        Some(Original {
            queue: of.queue.to_owned(),
            limit_key: of.bytes.limit_key.to_owned(),
            payload: of.bytes.payload.to_vec(),
            tags: of.bytes.tags.to_vec(),
            priority: of.priority,
            max_retries: of.max_retries,
            backoff: (of.backoff, of.backoff_base_ms, of.backoff_cap_ms),
            expire_after_ms: of.expire_after_ms,
            agent: of.agent,
        })
    })?;
    let limits = of.agent.ok_or_else(|| refused(Code::NotAgent))?.limits;
    let (mut newest, mut checkpoint) = (0, None);
    walk_iterations(&mut server, job, u32::MAX, |iteration| {
        newest = newest.max(iteration.number);
        if iteration.number == number {
            checkpoint = Some(iteration.checkpoint.to_vec());
        }
        if iteration.number > number { iteration.previous } else { EventSeq(0) }
    })?;
    let checkpoint = checkpoint.ok_or_else(|| {
        let message = format!("iteration {number}: {job} has ended iterations 1 to {newest}");
        CallError::Refused { code: Code::Invalid, message }
    })?;
    let keys: Vec<_> = args.set.iter().map(|(key, value)| (&**key, &**value)).collect();
    let payload = with_keys(&of.payload, &keys).map_err(|e| not_composed(&e))?;
    let enqueue = Enqueue {
        queue: &of.queue,
        payload: &payload,
        tags: &of.tags,
        key: args.key.as_bytes(),
        key_ms: KEY_MS_DEFAULT,
        unique: b"",
        unique_ms: 0,
        limit_key: &of.limit_key,
        priority: of.priority,
        max_retries: of.max_retries,
        backoff: of.backoff.0,
        backoff_base_ms: of.backoff.1,
        backoff_cap_ms: of.backoff.2,
        expire_after_ms: of.expire_after_ms,
        when: When::Now,
    };
    let replayed = Some(Replayed { job, iteration: number });
    let agent = Agent { limits, checkpoint: &checkpoint, replayed };
    let agents = vec![EnqueueAgent { enqueue: 0, agent }];
    let parents = vec![Parents { parent: job, first: 0, count: 1 }];
    let ties = Ties { parents, ..Ties::default() };
    let mut request = Request { enqueues: vec![enqueue], agents, ties, ..Request::default() };
    let mut run = None;
    let shard = server.shard_of(&of.queue);
    server.call(shard, &mut request, |reply| run = run.or(reply.enqueued.first().copied()))?;
    let run = run.ok_or_else(|| CallError::Lost {
        addr: args.client.addr.clone(),
        reason: "its answer says nothing of the new job".into(),
    })?;
    if !matches!(run.code, Code::Ok | Code::Duplicate) {
        return Err(refused(run.code));
    }
    let id = run.first.to_string();
    let made = json!({ "job": id, "duplicate": run.code == Code::Duplicate });
    print_made(&id, &made, args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

/// The checkpoint that an ack carries.
pub(super) fn checkpoint(args: &IterationArgs) -> Result<Vec<u8>, CallError> {
    bytes(&args.checkpoint)
}
