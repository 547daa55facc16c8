//! Putting checksums right, as `docs/format.md` describes them and independently of the code that checks them.

/// A block.
pub const BLOCK: usize = 4096;
/// In front of every record.
pub const RECORD_HEADER_BYTES: usize = 96;
const RECORD_MAGIC: &[u8] = b"jbR1";
const FOOTER_FIXED_BYTES: usize = 208;

/// Which segment of which store some bytes are in.
#[derive(Clone, Copy)]
pub struct Segment {
    /// The store.
    pub store: [u8; 16],
    /// Number of the segment.
    pub id: u64,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn put_checksum(bytes: &mut [u8], at: usize, parts: &[&[u8]]) {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..at]);
    parts.iter().for_each(|part| crc.update(part));
    bytes[at..at + 4].copy_from_slice(&crc.finalize().to_le_bytes());
}

/// Both copies of a superblock.
pub fn superblock(bytes: &mut [u8]) {
    bytes.chunks_exact_mut(BLOCK).for_each(|copy| put_checksum(copy, 72, &[]));
}

/// The header of a segment.
pub fn segment_header(bytes: &mut [u8]) {
    put_checksum(bytes, 60, &[]);
}

/// The record at `offset`, whose bytes begin there, if there is one; gives the bytes it takes and its checksum.
/// `previous` is the checksum it shall carry.
pub fn record(
    bytes: &mut [u8],
    segment: Segment,
    offset: u64,
    previous: Option<u32>,
) -> Option<(usize, u32)> {
    if bytes.len() < RECORD_HEADER_BYTES || bytes[..4] != *RECORD_MAGIC {
        return None;
    }
    let body_bytes = u32_at(bytes, 8) as usize;
    let end = RECORD_HEADER_BYTES.saturating_add(body_bytes);
    if let Some(body) = bytes.get(RECORD_HEADER_BYTES..end) {
        let checksum = crc32fast::hash(body);
        bytes[52..56].copy_from_slice(&checksum.to_le_bytes());
    }
    if let Some(previous) = previous {
        bytes[88..92].copy_from_slice(&previous.to_le_bytes());
    }
    let place = [&segment.store[..], &segment.id.to_le_bytes(), &offset.to_le_bytes()];
    put_checksum(bytes, 92, &place);
    Some((end.next_multiple_of(BLOCK), u32_at(bytes, 92)))
}

/// A footer that takes all of `bytes`. `last` is the checksum of the last record, to be entered.
pub fn footer(bytes: &mut [u8], store: [u8; 16], last: Option<u32>) {
    if let Some(last) = last {
        bytes[200..204].copy_from_slice(&last.to_le_bytes());
    }
    let points = bytes[FOOTER_FIXED_BYTES..].to_vec();
    put_checksum(bytes, 204, &[&points, &store]);
}

/// The header block of a snapshot.
pub fn snapshot_header(block: &mut [u8]) {
    put_checksum(block, BLOCK - 4, &[]);
}
