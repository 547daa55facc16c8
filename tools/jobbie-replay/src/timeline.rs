//! `timeline`: everything that ever happened to one job, on every shard it was on.

mod kin;
mod pick;

use std::path::Path;

use jobbie_io::runtime::block_on;
use serde_json::Value;

use crate::data_dir::{self, Reading};
use crate::dump::{self, Fields, Show};
use crate::error::{Exit, ReplayError};
use crate::output::{self, Output};
use crate::point::JobName;
use crate::time;
use kin::Kin;
use pick::Picker;

/// Fields that a row of the table has columns for, or that say where in the log an event is.
const NOT_DETAILS: [&str; 11] = [
    "time", "time_us", "shard", "seq", "event", "index", "term", "session", "request", "job", "id",
];

/// What is printed.
pub(crate) struct Options {
    pub(crate) job: JobName,
    /// Contents and not only sizes.
    pub(crate) payloads: bool,
    pub(crate) output: Output,
}

/// Prints the events of a job in the order in which they happened.
pub(crate) fn run(dir: &Path, options: &Options) -> Result<Exit, ReplayError> {
    let (mut logs, mut exit) = (Vec::new(), Exit::Sound);
    let picked = block_on(async {
        for dir in data_dir::logs(dir)? {
            let log = Reading::open(&dir).await?;
            exit = exit.max(if log.is_torn { Exit::Torn } else { Exit::Sound });
            logs.push(log);
        }
        let kin = kin_of(&logs, options.job).await?;
        let mut picked = Vec::new();
        let show = Show { payloads: options.payloads, words: true };
        for log in &logs {
            let mut picker = Picker::new(&kin, log.shard as u16);
            let each =
                |entry: &_| dump::each_event(log, entry, show, |t| picker.take(t)).map(|()| true);
            log.entries(log.first_index(), each).await?;
            picked.append(&mut picker.picked);
        }
        tell_what_is_missing(&logs, &kin);
        Ok::<_, ReplayError>(picked)
    })?;
    let mut lines = picked?;
    if lines.is_empty() {
        return Err(nothing(&logs, options.job));
    }
    let number = |line: &Fields, name: &str| line.get(name).and_then(Value::as_u64);
    lines.sort_by_key(|line| ["time_us", "shard", "seq"].map(|name| number(line, name)));
    if options.output == Output::Table {
        lines.iter_mut().for_each(add_details);
    }
    output::list(&lines, &["time", "shard", "seq", "event", "details"], options.output)?;
    Ok(exit)
}

/// Reads the logs until nothing new turns out to belong to the job: what it is called elsewhere may stand in a log
/// that was read already.
async fn kin_of(logs: &[Reading], job: JobName) -> Result<Kin, ReplayError> {
    let mut kin = Kin::of(job);
    loop {
        let before = kin.len();
        for log in logs {
            let shard = log.shard as u16;
            let each = |entry: &_| {
                dump::groups(log, entry).map(|groups| {
                    kin.take(shard, entry, &groups);
                    true
                })
            };
            log.entries(log.first_index(), each).await?;
        }
        if let (Some(named), Some(found)) = (job.id, kin.id_of(job))
            && named != found
        {
            return Err(ReplayError::Nothing(format!(
                "{named} never was: job {} of shard {} is {found}",
                job.seq, job.shard
            )));
        }
        if kin.len() == before {
            return Ok(kin);
        }
    }
}

fn tell_what_is_missing(logs: &[Reading], kin: &Kin) {
    for log in logs.iter().filter(|log| log.first_index() > 0) {
        let (dir, first) = (log.dir().display(), log.first_index());
        eprintln!(
            "{dir}: the log begins at entry {first}, after a snapshot: what was before is not told"
        );
    }
    for shard in kin.shards().filter(|shard| logs.iter().all(|log| log.shard != u32::from(*shard)))
    {
        eprintln!("the job was on shard {shard} too, whose log is not here");
    }
}

fn nothing(logs: &[Reading], job: JobName) -> ReplayError {
    let begins =
        logs.iter().filter(|log| log.shard == u32::from(job.shard)).map(Reading::first_index);
    ReplayError::Nothing(match begins.max() {
        None => format!("{job} is on shard {}, whose log is not here", job.shard),
        Some(0) => format!("{job}: no event of the log is about it"),
        Some(first) => {
            format!("{job}: no event of the log, which begins at entry {first}, is about it")
        }
    })
}

fn add_details(line: &mut Fields) {
    let is_detail = |(name, value): &(&String, &Value)| {
        let is_said = !value.is_null() && *value != "" && !(name.ends_with("_us") && *value == 0);
        is_said && !NOT_DETAILS.contains(&name.as_str())
    };
    let details: Vec<String> = line.iter().filter(is_detail).map(output::detail).collect();
    line.insert("details".into(), details.join(" ").into());
}

/// A line with its time as people write it, and nothing that is not said.
fn readable(line: Fields) -> Fields {
    let us = line.get("time_us").and_then(Value::as_u64).unwrap_or_default();
    let mut readable = Fields::from_iter([("time".to_owned(), time::text(us).into())]);
    readable.extend(line.into_iter().filter(|(_, value)| !value.is_null()));
    readable
}
