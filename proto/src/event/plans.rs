//! What events of planned jobs are made of.

use rkyv::{Archive, Deserialize, Serialize};

use super::Blob;
use crate::plan::{Effect, Need};
use crate::{EventSeq, JobSeq};

/// A job that was enqueued just before, in the same group, and waits for events instead of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct PlannedJob {
    /// The job.
    pub job: JobSeq,
    /// Everything required must have come this long after the plan began, in milliseconds; 0 is whenever.
    pub deadline_ms: u64,
    /// What is expected, each name once.
    pub kinds: Vec<ExpectedKind>,
}

/// A kind of events that a plan expects.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ExpectedKind {
    /// Its name.
    pub name: String,
    /// What they are to the plan.
    pub need: Need,
    /// How many, at least 1.
    pub count: u16,
    /// They must have come this long after the plan began, in milliseconds; 0 is whenever. Of required ones only.
    pub deadline_ms: u64,
}

/// An event that another system appended to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct AppendedEvent {
    /// The job.
    pub job: JobSeq,
    /// Hash of `id`.
    pub id_hash: u128,
    /// Position of its kind in the plan, where that matters.
    pub nth: Option<u16>,
    /// What it did.
    pub effect: Effect,
    /// What tells it from all other events of the job.
    pub id: Blob,
    /// Name of its kind.
    pub kind: Blob,
    /// What it says.
    pub data: Blob,
    /// Which way it came. For people.
    pub source: Blob,
    /// To find it in other systems. Means nothing here.
    pub trace: Blob,
    /// What is said of the job as its error, when this made it dead.
    pub error: Blob,
    /// The event recorded for the job before this one, so that they form a chain from the newest to the oldest.
    pub previous: EventSeq,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/format.md gives these.
    #[test]
    fn records_have_the_documented_sizes() {
        assert_eq!(size_of::<ArchivedPlannedJob>(), 24);
        assert_eq!(size_of::<ArchivedExpectedKind>(), 19);
        assert_eq!(size_of::<ArchivedAppendedEvent>(), 84);
    }
}
