//! Completed jobs: their shard has let them go, and what the read model keeps of them is brought along.

use std::time::Duration;

use jobbie_client::{ArchivedJob, Error, JobId, JobState, NewJob};
use jobbie_projector::row::JobRow;
use jobbie_proto::request::RevivedAgent;

use crate::app::App;
use crate::error::ApiError;
use crate::namespace::Namespace;

/// A completed job of the caller's, by the read model.
///
/// # Errors
/// `NOT_FOUND` when it is another namespace's.
pub(crate) async fn completed(
    app: &App,
    by: &Namespace,
    job: JobId,
) -> Result<Option<JobRow>, ApiError> {
    if app.read_model.is_none() {
        return Ok(None);
    }
    app.fresh().await;
    let Some(row) = app.past(job).await.filter(|row| row.state == JobState::Completed) else {
        return Ok(None);
    };
    if !by.owns(&row.queue) {
        return Err(ApiError::not_found(format!("job {job} not found")));
    }
    Ok(Some(row))
}

/// Lets a completed job run again.
pub(crate) async fn revive(app: &App, row: &JobRow) -> Result<(), Error> {
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
