//! Completed jobs: their shard has let them go, and what the read model keeps of them is brought along.

use std::time::Duration;

use jobbie_client::{ArchivedJob, BulkAction, Error, JobId, JobState, NewJob, Outcome};
use jobbie_projector::row::JobRow;
use jobbie_proto::Code;
use jobbie_proto::request::RevivedAgent;

use crate::app::App;
use crate::error::ApiError;
use crate::namespace::Namespace;

/// A completed job of the caller's, by the read model.
///
/// # Errors
/// `NOT_FOUND` when it is another namespace's, `OVERLOADED` when what is kept of it may be old.
pub(crate) async fn completed(
    app: &App,
    by: &Namespace,
    job: JobId,
) -> Result<Option<JobRow>, ApiError> {
    let Some(read_model) = &app.read_model else { return Ok(None) };
    let lag = app.fresh().await;
    let Some(row) = read_model.job(job).await?.filter(|row| row.state == JobState::Completed)
    else {
        return Ok(None);
    };
    if !by.owns(&row.queue) {
        return Err(ApiError::not_found(format!("job {job} not found")));
    }
    if lag.events > 0 {
        return Err(ApiError::overloaded("the read model is behind: what it has may be old", 1000));
    }
    Ok(Some(row))
}

/// What can be done to completed jobs.
pub(crate) enum Act {
    Revive,
    Delete,
    /// To this queue, as it is stored.
    Move(String),
}

impl Act {
    /// What an action on many jobs means for those that are completed, if anything.
    pub(crate) fn of(action: &BulkAction) -> Option<Self> {
        match action {
            BulkAction::Retry => Some(Self::Revive),
            BulkAction::Delete => Some(Self::Delete),
            BulkAction::Move { queue } => Some(Self::Move(queue.clone())),
            _ => None,
        }
    }
}

/// Does it to one.
pub(crate) async fn act(app: &App, row: &JobRow, act: &Act) -> Result<(), Error> {
    match act {
        Act::Revive => revive(app, row).await,
        Act::Delete => app.client.delete_archived(row.id).await,
        Act::Move(queue) => app.client.move_archived(row.id, queue).await,
    }
}

/// Whether nothing was done, and another time it may be.
pub(crate) fn passes(error: &Error) -> bool {
    match error {
        Error::Refused { code, .. } => matches!(
            code,
            Code::Overloaded | Code::NotLeader | Code::ShuttingDown | Code::Unavailable
        ),
        Error::Deadline { outcome, .. } | Error::Closed { outcome } => *outcome == Outcome::NotDone,
        Error::ConnectionRefused { .. } => true,
        _ => false,
    }
}

/// Lets a completed job run again.
async fn revive(app: &App, row: &JobRow) -> Result<(), Error> {
    let (base, cap) = (row.backoff_base_ms.into(), row.backoff_cap_ms.into());
    let (base, cap) = (Duration::from_millis(base), Duration::from_millis(cap));
    let mut job = NewJob::new(&row.queue, &row.payload)
        .tags(&row.tags)
        .priority(row.priority)
        .attempts(row.max_retries)
        .limit_key(&row.limit_key)
        .backoff(row.backoff, base, cap);
    if !row.unique_key.is_empty() {
        job = job.unique(&row.unique_key, Duration::ZERO);
    }
    if row.expires > row.created {
        job = job.expire_after(Duration::from_micros(row.expires.0 - row.created.0));
    }
    let mut with = ArchivedJob::new(&job).checkpoint(&row.checkpoint).progress(&row.progress);
    if let Some(parent) = row.parent {
        with = with.parent(parent);
    }
    if let Some(agent) = row.agent {
        let revived = RevivedAgent { iteration: agent.iteration, limits: agent.limits };
        with = with.agent(revived).cost_micros(agent.cost_micros);
    }
    app.client.revive(row.id, &with).await
}
