//! One record by itself, for whoever feeds the decoders bytes of their own making. No part of the log's interface.

use crate::format::control::Control;
use crate::format::header::{HEADER_BYTES, Header, Place, RecordKind};
use crate::walk::{self, Found};

/// The record that `bytes` begin with, read from `offset` of `segment` of `store`, written again without its
/// padding. `None` when there is none, or one that says nothing.
#[must_use]
pub fn rewrite_record(bytes: &[u8], store: u128, segment: u64, offset: u64) -> Option<Vec<u8>> {
    let place = Place { store, segment, offset };
    let Found::Record { header, .. } = walk::look(bytes, &place) else { return None };
    let body = &bytes[HEADER_BYTES..][..header.body_bytes as usize];
    let body = match header.kind {
        RecordKind::Entry(_) => body.to_vec(),
        _ => Control::decode(body)?.encode().to_vec(),
    };
    let mut record = vec![0; HEADER_BYTES];
    let header = Header { body_checksum: crc32fast::hash(&body), ..header };
    header.encode(&place, &mut record);
    record.extend_from_slice(&body);
    Some(record)
}
