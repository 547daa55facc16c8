//! The SHA-256 of every file below a folder, as jobs: a producer makes one job a file, any number of workers hash them, a
//! collector prints what `sha256sum` would. Any of them, and the server, may be killed at any time and started again.

mod collect;
mod produce;
mod work;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use jobbie_client::{Client, Config};

/// Jobs: the path of a file.
const FILES: &str = "checksums.files";
/// Results: a line as `sha256sum` prints it.
const RESULTS: &str = "checksums.results";

#[derive(Parser)]
#[command(name = "checksums", about = "The SHA-256 of every file below a folder, as jobs")]
struct Cli {
    /// Address of the server
    #[arg(long, default_value = "127.0.0.1:7400", env = "JOBBIE_ADDR", global = true)]
    addr: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a job for each file below a folder and print how many there are
    Produce {
        /// The folder
        dir: PathBuf,
    },
    /// Hash files until told to stop
    Work {
        /// Files at once
        #[arg(long, default_value_t = 4)]
        concurrency: u32,
    },
    /// Print results until there are so many
    Collect {
        /// How many files there are
        count: usize,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    // A server that is killed and started again is met by waiting, not by giving up.
    let config = Config { deadline_ms: 120_000, ..Config::new(cli.addr) };
    let client = Client::connect(config).await?;
    match cli.command {
        Command::Produce { dir } => produce::run(&client, &dir).await?,
        Command::Work { concurrency } => work::run(&client, concurrency).await?,
        Command::Collect { count } => collect::run(&client, count).await?,
    }
    client.close().await;
    Ok(())
}
