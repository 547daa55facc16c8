//! Parts of older entries: some bytes of a body, read without the rest of it.
//!
//! A record has one checksum for its whole body. Whoever has read it whole once may note a checksum of each of its
//! blocks, made from bytes that the record's own checksum vouched for; later the blocks with a few bytes of it are
//! read alone and compared with those. Nothing on the disk knows of this.

use std::ops::Range;
use std::rc::Rc;

use jobbie_io::{AlignedBuf, BLOCK_BYTES, Disk, DiskFile};

use crate::body::Body;
use crate::error::{Damage, ReadError};
use crate::format::header::HEADER_BYTES;
use crate::read::{io_error, open_segment};
use crate::segment::file_name;
use crate::shared::Shared;

/// Where an entry lies on the disk, and what its blocks are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryBlocks {
    segment: u64,
    /// Of its record in the file.
    offset: u64,
    body_bytes: usize,
    /// Of each block of its record, header and padding included.
    checksums: Box<[u32]>,
}

impl EntryBlocks {
    /// Of an entry that was read, and so has been checked whole.
    pub(crate) fn of(segment: u64, offset: u64, body: &Body) -> Self {
        let blocks = body.record_blocks().chunks_exact(BLOCK_BYTES);
        let checksums = blocks.map(crc32fast::hash).collect();
        Self { segment, offset, body_bytes: body.bytes().len(), checksums }
    }

    /// Memory it takes, in bytes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.checksums)
    }

    /// The blocks of the record with these bytes of the body.
    #[must_use]
    pub fn blocks(&self, bytes: &Range<usize>) -> Range<usize> {
        assert!(bytes.end <= self.body_bytes, "a part beyond its entry");
        let end = (HEADER_BYTES + bytes.end).div_ceil(BLOCK_BYTES);
        (HEADER_BYTES + bytes.start) / BLOCK_BYTES..end
    }
}

/// Consecutive blocks of an entry as they were read, some of them checked.
pub struct Part {
    buf: AlignedBuf,
    /// Of the first byte of `buf` in the record.
    start: usize,
    /// For each block.
    checked: Vec<bool>,
}

impl Part {
    /// Bytes of the body, when they were among those asked for.
    #[must_use]
    pub fn bytes(&self, range: Range<usize>) -> Option<&[u8]> {
        if range.is_empty() {
            return Some(&[]);
        }
        let start = (HEADER_BYTES + range.start).checked_sub(self.start)?;
        let end = start + range.len();
        let blocks = self.checked.get(start / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES))?;
        blocks.iter().all(|checked| *checked).then(|| &self.buf[start..end])
    }
}

/// Reads everything from the first of `ranges` to the last, and checks the blocks that they are in.
pub(crate) async fn read_part<D: Disk>(
    shared: &Rc<Shared<D>>,
    entry: &EntryBlocks,
    ranges: &[Range<usize>],
) -> Result<Part, ReadError> {
    let wanted = ranges.iter().map(|range| entry.blocks(range));
    let (first, end) =
        wanted.fold((usize::MAX, 0), |(first, end), at| (first.min(at.start), end.max(at.end)));
    assert!(first < end, "a part of no bytes");
    let (offset, len) = (entry.offset + (first * BLOCK_BYTES) as u64, (end - first) * BLOCK_BYTES);
    let is_there = {
        let core = shared.core.borrow();
        let segment = core.segments.get(entry.segment);
        segment.is_some_and(|segment| offset + len as u64 <= segment.readable_end)
    };
    if !is_there {
        return Err(io_error(entry.segment, &std::io::ErrorKind::NotFound.into()));
    }
    // The pin keeps the file from being recycled while it is read.
    let (file, _pin, len) = open_segment(shared, entry.segment, offset, len as u64).await?;
    let (read, buf) = file.read_at(AlignedBuf::unzeroed(len), offset).await;
    let read = read.map_err(|error| io_error(entry.segment, &error))?;
    let mut part = Part { buf, start: first * BLOCK_BYTES, checked: vec![false; end - first] };
    for range in ranges {
        for block in entry.blocks(range) {
            let at = (block - first) * BLOCK_BYTES;
            let bytes = &part.buf[at..at + BLOCK_BYTES];
            let (expected, found) = (entry.checksums[block], crc32fast::hash(bytes));
            let is_whole = at + BLOCK_BYTES <= read;
            if !is_whole || expected != found {
                let offset = offset + at as u64;
                let file = file_name(entry.segment);
                let (expected, found) =
                    (format!("a block with checksum {expected:08x}"), format!("{found:08x}"));
                return Err(Damage { file, offset, expected, found }.into());
            }
            part.checked[block - first] = true;
        }
    }
    Ok(part)
}
