//! Finding the logs in a data directory, and reading one through without touching it.

use std::path::{Path, PathBuf};

use jobbie_io::UringDisk;
use jobbie_log::{Create, Entry, Log, LogConfig, Opened, SnapshotError, SnapshotReader, identify};

use crate::error::ReplayError;
use crate::overlay::Overlay;

/// The file that every log's directory has.
const SUPERBLOCK: &str = "superblock";
/// Bodies read at once, in bytes.
const READ_BYTES: usize = 8 << 20;

/// The directories of the logs at or below `dir`, in order of name: the directory itself, its folders, or theirs.
pub(crate) fn logs(dir: &Path) -> Result<Vec<PathBuf>, ReplayError> {
    let mut level = vec![dir.to_owned()];
    for _ in 0..3 {
        let found: Vec<_> = level.iter().filter(|d| d.join(SUPERBLOCK).exists()).cloned().collect();
        if !found.is_empty() {
            return Ok(found);
        }
        let mut below = Vec::new();
        for parent in &level {
            let failed = |source| ReplayError::Dir { dir: parent.clone(), source };
            for entry in std::fs::read_dir(parent).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                if path.is_dir() {
                    below.push(path);
                }
            }
        }
        below.sort();
        level = below;
    }
    Err(ReplayError::NoData { dir: dir.to_owned() })
}

/// A log opened to be read. Its driver is not run, and what opening repairs is repaired in memory only.
pub(crate) struct Reading {
    dir: PathBuf,
    pub(crate) shard: u32,
    pub(crate) is_torn: bool,
    log: Log<Overlay<UringDisk>>,
}

impl Reading {
    pub(crate) async fn open(dir: &Path) -> Result<Self, ReplayError> {
        let dir = dir.to_owned();
        let disk = UringDisk::open(&dir)
            .map_err(|source| ReplayError::Dir { dir: dir.clone(), source })?;
        let open_failed = |source| ReplayError::Open { dir: dir.clone(), source: Box::new(source) };
        let disk = Overlay::new(disk);
        let identity = identify(&disk).await.map_err(open_failed)?;
        let config = LogConfig { verify_sealed: true, ..LogConfig::default() };
        let opened = Log::open(disk, config, identity, Create::Never).await;
        let Opened { log, report, .. } = opened.map_err(open_failed)?;
        Ok(Self { shard: identity.shard, is_torn: report.torn.is_some(), log, dir })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Index of the first entry the log still has.
    pub(crate) fn first_index(&self) -> u64 {
        self.log.state().purged.map_or(0, |purged| purged.index + 1)
    }

    /// The newest sound snapshot whose last entry is at most `until`.
    pub(crate) async fn snapshot(
        &self,
        until: u64,
    ) -> Result<Option<SnapshotReader<Overlay<UringDisk>>>, ReplayError> {
        let failed =
            |source| ReplayError::Snapshot { dir: self.dir.clone(), source: Box::new(source) };
        let snapshots = self.log.snapshots();
        for name in snapshots.names().await.map_err(failed)?.iter().rev() {
            match snapshots.open(name).await {
                Ok(snapshot) if snapshot.meta().last.index <= until => return Ok(Some(snapshot)),
                Ok(_) => {}
                Err(SnapshotError::Damaged(damage)) => {
                    eprintln!("{}: {damage}; an older one is used", self.dir.display());
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(None)
    }

    /// Hands every entry from `at` on to `visit`, to the last or until it returns false.
    pub(crate) async fn entries(
        &self,
        mut at: u64,
        mut visit: impl FnMut(&Entry) -> Result<bool, ReplayError>,
    ) -> Result<(), ReplayError> {
        let end = self.log.state().last.map_or(0, |last| last.index + 1);
        while at < end {
            let read = self.log.read(at..end, READ_BYTES).await;
            let read_failed =
                |source| ReplayError::Read { dir: self.dir.clone(), source: Box::new(source) };
            for entry in &read.map_err(read_failed)? {
                if !visit(entry)? {
                    return Ok(());
                }
                at = entry.id.index + 1;
            }
        }
        Ok(())
    }
}
