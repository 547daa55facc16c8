//! Workers as they are noted: not too often, and forgotten when they were silent for long.

use jobbie_proto::Micros;
use jobbie_proto::event::{SeenWorker, WorkerKey};
use jobbie_proto::limits::{WORKER_SEEN_MS, WORKER_SILENT_MS_MAX};

use super::Model;
use crate::check::violated;

impl Model {
    pub(super) fn worker_seen(&mut self, seen: &SeenWorker, time: u64) {
        self.number();
        let SeenWorker { worker, asks } = seen;
        if !self.sessions.contains_key(&worker.session.0) {
            violated!("r10", "{worker:?} was seen without a session");
        }
        let before = self.workers.insert(worker.clone(), time);
        if before.is_none() && asks.is_none() {
            violated!("r10", "nothing is known of {worker:?}");
        }
        if before.is_some_and(|before| time < Micros(before).plus_ms(WORKER_SEEN_MS).0) {
            violated!("r20", "{worker:?} was noted at {before:?} and again at {time}");
        }
    }

    pub(super) fn worker_forgotten(&mut self, worker: &WorkerKey, time: u64) {
        self.number();
        let seen = self.workers.remove(worker);
        if seen.is_none_or(|seen| time < Micros(seen).plus_ms(WORKER_SILENT_MS_MAX).0) {
            violated!("r10", "{worker:?}, seen at {seen:?}, was forgotten at {time}");
        }
    }
}
