//! Work on many jobs: who runs, and what it may touch.

use std::collections::BTreeSet;

use jobbie_proto::Code;
use jobbie_proto::event::{Event, Group, JobFilter, QueueSettings, Task};
use jobbie_proto::reply::{JOB_STATES, JobState};

use super::Model;
use super::absorb::Step;
use crate::check::violated;

/// An operation that runs.
#[derive(Debug)]
pub(crate) struct Running {
    task: Task,
    filter: JobFilter,
    jobs: BTreeSet<u64>,
    below: u64,
    cursor: u64,
    closes: bool,
}

/// The operation whose step a group is.
pub(super) fn step_of(group: &Group) -> Option<u64> {
    group.events.iter().find_map(|event| match event {
        Event::OperationAdvanced { operation, .. } => Some(operation.0),
        _ => None,
    })
}

/// Jobs that an event of a step changes.
fn touched(event: &Event) -> Vec<u64> {
    match event {
        Event::Deleted { jobs }
        | Event::Cancelled { jobs }
        | Event::Retried { jobs }
        | Event::Requeued { jobs }
        | Event::Prioritized { jobs, .. } => jobs.iter().map(|job| job.0).collect(),
        Event::Held { job, .. }
        | Event::Approved { job, .. }
        | Event::Rejected { job, .. }
        | Event::Moved { job, .. } => vec![job.0],
        _ => Vec::new(),
    }
}

impl Model {
    pub(super) fn operation(&mut self, event: &Event, step: &mut Step<'_>) {
        let number = self.number();
        let (code, id) = match event {
            Event::OperationStarted(started) => {
                let task = started.task.clone();
                let closes = task.closes().is_some_and(|queue| self.queues.contains_key(queue));
                if let (Task::DeleteQueue { queue }, true) = (&task, closes) {
                    self.reset(queue);
                }
                let running = Running {
                    filter: task.filter(),
                    task,
                    jobs: started.jobs.iter().map(|job| job.0).collect(),
                    below: started.below.0,
                    cursor: 0,
                    closes,
                };
                self.operations.insert(number, running);
                (Code::Ok, number)
            }
            Event::OperationAdvanced { operation, cursor, .. } => {
                let Some(running) = self.operations.get_mut(&operation.0) else {
                    violated!("r10", "operation {operation} goes on after its end");
                };
                if *cursor < running.cursor {
                    let before = running.cursor;
                    violated!("r07", "operation {operation} went back from {before} to {cursor}");
                }
                running.cursor = *cursor;
                (Code::Ok, operation.0)
            }
            Event::OperationEnded { operation, cancelled } => {
                let Some(over) = self.operations.remove(&operation.0) else {
                    violated!("r10", "operation {operation} ended twice");
                };
                if let (Task::DeleteQueue { queue }, true, false) =
                    (&over.task, over.closes, cancelled)
                {
                    self.forget_queue(queue);
                }
                if !cancelled {
                    self.nothing_is_left(operation.0, &over);
                }
                (Code::Ok, operation.0)
            }
            Event::OperationRefused { operation, code } => (*code, operation.0),
            other => unreachable!("{other:?} is handled elsewhere"),
        };
        step.outcome.operated = Some((code, id));
    }

    /// What a step changes is meant.
    pub(super) fn stepped(&self, operation: u64, event: &Event) {
        let Some(running) = self.operations.get(&operation) else { return };
        for seq in touched(event) {
            let meant = running.jobs.contains(&seq) || self.is_meant(operation, running, seq);
            if !meant {
                let job = self.job(seq);
                violated!("r10", "{running:?} changed job {seq}, which is {job:?}");
            }
        }
    }

    fn is_meant(&self, operation: u64, running: &Running, seq: u64) -> bool {
        let (job, filter) = (self.job(seq), &running.filter);
        let here = job.class.queue == filter.queue && job.placed < operation;
        running.jobs.is_empty()
            && job.state != JobState::Moved
            && seq < running.below
            && (filter.queue.is_empty() || here)
            && filter.wants(job.state)
            && filter.priority.is_none_or(|priority| priority == job.class.priority)
    }

    /// A queue that was deleted has none of the jobs that were meant. One that was cleared may: they did not wait when they
    /// were looked at.
    fn nothing_is_left(&self, operation: u64, over: &Running) {
        if over.closes && matches!(over.task, Task::DeleteQueue { .. }) {
            let left = self.live.iter().find(|seq| self.is_meant(operation, over, **seq));
            if let Some(seq) = left {
                violated!("r10", "{over:?} ended and left job {seq}");
            }
        }
    }

    /// Whether a queue hands out nothing because it is being emptied.
    pub(crate) fn is_closed(&self, queue: &str) -> bool {
        let closed = |running: &Running| running.closes && running.task.closes() == Some(queue);
        self.operations.values().any(closed)
    }

    /// Whether a job waits to be removed.
    pub(super) fn is_condemned(&self, seq: u64) -> bool {
        let mut all = self.operations.iter();
        all.any(|(id, running)| {
            running.closes && seq >= running.cursor && self.is_meant(*id, running, seq)
        })
    }

    fn reset(&mut self, queue: &str) {
        self.settings.remove(queue);
        self.paused.remove(queue);
        self.claims.retain(|(of, _), _| of != queue);
        self.keys.retain(|(of, _), _| of != queue);
        self.uniques.retain(|(of, _), _| of != queue);
        let counts = self.queues.get_mut(queue).expect("it exists");
        counts.enqueued_total = 0;
        counts.jobs[JobState::Completed as usize] = 0;
    }

    fn forget_queue(&mut self, queue: &str) {
        let counts = &self.queues[queue];
        let unused = counts.jobs == [0; JOB_STATES]
            && counts.enqueued_total == 0
            && !self.paused.contains(queue)
            && self.settings(queue) == QueueSettings::default();
        if unused {
            self.queues.remove(queue);
        }
    }
}
