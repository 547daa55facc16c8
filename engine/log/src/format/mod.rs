//! The bytes on disk, as `docs/format.md` specifies them: little-endian, fixed width, every
//! structure with a checksum. Nothing here does I/O.

pub(crate) mod bytes;
pub(crate) mod control;
pub(crate) mod footer;
pub(crate) mod header;
pub(crate) mod segment_header;
pub(crate) mod superblock;

/// Version of every structure of the log.
pub const FORMAT_VERSION: u32 = 1;

/// One block, as a file offset.
pub(crate) const BLOCK: u64 = jobbie_io::BLOCK_BYTES as u64;
