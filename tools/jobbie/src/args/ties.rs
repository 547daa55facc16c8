//! Flags of batches, chains and dependencies.

use clap::{Args, Subcommand};
use jobbie_proto::{BatchId, JobId};

use super::{ClientArgs, queue_name};

/// A job that others make: its queue and its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) queue: String,
    pub(crate) payload: String,
}

/// What ties a new job to others.
#[derive(Debug, Args)]
pub(crate) struct TieArgs {
    /// Batch that the job is a member of, as `batch open` printed it
    #[arg(long, value_name = "BATCH")]
    pub(crate) batch: Option<BatchId>,
    /// Wait until this job is completed; may be given many times
    #[arg(long, value_name = "JOB")]
    pub(crate) after: Vec<JobId>,
    /// The job that this one is for; `children` lists it there
    #[arg(long, value_name = "JOB")]
    pub(crate) parent: Option<JobId>,
    /// When the job is completed, enqueue another in this queue, which gets its result; given again, the step after that.
    /// A payload is a JSON object: `resize={"width":100}`
    #[arg(long, value_name = "QUEUE[=PAYLOAD]", value_parser = step)]
    pub(crate) next: Vec<Step>,
    /// When the job or a step after it dies, enqueue a job in this queue
    #[arg(long, value_name = "QUEUE[=PAYLOAD]", value_parser = step)]
    pub(crate) on_failure: Option<Step>,
    /// When the last step is completed, enqueue a job in this queue
    #[arg(long, value_name = "QUEUE[=PAYLOAD]", value_parser = step)]
    pub(crate) on_exit: Option<Step>,
}

#[derive(Debug, Args)]
pub(crate) struct BatchArgs {
    #[command(subcommand)]
    pub(crate) verb: BatchVerb,
}

/// What is done with batches.
#[derive(Debug, Subcommand)]
pub(crate) enum BatchVerb {
    /// Open a batch and print its id; enqueue its members with --batch
    Open(OpenArgs),
    /// Say how many members a batch has: when so many have ended it is over
    Seal(SealArgs),
    /// Show how far a batch is
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct OpenArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Queue of a job that is enqueued when the batch is over; with a payload, `merge={"into":"x"}`
    #[arg(long, value_name = "QUEUE[=PAYLOAD]", value_parser = step)]
    pub(crate) callback: Option<Step>,
}

#[derive(Debug, Args)]
pub(crate) struct SealArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Batch id
    pub(crate) batch: BatchId,
    /// Jobs that were enqueued for it
    pub(crate) total: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Batch id
    pub(crate) batch: BatchId,
}

/// Reads a queue and the payload behind the first `=`.
fn step(text: &str) -> Result<Step, String> {
    let (queue, payload) = text.split_once('=').unwrap_or((text, ""));
    Ok(Step { queue: queue_name(queue)?, payload: payload.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_queue_and_a_payload() {
        let read = |text| step(text).map(|step| (step.queue, step.payload));
        assert_eq!(read("resize"), Ok(("resize".into(), String::new())));
        assert_eq!(read(r#"a={"b":"c=d"}"#), Ok(("a".into(), r#"{"b":"c=d"}"#.into())));
        assert!(read("").is_err() && read("={}").is_err() && read("a\nb").is_err());
    }
}
