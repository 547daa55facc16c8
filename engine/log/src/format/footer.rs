//! The last blocks of a sealed segment: what was in it, so that a restart need not read it.

use jobbie_io::{AlignedBuf, BLOCK_BYTES};

use super::bytes::{Get, Put};
use super::control::{CONTROL_BYTES, Control};
use super::{BLOCK, FORMAT_VERSION};
use crate::limits::POINT_BYTES;

const MAGIC: [u8; 8] = *b"jobbieLF";
/// Bytes before the points.
const FIXED_BYTES: usize = 208;
const POINT_ENCODED_BYTES: usize = 12;
const CHECKSUM_AT: usize = FIXED_BYTES - 4;

/// One point of the sparse index: a record where walking headers may begin. The first point of a
/// segment is absolute, all are relative to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// Entry index minus the segment's base index.
    pub(crate) index: u32,
    /// First event minus the segment's base event.
    pub(crate) event: u32,
    /// Offset in the file, in blocks.
    pub(crate) block: u32,
}

/// A sealed segment, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) segment: u64,
    /// Offset behind the last record.
    pub(crate) end: u64,
    pub(crate) first_sequence: u64,
    pub(crate) records: u64,
    /// Checksum of the last record's header.
    pub(crate) last_checksum: u32,
    pub(crate) committed_end: u64,
    /// Lowest `last index + 1` that a truncation in this segment left; `u64::MAX` if none.
    pub(crate) truncated_to: u64,
    pub(crate) start_index: u64,
    pub(crate) start_event: u64,
    pub(crate) base_index: u64,
    pub(crate) base_event: u64,
    /// Entries of this segment that still count, `[base_index, end_index)`.
    pub(crate) end_index: u64,
    /// The log's state behind the last record.
    pub(crate) control: Control,
    pub(crate) points: Vec<Point>,
}

/// Most points a segment can have: one per POINT_BYTES, and one forced after each truncation
/// that itself takes a block; those beyond the room are left out, walking is then longer.
fn points_max(segment_bytes: u64) -> usize {
    (segment_bytes / u64::from(POINT_BYTES)) as usize * 2 + 16
}

/// Bytes set aside for the footer at the end of a segment.
pub(crate) fn reserved_bytes(segment_bytes: u64) -> u64 {
    let bytes = FIXED_BYTES + points_max(segment_bytes) * POINT_ENCODED_BYTES;
    bytes.next_multiple_of(BLOCK_BYTES) as u64
}

/// Where the footer of a segment begins.
pub(crate) fn offset(segment_bytes: u64) -> u64 {
    segment_bytes - reserved_bytes(segment_bytes)
}

impl Footer {
    /// Number of the last record.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.first_sequence + self.records - 1
    }

    /// Whether both end with the same record. The rest may differ: truncations take entries out of a sealed segment.
    pub(crate) fn ends_like(&self, other: &Self) -> bool {
        let ends = |f: &Self| (f.end, f.first_sequence, f.records, f.last_checksum);
        ends(self) == ends(other)
    }

    /// Whether the points fit. A segment with more truncations than that stays without a footer.
    pub(crate) fn fits(&self, segment_bytes: u64) -> bool {
        self.points.len() <= points_max(segment_bytes)
    }

    pub(crate) fn encode(&self, store: u128, segment_bytes: u64) -> AlignedBuf {
        assert!(self.fits(segment_bytes), "too many points");
        let mut buf = AlignedBuf::zeroed(reserved_bytes(segment_bytes) as usize);
        let mut put = Put::new(&mut buf);
        put.bytes(&MAGIC).u32(FORMAT_VERSION).u32(self.points.len() as u32);
        put.u64(self.segment).u64(self.end).u64(self.first_sequence).u64(self.records);
        put.u64(self.committed_end).u64(self.truncated_to).u64(self.start_index);
        put.u64(self.start_event).u64(self.base_index).u64(self.base_event).u64(self.end_index);
        put.bytes(&self.control.encode()).u32(self.last_checksum).u32(0);
        let mut put = Put::new(&mut buf[FIXED_BYTES..]);
        for point in &self.points {
            put.u32(point.index).u32(point.event).u32(point.block);
        }
        let checksum = checksum(&buf, store);
        buf[CHECKSUM_AT..FIXED_BYTES].copy_from_slice(&checksum.to_le_bytes());
        buf
    }

    /// `None` when there is no footer of this segment, or a damaged one: reading the records then
    /// gives the same.
    pub(crate) fn decode(bytes: &[u8], store: u128, segment: u64) -> Option<Self> {
        let fixed = bytes.get(..FIXED_BYTES)?;
        if fixed[..8] != MAGIC || Get::new(&fixed[CHECKSUM_AT..]).u32() != checksum(bytes, store) {
            return None;
        }
        let mut get = Get::new(&fixed[8..]);
        let version = get.u32();
        let points = get.u32() as usize;
        if version != FORMAT_VERSION || get.u64() != segment {
            return None;
        }
        let mut footer = Self {
            segment,
            end: get.u64(),
            first_sequence: get.u64(),
            records: get.u64(),
            committed_end: get.u64(),
            truncated_to: get.u64(),
            start_index: get.u64(),
            start_event: get.u64(),
            base_index: get.u64(),
            base_event: get.u64(),
            end_index: get.u64(),
            control: Control::decode(&get.array::<CONTROL_BYTES>())?,
            last_checksum: get.u32(),
            points: Vec::new(),
        };
        let encoded = bytes[FIXED_BYTES..].chunks_exact(POINT_ENCODED_BYTES);
        footer.points.extend(encoded.take(points).map(|point| {
            let mut get = Get::new(point);
            Point { index: get.u32(), event: get.u32(), block: get.u32() }
        }));
        (footer.points.len() == points && footer.is_possible()).then_some(footer)
    }

    /// Whether a segment can be like this: its records fit, and its points rise towards their end.
    fn is_possible(&self) -> bool {
        let blocks = self.end / BLOCK;
        let counts = (1..blocks).contains(&self.records)
            && self.first_sequence > 0
            && self.first_sequence.checked_add(self.records).is_some()
            && self.end.is_multiple_of(BLOCK);
        let rises =
            |a: &Point, b: &Point| a.block < b.block && a.index < b.index && a.event <= b.event;
        let fits = self.points.last().is_none_or(|last| {
            let index = self.base_index.checked_add(last.index.into());
            let event = self.base_event.checked_add(last.event.into());
            index.is_some_and(|index| index < self.end_index)
                && event.is_some()
                && u64::from(last.block) < blocks
        });
        let begins = self.points.first().is_none_or(|first| first.block > 0);
        counts && fits && begins && self.points.is_sorted_by(rises)
    }
}

fn checksum(bytes: &[u8], store: u128) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..CHECKSUM_AT]);
    crc.update(&bytes[FIXED_BYTES..]);
    crc.update(&store.to_le_bytes());
    crc.finalize()
}

const _: () = assert!(8 + 4 + 4 + 11 * 8 + CONTROL_BYTES + 4 + 4 == FIXED_BYTES);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SEGMENT_BYTES_MIN;

    fn footer() -> Footer {
        Footer {
            segment: 3,
            end: 9 * BLOCK,
            first_sequence: 5,
            records: 7,
            last_checksum: 6,
            committed_end: 8,
            truncated_to: u64::MAX,
            start_index: 10,
            start_event: 100,
            base_index: 10,
            base_event: 100,
            end_index: 15,
            control: Control { next_event: 150, oldest_segment: 1, ..Control::default() },
            points: vec![
                Point { index: 0, event: 0, block: 2 },
                Point { index: 3, event: 30, block: 5 },
            ],
        }
    }

    fn decode(footer: &Footer) -> Option<Footer> {
        Footer::decode(&footer.encode(1, SEGMENT_BYTES_MIN), 1, 3)
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        assert_eq!(decode(&footer()), Some(footer()));
        let mut bytes = footer().encode(1, SEGMENT_BYTES_MIN);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Footer::decode(&bytes, 1, 3), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_segment_that_cannot_be_is_refused() {
        let [first, second] = [footer().points[0], footer().points[1]];
        for impossible in [
            Footer { records: 0, ..footer() },
            Footer { records: 9, ..footer() },
            Footer { first_sequence: 0, ..footer() },
            Footer { first_sequence: u64::MAX - 2, ..footer() },
            Footer { end: 9 * BLOCK + 1, ..footer() },
            Footer { end_index: 13, ..footer() },
            Footer { base_event: u64::MAX, ..footer() },
            Footer { points: vec![second, first], ..footer() },
            Footer { points: vec![first, Point { block: 9, ..second }], ..footer() },
            Footer { points: vec![Point { block: 0, ..first }, second], ..footer() },
        ] {
            assert_eq!(decode(&impossible), None, "{impossible:?}");
        }
    }
}
