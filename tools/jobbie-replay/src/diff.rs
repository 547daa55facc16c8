//! `diff`: what changed between two points.

mod jobs;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use jobbie_core::State;
use jobbie_io::runtime::block_on;
use serde_json::{Value, json};

use crate::data_dir::{self, Reading};
use crate::dump::{self, Fields};
use crate::error::{Exit, ReplayError};
use crate::fold::{self, Folded};
use crate::output::{self, Output};
use crate::point::Point;
use crate::{time, views};
use jobs::Watch;

/// What is compared, and how it is printed.
pub(crate) struct Options {
    pub(crate) from: Point,
    pub(crate) to: Point,
    /// Only this shard.
    pub(crate) shard: Option<u16>,
    /// Jobs listed at most.
    pub(crate) limit: usize,
    pub(crate) output: Output,
}

/// What changed, of all shards that were asked for.
#[derive(Default)]
struct Diff {
    /// Where each shard was compared.
    shards: Vec<Fields>,
    queues: Vec<Fields>,
    jobs: Vec<Fields>,
    counts: jobs::Counts,
}

/// Prints what changed.
pub(crate) fn run(dir: &Path, options: &Options) -> Result<Exit, ReplayError> {
    fold::silence_panics();
    let logs = data_dir::logs(dir)?;
    let by_index = [options.from, options.to].iter().any(|p| matches!(p, Point::Index(_)));
    if by_index && options.shard.is_none() && logs.len() > 1 {
        return Err(ReplayError::Usage(format!(
            "each of the {} shards counts its entries by itself: say which one by --shard, or name points by time",
            logs.len()
        )));
    }
    let (mut diff, mut exit) = (Diff::default(), Exit::Sound);
    for log in &logs {
        let comparing = async {
            let log = Reading::open(log).await?;
            if options.shard.is_none_or(|shard| u32::from(shard) == log.shard) {
                one(&log, logs.len() as u16, options, &mut diff).await?;
            }
            Ok::<_, ReplayError>(if log.is_torn { Exit::Torn } else { Exit::Sound })
        };
        exit = exit.max(block_on(comparing)??);
    }
    if diff.shards.is_empty() {
        let shard = options.shard.unwrap_or_default();
        return Err(ReplayError::Nothing(format!("{} has no shard {shard}", dir.display())));
    }
    print(&diff, options.output)?;
    Ok(exit)
}

async fn one(
    log: &Reading,
    shards: u16,
    options: &Options,
    diff: &mut Diff,
) -> Result<(), ReplayError> {
    let mut folded = Folded::at(log, shards, options.from).await?;
    let (first, from_time) = (folded.last, folded.state.time());
    let before = queues(&folded.state);
    let mut watch = Watch::new(&folded.state);
    folded.go_on(log, options.to, |_, entry| watch.take(log, entry)).await?;
    if let Point::Index(index) = options.to
        && (index >= log.end_index() || first > Some(index))
    {
        let dir = log.dir().display();
        return Err(ReplayError::Usage(format!(
            "{dir}: index:{index} is no point behind the first: the log ends before entry {}",
            log.end_index()
        )));
    }
    if let Point::Time(us) = options.to
        && from_time.0 > us
    {
        return Err(ReplayError::Usage(
            "the second point is before the first: give the earlier one first".into(),
        ));
    }
    diff.queues.append(&mut changed(log.shard, &before, &queues(&folded.state)));
    watch.finish(log.shard, &folded.state, options.limit, &mut diff.counts, &mut diff.jobs);
    let text = |us: u64| if us == 0 { Value::Null } else { time::text(us).into() };
    diff.shards.push(dump::fields(json!({
        "shard": log.shard,
        "from_index": first, "from_time": text(from_time.0),
        "to_index": folded.last, "to_time": text(folded.state.time().0),
    })));
    Ok(())
}

fn queues(state: &State) -> BTreeMap<String, Fields> {
    state.queues("", "").map(|queue| (queue.queue.clone(), views::queue(&queue))).collect()
}

/// A line for each field of a queue that changed. Of one that was not there, those that are not as in any new queue.
fn changed(
    shard: u32,
    before: &BTreeMap<String, Fields>,
    after: &BTreeMap<String, Fields>,
) -> Vec<Fields> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let nothing = Fields::new();
    let mut lines = Vec::new();
    for name in names {
        let [was, is] = [before, after].map(|queues| queues.get(name).unwrap_or(&nothing));
        let mut push = |field: &str, was: &Value, is: &Value| {
            lines.push(dump::fields(json!({
                "shard": shard, "queue": name, "field": field, "before": was, "after": is,
            })));
        };
        if was.is_empty() != is.is_empty() {
            push("exists", &(!was.is_empty()).into(), &(!is.is_empty()).into());
        }
        let fields = if is.is_empty() { was.keys() } else { is.keys() };
        for field in fields.filter(|field| *field != "queue") {
            let [was, is] = [was, is].map(|queue| queue.get(field).unwrap_or(&Value::Null));
            let is_new = |value: &Value| {
                value.is_null() || *value == 0 || *value == false || *value == "none"
            };
            if was != is && !(is_new(was) && is_new(is)) {
                push(field, was, is);
            }
        }
    }
    lines
}

fn print(diff: &Diff, output: Output) -> Result<(), ReplayError> {
    let Diff { shards, queues, jobs, counts } = diff;
    match output {
        Output::Json => {
            let whole = json!({
                "shards": shards, "queues": queues, "jobs": counts.line(), "listed": jobs,
            });
            output::one(&dump::fields(whole), Output::Json)?;
        }
        Output::Jsonl => {
            let counts = [counts.line()];
            for (kind, lines) in
                [("shard", &shards[..]), ("queue", queues), ("jobs", &counts), ("job", jobs)]
            {
                let with_kind = |line: &Fields| {
                    let kind = Fields::from_iter([("kind".to_owned(), kind.into())]);
                    kind.into_iter().chain(line.clone()).collect()
                };
                let lines: Vec<Fields> = lines.iter().map(with_kind).collect();
                output::list(&lines, &[], Output::Jsonl)?;
            }
        }
        Output::Table => {
            let places = ["shard", "from_index", "from_time", "to_index", "to_time"];
            output::list(shards, &places, output)?;
            section("Queues", queues, &["shard", "queue", "field", "before", "after"])?;
            section("Jobs", &[counts.line()], &["came", "ended", "changed"])?;
            if !jobs.is_empty() {
                section("Of these", jobs, &["job", "queue", "change", "before", "after"])?;
            }
        }
    }
    Ok(())
}

fn section(title: &str, lines: &[Fields], columns: &[&str]) -> std::io::Result<()> {
    let none = if lines.is_empty() { ": no change" } else { "" };
    writeln!(std::io::stdout(), "\n{title}{none}")?;
    if lines.is_empty() { Ok(()) } else { output::list(lines, columns, Output::Table) }
}
