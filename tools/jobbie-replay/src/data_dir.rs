//! Finding the logs in a data directory, and reading one through without touching it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jobbie_io::UringDisk;
use jobbie_log::{
    Create, Entry, Log, LogConfig, Opened, SnapshotError, SnapshotMeta, SnapshotReader, identify,
};

use crate::error::ReplayError;
use crate::overlay::Overlay;
use crate::running::is_running;

/// The file that every log's directory has.
const SUPERBLOCK: &str = "superblock";
/// Bodies read at once, in bytes.
const READ_BYTES: usize = 8 << 20;
/// How often a log is opened anew because a running server has let go of a file.
const TRIES_MAX: u32 = 10;

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
    /// Whether the end is torn, as a crash leaves it. Not said while a server runs: that may be writing just there.
    pub(crate) is_torn: bool,
    log: Log<Overlay<UringDisk>>,
}

impl Reading {
    /// Opens the log in `dir` as it is now. A server may be at work in it, and goes on.
    pub(crate) async fn open(dir: &Path) -> Result<Self, ReplayError> {
        again(dir, async || {
            let disk = disk(dir).await?;
            let failed = |source| ReplayError::Open { dir: dir.into(), source: Box::new(source) };
            let identity = identify(&disk).await.map_err(failed)?;
            let config = LogConfig { verify_sealed: true, ..LogConfig::default() };
            let opened = Log::open(disk, config, identity, Create::Never).await;
            let Opened { log, report, .. } = opened.map_err(failed)?;
            let is_torn = report.torn.is_some() && !is_running(dir);
            Ok(Self { shard: identity.shard, is_torn, log, dir: dir.to_owned() })
        })
        .await
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Index of the first entry the log still has.
    pub(crate) fn first_index(&self) -> u64 {
        self.log.state().purged.map_or(0, |purged| purged.index + 1)
    }

    /// Index behind the last entry.
    pub(crate) fn end_index(&self) -> u64 {
        self.log.state().last.map_or(0, |last| last.index + 1)
    }

    /// The newest sound snapshot that `is_wanted`.
    pub(crate) async fn snapshot(
        &self,
        is_wanted: impl Fn(&SnapshotMeta) -> bool,
    ) -> Result<Option<SnapshotReader<Overlay<UringDisk>>>, ReplayError> {
        let failed =
            |source| ReplayError::Snapshot { dir: self.dir.clone(), source: Box::new(source) };
        let snapshots = self.log.snapshots();
        for name in snapshots.names().await.map_err(failed)?.iter().rev() {
            match snapshots.open(name).await {
                Ok(snapshot) if is_wanted(snapshot.meta()) => return Ok(Some(snapshot)),
                Ok(_) => {}
                Err(SnapshotError::Damaged(damage)) => {
                    eprintln!("{}: {damage}; an older one is used", self.dir.display());
                }
                Err(SnapshotError::Io { source, .. }) if self.is_let_go(&source) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(None)
    }

    /// The oldest sound snapshot from which the log can be followed.
    pub(crate) async fn oldest_snapshot(
        &self,
    ) -> Result<Option<SnapshotReader<Overlay<UringDisk>>>, ReplayError> {
        let snapshots = self.log.snapshots();
        let failed =
            |source| ReplayError::Snapshot { dir: self.dir.clone(), source: Box::new(source) };
        for name in snapshots.names().await.map_err(failed)? {
            match snapshots.open(&name).await {
                Ok(found) if found.meta().last.index + 1 >= self.first_index() => {
                    return Ok(Some(found));
                }
                Ok(_) | Err(SnapshotError::Damaged(_)) => {}
                Err(SnapshotError::Io { source, .. }) if self.is_let_go(&source) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(None)
    }

    /// Whether a file is missing because a running server has newer ones.
    fn is_let_go(&self, error: &std::io::Error) -> bool {
        error.kind() == ErrorKind::NotFound && is_running(&self.dir)
    }

    /// The entry that holds `event`, if it is still there.
    pub(crate) async fn entry_of(&self, event: u64) -> Option<Entry> {
        self.log.entry_of_event(event).await.ok()
    }

    /// Hands every entry from `at` on to `visit`, to the last there was when the log was opened, or until it returns
    /// false.
    pub(crate) async fn entries(
        &self,
        mut at: u64,
        mut visit: impl FnMut(&Entry) -> Result<bool, ReplayError>,
    ) -> Result<(), ReplayError> {
        let (end, dir) = (self.end_index(), &self.dir);
        let mut log = self.log.clone();
        let mut tries = 0;
        while at < end {
            let read = match log.read(at..end, READ_BYTES).await {
                Ok(read) => read,
                Err(_) if tries < TRIES_MAX && is_running(dir) => {
                    // A segment was let go, or its file used anew, after the log was opened.
                    tries += 1;
                    let now = Box::pin(Self::open(dir)).await?;
                    let first = now.first_index();
                    if first > at {
                        return Err(ReplayError::Gone { dir: dir.clone(), at, first });
                    }
                    log = now.log;
                    continue;
                }
                Err(source) => {
                    return Err(ReplayError::Read { dir: dir.clone(), source: Box::new(source) });
                }
            };
            for entry in &read {
                if !visit(entry)? {
                    return Ok(());
                }
                at = entry.id.index + 1;
            }
        }
        Ok(())
    }
}

/// The directory of a log as it is now, over which nothing can be changed. While a server runs, what it writes from
/// now on is not seen.
pub(crate) async fn disk(dir: &Path) -> Result<Overlay<UringDisk>, ReplayError> {
    let failed = |source| ReplayError::Dir { dir: dir.to_owned(), source };
    let disk = Overlay::new(UringDisk::open(dir).map_err(failed)?);
    if !is_running(dir) {
        return Ok(disk);
    }
    // The names first: a snapshot among them is of entries that are in the segments by now.
    disk.freeze_names().await.map_err(failed)?;
    let unsealed = jobbie_log::unsealed(&disk).await;
    let unsealed = unsealed
        .map_err(|source| ReplayError::Open { dir: dir.to_owned(), source: Box::new(source) })?;
    for segment in unsealed {
        match segment.has_records {
            false => disk.freeze_empty(&segment.file).await.map_err(failed)?,
            true => disk.freeze(&segment.file).await.map_err(failed)?,
        }
    }
    Ok(disk)
}

/// Tries `what` again while it fails and a server is at work: it may have let go of a file meanwhile.
pub(crate) async fn again<T>(
    dir: &Path,
    what: impl AsyncFn() -> Result<T, ReplayError>,
) -> Result<T, ReplayError> {
    let mut tries = 0;
    loop {
        match what().await {
            Err(_) if tries < TRIES_MAX && is_running(dir) => tries += 1,
            done => return done,
        }
    }
}
