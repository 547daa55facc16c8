//! The first block of a segment file.

use jobbie_io::BLOCK_BYTES;

use super::bytes::{Get, Put};
use super::{FORMAT_VERSION, footer};

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
        Ok(Self {
            shard: get.u32(),
            store: get.u128(),
            segment: get.u64(),
            segment_bytes: get.u64(),
            recycled: get.u32() != 0,
        })
    }

    /// Offset at which the footer begins; records end before it.
    pub(crate) fn footer_offset(&self) -> u64 {
        footer::offset(self.segment_bytes)
    }
}
