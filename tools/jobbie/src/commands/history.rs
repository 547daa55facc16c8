//! What happened to one job, newest first: errors, events, iterations.

use jobbie_proto::limits::HISTORY_COUNT_MAX;
use jobbie_proto::request::History;
use jobbie_proto::wire::ReplyFrame;
use jobbie_proto::{Code, EventSeq, JobId, Request};

use super::print_failed;
use crate::args::Output;
use crate::call::{CallError, Server, explain};
use crate::exit::Exit;
use crate::output::Rows;

/// Walks from a job's newest record back, over at most `count` of them. `ask` says which records; `see` shows what an answer has
/// and says of each which one is before it: 0 is the end.
pub(super) fn walk(
    server: &mut Server,
    job: JobId,
    count: u32,
    ask: impl Fn(&mut Request<'_>, History),
    mut see: impl FnMut(&ReplyFrame<'_>, &mut dyn FnMut(EventSeq)),
) -> Result<(), CallError> {
    let (mut from, mut left, mut is_known) = (EventSeq(0), count, false);
    loop {
        let mut request = Request { lookups: vec![job], ..Request::default() };
        ask(&mut request, History { job, from, count: left.min(HISTORY_COUNT_MAX) });
        from = EventSeq(0);
        server.call(job.shard(), &mut request, |reply| {
            is_known |= reply.lookups.iter().any(|lookup| lookup.details.is_some());
            see(reply, &mut |previous| (from, left) = (previous, left - 1));
        })?;
        if !is_known {
            let (code, message) = (Code::NotFound, explain(Code::NotFound, ""));
            return Err(CallError::Refused { code, message });
        }
        if from == EventSeq(0) || left == 0 {
            return Ok(());
        }
    }
}

/// Prints what was found, or that `job` has none of `what`.
pub(super) fn print(
    rows: &Rows,
    job: JobId,
    what: &str,
    output: Output,
) -> Result<Exit, CallError> {
    if rows.is_empty() {
        eprintln!("{job} has no {what}");
        return Ok(Exit::Nothing);
    }
    rows.print(output).map_err(print_failed)?;
    Ok(Exit::Done)
}
