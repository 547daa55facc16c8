//! Batches, chains, dependencies and parents.

use jobbie_proto::event::BackoffKind;
use jobbie_proto::limits::{
    ATTEMPTS_DEFAULT, BACKOFF_BASE_MS_DEFAULT, BACKOFF_CAP_MS_DEFAULT, CHILDREN_COUNT_MAX,
    PRIORITY_DEFAULT,
};
use jobbie_proto::reply::BatchView;
use jobbie_proto::request::{
    BatchSeal, Chain, Children, Depends, Enqueue, Members, Parents, Ties, When,
};
use jobbie_proto::{Code, JobSeq, Micros, Request, ShardId};
use serde_json::{Value, json};

use super::print_failed;
use crate::args::{BatchArgs, BatchVerb, JobArgs, OpenArgs, SealArgs, ShowArgs, Step, TieArgs};
use crate::call::{CallError, Server, explain};
use crate::exit::Exit;
use crate::output::{Rows, print_made};

/// What ties the one new job to others, from its flags.
pub(super) fn ties_for(args: &TieArgs) -> Ties<'_> {
    let members = args.batch.map(|batch| Members { batch, first: 0, count: 1 });
    let is_chain = !args.next.is_empty() || args.on_failure.is_some() || args.on_exit.is_some();
    let chain = is_chain.then(|| Chain {
        enqueue: 0,
        steps: args.next.iter().map(enqueue).collect(),
        on_failure: args.on_failure.as_ref().map(enqueue),
        on_exit: args.on_exit.as_ref().map(enqueue),
    });
    let parents = args.parent.map(|parent| Parents { parent, first: 0, count: 1 });
    let depends = (!args.after.is_empty()).then(|| Depends { enqueue: 0, on: args.after.clone() });
    Ties {
        members: members.into_iter().collect(),
        chains: chain.into_iter().collect(),
        depends: depends.into_iter().collect(),
        parents: parents.into_iter().collect(),
        ..Ties::default()
    }
}

/// A job with the defaults of every job.
fn enqueue(step: &Step) -> Enqueue<'_> {
    Enqueue {
        queue: &step.queue,
        payload: step.payload.as_bytes(),
        tags: b"",
        key: b"",
        key_ms: 0,
        unique: b"",
        unique_ms: 0,
        limit_key: "",
        priority: PRIORITY_DEFAULT,
        max_retries: ATTEMPTS_DEFAULT,
        backoff: BackoffKind::Exponential,
        backoff_base_ms: BACKOFF_BASE_MS_DEFAULT,
        backoff_cap_ms: BACKOFF_CAP_MS_DEFAULT,
        expire_after_ms: 0,
        when: When::Now,
    }
}

/// The jobs that name one as their parent, on every shard.
pub(super) fn children(args: &JobArgs) -> Result<Exit, CallError> {
    let mut server = Server::connect(&args.client, None)?;
    let mut rows = Rows::new(&["job", "state"]);
    for shard in server.shards() {
        let mut after = JobSeq(0);
        loop {
            let (parent, count) = (args.job, CHILDREN_COUNT_MAX);
            let children = Some(Children { parent, after, count });
            let mut request = Request { children, ..Request::default() };
            let mut told = 0;
            server.call(shard, &mut request, |reply| {
                for child in &reply.children {
                    told += 1;
                    after = child.job.seq();
                    rows.push(vec![child.job.to_string().into(), child.state.name().into()]);
                }
            })?;
            if told < CHILDREN_COUNT_MAX {
                break;
            }
        }
    }
    rows.print(args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

pub(super) fn batch(args: &BatchArgs) -> Result<Exit, CallError> {
    match &args.verb {
        BatchVerb::Open(args) => open(args),
        BatchVerb::Seal(args) => seal(args),
        BatchVerb::Show(args) => show(args),
    }
}

fn open(args: &OpenArgs) -> Result<Exit, CallError> {
    let mut server = Server::connect(&args.client, None)?;
    let shard = args.callback.as_ref().map_or(ShardId(0), |step| server.shard_of(&step.queue));
    let batch_opens = vec![args.callback.as_ref().map(enqueue)];
    let ties = Ties { batch_opens, ..Ties::default() };
    let mut request = Request { ties, ..Request::default() };
    let mut opened = None;
    server.call(shard, &mut request, |reply| opened = opened.or(reply.batches.first().copied()))?;
    let batch = opened.ok_or_else(missing)?;
    let id = batch.to_string();
    print_made(&id, &json!({ "batch": id }), args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

fn seal(args: &SealArgs) -> Result<Exit, CallError> {
    let mut server = Server::connect(&args.client, None)?;
    let batch_seals = vec![BatchSeal { batch: args.batch, total: args.total }];
    let ties = Ties { batch_seals, ..Ties::default() };
    let mut request = Request { ties, ..Request::default() };
    let mut code = None;
    server.call(args.batch.shard(), &mut request, |reply| {
        code = code.or(reply.batch_seals.first().copied())
    })?;
    match code.ok_or_else(missing)? {
        Code::Ok => {}
        Code::NotFound => return Err(unknown()),
        code => {
            let message = "the batch is sealed already, or more of its members have ended than that; \
                           `jobbie batch show` tells";
            return Err(CallError::Refused { code, message: message.into() });
        }
    }
    let mut rows = Rows::new(&["batch", "total"]);
    rows.push(vec![args.batch.to_string().into(), args.total.into()]);
    rows.print_one(args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

fn show(args: &ShowArgs) -> Result<Exit, CallError> {
    let mut server = Server::connect(&args.client, None)?;
    let ties = Ties { batch_lookups: vec![args.batch], ..Ties::default() };
    let mut request = Request { ties, ..Request::default() };
    let mut found = None;
    server.call(args.batch.shard(), &mut request, |reply| {
        found = found.or(reply.batch_lookups.first().copied())
    })?;
    let view = found.ok_or_else(missing)?.map_err(|_| unknown())?;
    let mut rows = Rows::new(&["batch", "total", "succeeded", "failed", "ended_ms", "called_back"]);
    let BatchView { total, succeeded, failed, ended, called_back } = view;
    let ended = if ended == Micros(0) { Value::Null } else { ended.ms().into() };
    let batch = args.batch.to_string().into();
    rows.push(vec![
        batch,
        total.into(),
        succeeded.into(),
        failed.into(),
        ended,
        called_back.into(),
    ]);
    rows.print_one(args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

fn unknown() -> CallError {
    let message =
        "there is no such batch, or it ended longer ago than the server keeps them".to_owned();
    CallError::Refused { code: Code::NotFound, message }
}

fn missing() -> CallError {
    let message = explain(Code::BadFrame, "");
    CallError::Lost { addr: "the server".into(), reason: message }
}
