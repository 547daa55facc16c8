//! Work on many jobs: begin it, wait for it, list it, end it.

use std::time::{Duration, Instant};

use jobbie_proto::event::{BulkAction, HoldEnd, JobFilter, Task};
use jobbie_proto::id::OperationRef;
use jobbie_proto::limits::OPERATION_JOBS_MAX;
use jobbie_proto::reply::{OperationStatus, OperationView};
use jobbie_proto::request::{Operate, Stats};
use jobbie_proto::{Code, JobId, Request, ShardId};
use serde_json::Value;

use super::controls::by;
use super::{print_failed, stdin};
use crate::args::{
    Action, BulkArgs, ClearArgs, ClientArgs, DestroyArgs, FilterArgs, OperationsArgs, Output,
    State, Then, WaitArgs,
};
use crate::call::{CallError, Server, explain};
use crate::exit::Exit;
use crate::output::Rows;

/// Pauses between two looks at how far an operation is.
const PAUSES_MS: [u64; 4] = [1, 5, 20, 100];

pub(super) fn clear(args: &ClearArgs) -> Result<Exit, CallError> {
    let queue = &args.queue.queue;
    on_queue(&args.queue.client, queue, Task::Clear { queue: queue.clone() }, &args.wait)
}

pub(super) fn destroy(args: &DestroyArgs) -> Result<Exit, CallError> {
    assert!(args.confirm, "the flag is required");
    let queue = &args.queue.queue;
    on_queue(&args.queue.client, queue, Task::DeleteQueue { queue: queue.clone() }, &args.wait)
}

fn on_queue(
    client: &ClientArgs,
    queue: &str,
    task: Task,
    wait: &WaitArgs,
) -> Result<Exit, CallError> {
    let mut work = Work::new(client)?;
    let shard = work.server.shard_of(queue);
    work.start(shard, task, Vec::new())?;
    work.finish(client.output, wait)
}

pub(super) fn bulk(args: &BulkArgs) -> Result<Exit, CallError> {
    let filter = filter_of(&args.filter);
    let action = action_of(args);
    let task = |filter| Task::Bulk { action: action.clone(), filter, dry_run: args.dry_run };
    let jobs = if filter.is_empty() { ids()? } else { Vec::new() };
    let mut work = Work::new(&args.client)?;
    if filter.is_empty() {
        let mut shards: Vec<ShardId> = jobs.iter().map(|job| job.shard()).collect();
        shards.sort_unstable();
        shards.dedup();
        for shard in shards {
            let here: Vec<JobId> = jobs.iter().copied().filter(|j| j.shard() == shard).collect();
            for some in here.chunks(OPERATION_JOBS_MAX) {
                work.start(shard, task(JobFilter::default()), some.to_vec())?;
            }
        }
    } else {
        let shards: Vec<ShardId> = match &*filter.queue {
            "" => work.server.shards().collect(),
            queue => vec![work.server.shard_of(queue)],
        };
        for shard in shards {
            work.start(shard, task(filter.clone()), Vec::new())?;
        }
    }
    work.finish(args.client.output, &args.wait)
}

fn filter_of(args: &FilterArgs) -> JobFilter {
    let states: Vec<_> = args.state.iter().copied().map(State::state).collect();
    let filter = JobFilter {
        queue: args.queue.clone().unwrap_or_default(),
        priority: args.priority,
        limit_key: args.limit_key.clone().unwrap_or_default(),
        created_after_ms: args.created_after.unwrap_or(0),
        created_before_ms: args.created_before.unwrap_or(0),
        ..JobFilter::default()
    };
    filter.in_states(&states)
}

fn action_of(args: &BulkArgs) -> BulkAction {
    let (reason, note) = (args.reason.clone(), args.reason.clone());
    let by = by(args.by.by.as_deref());
    match args.action {
        Action::Cancel => BulkAction::Cancel,
        Action::Delete => BulkAction::Delete,
        Action::Retry => BulkAction::Retry,
        Action::Requeue => BulkAction::Requeue,
        Action::Hold => BulkAction::Hold {
            reason,
            by,
            timeout_ms: args.timeout.hold_ms.unwrap_or(0),
            then: match args.timeout.then {
                None => HoldEnd::Stay,
                Some(Then::Approve) => HoldEnd::Approve,
                Some(Then::Cancel) => HoldEnd::Cancel,
            },
        },
        Action::Approve => BulkAction::Approve { note, by },
        Action::Reject => BulkAction::Reject { reason, by },
        Action::Move => BulkAction::Move { queue: args.to.clone().expect("clap requires it") },
        Action::Prioritize => {
            BulkAction::Prioritize { priority: args.tier.expect("clap requires it") }
        }
    }
}

/// The jobs named on standard input.
fn ids() -> Result<Vec<JobId>, CallError> {
    let jobs = stdin::jobs()?;
    if jobs.is_empty() {
        return Err(CallError::Usage(
            "no jobs: give their ids on standard input, one a line, or say which by --queue, --state, --priority, \
             --limit-key, --created-after or --created-before"
                .into(),
        ));
    }
    Ok(jobs)
}

/// What a command has begun.
struct Work {
    server: Server,
    began: Instant,
    parts: Vec<(OperationRef, &'static str)>,
}

impl Work {
    fn new(client: &ClientArgs) -> Result<Self, CallError> {
        let server = Server::connect(client, None)?;
        Ok(Self { server, began: Instant::now(), parts: Vec::new() })
    }

    fn start(&mut self, shard: ShardId, task: Task, jobs: Vec<JobId>) -> Result<(), CallError> {
        let name = task.name();
        let operation = Some(Operate::Start { task, jobs });
        let mut request = Request { operation, ..Request::default() };
        let mut begun = None;
        self.server.call(shard, &mut request, |reply| begun = begun.or(reply.operated))?;
        let id = begun.ok_or_else(|| silent(shard))?.operation;
        self.parts.push((OperationRef { shard, id }, name));
        Ok(())
    }

    /// Says what was begun, or waits and says what came of it.
    fn finish(mut self, output: Output, wait: &WaitArgs) -> Result<Exit, CallError> {
        if wait.no_wait {
            let mut rows = Rows::new(&["operation", "does"]);
            for (part, name) in &self.parts {
                rows.push(vec![part.to_string().into(), (*name).into()]);
            }
            rows.print(output).map_err(print_failed)?;
            return Ok(Exit::Done);
        }
        let (mut affected, mut skipped) = (0, 0);
        for (part, _) in std::mem::take(&mut self.parts) {
            let view = self.over(part)?;
            (affected, skipped) = (affected + view.applied, skipped + view.skipped);
        }
        let ms = self.began.elapsed().as_millis() as u64;
        if output == Output::Table {
            println!("Affected: {affected} jobs ({ms}ms)");
            return Ok(Exit::Done);
        }
        let mut rows = Rows::new(&["affected", "skipped", "ms"]);
        rows.push(vec![affected.into(), skipped.into(), ms.into()]);
        rows.print_one(output).map_err(print_failed)?;
        Ok(Exit::Done)
    }

    fn over(&mut self, part: OperationRef) -> Result<OperationView, CallError> {
        let mut looks = 0;
        loop {
            self.server.allow(Duration::ZERO);
            let views = views(&mut self.server, part.shard)?;
            let view = views.into_iter().find(|view| view.id == part.id);
            let forgotten = || {
                CallError::Usage(format!(
                    "{part} was done, but so many operations ended since that the server has forgotten what it did"
                ))
            };
            let view = view.ok_or_else(forgotten)?;
            if view.status != OperationStatus::Running {
                return Ok(view);
            }
            let pause = PAUSES_MS[looks.min(PAUSES_MS.len() - 1)];
            std::thread::sleep(Duration::from_millis(pause));
            looks += 1;
        }
    }
}

fn silent(shard: ShardId) -> CallError {
    let reason = "its answer says nothing of the operation".into();
    CallError::Lost { addr: format!("shard {shard}"), reason }
}

fn views(server: &mut Server, shard: ShardId) -> Result<Vec<OperationView>, CallError> {
    let mut request = Request { stats: Stats::Operations, ..Request::default() };
    let mut views = Vec::new();
    server.call(shard, &mut request, |reply| views.extend_from_slice(&reply.operations))?;
    Ok(views)
}

/// Lists operations, or ends one.
pub(super) fn operations(args: &OperationsArgs) -> Result<Exit, CallError> {
    let mut server = Server::connect(&args.client, None)?;
    if let (Some(_), Some(operation)) = (args.action, args.operation) {
        return cancel(&mut server, operation, args.client.output);
    }
    let mut rows = Rows::new(&[
        "operation",
        "does",
        "queue",
        "dry_run",
        "status",
        "estimate",
        "looked_at",
        "affected",
        "skipped",
        "started_ms",
        "ended_ms",
    ]);
    for shard in server.shards() {
        for view in views(&mut server, shard)? {
            let queue = Some(view.task.filter().queue).filter(|queue| !queue.is_empty());
            let ended = Some(view.ended.ms()).filter(|ms| *ms > 0);
            rows.push(vec![
                OperationRef { shard, id: view.id }.to_string().into(),
                view.task.name().into(),
                queue.map_or(Value::Null, Value::from),
                view.task.is_dry_run().into(),
                view.status.name().into(),
                view.estimate.into(),
                view.looked_at.into(),
                view.applied.into(),
                view.skipped.into(),
                view.started.ms().into(),
                ended.map_or(Value::Null, Value::from),
            ]);
        }
    }
    rows.print(args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

fn cancel(server: &mut Server, operation: OperationRef, output: Output) -> Result<Exit, CallError> {
    let OperationRef { shard, id } = operation;
    let cancel = Some(Operate::Cancel { operation: id });
    let mut request = Request { operation: cancel, ..Request::default() };
    let mut code = None;
    server.call(shard, &mut request, |reply| {
        code = code.or(reply.operated.map(|operated| operated.code));
    })?;
    match code.ok_or_else(|| silent(shard))? {
        Code::Ok => {
            let mut rows = Rows::new(&["operation", "status"]);
            rows.push(vec![operation.to_string().into(), "cancelled".into()]);
            rows.print_one(output).map_err(print_failed)?;
            Ok(Exit::Done)
        }
        code => {
            let why = match code {
                Code::NotFound => "there is no such operation, or it is forgotten".to_owned(),
                Code::IllegalState => "it is over".to_owned(),
                other => explain(other, ""),
            };
            Err(CallError::Refused { code, message: format!("{operation}: {why}") })
        }
    }
}
