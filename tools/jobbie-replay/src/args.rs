//! The command line as plain data.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::export::{Format, What};
use crate::output::Output;
use crate::point::{JobName, Point};
use crate::state::From;
use crate::time;

#[derive(Parser)]
#[command(
    name = "jobbie-replay",
    version,
    about = "Reads the data directory of a server, stopped or at work, and never changes a byte of it",
    after_help = "Exit codes: 0 sound; 1 a torn tail, which the server cuts when it starts: nothing in it was \
                  acknowledged; 2 damage; 3 cannot be read, or does not reach back that far; 4 no such job, queue or \
                  point; 64 wrong flag. While a server runs, what it writes after the command has begun is not told."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Check every record; prints one JSON object a shard
    Verify {
        /// Data directory, or one shard's log
        dir: PathBuf,
    },
    /// Print every event as a line of JSON
    Dump {
        /// Data directory, or one shard's log
        dir: PathBuf,
        /// Only events of this job, by its sequence number
        #[arg(long)]
        job: Option<u64>,
        /// Print payloads, results and errors, not only their sizes
        #[arg(long)]
        payloads: bool,
    },
    /// Print counts and the state's hash after folding the log, from its beginning or from a snapshot
    State {
        /// Data directory, or one shard's log
        dir: PathBuf,
        /// Where to begin
        #[arg(long, value_enum, default_value = "auto")]
        from: From,
        /// Fold no further than this index
        #[arg(long)]
        until_index: Option<u64>,
    },
    /// Print everything that ever happened to one job, on every shard it was on
    Timeline {
        /// Data directory, or one shard's log
        dir: PathBuf,
        /// Job id, or SHARD:NUMBER
        job: JobName,
        /// Print payloads and results, not only their sizes
        #[arg(long)]
        payloads: bool,
        /// How the result is printed
        #[arg(long, value_enum, default_value = "table")]
        output: Output,
    },
    /// Print a queue, a job or the counts of shards as they were at a point of the past
    At {
        /// Data directory, or one shard's log
        dir: PathBuf,
        /// After this entry, which each shard counts by itself
        #[arg(long, value_name = "N", required_unless_present = "time", conflicts_with = "time")]
        index: Option<u64>,
        /// At this time: RFC 3339, or microseconds since 1970
        #[arg(long, value_name = "T", value_parser = time::parse)]
        time: Option<u64>,
        /// Only this shard
        #[arg(long, value_name = "K")]
        shard: Option<u16>,
        /// This queue
        #[arg(long, value_name = "Q", conflicts_with = "job")]
        queue: Option<String>,
        /// This job: its id, or SHARD:NUMBER
        #[arg(long)]
        job: Option<JobName>,
        /// Print payloads and results, not only their sizes
        #[arg(long)]
        payloads: bool,
        /// How the result is printed
        #[arg(long, value_enum, default_value = "table")]
        output: Output,
    },
    /// Print which queues and jobs changed between two points: begin, end, index:N or time:T
    Diff {
        /// Data directory, or one shard's log
        dir: PathBuf,
        /// The first point
        #[arg(value_name = "A")]
        from: Point,
        /// The second point
        #[arg(value_name = "B")]
        to: Point,
        /// Only this shard
        #[arg(long, value_name = "K")]
        shard: Option<u16>,
        /// Jobs listed at most; the counts are always of all
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
        /// How the result is printed
        #[arg(long, value_enum, default_value = "table")]
        output: Output,
    },
    /// Make the read model, an SQLite file, as the server makes it
    Project {
        /// Data directory
        dir: PathBuf,
        /// The file, which must not be there yet
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// How long completed jobs are kept, in milliseconds of log time: the server's --retention
        #[arg(long, default_value_t = jobbie_proto::limits::RETENTION_MS, value_name = "MS")]
        retention_ms: u64,
    },
    /// Print every row of a read model, to compare two
    Rows {
        /// An SQLite file that `project` or a server has made
        file: PathBuf,
    },
    /// Write jobs or events as lines of JSON, for other programs
    Export {
        /// Data directory, or one shard's log
        dir: PathBuf,
        /// What
        #[arg(long, value_enum)]
        what: What,
        /// Only jobs of this queue, or events that name it or a job of it
        #[arg(long, value_name = "Q")]
        queue: Option<String>,
        /// Only jobs in this state; beside those of the server also completed, deleted, purged
        #[arg(long, value_name = "S")]
        state: Option<String>,
        /// Jobs made, or events that happened, at this time or later: RFC 3339, or microseconds since 1970
        #[arg(long, value_name = "T", value_parser = time::parse)]
        since: Option<u64>,
        /// The same before this time
        #[arg(long, value_name = "T", value_parser = time::parse)]
        until: Option<u64>,
        /// Form of the file
        #[arg(long, value_enum, default_value = "jsonl")]
        format: Format,
        /// Write payloads, results and errors, not only their sizes
        #[arg(long)]
        payloads: bool,
        /// File, which is written anew, or `-` for standard output
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}
