//! `at`: a queue, a job or the counts at a point of the past.

use std::path::Path;

use jobbie_core::State;
use jobbie_io::runtime::block_on;
use jobbie_proto::placement;
use serde_json::Value;

use crate::data_dir::{self, Reading};
use crate::dump::{self, Fields, Show};
use crate::error::{Exit, ReplayError};
use crate::fold::{self, Folded};
use crate::output::{self, Output};
use crate::point::{JobName, Point};
use crate::rows::Rows;
use crate::state;
use crate::time;
use crate::views;

/// What is asked.
pub(crate) struct Question {
    pub(crate) point: Point,
    /// Only this shard.
    pub(crate) shard: Option<u16>,
    pub(crate) queue: Option<String>,
    pub(crate) job: Option<JobName>,
    pub(crate) show: Show,
    pub(crate) output: Output,
}

/// Prints what was so at the point.
pub(crate) fn run(dir: &Path, question: &Question) -> Result<Exit, ReplayError> {
    fold::silence_panics();
    let logs = data_dir::logs(dir)?;
    let shards = logs.len() as u16;
    let of_queue = question.queue.as_ref().map(|queue| placement::shard_of(queue, shards).0);
    let shard = question.shard.or(question.job.map(|job| job.shard));
    // Of a lone log, the shard is whatever it is.
    let shard = shard.or(of_queue.filter(|_| shards > 1));
    if matches!(question.point, Point::Index(_)) && shard.is_none() && shards > 1 {
        return Err(ReplayError::Usage(format!(
            "each of the {shards} shards counts its entries by itself: say which one by --shard, or give --time"
        )));
    }
    let (mut rows, mut exit) = (Vec::new(), Exit::Sound);
    for log in &logs {
        let reading = async {
            let log = Reading::open(log).await?;
            if shard.is_some_and(|shard| u32::from(shard) != log.shard) {
                return Ok(None);
            }
            let answered = answer(&log, shards, question).await?;
            Ok::<_, ReplayError>(Some((answered, log.is_torn)))
        };
        if let Some((answered, is_torn)) = block_on(reading)?? {
            rows.push(answered);
            exit = exit.max(if is_torn { Exit::Torn } else { Exit::Sound });
        }
    }
    if rows.is_empty() {
        let shard = shard.unwrap_or_default();
        return Err(ReplayError::Nothing(format!("{} has no shard {shard}", dir.display())));
    }
    if question.queue.is_some() || question.job.is_some() || shard.is_some() || rows.len() == 1 {
        output::one(&rows[0], question.output)?;
    } else {
        let columns = ["shard", "time", "last_index", "queues", "sessions", "leases", "jobs"];
        output::list(&rows, &columns, question.output)?;
    }
    Ok(exit)
}

async fn answer(log: &Reading, shards: u16, question: &Question) -> Result<Fields, ReplayError> {
    if let Some(job) = question.job {
        return job_at(log, shards, question, job).await;
    }
    let folded = Folded::at(log, shards, question.point).await?;
    let Some(queue) = &question.queue else {
        let summary = dump::fields(state::summary(log.shard, &folded));
        return Ok(with_place(&folded.state, log.shard, summary));
    };
    let stats = folded.state.queue_stats(queue).ok_or_else(|| {
        ReplayError::Nothing(format!("there was no queue {queue:?} at that point"))
    })?;
    let mut line = views::queue(&stats);
    line.insert("last_index".into(), folded.last.map_or(Value::Null, Value::from));
    Ok(with_place(&folded.state, log.shard, line))
}

fn with_place(state: &State, shard: u32, line: Fields) -> Fields {
    let time = Some(state.time().0).filter(|us| *us > 0).map(time::text);
    let place = dump::fields(serde_json::json!({ "shard": shard, "time": time }));
    let line = line.into_iter().filter(|(name, _)| name != "time_us");
    place.into_iter().chain(line).collect()
}

/// A job, of which the state may know nothing any more: what the log says of it is told then.
async fn job_at(
    log: &Reading,
    shards: u16,
    question: &Question,
    job: JobName,
) -> Result<Fields, ReplayError> {
    let Folded { state, last, .. } = Folded::at(log, shards, question.point).await?;
    let id = match job.id {
        Some(id) => Some(id),
        None => state.jobs().find(|id| job.is(*id)),
    };
    let found = id.and_then(|id| state.job(id).ok());
    let mut line = match found {
        Some(view) => {
            let mut line = views::job(&view);
            let record = if view.payload.0 > 0 { view.payload } else { view.record };
            for (event, names) in [
                (view.record.0, &["tags", "key"][..]),
                (record.0, &["payload"]),
                (view.last_error.0, &["error"]),
                (view.hold.0, &["hold_reason"]),
            ] {
                let said = told(log, event, question.show).await?;
                for name in names {
                    let of =
                        said.get(*name).or_else(|| said.get("reason")).filter(|v| !v.is_null());
                    line.insert((*name).to_owned(), of.cloned().unwrap_or_default());
                }
            }
            line
        }
        None => ended(log, shards, question, job).await?,
    };
    line.insert("last_index".into(), last.map_or(Value::Null, Value::from));
    Ok(with_place(&state, log.shard, line))
}

/// The fields of one event, if the log still has it.
async fn told(log: &Reading, event: u64, show: Show) -> Result<Fields, ReplayError> {
    let mut found = Fields::new();
    if event > 0
        && let Some(entry) = log.entry_of(event).await
    {
        dump::each_event(log, &entry, show, |told| {
            if told.seq == event {
                found = told.fields;
            }
        })?;
    }
    Ok(found)
}

/// The last that the log says of a job that was over at the point.
async fn ended(
    log: &Reading,
    shards: u16,
    question: &Question,
    job: JobName,
) -> Result<Fields, ReplayError> {
    let mut folded = Folded::oldest(log, shards).await?;
    let mut rows = Rows::new(&folded.state, Some(job));
    folded
        .go_on(log, question.point, |state, entry| rows.take(log, state, entry, question.show))
        .await?;
    let name = |line: &Fields| line.get("job").and_then(|id| id.as_str()?.parse().ok());
    let found = rows.into_lines().find(|line| name(line).is_some_and(|id| job.is(id)));
    found.ok_or_else(|| {
        ReplayError::Nothing(format!(
            "{job} was not there at that point: it is not made yet, or was over before the log begins"
        ))
    })
}
