//! Work on many jobs, in the naive model: it looks at every job there is, and follows the engine only in how far a
//! step goes.

use jobbie_proto::event::{BulkAction, Event, JobFilter, QueueSettings, Task};
use jobbie_proto::reply::{JobState, Operated, OperationStatus, OperationView};
use jobbie_proto::request::Operate;
use jobbie_proto::{Code, JobId, Micros, OperationId};

use crate::naive::{Job, Naive};

/// An operation, running or over.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) view: OperationView,
    task: Task,
    jobs: Vec<u64>,
    below: u64,
    cursor: u64,
    closes: bool,
}

impl Operation {
    fn runs(&self) -> bool {
        self.view.status == OperationStatus::Running
    }

    fn is_about(&self, number: u64, job: &Job) -> bool {
        let (filter, view) = (self.task.filter(), &job.view);
        let JobFilter { queue, priority, limit_key, created_after_ms, created_before_ms, .. } =
            &filter;
        let here = view.class.queue == *queue && job.placed.0 < self.view.id.0;
        let created = view.id.created_ms();
        let was_there = view.record.0 < self.view.id.0;
        number < self.below
            && was_there
            && (queue.is_empty() || here)
            && filter.wants(view.state)
            && priority.is_none_or(|priority| view.class.priority == priority)
            && (limit_key.is_empty() || view.limit_key == *limit_key)
            && (*created_after_ms == 0 || created > *created_after_ms)
            && (*created_before_ms == 0 || created < *created_before_ms)
    }

    fn empties(&self, queue: &str) -> bool {
        self.runs() && self.closes && self.task.closes() == Some(queue)
    }
}

impl Naive {
    /// Operations that run, by id, then those that are over, in the order in which they ended.
    pub(crate) fn operation_views(&self) -> Vec<OperationView> {
        let running = self.operations.iter().filter(|operation| operation.runs());
        let running = running.map(|operation| operation.view.clone());
        running.chain(self.ended.iter().cloned()).collect()
    }

    pub(crate) fn operates(&self) -> bool {
        self.operations.iter().any(Operation::runs)
    }

    /// Whether a queue is being emptied.
    pub(crate) fn is_closed(&self, queue: &str) -> bool {
        self.operations.iter().any(|operation| operation.empties(queue))
    }

    /// Whether a unique key is free although a job has it.
    pub(crate) fn unique_is_over(&self, queue: &str, owner: u64) -> bool {
        let job = &self.jobs[&owner];
        let mut closing = self.operations.iter().filter(|operation| operation.closes);
        (self.keys_end_below(queue) > owner && !self.archive.revived.contains(&owner))
            || closing.any(|operation| {
                operation.runs() && owner >= operation.cursor && operation.is_about(owner, job)
            })
    }

    pub(crate) fn keys_end_below(&self, queue: &str) -> u64 {
        self.deleted_below.get(queue).copied().unwrap_or(0)
    }

    pub(crate) fn operate(&mut self, operate: &Operate) -> Operated {
        let event = self.event();
        match operate {
            Operate::Start { task, jobs } => self.start(event, task, jobs),
            Operate::Cancel { operation } => {
                let found = self.operations.iter().position(|other| other.view.id == *operation);
                let code = match found {
                    None => Code::NotFound,
                    Some(at) if !self.operations[at].runs() => Code::IllegalState,
                    Some(at) => {
                        self.over(at, OperationStatus::Cancelled);
                        Code::Ok
                    }
                };
                Operated { code, operation: *operation }
            }
        }
    }

    fn start(&mut self, event: u64, task: &Task, jobs: &[JobId]) -> Operated {
        let mut known: Vec<u64> = Vec::new();
        for id in jobs {
            let seq = id.seq().0;
            if self.find(*id).is_some() && !known.contains(&seq) {
                known.push(seq);
            }
        }
        let unknown = (jobs.len() - known.len()) as u64;
        let filter = task.filter();
        let estimate = self.jobs.values().filter(|job| {
            filter.queue.is_empty()
                || (job.view.class.queue == filter.queue && filter.wants(job.view.state))
        });
        let estimate = if filter.is_empty() { jobs.len() } else { estimate.count() };
        let below = self.next_job;
        let closed = task.closes().filter(|queue| self.queues.contains_key(*queue));
        if let (Task::DeleteQueue { queue }, true) = (task, closed.is_some()) {
            self.queues.insert(queue.clone(), (false, 0, 0));
            self.settings.remove(queue);
            self.draining.remove(queue);
            self.claims.retain(|(name, _), _| name != queue);
            self.deleted_below.insert(queue.clone(), below);
        }
        let id = OperationId(event);
        self.operations.push(Operation {
            closes: closed.is_some(),
            view: OperationView {
                id,
                task: task.without_texts(),
                status: OperationStatus::Running,
                jobs: jobs.len() as u32,
                estimate: estimate as u64,
                looked_at: unknown,
                applied: 0,
                skipped: unknown,
                started: Micros(self.now),
                ended: Micros(0),
            },
            task: task.clone(),
            jobs: known,
            below,
            cursor: 0,
        });
        Operated { code: Code::Ok, operation: id }
    }

    fn over(&mut self, at: usize, status: OperationStatus) {
        let operation = &mut self.operations[at];
        (operation.view.status, operation.view.ended) = (status, Micros(self.now));
        self.ended.push(operation.view.clone());
        let operation = self.operations[at].clone();
        if let (Task::DeleteQueue { queue }, true, OperationStatus::Done) =
            (&operation.task, operation.closes, status)
        {
            let unset = self.settings.get(queue).is_none_or(|s| *s == QueueSettings::default());
            let unused = self.queues.get(queue) == Some(&(false, 0, 0)) && unset;
            if unused && self.jobs.values().all(|job| job.view.class.queue != *queue) {
                self.queues.remove(queue);
            }
        }
    }

    /// Follows one step of an operation.
    pub(crate) fn step(&mut self, events: &[Event]) {
        let next = (0..self.operations.len()).filter(|at| self.operations[*at].runs());
        let next = next.min_by_key(|at| {
            let view = &self.operations[*at].view;
            (view.looked_at, view.id)
        });
        let at = next.expect("an operation without a start made a step");
        let mut changed = 0;
        let mut done = false;
        for event in events {
            match *event {
                Event::OperationAdvanced { operation, cursor, looked_at, applied, skipped } => {
                    assert_eq!(operation, self.operations[at].view.id, "another one's turn");
                    let counts = self.advance(at, cursor);
                    let said = [looked_at, applied, skipped].map(u64::from);
                    assert_eq!(said, counts, "looked at, applied, skipped");
                    let dry = self.operations[at].task.is_dry_run();
                    assert_eq!(changed, if dry { 0 } else { counts[1] }, "jobs changed");
                    self.event();
                }
                Event::OperationEnded { cancelled, .. } => {
                    assert!(!cancelled, "nobody cancelled it");
                    self.event();
                    self.finish_operation(at);
                    done = true;
                }
                _ => changed += event.count(),
            }
        }
        assert_eq!(done, !self.operations[at].runs(), "a step after the end");
    }

    /// Does to every job what the step should have done.
    fn advance(&mut self, at: usize, cursor: u64) -> [u64; 3] {
        let operation = self.operations[at].clone();
        assert!(cursor >= operation.cursor, "it went back");
        let before_ms = operation.task.filter().created_before_ms;
        let (mut looked_at, mut applied, mut skipped) = (0, 0, 0);
        let numbers: Vec<u64> = if operation.task.filter().is_empty() {
            operation.jobs[operation.cursor as usize..cursor as usize].to_vec()
        } else {
            assert!(cursor <= operation.below, "it went too far");
            self.jobs.range(operation.cursor..cursor).map(|(number, _)| *number).collect()
        };
        for number in numbers {
            let Some(job) = self.jobs.get(&number) else {
                (looked_at, skipped) = (looked_at + 1, skipped + 1);
                continue;
            };
            if before_ms > 0 && job.view.id.created_ms() >= before_ms {
                continue;
            }
            looked_at += 1;
            if !operation.task.filter().is_empty() && !operation.is_about(number, job) {
                continue;
            }
            let id = job.view.id;
            if !may(&operation.task, job.view.state) {
                skipped += 1;
                continue;
            }
            applied += 1;
            if !operation.task.is_dry_run() {
                self.apply(id, &operation.task);
            }
        }
        let operation = &mut self.operations[at];
        operation.cursor = cursor;
        operation.view.looked_at += looked_at;
        operation.view.applied += applied;
        operation.view.skipped += skipped;
        [looked_at, applied, skipped]
    }

    fn apply(&mut self, id: JobId, task: &Task) {
        let action = match task {
            Task::Clear { .. } | Task::DeleteQueue { .. } => &BulkAction::Delete,
            Task::Bulk { action, .. } => action,
        };
        let code = match (action, action.for_job()) {
            (_, Some(control)) => self.control(id, &control),
            (BulkAction::Cancel, _) => self.cancel(id),
            _ => {
                self.event();
                self.remove(id.seq().0);
                Code::Ok
            }
        };
        assert_eq!(code, Code::Ok, "{action:?} is done where it may be");
    }

    fn finish_operation(&mut self, at: usize) {
        let operation = &self.operations[at];
        let end = if operation.task.filter().is_empty() {
            operation.jobs.len() as u64
        } else {
            operation.below
        };
        assert_eq!(operation.cursor, end, "it ended before it was done");
        self.over(at, OperationStatus::Done);
    }
}

/// Whether the task does something to a job in this state.
fn may(task: &Task, state: JobState) -> bool {
    match task {
        Task::Clear { .. } | Task::DeleteQueue { .. } => true,
        Task::Bulk { action: BulkAction::Delete, .. } => true,
        Task::Bulk { action: BulkAction::Cancel, .. } => {
            !matches!(state, JobState::Dead | JobState::Cancelled)
        }
        Task::Bulk { action, .. } => {
            Naive::is_legal(&action.for_job().expect("neither of the two"), state)
        }
    }
}
