//! What a client does to many jobs at once.

use jobbie_proto::event::{BulkAction, HoldEnd, JobFilter, Task};
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{JobAction, JobControl, Operate};
use jobbie_proto::{OperationId, Request};

use super::Client;

impl Client {
    /// Begins an operation, or now and then ends one.
    pub(super) fn operate_on_many(&mut self) {
        let queue = self.queues[self.rng.below(self.queues.len() as u64) as usize].clone();
        let operate = match self.rng.below(12) {
            0 | 1 => start(Task::Clear { queue }),
            2 => start(Task::DeleteQueue { queue }),
            3 | 4 => self.end_one(),
            5..=7 => {
                let (action, filter) = (self.any_bulk(), JobFilter::default());
                let jobs = self.any_known(8);
                if jobs.is_empty() {
                    return;
                }
                let task = Task::Bulk { action, filter, dry_run: self.rng.below(5) == 0 };
                Operate::Start { task, jobs }
            }
            _ => {
                let filter = self.any_filter(&queue);
                let (action, dry_run) = (self.any_bulk(), self.rng.below(5) == 0);
                start(Task::Bulk { action, filter, dry_run })
            }
        };
        self.submit(Request { operation: Some(operate), ..Request::default() });
    }

    fn end_one(&mut self) -> Operate {
        let running =
            self.world.ledger.with(self.shard, |book| book.model.operations.keys().next().copied());
        Operate::Cancel { operation: OperationId(running.unwrap_or(1)) }
    }

    fn any_filter(&mut self, queue: &str) -> JobFilter {
        let filter = JobFilter::of_queue(queue);
        match self.rng.below(4) {
            0 => JobFilter { priority: Some(self.rng.below(3) as u8), ..filter },
            1 => filter.in_states(&[JobState::Dead, JobState::Cancelled]),
            2 => JobFilter { queue: String::new(), ..filter }.in_states(&[
                JobState::Held,
                JobState::Retrying,
                JobState::Scheduled,
            ]),
            _ => filter,
        }
    }

    fn any_bulk(&mut self) -> BulkAction {
        let by = || "an operator".to_owned();
        match self.rng.below(9) {
            0 => BulkAction::Cancel,
            1 => BulkAction::Delete,
            2 => BulkAction::Retry,
            3 => BulkAction::Requeue,
            4 => BulkAction::Hold {
                reason: "look at them".into(),
                by: by(),
                timeout_ms: 700,
                then: HoldEnd::Approve,
            },
            5 => BulkAction::Approve { note: "fine".into(), by: by() },
            6 => BulkAction::Reject { reason: "no".into(), by: by() },
            7 => BulkAction::Move { queue: self.any_target() },
            _ => BulkAction::Prioritize { priority: self.rng.below(3) as u8 },
        }
    }
}

impl Client {
    /// A queue to which jobs go.
    pub(super) fn any_target(&mut self) -> String {
        let queues = match self.world.plan.moves {
            true => self.world.plan.all_queues(),
            false => self.queues.clone(),
        };
        queues[self.rng.below(queues.len() as u64) as usize].clone()
    }

    /// Moves some of the jobs that are here, whoever knows of them and whatever they are doing.
    pub(super) fn move_some(&mut self) {
        let some = self.rng.below(1 << 20) as usize;
        let count = 1 + self.rng.below(4) as usize;
        let jobs = self.world.ledger.with(self.shard, |book| {
            let live: Vec<_> = book.model.live.iter().copied().collect();
            let from = live.len().checked_sub(count).map_or(0, |most| some % (most + 1));
            let some = live.into_iter().skip(from).take(count);
            some.map(|seq| book.model.job(seq).id).collect::<Vec<_>>()
        });
        let queue = self.any_target();
        let action = JobAction::Move { queue: &queue };
        let job_controls = jobs.into_iter().map(|job| JobControl { job, action }).collect();
        self.submit(Request { job_controls, ..Request::default() });
    }
}

fn start(task: Task) -> Operate {
    Operate::Start { task, jobs: Vec::new() }
}
