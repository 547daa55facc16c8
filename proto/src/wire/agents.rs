//! Agent jobs on the wire: new ones, what workers say of iterations, and what is told of them.

use super::blob::{BlobReader, len_u16, len_u32};
use super::decode_controls::Rising;
use super::encoder::Scratch;
use super::generated as fb;
use super::table::{Table, collect, job_id, job_id_to};
use super::{DecodeError, EncodeError, LeasedJob, Lookup};
use crate::agent::{AgentLimits, AgentState, AgentStatus};
use crate::event::Replayed;
use crate::limits::{HISTORY_COUNT_MAX, OPS_PER_REQUEST_MAX};
use crate::reply::{AgentView, LeasedAgent};
use crate::request::{Agent, AgentAck, EnqueueAgent, History, JobAction, Request};
use crate::usage::Amounts;
use crate::{EventSeq, JobId, Micros};

/// An iteration of an agent job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IterationRecord<'a> {
    /// Its record.
    pub event: EventSeq,
    /// The record before it; 0 is none.
    pub previous: EventSeq,
    /// When it was over.
    pub time: Micros,
    /// Which it was, from 1. One that was held is executed again when it is approved.
    pub number: u32,
    /// The attempt at it, from 1.
    pub attempt: u32,
    /// What became of the job.
    pub status: AgentStatus,
    /// The job's checkpoint then.
    pub checkpoint: &'a [u8],
    /// What came out of it.
    pub result: &'a [u8],
    /// Why the job was held.
    pub reason: &'a [u8],
    /// What was reported with its end.
    pub amounts: Amounts,
    /// The model; empty is not said.
    pub model: &'a str,
    /// Who runs the model; empty is not said.
    pub provider: &'a str,
}

/// Agent jobs of a request.
#[derive(Default)]
pub(super) struct Agents {
    pub(super) agents: Vec<fb::EnqueueAgent>,
    pub(super) acks: Vec<fb::AgentAck>,
    pub(super) revisions: Vec<fb::Revision>,
    pub(super) query: Option<fb::History>,
}

impl Agents {
    pub(super) fn put(out: &mut Vec<u8>, request: &Request<'_>) -> Result<Self, EncodeError> {
        let mut agents = Self::default();
        for EnqueueAgent { enqueue, agent } in &request.agents {
            let Agent { limits, checkpoint, replayed } = *agent;
            let (job, iteration) =
                replayed.map_or_else(Default::default, |of| (of.job, of.iteration));
            agents.agents.push(fb::EnqueueAgent::new(
                &job_id_to(job),
                limits.max_cost_micros,
                limits.iteration_timeout_ms,
                *enqueue,
                limits.max_iterations,
                len_u32("checkpoint", checkpoint)?,
                iteration,
            ));
            out.extend_from_slice(checkpoint);
        }
        for AgentAck { of, status, checkpoint, reason } in &request.agent_acks {
            let (len, reason_len) =
                (len_u32("checkpoint", checkpoint)?, len_u32("reason", reason)?);
            agents.acks.push(fb::AgentAck::new(*of, len, reason_len, *status));
            out.extend_from_slice(checkpoint);
            out.extend_from_slice(reason);
        }
        for (at, control) in (0..).zip(&request.job_controls) {
            if let JobAction::Revise { checkpoint, replaces, .. } = control.action {
                let len = len_u32("checkpoint", checkpoint)?;
                agents.revisions.push(fb::Revision::new(replaces.0, at, len));
                out.extend_from_slice(checkpoint);
            }
        }
        agents.query = request
            .iterations
            .map(|History { job, from, count }| fb::History::new(&job_id_to(job), from.0, count));
        Ok(agents)
    }
}

/// Agent jobs of a request, into it.
pub(super) fn agents<'a>(
    table: &Table<'a>,
    request: &mut Request<'a>,
    blob: &mut BlobReader<'a>,
) -> Result<(), DecodeError> {
    use fb::Request as T;
    let most = OPS_PER_REQUEST_MAX;
    let mut rising = Rising::new("position of an agent job", request.enqueues.len());
    request.agents = collect(table.list("agents", T::VT_AGENTS, most)?, |raw| {
        let wire = fb::EnqueueAgent(raw);
        rising.position(wire.enqueue())?;
        let job = job_id(wire.replayed())?;
        let iteration = wire.replayed_iteration();
        let agent = Agent {
            limits: AgentLimits {
                max_iterations: wire.max_iterations(),
                max_cost_micros: wire.max_cost_micros(),
                iteration_timeout_ms: wire.iteration_timeout_ms(),
            },
            checkpoint: blob.bytes("checkpoint", wire.checkpoint_len())?,
            replayed: (job != JobId::default()).then_some(Replayed { job, iteration }),
        };
        Ok(EnqueueAgent { enqueue: wire.enqueue(), agent })
    })?;
    let mut rising = Rising::new("position of an iteration's ack", request.acks.len());
    request.agent_acks = collect(table.list("agent acks", T::VT_AGENT_ACKS, most)?, |raw| {
        let wire = fb::AgentAck(raw);
        rising.position(wire.of())?;
        Ok(AgentAck {
            of: wire.of(),
            status: wire.status(),
            checkpoint: blob.bytes("checkpoint", wire.checkpoint_len())?,
            reason: blob.bytes("reason", wire.reason_len())?,
        })
    })?;
    let mut rising = Rising::new("position of a revision", request.job_controls.len());
    for raw in table.list("revisions", T::VT_REVISIONS, most)? {
        let wire = fb::Revision(*raw);
        let control = &mut request.job_controls[rising.position(wire.control())?];
        let bytes = blob.bytes("checkpoint", wire.checkpoint_len())?;
        let JobAction::Revise { checkpoint, replaces, .. } = &mut control.action else {
            return Err(DecodeError::Range { field: "position of a revision" });
        };
        (*checkpoint, *replaces) = (bytes, EventSeq(wire.replaces()));
    }
    if let Some(wire) = table.structure(T::VT_ITERATION_QUERY)?.map(fb::History) {
        let (job, from) = (job_id(wire.job())?, EventSeq(wire.from()));
        request.iterations = Some(History { job, from, count: wire.count() });
    }
    Ok(())
}

/// Of the lease that was put last, when it is the one at `nth`.
pub(super) fn put_lease(scratch: &mut Scratch, agents: &[LeasedAgent], nth: usize) {
    let found = agents.binary_search_by_key(&nth, |agent| agent.lease as usize);
    let Ok(AgentState { iteration, cost_micros, limits }) = found.map(|at| agents[at].state) else {
        return;
    };
    scratch.lease_agents.push(fb::LeaseAgent::new(
        cost_micros,
        limits.max_cost_micros,
        limits.iteration_timeout_ms,
        scratch.leases.len() as u32 - 1,
        iteration,
        limits.max_iterations,
    ));
}

pub(super) fn decode_leases(
    list: &[[u8; size_of::<fb::LeaseAgent>()]],
    leases: &mut [LeasedJob<'_>],
) -> Result<(), DecodeError> {
    let mut rising = Rising::new("position of a leased agent job", leases.len());
    for raw in list {
        let wire = fb::LeaseAgent(*raw);
        leases[rising.position(wire.lease())?].agent = Some(AgentState {
            iteration: wire.iteration(),
            cost_micros: wire.cost_micros(),
            limits: AgentLimits {
                max_iterations: wire.max_iterations(),
                max_cost_micros: wire.max_cost_micros(),
                iteration_timeout_ms: wire.iteration_timeout_ms(),
            },
        });
    }
    Ok(())
}

/// Of the lookup that was put last.
pub(super) fn put_lookup(scratch: &mut Scratch, agent: &AgentView) {
    let AgentView { iteration, limits, newest, checkpoint } = *agent;
    scratch.lookup_agents.push(fb::LookupAgent::new(
        limits.max_cost_micros,
        limits.iteration_timeout_ms,
        newest.0,
        checkpoint.0,
        scratch.lookups.len() as u32 - 1,
        iteration,
        limits.max_iterations,
    ));
}

pub(super) fn decode_lookups(
    table: &Table<'_>,
    lookups: &mut [Lookup<'_>],
) -> Result<(), DecodeError> {
    let list = table.list("agents", fb::Reply::VT_LOOKUP_AGENTS, OPS_PER_REQUEST_MAX)?;
    let mut rising = Rising::new("position of a lookup's agent", lookups.len());
    for raw in list {
        let wire = fb::LookupAgent(*raw);
        let at = rising.position(wire.lookup())?;
        if let Some(details) = &mut lookups[at].details {
            details.agent = Some(AgentView {
                iteration: wire.iteration(),
                limits: AgentLimits {
                    max_iterations: wire.max_iterations(),
                    max_cost_micros: wire.max_cost_micros(),
                    iteration_timeout_ms: wire.iteration_timeout_ms(),
                },
                newest: EventSeq(wire.newest()),
                checkpoint: EventSeq(wire.checkpoint()),
            });
        }
    }
    Ok(())
}

impl<'a> IterationRecord<'a> {
    pub(super) fn put(&self, scratch: &mut Scratch) -> Result<(), EncodeError> {
        let (model, provider) = (self.model.as_bytes(), self.provider.as_bytes());
        scratch.iterations.push(fb::Iteration::new(
            self.event.0,
            self.previous.0,
            self.time.0,
            self.amounts.input_tokens,
            self.amounts.output_tokens,
            self.amounts.cache_creation_tokens,
            self.amounts.cache_read_tokens,
            self.amounts.cost_micros,
            self.number,
            self.attempt,
            len_u32("checkpoint", self.checkpoint)?,
            len_u32("result", self.result)?,
            len_u32("reason", self.reason)?,
            len_u16("model", model)?,
            len_u16("provider", provider)?,
            self.status as u8,
        ));
        let parts = [self.checkpoint, self.result, self.reason, model, provider];
        parts.into_iter().for_each(|part| scratch.iteration_bytes.extend_from_slice(part));
        Ok(())
    }
}

pub(super) fn decode_iterations<'a>(
    table: &Table<'a>,
    blob: &mut BlobReader<'a>,
) -> Result<Vec<IterationRecord<'a>>, DecodeError> {
    let list = table.list("iterations", fb::Reply::VT_ITERATIONS, HISTORY_COUNT_MAX as usize)?;
    collect(list, |raw| {
        let wire = fb::Iteration(raw);
        let (field, value) = ("status of an iteration", wire.status());
        let unknown = DecodeError::Value { field, value: value.into() };
        Ok(IterationRecord {
            event: EventSeq(wire.event()),
            previous: EventSeq(wire.previous()),
            time: Micros(wire.time_us()),
            number: wire.number(),
            attempt: wire.attempt(),
            status: AgentStatus::from_u8(value).ok_or(unknown)?,
            checkpoint: blob.bytes("checkpoint", wire.checkpoint_len())?,
            result: blob.bytes("result", wire.result_len())?,
            reason: blob.bytes("reason", wire.reason_len())?,
            amounts: Amounts {
                input_tokens: wire.input_tokens(),
                output_tokens: wire.output_tokens(),
                cache_creation_tokens: wire.cache_creation_tokens(),
                cache_read_tokens: wire.cache_read_tokens(),
                cost_micros: wire.cost_micros(),
            },
            model: blob.text("model", wire.model_len().into())?,
            provider: blob.text("provider", wire.provider_len().into())?,
        })
    })
}
