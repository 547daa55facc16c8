//! What a handler gets.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use jobbie_proto::agent::{AgentState, AgentStatus};
use jobbie_proto::limits::{ERROR_BYTES_MAX, RESULT_BYTES_MAX};
use jobbie_proto::request::{Heartbeat, JobRef, ReportUsage, Usage};
use jobbie_proto::{Code, JobId, Request};
use tokio::sync::Notify;

use crate::client::{deadline, done};
use crate::link::Link;
use crate::{Error, Job};

/// Why a job failed. Any error turns into one that is retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobError {
    /// What went wrong, for people.
    pub message: String,
    /// Whether another attempt may succeed; if not, the job is dead at once.
    pub retry: bool,
}

impl JobError {
    /// A failure that may pass.
    pub fn retry(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry: true }
    }

    /// A failure that another attempt would meet again.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry: false }
    }
}

impl<E: std::error::Error> From<E> for JobError {
    fn from(error: E) -> Self {
        Self::retry(error.to_string())
    }
}

/// What a handler says of its iteration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) status: AgentStatus,
    pub(crate) checkpoint: Vec<u8>,
    pub(crate) reason: String,
}

/// Between a handler and its worker: whether it is to stop, and whether its chain ends with it.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    set: AtomicBool,
    ends_chain: AtomicBool,
    said: Mutex<Option<Said>>,
    notify: Notify,
}

impl Signals {
    /// Returns whether it was not set before.
    pub(crate) fn set(&self) -> bool {
        let first = !self.set.swap(true, Ordering::SeqCst);
        self.notify.notify_waiters();
        first
    }

    /// What is said of the iteration, if anything.
    pub(crate) fn said(&self) -> Option<Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn ends_chain(&self) -> bool {
        self.ends_chain.load(Ordering::Relaxed)
    }

    pub(crate) fn is_set(&self) -> bool {
        self.set.load(Ordering::SeqCst)
    }
}

/// A job being worked on.
pub struct JobContext {
    pub(super) job: Job,
    pub(super) link: Arc<Link>,
    pub(super) cancel: Arc<Signals>,
}

impl std::fmt::Debug for JobContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobContext").field("job", &self.job).finish_non_exhaustive()
    }
}

impl JobContext {
    /// The job.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.job.id
    }

    /// Its queue.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.job.queue
    }

    /// What was enqueued.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.job.payload
    }

    /// Its tags.
    #[must_use]
    pub fn tags(&self) -> &Bytes {
        &self.job.tags
    }

    /// Which attempt this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.job.attempt
    }

    /// Total attempts allowed.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.job.max_retries.max(1)
    }

    /// What an earlier attempt left by [`JobContext::checkpoint`]; empty is none.
    #[must_use]
    pub fn resumed_from(&self) -> &Bytes {
        &self.job.checkpoint
    }

    /// Which iteration of an agent job this is, from 1; 1 of any other.
    #[must_use]
    pub fn iteration(&self) -> u32 {
        crate::agents::iteration_of(self.job.agent)
    }

    /// How far the job is, and what limits it, if it is an agent job.
    #[must_use]
    pub fn agent(&self) -> Option<AgentState> {
        self.job.agent
    }

    /// When the handler succeeds, another iteration of the agent job follows, with `checkpoint` (at most 1 MiB; empty
    /// keeps the one before), unless its limits hold it. Without this it is done.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the checkpoint is too long.
    pub fn go_on(&self, checkpoint: &[u8]) -> Result<(), Error> {
        self.say(AgentStatus::Continue, checkpoint, "")
    }

    /// When the handler succeeds, the agent job waits for a human, for this reason (at most 64 KiB).
    ///
    /// # Errors
    /// [`Error::Invalid`] when something is too long.
    pub fn hold(&self, checkpoint: &[u8], reason: &str) -> Result<(), Error> {
        self.say(AgentStatus::Hold, checkpoint, reason)
    }

    /// What is too long would spoil the acks of other jobs.
    fn say(&self, status: AgentStatus, checkpoint: &[u8], reason: &str) -> Result<(), Error> {
        let parts = [
            ("checkpoint", checkpoint.len(), RESULT_BYTES_MAX),
            ("reason", reason.len(), ERROR_BYTES_MAX),
        ];
        if let Some((name, len, most)) = parts.into_iter().find(|(_, len, most)| len > most) {
            return Err(Error::Invalid(format!("{name}: {len} bytes, at most {most}")));
        }
        let said = Said { status, checkpoint: checkpoint.to_vec(), reason: reason.to_owned() };
        *self.cancel.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
        Ok(())
    }

    /// Reports what the work on the job used since the last report.
    ///
    /// # Errors
    /// [`Error::Job`] when the job is not this worker's any more: then it is not counted.
    pub async fn report(&self, usage: Usage<'_>) -> Result<(), Error> {
        self.beat_with(b"", b"", usage).await
    }

    /// Ends the job's chain with it, if it succeeds: of what comes after it, only the handler of the chain's end is enqueued.
    pub fn end_chain(&self) {
        self.cancel.ends_chain.store(true, Ordering::Relaxed);
    }

    /// The job and its lease.
    #[must_use]
    pub fn lease(&self) -> JobRef {
        self.job.lease()
    }

    /// Whether the job is not this worker's any more: it was cancelled or deleted, or its lease ended. Nothing that is
    /// done for it counts from then on.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_set()
    }

    /// Waits until [`JobContext::is_cancelled`].
    pub async fn cancelled(&self) {
        let mut notified = std::pin::pin!(self.cancel.notify.notified());
        notified.as_mut().enable();
        if !self.cancel.is_set() {
            notified.await;
        }
    }

    /// Keeps `checkpoint` (at most 1 MiB), to be found by the next attempt if this one fails, in place of the one before.
    ///
    /// # Errors
    /// [`Error::Job`] when the job is not this worker's any more.
    pub async fn checkpoint(&self, checkpoint: &[u8]) -> Result<(), Error> {
        self.beat(b"", checkpoint).await
    }

    /// Shows `progress` (at most 1 MiB) to whoever looks at the job.
    ///
    /// # Errors
    /// [`Error::Job`] when the job is not this worker's any more.
    pub async fn progress(&self, progress: &[u8]) -> Result<(), Error> {
        self.beat(progress, b"").await
    }

    async fn beat(&self, progress: &[u8], checkpoint: &[u8]) -> Result<(), Error> {
        self.beat_with(progress, checkpoint, Usage::default()).await
    }

    async fn beat_with(
        &self,
        progress: &[u8],
        checkpoint: &[u8],
        usage: Usage<'_>,
    ) -> Result<(), Error> {
        let job = self.lease();
        let heartbeats = vec![Heartbeat { job, extend_ms: 0, progress, checkpoint }];
        let heartbeat_usages = vec![ReportUsage { of: 0, usage }];
        let mut request = Request { heartbeats, heartbeat_usages, ..Request::default() };
        let until = deadline(self.link.config.deadline_ms);
        let answer = done(&self.link, &mut request, until).await?;
        match answer.heartbeats.first() {
            None | Some(Code::Ok) => Ok(()),
            Some(&code) => {
                self.cancel.set();
                Err(Error::Job { job: job.job, code })
            }
        }
    }
}
