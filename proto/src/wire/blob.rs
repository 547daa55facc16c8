//! The blob of a frame: variable-length data back to back.

use super::{DecodeError, EncodeError};
use crate::limits::{self, FRAME_BYTES_MAX};

/// Takes the blob apart in order.
pub(super) struct BlobReader<'a> {
    rest: &'a [u8],
}

impl<'a> BlobReader<'a> {
    pub(super) fn new(blob: &'a [u8]) -> Self {
        Self { rest: blob }
    }

    pub(super) fn bytes(&mut self, field: &'static str, len: u32) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) =
            self.rest.split_at_checked(len as usize).ok_or(DecodeError::Range { field })?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn text(&mut self, field: &'static str, len: u32) -> Result<&'a str, DecodeError> {
        let bytes = self.bytes(field, len)?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError::Text { field })
    }
}

/// Queue names of a frame, each listed once if it comes back soon.
#[derive(Debug, Default)]
pub(super) struct NameTable {
    pub(super) lens: Vec<u16>,
    pub(super) bytes: Vec<u8>,
}

/// How far back an earlier mention of a name is looked for. A name listed twice costs its bytes and nothing else.
const LOOK_BACK: usize = 16;

impl NameTable {
    pub(super) fn clear(&mut self) {
        self.lens.clear();
        self.bytes.clear();
    }

    /// The position of `name`, which is listed if it is new.
    pub(super) fn intern(&mut self, name: &str) -> Result<u16, EncodeError> {
        let name = name.as_bytes();
        let mut end = self.bytes.len();
        for back in 1..=self.lens.len().min(LOOK_BACK) {
            let at = self.lens.len() - back;
            let start = end - usize::from(self.lens[at]);
            if &self.bytes[start..end] == name {
                return Ok(at as u16);
            }
            end = start;
        }
        let at = u16::try_from(self.lens.len()).map_err(|_| EncodeError::TooMany {
            field: "queue names",
            count: self.lens.len() + 1,
            count_max: usize::from(u16::MAX) + 1,
        })?;
        self.lens.push(len_u16("queue name", name)?);
        self.bytes.extend_from_slice(name);
        Ok(at)
    }

    /// Lists `name` even if it is listed already.
    pub(super) fn push(&mut self, name: &str) -> Result<(), EncodeError> {
        self.lens.push(len_u16("queue name", name.as_bytes())?);
        self.bytes.extend_from_slice(name.as_bytes());
        Ok(())
    }
}

pub(super) fn len_u16(field: &'static str, bytes: &[u8]) -> Result<u16, EncodeError> {
    u16::try_from(bytes.len()).map_err(|_| too_long(field, bytes.len(), usize::from(u16::MAX)))
}

/// Nothing that alone is longer than a frame is ever right.
pub(super) fn len_u32(field: &'static str, bytes: &[u8]) -> Result<u32, EncodeError> {
    let len = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= FRAME_BYTES_MAX);
    len.ok_or_else(|| too_long(field, bytes.len(), FRAME_BYTES_MAX))
}

/// What cannot be written down says what a server would have taken.
fn too_long(field: &'static str, bytes: usize, most: usize) -> EncodeError {
    let bytes_max = match field {
        "key" | "unique key" => limits::KEY_BYTES_MAX,
        "limit key" => limits::LIMIT_KEY_BYTES_MAX,
        "queue" | "queue name" => limits::QUEUE_BYTES_MAX,
        "model" | "provider" => limits::MODEL_BYTES_MAX,
        "tag key" | "tag value" => limits::RULE_TAG_BYTES_MAX,
        "policy name" => limits::POLICY_NAME_BYTES_MAX,
        "schedule name" => limits::SCHEDULE_NAME_BYTES_MAX,
        "name" | "host" | "worker" | "by" => limits::WORKER_BYTES_MAX,
        "id of an event" => limits::EVENT_ID_BYTES_MAX,
        "kind of events" => limits::EVENT_KIND_BYTES_MAX,
        "source" | "trace" => limits::EVENT_SOURCE_BYTES_MAX,
        "payload" | "data" => limits::PAYLOAD_BYTES_MAX,
        "tags" => limits::TAGS_BYTES_MAX,
        "result" | "progress" | "checkpoint" => limits::RESULT_BYTES_MAX,
        "error" | "backtrace" | "reason" => limits::ERROR_BYTES_MAX,
        _ => most,
    };
    EncodeError::Field { field, bytes, bytes_max }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_listed_once() {
        let mut names = NameTable::default();
        let at: Vec<_> =
            ["a", "bc", "a", "", "bc", ""].iter().map(|n| names.intern(n).unwrap()).collect();
        assert_eq!(at, [0, 1, 0, 2, 1, 2]);
        assert_eq!((&names.lens[..], &names.bytes[..]), (&[1, 2, 0][..], &b"abc"[..]));
    }
}
