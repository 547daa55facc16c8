//! The commands beside the server itself.

mod agents;
mod controls;
mod history;
mod jobs;
mod limits;
mod moved;
mod observe;
mod operations;
mod plans;
mod queues;
mod rules;
mod schedules;
mod search;
mod seed;
mod stdin;
mod ties;
mod top;
mod usage;

use std::io::Read;

use jobbie_proto::request::QueueAction;

use crate::args::Command;
use crate::call::CallError;
use crate::exit::Exit;
use crate::tools;

/// Runs a command, most of them against a server.
pub(crate) fn run(command: Command) -> Result<Exit, CallError> {
    match command {
        Command::Enqueue(args) => jobs::enqueue(&args),
        Command::Fetch(args) => jobs::fetch(&args),
        Command::Ack(args) => jobs::ack(&args),
        Command::Fail(args) => jobs::fail(&args),
        Command::Inspect(args) => jobs::inspect(&args),
        Command::Cancel(args) => jobs::cancel(&args),
        Command::Delete(args) => jobs::delete(&args),
        Command::Retry(args) => controls::retry(&args),
        Command::Requeue(args) => controls::requeue(&args),
        Command::Hold(args) => controls::hold(&args),
        Command::Approve(args) => controls::approve(&args),
        Command::Reject(args) => controls::reject(&args),
        Command::Move(args) => controls::move_job(&args),
        Command::Prioritize(args) => controls::prioritize(&args),
        Command::Replace(args) => controls::replace(&args),
        Command::Children(args) => ties::children(&args),
        Command::Batch(args) => ties::batch(&args),
        Command::Event(args) => plans::event(&args),
        Command::Events(args) => plans::events(&args),
        Command::Errors(args) => observe::errors(&args),
        Command::Held(args) => observe::held(&args),
        Command::Workers(args) => observe::workers(&args),
        Command::Queues(args) => queues::list(&args),
        Command::Pause(args) => queues::control(&args, QueueAction::Pause),
        Command::Resume(args) => queues::control(&args, QueueAction::Resume),
        Command::Drain(args) => queues::control(&args, QueueAction::Drain),
        Command::Limits(args) => limits::list(&args),
        Command::Limit(args) => limits::change(&args),
        Command::Weigh(args) => limits::weigh(&args),
        Command::Schedules(args) => schedules::list(&args),
        Command::Schedule(command) => schedules::run(&command),
        Command::Clear(args) => operations::clear(&args),
        Command::Destroy(args) => operations::destroy(&args),
        Command::Bulk(args) => operations::bulk(&args),
        Command::Operations(args) => operations::operations(&args),
        Command::Search(args) => search::search(&args),
        Command::Rebuild(args) => search::rebuild(&args),
        Command::Iterations(args) => agents::iterations(&args),
        Command::Replay(args) => agents::replay(&args),
        Command::Usage(args) => usage::usage(&args),
        Command::Cache(command) => usage::cache(&command),
        Command::Seed(command) => seed::seed(&command),
        Command::Budget(command) => rules::budget(&command),
        Command::ApprovalPolicy(command) => rules::policy(&command),
        Command::Status(args) => queues::status(&args),
        Command::Top(args) => top::top(&args),
        Command::Version(args) => tools::version(&args),
        Command::Completions(args) => tools::completions(&args),
        Command::Man(args) => tools::man(&args),
        Command::Server(_) | Command::Http(_) => unreachable!("it is no client"),
    }
}

/// A text, `@file`, or `-` for standard input; `@@` is one `@`.
fn bytes(argument: &str) -> Result<Vec<u8>, CallError> {
    if argument == "-" {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().read_to_end(&mut bytes);
        read.map_err(|source| CallError::Local { what: "read standard input".into(), source })?;
        return Ok(bytes);
    }
    match argument.strip_prefix('@') {
        Some(text) if text.starts_with('@') => Ok(text.into()),
        Some(path) => std::fs::read(path)
            .map_err(|source| CallError::Local { what: format!("read {path}"), source }),
        None => Ok(argument.into()),
    }
}

fn print_failed(source: std::io::Error) -> CallError {
    CallError::Local { what: "print the result".into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_come_from_arguments_and_files() {
        assert_eq!(bytes("{\"a\": 1}").expect("text"), b"{\"a\": 1}");
        assert_eq!(bytes("@@home").expect("text"), b"@home");
        let file = tempfile::NamedTempFile::new().expect("make a file");
        std::fs::write(file.path(), b"\x00\xff").expect("write");
        let path = format!("@{}", file.path().display());
        assert_eq!(bytes(&path).expect("is readable"), b"\x00\xff");
        let error = bytes("@/no/such/file").expect_err("is not there").to_string();
        assert!(error.starts_with("read /no/such/file: "), "{error}");
    }
}
