//! What is done to archived jobs, on the wire.

use super::blob::{BlobReader, len_u16, len_u32};
use super::decode_request::Classes;
use super::encode_request::class_index;
use super::encoder::Scratch;
use super::generated as fb;
use super::kin::{id_from, id_to};
use super::table::{Names, Table, collect, job_id, job_id_to};
use super::{DecodeError, EncodeError};
use crate::agent::AgentLimits;
use crate::limits::OPS_PER_REQUEST_MAX;
use crate::request::{
    ArchivedAction, ArchivedControl, Enqueue, Request, Revive, RevivedAgent, When,
};

const REVIVE: u8 = 1;
const DELETE: u8 = 2;
const MOVE: u8 = 3;

/// Set in `flags` of an agent job.
const IS_AGENT: u8 = 1;

pub(super) fn controls_to(
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
    request: &Request<'_>,
) -> Result<Vec<fb::Archived>, EncodeError> {
    let put = |control| control_to(scratch, out, control);
    request.archived.iter().map(put).collect()
}

fn control_to(
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
    control: &ArchivedControl<'_>,
) -> Result<fb::Archived, EncodeError> {
    let mut wire = fb::Archived::default();
    wire.set_job(&job_id_to(control.job));
    match &control.action {
        ArchivedAction::Revive(revive) => revive_to(&mut wire, scratch, out, revive)?,
        ArchivedAction::Delete => wire.set_kind(DELETE),
        ArchivedAction::Move { queue } => {
            wire.set_kind(MOVE);
            wire.set_name(scratch.names.intern(queue)?);
        }
    }
    Ok(wire)
}

fn revive_to(
    wire: &mut fb::Archived,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
    revive: &Revive<'_>,
) -> Result<(), EncodeError> {
    let Revive { content, checkpoint, progress, parent, cost_micros, agent } = revive;
    wire.set_kind(REVIVE);
    wire.set_class_index(class_index(scratch, content)?);
    wire.set_payload_len(len_u32("payload", content.payload)?);
    wire.set_tags_len(len_u32("tags", content.tags)?);
    wire.set_unique_len(len_u16("unique key", content.unique)?);
    wire.set_unique_ms(content.unique_ms);
    let limit_key = content.limit_key.as_bytes();
    wire.set_limit_key_len(len_u16("limit key", limit_key)?);
    wire.set_checkpoint_len(len_u32("checkpoint", checkpoint)?);
    wire.set_progress_len(len_u32("progress", progress)?);
    wire.set_parent(&id_to(*parent));
    wire.set_cost_micros(*cost_micros);
    if let Some(RevivedAgent { iteration, limits }) = agent {
        wire.set_flags(IS_AGENT);
        wire.set_iteration(*iteration);
        wire.set_max_iterations(limits.max_iterations);
        wire.set_max_cost_micros(limits.max_cost_micros);
        wire.set_iteration_timeout_ms(limits.iteration_timeout_ms);
    }
    let parts = [content.payload, content.tags, content.unique, limit_key, checkpoint, progress];
    parts.into_iter().for_each(|part| out.extend_from_slice(part));
    Ok(())
}

pub(super) fn controls<'a>(
    table: &Table<'a>,
    names: &Names<'a>,
    blob: &mut BlobReader<'a>,
) -> Result<Vec<ArchivedControl<'a>>, DecodeError> {
    let list = table.list("archived jobs", fb::Request::VT_ARCHIVED, OPS_PER_REQUEST_MAX)?;
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let classes = Classes::open(table, names)?;
    collect(list, |raw| {
        let wire = fb::Archived(raw);
        let action = match wire.kind() {
            REVIVE => ArchivedAction::Revive(Box::new(revive(&wire, &classes, blob)?)),
            DELETE => ArchivedAction::Delete,
            MOVE => ArchivedAction::Move { queue: names.get(wire.name())? },
            kind => {
                let field = "kind of an archived job's control";
                return Err(DecodeError::Value { field, value: kind.into() });
            }
        };
        Ok(ArchivedControl { job: job_id(wire.job())?, action })
    })
}

fn revive<'a>(
    wire: &fb::Archived,
    classes: &Classes<'_, 'a>,
    blob: &mut BlobReader<'a>,
) -> Result<Revive<'a>, DecodeError> {
    let content = Enqueue {
        payload: blob.bytes("payload", wire.payload_len())?,
        tags: blob.bytes("tags", wire.tags_len())?,
        unique: blob.bytes("unique key", wire.unique_len().into())?,
        unique_ms: wire.unique_ms(),
        limit_key: blob.text("limit key", wire.limit_key_len().into())?,
        ..classes.get(wire.class_index())?.enqueue(When::Now)
    };
    let agent = RevivedAgent {
        iteration: wire.iteration(),
        limits: AgentLimits {
            max_iterations: wire.max_iterations(),
            max_cost_micros: wire.max_cost_micros(),
            iteration_timeout_ms: wire.iteration_timeout_ms(),
        },
    };
    Ok(Revive {
        content,
        checkpoint: blob.bytes("checkpoint", wire.checkpoint_len())?,
        progress: blob.bytes("progress", wire.progress_len())?,
        parent: id_from(wire.parent())?,
        cost_micros: wire.cost_micros(),
        agent: (wire.flags() & IS_AGENT != 0).then_some(agent),
    })
}
