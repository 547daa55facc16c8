//! Bodies of entries, built where they will be written.

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use jobbie_io::{AlignedBuf, BLOCK_BYTES};

use crate::format::header::HEADER_BYTES;

/// The content of an entry: immutable, cheap to clone, aligned for rkyv.
#[derive(Clone)]
pub struct Body {
    buf: Rc<AlignedBuf>,
    range: Range<usize>,
    /// Whether the buffer is this one record, header room in front and padding behind.
    own_record: bool,
}

impl Body {
    /// Copies `bytes`. Use [`BodyBuilder`] to build in place.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut builder = BodyBuilder::with_capacity(bytes.len());
        builder.extend_from_slice(bytes);
        builder.finish()
    }

    /// A body inside a buffer that was read.
    pub(crate) fn within(buf: &Rc<AlignedBuf>, range: Range<usize>) -> Self {
        assert!(range.end <= buf.len(), "body beyond its buffer");
        Self { buf: Rc::clone(buf), range, own_record: false }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buf[self.range.clone()]
    }

    /// The whole record of a body inside a buffer that was read: header, body and padding.
    pub(crate) fn record_blocks(&self) -> &[u8] {
        let start = self.range.start - HEADER_BYTES;
        &self.buf[start..self.range.end.next_multiple_of(BLOCK_BYTES)]
    }

    /// Memory this body keeps, in bytes, when nothing else shares its buffer.
    pub(crate) fn held_bytes(&self) -> usize {
        self.buf.capacity()
    }

    /// The record's buffer, padded, with `fill` applied to the header. In place when nobody else holds
    /// this body, which is why the log wants entries by value; else a copy, which then becomes the body.
    pub(crate) fn make_record(&mut self, fill: impl FnOnce(&mut [u8])) -> Rc<AlignedBuf> {
        if !self.own_record || Rc::get_mut(&mut self.buf).is_none() {
            *self = Self::copy_of(self.bytes());
        }
        let buf = Rc::get_mut(&mut self.buf).expect("checked or made above");
        fill(&mut buf[..HEADER_BYTES]);
        Rc::clone(&self.buf)
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Body {}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.range.len())
    }
}

/// Builds a [`Body`] in the buffer it will be written from: room for the record header in front,
/// padding behind.
pub struct BodyBuilder {
    buf: AlignedBuf,
}

impl BodyBuilder {
    /// With room for `body_bytes`; it grows when needed.
    #[must_use]
    pub fn with_capacity(body_bytes: usize) -> Self {
        let mut buf = AlignedBuf::with_capacity(HEADER_BYTES + body_bytes);
        buf.resize(HEADER_BYTES);
        Self { buf }
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buf.len() - HEADER_BYTES
    }

    /// Whether nothing has been added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds `bytes`.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// Adds `len` zeros to be filled through [`BodyBuilder::bytes_mut`].
    pub fn extend_zeroed(&mut self, len: usize) {
        self.buf.resize(self.buf.len() + len);
    }

    /// What has been added so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buf[HEADER_BYTES..]
    }

    /// What has been added so far.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buf[HEADER_BYTES..]
    }

    /// Forgets everything after the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        assert!(len <= self.len(), "truncated to more than there is");
        self.buf.resize(HEADER_BYTES + len);
    }

    /// Ends the body.
    #[must_use]
    pub fn finish(mut self) -> Body {
        let range = HEADER_BYTES..self.buf.len();
        self.buf.pad_to_block();
        Body { buf: Rc::new(self.buf), range, own_record: true }
    }
}

impl std::io::Write for BodyBuilder {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_is_built_in_place_unless_shared() {
        let mut body = Body::copy_of(b"content");
        let address = body.bytes().as_ptr();
        let record = body.make_record(|header| header.fill(1));
        assert_eq!(body.bytes().as_ptr(), address);
        assert_eq!(record.len(), jobbie_io::BLOCK_BYTES);
        assert_eq!(
            (&record[..HEADER_BYTES], body.bytes()),
            (&[1; HEADER_BYTES][..], &b"content"[..])
        );

        let copy = body.make_record(|header| header.fill(2));
        assert_ne!(body.bytes().as_ptr(), address, "the first record is still being written");
        assert_eq!((record[0], copy[0]), (1, 2));
    }
}
