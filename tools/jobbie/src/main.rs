//! The job server and its command line.

/// Batches are many small allocations of one thread each.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod args;
mod call;
mod commands;
mod exit;
mod http;
mod output;
mod server;
mod shim;
mod style;
mod tools;

use std::process::ExitCode;

use args::{Cli, Command, UsageError};
use exit::Exit;

fn main() -> ExitCode {
    let cli = match args::parse(std::env::args_os().collect()) {
        Ok(cli) => cli,
        // clap prints help to stdout and errors to stderr, and knows their exit codes (0 and 2).
        Err(UsageError::Flags(e)) => e.exit(),
        Err(e) => {
            eprintln!("{} {e}", style::error());
            return Exit::Usage.into();
        }
    };
    run(cli).into()
}

fn run(cli: Cli) -> Exit {
    match cli.command {
        Command::Server(args) => server::run(&args),
        Command::Http(args) => shim::run(&args),
        command => match commands::run(command) {
            Ok(exit) => exit,
            Err(e) if e.is_nobody_reading() => Exit::Done,
            Err(e) => {
                eprintln!("{} {e}", style::error());
                e.exit()
            }
        },
    }
}
