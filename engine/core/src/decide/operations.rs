//! Operations: beginning and ending them, and what each does next.

use std::hash::BuildHasherDefault;

use hashbrown::HashSet;
use jobbie_proto::event::{Blob, BulkAction, Event, StartedOperation, Task};
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{JobAction, Operate};
use jobbie_proto::{Code, JobId, JobSeq, Micros, OperationId, Request};

use super::BlobSink;
use super::controls::rule;
use super::draft::{Draft, JobHasher};
use crate::operations::Operation;
use crate::state::State;

/// Jobs that a step looks at for each that it may change: looking is cheap.
const LOOKS: usize = 4;
/// Of a job that gets an event of its own, a step may change one for so many that share one.
const SHARE: usize = 4;

impl Draft<'_> {
    pub(super) fn operate(&mut self, operate: &Operate) {
        self.events.push(match operate {
            Operate::Start { task, jobs } => {
                let (jobs, unknown) = self.known(jobs);
                let below = self.state.next_job();
                let started = StartedOperation { task: task.clone(), jobs, unknown, below };
                Event::OperationStarted(Box::new(started))
            }
            Operate::Cancel { operation } => {
                let operation = *operation;
                let operations = &self.state.operations;
                if operations.find(operation.0).is_some() {
                    Event::OperationEnded { operation, cancelled: true }
                } else {
                    let ended = operations.has_ended(operation.0);
                    let code = if ended { Code::IllegalState } else { Code::NotFound };
                    Event::OperationRefused { operation, code }
                }
            }
        });
    }

    /// The jobs that are there, each once, and how many others were named.
    fn known(&self, jobs: &[JobId]) -> (Vec<JobSeq>, u32) {
        let mut named = HashSet::<u64, BuildHasherDefault<JobHasher>>::default();
        let found = jobs.iter().filter_map(|job| self.state.resolve(*job).ok());
        let known: Vec<_> = found.filter(|seq| named.insert(*seq)).map(JobSeq).collect();
        let unknown = (jobs.len() - known.len()) as u32;
        (known, unknown)
    }
}

/// The next step of an operation, which changes at most `limit` jobs and looks at a few times as many. Absorb it
/// as a group of no session, and ask again while there are events: an operation that runs always has a next step.
#[must_use]
pub fn decide_operations(
    state: &State,
    now: Micros,
    limit: usize,
    blob: &mut impl BlobSink,
) -> Vec<Event> {
    let Some(operation) = state.operations.next() else { return Vec::new() };
    let mut step = Step::new(state, now, operation, limit, blob);
    let next = if operation.filter.is_empty() { step.list() } else { step.walk() };
    let Step { mut draft, looked_at, applied, skipped, .. } = step;
    let id = OperationId(operation.id);
    let cursor = next.unwrap_or(match operation.filter.is_empty() {
        true => operation.jobs.len() as u64,
        false => operation.below,
    });
    draft.events.push(Event::OperationAdvanced {
        operation: id,
        cursor,
        looked_at,
        applied,
        skipped,
    });
    if next.is_none() {
        draft.events.push(Event::OperationEnded { operation: id, cancelled: false });
    }
    draft.events
}

/// What is done to a job.
enum Act<'a> {
    Cancel,
    Delete,
    Control(JobAction<'a>),
}

struct Step<'a, S> {
    draft: Draft<'a>,
    blob: Shared<'a, S>,
    operation: &'a Operation,
    act: Act<'a>,
    legal: &'static [JobState],
    looks_max: u32,
    applied_max: u32,
    looked_at: u32,
    applied: u32,
    skipped: u32,
}

impl<'a, S: BlobSink> Step<'a, S> {
    fn new(
        state: &'a State,
        now: Micros,
        operation: &'a Operation,
        limit: usize,
        blob: &'a mut S,
    ) -> Self {
        use JobState::{Active, Held, Pending, Planned, Retrying, Scheduled};
        let act = match &operation.task {
            Task::Clear { .. } | Task::DeleteQueue { .. } => Act::Delete,
            Task::Bulk { action, .. } => match (action, action.for_job()) {
                (_, Some(control)) => Act::Control(control),
                (BulkAction::Cancel, None) => Act::Cancel,
                (_, None) => Act::Delete,
            },
        };
        let (legal, share) = match &act {
            Act::Cancel => (&[Pending, Scheduled, Active, Retrying, Held, Planned][..], 1),
            Act::Delete => (&JobState::HERE[..], 1),
            Act::Control(control) => (rule(control).1, if has_list(control) { 1 } else { SHARE }),
        };
        Self {
            draft: Draft::new(state, now, &Request::default()),
            blob: Shared { sink: blob, known: Vec::new() },
            operation,
            act,
            legal,
            looks_max: limit.max(1).saturating_mul(LOOKS).try_into().unwrap_or(u32::MAX),
            applied_max: (limit / share).max(1).try_into().unwrap_or(u32::MAX),
            looked_at: 0,
            applied: 0,
            skipped: 0,
        }
    }

    fn is_full(&self) -> bool {
        let is_dry = self.operation.task.is_dry_run();
        self.looked_at >= self.looks_max || (self.applied >= self.applied_max && !is_dry)
    }

    /// Looks at jobs by their numbers; where to go on, if there are more.
    fn walk(&mut self) -> Option<u64> {
        let state = self.draft.state;
        let Operation { below, cursor, filter, .. } = self.operation;
        let closes = self.operation.task.closes().is_some();
        let end =
            if closes && crate::mutant!(ClearTakesLaterJobs) { state.next_job } else { *below };
        let before_ms = filter.created_before_ms;
        let mut next = state.jobs.next(*cursor, end, false);
        while let Some(job) = next {
            // They were created in the order of their numbers.
            if before_ms > 0 && state.jobs.origin(job).created_ms >= before_ms {
                return None;
            }
            if self.is_full() {
                return next;
            }
            self.looked_at += 1;
            if state.is_meant(self.operation, job) {
                self.apply(job);
            }
            next = state.jobs.next(job + 1, end, false);
        }
        None
    }

    /// Goes on in the list of the jobs that are named; where to go on, if there are more.
    fn list(&mut self) -> Option<u64> {
        let Operation { jobs, cursor, .. } = self.operation;
        for (at, job) in (*cursor..).zip(&jobs[*cursor as usize..]) {
            if self.is_full() {
                return Some(at);
            }
            self.looked_at += 1;
            if self.draft.state.jobs.contains(job.0) {
                self.apply(job.0);
            } else {
                self.skipped += 1;
            }
        }
        None
    }

    fn apply(&mut self, job: u64) {
        let is_legal = self.legal.contains(&self.draft.state.job_state(job));
        let is_possible = match &self.act {
            Act::Control(control) => self.draft.is_possible(job, control).is_ok(),
            Act::Cancel | Act::Delete => true,
        };
        if !is_legal || !is_possible {
            self.skipped += 1;
            return;
        }
        self.applied += 1;
        if self.operation.task.is_dry_run() {
            return;
        }
        match &self.act {
            Act::Cancel => self.draft.push_job(job, |jobs| Event::Cancelled { jobs }),
            Act::Delete => self.draft.push_job(job, |jobs| Event::Deleted { jobs }),
            Act::Control(control) => self.draft.job_control(job, control, &mut self.blob),
        }
    }
}

/// Whether jobs share an event.
fn has_list(control: &JobAction<'_>) -> bool {
    matches!(control, JobAction::Retry | JobAction::Requeue | JobAction::Prioritize { .. })
}

/// The texts that an operation says of its jobs are the same for all of them, and are in the log once a step.
struct Shared<'a, S> {
    sink: &'a mut S,
    known: Vec<(Vec<u8>, Blob)>,
}

impl<S: BlobSink> BlobSink for Shared<'_, S> {
    fn append(&mut self, bytes: &[u8]) -> Blob {
        if let Some((_, blob)) = self.known.iter().find(|(known, _)| known == bytes) {
            return *blob;
        }
        let blob = self.sink.append(bytes);
        self.known.push((bytes.to_vec(), blob));
        blob
    }
}
