//! Checked access to the table of a frame.

use flatbuffers::{Follow, Vector, Verifiable, VerifierOptions};

use super::DecodeError;
use super::blob::BlobReader;
use super::generated as fb;
use crate::event::BackoffKind;
use crate::{Code, JobId, LeaseToken};

/// Verifies `table`. Tables never nest, so one level is enough; the apparent size bounds what
/// overlapping vectors can pretend to be.
pub(super) fn open<'a, T>(table: &'a [u8]) -> Result<T::Inner, DecodeError>
where
    T: 'a + Follow<'a> + Verifiable,
{
    let options = VerifierOptions {
        max_depth: 2,
        max_tables: 1,
        max_apparent_size: 2 * table.len() + 1024,
        ignore_missing_null_terminator: true,
    };
    flatbuffers::root_with_opts::<T>(&options, table).map_err(|e| DecodeError::Table(e.to_string()))
}

/// The elements of a vector of structs or numbers, none when it is absent.
///
/// # Errors
/// When there are more than `count_max`; checked before anything is allocated for them.
pub(super) fn list<'a, T: Follow<'a> + 'a>(
    field: &'static str,
    vector: Option<Vector<'a, T>>,
    count_max: usize,
) -> Result<Option<Vector<'a, T>>, DecodeError> {
    match vector {
        Some(v) if v.len() > count_max => {
            Err(DecodeError::TooMany { field, count: v.len(), count_max })
        }
        Some(v) if v.is_empty() => Ok(None),
        other => Ok(other),
    }
}

/// Turns each element into a value.
pub(super) fn collect<'a, T: Follow<'a> + 'a, V>(
    vector: Option<Vector<'a, T>>,
    mut value: impl FnMut(T::Inner) -> Result<V, DecodeError>,
) -> Result<Vec<V>, DecodeError> {
    let Some(vector) = vector else { return Ok(Vec::new()) };
    let mut values = Vec::with_capacity(vector.len());
    for element in vector.iter() {
        values.push(value(element)?);
    }
    Ok(values)
}

/// Queue names of a frame.
pub(super) fn names<'a>(
    lens: Option<Vector<'a, u16>>,
    names_at: u32,
    blob: &'a [u8],
) -> Result<Names<'a>, DecodeError> {
    let from = blob.get(names_at as usize..).ok_or(DecodeError::Range { field: "queue names" })?;
    let mut bytes = BlobReader::new(from);
    let mut lens = lens.iter().flat_map(|v| v.iter());
    let mut text = |len: u16| bytes.text("queue name", u32::from(len));
    let first = lens.next().map(&mut text).transpose()?;
    Ok(Names { first, more: lens.map(text).collect::<Result<_, _>>()? })
}

/// Queue names by position. Most frames have one, which needs no allocation.
pub(super) struct Names<'a> {
    first: Option<&'a str>,
    more: Vec<&'a str>,
}

impl<'a> Names<'a> {
    pub(super) fn get(&self, position: u16) -> Result<&'a str, DecodeError> {
        match position {
            0 => self.first,
            n => self.more.get(usize::from(n) - 1).copied(),
        }
        .ok_or(DecodeError::Range { field: "queue name position" })
    }

    pub(super) fn into_vec(self) -> Vec<&'a str> {
        self.first.into_iter().chain(self.more).collect()
    }
}

pub(super) fn job_id(id: &fb::JobId) -> Result<JobId, DecodeError> {
    let raw = u128::from(id.high()) << 64 | u128::from(id.low());
    JobId::from_u128(raw).ok_or(DecodeError::JobId)
}

pub(super) fn job_id_to(id: JobId) -> fb::JobId {
    let raw = id.to_u128();
    fb::JobId::new(raw as u64, (raw >> 64) as u64)
}

pub(super) fn job_ref(job: &fb::JobRef) -> Result<crate::request::JobRef, DecodeError> {
    Ok(crate::request::JobRef { job: job_id(job.job())?, token: LeaseToken(job.token()) })
}

pub(super) fn job_ref_to(job: crate::request::JobRef) -> fb::JobRef {
    fb::JobRef::new(&job_id_to(job.job), job.token.0)
}

pub(super) fn code(number: u8) -> Result<Code, DecodeError> {
    Code::from_u8(number).ok_or(DecodeError::Value { field: "code", value: u64::from(number) })
}

pub(super) fn backoff(number: u8) -> Result<BackoffKind, DecodeError> {
    BackoffKind::from_u8(number)
        .ok_or(DecodeError::Value { field: "backoff", value: u64::from(number) })
}
