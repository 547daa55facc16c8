//! `state`: what the log adds up to.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use jobbie_core::State;
use jobbie_log::{Entry, EntryKind};
use jobbie_proto::event::codec;
use jobbie_proto::reply::JobState;
use jobbie_proto::{Micros, ShardId};
use serde_json::{Map, Value, json};

use crate::data_dir;
use crate::error::{Exit, ReplayError};

/// Folds every log from its beginning and prints one JSON object a shard.
pub(crate) fn run(dir: &Path, until_index: Option<u64>) -> Result<Exit, ReplayError> {
    let logs = data_dir::logs(dir)?;
    let mut exit = Exit::Sound;
    // A log that does not add up is reported as such and not as a panic of this program.
    std::panic::set_hook(Box::new(|_| {}));
    for log in &logs {
        let mut state: Option<State> = None;
        let mut last_index = None;
        let about = data_dir::read(log, |about, entry| {
            if until_index.is_some_and(|until| entry.id.index > until) {
                return Ok(false);
            }
            let shards = (logs.len() as u16).max(about.shard as u16 + 1);
            let state =
                state.get_or_insert_with(|| State::new(ShardId(about.shard as u16), shards));
            absorb(log, state, entry)?;
            last_index = Some(entry.id.index);
            Ok(true)
        })?;
        let state = state.unwrap_or_else(|| State::new(ShardId(0), 1));
        writeln!(std::io::stdout(), "{}", summary(about.shard, last_index, &state))?;
        if about.is_torn {
            exit = exit.max(Exit::Torn);
        }
    }
    Ok(exit)
}

fn absorb(log: &Path, state: &mut State, entry: &Entry) -> Result<(), ReplayError> {
    if entry.kind != EntryKind::Batch {
        return Ok(());
    }
    let wrong =
        |reason: String| ReplayError::Body { dir: log.into(), index: entry.id.index, reason };
    let (groups, _) = codec::decode(entry.body.bytes()).map_err(|e| wrong(e.to_string()))?;
    if state.next_event().0 != entry.first_event {
        let expected = state.next_event();
        return Err(wrong(format!(
            "it begins with event {}, expected {expected}",
            entry.first_event
        )));
    }
    let absorbed = catch_unwind(AssertUnwindSafe(|| {
        for group in &groups {
            state.absorb(Micros(entry.time_us), group);
        }
    }));
    absorbed.map_err(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        wrong(format!(
            "its events do not follow from what came before: {}",
            said.unwrap_or_default()
        ))
    })
}

fn summary(shard: u32, last_index: Option<u64>, state: &State) -> Value {
    let stats = state.stats();
    let mut totals = [0_u64; 8];
    let mut queues = 0_u64;
    for queue in state.queues("", "") {
        queues += 1;
        for (total, count) in totals.iter_mut().zip(queue.jobs) {
            *total += count;
        }
    }
    let states = [
        JobState::Pending,
        JobState::Scheduled,
        JobState::Active,
        JobState::Retrying,
        JobState::Held,
        JobState::Completed,
        JobState::Dead,
        JobState::Cancelled,
    ];
    let jobs: Map<String, Value> =
        states.iter().map(|s| (s.name().to_owned(), totals[*s as usize].into())).collect();
    json!({
        "shard": shard,
        "last_index": last_index,
        "last_event": stats.last_event.0,
        "last_job": stats.last_job.0,
        "time_us": stats.time.0,
        "queues": queues,
        "sessions": stats.sessions,
        "leases": stats.leases,
        "jobs": jobs,
        "state_hash": format!("{:016x}", stats.state_hash),
    })
}
