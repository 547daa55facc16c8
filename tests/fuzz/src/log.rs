//! A log's directory out of few bytes.
//!
//! The first byte is flags: 1 leaves checksums as they are, 2 leaves the chain of records as it is. Then come pieces:
//! a byte that names a file, one that names a block of it, a length of two bytes, and as many bytes, which the
//! block begins with. Everything else is zeros. With 128 in the first byte the piece says where the file ends instead.

use std::cell::RefCell;

use crate::disk::MemDisk;
use crate::fix::{self, BLOCK, Segment};

/// Length of every segment.
pub const SEGMENT_BYTES: usize = 1 << 20;
/// Where the footer of such a segment begins.
const FOOTER_OFFSET: usize = SEGMENT_BYTES - BLOCK;
const RAW: u8 = 1;
const CHAIN_AS_IT_IS: u8 = 2;
/// In the byte that names a file.
const ENDS_HERE: u8 = 128;
const FILES: usize = 5;
const PIECE_HEADER_BYTES: usize = 4;

/// Name of file number `file`: the superblock, then the segments.
#[must_use]
pub fn file_name(file: usize) -> String {
    if file == 0 { "superblock".to_owned() } else { format!("log-{file:016x}.seg") }
}

/// The bytes from which [`disk`] makes these files.
#[must_use]
pub fn pack(files: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let mut packed = vec![0];
    for (file, content) in files {
        for (number, block) in content.chunks(BLOCK).enumerate() {
            let used = block.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            if used > 0 {
                packed.extend_from_slice(&[*file as u8, number as u8]);
                packed.extend_from_slice(&(used as u16).to_le_bytes());
                packed.extend_from_slice(&block[..used]);
            }
        }
    }
    packed
}

/// The files that the input describes.
#[must_use]
pub fn disk(input: &[u8]) -> MemDisk {
    let (flags, rest) = input.split_first().map_or((0, input), |(flags, rest)| (*flags, rest));
    let mut files = unpack(rest);
    if flags & RAW == 0 {
        put_right(&mut files, flags & CHAIN_AS_IT_IS == 0);
    }
    let disk = MemDisk::default();
    for (file, content) in files.into_iter().enumerate() {
        if let Some(content) = content {
            disk.put(&file_name(file), &content);
            give_back(content);
        }
    }
    disk
}

thread_local! {
    /// Zeros of a segment's length, kept because making them takes longer than all else.
    static ZEROS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn zeros(len: usize) -> Vec<u8> {
    let mut zeros = ZEROS.take();
    let mut one = zeros.pop().unwrap_or_default();
    ZEROS.set(zeros);
    one.resize(len, 0);
    one
}

fn give_back(mut used: Vec<u8>) {
    used.fill(0);
    ZEROS.with_borrow_mut(|zeros| zeros.push(used));
}

fn unpack(mut rest: &[u8]) -> [Option<Vec<u8>>; FILES] {
    let mut files: [Option<Vec<u8>>; FILES] = Default::default();
    while let Some((head, behind)) = rest.split_first_chunk::<PIECE_HEADER_BYTES>() {
        let number = usize::from(head[0] & !ENDS_HERE) % FILES;
        let offset = usize::from(head[1]) * BLOCK;
        let given = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let whole = if number == 0 { 2 * BLOCK } else { SEGMENT_BYTES };
        let file = files[number].get_or_insert_with(|| zeros(whole));
        if head[0] & ENDS_HERE != 0 {
            file.resize(offset + given, 0);
            rest = behind;
            continue;
        }
        let (content, behind) = behind.split_at(given.min(BLOCK).min(behind.len()));
        if let Some(block) = file.get_mut(offset..offset + content.len()) {
            block.copy_from_slice(content);
        }
        rest = behind;
    }
    files
}

fn put_right(files: &mut [Option<Vec<u8>>; FILES], chain: bool) {
    let mut previous = 0;
    for (number, file) in files.iter_mut().enumerate() {
        match file {
            Some(file) if number == 0 => fix::superblock(file),
            Some(file) if file.len() >= BLOCK => {
                fix::segment_header(file);
                let store = file[16..32].try_into().expect("16 bytes");
                let segment = Segment { store, id: number as u64 };
                let last = records(file, segment, chain.then_some(previous));
                previous = last.unwrap_or(previous);
                if file.len() == SEGMENT_BYTES {
                    let last = chain.then_some(previous);
                    fix::footer(&mut file[FOOTER_OFFSET..], store, last);
                }
            }
            _ => {}
        }
    }
}

/// Records one behind the other, then whatever looks like one in the blocks behind; gives the checksum of the last one
/// of the chain.
fn records(file: &mut [u8], segment: Segment, mut previous: Option<u32>) -> Option<u32> {
    let (mut offset, mut last) = (BLOCK, None);
    while offset < file.len() {
        let fixed = fix::record(&mut file[offset..], segment, offset as u64, previous);
        let Some((bytes, checksum)) = fixed else {
            // What comes behind the end of the chain has no place in it.
            previous = None;
            offset += BLOCK;
            continue;
        };
        if previous.is_some() {
            (previous, last) = (Some(checksum), Some(checksum));
        }
        offset = offset.saturating_add(bytes);
    }
    last
}
