//! Batches, chains and dependencies.

use jobbie_proto::reply::BatchView;
use jobbie_proto::request::{Ack, BatchSeal, Chain, Depends, JobRef, Members, Parents, Ties};
use jobbie_proto::{BatchId, Code, JobId, Request, ShardId};

use crate::client::short_answer;
use crate::{Client, Enqueued, Error, NewJob};

/// A job to be enqueued, and what ties it to others.
///
/// ```
/// use jobbie_client::NewJob;
///
/// let chain = NewJob::new("resize", b"{}")
///     .then(NewJob::new("upload", b"{}"))
///     .then(NewJob::new("notify", b"{}"))
///     .on_failure(NewJob::new("cleanup", b"{}"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TiedJob<'a> {
    pub(crate) job: NewJob<'a>,
    batch: Option<BatchId>,
    steps: Vec<NewJob<'a>>,
    on_failure: Option<NewJob<'a>>,
    on_exit: Option<NewJob<'a>>,
    after: Vec<JobId>,
    parent: Option<JobId>,
}

impl<'a> From<NewJob<'a>> for TiedJob<'a> {
    fn from(job: NewJob<'a>) -> Self {
        let (steps, after) = (Vec::new(), Vec::new());
        Self { job, batch: None, steps, on_failure: None, on_exit: None, after, parent: None }
    }
}

impl<'a> NewJob<'a> {
    /// Makes it the first of a chain: see [`TiedJob::then`].
    #[must_use]
    pub fn then(self, next: NewJob<'a>) -> TiedJob<'a> {
        TiedJob::from(self).then(next)
    }

    /// Makes it a member of a batch: see [`TiedJob::batch`].
    #[must_use]
    pub fn batch(self, batch: BatchId) -> TiedJob<'a> {
        TiedJob::from(self).batch(batch)
    }

    /// Says for which job it is: see [`TiedJob::parent`].
    #[must_use]
    pub fn parent(self, job: JobId) -> TiedJob<'a> {
        TiedJob::from(self).parent(job)
    }

    /// Lets it wait for other jobs: see [`TiedJob::after`].
    #[must_use]
    pub fn after(self, jobs: &[JobId]) -> TiedJob<'a> {
        TiedJob::from(self).after(jobs)
    }
}

impl<'a> TiedJob<'a> {
    /// When the job before it in the chain is completed, `next` is enqueued. Its payload must be empty or a JSON object; its worker
    /// gets `previous_job_id` and `previous_result` with it. It has no keys, no time and no hold of its own. At most 64 steps.
    #[must_use]
    pub fn then(mut self, next: NewJob<'a>) -> Self {
        self.steps.push(next);
        self
    }

    /// When a job of the chain dies, `handler` is enqueued, once for each: it gets `failed_job_id`, `failed_step` and `error`.
    #[must_use]
    pub fn on_failure(mut self, handler: NewJob<'a>) -> Self {
        self.on_failure = Some(handler);
        self
    }

    /// When the last job of the chain is completed, or one ends the chain early ([`Client::ack_and_end_chain`]),
    /// `handler` is enqueued; it gets what a next step would get.
    #[must_use]
    pub fn on_exit(mut self, handler: NewJob<'a>) -> Self {
        self.on_exit = Some(handler);
        self
    }

    /// Makes it a member of a batch, which counts it when it first ends; the first job of a chain stands for the chain.
    #[must_use]
    pub fn batch(mut self, batch: BatchId) -> Self {
        self.batch = Some(batch);
        self
    }

    /// Lets it wait until all of these jobs, of any shard, are completed. At most 256.
    #[must_use]
    pub fn after(mut self, jobs: &[JobId]) -> Self {
        self.after.extend_from_slice(jobs);
        self
    }

    /// Says for which job it is, which need not exist: [`Client::children`] lists it there. Nothing else follows from it.
    #[must_use]
    pub fn parent(mut self, job: JobId) -> Self {
        self.parent = Some(job);
        self
    }

    fn is_chain(&self) -> bool {
        !self.steps.is_empty() || self.on_failure.is_some() || self.on_exit.is_some()
    }

    pub(crate) fn made_later(&self) -> impl Iterator<Item = &NewJob<'a>> {
        self.steps.iter().chain(&self.on_failure).chain(&self.on_exit)
    }

    /// Bytes of its ties in a frame, at most.
    pub(crate) fn tie_bytes(&self) -> usize {
        96 + 16 * self.after.len()
    }

    /// Adds its ties to those of a request in which it has the position `enqueue`.
    pub(crate) fn add_to(&self, ties: &mut Ties<'a>, enqueue: u32) {
        if let Some(batch) = self.batch {
            match ties.members.last_mut() {
                Some(run) if run.batch == batch && run.first + run.count == enqueue => {
                    run.count += 1;
                }
                _ => ties.members.push(Members { batch, first: enqueue, count: 1 }),
            }
        }
        if let Some(parent) = self.parent {
            match ties.parents.last_mut() {
                Some(run) if run.parent == parent && run.first + run.count == enqueue => {
                    run.count += 1;
                }
                _ => ties.parents.push(Parents { parent, first: enqueue, count: 1 }),
            }
        }
        if self.is_chain() {
            ties.chains.push(Chain {
                enqueue,
                steps: self.steps.iter().map(|step| step.0).collect(),
                on_failure: self.on_failure.map(|handler| handler.0),
                on_exit: self.on_exit.map(|handler| handler.0),
            });
        }
        if !self.after.is_empty() {
            ties.depends.push(Depends { enqueue, on: self.after.clone() });
        }
    }
}

impl Client {
    /// Creates jobs with ties, in as few requests as the server's limits allow. Each request is done whole or not at all; the
    /// result has one element for each job.
    pub async fn enqueue_tied(&self, jobs: &[TiedJob<'_>]) -> Vec<Result<Enqueued, Error>> {
        crate::batch::enqueue(self, jobs).await
    }

    /// Opens a batch. When all its members have ended, `callback` is enqueued, once: its worker gets the counts under
    /// `batch` if its payload is empty or a JSON object. Enqueue members with [`NewJob::batch`], then [`Client::seal_batch`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open_batch(&self, callback: Option<&NewJob<'_>>) -> Result<BatchId, Error> {
        let shard = callback.map_or(ShardId(0), |job| self.topology().shard_of(job.0.queue));
        let batch_opens = vec![callback.map(|job| job.0)];
        let ties = Ties { batch_opens, ..Ties::default() };
        let mut request = Request { ties, ..Request::default() };
        let answer = self.request(shard, &mut request).await?;
        answer.batches.first().copied().ok_or_else(short_answer)
    }

    /// Says how many members a batch has: those whose enqueueing was answered, duplicates not counted. It is over when so
    /// many have ended.
    ///
    /// # Errors
    /// [`Error::Batch`] when it is unknown, sealed already, or more have ended.
    pub async fn seal_batch(&self, batch: BatchId, total: u64) -> Result<(), Error> {
        let ties = Ties { batch_seals: vec![BatchSeal { batch, total }], ..Ties::default() };
        let mut request = Request { ties, ..Request::default() };
        let answer = self.request(batch.shard(), &mut request).await?;
        match answer.batch_seals.first() {
            Some(Code::Ok) => Ok(()),
            Some(&code) => Err(Error::Batch { batch, code }),
            None => Err(short_answer()),
        }
    }

    /// How far a batch is; `None` when it is unknown, or ended longer ago than the server keeps them.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn batch(&self, batch: BatchId) -> Result<Option<BatchView>, Error> {
        let ties = Ties { batch_lookups: vec![batch], ..Ties::default() };
        let mut request = Request { ties, ..Request::default() };
        let answer = self.request(batch.shard(), &mut request).await?;
        Ok(answer.batch_lookups.first().ok_or_else(short_answer)?.ok())
    }

    /// Finishes a job and ends its chain: of what comes after it, only the handler of the chain's end is enqueued.
    ///
    /// # Errors
    /// [`Error::Job`] when the lease is over: somebody else has the job, or had.
    pub async fn ack_and_end_chain(&self, job: JobRef, result: &[u8]) -> Result<(), Error> {
        let ties = Ties { exits: vec![0], ..Ties::default() };
        let mut request = Request { acks: vec![Ack { job, result }], ties, ..Request::default() };
        self.job_request(job.job, &mut request, |a| a.acks.first().copied()).await.map(drop)
    }
}
