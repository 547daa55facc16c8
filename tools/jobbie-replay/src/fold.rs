//! `state`: what the log adds up to.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use jobbie_core::State;
use jobbie_io::runtime::block_on;
use jobbie_log::{Entry, EntryKind};
use jobbie_proto::event::codec;
use jobbie_proto::reply::{JOB_STATES, JobState};
use jobbie_proto::{Micros, ShardId};
use serde_json::{Map, Value, json};

use crate::data_dir::{self, Reading};
use crate::error::{Exit, ReplayError};

/// Where folding begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum From {
    /// At the first entry if the log still has it, otherwise at the newest snapshot.
    Auto,
    /// At the first entry, which must still be there.
    Zero,
    /// At the newest snapshot, which there must be.
    Snapshot,
}

/// Folds every log and prints one JSON object a shard.
pub(crate) fn run(dir: &Path, from: From, until_index: Option<u64>) -> Result<Exit, ReplayError> {
    let logs = data_dir::logs(dir)?;
    let mut exit = Exit::Sound;
    // A log that does not add up is reported as such and not as a panic of this program.
    std::panic::set_hook(Box::new(|_| {}));
    for log in &logs {
        let folding = async {
            let log = Reading::open(log).await?;
            fold(&log, logs.len(), from, until_index.unwrap_or(u64::MAX)).await
        };
        exit = exit.max(block_on(folding)??);
    }
    Ok(exit)
}

async fn fold(log: &Reading, logs: usize, from: From, until: u64) -> Result<Exit, ReplayError> {
    let shards = (logs as u16).max(log.shard as u16 + 1);
    let first = log.first_index();
    let (mut state, snapshot) = if from == From::Zero || from == From::Auto && first == 0 {
        (State::new(ShardId(log.shard as u16), shards), None)
    } else {
        let (state, index) = restore(log, until).await?;
        (state, Some(index))
    };
    let begin = snapshot.map_or(0, |index| index + 1);
    if begin < first {
        let wanted = match from {
            From::Zero => "--from zero needs entry 0",
            _ => "no sound snapshot reaches it",
        };
        return Err(ReplayError::Purged { dir: log.dir().into(), first, wanted });
    }
    let mut last_index = snapshot;
    let absorb = |entry: &Entry| {
        if entry.id.index > until {
            return Ok(false);
        }
        absorb(log.dir(), &mut state, entry)?;
        last_index = Some(entry.id.index);
        Ok(true)
    };
    log.entries(begin, absorb).await?;
    writeln!(std::io::stdout(), "{}", summary(log.shard, snapshot, last_index, &state))?;
    Ok(if log.is_torn { Exit::Torn } else { Exit::Sound })
}

/// The state of the newest sound snapshot, and its last entry.
async fn restore(log: &Reading, until: u64) -> Result<(State, u64), ReplayError> {
    let Some(mut snapshot) = log.snapshot(until).await? else {
        let wanted = "there is no sound snapshot to begin with";
        let (dir, first) = (log.dir().into(), log.first_index());
        return Err(ReplayError::Purged { dir, first, wanted });
    };
    let dir = || log.dir().to_owned();
    let failed = |source| ReplayError::Snapshot { dir: dir(), source: Box::new(source) };
    let chunks = snapshot.parts().await.map_err(failed)?;
    let index = snapshot.meta().last.index;
    let wrong = |reason: String| ReplayError::State { dir: dir(), index, reason };
    let state = State::restore(chunks).map_err(|error| wrong(error.to_string()))?;
    let (said, computed) = (snapshot.meta().state_hash, state.digest());
    if said != computed {
        return Err(wrong(format!("it says its state hash is {said:016x}, it is {computed:016x}")));
    }
    Ok((state, index))
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

fn summary(shard: u32, snapshot: Option<u64>, last_index: Option<u64>, state: &State) -> Value {
    let stats = state.stats();
    let mut totals = [0_u64; JOB_STATES];
    let mut queues = 0_u64;
    for queue in state.queues("", "") {
        queues += 1;
        for (total, count) in totals.iter_mut().zip(queue.jobs) {
            *total += count;
        }
    }
    let jobs: Map<String, Value> =
        JobState::ALL.iter().map(|s| (s.name().to_owned(), totals[*s as usize].into())).collect();
    json!({
        "shard": shard,
        "from_snapshot": snapshot,
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
