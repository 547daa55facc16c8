//! The one who writes: entries in, rows and watermarks out, in transactions.

use std::fs;
use std::path::{Path, PathBuf};

use jobbie_proto::{EventSeq, Micros, ShardId};
use rusqlite::Connection;

use crate::error::Result;
use crate::fold::{Committed, Fold};
use crate::{schema, store};

/// A commit is due after so many events.
const COMMIT_EVENTS: u64 = 100_000;
/// And in a bulk load after so many.
const BULK_EVENTS: u64 = 400_000;
/// A commit is due after so many bytes of entries.
const COMMIT_BYTES: u64 = 32 << 20;

/// How a projection is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Shards of the node, at least 1: which queues are whose.
    pub shards: u16,
    /// How long completed jobs are kept, in milliseconds of log time; 0 is as long as the log.
    pub retention_ms: u64,
    /// The file is new, and is filled as fast as possible: it cannot be read, and is lost in a crash, until
    /// [`Projection::finish_bulk`].
    pub bulk: bool,
}

/// Folds committed entries into the read model.
#[derive(Debug)]
pub struct Projection {
    pub(crate) conn: Connection,
    pub(crate) fold: Fold,
    pub(crate) options: Options,
    path: PathBuf,
    /// The logs have given up something since the last commit.
    pub(crate) trimmed: bool,
}

impl Projection {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// See [`Error`](crate::Error): when it [wants to be made anew](crate::Error::wants_rebuild), delete it and open it again.
    pub fn open(path: &Path, options: Options) -> Result<Self> {
        assert!(options.shards > 0, "a node without shards");
        let conn = schema::open(path, options.bulk)?;
        let mut fold = Fold::new(options.shards);
        store::load(&conn, &mut fold)?;
        Ok(Self { conn, fold, options, path: path.to_owned(), trimmed: true })
    }

    /// The index of the last entry folded, and the number of the last event: after a reopening, what was committed. Zeros before
    /// the first.
    #[must_use]
    pub fn watermark(&self, shard: ShardId) -> (u64, EventSeq) {
        let mark = self.fold.watermarks.get(&shard.0).copied().unwrap_or_default();
        (mark.index, EventSeq(mark.event))
    }

    /// The newest time of any entry folded.
    #[must_use]
    pub fn time(&self) -> Micros {
        Micros(self.fold.time())
    }

    /// Folds entries, in memory. They come in the order of each shard's log, over all shards in that of (time, shard, index); those
    /// at or below the watermark are left out. Whether a commit is due, so that memory stays bounded.
    ///
    /// # Errors
    /// When an entry does not decode or follow, or the database fails. Part of the entries may be folded then: open it again.
    pub fn apply(&mut self, entries: &[Committed<'_>]) -> Result<bool> {
        for entry in entries {
            self.fold.entry(&self.conn, entry)?;
        }
        let events_max = if self.options.bulk { BULK_EVENTS } else { COMMIT_EVENTS };
        Ok(self.fold.events >= events_max || self.fold.bytes >= COMMIT_BYTES)
    }

    /// The shard's log has given up what is before `first_event`: with the next commit, what ended then is forgotten.
    pub fn log_begins(&mut self, shard: ShardId, first_event: EventSeq) {
        let mark = self.fold.watermarks.entry(shard.0).or_default();
        if first_event.0 > mark.begins {
            mark.begins = first_event.0;
            self.trimmed = true;
            if mark.index == 0 {
                mark.event = mark.event.max(first_event.0 - 1);
            }
        }
    }

    /// Makes everything that was folded durable together with the watermarks, and forgets what is old: up to some ten thousand jobs
    /// at a time, the rest with the next commits.
    ///
    /// # Errors
    /// When the database fails: nothing has changed in the file then, and it may be tried again.
    pub fn commit(&mut self) -> Result<()> {
        store::commit(self)
    }

    /// Ends a bulk load: makes the indexes and puts the file where `to` is, at once. Readers of the one that was there keep it until
    /// they open it again.
    ///
    /// # Errors
    /// When the database or the file system fails: delete the file and begin anew.
    pub fn finish_bulk(mut self, to: &Path) -> Result<Self> {
        self.commit()?;
        schema::make_indexes(&self.conn)?;
        self.options.bulk = false;
        self.trimmed = true;
        while store::forget_old(&mut self)? {}
        let Self { conn, options, path, .. } = self;
        conn.close().map_err(|(_, error)| error)?;
        fs::File::open(&path)?.sync_all()?;
        for rest in ["-wal", "-shm"] {
            let mut name = to.as_os_str().to_owned();
            name.push(rest);
            match fs::remove_file(&name) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error)?,
                _ => {}
            }
        }
        fs::rename(&path, to)?;
        if let Some(folder) = to.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::File::open(folder)?.sync_all()?;
        }
        Self::open(to, options)
    }
}
