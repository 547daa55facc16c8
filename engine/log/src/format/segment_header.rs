//! The first block of a segment file.

use jobbie_io::BLOCK_BYTES;

use super::bytes::{Get, Put};
use super::{FORMAT_VERSION, footer};
use crate::limits::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};

const MAGIC: [u8; 8] = *b"jobbieLS";
const CHECKSUM_AT: usize = 60;

/// Says which segment of which log a file is. Written before the file gets its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) shard: u32,
    pub(crate) store: u128,
    pub(crate) segment: u64,
    pub(crate) segment_bytes: u64,
    /// The file held records before, so bytes that are not zero mean nothing by themselves.
    pub(crate) recycled: bool,
}

impl SegmentHeader {
    pub(crate) fn encode(&self, out: &mut [u8]) {
        let out = &mut out[..BLOCK_BYTES];
        out.fill(0);
        let mut put = Put::new(out);
        put.bytes(&MAGIC).u32(FORMAT_VERSION).u32(self.shard).u128(self.store);
        put.u64(self.segment).u64(self.segment_bytes).u32(u32::from(self.recycled));
        let checksum = crc32fast::hash(&out[..CHECKSUM_AT]);
        out[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&checksum.to_le_bytes());
    }

    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let Some(bytes) = bytes.get(..CHECKSUM_AT + 4) else {
            return Err("shorter than a segment header".into());
        };
        if bytes[..8] != MAGIC {
            return Err(format!("magic {:02x?}", &bytes[..8]));
        }
        let stored = Get::new(&bytes[CHECKSUM_AT..]).u32();
        let computed = crc32fast::hash(&bytes[..CHECKSUM_AT]);
        if stored != computed {
            return Err(format!("header checksum {stored:08x}, computed {computed:08x}"));
        }
        let mut get = Get::new(&bytes[8..]);
        let version = get.u32();
        if version != FORMAT_VERSION {
            return Err(format!("format version {version}"));
        }
        let header = Self {
            shard: get.u32(),
            store: get.u128(),
            segment: get.u64(),
            segment_bytes: get.u64(),
            recycled: get.u32() != 0,
        };
        let (bytes, lengths) = (header.segment_bytes, SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX);
        if !lengths.contains(&bytes) || !bytes.is_multiple_of(SEGMENT_BYTES_MIN) {
            return Err(format!("a segment of {bytes} bytes"));
        }
        Ok(header)
    }

    /// Offset at which the footer begins; records end before it.
    pub(crate) fn footer_offset(&self) -> u64 {
        footer::offset(self.segment_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(segment_bytes: u64) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        let (shard, store, segment) = (1, 2 << 64, 3);
        SegmentHeader { shard, store, segment, segment_bytes, recycled: true }.encode(&mut block);
        block
    }

    #[test]
    fn every_bit_of_the_block_is_noticed_or_means_nothing() {
        let block = encoded(SEGMENT_BYTES_MIN);
        let header = SegmentHeader::decode(&block).unwrap();
        for bit in 0..BLOCK_BYTES * 8 {
            let mut damaged = block;
            damaged[bit / 8] ^= 1 << (bit % 8);
            let got = SegmentHeader::decode(&damaged).ok();
            assert_eq!(got, (bit / 8 >= CHECKSUM_AT + 4).then_some(header), "bit {bit}");
        }
    }

    #[test]
    fn a_length_that_no_segment_has_is_refused() {
        let lengths = [0, 1, 4096, SEGMENT_BYTES_MIN + 4096, 2 * SEGMENT_BYTES_MAX, u64::MAX];
        for segment_bytes in lengths {
            assert!(SegmentHeader::decode(&encoded(segment_bytes)).is_err(), "{segment_bytes}");
        }
    }
}
