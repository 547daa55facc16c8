//! Agent jobs: jobs that are worked on in iterations.

use std::time::Duration;

use bytes::Bytes;
use jobbie_proto::agent::{AgentState, AgentStatus};
use jobbie_proto::compose::{ComposeError, with_feedback, with_keys};
use jobbie_proto::event::Replayed;
use jobbie_proto::limits::HISTORY_COUNT_MAX;
use jobbie_proto::request::{Ack, Agent, AgentAck, History, JobAction, JobRef, ReportUsage, Usage};
use jobbie_proto::usage::Amounts;
use jobbie_proto::{Code, EventSeq, JobId, Micros, Request};

pub use jobbie_proto::compose::FEEDBACK_KEY;

use crate::client::short_answer;
use crate::{Client, Enqueued, Error, JobInfo, NewJob};

/// An iteration of an agent job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IterationInfo {
    /// Its record.
    pub event: EventSeq,
    /// The record before it; 0 is none.
    pub previous: EventSeq,
    /// When it was over, by the server's clock.
    pub time: Micros,
    /// Which it was, from 1. One that was held is executed again when it is approved.
    pub number: u32,
    /// The attempt at it, from 1.
    pub attempt: u32,
    /// What became of the job.
    pub status: AgentStatus,
    /// The job's checkpoint then.
    pub checkpoint: Bytes,
    /// What came out of it.
    pub result: Bytes,
    /// Why the job was held.
    pub reason: Bytes,
    /// What was reported with its end.
    pub amounts: Amounts,
    /// The model; empty is not said.
    pub model: String,
    /// Who runs the model; empty is not said.
    pub provider: String,
}

/// What a worker says at the end of an iteration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IterationEnd<'a> {
    /// What is to become of the job. Its limits may hold it instead.
    pub status: AgentStatus,
    /// Replaces the checkpoint when not empty.
    pub checkpoint: &'a [u8],
    /// Why the job is held if it is; empty is the reason that the server gives.
    pub reason: &'a str,
    /// What came out of it.
    pub result: &'a [u8],
    /// What it used since the last report.
    pub usage: Usage<'a>,
}

fn invalid(error: &ComposeError) -> Error {
    Error::Invalid(error.to_string())
}

impl Client {
    /// Ends an iteration of an agent job.
    ///
    /// # Errors
    /// [`Error::Job`] when the lease is over, or with `NOT_AGENT` when the job is no agent job; then it stays leased.
    pub async fn ack_iteration(&self, job: JobRef, end: IterationEnd<'_>) -> Result<(), Error> {
        let IterationEnd { status, checkpoint, reason, result, usage } = end;
        let (status, reason) = (status as u8, reason.as_bytes());
        let mut request = Request {
            acks: vec![Ack { job, result }],
            agent_acks: vec![AgentAck { of: 0, status, checkpoint, reason }],
            ack_usages: vec![ReportUsage { of: 0, usage }],
            ..Request::default()
        };
        self.job_request(job.job, &mut request, |a| a.acks.first().copied()).await.map(drop)
    }

    /// Iterations of an agent job, newest first: at most `count` (1 to 100), and no more after 4 MiB of contents; from
    /// `from` on, which is 0 or what the oldest one seen so far names as the one before it. None when the job is not in
    /// the server's memory or has none.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn iterations(
        &self,
        job: JobId,
        from: EventSeq,
        count: u32,
    ) -> Result<Vec<IterationInfo>, Error> {
        let iterations = Some(History { job, from, count });
        let mut request = Request { iterations, ..Request::default() };
        Ok(self.request(job.shard(), &mut request).await?.iterations)
    }

    /// Lets a held agent job go on with feedback, which is appended to the list under [`FEEDBACK_KEY`] of its checkpoint.
    ///
    /// # Errors
    /// [`Error::Job`] with `NOT_FOUND`, `NOT_AGENT`, or `ILLEGAL_STATE` when it is not held or has another checkpoint
    /// meanwhile; [`Error::Invalid`] when the checkpoint is no JSON object. Then nothing was done.
    pub async fn revise(&self, job: JobId, feedback: &str, by: &str) -> Result<(), Error> {
        let info = self.job(job).await?.ok_or(Error::Job { job, code: Code::NotFound })?;
        let agent = info.agent.ok_or(Error::Job { job, code: Code::NotAgent })?;
        let checkpoint = with_feedback(&info.checkpoint, feedback).map_err(|e| invalid(&e))?;
        let replaces = agent.checkpoint;
        let (checkpoint, feedback) = (&checkpoint[..], feedback.as_bytes());
        self.control(job, JobAction::Revise { checkpoint, feedback, by, replaces }).await
    }

    /// Makes a new job from an iteration of an agent job: in its queue, with its payload, tags, tier, limits and retry
    /// settings, the checkpoint that it had after that iteration, and none of its cost; `job` is its parent
    /// ([`Client::children`]). `keys` are laid over the
    /// payload's; a value that is not JSON is a text. The job stays as it is. It must be in the server's memory: a
    /// completed one is not.
    ///
    /// # Errors
    /// [`Error::Job`] with `NOT_FOUND` or `NOT_AGENT`; [`Error::Invalid`] when it has no such iteration, or keys are to be
    /// laid over a payload that is no JSON object.
    pub async fn replay(
        &self,
        job: JobId,
        iteration: u32,
        keys: &[(&str, &str)],
    ) -> Result<Enqueued, Error> {
        let info = self.job(job).await?.ok_or(Error::Job { job, code: Code::NotFound })?;
        let agent = info.agent.ok_or(Error::Job { job, code: Code::NotAgent })?;
        let found = self.find_iteration(job, iteration).await?;
        let payload = with_keys(&info.payload, keys).map_err(|e| invalid(&e))?;
        let mut new = like(&info, &payload);
        new.3 = Some(Agent {
            limits: agent.limits,
            checkpoint: &found.checkpoint,
            replayed: Some(Replayed { job, iteration }),
        });
        let child = new.parent(job);
        let made = self.enqueue_tied(&[child]).await.into_iter().next();
        made.unwrap_or_else(|| Err(short_answer()))
    }

    /// The newest record of an iteration.
    async fn find_iteration(&self, job: JobId, number: u32) -> Result<IterationInfo, Error> {
        let (mut from, mut newest) = (EventSeq(0), None);
        loop {
            let page = self.iterations(job, from, HISTORY_COUNT_MAX).await?;
            newest = newest.or(page.first().map(|one| one.number));
            let Some(last) = page.last() else { break };
            let (oldest, previous) = (last.number, last.previous);
            if let Some(found) = page.into_iter().find(|one| one.number == number) {
                return Ok(found);
            }
            if oldest <= number || previous == EventSeq(0) {
                break;
            }
            from = previous;
        }
        let newest = newest.unwrap_or(0);
        Err(Error::Invalid(format!("iteration {number}: {job} has ended iterations 1 to {newest}")))
    }
}

/// A new job like another.
fn like<'a>(info: &'a JobInfo, payload: &'a [u8]) -> NewJob<'a> {
    let mut new = NewJob::new(&info.queue, payload)
        .tags(&info.tags)
        .priority(info.priority)
        .attempts(info.max_retries)
        .limit_key(&info.limit_key);
    new.0.backoff = info.backoff;
    new.0.backoff_base_ms = info.backoff_base_ms;
    new.0.backoff_cap_ms = info.backoff_cap_ms;
    if info.expire_at != Micros(0) {
        let ms = info.expire_at.ms().saturating_sub(info.id.created_ms());
        new = new.expire_after(Duration::from_millis(ms));
    }
    new
}

/// How far a leased job is, if it is an agent job.
pub(crate) fn iteration_of(agent: Option<AgentState>) -> u32 {
    agent.map_or(1, |agent| agent.iteration)
}
