//! What a lookup answers.

use super::agents::put_lookup;
use super::blob::{BlobReader, len_u16, len_u32};
use super::encoder::Scratch;
use super::generated as fb;
use super::table::{Names, backoff, code, hold_end, job_id, job_id_to};
use super::ties::{batch_id_to, lookup_batch};
use super::usage::put_cost;
use super::{DecodeError, EncodeError, Kin, PlanDetails};
use crate::event::{BackoffKind, HoldEnd};
use crate::reply::{AgentView, JobState, JobView};
use crate::{BatchId, Code, JobId, LeaseToken, Micros};

/// One job that was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup<'a> {
    /// The job.
    pub job: JobId,
    /// What is known of it; `None` when it is not in the shard's memory.
    pub details: Option<JobDetails<'a>>,
    /// Its plan, if it has one.
    pub plan: Option<PlanDetails<'a>>,
    /// What it has to do with other jobs and shards. Of a job that has moved nothing else is said.
    pub kin: Kin<'a>,
}

/// Everything known of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobDetails<'a> {
    /// State.
    pub state: JobState,
    /// Queue.
    pub queue: &'a str,
    /// Tier, 0 first.
    pub priority: u8,
    /// Total attempts.
    pub max_retries: u32,
    /// How retries are delayed.
    pub backoff: BackoffKind,
    /// Delay unit, in milliseconds.
    pub backoff_base_ms: u32,
    /// Longest delay, in milliseconds; 0 is no cap.
    pub backoff_cap_ms: u32,
    /// Dies when not finished this long after creation, in milliseconds; 0 is never.
    pub expire_after_ms: u64,
    /// Attempts begun.
    pub attempt: u32,
    /// The lease it is under; 0 when not active.
    pub token: LeaseToken,
    /// End of the lease (active) or time of the next step (scheduled, retrying, held, planned); 0 otherwise.
    pub due: Micros,
    /// When it dies unless finished; 0 is never.
    pub expire_at: Micros,
    /// When it became dead or cancelled; 0 otherwise.
    pub ended: Micros,
    /// Leases of it that ran out since it was enqueued or retried.
    pub lease_expiries: u32,
    /// What becomes of it at `due` while it is held.
    pub then: HoldEnd,
    /// Jobs that it waits for.
    pub waits_for: u32,
    /// The batch in which it counts when it ends.
    pub batch: Option<BatchId>,
    /// What the work on it has cost, in micro-dollars.
    pub cost_micros: u64,
    /// How far it is, if it is an agent job.
    pub agent: Option<AgentView>,
    /// What it carries.
    pub bytes: JobBytes<'a>,
}

/// The parts of a job that are read from the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobBytes<'a> {
    /// What the worker gets.
    pub payload: &'a [u8],
    /// Tags, as the client encoded them.
    pub tags: &'a [u8],
    /// Idempotency key.
    pub key: &'a [u8],
    /// Newest error.
    pub error: &'a [u8],
    /// Its backtrace.
    pub backtrace: &'a [u8],
    /// Newest progress.
    pub progress: &'a [u8],
    /// Newest checkpoint.
    pub checkpoint: &'a [u8],
    /// Why it was held last.
    pub hold_reason: &'a [u8],
    /// Who held it last.
    pub hold_by: &'a str,
    /// Limit key.
    pub limit_key: &'a str,
}

impl<'a> Lookup<'a> {
    /// A job that is not in memory.
    #[must_use]
    pub fn not_found(job: JobId) -> Self {
        Self { job, details: None, plan: None, kin: Kin::default() }
    }

    /// A job that went to another shard, or is on its way there.
    #[must_use]
    pub fn moved(view: &'a JobView) -> Self {
        Self { kin: Kin::new(&view.kin), ..Self::not_found(view.id) }
    }

    /// `Ok` when there are details, `Moved` when it is told where the job is, otherwise `NotFound`.
    #[must_use]
    pub fn code(&self) -> Code {
        match (&self.details, self.kin.moves_to) {
            (Some(_), _) => Code::Ok,
            (None, "") => Code::NotFound,
            (None, _) => Code::Moved,
        }
    }

    /// A job as the state knows it, with what the log holds of it.
    #[must_use]
    pub fn found(view: &'a JobView, bytes: JobBytes<'a>, plan: Option<PlanDetails<'a>>) -> Self {
        let class = &view.class;
        let details = JobDetails {
            state: view.state,
            queue: &class.queue,
            priority: class.priority,
            max_retries: class.max_retries,
            backoff: class.backoff,
            backoff_base_ms: class.backoff_base_ms,
            backoff_cap_ms: class.backoff_cap_ms,
            expire_after_ms: class.expire_after_ms,
            attempt: view.attempt,
            token: view.token,
            due: view.due,
            expire_at: view.expire_at,
            ended: view.ended,
            lease_expiries: view.lease_expiries,
            then: view.then,
            waits_for: view.waits_for,
            batch: view.batch,
            cost_micros: view.cost_micros,
            agent: view.agent,
            bytes,
        };
        Self { job: view.id, details: Some(details), plan, kin: Kin::new(&view.kin) }
    }

    pub(super) fn put(&self, scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut wire = fb::Lookup::default();
        wire.set_job(&job_id_to(self.job));
        wire.set_code(self.code() as u8);
        let mut more = fb::LookupMore::default();
        if let Some(details) = &self.details {
            details.put(&mut wire, scratch, out)?;
            details.put_more(&mut more, scratch)?;
        }
        scratch.lookups.push(wire);
        scratch.lookups_more.push(more);
        self.kin.put(scratch)?;
        if let Some(agent) = self.details.as_ref().and_then(|details| details.agent.as_ref()) {
            put_lookup(scratch, agent);
        }
        put_cost(scratch, self.details.as_ref().map_or(0, |details| details.cost_micros));
        self.plan.as_ref().map_or(Ok(()), |plan| plan.put(scratch))
    }

    /// What servers of version 1 did not say.
    pub(super) fn decode_more(
        &mut self,
        wire: &fb::LookupMore,
        blob: &mut BlobReader<'a>,
    ) -> Result<(), DecodeError> {
        let (reason, by) =
            (blob.bytes("hold reason", wire.reason_len())?, blob.text("by", wire.by_len().into())?);
        let limit_key = blob.text("limit key", wire.limit_key_len().into())?;
        if let Some(details) = &mut self.details {
            details.ended = Micros(wire.ended_us());
            details.lease_expiries = wire.lease_expiries();
            details.then = hold_end(wire.then())?;
            details.waits_for = wire.waits_for();
            details.batch = lookup_batch(wire.batch())?;
            (details.bytes.hold_reason, details.bytes.hold_by) = (reason, by);
            details.bytes.limit_key = limit_key;
        }
        Ok(())
    }

    pub(super) fn decode(
        wire: &fb::Lookup,
        names: &Names<'a>,
        blob: &mut BlobReader<'a>,
    ) -> Result<Self, DecodeError> {
        let job = job_id(wire.job())?;
        let details = match code(wire.code())? {
            Code::Ok => Some(JobDetails::decode(wire, names, blob)?),
            _ => None,
        };
        Ok(Self { job, details, plan: None, kin: Kin::default() })
    }
}

impl<'a> JobDetails<'a> {
    fn put(
        &self,
        wire: &mut fb::Lookup,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        wire.set_state(self.state as u8);
        wire.set_name(scratch.names.intern(self.queue)?);
        wire.set_priority(self.priority);
        wire.set_max_retries(self.max_retries);
        wire.set_backoff(self.backoff as u8);
        wire.set_backoff_base_ms(self.backoff_base_ms);
        wire.set_backoff_cap_ms(self.backoff_cap_ms);
        wire.set_expire_after_ms(self.expire_after_ms);
        wire.set_attempt(self.attempt);
        wire.set_token(self.token.0);
        wire.set_due_us(self.due.0);
        wire.set_expire_at_us(self.expire_at.0);
        let b = &self.bytes;
        wire.set_payload_len(len_u32("payload", b.payload)?);
        wire.set_tags_len(len_u32("tags", b.tags)?);
        wire.set_key_len(len_u16("key", b.key)?);
        wire.set_error_len(len_u32("error", b.error)?);
        wire.set_backtrace_len(len_u32("backtrace", b.backtrace)?);
        wire.set_progress_len(len_u32("progress", b.progress)?);
        wire.set_checkpoint_len(len_u32("checkpoint", b.checkpoint)?);
        for part in [b.payload, b.tags, b.key, b.error, b.backtrace, b.progress, b.checkpoint] {
            out.extend_from_slice(part);
        }
        Ok(())
    }

    fn put_more(
        &self,
        wire: &mut fb::LookupMore,
        scratch: &mut Scratch,
    ) -> Result<(), EncodeError> {
        let (reason, by) = (self.bytes.hold_reason, self.bytes.hold_by.as_bytes());
        let limit_key = self.bytes.limit_key.as_bytes();
        wire.set_ended_us(self.ended.0);
        wire.set_lease_expiries(self.lease_expiries);
        wire.set_then(self.then as u8);
        wire.set_waits_for(self.waits_for);
        wire.set_batch(&batch_id_to(self.batch.unwrap_or_default()));
        wire.set_reason_len(len_u32("hold reason", reason)?);
        wire.set_by_len(len_u16("by", by)?);
        wire.set_limit_key_len(len_u16("limit key", limit_key)?);
        for part in [reason, by, limit_key] {
            scratch.more_bytes.extend_from_slice(part);
        }
        Ok(())
    }

    fn decode(
        wire: &fb::Lookup,
        names: &Names<'a>,
        blob: &mut BlobReader<'a>,
    ) -> Result<Self, DecodeError> {
        let state = JobState::from_u8(wire.state())
            .ok_or(DecodeError::Value { field: "state", value: wire.state().into() })?;
        Ok(Self {
            state,
            queue: names.get(wire.name())?,
            priority: wire.priority(),
            max_retries: wire.max_retries(),
            backoff: backoff(wire.backoff())?,
            backoff_base_ms: wire.backoff_base_ms(),
            backoff_cap_ms: wire.backoff_cap_ms(),
            expire_after_ms: wire.expire_after_ms(),
            attempt: wire.attempt(),
            token: LeaseToken(wire.token()),
            due: Micros(wire.due_us()),
            expire_at: Micros(wire.expire_at_us()),
            ended: Micros(0),
            lease_expiries: 0,
            then: HoldEnd::Stay,
            waits_for: 0,
            batch: None,
            cost_micros: 0,
            agent: None,
            bytes: JobBytes {
                payload: blob.bytes("payload", wire.payload_len())?,
                tags: blob.bytes("tags", wire.tags_len())?,
                key: blob.bytes("key", wire.key_len().into())?,
                error: blob.bytes("error", wire.error_len())?,
                backtrace: blob.bytes("backtrace", wire.backtrace_len())?,
                progress: blob.bytes("progress", wire.progress_len())?,
                checkpoint: blob.bytes("checkpoint", wire.checkpoint_len())?,
                hold_reason: &[],
                hold_by: "",
                limit_key: "",
            },
        })
    }
}
