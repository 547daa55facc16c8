//! What work used, to events. It is a fact whatever becomes of the job, so it comes first: what the group says of the
//! job after it may depend on it.

use jobbie_proto::JobSeq;
use jobbie_proto::event::{Event, ReportedUsage};
use jobbie_proto::request::{ReportUsage, Usage};
use jobbie_proto::usage::UsagePhase;

use super::draft::{Draft, Lease};

/// Walks along the usage of a list of acks or heartbeats, whose positions rise.
pub(super) struct UsageCursor<'r, 'a> {
    reports: &'r [ReportUsage<'a>],
}

impl<'r, 'a> UsageCursor<'r, 'a> {
    pub(super) fn new(reports: &'r [ReportUsage<'a>]) -> Self {
        Self { reports }
    }

    /// What the work on the job at a position used, if it used anything.
    #[inline]
    pub(super) fn of(&mut self, at: usize) -> Option<&'r Usage<'a>> {
        let (first, rest) = self.reports.split_first()?;
        if first.of as usize != at {
            return None;
        }
        self.reports = rest;
        Some(&first.usage).filter(|usage| !usage.amounts.is_nothing())
    }
}

impl Draft<'_> {
    pub(super) fn report_usage(&mut self, lease: &Lease, phase: UsagePhase, usage: &Usage<'_>) {
        let Usage { amounts, model, provider } = *usage;
        let attempt = self.state.tracked.get(lease.number).attempt;
        self.note_cost(lease.job, amounts.cost_micros);
        self.events.push(Event::UsageReported(Box::new(ReportedUsage {
            job: JobSeq(lease.job),
            attempt,
            phase,
            amounts,
            model: model.to_owned(),
            provider: provider.to_owned(),
        })));
    }
}
