//! What is asked of schedules.

use jobbie_proto::event::Missed;
use jobbie_proto::request::{Definition, ScheduleAction, ScheduleControl, Schedules};
use jobbie_proto::wire::{ScheduleChanged, ScheduleDetails};
use jobbie_proto::{Code, Micros, Request};
use serde_json::{Value, json};

use super::jobs::{backoff, print_fields};
use super::{bytes, print_failed};
use crate::args::{
    MissedRuns, ScheduleArgs, ScheduleCommand, SchedulesArgs, SetScheduleArgs, ShowScheduleArgs,
};
use crate::call::{CallError, Server};
use crate::exit::Exit;
use crate::output::{self, Rows, print_made, some_bytes};

pub(super) fn run(command: &ScheduleCommand) -> Result<Exit, CallError> {
    match command {
        ScheduleCommand::Set(args) => set(args),
        ScheduleCommand::Show(args) => show(args),
        ScheduleCommand::Pause(args) => change(args, ScheduleAction::Pause, "paused"),
        ScheduleCommand::Resume(args) => change(args, ScheduleAction::Resume, "resumed"),
        ScheduleCommand::Run(args) => make(args),
        ScheduleCommand::Delete(args) => change(args, ScheduleAction::Delete, "deleted"),
    }
}

fn set(args: &SetScheduleArgs) -> Result<Exit, CallError> {
    let payload = bytes(&args.payload)?;
    let options = &args.options;
    let definition = Definition {
        expression: &args.expression,
        zone: &args.zone,
        missed: match args.missed {
            MissedRuns::Skip => Missed::Skip,
            MissedRuns::Once => Missed::Once,
            MissedRuns::All => Missed::All,
        },
        payload: &payload,
        tags: options.tags.as_bytes(),
        unique: options.unique_key.as_bytes(),
        unique_ms: options.unique_ms,
        limit_key: &options.limit_key,
        priority: options.priority,
        max_retries: options.max_retries,
        backoff: backoff(options.backoff),
        backoff_base_ms: options.backoff_base_ms,
        backoff_cap_ms: options.backoff_cap_ms,
        expire_after_ms: options.expire_after_ms,
    };
    change(&args.schedule, ScheduleAction::Set(definition), "set")
}

/// Does something to a schedule and says when it fires next.
fn change(args: &ScheduleArgs, action: ScheduleAction<'_>, done: &str) -> Result<Exit, CallError> {
    let changed = control(args, action)?;
    let mut rows = Rows::new(&["queue", "schedule", "result", "next_ms"]);
    let (queue, name) = (args.queue.as_str(), args.name.as_str());
    rows.push(vec![queue.into(), name.into(), done.into(), time(changed.next)]);
    rows.print_one(args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

fn make(args: &ScheduleArgs) -> Result<Exit, CallError> {
    let changed = control(args, ScheduleAction::Run)?;
    let job = changed.job.ok_or_else(|| missing(args))?.to_string();
    let made = json!({ "job": job, "duplicate": changed.code == Code::Duplicate });
    print_made(&job, &made, args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

fn control(args: &ScheduleArgs, action: ScheduleAction<'_>) -> Result<ScheduleChanged, CallError> {
    let mut server = Server::connect(&args.client, None)?;
    let control = ScheduleControl { queue: &args.queue, name: &args.name, action };
    let mut request = Request { schedule_controls: vec![control], ..Request::default() };
    let mut changed = None;
    server.call(server.shard_of(&args.queue), &mut request, |reply| {
        changed = changed.or(reply.schedule_controls.first().copied());
    })?;
    changed.ok_or_else(|| missing(args))
}

fn missing(args: &ScheduleArgs) -> CallError {
    let reason = "its answer says nothing of the schedule".into();
    CallError::Lost { addr: args.client.addr.clone(), reason }
}

fn show(args: &ShowScheduleArgs) -> Result<Exit, CallError> {
    let ShowScheduleArgs { schedule: args, next: times } = args;
    let mut server = Server::connect(&args.client, None)?;
    let schedules = Schedules::One { queue: &args.queue, name: &args.name, times: *times };
    let mut request = Request { schedules, ..Request::default() };
    let mut found = None;
    server.call(server.shard_of(&args.queue), &mut request, |reply| {
        let first = reply.schedules.first().map(|one| view(one, &reply.schedule_times));
        found = found.take().or(first);
    })?;
    let found = found.ok_or_else(|| CallError::Refused {
        code: Code::NotFound,
        message: format!("queue {} has no schedule {}", args.queue, args.name),
    })?;
    print_fields(&found, args.client.output)
}

fn view(schedule: &ScheduleDetails<'_>, times: &[Micros]) -> Value {
    let of = &schedule.definition;
    json!({
        "queue": schedule.queue,
        "schedule": schedule.name,
        "expression": of.expression,
        "zone": of.zone,
        "missed": of.missed.name(),
        "paused": schedule.paused,
        "next_ms": times.iter().map(|at| at.ms()).collect::<Vec<_>>(),
        "last_planned_ms": time(schedule.last_planned),
        "last_job": schedule.last_job.map(|job| job.to_string()),
        "fired": schedule.fired,
        "skipped": schedule.skipped,
        "payload": output::bytes(of.payload),
        "tags": some_bytes(of.tags),
        "unique_key": some_bytes(of.unique),
        "limit_key": some_bytes(of.limit_key.as_bytes()),
        "priority": of.priority,
        "max_retries": of.max_retries,
        "expire_after_ms": of.expire_after_ms,
    })
}

pub(super) fn list(args: &SchedulesArgs) -> Result<Exit, CallError> {
    let mut server = Server::connect(&args.client, None)?;
    let queue = args.queue.as_deref().unwrap_or_default();
    let shards = match queue {
        "" => server.shards().collect(),
        queue => vec![server.shard_of(queue)],
    };
    let mut found: Vec<(String, String, Vec<Value>)> = Vec::new();
    for shard in shards {
        let mut after = (String::new(), String::new());
        loop {
            let (after_queue, after_name) = (&*after.0, &*after.1);
            let schedules = Schedules::List { queue, after_queue, after_name };
            let mut request = Request { schedules, ..Request::default() };
            let before = found.len();
            server
                .call(shard, &mut request, |reply| found.extend(reply.schedules.iter().map(row)))?;
            let Some((queue, name, _)) = found[before..].last() else { break };
            after = (queue.clone(), name.clone());
        }
    }
    found.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    let mut rows = Rows::new(&[
        "queue",
        "schedule",
        "expression",
        "zone",
        "missed",
        "paused",
        "next_ms",
        "last_planned_ms",
        "last_job",
        "fired",
        "skipped",
    ]);
    found.into_iter().for_each(|(_, _, row)| rows.push(row));
    rows.print(args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

/// Queue and name, and a row of the list.
fn row(schedule: &ScheduleDetails<'_>) -> (String, String, Vec<Value>) {
    let ScheduleDetails { queue, name, definition: of, .. } = *schedule;
    let row = vec![
        queue.into(),
        name.into(),
        of.expression.into(),
        of.zone.into(),
        of.missed.name().into(),
        schedule.paused.into(),
        time(schedule.next),
        time(schedule.last_planned),
        schedule.last_job.map_or(Value::Null, |job| job.to_string().into()),
        schedule.fired.into(),
        schedule.skipped.into(),
    ];
    (queue.to_owned(), name.to_owned(), row)
}

/// In milliseconds since 1970; nothing for 0.
fn time(at: Micros) -> Value {
    if at == Micros(0) { Value::Null } else { at.ms().into() }
}
