//! Decoding records that lie side by side in a buffer.

use std::rc::Rc;

use jobbie_io::AlignedBuf;

use crate::body::Body;
use crate::entry::{Entry, EntryId};
use crate::error::Damage;
use crate::format::header::{HEADER_BYTES, Header, Place, RecordKind};
use crate::segment::file_name;

/// A record found where one may be.
pub(crate) enum Found {
    /// A header of this place, and its whole body with the right checksum.
    Record { header: Header, checksum: u32 },
    /// A header of this place whose record does not fit in what was given.
    Cut { header: Header, checksum: u32 },
    /// A header of this place over a body that is not its own.
    BadBody { header: Header, computed: u32 },
    /// No header of this place.
    Nothing,
}

/// What lies at the beginning of `bytes`, which were read from `place`.
pub(crate) fn look(bytes: &[u8], place: &Place) -> Found {
    let Some((header, checksum)) = Header::decode(bytes, place) else { return Found::Nothing };
    let Some(body) = bytes.get(HEADER_BYTES..HEADER_BYTES + header.body_bytes as usize) else {
        return Found::Cut { header, checksum };
    };
    let computed = crc32fast::hash(body);
    judge_body(header, checksum, computed)
}

/// What a header with this checksum lies over, when the checksum of the body is `computed`.
pub(crate) fn judge_body(header: Header, checksum: u32, computed: u32) -> Found {
    if computed == header.body_checksum || crate::mutant!(BodyUnchecked) {
        Found::Record { header, checksum }
    } else {
        Found::BadBody { header, computed }
    }
}

/// The entry of a record at `at` in `buf`.
pub(crate) fn entry(header: &Header, buf: &Rc<AlignedBuf>, at: usize) -> Option<Entry> {
    let RecordKind::Entry(kind) = header.kind else { return None };
    let body = at + HEADER_BYTES..at + HEADER_BYTES + header.body_bytes as usize;
    Some(Entry {
        id: EntryId { term: header.term, index: header.index },
        kind,
        time_us: header.time_us,
        first_event: header.first_event,
        event_count: header.event_count,
        body: Body::within(buf, body),
    })
}

/// Damage where a record should be.
pub(crate) fn damage(
    segment: u64,
    offset: u64,
    expected: String,
    found: &Found,
    bytes: &[u8],
) -> Damage {
    let found = match found {
        Found::Record { header, .. } => {
            format!(
                "record {} whose predecessor has checksum {:08x}",
                header.sequence, header.previous
            )
        }
        Found::Cut { header, .. } => {
            format!("record {} that reaches beyond its segment", header.sequence)
        }
        Found::BadBody { header, computed } => format!(
            "record {} with body checksum {computed:08x} instead of {:08x}",
            header.sequence, header.body_checksum
        ),
        Found::Nothing if bytes.iter().all(|byte| *byte == 0) => "zeros".into(),
        Found::Nothing => "no valid record header".into(),
    };
    Damage { file: file_name(segment), offset, expected, found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::EntryKind;
    use jobbie_io::BLOCK_BYTES;

    const PLACE: Place = Place { store: 7, segment: 3, offset: 8192 };

    /// A record of two blocks.
    fn record() -> (Vec<u8>, usize) {
        let body = vec![0x5a; 5000];
        let header = Header {
            kind: RecordKind::Entry(EntryKind::Batch),
            body_bytes: body.len() as u32,
            shard: 2,
            index: 10,
            term: 4,
            time_us: 99,
            first_event: 1000,
            event_count: 17,
            body_checksum: crc32fast::hash(&body),
            sequence: 12,
            durable_sequence: 11,
            committed_end: 9,
            previous: 0x1234,
        };
        let mut bytes = vec![0; 2 * BLOCK_BYTES];
        header.encode(&PLACE, &mut bytes);
        let end = HEADER_BYTES + body.len();
        bytes[HEADER_BYTES..end].copy_from_slice(&body);
        (bytes, end)
    }

    #[test]
    fn every_bit_of_a_record_is_noticed_and_none_of_its_padding() {
        let (mut bytes, end) = record();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let found = look(&bytes, &PLACE);
            let noticed = match bit / 8 {
                at if at < HEADER_BYTES => matches!(found, Found::Nothing),
                at if at < end => matches!(found, Found::BadBody { .. }),
                _ => matches!(found, Found::Record { .. }),
            };
            assert!(noticed, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn every_part_of_a_record_is_cut_or_nothing() {
        let (bytes, end) = record();
        for len in 0..bytes.len() {
            let as_expected = match look(&bytes[..len], &PLACE) {
                Found::Nothing => len < HEADER_BYTES,
                Found::Cut { .. } => (HEADER_BYTES..end).contains(&len),
                Found::Record { .. } => len >= end,
                Found::BadBody { .. } => false,
            };
            assert!(as_expected, "{len} bytes");
        }
    }
}
