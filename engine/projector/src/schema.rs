//! The tables: see `docs/read-models.md`.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::error::{Error, Result};

/// Rises with every change of the tables or of what is in them.
pub(crate) const VERSION: i64 = 1;
/// Marks the file as ours: "jobb".
pub(crate) const APPLICATION: i64 = 0x6a6f_6262;

const TABLES: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE watermarks (
  shard INTEGER PRIMARY KEY, idx INTEGER NOT NULL, event INTEGER NOT NULL, time INTEGER NOT NULL,
  begins INTEGER NOT NULL);
CREATE TABLE queues (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE jobs (
  key INTEGER PRIMARY KEY,
  created INTEGER NOT NULL, queue INTEGER NOT NULL, state INTEGER NOT NULL,
  priority INTEGER NOT NULL, attempt INTEGER NOT NULL, max_retries INTEGER NOT NULL,
  backoff INTEGER NOT NULL, backoff_base INTEGER NOT NULL, backoff_cap INTEGER NOT NULL,
  record INTEGER NOT NULL,
  worker TEXT, host TEXT, session INTEGER, token INTEGER,
  started INTEGER, lease_expires INTEGER, scheduled INTEGER, expires INTEGER,
  completed INTEGER, failed INTEGER, cancelled INTEGER, errors INTEGER,
  unique_key BLOB, limit_key TEXT, batch BLOB, parent BLOB, chain BLOB, chain_step INTEGER,
  depends_on BLOB, moved_to BLOB, hold_reason TEXT,
  iteration INTEGER, cost INTEGER, max_iterations INTEGER, max_cost INTEGER, iteration_timeout INTEGER,
  planned INTEGER, missing INTEGER, awaits_due INTEGER, leaving TEXT,
  progress BLOB, checkpoint BLOB, result BLOB, tags BLOB, payload BLOB);
CREATE TABLE errors (
  job INTEGER NOT NULL, event INTEGER NOT NULL, attempt INTEGER NOT NULL, at INTEGER NOT NULL,
  error TEXT NOT NULL, backtrace TEXT NOT NULL, PRIMARY KEY (job, event)) WITHOUT ROWID;
CREATE TABLE tags (
  tag TEXT NOT NULL, value TEXT NOT NULL, job INTEGER NOT NULL,
  PRIMARY KEY (tag, value, job)) WITHOUT ROWID;
CREATE TABLE counts (
  queue INTEGER NOT NULL, state INTEGER NOT NULL, jobs INTEGER NOT NULL,
  PRIMARY KEY (queue, state)) WITHOUT ROWID;
CREATE TABLE sessions (
  shard INTEGER NOT NULL, session INTEGER NOT NULL, name TEXT NOT NULL, host TEXT NOT NULL,
  PRIMARY KEY (shard, session)) WITHOUT ROWID;
CREATE TABLE extensions (
  shard INTEGER NOT NULL, session INTEGER NOT NULL, event INTEGER NOT NULL, deadline INTEGER NOT NULL,
  PRIMARY KEY (shard, session, event)) WITHOUT ROWID;
CREATE TABLE workers (
  shard INTEGER NOT NULL, session INTEGER NOT NULL, name TEXT NOT NULL, host TEXT NOT NULL,
  PRIMARY KEY (shard, session, name)) WITHOUT ROWID;
CREATE TABLE schedules (
  shard INTEGER NOT NULL, queue TEXT NOT NULL, name TEXT NOT NULL, event INTEGER NOT NULL,
  priority INTEGER NOT NULL, max_retries INTEGER NOT NULL, backoff INTEGER NOT NULL,
  backoff_base INTEGER NOT NULL, backoff_cap INTEGER NOT NULL, expire_after INTEGER NOT NULL,
  limit_key TEXT NOT NULL, payload BLOB NOT NULL, tags BLOB NOT NULL,
  PRIMARY KEY (shard, queue, name)) WITHOUT ROWID;
CREATE TABLE minutes (
  minute INTEGER PRIMARY KEY, enqueued INTEGER NOT NULL, completed INTEGER NOT NULL, failed INTEGER NOT NULL);
CREATE TABLE journal (
  seq INTEGER PRIMARY KEY, shard INTEGER NOT NULL, event INTEGER NOT NULL, time INTEGER NOT NULL,
  events BLOB NOT NULL);
CREATE TABLE text_marks (shard INTEGER PRIMARY KEY, job INTEGER NOT NULL);
CREATE VIRTUAL TABLE text USING fts5(
  body, content='', contentless_delete=1, tokenize='trigram', detail='none');
";

/// Made after the rows in bulk loads: then each is sorted once.
const INDEXES: &str = "
CREATE INDEX jobs_created ON jobs (created);
CREATE INDEX jobs_queue ON jobs (queue, created);
CREATE INDEX jobs_live ON jobs (state, queue, created) WHERE state <> 5;
CREATE INDEX jobs_completed ON jobs (completed) WHERE completed IS NOT NULL;
CREATE INDEX jobs_started ON jobs (started) WHERE started IS NOT NULL;
CREATE INDEX jobs_scheduled ON jobs (scheduled) WHERE scheduled IS NOT NULL;
CREATE INDEX jobs_expires ON jobs (expires) WHERE expires IS NOT NULL;
CREATE INDEX jobs_failed ON jobs (failed) WHERE failed IS NOT NULL;
CREATE INDEX jobs_priority ON jobs (priority, created) WHERE priority <> 2;
CREATE INDEX jobs_attempt ON jobs (attempt, created) WHERE attempt > 1;
CREATE INDEX jobs_worker ON jobs (worker) WHERE worker IS NOT NULL;
CREATE INDEX jobs_unique ON jobs (unique_key) WHERE unique_key IS NOT NULL;
CREATE INDEX jobs_batch ON jobs (batch) WHERE batch IS NOT NULL;
CREATE INDEX jobs_parent ON jobs (parent) WHERE parent IS NOT NULL;
CREATE INDEX jobs_chain ON jobs (chain) WHERE chain IS NOT NULL;
CREATE INDEX journal_event ON journal (shard, event);
";

/// SQLite keeps what its connections share in memory of this process instead of a mapped file: a page of a mapped file that the disk has
/// no room for kills the process when it is touched. So the file belongs to one process at a time.
const VFS: &str = "unix-excl";

/// Opens the file for the one who writes it, and makes the tables if there are none.
pub(crate) fn open(path: &Path, bulk: bool) -> Result<Connection> {
    let conn = Connection::open_with_flags_and_vfs(path, OpenFlags::default(), VFS)?;
    conn.pragma_update(None, "page_size", 8192)?;
    // The file can be made anew at any time; it only must not hold half a transaction after a crash.
    let (journal, sync) = if bulk { ("OFF", "OFF") } else { ("WAL", "NORMAL") };
    conn.pragma_update_and_check(None, "journal_mode", journal, |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", sync)?;
    conn.pragma_update(None, "cache_size", if bulk { -262_144 } else { -65_536 })?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "wal_autocheckpoint", 16_384)?;
    conn.pragma_update(None, "journal_size_limit", 256 << 20)?;
    conn.busy_timeout(std::time::Duration::from_secs(10))?;
    conn.set_prepared_statement_cache_capacity(128);
    let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if version == 0 && tables == 0 {
        let tx = conn.unchecked_transaction()?;
        conn.execute_batch(TABLES)?;
        conn.pragma_update(None, "application_id", APPLICATION)?;
        if !bulk {
            make_indexes(&conn)?;
        }
        conn.pragma_update(None, "user_version", VERSION)?;
        tx.commit()?;
    } else {
        check_version(version)?;
        if !has_indexes(&conn)? {
            return Err(Error::Damaged("a bulk load was not finished".into()));
        }
        quick_check(&conn)?;
    }
    Ok(conn)
}

fn check_version(found: i64) -> Result<()> {
    let wanted = VERSION;
    if found == wanted { Ok(()) } else { Err(Error::Schema { found, wanted }) }
}

pub(crate) fn make_indexes(conn: &Connection) -> Result<()> {
    Ok(conn.execute_batch(INDEXES)?)
}

fn has_indexes(conn: &Connection) -> Result<bool> {
    let found = "SELECT count(*) FROM sqlite_schema WHERE name = 'journal_event'";
    Ok(conn.query_row(found, [], |row| row.get::<_, i64>(0))? == 1)
}

/// The small tables are looked through: all of it would take minutes for a large file, and whatever else is damaged shows when it
/// is used.
fn quick_check(conn: &Connection) -> Result<()> {
    for table in ["meta", "watermarks", "queues", "counts", "sessions"] {
        let sql = format!("PRAGMA quick_check({table})");
        let said: String = conn.query_row(&sql, [], |row| row.get(0))?;
        if said != "ok" {
            return Err(Error::Damaged(said));
        }
    }
    Ok(())
}

/// Opens the file for one who only reads.
pub(crate) fn open_reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags_and_vfs(path, flags, VFS)?;
    conn.pragma_update(None, "cache_size", -32_768)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    // A file that is cut off while it is mapped would end the process, not the query.
    conn.busy_timeout(std::time::Duration::from_secs(10))?;
    conn.set_prepared_statement_cache_capacity(128);
    check_version(conn.pragma_query_value(None, "user_version", |row| row.get(0))?)?;
    Ok(conn)
}
