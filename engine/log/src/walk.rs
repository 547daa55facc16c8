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
    Cut { header: Header },
    /// A header of this place over a body that is not its own.
    BadBody { header: Header, computed: u32 },
    /// No header of this place.
    Nothing,
}

/// What lies at the beginning of `bytes`, which were read from `place`.
pub(crate) fn look(bytes: &[u8], place: &Place) -> Found {
    let Some((header, checksum)) = Header::decode(bytes, place) else { return Found::Nothing };
    let Some(body) = bytes.get(HEADER_BYTES..HEADER_BYTES + header.body_bytes as usize) else {
        return Found::Cut { header };
    };
    let computed = crc32fast::hash(body);
    if computed == header.body_checksum {
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
        Found::Cut { header } => {
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
