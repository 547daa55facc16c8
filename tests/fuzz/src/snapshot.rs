//! A snapshot file out of few bytes.
//!
//! The first byte is flags. With 1 the rest is the file as it is. Otherwise the rest is pieces, each a length of two
//! bytes and as many bytes: the beginning of the header block, then the content of one chunk after the other. The
//! headers of chunks and the trailer are made to fit; so is the checksum of the header, unless 2 is set.

use crate::fix::{self, BLOCK};

const RAW: u8 = 1;
const HEADER_AS_IT_IS: u8 = 2;

/// The bytes from which [`file`] makes a file with this header and these chunks.
#[must_use]
pub fn pack<'a>(header: &'a [u8], chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut packed = vec![0];
    for piece in std::iter::once(header).chain(chunks) {
        let bytes = u16::try_from(piece.len()).expect("small seeds");
        packed.extend_from_slice(&bytes.to_le_bytes());
        packed.extend_from_slice(piece);
    }
    packed
}

/// The file that the input describes.
#[must_use]
pub fn file(input: &[u8]) -> Vec<u8> {
    let Some((flags, mut rest)) = input.split_first() else { return Vec::new() };
    if flags & RAW != 0 {
        return rest.to_vec();
    }
    let header = piece(&mut rest).unwrap_or_default();
    let mut file = vec![0; BLOCK];
    let given = header.len().min(BLOCK);
    file[..given].copy_from_slice(&header[..given]);
    if flags & HEADER_AS_IT_IS == 0 {
        fix::snapshot_header(&mut file);
    }
    let (mut chunks, mut whole) = (0_u64, crc32fast::Hasher::new());
    let mut bytes = 0_u64;
    while let Some(chunk) = piece(&mut rest) {
        put_chunk(&mut file, chunks, chunk);
        whole.update(chunk);
        chunks += 1;
        bytes += chunk.len() as u64;
    }
    let begin = file.len();
    file.extend_from_slice(b"jbST");
    file.extend_from_slice(&whole.finalize().to_le_bytes());
    file.extend_from_slice(&chunks.to_le_bytes());
    file.extend_from_slice(&bytes.to_le_bytes());
    file.extend_from_slice(&[0; 4]);
    let checksum = crc32fast::hash(&file[begin..]);
    file.extend_from_slice(&checksum.to_le_bytes());
    file
}

fn piece<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, behind) = rest.split_first_chunk::<2>()?;
    let given = usize::from(u16::from_le_bytes(*len)).min(behind.len());
    let (piece, behind) = behind.split_at(given);
    *rest = behind;
    Some(piece)
}

fn put_chunk(file: &mut Vec<u8>, number: u64, chunk: &[u8]) {
    let begin = file.len();
    file.extend_from_slice(b"jbSC");
    file.extend_from_slice(&(chunk.len() as u32).to_le_bytes());
    file.extend_from_slice(&number.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&file[begin..]);
    crc.update(chunk);
    file.extend_from_slice(&crc.finalize().to_le_bytes());
    file.extend_from_slice(&[0; 4]);
    file.extend_from_slice(chunk);
}
