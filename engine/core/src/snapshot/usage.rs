//! Usage in a snapshot.

use jobbie_proto::usage::Amounts;
use rkyv::{Archive, Deserialize, Serialize};

use super::read::{Checked, require};
use crate::state::State;
use crate::usage::{QueueCost, Sum, SumKey};

/// Rows of one chunk: each is below half a kilobyte.
const ROWS: usize = 400;

/// What the work on a job has cost.
#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(super) struct CostRow {
    pub(super) job: u64,
    pub(super) micros: u64,
}

impl CostRow {
    pub(super) fn of(job: u64, state: &State) -> Option<Self> {
        let told = !crate::mutant!(CostMissingFromSnapshot);
        state.usage.row_of(job).filter(|_| told).map(|micros| Self { job, micros })
    }
}

#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(super) enum UsageRow {
    /// What the jobs of a queue cost; of the whole shard when it has no name.
    Queue { queue: String, day: u64, spent_micros: u64, acks: u64, ack_micros: u64 },
    /// What was used in an hour.
    Sum {
        hour: u32,
        queue: String,
        model: String,
        provider: String,
        reports: u64,
        amounts: Amounts,
    },
}

/// Where a snapshot of usage goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UsageCursor {
    /// After the queue of this name.
    Queues(Option<String>),
    /// After this sum.
    Sums(Option<SumKey>),
}

impl UsageCursor {
    pub(super) const START: Self = Self::Queues(None);
}

fn queue_row(name: &str, cost: &QueueCost) -> UsageRow {
    let QueueCost { day, spent_micros, acks, ack_micros } = *cost;
    UsageRow::Queue { queue: name.to_owned(), day, spent_micros, acks, ack_micros }
}

fn sum_row(key: &SumKey, sum: &Sum) -> UsageRow {
    UsageRow::Sum {
        hour: key.hour,
        queue: key.queue.to_string(),
        model: key.model.to_string(),
        provider: key.provider.to_string(),
        reports: sum.reports,
        amounts: sum.amounts,
    }
}

/// Rows from a place on, and where to go on.
pub(super) fn rows(state: &State, from: UsageCursor) -> (Vec<UsageRow>, Option<UsageCursor>) {
    match from {
        UsageCursor::Queues(after) => {
            let queues = state.usage.queues_after(after.as_deref());
            let rows: Vec<_> =
                queues.take(ROWS).map(|(name, cost)| queue_row(name, cost)).collect();
            let next = match rows.last() {
                Some(UsageRow::Queue { queue, .. }) if rows.len() == ROWS => {
                    UsageCursor::Queues(Some(queue.clone()))
                }
                _ => UsageCursor::Sums(None),
            };
            (rows, Some(next))
        }
        UsageCursor::Sums(after) => {
            let sums: Vec<_> = state.usage.sums_after(after.as_ref()).take(ROWS).collect();
            let last = sums.last().filter(|_| sums.len() == ROWS);
            let next = last.map(|(key, _)| UsageCursor::Sums(Some((*key).clone())));
            (sums.iter().map(|(key, sum)| sum_row(key, sum)).collect(), next)
        }
    }
}

pub(super) fn restore_cost(state: &mut State, row: CostRow) -> Checked {
    require(state.jobs.contains(row.job), "a cost of an unknown job")?;
    require(state.usage.restore_cost(row.job, row.micros), "a job has two costs")
}

pub(super) fn restore(state: &mut State, row: UsageRow) -> Checked {
    match row {
        UsageRow::Queue { queue, day, spent_micros, acks, ack_micros } => {
            let cost = QueueCost { day, spent_micros, acks, ack_micros };
            let known = queue.is_empty() || state.queues.find(&queue).is_some();
            require(known, "a cost of an unknown queue")?;
            require(state.usage.restore_queue(queue.into(), cost), "a queue costs twice")
        }
        UsageRow::Sum { hour, queue, model, provider, reports, amounts } => {
            let (queue, model, provider) = (queue.into(), model.into(), provider.into());
            let key = SumKey { hour, queue, model, provider };
            require(reports > 0, "a sum of nothing")?;
            let new = state.usage.restore_sum(key, Sum { reports, amounts });
            require(new, "a sum of usage comes twice")
        }
    }
}
