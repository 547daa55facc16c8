//! R11: at most one live lease per job; tokens grow; an old token has no effect.

use jobbie_proto::LeaseToken;
use jobbie_proto::reply::JobState;
use jobbie_proto::request::JobRef;
use jobbie_proto::wire::LostLease;

use super::violated;
use crate::model::{Job, Model};

/// A job is about to be leased.
pub(crate) fn leased(seq: u64, job: &Job, token: u64) {
    if job.state == JobState::Active {
        violated!("r11", "job {seq} was leased while lease {} lives", job.token);
    }
    if token <= job.token {
        violated!("r11", "job {seq} was leased with token {token} after {}", job.token);
    }
}

/// What a worker asked for takes effect on a job.
pub(crate) fn takes_effect(
    model: &Model,
    seq: u64,
    what: &str,
    mut asked: impl Iterator<Item = JobRef>,
) {
    let job = &model.jobs[seq as usize - 1];
    if job.state != JobState::Active {
        violated!("r11", "job {seq} was {what} while {:?}", job.state);
    }
    let right = |by: JobRef| {
        by.job.seq().0 == seq && (by.token == LeaseToken(0) || by.token.0 == job.token)
    };
    if !asked.any(right) {
        violated!("r11", "job {seq} was {what} without its lease {}", job.token);
    }
}

/// A worker is told that leases are over.
pub(crate) fn lost(model: &Model, lost: &[LostLease]) {
    for lease in lost {
        let (seq, token) = (lease.job.job.seq().0, lease.job.token.0);
        let job = &model.jobs[seq as usize - 1];
        if !job.gone && job.state == JobState::Active && job.token == token {
            let code = lease.code;
            violated!("r11", "job {seq}: a live lease is said to be over, {code:?}: {job:?}");
        }
    }
}
