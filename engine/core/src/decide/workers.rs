//! Workers come into being when they first ask for jobs, and are noted now and then.

use jobbie_proto::event::{Event, SeenWorker, WorkerAsks, WorkerKey};
use jobbie_proto::limits::{WORKER_BYTES_MAX, WORKER_QUEUES_MAX, WORKER_SEEN_MS, WORKERS_MAX};
use jobbie_proto::{Micros, SessionId};

use crate::state::State;

/// A worker, as its connection knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting<'a> {
    /// Its session.
    pub session: SessionId,
    /// Its name, at most [`WORKER_BYTES_MAX`] bytes.
    pub name: &'a str,
    /// Name of its machine, at most as long.
    pub host: &'a str,
    /// The queues that it asks for.
    pub queues: &'a [&'a str],
}

/// What is to be noted of a worker that shows that it lives: nothing when it was noted less than
/// [`WORKER_SEEN_MS`] ago, or has no session. Absorb it as a group of no session.
#[must_use]
pub fn decide_worker(state: &State, now: Micros, sighting: &Sighting<'_>) -> Vec<Event> {
    let Sighting { session, name, host, queues } = *sighting;
    let fits = name.len() <= WORKER_BYTES_MAX && host.len() <= WORKER_BYTES_MAX;
    if !state.has_session(session) || !fits {
        return Vec::new();
    }
    let worker = WorkerKey { session, name: name.to_owned() };
    let known = state.workers.get(&worker);
    if known.is_some_and(|known| now < Micros(known.last_seen).plus_ms(WORKER_SEEN_MS))
        && !crate::mutant!(WorkerNotedAlways)
    {
        return Vec::new();
    }
    let first = queues.iter().take(WORKER_QUEUES_MAX);
    let asks = WorkerAsks {
        host: host.to_owned(),
        queues: first.map(|queue| (*queue).to_owned()).collect(),
        queues_asked: queues.len() as u32,
    };
    let mut events = Vec::new();
    if known.is_none() && state.workers.len() >= WORKERS_MAX {
        let (_, silent) = state.workers.silent().next().expect("it is full");
        events.push(Event::WorkersForgotten { workers: vec![silent.clone()] });
    }
    let asks = Some(asks).filter(|asks| known.is_none_or(|known| known.asks != *asks));
    events.push(Event::WorkerSeen(Box::new(SeenWorker { worker, asks })));
    events
}
