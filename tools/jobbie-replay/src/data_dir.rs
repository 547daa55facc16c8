//! Finding the logs in a data directory, and reading one through without touching it.

use std::path::{Path, PathBuf};

use jobbie_io::UringDisk;
use jobbie_io::runtime::block_on;
use jobbie_log::{Create, Entry, Log, LogConfig, Opened, identify};

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

/// What a log is, as far as reading it needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    pub(crate) shard: u32,
    pub(crate) is_torn: bool,
}

/// Hands every entry of the log in `dir` to `visit`, from the first to the last or until it returns false.
pub(crate) fn read(
    dir: &Path,
    mut visit: impl FnMut(&About, &Entry) -> Result<bool, ReplayError>,
) -> Result<About, ReplayError> {
    block_on(async {
        let disk =
            UringDisk::open(dir).map_err(|source| ReplayError::Dir { dir: dir.into(), source })?;
        let open_failed = |source| ReplayError::Open { dir: dir.into(), source: Box::new(source) };
        let disk = Overlay::new(disk);
        let identity = identify(&disk).await.map_err(open_failed)?;
        // Opening repairs a torn tail, but only in the overlay's memory. Its driver is not run: nothing is written.
        let config = LogConfig { verify_sealed: true, ..LogConfig::default() };
        let Opened { log, report, .. } =
            Log::open(disk, config, identity, Create::Never).await.map_err(open_failed)?;
        let about = About { shard: identity.shard, is_torn: report.torn.is_some() };
        let state = log.state();
        if let Some(purged) = state.purged {
            return Err(ReplayError::Purged { dir: dir.into(), first: purged.index + 1 });
        }
        let end = state.last.map_or(0, |last| last.index + 1);
        let mut at = 0;
        while at < end {
            let read = log.read(at..end, READ_BYTES).await;
            let read_failed =
                |source| ReplayError::Read { dir: dir.into(), source: Box::new(source) };
            let entries = read.map_err(read_failed)?;
            for entry in &entries {
                if !visit(&about, entry)? {
                    return Ok(about);
                }
                at = entry.id.index + 1;
            }
        }
        Ok(about)
    })?
}
