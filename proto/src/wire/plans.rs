//! Plans on the wire: those of new jobs, and what lookups say of them.

use super::blob::{BlobReader, len_u16, len_u32};
use super::decode_controls::Rising;
use super::encoder::Scratch;
use super::generated as fb;
use super::table::{Table, collect};
use super::{DecodeError, EncodeError, Lookup};
use crate::event::ExpectedKind;
use crate::limits::OPS_PER_REQUEST_MAX;
use crate::plan::{Effect, Need, PlanStatus};
use crate::reply::{Appended, PlanView};
use crate::request::{Append, EnqueuePlan, Expected, History, Request};
use crate::{EventSeq, Micros};

/// What a lookup says of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanDetails<'a> {
    /// How far it is.
    pub status: PlanStatus,
    /// The newest event recorded for the job; 0 is none.
    pub newest: EventSeq,
    /// How many were recorded for it.
    pub events: u32,
    /// When everything required must have come; 0 is whenever.
    pub deadline: Micros,
    /// Its kinds, in the order in which they were given.
    pub kinds: Vec<KindDetails<'a>>,
}

/// What a lookup says of a kind of events that a plan expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindDetails<'a> {
    /// Its name.
    pub name: &'a str,
    /// What they are to the plan.
    pub need: Need,
    /// How many are expected.
    pub count: u16,
    /// How many of those have come.
    pub seen: u16,
    /// When they must have come; 0 is whenever.
    pub deadline: Micros,
}

impl<'a> PlanDetails<'a> {
    /// A plan as the state knows it, with the kinds as its record has them.
    #[must_use]
    pub fn new(view: &PlanView, kinds: &'a [ExpectedKind]) -> Self {
        let PlanView { status, newest, events, deadline, .. } = *view;
        let named = view.kinds.iter().zip(kinds);
        let kind = |(kind, ExpectedKind { name, .. }): (&crate::reply::KindView, &'a _)| {
            let crate::reply::KindView { need, count, seen, deadline } = *kind;
            KindDetails { name: name.as_str(), need, count, seen, deadline }
        };
        Self { status, newest, events, deadline, kinds: named.map(kind).collect() }
    }

    /// Of the lookup that was put last.
    pub(super) fn put(&self, scratch: &mut Scratch) -> Result<(), EncodeError> {
        scratch.lookup_plans.push(fb::LookupPlan::new(
            self.deadline.0,
            self.newest.0,
            self.events,
            scratch.lookups.len() as u32 - 1,
            self.kinds.len() as u16,
            self.status as u8,
        ));
        for kind in &self.kinds {
            let name = kind.name.as_bytes();
            let (len, need) = (len_u16("kind of events", name)?, kind.need as u8);
            let wire = fb::LookupKind::new(kind.deadline.0, len, kind.count, kind.seen, need);
            scratch.lookup_kinds.push(wire);
            scratch.last_bytes.extend_from_slice(name);
        }
        Ok(())
    }
}

fn need(number: u8) -> Result<Need, DecodeError> {
    Need::from_u8(number).ok_or(DecodeError::Value { field: "need", value: number.into() })
}

/// 0 is no plan.
fn status(number: u8) -> Result<Option<PlanStatus>, DecodeError> {
    if number == 0 {
        return Ok(None);
    }
    let field = "status of a plan";
    let status = PlanStatus::from_u8(number);
    status.map(Some).ok_or(DecodeError::Value { field, value: number.into() })
}

pub(super) fn effect(number: u8) -> Result<Effect, DecodeError> {
    let field = "effect of an event";
    Effect::from_u8(number).ok_or(DecodeError::Value { field, value: number.into() })
}

/// The elements of `all` that the next owner says are its own.
fn take<'k, T>(all: &mut &'k [T], count: u16, field: &'static str) -> Result<&'k [T], DecodeError> {
    let (own, rest) = all.split_at_checked(count.into()).ok_or(DecodeError::Range { field })?;
    *all = rest;
    Ok(own)
}

pub(super) fn decode_lookup_plans<'a>(
    table: &Table<'a>,
    lookups: &mut [Lookup<'a>],
    blob: &mut BlobReader<'a>,
) -> Result<(), DecodeError> {
    use fb::Reply as T;
    let plans = table.list("plans of lookups", T::VT_LOOKUP_PLANS, OPS_PER_REQUEST_MAX)?;
    let mut kinds = table.list("kinds of lookups", T::VT_LOOKUP_KINDS, usize::MAX)?;
    let mut rising = Rising::new("position of a lookup's plan", lookups.len());
    for raw in plans {
        let plan = fb::LookupPlan(*raw);
        let at = rising.position(plan.lookup())?;
        let own = take(&mut kinds, plan.kinds(), "kinds of a lookup's plan")?;
        lookups[at].plan = Some(PlanDetails {
            status: status(plan.status())?
                .ok_or(DecodeError::Value { field: "status of a plan", value: 0 })?,
            newest: EventSeq(plan.newest()),
            events: plan.events(),
            deadline: Micros(plan.deadline_us()),
            kinds: collect(own, |raw| {
                let kind = fb::LookupKind(raw);
                Ok(KindDetails {
                    name: blob.text("kind of events", kind.name_len().into())?,
                    need: need(kind.need())?,
                    count: kind.count(),
                    seen: kind.seen(),
                    deadline: Micros(kind.deadline_us()),
                })
            })?,
        });
    }
    Ok(())
}

pub(super) fn appended_to(appended: &Appended) -> fb::Appended {
    let status = appended.status.map_or(0, |status| status as u8);
    fb::Appended::new(appended.event.0, appended.effect as u8, status)
}

pub(super) fn decode_appended(table: &Table<'_>) -> Result<Vec<Appended>, DecodeError> {
    let list = table.list("appended events", fb::Reply::VT_APPENDED, OPS_PER_REQUEST_MAX)?;
    collect(list, |raw| {
        let wire = fb::Appended(raw);
        let (effect, status) = (effect(wire.effect())?, status(wire.status())?);
        Ok(Appended { effect, status, event: EventSeq(wire.event()) })
    })
}

/// Plans and events of a request.
#[derive(Default)]
pub(super) struct Planning {
    pub(super) plans: Vec<fb::EnqueuePlan>,
    pub(super) kinds: Vec<fb::PlanKind>,
    pub(super) appends: Vec<fb::Append>,
    pub(super) history: Option<fb::History>,
}

impl Planning {
    pub(super) fn put(out: &mut Vec<u8>, request: &Request<'_>) -> Result<Self, EncodeError> {
        let mut planning = Self::default();
        for EnqueuePlan { enqueue, deadline_ms, kinds } in &request.plans {
            let (count, count_max) = (kinds.len(), usize::from(u16::MAX));
            let field = "kinds of a plan";
            let len = u16::try_from(count).map_err(|_| EncodeError::TooMany {
                field,
                count,
                count_max,
            })?;
            planning.plans.push(fb::EnqueuePlan::new(*deadline_ms, *enqueue, len));
            for Expected { name, need, count, deadline_ms } in kinds {
                let len = len_u16("kind of events", name.as_bytes())?;
                planning.kinds.push(fb::PlanKind::new(*deadline_ms, len, *count, *need as u8));
                out.extend_from_slice(name.as_bytes());
            }
        }
        for append in &request.appends {
            planning.append(out, append)?;
        }
        planning.history = request.history.map(|history| {
            let job = super::table::job_id_to(history.job);
            fb::History::new(&job, history.from.0, history.count)
        });
        Ok(planning)
    }

    fn append(&mut self, out: &mut Vec<u8>, append: &Append<'_>) -> Result<(), EncodeError> {
        let Append { job, id, kind, data, source, trace } = *append;
        let (kind, source, trace) = (kind.as_bytes(), source.as_bytes(), trace.as_bytes());
        self.appends.push(fb::Append::new(
            &super::table::job_id_to(job),
            len_u32("data", data)?,
            len_u16("id of an event", id)?,
            len_u16("kind of events", kind)?,
            len_u16("source", source)?,
            len_u16("trace", trace)?,
        ));
        [id, kind, data, source, trace].into_iter().for_each(|part| out.extend_from_slice(part));
        Ok(())
    }
}

pub(super) fn decode_plans<'a>(
    table: &Table<'a>,
    enqueues: usize,
    blob: &mut BlobReader<'a>,
) -> Result<Vec<EnqueuePlan<'a>>, DecodeError> {
    use fb::Request as T;
    let mut kinds = table.list("kinds of plans", T::VT_PLAN_KINDS, usize::MAX)?;
    let mut rising = Rising::new("position of a plan", enqueues);
    collect(table.list("plans", T::VT_PLANS, OPS_PER_REQUEST_MAX)?, |raw| {
        let plan = fb::EnqueuePlan(raw);
        rising.position(plan.enqueue())?;
        let own = take(&mut kinds, plan.kinds(), "kinds of a plan")?;
        let kinds = collect(own, |raw| {
            let kind = fb::PlanKind(raw);
            Ok(Expected {
                name: blob.text("kind of events", kind.name_len().into())?,
                need: need(kind.need())?,
                count: kind.count(),
                deadline_ms: kind.deadline_ms(),
            })
        })?;
        Ok(EnqueuePlan { enqueue: plan.enqueue(), deadline_ms: plan.deadline_ms(), kinds })
    })
}

pub(super) fn decode_appends<'a>(
    table: &Table<'a>,
    blob: &mut BlobReader<'a>,
) -> Result<Vec<Append<'a>>, DecodeError> {
    let list = table.list("appends", fb::Request::VT_APPENDS, OPS_PER_REQUEST_MAX)?;
    collect(list, |raw| {
        let wire = fb::Append(raw);
        Ok(Append {
            job: super::table::job_id(wire.job())?,
            id: blob.bytes("id of an event", wire.id_len().into())?,
            kind: blob.text("kind of events", wire.kind_len().into())?,
            data: blob.bytes("data", wire.data_len())?,
            source: blob.text("source", wire.source_len().into())?,
            trace: blob.text("trace", wire.trace_len().into())?,
        })
    })
}

pub(super) fn decode_history(table: &Table<'_>) -> Result<Option<History>, DecodeError> {
    let Some(wire) = table.structure(fb::Request::VT_HISTORY)?.map(fb::History) else {
        return Ok(None);
    };
    let (job, from) = (super::table::job_id(wire.job())?, EventSeq(wire.from()));
    Ok(Some(History { job, from, count: wire.count() }))
}
