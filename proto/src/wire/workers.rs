//! The list of workers on the wire.

use super::blob::{BlobReader, len_u16};
use super::encoder::Scratch;
use super::generated as fb;
use super::table::{Names, Table, collect};
use super::{DecodeError, EncodeError};
use crate::limits::{WORKER_QUEUES_MAX, WORKERS_PER_ANSWER_MAX};
use crate::reply::WorkerView;
use crate::request::Workers;
use crate::{Micros, SessionId};

pub(super) fn put(scratch: &mut Scratch, worker: &WorkerView) -> Result<(), EncodeError> {
    let (name, host) = (worker.name.as_bytes(), worker.host.as_bytes());
    let named = &worker.queues[..worker.queues.len().min(WORKER_QUEUES_MAX)];
    for queue in named {
        let position = scratch.names.intern(queue)?;
        scratch.worker_queues.push(position);
    }
    scratch.workers.push(fb::Worker::new(
        worker.session.0,
        worker.started.0,
        worker.last_seen.0,
        worker.leases,
        worker.queues_asked,
        len_u16("worker", name)?,
        len_u16("host", host)?,
        named.len() as u16,
    ));
    scratch.worker_bytes.extend_from_slice(name);
    scratch.worker_bytes.extend_from_slice(host);
    Ok(())
}

pub(super) fn decode(
    table: &Table<'_>,
    names: &Names<'_>,
    blob: &mut BlobReader<'_>,
) -> Result<Vec<WorkerView>, DecodeError> {
    use fb::Reply as T;
    let most = WORKERS_PER_ANSWER_MAX as usize;
    let mut queues =
        table.list("queues of workers", T::VT_WORKER_QUEUES, most * WORKER_QUEUES_MAX)?;
    collect(table.list("workers", T::VT_WORKERS, most)?, |raw| {
        let wire = fb::Worker(raw);
        let field = "queues of a worker";
        let split = queues.split_at_checked(wire.named().into());
        let (own, rest) = split.ok_or(DecodeError::Range { field })?;
        queues = rest;
        let queue = |raw| Ok(names.get(u16::from_le_bytes(raw))?.to_owned());
        Ok(WorkerView {
            session: SessionId(wire.session()),
            name: blob.text("worker", wire.name_len().into())?.to_owned(),
            host: blob.text("host", wire.host_len().into())?.to_owned(),
            queues: collect(own, queue)?,
            queues_asked: wire.queues(),
            started: Micros(wire.started_us()),
            last_seen: Micros(wire.last_seen_us()),
            leases: wire.leases(),
        })
    })
}

pub(super) fn wanted_to(
    wanted: &Workers<'_>,
    out: &mut Vec<u8>,
) -> Result<fb::WorkerQuery, EncodeError> {
    let worker = wanted.after_worker.as_bytes();
    out.extend_from_slice(worker);
    let len = len_u16("worker", worker)?;
    Ok(fb::WorkerQuery::new(wanted.after_session.0, wanted.count, len))
}

pub(super) fn wanted<'a>(
    table: &Table<'a>,
    blob: &mut BlobReader<'a>,
) -> Result<Option<Workers<'a>>, DecodeError> {
    let Some(wire) = table.structure(fb::Request::VT_WORKERS)?.map(fb::WorkerQuery) else {
        return Ok(None);
    };
    Ok(Some(Workers {
        after_session: SessionId(wire.after_session()),
        after_worker: blob.text("worker", wire.worker_len().into())?,
        count: wire.count(),
    }))
}
