//! The header in front of every record.

use super::bytes::{Get, Put};
use super::control::CONTROL_BYTES;
use crate::entry::EntryKind;

/// Bytes of a record header. Bodies begin right behind it.
pub const HEADER_BYTES: usize = 96;

const MAGIC: u32 = u32::from_le_bytes(*b"jbR1");
const VERSION: u8 = 1;
const CHECKSUM_AT: usize = HEADER_BYTES - 4;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordKind {
    /// First record of a segment: the log's state so far.
    Start,
    /// An entry.
    Entry(EntryKind),
    /// The vote changed.
    Vote,
    /// Entries after the state's last one are gone.
    Truncate,
    /// The log begins later than before.
    Purge,
    /// Nothing new, except that everything before is durable.
    Mark,
}

impl RecordKind {
    fn to_bytes(self) -> [u8; 2] {
        match self {
            Self::Start => [1, 0],
            Self::Entry(EntryKind::Batch) => [2, 1],
            Self::Entry(EntryKind::Blank) => [2, 2],
            Self::Entry(EntryKind::Membership) => [2, 3],
            Self::Vote => [3, 0],
            Self::Truncate => [4, 0],
            Self::Purge => [5, 0],
            Self::Mark => [6, 0],
        }
    }

    fn from_bytes(bytes: [u8; 2]) -> Option<Self> {
        Some(match bytes {
            [1, 0] => Self::Start,
            [2, 1] => Self::Entry(EntryKind::Batch),
            [2, 2] => Self::Entry(EntryKind::Blank),
            [2, 3] => Self::Entry(EntryKind::Membership),
            [3, 0] => Self::Vote,
            [4, 0] => Self::Truncate,
            [5, 0] => Self::Purge,
            [6, 0] => Self::Mark,
            _ => return None,
        })
    }
}

/// Where a record lies, and in whose log. Part of every header's checksum, so that a record
/// counts nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) store: u128,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

/// A decoded header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: RecordKind,
    pub(crate) body_bytes: u32,
    pub(crate) shard: u32,
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) time_us: u64,
    pub(crate) first_event: u64,
    pub(crate) event_count: u32,
    pub(crate) body_checksum: u32,
    /// Number of this record in the log's physical order, rising by one.
    pub(crate) sequence: u64,
    /// Every record numbered this or below was durable when this one was placed; 0 for none.
    pub(crate) durable_sequence: u64,
    /// Committed index plus one, as far as it was known; 0 for none.
    pub(crate) committed_end: u64,
    /// Checksum of the header before this one in the log's physical order.
    pub(crate) previous: u32,
}

impl Header {
    /// Writes the header and returns its checksum, which the next record carries.
    pub(crate) fn encode(&self, place: &Place, out: &mut [u8]) -> u32 {
        assert!(self.durable_sequence < self.sequence, "a record durable before it exists");
        let out = &mut out[..HEADER_BYTES];
        let [kind, entry_kind] = self.kind.to_bytes();
        let mut put = Put::new(out);
        put.u32(MAGIC).u8(VERSION).u8(kind).u8(entry_kind).u8(0);
        put.u32(self.body_bytes).u32(self.shard).u64(self.index).u64(self.term);
        put.u64(self.time_us).u64(self.first_event).u32(self.event_count);
        put.u32(self.body_checksum).u64(self.sequence).u64(self.durable_sequence);
        put.u64(self.committed_end).u64(0).u32(self.previous);
        let checksum = checksum(&out[..CHECKSUM_AT], place);
        out[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        checksum
    }

    /// Reads a header and its checksum; `None` when these bytes are no record of this place.
    pub(crate) fn decode(bytes: &[u8], place: &Place) -> Option<(Self, u32)> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        if bytes[..4] != MAGIC.to_le_bytes() {
            return None;
        }
        let stored = Get::new(&bytes[CHECKSUM_AT..]).u32();
        if checksum(&bytes[..CHECKSUM_AT], place) != stored {
            return None;
        }
        let mut get = Get::new(&bytes[4..]);
        let version = get.u8();
        let kind = RecordKind::from_bytes(get.array());
        let flags = get.u8();
        if version != VERSION || flags != 0 {
            return None;
        }
        let header = Self {
            kind: kind?,
            body_bytes: get.u32(),
            shard: get.u32(),
            index: get.u64(),
            term: get.u64(),
            time_us: get.u64(),
            first_event: get.u64(),
            event_count: get.u32(),
            body_checksum: get.u32(),
            sequence: get.u64(),
            durable_sequence: get.u64(),
            committed_end: get.u64(),
            previous: {
                let _reserved = get.u64();
                get.u32()
            },
        };
        header.is_possible().then_some((header, stored))
    }

    /// Whether anybody could have written this. Numbers so high that nothing can follow them are no number of ours, and
    /// whoever counts on need not look out for them.
    fn is_possible(&self) -> bool {
        let body = match self.kind {
            RecordKind::Entry(_) => true,
            _ => self.body_bytes as usize == CONTROL_BYTES,
        };
        let events = self.first_event.checked_add(u64::from(self.event_count));
        let follows = self.sequence < u64::MAX && self.index < u64::MAX && events.is_some();
        body && follows && self.durable_sequence < self.sequence
    }

    /// Whether bytes that are no valid record look like one of this log that was damaged or
    /// written only in part, rather than like what a recycled segment held before: those records
    /// have lower numbers.
    pub(crate) fn resembles(bytes: &[u8], sequence: u64, previous: u32) -> bool {
        let Some(bytes) = bytes.get(..HEADER_BYTES) else { return false };
        let found_sequence = Get::new(&bytes[56..]).u64();
        let found_previous = Get::new(&bytes[CHECKSUM_AT - 4..]).u32();
        let follows = found_previous == previous;
        let magic = bytes[..4] == MAGIC.to_le_bytes();
        magic && (found_sequence >= sequence || follows) || found_sequence == sequence && follows
    }

    /// Bytes this record occupies, padding included.
    pub(crate) fn padded_bytes(&self) -> u64 {
        padded_bytes(self.body_bytes as usize)
    }
}

/// Bytes a record with such a body occupies: whole blocks, so that a torn write harms no other.
pub(crate) fn padded_bytes(body_bytes: usize) -> u64 {
    (HEADER_BYTES + body_bytes).next_multiple_of(jobbie_io::BLOCK_BYTES) as u64
}

fn checksum(header: &[u8], place: &Place) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(header);
    crc.update(&place.store.to_le_bytes());
    crc.update(&place.segment.to_le_bytes());
    crc.update(&place.offset.to_le_bytes());
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { store: 7, segment: 3, offset: 8192 };

    fn header() -> Header {
        Header {
            kind: RecordKind::Entry(EntryKind::Batch),
            body_bytes: 5,
            shard: 2,
            index: 10,
            term: 4,
            time_us: 99,
            first_event: 1000,
            event_count: 17,
            body_checksum: 0xabcd,
            sequence: 12,
            durable_sequence: 11,
            committed_end: 9,
            previous: 0x1234,
        }
    }

    fn encoded() -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        header().encode(&PLACE, &mut bytes);
        bytes
    }

    #[test]
    fn comes_back_only_at_its_place() {
        let bytes = encoded();
        assert_eq!(Header::decode(&bytes, &PLACE).unwrap().0, header());
        for other in [
            Place { store: 8, ..PLACE },
            Place { segment: 4, ..PLACE },
            Place { offset: 4096, ..PLACE },
        ] {
            assert_eq!(Header::decode(&bytes, &other), None);
        }
        for cut in 0..HEADER_BYTES {
            assert_eq!(Header::decode(&bytes[..cut], &PLACE), None);
        }
    }

    #[test]
    fn numbers_that_nothing_can_follow_are_refused() {
        let kind = RecordKind::Mark;
        for header in [
            Header { sequence: u64::MAX, ..header() },
            Header { index: u64::MAX, ..header() },
            Header { first_event: u64::MAX, ..header() },
            Header { kind, ..header() },
        ] {
            let mut bytes = [0; HEADER_BYTES];
            header.encode(&PLACE, &mut bytes);
            assert_eq!(Header::decode(&bytes, &PLACE), None, "{header:?}");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed_and_still_resembles_a_record() {
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = encoded();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bytes, &PLACE), None, "bit {bit}");
            assert!(Header::resembles(&bytes, 12, 0x1234), "bit {bit}");
        }
        assert!(!Header::resembles(&encoded(), 13, 0x5678), "an older record is stale, not torn");
    }
}
