//! Jobs that this process has handed out: whose they are, so that an ack need not look, and how long their leases are.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jobbie_proto::JobId;

use crate::namespace::Namespace;

/// Jobs remembered; then the oldest are forgotten, which only costs a lookup.
const JOBS_MAX: usize = 200_000;
/// Workers whose machine is remembered.
const WORKERS_MAX: usize = 10_000;

/// What is known of a job handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) namespace: Namespace,
    pub(crate) ms: u32,
}

/// A map that forgets its oldest entries.
struct Recent<K, V> {
    of: HashMap<K, V>,
    order: VecDeque<K>,
    max: usize,
}

impl<K: Clone + Eq + std::hash::Hash, V> Recent<K, V> {
    fn new(max: usize) -> Self {
        Self { of: HashMap::new(), order: VecDeque::new(), max }
    }

    fn put(&mut self, key: K, value: V) {
        if self.of.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > self.max {
            if let Some(oldest) = self.order.pop_front() {
                self.of.remove(&oldest);
            }
        }
    }
}

/// See the module.
pub(crate) struct Leased {
    jobs: Mutex<Recent<JobId, Lease>>,
    hosts: Mutex<Recent<String, String>>,
}

impl Default for Leased {
    fn default() -> Self {
        let jobs = Mutex::new(Recent::new(JOBS_MAX));
        Self { jobs, hosts: Mutex::new(Recent::new(WORKERS_MAX)) }
    }
}

fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Leased {
    pub(crate) fn put(&self, jobs: impl IntoIterator<Item = (JobId, Lease)>) {
        let mut all = lock(&self.jobs);
        jobs.into_iter().for_each(|(job, lease)| all.put(job, lease));
    }

    pub(crate) fn get(&self, job: JobId) -> Option<Lease> {
        lock(&self.jobs).of.get(&job).cloned()
    }

    /// On which machine a worker says that it is.
    pub(crate) fn saw_worker(&self, worker: &str, host: &str) {
        if !worker.is_empty() && !host.is_empty() {
            lock(&self.hosts).put(worker.to_owned(), host.to_owned());
        }
    }

    pub(crate) fn host_of(&self, worker: &str) -> Option<String> {
        lock(&self.hosts).of.get(worker).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut recent = Recent::new(2);
        for (key, value) in [(1, 'a'), (2, 'b'), (1, 'c'), (3, 'd')] {
            recent.put(key, value);
        }
        assert_eq!((recent.of.get(&1), recent.of.get(&2), recent.of.len()), (None, Some(&'b'), 2));
        assert_eq!(recent.order, [2, 3]);
    }
}
