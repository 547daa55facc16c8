//! What is done to single jobs.

use std::time::Duration;

use jobbie_proto::event::{BackoffKind, HoldEnd};
use jobbie_proto::limits::MOVE_HOPS_MAX;
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{Ack, Enqueue, EnqueueHold, Fail, Fetch, JobRef, Ties, When};
use jobbie_proto::usage::dollars;
use jobbie_proto::wire::{JobDetails, LeasedJob, Lookup};
use jobbie_proto::{Code, JobId, LeaseToken, Micros, Request};
use serde_json::{Value, json};

use super::{agents, bytes, controls, moved, plans, print_failed, ties, usage};
use crate::args::{AckArgs, Backoff, EnqueueArgs, FailArgs, FetchArgs, JobArgs, Output};
use crate::call::{CallError, Server, explain};
use crate::exit::Exit;
use crate::output::{self, Rows, some_bytes};

pub(super) fn backoff(named: Backoff) -> BackoffKind {
    match named {
        Backoff::None => BackoffKind::None,
        Backoff::Fixed => BackoffKind::Fixed,
        Backoff::Linear => BackoffKind::Linear,
        Backoff::Exponential => BackoffKind::Exponential,
    }
}

pub(super) fn enqueue(args: &EnqueueArgs) -> Result<Exit, CallError> {
    let payload = bytes(&args.payload)?;
    let mut server = Server::connect(&args.client, None)?;
    let options = &args.options;
    let job = Enqueue {
        queue: &args.queue,
        payload: &payload,
        tags: options.tags.as_bytes(),
        key: args.key.as_bytes(),
        key_ms: args.key_ms,
        unique: options.unique_key.as_bytes(),
        unique_ms: options.unique_ms,
        limit_key: &options.limit_key,
        priority: options.priority,
        max_retries: options.max_retries,
        backoff: backoff(options.backoff),
        backoff_base_ms: options.backoff_base_ms,
        backoff_cap_ms: options.backoff_cap_ms,
        expire_after_ms: options.expire_after_ms,
        when: match (args.delay_ms, args.at_ms) {
            (Some(ms), _) => When::DelayMs(ms),
            (None, Some(ms)) => When::At(Micros(ms.saturating_mul(1000))),
            (None, None) => When::Now,
        },
    };
    let by = controls::by(None);
    let hold = args.hold.as_ref().map(|reason| EnqueueHold {
        enqueue: 0,
        hold: controls::hold_for(reason, &by, &args.timeout),
    });
    if hold.is_none() && args.timeout.hold_ms.is_some() {
        return Err(CallError::Usage(
            "--hold-ms is for jobs that are held: give --hold too".into(),
        ));
    }
    let holds = hold.into_iter().collect();
    let plans = plans::plan_for(&args.plan);
    let agents = agents::agent_for(&args.agent);
    let ties = ties::ties_for(&args.ties);
    let mut request =
        Request { enqueues: vec![job], holds, plans, agents, ties, ..Request::default() };
    let mut run = None;
    let shard = server.shard_of(&args.queue);
    server.call(shard, &mut request, |reply| run = run.or(reply.enqueued.first().copied()))?;
    let run = run.ok_or_else(|| missing("the new job"))?;
    if !matches!(run.code, Code::Ok | Code::Duplicate) {
        return Err(refused(run.code));
    }
    let is_duplicate = run.code == Code::Duplicate;
    let id = run.first.to_string();
    let made = json!({ "job": id, "duplicate": is_duplicate });
    output::print_made(&id, &made, args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

pub(super) fn fetch(args: &FetchArgs) -> Result<Exit, CallError> {
    let mut server = Server::connect(&args.client, args.worker.as_deref())?;
    // The jobs stay leased after this process has ended: that is what they are fetched for.
    server.keep_session();
    server.allow(Duration::from_millis(args.wait_ms.into()));
    let shard = server.shard_of(&args.queues[0]);
    for queue in &args.queues[1..] {
        if server.shard_of(queue) != shard {
            return Err(CallError::Usage(format!(
                "queues {} and {queue} are on different shards: fetch them one after the other",
                args.queues[0]
            )));
        }
    }
    let fetch = Fetch {
        queues: args.queues.iter().map(String::as_str).collect(),
        count: args.count,
        lease_ms: args.lease_ms,
        wait_ms: args.wait_ms,
        worker: args.worker.as_deref().unwrap_or_default(),
    };
    let mut request = Request { fetch: Some(fetch), ..Request::default() };
    let mut rows = Rows::new(&[
        "job",
        "lease_token",
        "queue",
        "attempt",
        "deadline_ms",
        "payload",
        "tags",
        "checkpoint",
        "iteration",
    ]);
    server
        .call(shard, &mut request, |reply| reply.leases.iter().for_each(|l| rows.push(lease(l))))?;
    if rows.is_empty() {
        eprintln!("no job is waiting in {}", args.queues.join(", "));
        return Ok(Exit::Nothing);
    }
    rows.print(args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

fn lease(of: &LeasedJob<'_>) -> Vec<Value> {
    vec![
        of.job.to_string().into(),
        of.token.0.into(),
        of.queue.into(),
        of.attempt.into(),
        of.deadline.ms().into(),
        output::bytes(of.payload),
        some_bytes(of.tags),
        some_bytes(of.checkpoint),
        of.agent.map_or(Value::Null, |agent| agent.iteration.into()),
    ]
}

pub(super) fn ack(args: &AckArgs) -> Result<Exit, CallError> {
    let result = bytes(&args.result)?;
    let mut server = Server::connect(&args.client, None)?;
    let job = JobRef { job: args.job, token: LeaseToken(args.lease_token) };
    let exits = if args.end_chain { vec![0] } else { Vec::new() };
    let ties = Ties { exits, ..Ties::default() };
    let ack_usages = usage::report(&args.usage);
    let acks = vec![Ack { job, result: &result }];
    let checkpoint = agents::checkpoint(&args.iteration)?;
    let agent_acks = agents::said(&args.iteration, &checkpoint);
    let lookups = agent_acks.iter().map(|_| args.job).collect();
    let mut request = Request { acks, ack_usages, agent_acks, ties, lookups, ..Request::default() };
    let mut code = None;
    let mut state = None;
    server.call(args.job.shard(), &mut request, |reply| {
        code = code.or(reply.acks.first().copied());
        state = state.or(reply.lookups.first().and_then(|lookup| lookup.details?.state.into()));
    })?;
    let state = state.map_or("completed", JobState::name);
    finish(code, args.job, state, args.client.output)
}

pub(super) fn fail(args: &FailArgs) -> Result<Exit, CallError> {
    let (error, backtrace) = (bytes(&args.error)?, bytes(&args.backtrace)?);
    let mut server = Server::connect(&args.client, None)?;
    let job = JobRef { job: args.job, token: LeaseToken(args.lease_token) };
    let fail = Fail { job, error: &error, backtrace: &backtrace, no_retry: args.no_retry };
    let mut request = Request { fails: vec![fail], ..Request::default() };
    let mut failed = None;
    server.call(args.job.shard(), &mut request, |reply| {
        failed = failed.or(reply.fails.first().copied())
    })?;
    let failed = failed.ok_or_else(|| missing("the failed job"))?;
    if failed.code != Code::Ok {
        return Err(refused(failed.code));
    }
    let is_dead = failed.next_attempt == Micros(0);
    let next = if is_dead { Value::Null } else { failed.next_attempt.ms().into() };
    let mut rows = Rows::new(&["job", "state", "next_attempt_ms", "attempts_left"]);
    let state = if is_dead { "dead" } else { "retrying" };
    rows.push(vec![args.job.to_string().into(), state.into(), next, failed.attempts_left.into()]);
    rows.print_one(args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

pub(super) fn cancel(args: &JobArgs) -> Result<Exit, CallError> {
    let mut server = Server::connect(&args.client, None)?;
    let code = moved::follow(&mut server, args.job, |server, job| {
        let mut request = Request { cancels: vec![job], ..Request::default() };
        let mut code = None;
        server.call(job.shard(), &mut request, |reply| {
            code = code.or(reply.cancels.first().copied())
        })?;
        Ok(code)
    })?;
    finish(Some(code), args.job, "cancelled", args.client.output)
}

pub(super) fn delete(args: &JobArgs) -> Result<Exit, CallError> {
    let mut server = Server::connect(&args.client, None)?;
    let code = moved::follow(&mut server, args.job, |server, job| {
        let mut request = Request { deletes: vec![job], ..Request::default() };
        let mut code = None;
        server.call(job.shard(), &mut request, |reply| {
            code = code.or(reply.deletes.first().copied())
        })?;
        Ok(code)
    })?;
    finish(Some(code), args.job, "deleted", args.client.output)
}

pub(super) fn inspect(args: &JobArgs) -> Result<Exit, CallError> {
    let mut server = Server::connect(&args.client, None)?;
    let mut job = args.job;
    for _ in 0..=MOVE_HOPS_MAX {
        let mut request = Request { lookups: vec![job], ..Request::default() };
        let (mut found, mut next) = (None, None);
        server.call(job.shard(), &mut request, |reply| {
            let Some(lookup) = reply.lookups.first() else { return };
            found = found.take().or_else(|| view(lookup).or_else(|| moved::view(lookup)));
            next = next.or(lookup.kin.moved_to);
        })?;
        match next {
            Some(now) => job = now,
            None => {
                let found = found.ok_or_else(|| refused(Code::NotFound))?;
                return print_fields(&found, args.client.output);
            }
        }
    }
    Err(refused(Code::Moved))
}

/// Prints one object, field by field.
pub(super) fn print_fields(object: &Value, output: Output) -> Result<Exit, CallError> {
    match output {
        Output::Json | Output::Jsonl => {
            output::print_made("", object, output).map_err(print_failed)?;
        }
        Output::Table => {
            let mut rows = Rows::new(&["field", "value"]);
            for (field, value) in object.as_object().into_iter().flatten() {
                rows.push(vec![field.as_str().into(), value.clone()]);
            }
            rows.print(Output::Table).map_err(print_failed)?;
        }
    }
    Ok(Exit::Done)
}

fn view(lookup: &Lookup<'_>) -> Option<Value> {
    let JobDetails { bytes, .. } = lookup.details?;
    let of = lookup.details?;
    let time = |at: Micros| if at == Micros(0) { Value::Null } else { at.ms().into() };
    Some(json!({
        "job": lookup.job.to_string(),
        "state": of.state.name(),
        "queue": of.queue,
        "limit_key": some_bytes(bytes.limit_key.as_bytes()),
        "created_ms": lookup.job.created_ms(),
        "priority": of.priority,
        "attempt": of.attempt,
        "max_retries": of.max_retries,
        "lease_token": of.token.0,
        "due_ms": time(of.due),
        "expire_at_ms": time(of.expire_at),
        "ended_ms": time(of.ended),
        "lease_expiries": of.lease_expiries,
        "payload": output::bytes(bytes.payload),
        "tags": some_bytes(bytes.tags),
        "key": some_bytes(bytes.key),
        "error": some_bytes(bytes.error),
        "backtrace": some_bytes(bytes.backtrace),
        "progress": some_bytes(bytes.progress),
        "checkpoint": some_bytes(bytes.checkpoint),
        "hold_reason": some_bytes(bytes.hold_reason),
        "held_by": some_bytes(bytes.hold_by.as_bytes()),
        "then": match of.then {
            HoldEnd::Stay => Value::Null,
            HoldEnd::Approve => "approve".into(),
            HoldEnd::Cancel => "cancel".into(),
        },
        "waits_for": of.waits_for,
        "batch": of.batch.map(|batch| batch.to_string()),
        "parent": lookup.kin.parent.map(|parent| parent.to_string()),
        "moved_from": lookup.kin.moved_from.map(|before| before.to_string()),
        "moves_to": some_bytes(lookup.kin.moves_to.as_bytes()),
        "cost_usd": if of.cost_micros == 0 { Value::Null } else { dollars(of.cost_micros).into() },
        "agent": of.agent.as_ref().map_or(Value::Null, agents::view),
        "plan": lookup.plan.as_ref().map_or(Value::Null, plans::view),
    }))
}

fn finish(code: Option<Code>, job: JobId, state: &str, output: Output) -> Result<Exit, CallError> {
    match code.ok_or_else(|| missing("the job"))? {
        Code::Ok => {}
        code => return Err(refused(code)),
    }
    let mut rows = Rows::new(&["job", "state"]);
    rows.push(vec![job.to_string().into(), state.into()]);
    rows.print_one(output).map_err(print_failed)?;
    Ok(Exit::Done)
}

fn refused(code: Code) -> CallError {
    CallError::Refused { code, message: explain(code, "") }
}

fn missing(what: &str) -> CallError {
    CallError::Lost {
        addr: "the server".into(),
        reason: format!("its answer says nothing of {what}"),
    }
}
