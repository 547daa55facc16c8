//! Events of operations.

use jobbie_proto::event::{Event, StartedOperation, Task};
use jobbie_proto::reply::{Operated, OperationStatus};
use jobbie_proto::{Code, OperationId, Reply};
use xxhash_rust::xxh3::xxh3_64;

use super::Mark;
use crate::operations::Operation;
use crate::state::State;

impl State {
    /// Absorbs an event of this module.
    pub(super) fn absorb_operation(&mut self, event: &Event, reply: &mut Reply) {
        let (operation, code) = match event {
            Event::OperationStarted(started) => (self.operation_started(started), Code::Ok),
            Event::OperationAdvanced { operation, cursor, looked_at, applied, skipped } => {
                let counts = [*looked_at, *applied, *skipped];
                return self.operation_advanced(*operation, *cursor, counts);
            }
            Event::OperationEnded { operation, cancelled } => {
                self.operation_ended(*operation, *cancelled);
                (*operation, Code::Ok)
            }
            Event::OperationRefused { operation, code } => {
                self.nothing(&[operation.0, *code as u64]);
                (*operation, *code)
            }
            other => unreachable!("{other:?} is absorbed elsewhere"),
        };
        reply.operated = Some(Operated { code, operation });
    }

    fn operation_started(&mut self, started: &StartedOperation) -> OperationId {
        let id = self.number_event();
        let StartedOperation { task, jobs, unknown, below } = started;
        assert!(below.0 <= self.next_job, "an operation on jobs that do not exist");
        let unknown = u64::from(*unknown);
        let mut operation = Operation {
            id,
            task: task.clone(),
            filter: task.filter(),
            jobs: jobs.clone(),
            named: jobs.len() as u32 + unknown as u32,
            below: below.0,
            cursor: 0,
            estimate: 0,
            looked_at: unknown,
            applied: 0,
            skipped: unknown,
            started: self.time,
            ended: 0,
            status: OperationStatus::Running,
        };
        operation.estimate = self.estimate(&operation);
        let name = xxh3_64(operation.filter.queue.as_bytes());
        self.digest.mix_all(&[Mark::OperationStarted as u64, name, jobs.len() as u64, below.0]);
        self.digest.mix_all(&[operation.estimate, unknown]);
        let closes = task.closes().and_then(|queue| self.queues.find(queue));
        let closes = closes.filter(|at| !self.queues.get(*at).hidden);
        self.operations.start(operation, closes);
        if let (Task::DeleteQueue { .. }, Some(at)) = (task, closes) {
            self.reset_queue(at, below.0);
        }
        OperationId(id)
    }

    fn operation_advanced(&mut self, id: OperationId, cursor: u64, counts: [u32; 3]) {
        self.number_event();
        let operation = self.operations.find_mut(id.0).expect("an operation that runs advances");
        assert!(cursor >= operation.cursor, "operation {id} went back");
        let [looked_at, applied, skipped] = counts.map(u64::from);
        operation.cursor = cursor;
        operation.looked_at += looked_at;
        operation.applied += applied;
        operation.skipped += skipped;
        self.digest.mix_all(&[Mark::OperationAdvanced as u64, id.0, cursor]);
        self.digest.mix_all(&[looked_at, applied, skipped]);
    }

    fn operation_ended(&mut self, id: OperationId, cancelled: bool) {
        self.number_event();
        let status = if cancelled { OperationStatus::Cancelled } else { OperationStatus::Done };
        let ended = self.operations.end(id.0, status, self.time);
        let (task, closed) = ended.expect("an operation that runs ends");
        self.digest.mix_all(&[Mark::OperationEnded as u64, id.0, u64::from(cancelled)]);
        self.reopen(&task, closed, cancelled);
    }
}
