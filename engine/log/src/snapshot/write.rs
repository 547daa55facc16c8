//! Writing a snapshot in slices, beside the running shard.

use std::rc::Rc;

use jobbie_io::{AlignedBuf, BLOCK_BYTES, Disk, DiskFile, OpenMode};

use super::format::{
    CHUNK_HEADER_BYTES, TEMPORARY_NAME, Totals, encode_chunk_header, encode_header, encode_trailer,
    finished_name, parse_name,
};
use super::read::SnapshotReader;
use super::{SnapshotError, SnapshotMeta, io};
use crate::entry::Identity;
use crate::limits::{
    MEMBERSHIP_BYTES_MAX, SNAPSHOT_CHUNK_BYTES, SNAPSHOT_READ_PAUSE_NANOS, SNAPSHOT_SYNC_BYTES,
    SNAPSHOTS_KEPT,
};

/// A snapshot being written. Dropped unfinished it counts for nothing.
pub struct SnapshotWriter<D: Disk> {
    disk: D,
    identity: Identity,
    meta: SnapshotMeta,
    file: D::File,
    offset: u64,
    /// The chunk being gathered, its header's room in front.
    chunk: AlignedBuf,
    totals: Totals,
    whole: crc32fast::Hasher,
    unsynced_bytes: u64,
}

impl<D: Disk> SnapshotWriter<D> {
    pub(super) async fn begin(
        disk: D,
        identity: Identity,
        meta: SnapshotMeta,
    ) -> Result<Self, SnapshotError> {
        let bytes = meta.membership.len();
        if bytes > MEMBERSHIP_BYTES_MAX {
            return Err(SnapshotError::MembershipTooLarge {
                bytes,
                bytes_max: MEMBERSHIP_BYTES_MAX,
            });
        }
        remove_unfinished(&disk).await?;
        let file = disk
            .open(TEMPORARY_NAME, OpenMode::Create)
            .await
            .map_err(io("create", TEMPORARY_NAME))?;
        let mut header = AlignedBuf::with_capacity(BLOCK_BYTES);
        header.extend_from_slice(&encode_header(&identity, &meta));
        let written = file.write_at(Rc::new(header), 0..BLOCK_BYTES, 0).await;
        written.map_err(io("write", TEMPORARY_NAME))?;
        Ok(Self {
            disk,
            identity,
            meta,
            file,
            offset: BLOCK_BYTES as u64,
            chunk: empty_chunk(),
            totals: Totals::default(),
            whole: crc32fast::Hasher::new(),
            unsynced_bytes: 0,
        })
    }

    /// Adds a part, below 4 GiB, which is read back as such: its length (four bytes), then itself.
    ///
    /// # Errors
    /// As [`SnapshotWriter::write`].
    pub async fn write_part(&mut self, part: &[u8]) -> Result<(), SnapshotError> {
        let len = u32::try_from(part.len()).expect("a part is far below 4 GiB");
        self.write(&len.to_le_bytes()).await?;
        self.write(part).await
    }

    /// Adds `bytes`, of any length.
    ///
    /// # Errors
    /// [`SnapshotError::Io`]; the snapshot is then lost and to be begun anew.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), SnapshotError> {
        while !bytes.is_empty() {
            let room = CHUNK_HEADER_BYTES + SNAPSHOT_CHUNK_BYTES - self.chunk.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
            if self.chunk.len() == CHUNK_HEADER_BYTES + SNAPSHOT_CHUNK_BYTES {
                self.write_chunk().await?;
            }
        }
        Ok(())
    }

    async fn write_chunk(&mut self) -> Result<(), SnapshotError> {
        let mut chunk = std::mem::replace(&mut self.chunk, empty_chunk());
        let content = &chunk[CHUNK_HEADER_BYTES..];
        let header = encode_chunk_header(self.totals.chunks, content);
        self.whole.update(content);
        self.totals.chunks += 1;
        self.totals.bytes += content.len() as u64;
        chunk[..CHUNK_HEADER_BYTES].copy_from_slice(&header);
        self.put(chunk).await?;
        if self.unsynced_bytes >= SNAPSHOT_SYNC_BYTES {
            // In small pieces, so that the log never waits behind one great flush.
            self.file.sync_data().await.map_err(io("flush", TEMPORARY_NAME))?;
            self.unsynced_bytes = 0;
        }
        Ok(())
    }

    async fn put(&mut self, bytes: AlignedBuf) -> Result<(), SnapshotError> {
        let len = bytes.len();
        let written = self.file.write_at(Rc::new(bytes), 0..len, self.offset).await;
        written.map_err(io("write", TEMPORARY_NAME))?;
        self.offset += len as u64;
        self.unsynced_bytes += len as u64;
        Ok(())
    }

    /// Ends the snapshot: flushed, read back and compared, given its name. From here on it counts,
    /// and the oldest beyond the number kept is removed.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`] when what is read back is not what was written.
    pub async fn finish(mut self) -> Result<SnapshotMeta, SnapshotError> {
        if self.chunk.len() > CHUNK_HEADER_BYTES {
            self.write_chunk().await?;
        }
        self.totals.checksum = self.whole.clone().finalize();
        let mut trailer = AlignedBuf::with_capacity(BLOCK_BYTES);
        trailer.extend_from_slice(&encode_trailer(&self.totals));
        self.put(trailer).await?;
        self.file.sync_all().await.map_err(io("flush", TEMPORARY_NAME))?;
        let mut back = SnapshotReader::open(&self.disk, &self.identity, TEMPORARY_NAME).await?;
        while back.next_chunk().await?.is_some() {
            // It comes from memory, without waiting: the log must have its turn in between.
            self.disk.sleep(SNAPSHOT_READ_PAUSE_NANOS).await;
        }
        let name = finished_name(self.meta.last);
        self.disk.rename(TEMPORARY_NAME, &name).await.map_err(io("rename", TEMPORARY_NAME))?;
        self.disk.sync_dir().await.map_err(io("flush the directory of", &name))?;
        self.remove_old(&name).await?;
        Ok(self.meta)
    }

    async fn remove_old(&self, newest: &str) -> Result<(), SnapshotError> {
        let files = self.disk.list().await.map_err(io("list the directory of", newest))?;
        let names: Vec<String> = files
            .into_iter()
            .map(|file| file.name)
            .filter(|name| parse_name(name).is_some())
            .collect();
        let old = names.len().saturating_sub(SNAPSHOTS_KEPT);
        for name in names.iter().take(old).filter(|name| *name != newest) {
            self.disk.remove(name).await.map_err(io("remove", name))?;
        }
        self.disk.sync_dir().await.map_err(io("flush the directory of", newest))
    }
}

/// Removes what a dropped writer has left, if anything.
pub(super) async fn remove_unfinished<D: Disk>(disk: &D) -> Result<(), SnapshotError> {
    match disk.remove(TEMPORARY_NAME).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io("remove", TEMPORARY_NAME)(error))
        }
        _ => Ok(()),
    }
}

fn empty_chunk() -> AlignedBuf {
    let mut chunk = AlignedBuf::with_capacity(CHUNK_HEADER_BYTES + SNAPSHOT_CHUNK_BYTES);
    chunk.resize(CHUNK_HEADER_BYTES);
    chunk
}
