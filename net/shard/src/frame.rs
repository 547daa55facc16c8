//! A received frame, sharing the buffer it arrived in.

use std::ops::{Deref, Range};
use std::rc::Rc;

/// The bytes of one frame, kind and all, without its length prefix.
#[derive(Clone, Debug)]
pub struct Frame {
    buf: Rc<Vec<u8>>,
    range: Range<usize>,
}

impl Frame {
    /// The frame in `range` of `buf`.
    ///
    /// # Panics
    /// When the range is outside the buffer.
    #[must_use]
    pub fn new(buf: Rc<Vec<u8>>, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= buf.len(), "frame outside its buffer");
        Self { buf, range }
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buf[self.range.clone()]
    }
}
