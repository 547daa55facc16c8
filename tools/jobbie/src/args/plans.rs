//! Flags of planned jobs and their events.

use clap::{Args, ValueEnum};
use jobbie_proto::plan::Need;
use jobbie_proto::{JobId, limits};

use super::{ClientArgs, units};

/// A kind of events as `--plan` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) name: String,
    pub(crate) need: Need,
    pub(crate) count: u16,
    pub(crate) deadline_ms: u64,
}

/// What a new job waits for.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Let the job wait for events instead of a worker: kinds of events with how many of each, as `paid:1,shipped:2`.
    /// `?` behind a name: optional; `!`: fails the job; `@2d` behind the count: this one's deadline
    #[arg(long, value_name = "KINDS", value_parser = kind, value_delimiter = ',')]
    pub(crate) plan: Vec<Kind>,
    /// Everything required must have come within this time, as 7d, 12h, 30m, 90s or 500ms [default: whenever]
    #[arg(long, value_name = "TIME", value_parser = units::time_ms, requires = "plan")]
    pub(crate) plan_deadline: Option<u64>,
}

/// What is done with events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Verb {
    /// Add one to a job
    Append,
}

#[derive(Debug, Args)]
pub(crate) struct EventArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// What is done
    #[arg(value_enum)]
    pub(crate) verb: Verb,
    /// Job id
    pub(crate) job: JobId,
    /// Kind of the event, as the job's plan names it
    pub(crate) kind: String,
    /// What tells the event from all others of the job: a repeat changes nothing
    #[arg(long, value_name = "TEXT")]
    pub(crate) id: String,
    /// What it says: a text, `@file`, or `-` for standard input
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) data: String,
    /// Which way it came, for people
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) source: String,
    /// To find it in other systems; means nothing here
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) trace: String,
}

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Job id
    pub(crate) job: JobId,
    /// At most this many, the newest first
    #[arg(long, default_value_t = limits::HISTORY_COUNT_MAX, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
}

/// Reads one kind of a plan.
fn kind(text: &str) -> Result<Kind, String> {
    let (text, deadline_ms) = match text.rsplit_once('@') {
        Some((text, time)) => (text, units::time_ms(time)?),
        None => (text, 0),
    };
    let (name, count) = text.rsplit_once(':').unwrap_or((text, "1"));
    let count = count.parse().ok().filter(|count| *count > 0).ok_or_else(|| {
        format!("\"{count}\" is no number of events: give 1 to {}, as paid:1", u16::MAX)
    })?;
    let (name, need) = match (name.strip_suffix('?'), name.strip_suffix('!')) {
        (Some(name), _) => (name, Need::Optional),
        (None, Some(name)) => (name, Need::Failure),
        (None, None) => (name, Need::Required),
    };
    if name.is_empty() || name.len() > limits::EVENT_KIND_BYTES_MAX {
        return Err(format!("a kind of events has 1 to {} bytes", limits::EVENT_KIND_BYTES_MAX));
    }
    Ok(Kind { name: name.to_owned(), need, count, deadline_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_or_refused() {
        let read = |text| kind(text).map(|k| (k.name, k.need, k.count, k.deadline_ms));
        assert_eq!(read("paid"), Ok(("paid".into(), Need::Required, 1, 0)));
        assert_eq!(read("shipped:2@2d"), Ok(("shipped".into(), Need::Required, 2, 172_800_000)));
        assert_eq!(read("rated?:3"), Ok(("rated".into(), Need::Optional, 3, 0)));
        assert_eq!(read("refunded!"), Ok(("refunded".into(), Need::Failure, 1, 0)));
        assert_eq!(read("a:b:4"), Ok(("a:b".into(), Need::Required, 4, 0)));
        for wrong in
            ["", ":1", "?", "!:1", "paid:0", "paid:65536", "paid:x", "paid:1@", "paid@soon"]
        {
            assert!(kind(wrong).is_err(), "{wrong}");
        }
        assert!(kind(&"n".repeat(129)).is_err());
    }
}
