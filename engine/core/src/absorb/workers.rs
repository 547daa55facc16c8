//! Events of workers.

use jobbie_proto::event::{Event, SeenWorker, WorkerKey};
use xxhash_rust::xxh3::xxh3_64;

use super::Mark;
use crate::state::State;

impl State {
    /// Absorbs an event of this module.
    pub(super) fn absorb_worker(&mut self, event: &Event) {
        match event {
            Event::WorkerSeen(seen) => self.worker_seen(seen),
            Event::WorkersForgotten { workers } => {
                workers.iter().for_each(|worker| self.worker_forgotten(worker));
            }
            other => unreachable!("{other:?} is absorbed elsewhere"),
        }
        self.digest.mix(self.workers.len() as u64);
    }

    fn worker_seen(&mut self, seen: &SeenWorker) {
        self.number_event();
        let SeenWorker { worker: WorkerKey { session, name }, asks } = seen;
        self.workers.see(seen, self.time);
        let name = xxh3_64(name.as_bytes());
        self.digest.mix_all(&[Mark::WorkerSeen as u64, session.0, name]);
        if let Some(asks) = asks {
            self.digest.mix_all(&[xxh3_64(asks.host.as_bytes()), u64::from(asks.queues_asked)]);
            for queue in &asks.queues {
                self.digest.mix(xxh3_64(queue.as_bytes()));
            }
        }
    }

    fn worker_forgotten(&mut self, worker: &WorkerKey) {
        self.number_event();
        self.workers.forget(worker);
        let name = xxh3_64(worker.name.as_bytes());
        self.digest.mix_all(&[Mark::WorkerForgotten as u64, worker.session.0, name]);
    }
}
