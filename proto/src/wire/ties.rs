//! What ties jobs together, to bytes and back.

use flatbuffers::FlatBufferBuilder;

use super::blob::{BlobReader, len_u16, len_u32};
use super::decode_request::Classes;
use super::encode_request::class_index;
use super::encoder::{Scratch, vector, vector_of};
use super::generated as fb;
use super::table::{Table, code, collect, job_id, job_id_to};
use super::{DecodeError, EncodeError};
use crate::limits::{BATCHES_PER_REQUEST_MAX, DEPENDS_MAX, OPS_PER_REQUEST_MAX};
use crate::reply::BatchView;
use crate::request::{BatchSeal, Chain, Depends, Enqueue, Members, Ties, When};
use crate::{BatchId, Code, JobId, Micros};

type Wire = fb::Request<'static>;

fn batch_id(id: &fb::JobId) -> Result<BatchId, DecodeError> {
    job_id(id).map(|id| BatchId::from_u128(id.to_u128()).expect("as many bits"))
}

pub(super) fn batch_id_to(id: BatchId) -> fb::JobId {
    job_id_to(JobId::from_u128(id.to_u128()).expect("as many bits"))
}

/// Steps on their way into a request, behind the rest of its blob.
pub(super) fn put_steps(
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
    ties: &Ties<'_>,
) -> Result<Vec<fb::Step>, EncodeError> {
    let chains = ties.chains.iter().flat_map(Chain::all);
    let steps = ties.batch_opens.iter().flatten().chain(chains);
    let put = |step: &Enqueue<'_>| {
        let class = class_index(scratch, step)?;
        let limit_key = step.limit_key.as_bytes();
        let wire = fb::Step::new(
            len_u32("payload", step.payload)?,
            len_u32("tags", step.tags)?,
            class,
            len_u16("limit key", limit_key)?,
        );
        [step.payload, step.tags, limit_key].iter().for_each(|part| out.extend_from_slice(part));
        Ok(wire)
    };
    steps.map(put).collect()
}

/// The fields of a request that tie its jobs.
pub(super) fn put_ties(
    table: &mut FlatBufferBuilder<'static>,
    args: &mut fb::RequestArgs<'_>,
    ties: &Ties<'_>,
    steps: &[fb::Step],
) -> Result<(), EncodeError> {
    let on: Vec<_> = ties.depends.iter().flat_map(|wait| &wait.on).copied().collect();
    let few = BATCHES_PER_REQUEST_MAX;
    for (field, count, count_max) in [
        ("batches to open", ties.batch_opens.len(), few),
        ("batches to seal", ties.batch_seals.len(), few),
        ("batches to look up", ties.batch_lookups.len(), few),
        ("depends on", ties.depends.iter().map(|d| d.on.len()).max().unwrap_or(0), DEPENDS_MAX),
    ] {
        if count > count_max {
            return Err(EncodeError::TooMany { field, count, count_max });
        }
    }
    args.steps = vector(table, steps);
    args.batch_opens = vector_of(table, &ties.batch_opens, Option::is_some);
    args.batch_seals = vector_of(table, &ties.batch_seals, |seal| {
        fb::BatchSeal::new(&batch_id_to(seal.batch), seal.total)
    });
    args.members = vector_of(table, &ties.members, |run| {
        fb::Members::new(&batch_id_to(run.batch), run.first, run.count)
    });
    args.chains = vector_of(table, &ties.chains, |chain| {
        let (on_failure, on_exit) = (chain.on_failure.is_some(), chain.on_exit.is_some());
        // There are no more steps than a request may have operations.
        fb::Chain::new(chain.enqueue, chain.steps.len() as u16, on_failure, on_exit)
    });
    args.depends = vector_of(table, &ties.depends, |wait| {
        fb::Depends::new(wait.enqueue, wait.on.len() as u16)
    });
    args.depends_on = vector_of(table, &on, |on| job_id_to(*on));
    args.exits = vector(table, &ties.exits);
    args.batch_lookups = vector_of(table, &ties.batch_lookups, |id| batch_id_to(*id));
    Ok(())
}

/// Takes steps in the order in which they are listed.
struct Steps<'a>(std::vec::IntoIter<Enqueue<'a>>);

impl<'a> Steps<'a> {
    fn read(
        table: &Table<'a>,
        classes: &Classes<'_, 'a>,
        blob: &mut BlobReader<'a>,
    ) -> Result<Self, DecodeError> {
        let list = table.list("steps", Wire::VT_STEPS, OPS_PER_REQUEST_MAX)?;
        let steps = collect(list, |raw| {
            let step = fb::Step(raw);
            let like = classes.get(step.class_index())?;
            Ok(Enqueue {
                payload: blob.bytes("payload", step.payload_len())?,
                tags: blob.bytes("tags", step.tags_len())?,
                limit_key: blob.text("limit key", step.limit_key_len().into())?,
                ..like.enqueue(When::Now)
            })
        })?;
        Ok(Self(steps.into_iter()))
    }

    fn take(&mut self) -> Result<Enqueue<'a>, DecodeError> {
        self.0.next().ok_or(DecodeError::Range { field: "steps" })
    }

    fn take_if(&mut self, is_there: bool) -> Result<Option<Enqueue<'a>>, DecodeError> {
        is_there.then(|| self.take()).transpose()
    }
}

pub(super) fn ties<'a>(
    table: &Table<'a>,
    classes: &Classes<'_, 'a>,
    blob: &mut BlobReader<'a>,
) -> Result<Ties<'a>, DecodeError> {
    let (few, most) = (BATCHES_PER_REQUEST_MAX, OPS_PER_REQUEST_MAX);
    let mut steps = Steps::read(table, classes, blob)?;
    let opens = table.list("batches to open", Wire::VT_BATCH_OPENS, few)?;
    let batch_opens = collect(opens, |[called]: [u8; 1]| steps.take_if(called != 0))?;
    let chains = collect(table.list("chains", Wire::VT_CHAINS, most)?, |raw| {
        let chain = fb::Chain(raw);
        Ok(Chain {
            enqueue: chain.enqueue(),
            steps: (0..chain.steps()).map(|_| steps.take()).collect::<Result<_, _>>()?,
            on_failure: steps.take_if(chain.on_failure())?,
            on_exit: steps.take_if(chain.on_exit())?,
        })
    })?;
    let on_max = most * DEPENDS_MAX;
    let mut on = table.list("depends on", Wire::VT_DEPENDS_ON, on_max)?;
    let depends = collect(table.list("depends", Wire::VT_DEPENDS, most)?, |raw| {
        let wait = fb::Depends(raw);
        let missing = DecodeError::Range { field: "depends on" };
        let (own, rest) = on.split_at_checked(wait.count().into()).ok_or(missing)?;
        on = rest;
        Ok(Depends { enqueue: wait.enqueue(), on: collect(own, |raw| job_id(&fb::JobId(raw)))? })
    })?;
    let seals = table.list("batches to seal", Wire::VT_BATCH_SEALS, few)?;
    Ok(Ties {
        batch_opens,
        batch_seals: collect(seals, |raw| {
            let seal = fb::BatchSeal(raw);
            Ok(BatchSeal { batch: batch_id(seal.batch())?, total: seal.total() })
        })?,
        members: collect(table.list("members", Wire::VT_MEMBERS, most)?, |raw| {
            let run = fb::Members(raw);
            let (batch, first, count) = (batch_id(run.batch())?, run.first(), run.count());
            Ok(Members { batch, first, count })
        })?,
        chains,
        depends,
        parents: super::kin::decode_parents(table)?,
        exits: collect(table.list("exits", Wire::VT_EXITS, most)?, |raw| {
            Ok(u32::from_le_bytes(raw))
        })?,
        batch_lookups: collect(
            table.list("batches to look up", Wire::VT_BATCH_LOOKUPS, few)?,
            |raw| batch_id(&fb::JobId(raw)),
        )?,
    })
}

pub(super) fn batch_view_to(view: &Result<BatchView, Code>) -> fb::Batch {
    let code = view.err().unwrap_or(Code::Ok);
    let view = view.unwrap_or_default();
    fb::Batch::new(
        view.total.unwrap_or(0),
        view.succeeded,
        view.failed,
        view.ended.0,
        code as u8,
        view.total.is_some(),
        view.called_back,
    )
}

/// Batches opened, batches sealed, and batches looked up.
pub(super) type BatchAnswers = (Vec<BatchId>, Vec<Code>, Vec<Result<BatchView, Code>>);

pub(super) fn batch_answers(table: &Table<'_>) -> Result<BatchAnswers, DecodeError> {
    use fb::Reply as T;
    let few = BATCHES_PER_REQUEST_MAX;
    let opened = table.list("batches opened", T::VT_BATCHES, few)?;
    let sealed = table.list("batches sealed", T::VT_BATCH_SEALS, few)?;
    let found = table.list("batches looked up", T::VT_BATCH_LOOKUPS, few)?;
    Ok((
        collect(opened, |raw| batch_id(&fb::JobId(raw)))?,
        collect(sealed, |[number]: [u8; 1]| code(number))?,
        collect(found, |raw| {
            let wire = fb::Batch(raw);
            let view = BatchView {
                total: wire.sealed().then(|| wire.total()),
                succeeded: wire.succeeded(),
                failed: wire.failed(),
                ended: Micros(wire.ended_us()),
                called_back: wire.called_back(),
            };
            Ok(match code(wire.code())? {
                Code::Ok => Ok(view),
                code => Err(code),
            })
        })?,
    ))
}

/// The batch of a job that was looked up; none is all zeros.
pub(super) fn lookup_batch(id: &fb::JobId) -> Result<Option<BatchId>, DecodeError> {
    Ok(Some(batch_id(id)?).filter(|id| *id != BatchId::default()))
}
