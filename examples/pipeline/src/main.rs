//! How often each word is in the files below a folder: every file goes through a chain of three jobs (read, tokenise, count), in
//! batches whose callbacks merge the counts. Any worker, and the server, may be killed at any time and started again.

mod check;
mod files;
mod produce;
mod work;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use jobbie_client::{Client, Config};

/// The steps of a file, and the callback of a batch of files.
const READ: &str = "pipeline.read";
const TOKENISE: &str = "pipeline.tokenise";
const COUNT: &str = "pipeline.count";
const MERGE: &str = "pipeline.merge";

#[derive(Parser)]
#[command(name = "pipeline", about = "How often each word is in the files below a folder")]
struct Cli {
    /// Address of the server
    #[arg(long, default_value = "127.0.0.1:7400", env = "JOBBIE_ADDR", global = true)]
    addr: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a chain for each file below a folder, and print how many batches they are
    Produce {
        /// The folder
        dir: PathBuf,
        /// Where results go
        out: PathBuf,
        /// Files of one batch
        #[arg(long, default_value_t = 200)]
        batch: usize,
        /// Files that are tokenised in a second at most
        #[arg(long, default_value_t = 2000)]
        rate: u32,
    },
    /// Do the steps until told to stop
    Work {
        /// Jobs at once
        #[arg(long, default_value_t = 4)]
        concurrency: u32,
    },
    /// Wait for the merged counts of so many batches and compare them with those of the files
    Check {
        /// The folder
        dir: PathBuf,
        /// Where results are
        out: PathBuf,
        /// How many batches there are
        batches: usize,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if let Command::Check { dir, out, batches } = &cli.command {
        return check::run(dir, out, *batches).await;
    }
    // A server that is killed and started again is met by waiting, not by giving up.
    let config = Config { deadline_ms: 120_000, ..Config::new(cli.addr) };
    let client = Client::connect(config).await?;
    match cli.command {
        Command::Produce { dir, out, batch, rate } => {
            produce::run(&client, &dir, &out, batch, rate).await?;
        }
        Command::Work { concurrency } => work::run(&client, concurrency).await?,
        Command::Check { .. } => unreachable!("it asks no server"),
    }
    client.close().await;
    Ok(())
}
