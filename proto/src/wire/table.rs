//! Checked reading of the table of a frame.
//!
//! The library's verifier costs some twenty nanoseconds a field, half a microsecond for a request with one job. A frame
//! is a single table of numbers, structs and vectors of structs, so it can be checked while it is read, without
//! unsafe code: every access is a bounds check.

use super::DecodeError;
use super::blob::BlobReader;
use super::generated as fb;
use crate::event::{BackoffKind, HoldEnd, Sharing};
use crate::{Code, JobId, LeaseToken};

/// States that the counts of a queue have room for; those after them have lists of their own.
pub(super) const STATES_V1: usize = 8;

/// The one table of a frame.
pub(super) struct Table<'a> {
    bytes: &'a [u8],
    /// The table's own bytes: its fields, or where they are.
    object: &'a [u8],
    /// Where `object` begins in `bytes`.
    object_at: usize,
    /// For each field, where in `object` it is.
    vtable: &'a [u8],
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_le_bytes(*b))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

impl<'a> Table<'a> {
    /// Finds the table and its vtable.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Self::find(bytes).ok_or(DecodeError::Table { field: "root" })
    }

    fn find(bytes: &'a [u8]) -> Option<Self> {
        let object_at = u32_at(bytes, 0)? as usize;
        let back = u32_at(bytes, object_at)? as i32;
        let vtable_at = usize::try_from(object_at as i64 - i64::from(back)).ok()?;
        let vtable_len = usize::from(u16_at(bytes, vtable_at)?);
        let object_len = usize::from(u16_at(bytes, vtable_at + 2)?);
        Some(Self {
            bytes,
            object: bytes.get(object_at..)?.get(..object_len)?,
            object_at,
            vtable: bytes.get(vtable_at..)?.get(..vtable_len)?,
        })
    }

    /// Whether it may have fields after this one.
    pub(super) fn reaches_past(&self, field: u16) -> bool {
        self.vtable.len() > usize::from(field) + size_of::<u16>()
    }

    /// Where a field is in `object`; 0 when it is absent.
    fn position(&self, field: u16) -> usize {
        u16_at(self.vtable, usize::from(field)).map_or(0, usize::from)
    }

    fn inline<const N: usize>(&self, field: u16) -> Result<Option<&'a [u8; N]>, DecodeError> {
        match self.position(field) {
            0 => Ok(None),
            at => {
                let bytes = self.object.get(at..).and_then(|rest| rest.first_chunk());
                bytes.map(Some).ok_or(DecodeError::Table { field: "a number" })
            }
        }
    }

    pub(super) fn u8(&self, field: u16) -> Result<u8, DecodeError> {
        Ok(self.inline(field)?.map_or(0, |b| u8::from_le_bytes(*b)))
    }

    pub(super) fn u16(&self, field: u16) -> Result<u16, DecodeError> {
        Ok(self.inline(field)?.map_or(0, |b| u16::from_le_bytes(*b)))
    }

    pub(super) fn u32(&self, field: u16) -> Result<u32, DecodeError> {
        Ok(self.inline(field)?.map_or(0, |b| u32::from_le_bytes(*b)))
    }

    pub(super) fn u64(&self, field: u16) -> Result<u64, DecodeError> {
        Ok(self.inline(field)?.map_or(0, |b| u64::from_le_bytes(*b)))
    }

    /// A number whose default is not 0.
    pub(super) fn u16_or(&self, field: u16, default: u16) -> Result<u16, DecodeError> {
        Ok(self.inline(field)?.map_or(default, |b| u16::from_le_bytes(*b)))
    }

    /// A struct.
    pub(super) fn structure<const N: usize>(
        &self,
        field: u16,
    ) -> Result<Option<[u8; N]>, DecodeError> {
        Ok(self.inline(field)?.copied())
    }

    /// The elements of a vector of numbers or structs, none when it is absent.
    ///
    /// # Errors
    /// When there are more than `count_max`; nothing has been allocated for them then.
    pub(super) fn list<const N: usize>(
        &self,
        name: &'static str,
        field: u16,
        count_max: usize,
    ) -> Result<&'a [[u8; N]], DecodeError> {
        let damaged = DecodeError::Table { field: name };
        let at = self.position(field);
        if at == 0 {
            return Ok(&[]);
        }
        let Some(offset) = u32_at(self.object, at) else { return Err(damaged) };
        let start = self.object_at + at + offset as usize;
        let Some(count) = u32_at(self.bytes, start) else { return Err(damaged) };
        let count = count as usize;
        if count > count_max {
            return Err(DecodeError::TooMany { field: name, count, count_max });
        }
        let elements = self.bytes[start + 4..].as_chunks().0;
        elements.get(..count).ok_or(damaged)
    }
}

/// Turns each element into a value.
pub(super) fn collect<const N: usize, V>(
    elements: &[[u8; N]],
    mut value: impl FnMut([u8; N]) -> Result<V, DecodeError>,
) -> Result<Vec<V>, DecodeError> {
    let mut values = Vec::with_capacity(elements.len());
    for element in elements {
        values.push(value(*element)?);
    }
    Ok(values)
}

/// Queue names of a frame.
pub(super) fn names<'a>(
    lens: &[[u8; 2]],
    names_at: u32,
    blob: &'a [u8],
) -> Result<Names<'a>, DecodeError> {
    let from = blob.get(names_at as usize..).ok_or(DecodeError::Range { field: "queue names" })?;
    let mut bytes = BlobReader::new(from);
    let mut text = |len: &[u8; 2]| bytes.text("queue name", u16::from_le_bytes(*len).into());
    let Some((first, more)) = lens.split_first() else {
        return Ok(Names { first: None, more: Vec::new() });
    };
    let first = Some(text(first)?);
    Ok(Names { first, more: more.iter().map(text).collect::<Result<_, _>>()? })
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

pub(super) fn hold_end(number: u8) -> Result<HoldEnd, DecodeError> {
    HoldEnd::from_u8(number)
        .ok_or(DecodeError::Value { field: "end of a hold", value: number.into() })
}

pub(super) fn sharing(number: u8) -> Result<Sharing, DecodeError> {
    Sharing::from_u8(number)
        .ok_or(DecodeError::Value { field: "what is shared", value: number.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FRAME_BYTES_MAX;
    use crate::request::{Ack, JobRef};
    use crate::wire::{Encoder, frame};
    use crate::{JobSeq, Request, ShardId};

    /// Others read our tables with the library's verifier.
    #[test]
    fn the_librarys_verifier_agrees() {
        let job = JobRef { job: JobId::new(1, ShardId(2), JobSeq(3)), token: LeaseToken(4) };
        let acks = vec![Ack { job, result: b"done" }; 3];
        let request = Request { number: 9, acks, ..Request::default() };
        let mut out = vec![];
        Encoder::new().request(&mut out, &request).unwrap();
        let (frame, _) = frame::split(&out, FRAME_BYTES_MAX).unwrap().unwrap();
        let theirs = flatbuffers::root::<fb::Request<'_>>(frame.table).unwrap();
        let ours = Table::open(frame.table).unwrap();
        assert_eq!(theirs.number(), ours.u64(fb::Request::VT_NUMBER).unwrap());
        let list = ours.list::<32>("acks", fb::Request::VT_ACKS, 10).unwrap();
        let theirs: Vec<_> = theirs.acks().unwrap().iter().map(|ack| ack.0).collect();
        assert_eq!(list, theirs);
        let few = ours.list::<32>("acks", fb::Request::VT_ACKS, 2);
        assert_eq!(few, Err(DecodeError::TooMany { field: "acks", count: 3, count_max: 2 }));
    }

    #[test]
    fn r21_offsets_into_nowhere_are_refused() {
        for bytes in
            [&[][..], &[0; 3], &[4, 0, 0, 0], &[255; 64], &[4, 0, 0, 0, 255, 255, 255, 127]]
        {
            assert!(Table::open(bytes).is_err(), "{bytes:?}");
        }
    }
}
