//! What operators do with jobs, under whichever id those have now.

use jobbie_proto::request::{Hold, JobAction, JobControl};
use jobbie_proto::{JobId, Request};

use crate::{Client, Error};

impl Client {
    /// Lets a dead, cancelled or scheduled job run now, with all its attempts before it. Errors, checkpoint and
    /// progress stay; a unique key that it had does not come back.
    ///
    /// # Errors
    /// [`Error::Job`] when it is unknown or in another state.
    pub async fn retry(&self, job: JobId) -> Result<(), Error> {
        self.control(job, JobAction::Retry).await
    }

    /// Lets a dead job wait again; the attempts it made still count: when none is left, this is its last.
    ///
    /// # Errors
    /// [`Error::Job`] when it is unknown or not dead.
    pub async fn requeue(&self, job: JobId) -> Result<(), Error> {
        self.control(job, JobAction::Requeue).await
    }

    /// Lets a job wait for a human. A worker that has it is told to stop.
    ///
    /// # Errors
    /// [`Error::Job`] when it is unknown, held already or finished.
    pub async fn hold(&self, job: JobId, hold: Hold<'_>) -> Result<(), Error> {
        self.control(job, JobAction::Hold(hold)).await
    }

    /// Lets a held job go on, at the back of its tier.
    ///
    /// # Errors
    /// [`Error::Job`] when it is unknown or not held.
    pub async fn approve(&self, job: JobId, note: &str, by: &str) -> Result<(), Error> {
        self.control(job, JobAction::Approve { note: note.as_bytes(), by }).await
    }

    /// Ends a held job: it is dead, with `reason` as its error.
    ///
    /// # Errors
    /// [`Error::Job`] when it is unknown or not held.
    pub async fn reject(&self, job: JobId, reason: &str, by: &str) -> Result<(), Error> {
        self.control(job, JobAction::Reject { reason: reason.as_bytes(), by }).await
    }

    /// Puts a job into another queue, in whatever state it is; one that waits goes to the back there, and a worker
    /// that has it keeps it. In a queue of another shard it has another id ([`Client::job`] tells), and one that is
    /// active goes there when its worker gives it back.
    ///
    /// # Errors
    /// [`Error::Job`] when it is unknown, or `UNSUPPORTED` when it has a plan and the queue is on another shard.
    pub async fn move_job(&self, job: JobId, queue: &str) -> Result<(), Error> {
        self.control(job, JobAction::Move { queue }).await
    }

    /// Gives a pending or scheduled job another tier: 0 critical, 1 high, 2 normal. It goes to the back there.
    ///
    /// # Errors
    /// [`Error::Job`] when it is unknown or in another state.
    pub async fn prioritize(&self, job: JobId, priority: u8) -> Result<(), Error> {
        self.control(job, JobAction::Prioritize { priority }).await
    }

    /// Gives a job that waits another payload. It keeps its place.
    ///
    /// # Errors
    /// [`Error::Job`] when it is unknown, active or finished.
    pub async fn replace_payload(&self, job: JobId, payload: &[u8]) -> Result<(), Error> {
        self.control(job, JobAction::Replace { payload }).await
    }

    pub(crate) async fn control(&self, job: JobId, action: JobAction<'_>) -> Result<(), Error> {
        let request = |job| {
            let job_controls = vec![JobControl { job, action }];
            Request { job_controls, ..Request::default() }
        };
        self.follow(job, request, |a| a.job_controls.first().copied()).await.map(drop)
    }
}
