//! The blob of a frame: variable-length data back to back.

use super::{DecodeError, EncodeError};

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
    let bytes_max = usize::from(u16::MAX);
    u16::try_from(bytes.len()).map_err(|_| EncodeError::Field {
        field,
        bytes: bytes.len(),
        bytes_max,
    })
}

pub(super) fn len_u32(field: &'static str, bytes: &[u8]) -> Result<u32, EncodeError> {
    let bytes_max = u32::MAX as usize;
    u32::try_from(bytes.len()).map_err(|_| EncodeError::Field {
        field,
        bytes: bytes.len(),
        bytes_max,
    })
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
