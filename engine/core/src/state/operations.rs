//! What operations mean for jobs and queues.

use jobbie_proto::event::{QueueSettings, Task};
use jobbie_proto::reply::{JobState, OperationView};

use super::State;
use crate::jobs::{Handle, Special};
use crate::lanes::settings::Key;
use crate::operations::Operation;

impl State {
    /// Every operation that runs, by id, then those that ended last, in the order in which they did.
    pub fn operations(&self) -> impl Iterator<Item = OperationView> {
        let running = self.operations.running().iter();
        running.chain(self.operations.ended()).map(|operation| operation.view())
    }

    /// Whether an operation without a list of jobs is about this one, which is in memory. Jobs that came into
    /// the queue after it began are not meant, whether they are new, were moved there or revived.
    pub(crate) fn is_meant(&self, operation: &Operation, job: u64) -> bool {
        let filter = &operation.filter;
        if self.job_state(job) == JobState::Moved {
            return false;
        }
        let Some((origin, handle)) = self.jobs.look_up(job) else { return false };
        let special = handle.map(Handle::special);
        let (class, placed) = match special {
            Some(Special::Struct(number)) => {
                let tracked = self.tracked.get(number);
                (tracked.class, self.side(tracked).placed.0)
            }
            _ => (origin.class, 0),
        };
        if origin.event > operation.id {
            return false;
        }
        let entry = self.classes.get(class);
        let (queue, created) = (&filter.queue, origin.created_ms);
        (queue.is_empty() || (entry.class.queue == *queue && placed < operation.id))
            && filter.wants(self.state_of(special))
            && filter.priority.is_none_or(|priority| priority == entry.class.priority)
            && (filter.limit_key.is_empty() || *filter.limit_key == *entry.limit_key)
            && (filter.created_after_ms == 0 || created > filter.created_after_ms)
            && (filter.created_before_ms == 0 || created < filter.created_before_ms)
    }

    /// About how many jobs an operation is about, from what is counted anyway.
    pub(crate) fn estimate(&self, operation: &Operation) -> u64 {
        let filter = &operation.filter;
        if filter.is_empty() {
            return operation.named.into();
        }
        if filter.queue.is_empty() {
            return self.jobs.live();
        }
        let Some(at) = self.queues.find(&filter.queue) else { return 0 };
        let counts = &self.queues.get(at).jobs;
        let wanted = JobState::HERE.iter().filter(|state| filter.wants(**state));
        wanted.filter(|state| **state != JobState::Completed).map(|s| counts[*s as usize]).sum()
    }

    /// Whether a queue hands out nothing because it is being emptied.
    #[inline]
    pub(crate) fn is_closed(&self, queue: u32) -> bool {
        self.operations.closes(queue)
    }

    /// Whether a job waits to be removed by an operation that has begun: for whoever comes now it is gone.
    pub(crate) fn is_condemned(&self, job: u64) -> bool {
        let mut closing = self.operations.closing();
        closing.any(|operation| {
            // What it has passed it does not meet again, whatever becomes of that.
            let ahead = (operation.cursor..operation.below).contains(&job);
            ahead && self.is_meant(operation, job)
        })
    }

    /// Jobs with a lower number lost their keys in a queue when it was deleted.
    pub(crate) fn keys_end_below(&self, queue: &str) -> u64 {
        self.queues.find(queue).map_or(0, |at| self.queues.get(at).deleted_below)
    }

    /// Whether a unique key in a queue is free although a job has it.
    pub(crate) fn unique_is_over(&self, queue: &str, owner: u64) -> bool {
        let lost = owner < self.keys_end_below(queue) && self.revived.get(owner).is_none();
        lost || self.is_condemned(owner)
    }

    /// Takes from a queue everything but its jobs: as if it had just been made.
    pub(crate) fn reset_queue(&mut self, at: u32, below: u64) {
        self.configure(at, QueueSettings::default());
        let weights = std::mem::take(&mut self.queues.get_mut(at).weights);
        if self.has_lanes(at) {
            let lanes = self.lanes_mut(at);
            weights.keys().for_each(|name| lanes.set_weight(Key { name, weight: 1 }));
        }
        let queue = self.queues.get_mut(at);
        (queue.paused, queue.draining) = (false, false);
        queue.enqueued_total = 0;
        queue.jobs[JobState::Completed as usize] = 0;
        queue.deleted_below = below;
    }

    /// A queue was deleted: it exists no longer, unless somebody has used it since.
    pub(crate) fn hide_queue(&mut self, at: u32) {
        if self.queues.get(at).is_unused() {
            self.queues.hide(at);
        }
    }

    /// What follows when an operation is over.
    pub(crate) fn reopen(&mut self, task: &Task, closed: Option<u32>, cancelled: bool) {
        let Some(at) = closed else { return };
        self.opened.push(at);
        if matches!(task, Task::DeleteQueue { .. }) && !cancelled {
            self.hide_queue(at);
        }
    }
}
