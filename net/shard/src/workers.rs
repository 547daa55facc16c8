//! Who asks for jobs: noted in the log for people, at most once in ten seconds for each worker.

use std::rc::Rc;

use jobbie_core::{Sighting, decide_worker};
use jobbie_io::Disk;
use jobbie_log::Space;
use jobbie_proto::event::Group;
use jobbie_proto::limits::WORKER_SEEN_MS;
use jobbie_proto::{Micros, Request};
use jobbie_raft::AsyncRuntime;

use crate::clock::Clock;
use crate::connection::Connection;
use crate::entry::EntryBuilder;
use crate::shard::Inner;

/// The worker of a connection, as it asked for jobs last.
pub(crate) struct Noted {
    /// As its fetch or subscription named it; empty is the name of its session.
    worker: String,
    queues: Vec<Rc<str>>,
    /// Nothing is to be noted before this.
    until: Micros,
}

impl<R: AsyncRuntime, D: Disk, C: Clock> Inner<R, D, C> {
    /// A worker asks for jobs of `queues`. What it asks for was found to be right.
    pub(crate) fn asked_for_jobs<'q>(
        &self,
        entry: &mut EntryBuilder,
        connection: &Connection,
        worker: &str,
        queues: impl IntoIterator<Item = &'q str>,
    ) {
        let is_noted = |noted: &Noted| entry.time < noted.until && noted.worker == worker;
        if connection.worker.borrow().as_ref().is_some_and(is_noted) {
            return;
        }
        let queues = queues.into_iter().map(Rc::from).collect();
        let (worker, until) = (worker.to_owned(), Micros(0));
        connection.worker.replace(Some(Noted { worker, queues, until }));
        self.is_alive(entry, connection);
    }

    /// The client of a connection is there. If it is a worker, that may be worth noting.
    pub(crate) fn is_alive(&self, entry: &mut EntryBuilder, connection: &Connection) {
        let mut worker = connection.worker.borrow_mut();
        let Some(noted) = worker.as_mut().filter(|noted| noted.until <= entry.time) else { return };
        if self.log.space() == Space::Low {
            return;
        }
        noted.until = entry.time.plus_ms(WORKER_SEEN_MS);
        let (name, host) = connection.who.get().map_or(("", ""), |who| (&*who.0, &*who.1));
        let queues: Vec<&str> = noted.queues.iter().map(|queue| &**queue).collect();
        let name = if noted.worker.is_empty() { name } else { &*noted.worker };
        let session = connection.session.get();
        let sighting = Sighting { session, name, host, queues: &queues };
        let events = decide_worker(&self.state.borrow(), entry.time, &sighting);
        if !events.is_empty() {
            self.absorb(entry, Group { events, ..Group::default() });
        }
    }

    /// A request that was not refused: what it says of its worker.
    pub(crate) fn note_request(
        &self,
        entry: &mut EntryBuilder,
        connection: &Connection,
        request: &Request<'_>,
    ) {
        if let Some(fetch) = &request.fetch {
            self.asked_for_jobs(entry, connection, fetch.worker, fetch.queues.iter().copied());
        } else if !request.heartbeats.is_empty() || request.extend_session_ms > 0 {
            self.is_alive(entry, connection);
        }
    }
}
