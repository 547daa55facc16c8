//! R9: a request is executed once, and a key makes one job while it is remembered.

use jobbie_proto::Code;
use jobbie_proto::request::Enqueue;

use super::violated;
use crate::model::{Fact, Model};

/// A group of a request is about to be absorbed.
pub(crate) fn group(model: &Model, fact: &Fact<'_>) {
    let (session, number) = (fact.group.session.0, fact.group.number);
    if session == 0 {
        return;
    }
    let Some(known) = model.sessions.get(&session) else {
        violated!("r09", "request {number} of session {session}, which is not open, was done");
    };
    if number == 0 {
        return;
    }
    if known.done.contains_key(&number) {
        violated!("r09", "request {number} of session {session} was done twice");
    }
    if number < known.confirmed_below {
        violated!("r09", "request {number} of session {session} was done after its confirmation");
    }
}

/// A job is about to be made from this.
pub(crate) fn enqueued(model: &Model, time: u64, enqueue: &Enqueue<'_>) {
    if let Some(owner) = model.unique_owner(enqueue, time) {
        violated!("r09", "the unique key of job {owner} was taken again");
    }
    if enqueue.key.is_empty() {
        return;
    }
    if let Some(key) = model.key(enqueue)
        && key.until > time
    {
        violated!("r09", "the key of job {} was taken again while it is remembered", key.job);
    }
}

/// No job was made from this, because its key is taken.
pub(crate) fn deduplicated(model: &Model, time: u64, enqueue: &Enqueue<'_>, job: u64, code: Code) {
    let Some(key) = model.key(enqueue).filter(|key| key.until > time) else {
        if model.unique_owner(enqueue, time) == Some(job) && code == Code::Duplicate {
            return;
        }
        violated!("r09", "an enqueue was taken for a repeat of job {job}, but its key is free");
    };
    let job_of_key = &model.jobs[key.job as usize - 1];
    // Content is everything the client asked for but the key and how long it is remembered.
    let same = key.content == crate::model::content_of(enqueue);
    let expected = if same { Code::Duplicate } else { Code::Conflict };
    if key.job != job || code != expected {
        let state = job_of_key.state;
        violated!("r09", "the key of job {} ({state:?}) was answered {code:?} of {job}", key.job);
    }
}
