//! `state`: what the log adds up to.

use std::io::Write;
use std::path::Path;

use jobbie_core::State;
use jobbie_io::runtime::block_on;
use jobbie_proto::reply::{JOB_STATES, JobState};
use serde_json::{Map, Value, json};

use crate::data_dir::{self, Reading};
use crate::error::{Exit, ReplayError};
use crate::fold::{self, Folded};
use crate::point::Point;

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
    fold::silence_panics();
    for log in &logs {
        let until = until_index.map_or(Point::End, Point::Index);
        let folding = async {
            let log = Reading::open(log).await?;
            one(&log, logs.len() as u16, from, until).await
        };
        exit = exit.max(block_on(folding)??);
    }
    Ok(exit)
}

async fn one(log: &Reading, shards: u16, from: From, until: Point) -> Result<Exit, ReplayError> {
    let first = log.first_index();
    let mut folded = if from == From::Zero || from == From::Auto && first == 0 {
        if first > 0 {
            let (dir, wanted) = (log.dir().into(), "--from zero needs entry 0".to_owned());
            return Err(ReplayError::Purged { dir, first, wanted });
        }
        Folded::empty(log, shards)?
    } else {
        let Some(snapshot) = log.snapshot(|meta| until.covers(meta)).await? else {
            let wanted = "there is no sound snapshot to begin with".to_owned();
            return Err(ReplayError::Purged { dir: log.dir().into(), first, wanted });
        };
        Folded::of(log, snapshot).await?
    };
    folded.go_on(log, until, |_, _| Ok(())).await?;
    writeln!(std::io::stdout(), "{}", summary(log.shard, &folded))?;
    Ok(if log.is_torn { Exit::Torn } else { Exit::Sound })
}

/// Counts of a shard.
pub(crate) fn summary(shard: u32, folded: &Folded) -> Value {
    let Folded { state, snapshot, last } = folded;
    let stats = state.stats();
    let (queues, totals) = totals(state);
    let jobs: Map<String, Value> =
        JobState::ALL.iter().map(|s| (s.name().to_owned(), totals[*s as usize].into())).collect();
    json!({
        "shard": shard,
        "from_snapshot": snapshot,
        "last_index": last,
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

/// How many queues there are, and how many jobs are in each state.
fn totals(state: &State) -> (u64, [u64; JOB_STATES]) {
    let (mut queues, mut totals) = (0, [0_u64; JOB_STATES]);
    for queue in state.queues("", "") {
        queues += 1;
        for (total, count) in totals.iter_mut().zip(queue.jobs) {
            *total += count;
        }
    }
    (queues, totals)
}
