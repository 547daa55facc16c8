//! Workers, and what of a job's errors their events do not tell, as ordinary maps have it.

use std::collections::BTreeMap;

use jobbie_core::{Sighting, answers, decide_worker};
use jobbie_proto::event::Group;
use jobbie_proto::limits::{
    ERROR_LINKS_MAX, WORKER_QUEUES_MAX, WORKER_SEEN_MS, WORKER_SILENT_MS_MAX,
};
use jobbie_proto::reply::WorkerView;
use jobbie_proto::request::{History, Workers};
use jobbie_proto::{EventSeq, Micros, Request, SessionId};

use crate::driver::Driver;
use crate::naive::Naive;
use crate::values::QUEUES;

/// By session and name.
pub(crate) type NaiveWorkers = BTreeMap<(u64, String), WorkerView>;

const NAMES: [&str; 2] = ["", "worker"];

impl Naive {
    /// A worker asks for jobs; whether that is noted.
    fn sight(&mut self, sighting: &Sighting<'_>) -> bool {
        let key = (sighting.session.0, sighting.name.to_owned());
        let known = self.workers.get(&key);
        if known.is_some_and(|known| self.now < known.last_seen.plus_ms(WORKER_SEEN_MS).0) {
            return false;
        }
        let now = Micros(self.now);
        let queues = sighting.queues.iter().take(WORKER_QUEUES_MAX);
        let view = WorkerView {
            session: sighting.session,
            name: sighting.name.to_owned(),
            host: sighting.host.to_owned(),
            queues: queues.map(|queue| (*queue).to_owned()).collect(),
            queues_asked: sighting.queues.len() as u32,
            started: known.map_or(now, |known| known.started),
            last_seen: now,
            leases: 0,
        };
        self.event();
        self.workers.insert(key, view);
        true
    }

    pub(crate) fn worker_views(&self) -> Vec<WorkerView> {
        let leases = |session: SessionId| {
            self.jobs.values().filter(|job| job.session == session.0).count() as u32
        };
        let view =
            |worker: &WorkerView| WorkerView { leases: leases(worker.session), ..worker.clone() };
        self.workers.values().map(view).collect()
    }

    pub(crate) fn first_silent(&self) -> Option<u64> {
        let silent = |worker: &WorkerView| worker.last_seen.plus_ms(WORKER_SILENT_MS_MAX).0;
        self.workers.values().map(silent).min()
    }

    /// A job dies by an event that does not name the error before it.
    pub(crate) fn link_error(&mut self, job: u64, event: u64) {
        let before = self.jobs[&job].view.last_error.0;
        if before > 0 {
            let links = self.error_links.entry(job).or_default();
            links.push((event, before));
            if links.len() > ERROR_LINKS_MAX {
                links.remove(0);
            }
        }
    }
}

impl Driver {
    /// Workers of a client ask for jobs of some queues.
    pub(crate) fn sight(&mut self, client: u8, name: usize, queues: usize) {
        self.model.now = self.now.0;
        let session = SessionId(self.client(client));
        let (name, host, queues) = (NAMES[name % 2], "host", &QUEUES[..queues]);
        let sighting = Sighting { session, name, host, queues };
        let events = decide_worker(&self.state, self.now, &sighting);
        let noted = self.model.sight(&sighting);
        assert_eq!(!events.is_empty(), noted, "a worker is noted at most once in ten seconds");
        if noted {
            assert_eq!(self.absorb(Group { events, ..Group::default() }), None);
        }
    }

    pub(crate) fn compare_workers(&self) {
        let wanted = Workers { count: 1000, ..Workers::default() };
        let found: Vec<_> = self.state.workers(&wanted).collect();
        assert_eq!(found, self.model.worker_views(), "workers");
        for (seq, job) in &self.model.jobs {
            let newest = job.view.last_error;
            if newest == EventSeq(0) {
                continue;
            }
            let errors = Some(History { job: job.view.id, from: EventSeq(0), count: 1 });
            let asked = answers(&self.state, &Request { errors, ..Request::default() });
            let chain = asked.errors.expect("it has errors");
            let links = self.model.error_links.get(seq).map_or(&[][..], |links| links);
            assert_eq!((chain.from, &*chain.links), (newest, links), "errors of job {seq}");
        }
    }
}
