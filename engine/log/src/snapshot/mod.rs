//! Snapshot files: a state at one index, kept beside the segments.
//!
//! A snapshot appears whole or not at all: it is written under a temporary name, flushed, read back,
//! and only then gets its name. The newest [`SNAPSHOTS_KEPT`] stay.
//!
//! [`SNAPSHOTS_KEPT`]: crate::limits::SNAPSHOTS_KEPT

mod format;
mod read;
mod write;

use jobbie_io::Disk;

use crate::entry::{EntryId, Identity};
use crate::error::{Damage, LogFailed};
use crate::limits::SNAPSHOTS_KEPT;

pub(crate) use format::{TEMPORARY_NAME, parse_name};
pub use read::SnapshotReader;
pub use write::SnapshotWriter;

/// What a snapshot is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// Last entry in it.
    pub last: EntryId,
    /// First event not in it.
    pub next_event: u64,
    /// Leader's time of the last entry, in microseconds.
    pub time_us: u64,
    /// Hash of the state.
    pub state_hash: u64,
    /// The members at that point, opaque (at most `MEMBERSHIP_BYTES_MAX` bytes).
    pub membership: Vec<u8>,
}

/// A snapshot file that was refused, or could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It is not what was written.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// It belongs to another shard or store.
    #[error("{file} belongs to somebody else")]
    Foreign {
        /// File name.
        file: String,
    },
    /// More membership bytes than fit.
    #[error("a membership of {bytes} bytes, at most {bytes_max} fit")]
    MembershipTooLarge {
        /// Bytes given.
        bytes: usize,
        /// Bytes that fit.
        bytes_max: usize,
    },
    /// The log has stopped, and with it whoever would need the snapshot.
    #[error(transparent)]
    Log(#[from] LogFailed),
    /// The disk refused. A full disk harms nothing but this snapshot.
    #[error("{action} {file}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// File name.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl SnapshotError {
    /// Whether there was no room for it: it may be tried again later.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Io { source, .. } if crate::error::is_no_space(source))
    }
}

/// The snapshots of one log. One writer at a time.
pub struct Snapshots<D: Disk> {
    disk: D,
    identity: Identity,
}

impl<D: Disk> Clone for Snapshots<D> {
    fn clone(&self) -> Self {
        Self { disk: self.disk.clone(), identity: self.identity }
    }
}

/// The newest sound snapshot, and those that had to be refused on the way to it.
pub struct Latest<D: Disk> {
    /// `None` when there is no sound one.
    pub snapshot: Option<SnapshotReader<D>>,
    /// Newer ones that are damaged or foreign.
    pub refused: Vec<SnapshotError>,
}

impl<D: Disk> Snapshots<D> {
    pub(crate) fn new(disk: D, identity: Identity) -> Self {
        Self { disk, identity }
    }

    /// The snapshots in the directory of `disk`, of the log that `identity` names, without opening the log.
    #[must_use]
    pub fn offline(disk: D, identity: Identity) -> Self {
        Self::new(disk, identity)
    }

    /// Begins a snapshot. What an unfinished one has left is removed.
    ///
    /// # Errors
    /// [`SnapshotError::MembershipTooLarge`] or [`SnapshotError::Io`].
    pub async fn begin(&self, meta: SnapshotMeta) -> Result<SnapshotWriter<D>, SnapshotError> {
        SnapshotWriter::begin(self.disk.clone(), self.identity, meta).await
    }

    /// Gives back the space of a snapshot whose writer was dropped before its end.
    ///
    /// # Errors
    /// [`SnapshotError::Io`].
    pub async fn discard_unfinished(&self) -> Result<(), SnapshotError> {
        write::remove_unfinished(&self.disk).await
    }

    /// Removes snapshots that were refused as damaged, so that they do not count among those kept.
    ///
    /// # Errors
    /// [`SnapshotError::Io`].
    pub async fn discard_damaged(&self, refused: &[SnapshotError]) -> Result<(), SnapshotError> {
        for error in refused {
            if let SnapshotError::Damaged(Damage { file, .. }) = error {
                self.disk.remove(file).await.map_err(io("remove", file))?;
            }
        }
        Ok(())
    }

    /// Opens the newest snapshot that is sound from beginning to end. All of it has been read and checked.
    ///
    /// # Errors
    /// Only [`SnapshotError::Io`]; damaged ones are passed over.
    pub async fn latest(&self) -> Result<Latest<D>, SnapshotError> {
        let mut refused = Vec::new();
        for name in self.names().await?.into_iter().rev() {
            match self.open(&name).await {
                Ok(snapshot) => return Ok(Latest { snapshot: Some(snapshot), refused }),
                Err(error @ SnapshotError::Io { .. }) => return Err(error),
                Err(error) => refused.push(error),
            }
        }
        Ok(Latest { snapshot: None, refused })
    }

    /// Last entry of the oldest snapshot, when there are as many as are kept.
    ///
    /// # Errors
    /// [`SnapshotError::Io`].
    pub async fn oldest_of_enough(&self) -> Result<Option<EntryId>, SnapshotError> {
        let names = self.names().await?;
        let oldest = names.first().filter(|_| names.len() >= SNAPSHOTS_KEPT);
        Ok(oldest.and_then(|name| parse_name(name)))
    }

    /// Opens the finished snapshot `name`. All of it has been read and checked.
    ///
    /// # Errors
    /// When it is damaged, foreign or cannot be read.
    pub async fn open(&self, name: &str) -> Result<SnapshotReader<D>, SnapshotError> {
        let mut reader = SnapshotReader::open(&self.disk, &self.identity, name).await?;
        while reader.next_chunk().await?.is_some() {}
        SnapshotReader::open(&self.disk, &self.identity, name).await
    }

    /// Names of all finished snapshots, oldest first.
    ///
    /// # Errors
    /// [`SnapshotError::Io`].
    pub async fn names(&self) -> Result<Vec<String>, SnapshotError> {
        let files = self.disk.list().await;
        let files = files.map_err(io("list the directory of", "snapshots"))?;
        // Fixed-width numbers, so that the order of the names is that of the indexes.
        Ok(files
            .into_iter()
            .map(|file| file.name)
            .filter(|name| parse_name(name).is_some())
            .collect())
    }
}

fn io(action: &'static str, file: &str) -> impl FnOnce(std::io::Error) -> SnapshotError {
    let file = file.to_owned();
    move |source| SnapshotError::Io { action, file, source }
}
