//! R12: no lease ends early, neither by log time nor by the time that passes for the worker; log time never goes back.

use super::violated;
use crate::model::{Fact, Job, Model};

/// Slack for clocks that count microseconds, in nanoseconds.
const ROUNDING_NANOS: u64 = 2_000;

pub(crate) fn group(model: &Model, fact: &Fact<'_>) {
    if fact.time < model.time {
        violated!("r12", "log time goes back from {} to {}", model.time, fact.time);
    }
}

/// A lease runs out.
pub(crate) fn expired(seq: u64, job: &Job, fact: &Fact<'_>) {
    if fact.time < job.deadline {
        let early = job.deadline - fact.time;
        violated!("r12", "the lease of job {seq} ended {early} µs of log time early");
    }
    if let (Some(decided), Some(floor)) = (fact.decided, job.lease_floor_nanos)
        && decided + ROUNDING_NANOS < floor
    {
        let early = (floor - decided) / 1000;
        violated!("r12", "the lease of job {seq} ended after {early} µs less than were promised");
    }
}

/// A lease is made longer.
pub(crate) fn extended(seq: u64, job: &Job, deadline: u64) {
    if deadline < job.deadline {
        violated!("r12", "the lease of job {seq} was cut from {} to {deadline}", job.deadline);
    }
}
