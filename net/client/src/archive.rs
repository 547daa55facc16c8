//! Jobs that were completed and have left the server's memory, for whoever has what is kept of them.

use jobbie_proto::request::{ArchivedAction, ArchivedControl, Revive, RevivedAgent, When};
use jobbie_proto::{JobId, Request};

use crate::{Client, Error, NewJob};

/// What makes a completed job what it is, to revive it with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchivedJob<'a>(Revive<'a>);

impl<'a> ArchivedJob<'a> {
    /// As `job` says; an idempotency key, a time, a hold and a plan of it do not count, and of its being an agent job only what
    /// [`ArchivedJob::agent`] says. Its unique key is taken again; when it expires counts from now on.
    #[must_use]
    pub fn new(job: &NewJob<'a>) -> Self {
        let mut content = job.0;
        (content.key, content.when) = (b"", When::Now);
        let (checkpoint, progress): (&[u8], &[u8]) = (b"", b"");
        let (parent, cost_micros, agent) = (None, 0, None);
        Self(Revive { content, checkpoint, progress, parent, cost_micros, agent })
    }

    /// Where it goes on, at most 256 KiB.
    #[must_use]
    pub fn checkpoint(mut self, checkpoint: &'a [u8]) -> Self {
        self.0.checkpoint = checkpoint;
        self
    }

    /// How far it was, at most 256 KiB.
    #[must_use]
    pub fn progress(mut self, progress: &'a [u8]) -> Self {
        self.0.progress = progress;
        self
    }

    /// The job that it was enqueued for.
    #[must_use]
    pub fn parent(mut self, parent: JobId) -> Self {
        self.0.parent = Some(parent);
        self
    }

    /// What the work on it has cost so far, in micro-dollars.
    #[must_use]
    pub fn cost_micros(mut self, cost: u64) -> Self {
        self.0.cost_micros = cost;
        self
    }

    /// It is an agent job, and goes on so.
    #[must_use]
    pub fn agent(mut self, agent: RevivedAgent) -> Self {
        self.0.agent = Some(agent);
        self
    }
}

impl Client {
    /// Lets a completed job run again under its id, with all its attempts before it. It counts in its batch no more, and its
    /// chain does not go on with it: both have happened.
    ///
    /// # Errors
    /// [`Error::Job`] with `ILLEGAL_STATE` when it is in the server's memory, as when it was revived already; `NOT_FOUND` when
    /// it was never made, deleted or purged; `MOVED` when it is on another shard; `DUPLICATE` when another job has
    /// its unique key. [`Error::Refused`] with `WRONG_SHARD` when its queue is not of its shard. Then nothing was done.
    pub async fn revive(&self, job: JobId, with: &ArchivedJob<'_>) -> Result<(), Error> {
        self.archived(job, ArchivedAction::Revive(Box::new(with.0))).await
    }

    /// Says that what is kept of a completed job is to be removed. The server does not know who was removed so.
    ///
    /// # Errors
    /// As [`Client::revive`].
    pub async fn delete_archived(&self, job: JobId) -> Result<(), Error> {
        self.archived(job, ArchivedAction::Delete).await
    }

    /// Says that a completed job counts as one of another queue.
    ///
    /// # Errors
    /// As [`Client::revive`], and [`Error::Job`] with `UNSUPPORTED` when the queue is on another shard: revive the job and move it
    /// then.
    pub async fn move_archived(&self, job: JobId, queue: &str) -> Result<(), Error> {
        self.archived(job, ArchivedAction::Move { queue }).await
    }

    async fn archived(&self, job: JobId, action: ArchivedAction<'_>) -> Result<(), Error> {
        let archived = vec![ArchivedControl { job, action }];
        let mut request = Request { archived, ..Request::default() };
        self.job_request(job, &mut request, |a| a.job_controls.first().copied()).await.map(drop)
    }
}
