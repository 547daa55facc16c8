//! Budgets and approval policies: what they say, in requests, events, letters and answers alike.
//!
//! Amounts of money are whole millionths of a dollar.

use rkyv::{Archive, Deserialize, Serialize};

use crate::placement::shard_of;
use crate::{EventSeq, ShardId};

/// A tag by which rules find jobs: a key of the JSON object that a job has as its tags, and the value there. Strings are compared by
/// their content, numbers, `true` and `false` by their text. Other values have no text and match nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize)]
pub struct JobTag {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

/// What a budget is about. There is one budget for each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize)]
pub enum Scope {
    /// All jobs.
    Global,
    /// The jobs of a queue.
    Queue(String),
    /// Jobs with a tag.
    Tag(JobTag),
}

impl Scope {
    /// The shard where a budget is set, listed and added up.
    #[must_use]
    pub fn home(&self, shards: u16) -> ShardId {
        match self {
            Scope::Queue(queue) => shard_of(queue, shards),
            Scope::Global | Scope::Tag(_) => RULES_HOME,
        }
    }

    /// Whether jobs of several shards count together.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        !matches!(self, Scope::Queue(_))
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Scope::Global => f.write_str("global"),
            Scope::Queue(queue) => write!(f, "queue {queue}"),
            Scope::Tag(JobTag { key, value }) => write!(f, "tag {key}={value}"),
        }
    }
}

/// Where everything is set that concerns jobs of all shards: the budgets of tags, the global one, approval policies. One place, so that
/// they have one order and their numbers one bound.
pub const RULES_HOME: ShardId = ShardId(0);

/// What happens to work that a budget has no money for. Later is stricter.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Archive,
    Serialize,
    Deserialize,
)]
#[repr(u8)]
pub enum OnExceed {
    /// It goes on; the log and the statistics say so.
    AlertOnly = 0,
    /// It waits.
    #[default]
    Hold = 1,
    /// It is refused.
    Reject = 2,
}

impl OnExceed {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AlertOnly, Self::Hold, Self::Reject];

    /// The one with this number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its name on every surface.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AlertOnly => "alert_only",
            Self::Hold => "hold",
            Self::Reject => "reject",
        }
    }
}

/// How much may be spent.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Budget {
    /// For what.
    pub scope: Scope,
    /// On one day, from 00:00 UTC, in millionths of a dollar, at most
    /// [`BUDGET_MICROS_MAX`](crate::limits::BUDGET_MICROS_MAX). Nothing is given out when as much is spent; so 0 stops everything.
    pub daily: Option<u64>,
    /// On one job, in the same unit and range. More than this is too much.
    pub per_job: Option<u64>,
    /// What happens then.
    pub on_exceed: OnExceed,
}

/// Which of a policy's conditions must be true.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Archive,
    Serialize,
    Deserialize,
)]
#[repr(u8)]
pub enum PolicyMode {
    /// One of those it has.
    #[default]
    Any = 0,
    /// All it has.
    All = 1,
}

impl PolicyMode {
    /// Its name on every surface.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::All => "all",
        }
    }
}

/// Which agent jobs wait for a human before they go on. One without a condition concerns none.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Policy {
    /// For people; several may have one name.
    pub name: String,
    /// How the conditions go together.
    pub mode: PolicyMode,
    /// Whether it is looked at.
    pub enabled: bool,
    /// Condition: the job is in this queue.
    pub queue: Option<String>,
    /// Condition: the job has this tag.
    pub tag: Option<JobTag>,
}

/// What a client does to budgets and policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleControl {
    /// Makes a budget, or gives the one of that scope other limits.
    SetBudget(Budget),
    /// Removes a budget, if there is one.
    DeleteBudget(Scope),
    /// Makes a policy, newer than all others.
    AddPolicy(Policy),
    /// Removes a policy.
    DeletePolicy(EventSeq),
}

impl RuleControl {
    /// The shard that does it.
    #[must_use]
    pub fn home(&self, shards: u16) -> ShardId {
        match self {
            RuleControl::SetBudget(budget) => budget.scope.home(shards),
            RuleControl::DeleteBudget(scope) => scope.home(shards),
            RuleControl::AddPolicy(_) | RuleControl::DeletePolicy(_) => RULES_HOME,
        }
    }
}

/// Microseconds of a day.
pub const DAY_US: u64 = 24 * 3600 * 1_000_000;

/// The day of a time: how many have begun at 00:00 UTC since 1970.
#[must_use]
pub fn day_of(time: crate::Micros) -> u32 {
    // A time of 2^44 ms fits.
    (time.0 / DAY_US) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_turn_at_midnight() {
        let day = |us| day_of(crate::Micros(us));
        assert_eq!((day(0), day(DAY_US - 1), day(DAY_US)), (0, 0, 1));
    }
}
