//! What events of usage are made of.

use rkyv::{Archive, Deserialize, Serialize};

use crate::JobSeq;
use crate::usage::{Amounts, UsagePhase};

/// Work on an active job used something. What becomes of the job follows in the same group.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ReportedUsage {
    /// The job.
    pub job: JobSeq,
    /// The attempt that used it.
    pub attempt: u32,
    /// With what it was reported.
    pub phase: UsagePhase,
    /// How much, not nothing.
    pub amounts: Amounts,
    /// The model; empty is not said.
    pub model: String,
    /// Who runs the model; empty is not said.
    pub provider: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/format.md gives it.
    #[test]
    fn a_record_has_the_documented_size() {
        assert_eq!(size_of::<ArchivedReportedUsage>(), 69);
    }
}
