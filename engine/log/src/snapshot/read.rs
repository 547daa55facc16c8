//! Reading a snapshot chunk by chunk.

use jobbie_io::{BLOCK_BYTES, Disk, DiskFile, OpenMode};

use super::format::{
    CHUNK_HEADER_BYTES, Part, TRAILER_BYTES, Totals, check_chunk, decode_header, decode_part,
    decode_trailer,
};
use super::{SnapshotError, SnapshotMeta, io};
use crate::entry::Identity;
use crate::error::Damage;
use crate::window::Window;

/// A snapshot being read, from the front.
pub struct SnapshotReader<D: Disk> {
    name: String,
    meta: SnapshotMeta,
    window: Window<D::File>,
    file_bytes: u64,
    offset: u64,
    totals: Totals,
    whole: crc32fast::Hasher,
    ended: bool,
    /// Read and not yet given out by [`SnapshotReader::next_part`].
    parts: Vec<u8>,
}

impl<D: Disk> SnapshotReader<D> {
    pub(super) async fn open(
        disk: &D,
        identity: &Identity,
        name: &str,
    ) -> Result<Self, SnapshotError> {
        let file = disk.open(name, OpenMode::Read).await.map_err(io("open", name))?;
        let file_bytes = file.len().await.map_err(io("measure", name))?;
        let mut window = Window::new(file);
        let block = window.get(0, BLOCK_BYTES).await.map_err(io("read", name))?;
        let (shard, cluster, meta) = decode_header(block).map_err(|found| {
            let expected = "the header of a snapshot".into();
            Damage { file: name.to_owned(), offset: 0, expected, found }
        })?;
        if (shard, cluster) != (identity.shard, identity.cluster) {
            return Err(SnapshotError::Foreign { file: name.to_owned() });
        }
        Ok(Self {
            name: name.to_owned(),
            meta,
            window,
            file_bytes,
            offset: BLOCK_BYTES as u64,
            totals: Totals::default(),
            whole: crc32fast::Hasher::new(),
            ended: false,
            parts: Vec::new(),
        })
    }

    /// What it is of.
    #[must_use]
    pub fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    /// Length of the file, in bytes.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The next of the parts that were given to [`SnapshotWriter::write_part`], `None` after the last.
    ///
    /// [`SnapshotWriter::write_part`]: super::SnapshotWriter::write_part
    ///
    /// # Errors
    /// As [`SnapshotReader::next_chunk`].
    async fn next_part(&mut self) -> Result<Option<Vec<u8>>, SnapshotError> {
        loop {
            if let Some(part) = self.take_part() {
                return Ok(Some(part));
            }
            let offset = self.offset;
            match self.next_chunk().await? {
                Some(chunk) => self.parts.extend_from_slice(&chunk),
                None if self.parts.is_empty() => return Ok(None),
                None => {
                    let found = format!("{} bytes behind the last one", self.parts.len());
                    let (file, expected) = (self.name.clone(), "a whole part".into());
                    return Err(Damage { file, offset, expected, found }.into());
                }
            }
        }
    }

    /// All parts that are left.
    ///
    /// # Errors
    /// As [`SnapshotReader::next_chunk`].
    pub async fn parts(&mut self) -> Result<Vec<Vec<u8>>, SnapshotError> {
        let mut parts = Vec::new();
        while let Some(part) = self.next_part().await? {
            parts.push(part);
        }
        Ok(parts)
    }

    fn take_part(&mut self) -> Option<Vec<u8>> {
        let (len, rest) = self.parts.split_first_chunk::<4>()?;
        let part = rest.get(..u32::from_le_bytes(*len) as usize)?.to_vec();
        self.parts.drain(..4 + part.len());
        Some(part)
    }

    /// The next piece of the file, `None` after the last. The end is checked against all that was read.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`] naming the offset, or [`SnapshotError::Io`].
    pub async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, SnapshotError> {
        if self.ended {
            return Ok(None);
        }
        let (offset, name) = (self.offset, &self.name);
        let damage = |expected: &str, found: String| {
            let expected = expected.to_owned();
            SnapshotError::Damaged(Damage { file: name.clone(), offset, expected, found })
        };
        let bytes = self.window.get(offset, TRAILER_BYTES).await.map_err(io("read", name))?;
        let part =
            decode_part(bytes, self.totals.chunks).map_err(|found| damage("a chunk", found))?;
        let Part::Chunk { bytes: len } = part else {
            let found = decode_trailer(bytes);
            let expected = Totals { checksum: self.whole.clone().finalize(), ..self.totals };
            if found != Some(expected) || offset + TRAILER_BYTES as u64 != self.file_bytes {
                return Err(damage(
                    "the end of the snapshot",
                    format!("{found:?} at {offset} of {}", self.file_bytes),
                ));
            }
            self.ended = true;
            return Ok(None);
        };
        let len = CHUNK_HEADER_BYTES + len;
        let bytes = self.window.get(offset, len).await.map_err(io("read", name))?;
        let Some(bytes) = bytes.get(..len) else {
            return Err(damage("a whole chunk", "the end of the file".into()));
        };
        let (header, chunk) = bytes.split_at(CHUNK_HEADER_BYTES);
        check_chunk(header, chunk).map_err(|found| damage("a sound chunk", found))?;
        self.whole.update(chunk);
        self.totals.chunks += 1;
        self.totals.bytes += chunk.len() as u64;
        self.offset += len as u64;
        Ok(Some(chunk.to_vec()))
    }
}
