//! What limits queues.

use jobbie_proto::Request;
use jobbie_proto::event::{QueueSettings, Sharing};
use jobbie_proto::reply::{JobState, QueueStats};
use jobbie_proto::request::{QueueAction, Stats};
use serde_json::Value;

use super::{print_failed, queues};
use crate::args::{Fair, LimitArgs, Output, QueuesArgs, WeighArgs};
use crate::call::{CallError, Server};
use crate::exit::Exit;
use crate::output::Rows;

pub(super) fn list(args: &QueuesArgs) -> Result<Exit, CallError> {
    show(&queues::found(args)?, args.client.output)
}

/// Reads what holds now, changes what is named, and shows what holds then.
pub(super) fn change(args: &LimitArgs) -> Result<Exit, CallError> {
    let mut server = Server::connect(&args.client, None)?;
    let mut queue = QueueStats { queue: args.queue.clone(), ..QueueStats::default() };
    let mut request = Request { stats: Stats::Queue(&args.queue), ..Request::default() };
    let shard = server.shard_of(&args.queue);
    server.call(shard, &mut request, |reply| {
        if let Some(found) = reply.queue_stats.first() {
            queue = found.clone();
        }
    })?;
    let old = queue.settings;
    queue.settings = QueueSettings {
        concurrency: args.concurrency.unwrap_or(old.concurrency),
        rate: args.rate.unwrap_or(old.rate),
        window_ms: args.window_ms.unwrap_or(old.window_ms),
        key_concurrency: args.key_concurrency.unwrap_or(old.key_concurrency),
        key_rate: args.key_rate.unwrap_or(old.key_rate),
        key_window_ms: args.key_window_ms.unwrap_or(old.key_window_ms),
        fair: match args.fair {
            None => old.fair,
            Some(Fair::None) => Sharing::None,
            Some(Fair::Jobs) => Sharing::Jobs,
            Some(Fair::WorkerTime) => Sharing::WorkerTime,
        },
    };
    queues::act(&mut server, &args.queue, QueueAction::Configure(queue.settings))?;
    show(&[queue], args.client.output)
}

pub(super) fn weigh(args: &WeighArgs) -> Result<Exit, CallError> {
    let mut server = Server::connect(&args.client, None)?;
    let action = QueueAction::Weigh { key: &args.key, weight: args.weight };
    queues::act(&mut server, &args.queue, action)?;
    let mut rows = Rows::new(&["queue", "key", "weight"]);
    let (queue, key) = (args.queue.as_str().into(), args.key.as_str().into());
    rows.push(vec![queue, key, args.weight.into()]);
    rows.print_one(args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

fn show(queues: &[QueueStats], output: Output) -> Result<Exit, CallError> {
    let mut rows = Rows::new(&[
        "queue",
        "active",
        "concurrency",
        "rate",
        "window_ms",
        "keys",
        "key_concurrency",
        "key_rate",
        "key_window_ms",
        "fair",
        "draining",
    ]);
    let limit = |n: u32| if n == 0 { Value::Null } else { n.into() };
    for QueueStats { queue, jobs, settings, keys, draining, .. } in queues {
        rows.push(vec![
            queue.as_str().into(),
            jobs[JobState::Active as usize].into(),
            limit(settings.concurrency),
            limit(settings.rate),
            limit(settings.window_ms),
            (*keys).into(),
            limit(settings.key_concurrency),
            limit(settings.key_rate),
            limit(settings.key_window_ms),
            match settings.fair {
                Sharing::None => "none",
                Sharing::Jobs => "jobs",
                Sharing::WorkerTime => "worker-time",
            }
            .into(),
            (*draining).into(),
        ]);
    }
    rows.print(output).map_err(print_failed)?;
    Ok(Exit::Done)
}
