//! What lies in the files of a log, read from docs/format.md and not by the log's own code, which is what is judged.

use jobbie_sim::SimDisk;

pub(crate) const BLOCK: usize = 4096;
const HEADER: usize = 96;
/// The type of records that are entries.
const ENTRY: u8 = 2;
/// Where other records name the lowest segment.
const OLDEST_AT: usize = HEADER + 64;

/// A record header that is valid at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) file: String,
    pub(crate) offset: u64,
    /// Header and body, without padding.
    pub(crate) bytes: u64,
    pub(crate) sequence: u64,
    /// Records up to this sequence were durable when it was placed.
    pub(crate) durable: u64,
    /// The lowest segment of the log, if it says that.
    oldest: Option<u64>,
}

impl Record {
    /// The segment it is in.
    pub(crate) fn segment(&self) -> u64 {
        segment_id(&self.file).expect("records are found in segments")
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// The id of a segment that belongs to the log or is ready for it.
fn segment_id(file: &str) -> Option<u64> {
    u64::from_str_radix(file.strip_prefix("log-")?.strip_suffix(".seg")?, 16).ok()
}

/// The record that `bytes` begin with, if they are one of this place.
pub(crate) fn record(store: u128, file: &str, offset: u64, bytes: &[u8]) -> Option<Record> {
    let segment = segment_id(file)?;
    if bytes.len() < HEADER || bytes[..4] != *b"jbR1" {
        return None;
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..HEADER - 4]);
    crc.update(&store.to_le_bytes());
    crc.update(&segment.to_le_bytes());
    crc.update(&offset.to_le_bytes());
    (crc.finalize() == u32_at(bytes, HEADER - 4)).then(|| Record {
        file: file.to_owned(),
        offset,
        bytes: HEADER as u64 + u64::from(u32_at(bytes, 8)),
        sequence: u64_at(bytes, 56),
        durable: u64_at(bytes, 64),
        oldest: (bytes[5] != ENTRY && bytes.len() >= OLDEST_AT + 8)
            .then(|| u64_at(bytes, OLDEST_AT)),
    })
}

/// Records that lie one behind the other in what was, or was to be, written at `offset`.
pub(crate) fn written(store: u128, file: &str, offset: u64, bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|b| record(store, file, offset + at as u64, b))
    {
        at += found.bytes.next_multiple_of(BLOCK as u64) as usize;
        records.push(found);
    }
    records
}

/// Every valid record header on the disk, whether it counts or not.
pub(crate) fn all(disk: &SimDisk, store: u128) -> Vec<Record> {
    let mut records = Vec::new();
    for file in segments(disk) {
        let content = disk.content(&file).expect("it was just listed");
        for (block, bytes) in content.chunks(BLOCK).enumerate().skip(1) {
            records.extend(record(store, &file, (block * BLOCK) as u64, bytes));
        }
    }
    records
}

/// The lowest segment that belongs to the log.
pub(crate) fn oldest_segment(all: &[Record]) -> u64 {
    all.iter().filter_map(|record| record.oldest).max().unwrap_or(1)
}

/// Names of all segments.
pub(crate) fn segments(disk: &SimDisk) -> Vec<String> {
    let names = disk.files().into_iter().map(|file| file.name);
    names.filter(|name| segment_id(name).is_some()).collect()
}

/// Whether a segment has a footer, so that a start need not read its records.
pub(crate) fn has_footer(disk: &SimDisk, file: &str) -> bool {
    let Some(content) = disk.content(file) else { return false };
    let footer = (208 + 12 * (2 * content.len() / 65536 + 16)).next_multiple_of(BLOCK);
    let at = content.len().saturating_sub(footer);
    content[at..].starts_with(b"jobbieLF")
}

/// Bytes that records may still take in the segments there are.
pub(crate) fn room(disk: &SimDisk, store: u128) -> u64 {
    let newest = all(disk, store).into_iter().max_by_key(|record| record.sequence);
    let Some(newest) = newest else { return 0 };
    let len = |file: &String| disk.content(file).map_or(0, |content| content.len() as u64);
    let ready = segments(disk).into_iter().filter(|file| *file > newest.file);
    let ready: u64 = ready.map(|file| len(&file)).sum();
    ready + len(&newest.file).saturating_sub(newest.offset + newest.bytes)
}
