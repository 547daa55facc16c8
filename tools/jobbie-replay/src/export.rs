//! `export`: jobs or events as lines of JSON, for other programs.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use jobbie_io::runtime::block_on;
use jobbie_proto::reply::JobState;
use serde_json::Value;

use crate::data_dir::{self, Reading};
use crate::dump::{self, Fields, Show};
use crate::error::{Exit, ReplayError};
use crate::fold::{self, Folded};
use crate::point::Point;
use crate::rows::{Rows, numbers};

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum What {
    /// A line for each job that the log tells of, also of those that are over
    Jobs,
    /// A line for each event, as dump prints them
    Events,
}

/// The form of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A JSON object a line
    Jsonl,
    /// Not in this build
    Parquet,
}

/// What of it, and where to.
pub(crate) struct Options {
    pub(crate) what: What,
    pub(crate) queue: Option<String>,
    pub(crate) state: Option<String>,
    /// Jobs made, or events that happened, at this time or later, in microseconds since 1970.
    pub(crate) since: Option<u64>,
    /// The same before this time.
    pub(crate) until: Option<u64>,
    pub(crate) format: Format,
    pub(crate) show: Show,
    /// A file, which is written anew, or `-`.
    pub(crate) out: PathBuf,
}

/// Writes the file.
pub(crate) fn run(dir: &Path, options: &Options) -> Result<Exit, ReplayError> {
    if options.format == Format::Parquet {
        return Err(ReplayError::Usage(
            "this build cannot write Parquet: export with --format jsonl, and let DuckDB, pandas or another reader of \
             JSON lines convert it"
                .into(),
        ));
    }
    if options.what == What::Events && options.state.is_some() {
        return Err(ReplayError::Usage("--state is for jobs: events have none".into()));
    }
    let known = |name: &str| JobState::ALL.iter().any(|state| state.name() == name);
    if let Some(state) = options.state.as_deref().filter(|s| !known(s) && !GONE.contains(s)) {
        let names = JobState::ALL.iter().map(|state| state.name()).chain(GONE);
        let names = names.collect::<Vec<_>>().join(", ");
        return Err(ReplayError::Usage(format!("there is no state {state:?}, but {names}")));
    }
    fold::silence_panics();
    let logs = data_dir::logs(dir)?;
    let is_stdout = options.out == Path::new("-");
    let to_file = |source| ReplayError::Write { path: options.out.clone(), source };
    let mut out: Box<dyn Write> = if is_stdout {
        Box::new(BufWriter::new(std::io::stdout().lock()))
    } else {
        Box::new(BufWriter::new(File::create(&options.out).map_err(to_file)?))
    };
    let (mut lines, mut exit) = (0, Exit::Sound);
    for log in &logs {
        let exporting = async {
            let log = Reading::open(log).await?;
            let shards = logs.len() as u16;
            lines += match options.what {
                What::Jobs => jobs(&log, shards, options, &mut out).await?,
                What::Events => events(&log, shards, options, &mut out).await?,
            };
            Ok::<_, ReplayError>(if log.is_torn { Exit::Torn } else { Exit::Sound })
        };
        exit = exit.max(block_on(exporting)??);
    }
    out.flush().map_err(|e| if is_stdout { e.into() } else { to_file(e) })?;
    eprintln!("{lines} lines");
    Ok(exit)
}

/// What has become of jobs that no state knows any more, beside `completed`.
const GONE: [&str; 2] = ["deleted", "purged"];

fn is_in_time(options: &Options, us: u64) -> bool {
    options.since.is_none_or(|since| us >= since) && options.until.is_none_or(|until| us < until)
}

async fn jobs(
    log: &Reading,
    shards: u16,
    options: &Options,
    out: &mut impl Write,
) -> Result<u64, ReplayError> {
    let mut folded = Folded::oldest(log, shards).await?;
    let mut rows = Rows::new(&folded.state, None);
    let take = |state: &_, entry: &_| rows.take(log, state, entry, options.show);
    folded.go_on(log, Point::End, take).await?;
    rows.settle(&folded.state);
    let text = |row: &Fields, name: &str| row.get(name).and_then(|v| v.as_str().map(str::to_owned));
    let mut lines = 0;
    for row in rows.into_lines() {
        let created = row.get("created_us").and_then(Value::as_u64).unwrap_or_default();
        let is_wanted = options.queue.is_none() || options.queue == text(&row, "queue");
        let is_wanted =
            is_wanted && (options.state.is_none() || options.state == text(&row, "state"));
        if is_wanted && is_in_time(options, created) {
            writeln!(out, "{}", Value::Object(row))?;
            lines += 1;
        }
    }
    Ok(lines)
}

async fn events(
    log: &Reading,
    shards: u16,
    options: &Options,
    out: &mut impl Write,
) -> Result<u64, ReplayError> {
    let mut lines = 0;
    let Some(queue) = &options.queue else {
        let each = |entry: &_| {
            lines += write_events(log, entry, options, out, |_| true)?;
            Ok(true)
        };
        log.entries(log.first_index(), each).await?;
        return Ok(lines);
    };
    // Most events name their job alone, so that the jobs have to be followed.
    let mut folded = Folded::oldest(log, shards).await?;
    let mut rows = Rows::new(&folded.state, None);
    let each = |state: &_, entry: &_| {
        rows.take(log, state, entry, Show::default())?;
        let is_of = |job: u64| {
            rows.get(job).is_some_and(|row| row.get("queue") == Some(&queue.as_str().into()))
        };
        let is_wanted = |line: &Fields| {
            let names_it = line.get("queue") == Some(&queue.as_str().into());
            let jobs = ["job", "jobs", "held"].into_iter().filter_map(|name| line.get(name));
            names_it || jobs.flat_map(numbers).any(is_of)
        };
        lines += write_events(log, entry, options, out, is_wanted)?;
        Ok(())
    };
    folded.go_on(log, Point::End, each).await?;
    Ok(lines)
}

fn write_events(
    log: &Reading,
    entry: &jobbie_log::Entry,
    options: &Options,
    out: &mut impl Write,
    is_wanted: impl Fn(&Fields) -> bool,
) -> Result<u64, ReplayError> {
    if !is_in_time(options, entry.time_us) {
        return Ok(0);
    }
    let (mut lines, mut done) = (0, Ok(()));
    dump::each_event(log, entry, options.show, |told| {
        if done.is_ok() && is_wanted(&told.fields) {
            done = writeln!(out, "{}", Value::Object(told.line()));
            lines += 1;
        }
    })?;
    done?;
    Ok(lines)
}
