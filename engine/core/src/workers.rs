//! Workers that asked for jobs not long ago, for people who want to know who is there. Nothing is decided by it.

use std::rc::Rc;

use imbl::shared_ptr::RcK;
use imbl::{GenericOrdMap, GenericOrdSet};
use jobbie_proto::event::{SeenWorker, WorkerAsks, WorkerKey};
use jobbie_proto::limits::WORKER_SILENT_MS_MAX;
use jobbie_proto::reply::WorkerView;
use jobbie_proto::request;
use jobbie_proto::{Micros, SessionId};

use crate::state::State;

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Worker {
    pub(crate) asks: WorkerAsks,
    pub(crate) started: u64,
    pub(crate) last_seen: u64,
}

/// All workers of a shard. A clone shares everything.
#[derive(Clone, Default)]
pub(crate) struct Workers {
    by_key: GenericOrdMap<Rc<WorkerKey>, Rc<Worker>, RcK>,
    /// The longest silent first.
    by_seen: GenericOrdSet<(u64, Rc<WorkerKey>), RcK>,
}

impl Workers {
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(crate) fn get(&self, key: &WorkerKey) -> Option<&Worker> {
        self.by_key.get(key).map(|worker| &**worker)
    }

    /// Those behind one, by session and name.
    pub(crate) fn after(&self, key: &WorkerKey) -> impl Iterator<Item = (&WorkerKey, &Worker)> {
        let from = std::ops::Bound::Excluded(key);
        let range = self.by_key.range::<_, WorkerKey>((from, std::ops::Bound::Unbounded));
        range.map(|(key, worker)| (&**key, &**worker))
    }

    /// Those that were silent longest first.
    pub(crate) fn silent(&self) -> impl Iterator<Item = (u64, &WorkerKey)> {
        self.by_seen.iter().map(|(seen, key)| (*seen, &**key))
    }

    /// When the first of them has been silent for too long.
    pub(crate) fn first_silent(&self) -> Option<u64> {
        if self.by_seen.is_empty() {
            return None;
        }
        self.by_seen.get_min().map(|(seen, _)| silent_at(*seen))
    }

    /// It was seen at `time`.
    pub(crate) fn see(&mut self, seen: &SeenWorker, time: u64) {
        let known = self.by_key.get(&seen.worker).cloned();
        let asks = seen.asks.clone().or_else(|| known.as_ref().map(|known| known.asks.clone()));
        let worker = Worker {
            asks: asks.expect("nothing is known of a worker that was seen"),
            started: known.as_ref().map_or(time, |known| known.started),
            last_seen: time,
        };
        self.put(Rc::new(seen.worker.clone()), worker);
    }

    pub(crate) fn put(&mut self, key: Rc<WorkerKey>, worker: Worker) {
        let seen = worker.last_seen;
        if let Some(before) = self.by_key.insert(Rc::clone(&key), Rc::new(worker)) {
            self.by_seen.remove(&(before.last_seen, Rc::clone(&key)));
        }
        self.by_seen.insert((seen, key));
    }

    pub(crate) fn forget(&mut self, key: &WorkerKey) {
        let worker = self.by_key.remove(key).expect("an unknown worker was forgotten");
        self.by_seen.remove(&(worker.last_seen, Rc::new(key.clone())));
    }

    pub(crate) fn check(&self, time: u64) {
        assert_eq!(self.by_key.len(), self.by_seen.len(), "workers miscounted");
        for (seen, key) in self.silent() {
            let worker = self.get(key).expect("a worker is unknown");
            assert_eq!(worker.last_seen, seen, "a worker stands at another time");
            assert!(worker.started <= seen && seen <= time, "a worker was seen ahead of time");
        }
    }
}

/// When a worker that was seen last at `seen` is forgotten.
pub(crate) fn silent_at(seen: u64) -> u64 {
    Micros(seen).plus_ms(WORKER_SILENT_MS_MAX).0
}

impl State {
    /// Workers that were seen not long ago, by session and name.
    pub fn workers(&self, wanted: &request::Workers<'_>) -> impl Iterator<Item = WorkerView> {
        let (session, name) = (wanted.after_session, wanted.after_worker.to_owned());
        let after = WorkerKey { session, name };
        let found: Vec<_> = self.workers.after(&after).take(wanted.count as usize).collect();
        found.into_iter().map(|(key, worker)| WorkerView {
            session: key.session,
            name: key.name.clone(),
            host: worker.asks.host.clone(),
            queues: worker.asks.queues.clone(),
            queues_asked: worker.asks.queues_asked,
            started: Micros(worker.started),
            last_seen: Micros(worker.last_seen),
            leases: self.leases_of(key.session),
        })
    }

    fn leases_of(&self, session: SessionId) -> u32 {
        self.sessions.find(session.0).map_or(0, |at| self.sessions.get(at).leases)
    }
}
