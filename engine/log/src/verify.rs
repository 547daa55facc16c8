//! Checking a log that nobody has open.

use jobbie_io::Disk;

use crate::entry::Identity;
use crate::error::{Damage, OpenError};
use crate::format::BLOCK;
use crate::scan::{self, Names, TornTail};
use crate::segment::file_name;
use crate::snapshot::{SnapshotError, Snapshots};

/// A log that would open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Whose log it is.
    pub identity: Identity,
    /// Segments that belong to it.
    pub segments: usize,
    /// Records in them.
    pub records: u64,
    /// Index of the last entry.
    pub last_index: Option<u64>,
    /// A torn tail that opening would cut.
    pub torn: Option<TornTail>,
    /// A damaged copy of the superblock that opening would mend.
    pub superblock: Option<Damage>,
    /// Sound snapshots.
    pub snapshots: usize,
    /// Snapshots that would be refused. What they are of is still in older ones and the log.
    pub damaged_snapshots: Vec<Damage>,
}

/// Reads every record of the log in the directory of `disk` and every snapshot, and changes nothing. Goes by the same code as
/// opening it with [`crate::LogConfig::verify_sealed`].
///
/// # Errors
/// What opening it would say.
pub async fn verify<D: Disk>(disk: &D) -> Result<Verified, OpenError> {
    let files = disk.list().await.map_err(OpenError::io("list the directory"))?;
    let names = Names::sort(&files)?;
    if !names.has_superblock {
        return Err(OpenError::Missing);
    }
    let (identity, superblock) = scan::read_superblock(disk).await?;
    let scanned = scan::scan_segments(disk, identity, names, true).await?;
    let (snapshots, damaged_snapshots) = verify_snapshots(disk, identity).await?;
    Ok(Verified {
        identity,
        segments: scanned.segments.len(),
        records: scanned.segments.iter().map(|segment| segment.records).sum(),
        last_index: scanned.control.last.map(|last| last.index),
        torn: scanned.torn,
        superblock,
        snapshots,
        damaged_snapshots,
    })
}

async fn verify_snapshots<D: Disk>(
    disk: &D,
    identity: Identity,
) -> Result<(usize, Vec<Damage>), OpenError> {
    let snapshots = Snapshots::offline(disk.clone(), identity);
    let (mut sound, mut damaged) = (0, Vec::new());
    for name in snapshots.names().await.map_err(OpenError::snapshot)? {
        match snapshots.open(&name).await {
            Ok(_) => sound += 1,
            Err(SnapshotError::Damaged(damage)) => damaged.push(damage),
            Err(error) => return Err(OpenError::snapshot(error)),
        }
    }
    Ok((sound, damaged))
}

/// Whose log is in the directory of `disk`.
///
/// # Errors
/// When there is none, or its superblock is damaged.
pub async fn identify<D: Disk>(disk: &D) -> Result<Identity, OpenError> {
    let files = disk.list().await.map_err(OpenError::io("list the directory"))?;
    if !Names::sort(&files)?.has_superblock {
        return Err(OpenError::Missing);
    }
    Ok(scan::read_superblock(disk).await?.0)
}

/// A segment that a running server may be writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsealed {
    /// File name.
    pub file: String,
    /// Whether it has any record. If not, nothing in it counts: it is ready for later.
    pub has_records: bool,
}

/// The segments in the directory of `disk` that a running server may be writing, the newest first: those that are
/// ready, and the newest that has a record. Those before it only get a footer, or go.
///
/// # Errors
/// When one cannot be read, or is somebody else's.
pub async fn unsealed<D: Disk>(disk: &D) -> Result<Vec<Unsealed>, OpenError> {
    let files = disk.list().await.map_err(OpenError::io("list the directory"))?;
    let names = Names::sort(&files)?;
    let (identity, _) = scan::read_superblock(disk).await?;
    let mut found = Vec::new();
    for (id, len) in names.segments.iter().rev() {
        let mut file = scan::SegmentFile::open(disk, &identity, *id, *len).await?;
        let has_records = file.header_at(BLOCK).await?.is_some();
        found.push(Unsealed { file: file_name(*id), has_records });
        if has_records {
            break;
        }
    }
    Ok(found)
}
