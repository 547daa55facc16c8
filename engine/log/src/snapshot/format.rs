//! The bytes of a snapshot file: a header block, chunks, a trailer.

use jobbie_io::BLOCK_BYTES;

use super::SnapshotMeta;
use crate::entry::{EntryId, Identity};
use crate::format::FORMAT_VERSION;
use crate::format::bytes::{Get, Put};
use crate::limits::{MEMBERSHIP_BYTES_MAX, SNAPSHOT_CHUNK_BYTES};

pub(crate) const TEMPORARY_NAME: &str = "snap-unfinished.tmp";
const MAGIC: [u8; 8] = *b"jobbieSN";
const CHUNK_MAGIC: u32 = u32::from_le_bytes(*b"jbSC");
const TRAILER_MAGIC: u32 = u32::from_le_bytes(*b"jbST");
const FIXED_BYTES: usize = 92;
const CHECKSUM_AT: usize = BLOCK_BYTES - 4;
/// In front of each chunk.
pub(super) const CHUNK_HEADER_BYTES: usize = 24;
/// At the end of the file.
pub(super) const TRAILER_BYTES: usize = 32;

const _: () = assert!(FIXED_BYTES + MEMBERSHIP_BYTES_MAX <= CHECKSUM_AT);
const _: () = assert!(SNAPSHOT_CHUNK_BYTES <= u32::MAX as usize);

/// Name of the snapshot at `last`; names sort as indexes do.
pub(super) fn finished_name(last: EntryId) -> String {
    format!("snap-{:016x}-{:016x}.snap", last.index, last.term)
}

/// Last entry of a finished snapshot, from its name.
pub(crate) fn parse_name(name: &str) -> Option<EntryId> {
    let middle = name.strip_prefix("snap-")?.strip_suffix(".snap")?;
    let (index, term) = middle.split_once('-')?;
    let hex = |part: &str| {
        let ours = part.len() == 16 && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        ours.then(|| u64::from_str_radix(part, 16).ok()).flatten()
    };
    Some(EntryId { index: hex(index)?, term: hex(term)? })
}

pub(super) fn encode_header(identity: &Identity, meta: &SnapshotMeta) -> [u8; BLOCK_BYTES] {
    assert!(meta.membership.len() <= MEMBERSHIP_BYTES_MAX, "checked by the writer");
    let mut block = [0; BLOCK_BYTES];
    let mut put = Put::new(&mut block);
    put.bytes(&MAGIC).u32(FORMAT_VERSION).u32(identity.shard).u128(identity.cluster);
    put.u64(meta.last.term).u64(meta.last.index).u64(meta.next_event).u64(meta.time_us);
    put.u64(meta.state_hash)
        .u64(0)
        .u64(0)
        .u32(meta.membership.len() as u32)
        .bytes(&meta.membership);
    let checksum = crc32fast::hash(&block[..CHECKSUM_AT]);
    block[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
    block
}

/// Shard, cluster and meta.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn decode_header(block: &[u8]) -> Result<(u32, u128, SnapshotMeta), String> {
    let Some(block) = block.get(..BLOCK_BYTES) else {
        return Err(format!("{} bytes", block.len()));
    };
    let (stored, computed) =
        (Get::new(&block[CHECKSUM_AT..]).u32(), crc32fast::hash(&block[..CHECKSUM_AT]));
    if block[..8] != MAGIC {
        return Err(format!("magic {:02x?}", &block[..8]));
    }
    if stored != computed {
        return Err(format!("checksum {stored:08x}, computed {computed:08x}"));
    }
    let mut get = Get::new(&block[8..]);
    let version = get.u32();
    if version != FORMAT_VERSION {
        return Err(format!("format version {version}, this release knows {FORMAT_VERSION}"));
    }
    let (shard, cluster) = (get.u32(), get.u128());
    let last = EntryId { term: get.u64(), index: get.u64() };
    let (next_event, time_us, state_hash) = (get.u64(), get.u64(), get.u64());
    let _reserved = (get.u64(), get.u64());
    let len = get.u32() as usize;
    let membership = block[FIXED_BYTES..CHECKSUM_AT].get(..len);
    let Some(membership) = membership.filter(|_| len <= MEMBERSHIP_BYTES_MAX) else {
        return Err(format!("a membership of {len} bytes"));
    };
    Ok((
        shard,
        cluster,
        SnapshotMeta { last, next_event, time_us, state_hash, membership: membership.to_vec() },
    ))
}

/// Header of a chunk: number, length, checksum of number, length and content.
pub(super) fn encode_chunk_header(number: u64, chunk: &[u8]) -> [u8; CHUNK_HEADER_BYTES] {
    let mut header = [0; CHUNK_HEADER_BYTES];
    Put::new(&mut header).u32(CHUNK_MAGIC).u32(chunk.len() as u32).u64(number);
    let checksum = chunk_checksum(&header, chunk);
    Put::new(&mut header[16..]).u32(checksum).u32(0);
    header
}

fn chunk_checksum(header: &[u8], chunk: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header[..16]);
    crc.update(chunk);
    crc.finalize()
}

/// What comes next in a file.
pub(super) enum Part {
    Chunk { bytes: usize },
    Trailer,
}

/// # Errors
/// What is wrong, in words.
pub(super) fn decode_part(bytes: &[u8], number: u64) -> Result<Part, String> {
    let Some(bytes) = bytes.get(..CHUNK_HEADER_BYTES) else {
        return Err("the end of the file".into());
    };
    let mut get = Get::new(bytes);
    let magic = get.u32();
    if magic == TRAILER_MAGIC {
        return Ok(Part::Trailer);
    }
    let (len, found) = (get.u32() as usize, get.u64());
    if magic != CHUNK_MAGIC || found != number || len == 0 || len > SNAPSHOT_CHUNK_BYTES {
        return Err("no chunk header".into());
    }
    Ok(Part::Chunk { bytes: len })
}

/// # Errors
/// What is wrong, in words.
pub(super) fn check_chunk(header: &[u8], chunk: &[u8]) -> Result<(), String> {
    let mut get = Get::new(&header[16..]);
    let (stored, reserved) = (get.u32(), get.u32());
    let computed = chunk_checksum(header, chunk);
    if stored == computed && reserved == 0 {
        Ok(())
    } else {
        Err(format!("checksum {computed:08x} instead of {stored:08x}"))
    }
}

/// Totals of a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) chunks: u64,
    pub(super) bytes: u64,
    pub(super) checksum: u32,
}

pub(super) fn encode_trailer(totals: &Totals) -> [u8; TRAILER_BYTES] {
    let mut trailer = [0; TRAILER_BYTES];
    Put::new(&mut trailer)
        .u32(TRAILER_MAGIC)
        .u32(totals.checksum)
        .u64(totals.chunks)
        .u64(totals.bytes)
        .u32(0);
    let checksum = crc32fast::hash(&trailer[..TRAILER_BYTES - 4]);
    trailer[TRAILER_BYTES - 4..].copy_from_slice(&checksum.to_le_bytes());
    trailer
}

pub(super) fn decode_trailer(bytes: &[u8]) -> Option<Totals> {
    let bytes = bytes.get(..TRAILER_BYTES)?;
    let stored = Get::new(&bytes[TRAILER_BYTES - 4..]).u32();
    if crc32fast::hash(&bytes[..TRAILER_BYTES - 4]) != stored {
        return None;
    }
    let mut get = Get::new(&bytes[4..]);
    Some(Totals { checksum: get.u32(), chunks: get.u64(), bytes: get.u64() })
}
