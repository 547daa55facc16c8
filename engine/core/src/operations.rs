//! Work on many jobs that goes on in the background: what runs, how far it is, and what ended last.
//!
//! An operation walks over the numbers of jobs, or over the jobs that it names, in steps, each of which is decided
//! and absorbed like anything else. How far it is follows from the log, so a restart goes on where it stopped.

use std::collections::VecDeque;
use std::rc::Rc;

use jobbie_proto::JobSeq;
use jobbie_proto::event::{JobFilter, Task};
use jobbie_proto::limits::OPERATIONS_ENDED_MAX;
use jobbie_proto::reply::{OperationStatus, OperationView};
use jobbie_proto::{Micros, OperationId};

use crate::pages::own;

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Operation {
    pub(crate) id: u64,
    pub(crate) task: Task,
    /// Which jobs are meant, when it names none.
    pub(crate) filter: JobFilter,
    /// The jobs it names; forgotten when it is over.
    pub(crate) jobs: Vec<JobSeq>,
    /// How many jobs it named.
    pub(crate) named: u32,
    /// Only jobs with a lower number are meant.
    pub(crate) below: u64,
    /// Where it goes on: a job's number, or a place in `jobs`.
    pub(crate) cursor: u64,
    pub(crate) estimate: u64,
    pub(crate) looked_at: u64,
    pub(crate) applied: u64,
    pub(crate) skipped: u64,
    pub(crate) started: u64,
    /// 0 while it runs.
    pub(crate) ended: u64,
    pub(crate) status: OperationStatus,
}

impl Operation {
    pub(crate) fn view(&self) -> OperationView {
        OperationView {
            id: OperationId(self.id),
            task: self.task.without_texts(),
            status: self.status,
            jobs: self.named,
            estimate: self.estimate,
            looked_at: self.looked_at,
            applied: self.applied,
            skipped: self.skipped,
            started: Micros(self.started),
            ended: Micros(self.ended),
        }
    }
}

/// All operations of a shard.
#[derive(Clone, Default)]
pub(crate) struct Operations {
    /// By id.
    running: Vec<Rc<Operation>>,
    /// In the order in which they ended.
    ended: VecDeque<Rc<Operation>>,
    /// Operations that empty a queue, which hands out nothing meanwhile.
    closing: Vec<(u64, u32)>,
}

impl Operations {
    pub(crate) fn running(&self) -> &[Rc<Operation>] {
        &self.running
    }

    pub(crate) fn is_running(&self) -> bool {
        !self.running.is_empty()
    }

    pub(crate) fn ended(&self) -> impl Iterator<Item = &Rc<Operation>> {
        self.ended.iter()
    }

    /// Who has the next step: the one that has looked at the fewest jobs, so that a small one need not wait for a
    /// large one, and none waits for ever.
    pub(crate) fn next(&self) -> Option<&Operation> {
        self.running.iter().min_by_key(|running| (running.looked_at, running.id)).map(|rc| &**rc)
    }

    pub(crate) fn find(&self, id: u64) -> Option<&Operation> {
        let at = self.running.binary_search_by_key(&id, |running| running.id).ok()?;
        Some(&self.running[at])
    }

    pub(crate) fn find_mut(&mut self, id: u64) -> Option<&mut Operation> {
        let at = self.running.binary_search_by_key(&id, |running| running.id).ok()?;
        Some(own(&mut self.running[at]))
    }

    pub(crate) fn has_ended(&self, id: u64) -> bool {
        self.ended.iter().any(|ended| ended.id == id)
    }

    /// Takes an operation in, which closes a queue or not. Ids rise.
    pub(crate) fn start(&mut self, operation: Operation, closes: Option<u32>) {
        let rises = self.running.last().is_none_or(|last| last.id < operation.id);
        assert!(rises, "operations out of order");
        self.closing.extend(closes.map(|queue| (operation.id, queue)));
        self.running.push(Rc::new(operation));
    }

    /// An operation is over. Returns it, and the queue that it closed.
    pub(crate) fn end(
        &mut self,
        id: u64,
        status: OperationStatus,
        now: u64,
    ) -> Option<(Task, Option<u32>)> {
        let at = self.running.binary_search_by_key(&id, |running| running.id).ok()?;
        let mut operation = self.running.remove(at);
        let ended = own(&mut operation);
        (ended.status, ended.ended) = (status, now);
        ended.jobs = Vec::new();
        ended.task = ended.task.without_texts();
        let task = ended.task.clone();
        self.remember(operation);
        let closed = self.closing.iter().position(|(by, _)| *by == id);
        Some((task, closed.map(|at| self.closing.remove(at).1)))
    }

    /// Takes an operation in that is over.
    pub(crate) fn remember(&mut self, operation: Rc<Operation>) {
        if self.ended.len() == OPERATIONS_ENDED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back(operation);
    }

    /// Whether a queue is being emptied.
    #[inline]
    pub(crate) fn closes(&self, queue: u32) -> bool {
        !self.closing.is_empty() && self.closing.iter().any(|(_, closed)| *closed == queue)
    }

    /// Whether an operation has closed a queue.
    pub(crate) fn has_closed(&self, id: u64) -> bool {
        self.closing.iter().any(|(by, _)| *by == id)
    }

    /// Operations that empty queues.
    pub(crate) fn closing(&self) -> impl Iterator<Item = &Operation> {
        self.closing.iter().filter_map(|(id, _)| self.find(*id))
    }
}
