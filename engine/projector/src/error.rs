//! What may go wrong.

use jobbie_proto::ShardId;
use jobbie_proto::event::codec::DecodeError;
use rusqlite::ErrorCode;

/// Why a read model cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file was written by a release with other tables: delete it and begin anew.
    #[error("read model has schema {found}, this release has {wanted}")]
    Schema {
        /// Its schema version.
        found: i64,
        /// That of this release.
        wanted: i64,
    },
    /// The file is damaged: delete it and begin anew.
    #[error("read model is damaged: {0}")]
    Damaged(String),
    /// A query was ended by [`Reader::interrupt_handle`](crate::reader::Reader::interrupt_handle).
    #[error("query was interrupted")]
    Interrupted,
    /// The database failed otherwise: the disk is full, the file cannot be opened, …
    #[error("read model database: {0}")]
    Database(rusqlite::Error),
    /// A file could not be renamed or synced.
    #[error("read model file: {0}")]
    Io(#[from] std::io::Error),
    /// An entry does not decode.
    #[error("entry {index} of shard {shard}: {source}")]
    Entry {
        /// Its shard.
        shard: ShardId,
        /// Its index.
        index: u64,
        /// Why.
        source: DecodeError,
    },
    /// Entries do not follow each other: one was left out.
    #[error("shard {shard}: entry {index} begins with event {found}, {wanted} comes next")]
    Gap {
        /// The shard.
        shard: ShardId,
        /// The entry.
        index: u64,
        /// The number of its first event.
        found: u64,
        /// The number that comes next.
        wanted: u64,
    },
}

impl Error {
    /// Whether another process has the file.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        let Self::Database(error) = self else { return false };
        error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
    }

    /// Whether the file is to be deleted and made anew.
    #[must_use]
    pub fn wants_rebuild(&self) -> bool {
        matches!(self, Self::Schema { .. } | Self::Damaged(_))
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged(error.to_string())
            }
            Some(ErrorCode::OperationInterrupted) => Self::Interrupted,
            _ => match error {
                // What is stored is not what was ever written.
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..) => Self::Damaged(error.to_string()),
                other => Self::Database(other),
            },
        }
    }
}

/// What comes of it.
pub type Result<T, E = Error> = std::result::Result<T, E>;
