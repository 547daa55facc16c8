//! R1, R9: an answer leaves only when what it says is committed, and is the same every time it is given.

use jobbie_proto::request::Stats;
use jobbie_proto::wire::{LeasedJob, ReplyFrame};
use jobbie_proto::{Code, Request};

use super::violated;
use crate::model::{Model, Outcome};

/// A session is announced.
pub(crate) fn welcome(model: &Model, session: u64) {
    if !model.sessions_ever.contains(&session) {
        violated!("r01", "session {session} was announced before it was committed");
    }
}

/// A request is answered: `given` is what all frames of the answer say, `reply` is the last of them.
pub(crate) fn reply(
    model: &Model,
    session: u64,
    request: &Request<'_>,
    reply: &ReplyFrame<'_>,
    given: &Outcome,
) {
    let number = reply.number;
    let done = model.sessions.get(&session).and_then(|session| session.done.get(&number));
    if matches!(reply.code, Code::NoSpace | Code::NotFound) && done.is_some() {
        violated!(
            "r09",
            "request {number} of session {session} was done, and refused when repeated"
        );
    }
    if reply.code != Code::Ok {
        return;
    }
    match done {
        Some(outcome) if !says(model, outcome, given) => violated!(
            "r09",
            "request {number} of session {session} was answered {given:?}, it did {outcome:?}"
        ),
        Some(_) => {}
        None if was_forgotten(model, session, number) => {}
        None if *given != Outcome::default() || must_do_something(request) => {
            violated!(
                "r01",
                "request {number} of session {session} was answered before its commit"
            );
        }
        None => {}
    }
    if let Some(stats) = reply.shard_stats
        && stats.last_event.0 >= model.next_event
    {
        violated!("r01", "an answer shows event {}, which is not committed", stats.last_event);
    }
}

/// Whether an answer says what was done. Given again, it may leave out jobs that have ended since.
fn says(model: &Model, done: &Outcome, given: &Outcome) -> bool {
    if done == given {
        return true;
    }
    let mut left = done.clone();
    left.leases.retain(|lease| {
        let (job, ..) = lease;
        !model.job(job.seq().0).gone || given.leases.contains(lease)
    });
    left == *given
}

/// The session has ended since, or the client has confirmed the answer: it was checked when it was first given.
pub(crate) fn was_forgotten(model: &Model, session: u64, number: u64) -> bool {
    model.sessions.get(&session).is_none_or(|session| number < session.confirmed_below)
}

fn must_do_something(request: &Request<'_>) -> bool {
    let only_asks = Request {
        session: request.session,
        number: request.number,
        confirmed_below: request.confirmed_below,
        fetch: request.fetch.clone(),
        lookups: request.lookups.clone(),
        stats: request.stats.clone(),
        schedules: request.schedules,
        ..Request::default()
    };
    *request != only_asks && request.stats != Stats::Shard
}

/// Leases are handed over.
pub(crate) fn leases(model: &Model, session: u64, leases: &[LeasedJob<'_>]) {
    for lease in leases {
        let (seq, token) = (lease.job.seq().0, lease.token.0);
        let Some(granted) = model.leases.get(&token) else {
            violated!("r01", "lease {token} of job {seq} was handed over before its commit");
        };
        if (granted.job, granted.session) != (seq, session) {
            violated!("r11", "lease {token} is {granted:?}, handed over to {session} as of {seq}");
        }
        if lease.deadline.0 != granted.deadline {
            violated!("r12", "lease {token} was announced with another end than it has");
        }
        let job = model.job(seq);
        if (lease.payload, lease.tags) != (&granted.payload[..], &job.tags[..])
            || lease.queue != granted.queue
        {
            violated!("r01", "job {seq} was handed over with another content than it was given");
        }
    }
}
