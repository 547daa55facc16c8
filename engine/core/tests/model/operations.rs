//! Random operations.

use jobbie_core::decide_operations;
use jobbie_proto::event::{BulkAction, Group, HoldEnd, JobFilter, Task};
use jobbie_proto::request::Operate;
use jobbie_proto::{JobId, OperationId};
use proptest::prelude::*;

use crate::driver::Driver;
use crate::values::{LIMIT_KEYS, QUEUES};

/// An operation to be.
#[derive(Clone, Debug)]
pub(crate) enum Meant {
    Clear { queue: usize },
    DeleteQueue { queue: usize },
    Jobs { action: u8, with: u8, jobs: Vec<usize>, dry_run: bool },
    Filter { action: u8, with: u8, filter: [u8; 5], dry_run: bool },
}

pub(crate) fn meant() -> impl Strategy<Value = Meant> {
    let rarely = || prop::bool::weighted(0.2);
    prop_oneof![
        2 => (0..3_usize).prop_map(|queue| Meant::Clear { queue }),
        2 => (0..3_usize).prop_map(|queue| Meant::DeleteQueue { queue }),
        2 => (0..9_u8, any::<u8>(), prop::collection::vec(0..12_usize, 1..8), rarely()).prop_map(
            |(action, with, jobs, dry_run)| Meant::Jobs { action, with, jobs, dry_run }),
        4 => (0..9_u8, any::<u8>(), any::<[u8; 5]>(), rarely()).prop_map(
            |(action, with, filter, dry_run)| Meant::Filter { action, with, filter, dry_run }),
    ]
}

pub(crate) fn operate(meant: &Meant, job: impl Fn(usize) -> JobId) -> Operate {
    let (task, jobs) = match meant {
        Meant::Clear { queue } => (Task::Clear { queue: QUEUES[*queue].into() }, Vec::new()),
        Meant::DeleteQueue { queue } => {
            (Task::DeleteQueue { queue: QUEUES[*queue].into() }, Vec::new())
        }
        Meant::Jobs { action, with, jobs, dry_run } => {
            let (filter, action) = (JobFilter::default(), bulk(*action, *with));
            let task = Task::Bulk { action, filter, dry_run: *dry_run };
            (task, jobs.iter().map(|nth| job(*nth)).collect())
        }
        Meant::Filter { action, with, filter, dry_run } => {
            let (filter, action) = (make_filter(*filter), bulk(*action, *with));
            (Task::Bulk { action, filter, dry_run: *dry_run }, Vec::new())
        }
    };
    Operate::Start { task, jobs }
}

impl Driver {
    pub(crate) fn operate(&mut self, client: u8, meant: &Meant) {
        self.model.now = self.now.0;
        let mut request = self.build(client, &[], false);
        request.operation = Some(operate(meant, |nth| self.job(nth, 0).job));
        self.perform(&request);
    }

    pub(crate) fn cancel_operation(&mut self, client: u8, back: usize) {
        self.model.now = self.now.0;
        let mut request = self.build(client, &[], false);
        let views = self.model.operation_views();
        let operation = views.iter().rev().nth(back).map_or(OperationId(1), |view| view.id);
        request.operation = Some(Operate::Cancel { operation });
        self.perform(&request);
    }

    /// Some steps of what runs.
    pub(crate) fn operations(&mut self, limit: usize, times: usize) {
        self.model.now = self.now.0;
        for _ in 0..times {
            let events = decide_operations(&self.state, self.now, limit, &mut Vec::new());
            assert_eq!(events.is_empty(), !self.model.operates(), "a step of nothing, or none");
            if events.is_empty() {
                return;
            }
            let changed: u64 = events.iter().map(jobbie_proto::Event::count).sum();
            assert!(changed <= limit as u64 + 2, "a larger step than asked for");
            self.model.step(&events);
            assert_eq!(self.absorb(Group { events, ..Group::default() }), None);
        }
    }
}

fn bulk(action: u8, with: u8) -> BulkAction {
    let by = || "ann".to_owned();
    match action {
        0 => BulkAction::Cancel,
        1 => BulkAction::Delete,
        2 => BulkAction::Retry,
        3 => BulkAction::Requeue,
        4 => {
            let then = HoldEnd::from_u8(with % 3).expect("three");
            let timeout_ms = if then == HoldEnd::Stay { 0 } else { 700 };
            BulkAction::Hold { reason: "look".into(), by: by(), timeout_ms, then }
        }
        5 => BulkAction::Approve { note: "fine".into(), by: by() },
        6 => BulkAction::Reject { reason: "no".into(), by: by() },
        7 => BulkAction::Move { queue: QUEUES[usize::from(with % 3)].into() },
        _ => BulkAction::Prioritize { priority: with % 3 },
    }
}

/// Never one that means everything.
fn make_filter([queue, states, priority, key, created]: [u8; 5]) -> JobFilter {
    let filter = JobFilter {
        queue: if queue < 170 { QUEUES[usize::from(queue % 3)].into() } else { String::new() },
        // Not those that are completed.
        states: if states < 128 {
            0
        } else {
            (u16::from(states) << 1 | u16::from(states & 1)) & 0b1_1101_1111
        },
        priority: (priority < 40).then_some(priority % 3),
        limit_key: if key < 30 {
            LIMIT_KEYS[3 + usize::from(key % 2)].into()
        } else {
            String::new()
        },
        created_after_ms: if created % 8 == 1 { 1_000_000 } else { 0 },
        created_before_ms: if created % 8 == 2 { 1_000_900 } else { 0 },
    };
    if filter.is_empty() { JobFilter::of_queue(QUEUES[0]) } else { filter }
}
