//! Usage in requests: what work on jobs used, and which sums of it are wanted.

use crate::Micros;
use crate::usage::{Amounts, UsageGroup};

/// What work used, and which model did it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage<'a> {
    /// How much. A report of nothing is dropped.
    pub amounts: Amounts,
    /// The model; empty is not said.
    pub model: &'a str,
    /// Who runs the model; empty is not said.
    pub provider: &'a str,
}

/// What the work on one of a request's jobs used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportUsage<'a> {
    /// Position of the ack or heartbeat in its list.
    pub of: u32,
    /// What was used.
    pub usage: Usage<'a>,
}

/// Which sums of usage are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageQuery<'a> {
    /// From the hour that holds this time on.
    pub from: Micros,
    /// Up to the hour that holds this time, which counts too; 0 is without end.
    pub to: Micros,
    /// By what they are summed up.
    pub by: UsageGroup,
    /// Continue after the group with this name.
    pub after: Option<&'a str>,
}
