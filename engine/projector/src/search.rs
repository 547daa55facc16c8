//! What one can ask of the jobs.

use jobbie_proto::reply::JobState;
use jobbie_proto::{BatchId, JobId, Micros};

use crate::namespace::Namespace;
use crate::row::JobRow;

/// Which jobs are meant: those that match everything that is given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Only its queues: the namespace of whoever asks.
    pub namespace: Namespace,
    /// Exactly this queue, with its namespace.
    pub queue: Option<String>,
    /// Only queues that match one of these globs (`*` is any text), with their namespace. Empty is any.
    pub queue_globs: Vec<String>,
    /// Any of these states; empty is any at all.
    pub states: Vec<JobState>,
    /// Tier.
    pub priority: Option<u8>,
    /// Every tag must be there with this value.
    pub tags: Vec<(String, String)>,
    /// The payload's text has this in it, whatever the case of ASCII letters.
    pub payload_contains: Option<String>,
    /// The payload is JSON and the expression holds of it.
    pub payload_jq: Option<PayloadExpression>,
    /// Exclusive bounds; a job without the time does not match.
    pub created: Bounds,
    /// As above.
    pub scheduled: Bounds,
    /// As above.
    pub started: Bounds,
    /// As above.
    pub completed: Bounds,
    /// As above.
    pub expires: Bounds,
    /// Inclusive bounds of attempts begun.
    pub attempt_min: Option<u32>,
    /// As above.
    pub attempt_max: Option<u32>,
    /// Unique key; an empty one is that of no job.
    pub unique_key: Option<String>,
    /// Batch.
    pub batch: Option<BatchId>,
    /// Worker name; an empty one is that of no worker.
    pub worker: Option<String>,
    /// Parent.
    pub parent: Option<JobId>,
    /// Chain, by its first job.
    pub chain: Option<JobId>,
    /// At least one error is recorded.
    pub has_errors: bool,
    /// An error recorded for it has this in it, whatever the case of ASCII letters.
    pub error_contains: Option<String>,
    /// The id as text begins so.
    pub id_prefix: Option<String>,
}

/// Exclusive bounds of a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Later than this.
    pub after: Option<Micros>,
    /// Earlier than this.
    pub before: Option<Micros>,
}

/// What results are sorted by; jobs that are equal in it, by their creation. Jobs without the time come last in either direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Creation.
    #[default]
    Created,
    /// Tier.
    Priority,
    /// When a worker got it last.
    Started,
    /// When it was completed.
    Completed,
    /// When it may run.
    Scheduled,
    /// When it failed last.
    Failed,
    /// Attempts begun.
    Attempt,
}

/// A search.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Search {
    /// Which jobs.
    pub filter: Filter,
    /// Sorted by.
    pub sort: Sort,
    /// The smallest first.
    pub ascending: bool,
    /// How many at most, 1 to 1000.
    pub limit: u32,
    /// Where the page before ended, as it said.
    pub cursor: Option<Cursor>,
}

/// A place between two results: the key of the last one seen, so that pages stay correct while rows come and go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Its value of what is sorted by; the smallest there is when it has none.
    pub key: i64,
    /// When it was made.
    pub created: Micros,
    /// The job.
    pub id: JobId,
}

/// A page of results.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The jobs.
    pub jobs: Vec<JobRow>,
    /// How many match in all.
    pub total: u64,
    /// `total` is exact; otherwise it is a lower bound, because counting was ended.
    pub total_is_exact: bool,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

/// A `payload_jq` expression, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct PayloadExpression {
    /// The keys that lead to the value.
    pub path: Vec<String>,
    /// What must hold of it.
    pub test: Test,
}

/// What must hold of a value in a payload.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// It compares so to a literal.
    Compare(Comparison, Literal),
    /// It is a text that begins so.
    StartsWith(String),
    /// It is a list with an element whose text is this.
    Contains(String),
    /// The length of the list compares so; a missing list has none.
    Length(Comparison, i64),
}

/// How two values compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum Comparison {
    Equal,
    NotEqual,
    GreaterOrEqual,
    LessOrEqual,
    Greater,
    Less,
}

/// A value to compare with.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum Literal {
    Text(String),
    Number(f64),
    Bool(bool),
    Null,
}
