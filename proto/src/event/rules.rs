//! What happens to budgets and approval policies, and because of them.

use rkyv::{Archive, Deserialize, Serialize};

use crate::rules::{Budget, OnExceed, Policy, Scope};
use crate::usage::dollars;
use crate::{Code, EventSeq, JobSeq, Micros, ShardId};

/// A job and the rules whose tag it has.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct TaggedJob {
    /// The job, which came into being just before, in the same group.
    pub job: JobSeq,
    /// Budgets and policies, by rising number.
    pub rules: Vec<EventSeq>,
}

/// Why a budget is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
#[repr(u8)]
pub enum Excess {
    /// As much was spent on the day as may be.
    Daily = 0,
    /// The jobs of a queue cost more in the mean than one may cost.
    Mean = 1,
}

/// Where it was noticed that a job costs more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
#[repr(u8)]
pub enum OverrunAt {
    /// At its ack, which is refused.
    Ack = 0,
    /// At a heartbeat.
    Heartbeat = 1,
}

/// A fact about budgets and policies. Those that concern jobs of all shards become facts at their home first, and then, by messages, the same
/// facts on every other shard.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Rule {
    /// A budget was set.
    BudgetSet {
        /// The number of the event that made it, on its home; 0 is this one.
        id: EventSeq,
        /// When it was made.
        created: Micros,
        /// What it says from now on.
        budget: Budget,
    },
    /// There is no budget of this scope any more, or never was.
    BudgetDeleted {
        /// The scope.
        scope: Scope,
    },
    /// A policy was made.
    PolicyAdded {
        /// The number of the event that made it, on its home; 0 is this one.
        id: EventSeq,
        /// When.
        created: Micros,
        /// What it says.
        policy: Policy,
    },
    /// A policy was removed, or could not be.
    PolicyDeleted {
        /// The policy named.
        id: EventSeq,
        /// [`Code::Ok`], or [`Code::NotFound`]: nothing changed.
        code: Code,
    },
    /// New jobs have tags that rules name.
    Tagged {
        /// Those of them that do.
        jobs: Vec<TaggedJob>,
    },
    /// Jobs of another shard cost money that a budget counts here.
    Spent {
        /// Whose jobs.
        of: ShardId,
        /// The budget.
        budget: EventSeq,
        /// The day they did, as [`day_of`](crate::rules::day_of) counts.
        day: u32,
        /// How much, in millionths of a dollar.
        micros: u64,
    },
    /// A budget has no money left: once for each day and setting. Another shard takes it as word from the budget's home.
    Exceeded {
        /// The budget.
        scope: Scope,
        /// Its number.
        budget: EventSeq,
        /// Why.
        excess: Excess,
        /// The day.
        day: u32,
        /// What was spent on it; for a mean, what the jobs of the queue cost in the mean.
        spent: u64,
        /// What may be.
        limit: u64,
        /// What happens.
        on_exceed: OnExceed,
        /// The job at the head of the queue, which is held from now on.
        held: Option<JobSeq>,
        /// Why, for people; empty when no job is held.
        reason: String,
    },
    /// Another day has begun: what was exceeded is not.
    DayTurned {
        /// The day.
        day: u32,
    },
    /// An active job costs more than a budget allows.
    Overrun {
        /// The job.
        job: JobSeq,
        /// When that was noticed.
        at: OverrunAt,
        /// The budget.
        scope: Scope,
        /// What the job has cost, in millionths of a dollar.
        spent: u64,
        /// What it may.
        limit: u64,
        /// What happens: at an ack it is held when this is [`OnExceed::Reject`]; at a heartbeat it is held or, with `Reject`, cancelled.
        on_exceed: OnExceed,
        /// Why, for people.
        reason: String,
    },
}

impl Rule {
    /// Why a job is held by it, for people; empty when it holds none.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Rule::Exceeded { reason, .. } | Rule::Overrun { reason, .. } => reason,
            _ => "",
        }
    }

    /// With words for people, if it holds or ends a job.
    #[must_use]
    pub fn explained(mut self) -> Self {
        match &mut self {
            Rule::Exceeded { scope, excess, spent, limit, held: Some(_), reason, .. } => {
                let (spent, limit) = (dollars(*spent), dollars(*limit));
                *reason = match excess {
                    Excess::Daily => {
                        format!("budget exceeded: {scope}, {spent} of {limit} USD spent today")
                    }
                    Excess::Mean => format!(
                        "budget exceeded: {scope}, jobs cost {spent} USD in the mean, {limit} at most"
                    ),
                };
            }
            Rule::Overrun { scope, spent, limit, reason, .. } => {
                let (spent, limit) = (dollars(*spent), dollars(*limit));
                *reason = format!("budget exceeded: {scope}, the job cost {spent} of {limit} USD");
            }
            _ => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/format.md gives them.
    #[test]
    fn records_have_the_documented_sizes() {
        let sizes = [
            size_of::<ArchivedRule>(),
            size_of::<rkyv::Archived<Budget>>(),
            size_of::<rkyv::Archived<Policy>>(),
            size_of::<rkyv::Archived<Scope>>(),
            size_of::<ArchivedTaggedJob>(),
        ];
        assert_eq!(sizes, [65, 36, 36, 17, 16]);
    }
}
