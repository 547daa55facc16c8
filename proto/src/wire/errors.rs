//! Errors of a job on the wire.

use super::blob::{BlobReader, len_u32};
use super::encoder::Scratch;
use super::generated as fb;
use super::table::{Table, collect, job_id, job_id_to};
use super::{DecodeError, EncodeError};
use crate::limits::HISTORY_COUNT_MAX;
use crate::request::History;
use crate::{EventSeq, Micros};

/// Why a job failed once, or died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobError<'a> {
    /// Its record.
    pub event: EventSeq,
    /// The error before it; 0 is none.
    pub previous: EventSeq,
    /// When it was recorded.
    pub time: Micros,
    /// The attempt that failed; 0 when it was none: the job expired, was rejected, or its plan failed.
    pub attempt: u32,
    /// What went wrong.
    pub error: &'a [u8],
    /// Where.
    pub backtrace: &'a [u8],
}

impl<'a> JobError<'a> {
    pub(super) fn put(&self, scratch: &mut Scratch) -> Result<(), EncodeError> {
        scratch.job_errors.push(fb::JobError::new(
            self.event.0,
            self.previous.0,
            self.time.0,
            self.attempt,
            len_u32("error", self.error)?,
            len_u32("backtrace", self.backtrace)?,
        ));
        scratch.error_bytes.extend_from_slice(self.error);
        scratch.error_bytes.extend_from_slice(self.backtrace);
        Ok(())
    }

    fn decode(wire: &fb::JobError, blob: &mut BlobReader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            event: EventSeq(wire.event()),
            previous: EventSeq(wire.previous()),
            time: Micros(wire.time_us()),
            attempt: wire.attempt(),
            error: blob.bytes("error", wire.error_len())?,
            backtrace: blob.bytes("backtrace", wire.backtrace_len())?,
        })
    }
}

pub(super) fn decode<'a>(
    table: &Table<'a>,
    blob: &mut BlobReader<'a>,
) -> Result<Vec<JobError<'a>>, DecodeError> {
    let list = table.list("errors", fb::Reply::VT_JOB_ERRORS, HISTORY_COUNT_MAX as usize)?;
    collect(list, |raw| JobError::decode(&fb::JobError(raw), blob))
}

pub(super) fn wanted_to(wanted: &History) -> fb::History {
    fb::History::new(&job_id_to(wanted.job), wanted.from.0, wanted.count)
}

pub(super) fn wanted(table: &Table<'_>) -> Result<Option<History>, DecodeError> {
    let Some(wire) = table.structure(fb::Request::VT_ERRORS)?.map(fb::History) else {
        return Ok(None);
    };
    let (job, from) = (job_id(wire.job())?, EventSeq(wire.from()));
    Ok(Some(History { job, from, count: wire.count() }))
}
