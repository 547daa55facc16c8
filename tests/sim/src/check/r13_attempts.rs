//! R13: attempts are exact; over the limit a job is dead, and retries come when the backoff says.

use jobbie_proto::event::{BackoffKind, FailOutcome, QuarantinedJob};
use jobbie_proto::limits::LEASE_EXPIRIES_MAX;

use super::violated;
use crate::model::Job;

/// A job is about to be leased as this attempt.
pub(crate) fn leased(seq: u64, job: &Job, attempt: u32) {
    if attempt != job.attempt + 1 {
        violated!("r13", "job {seq} was leased as attempt {attempt} after {}", job.attempt);
    }
}

/// An attempt failed.
pub(crate) fn failed(seq: u64, job: &Job, time: u64, no_retry: bool, outcome: FailOutcome) {
    let left = !no_retry && job.attempt < job.class.max_retries;
    let expected = if left {
        FailOutcome::Retrying(jobbie_proto::Micros(time + 1000 * backoff_ms(job)))
    } else {
        FailOutcome::Dead
    };
    if outcome != expected {
        violated!("r13", "job {seq} failed to {outcome:?}, not to {expected:?}");
    }
}

/// A lease ran out and the job waits again.
pub(crate) fn lease_expired(seq: u64, job: &Job) {
    if is_spent(job) && job.lease_expiries + 1 >= LEASE_EXPIRIES_MAX {
        violated!("r13", "job {seq} has lost its last worker and is handed out again: {job:?}");
    }
}

/// A lease ran out and the job is dead.
pub(crate) fn quarantined(seq: u64, job: &Job, lost: &QuarantinedJob) {
    let expiries = job.lease_expiries + 1;
    let is_told = (lost.attempt, lost.lease_expiries) == (job.attempt, expiries);
    if !is_spent(job) || expiries < LEASE_EXPIRIES_MAX || !is_told {
        violated!("r13", "job {seq} was quarantined as {lost:?}: {job:?}");
    }
}

fn is_spent(job: &Job) -> bool {
    job.attempt >= job.class.max_retries.max(1)
}

fn backoff_ms(job: &Job) -> u64 {
    let (base, attempt) = (u64::from(job.class.backoff_base_ms), u64::from(job.attempt));
    let delay = match job.class.backoff {
        BackoffKind::None => 0,
        BackoffKind::Fixed => base,
        BackoffKind::Linear => base * attempt,
        BackoffKind::Exponential => base << (attempt - 1),
    };
    match u64::from(job.class.backoff_cap_ms) {
        0 => delay,
        cap => delay.min(cap),
    }
}
