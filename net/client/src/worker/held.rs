//! Jobs a worker holds leases of.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jobbie_proto::LeaseToken;
use jobbie_proto::request::JobRef;
use tokio::task::AbortHandle;

use super::context::Signals;
use crate::Job;

/// A job whose handler runs.
pub(super) struct Running {
    pub(super) lease: JobRef,
    pub(super) cancel: Arc<Signals>,
    pub(super) task: AbortHandle,
}

/// Jobs that run and jobs that wait for a hand.
#[derive(Default)]
pub(super) struct Held {
    pub(super) running: BTreeMap<LeaseToken, Running>,
    pub(super) waiting: VecDeque<Job>,
    /// Leases that ended before their job was begun or finished.
    pub(super) lost: u64,
}

impl Held {
    pub(super) fn count(&self) -> u32 {
        (self.running.len() + self.waiting.len()) as u32
    }

    pub(super) fn leases(&self) -> Vec<JobRef> {
        let running = self.running.values().map(|r| r.lease);
        running.chain(self.waiting.iter().map(Job::lease)).collect()
    }

    /// The lease is over: a running handler is told, a waiting job is dropped. Returns hands set free.
    pub(super) fn lose(&mut self, lease: JobRef) -> u32 {
        if let Some(running) = self.running.get(&lease.token) {
            self.lost += u64::from(running.cancel.set());
            return 0;
        }
        let before = self.waiting.len();
        self.waiting.retain(|job| job.token != lease.token);
        let dropped = before - self.waiting.len();
        self.lost += dropped as u64;
        dropped as u32
    }

    /// Everything still held; handlers are aborted.
    pub(super) fn give_up(&mut self) -> Vec<JobRef> {
        let mut leases: Vec<_> = self.waiting.drain(..).map(|job| job.lease()).collect();
        for (_, running) in std::mem::take(&mut self.running) {
            running.task.abort();
            if !running.cancel.is_set() {
                leases.push(running.lease);
            }
        }
        leases
    }
}
