//! Parents, children, where moved jobs are, and which are held, on the wire.

use flatbuffers::FlatBufferBuilder;

use super::decode_controls::Rising;
use super::encoder::{Scratch, vector_of};
use super::generated as fb;
use super::table::{Names, Table, collect, job_id, job_id_to};
use super::{DecodeError, EncodeError, Lookup};
use crate::limits::{CHILDREN_COUNT_MAX, HELD_COUNT_MAX, OPS_PER_REQUEST_MAX};
use crate::reply::{Child, JobState, KinView};
use crate::request::{Children, HeldJobs, Parents, Ties};
use crate::{JobId, JobSeq};

/// What a lookup says of other jobs and other shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kin<'a> {
    /// The job it was enqueued for, if it names one.
    pub parent: Option<JobId>,
    /// The id it had on another shard before it was moved here.
    pub moved_from: Option<JobId>,
    /// The queue of another shard that it goes to, or went to; empty is none.
    pub moves_to: &'a str,
    /// The id it has there, once it has arrived.
    pub moved_to: Option<JobId>,
}

pub(super) fn id_to(id: Option<JobId>) -> fb::JobId {
    job_id_to(id.unwrap_or_default())
}

/// No job has the id 0.
pub(super) fn id_from(wire: &fb::JobId) -> Result<Option<JobId>, DecodeError> {
    Ok(Some(job_id(wire)?).filter(|id| *id != JobId::default()))
}

impl<'a> Kin<'a> {
    /// As the state knows it.
    #[must_use]
    pub fn new(view: &'a KinView) -> Self {
        let KinView { parent, moved_from, moves_to, moved_to } = view;
        Self { parent: *parent, moved_from: *moved_from, moves_to, moved_to: *moved_to }
    }

    /// Of the lookup that was put last. Most jobs have none of it.
    pub(super) fn put(&self, scratch: &mut Scratch) -> Result<(), EncodeError> {
        if *self == Self::default() {
            return Ok(());
        }
        let moves = !self.moves_to.is_empty();
        let name = if moves { scratch.names.intern(self.moves_to)? } else { 0 };
        scratch.lookup_kin.push(fb::LookupKin::new(
            &id_to(self.parent),
            &id_to(self.moved_from),
            &id_to(self.moved_to),
            scratch.lookups.len() as u32 - 1,
            name,
            moves,
        ));
        Ok(())
    }
}

pub(super) fn decode_lookup_kin<'a>(
    table: &Table<'a>,
    names: &Names<'a>,
    lookups: &mut [Lookup<'a>],
) -> Result<(), DecodeError> {
    let list = table.list("kin of lookups", fb::Reply::VT_LOOKUP_KIN, OPS_PER_REQUEST_MAX)?;
    let mut rising = Rising::new("position of a lookup's kin", lookups.len());
    for raw in list {
        let wire = fb::LookupKin(*raw);
        let at = rising.position(wire.lookup())?;
        lookups[at].kin = Kin {
            parent: id_from(wire.parent())?,
            moved_from: id_from(wire.moved_from())?,
            moves_to: if wire.moves() { names.get(wire.name())? } else { "" },
            moved_to: id_from(wire.moved_to())?,
        };
    }
    Ok(())
}

/// Parents of a request's new jobs.
pub(super) fn put_parents(
    table: &mut FlatBufferBuilder<'static>,
    args: &mut fb::RequestArgs<'_>,
    ties: &Ties<'_>,
) {
    args.parents = vector_of(table, &ties.parents, |run| {
        fb::Parents::new(&job_id_to(run.parent), run.first, run.count)
    });
}

pub(super) fn decode_parents(table: &Table<'_>) -> Result<Vec<Parents>, DecodeError> {
    let list = table.list("parents", fb::Request::VT_PARENTS, OPS_PER_REQUEST_MAX)?;
    collect(list, |raw| {
        let run = fb::Parents(raw);
        let (parent, first, count) = (job_id(run.parent())?, run.first(), run.count());
        Ok(Parents { parent, first, count })
    })
}

pub(super) fn children_to(wanted: &Children) -> fb::Children {
    fb::Children::new(&job_id_to(wanted.parent), wanted.after.0, wanted.count)
}

pub(super) fn decode_children(table: &Table<'_>) -> Result<Option<Children>, DecodeError> {
    let Some(wire) = table.structure(fb::Request::VT_CHILDREN)?.map(fb::Children) else {
        return Ok(None);
    };
    let (parent, after) = (job_id(wire.parent())?, JobSeq(wire.after()));
    Ok(Some(Children { parent, after, count: wire.count() }))
}

pub(super) fn held_to(wanted: &HeldJobs) -> fb::HeldQuery {
    fb::HeldQuery::new(wanted.after.0, wanted.count)
}

pub(super) fn decode_held(table: &Table<'_>) -> Result<Option<HeldJobs>, DecodeError> {
    let wire = table.structure(fb::Request::VT_HELD_QUERY)?.map(fb::HeldQuery);
    Ok(wire.map(|wire| HeldJobs { after: JobSeq(wire.after()), count: wire.count() }))
}

pub(super) fn decode_held_list(table: &Table<'_>) -> Result<Vec<JobId>, DecodeError> {
    let list = table.list("held jobs", fb::Reply::VT_HELD, HELD_COUNT_MAX as usize)?;
    collect(list, |raw| job_id(&fb::JobId(raw)))
}

pub(super) fn child_to(child: &Child) -> fb::Child {
    fb::Child::new(&job_id_to(child.job), child.state as u8)
}

pub(super) fn decode_child_list(table: &Table<'_>) -> Result<Vec<Child>, DecodeError> {
    let most = CHILDREN_COUNT_MAX as usize;
    collect(table.list("children", fb::Reply::VT_CHILDREN, most)?, |raw| {
        let wire = fb::Child(raw);
        let state = JobState::from_u8(wire.state())
            .ok_or(DecodeError::Value { field: "state", value: wire.state().into() })?;
        Ok(Child { job: job_id(wire.job())?, state })
    })
}
