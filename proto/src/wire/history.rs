//! Events of a job on the wire.

use super::blob::{BlobReader, len_u16, len_u32};
use super::encoder::Scratch;
use super::generated as fb;
use super::plans::effect;
use super::table::{Table, collect};
use super::{DecodeError, EncodeError};
use crate::limits::HISTORY_COUNT_MAX;
use crate::plan::Effect;
use crate::{EventSeq, Micros};

/// An event that was recorded for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobEvent<'a> {
    /// Its record.
    pub event: EventSeq,
    /// The one before it; 0 is none.
    pub previous: EventSeq,
    /// When it was recorded.
    pub time: Micros,
    /// What it did.
    pub effect: Effect,
    /// What tells it from all other events of the job.
    pub id: &'a [u8],
    /// Name of its kind.
    pub kind: &'a str,
    /// What it says.
    pub data: &'a [u8],
    /// Which way it came.
    pub source: &'a str,
    /// To find it in other systems.
    pub trace: &'a str,
}

impl<'a> JobEvent<'a> {
    pub(super) fn put(&self, scratch: &mut Scratch) -> Result<(), EncodeError> {
        let (kind, source) = (self.kind.as_bytes(), self.source.as_bytes());
        let trace = self.trace.as_bytes();
        scratch.events.push(fb::JobEvent::new(
            self.event.0,
            self.previous.0,
            self.time.0,
            len_u32("data", self.data)?,
            len_u16("id of an event", self.id)?,
            len_u16("kind of events", kind)?,
            len_u16("source", source)?,
            len_u16("trace", trace)?,
            self.effect as u8,
        ));
        let parts = [self.id, kind, self.data, source, trace];
        parts.into_iter().for_each(|part| scratch.last_bytes.extend_from_slice(part));
        Ok(())
    }

    fn decode(wire: &fb::JobEvent, blob: &mut BlobReader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            event: EventSeq(wire.event()),
            previous: EventSeq(wire.previous()),
            time: Micros(wire.time_us()),
            effect: effect(wire.effect())?,
            id: blob.bytes("id of an event", wire.id_len().into())?,
            kind: blob.text("kind of events", wire.kind_len().into())?,
            data: blob.bytes("data", wire.data_len())?,
            source: blob.text("source", wire.source_len().into())?,
            trace: blob.text("trace", wire.trace_len().into())?,
        })
    }
}

pub(super) fn decode<'a>(
    table: &Table<'a>,
    blob: &mut BlobReader<'a>,
) -> Result<Vec<JobEvent<'a>>, DecodeError> {
    let list = table.list("events", fb::Reply::VT_EVENTS, HISTORY_COUNT_MAX as usize)?;
    collect(list, |raw| JobEvent::decode(&fb::JobEvent(raw), blob))
}
