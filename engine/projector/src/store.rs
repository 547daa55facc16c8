//! What was folded, to the file; and the small tables, from it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jobbie_proto::event::BackoffKind;
use jobbie_proto::reply::JobState;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Statement, params};

use crate::error::{Error, Result};
use crate::fold::{Definition, Fold, Session, Touched, Watermark};
use crate::projection::Projection;
use crate::record::{self, Record, group, int};
use crate::{purge, text};

/// Minutes kept before the newest.
const MINUTES: u64 = 120;

/// Reads the small tables.
pub(crate) fn load(conn: &Connection, fold: &mut Fold) -> Result<()> {
    let number = |row: &rusqlite::Row<'_>, at: usize| row.get::<_, i64>(at).map(|n| n as u64);
    each(conn, "SELECT shard, idx, event, time, begins FROM watermarks", |row| {
        let (index, event) = (number(row, 1)?, number(row, 2)?);
        let mark = Watermark { index, event, time: number(row, 3)?, begins: number(row, 4)? };
        fold.watermarks.insert(row.get(0)?, mark);
        Ok(())
    })?;
    each(conn, "SELECT name, id FROM queues ORDER BY id", |row| {
        let id = fold.queues.intern(&row.get::<_, String>(0)?);
        if u64::from(id) != number(row, 1)? {
            return Err(Error::Damaged("numbers of queues".into()));
        }
        Ok(())
    })?;
    fold.queues.stored = fold.queues.all().len();
    each(conn, "SELECT shard, session, name, host FROM sessions", |row| {
        let (name, host): (String, String) = (row.get(2)?, row.get(3)?);
        let session = Session { name: name.into(), host: host.into(), extensions: Vec::new() };
        fold.sessions.insert((row.get(0)?, number(row, 1)?), session);
        Ok(())
    })?;
    let extensions = "SELECT shard, session, event, deadline FROM extensions ORDER BY 1, 2, 3";
    each(conn, extensions, |row| {
        let key = (row.get(0)?, number(row, 1)?);
        if let Some(session) = fold.sessions.get_mut(&key) {
            session.extensions.push((number(row, 2)?, number(row, 3)?));
        }
        Ok(())
    })?;
    each(conn, "SELECT shard, session, name, host FROM workers", |row| {
        let host: String = row.get(3)?;
        fold.workers.insert((row.get(0)?, number(row, 1)?, row.get(2)?), host.into());
        Ok(())
    })?;
    each(conn, "SELECT * FROM schedules", |row| {
        let backoff = BackoffKind::from_u8(row.get(6)?);
        let definition = Definition {
            event: number(row, 3)?,
            priority: row.get(4)?,
            max_retries: row.get(5)?,
            backoff: backoff.ok_or_else(|| Error::Damaged("backoff of a schedule".into()))?,
            backoff_base_ms: row.get(7)?,
            backoff_cap_ms: row.get(8)?,
            expire_after_ms: number(row, 9)?,
            limit_key: row.get(10)?,
            payload: row.get(11)?,
            tags: row.get(12)?,
        };
        fold.schedules.insert((row.get(0)?, row.get(1)?, row.get(2)?), definition);
        Ok(())
    })
}

fn each(
    conn: &Connection,
    sql: &str,
    mut take: impl FnMut(&rusqlite::Row<'_>) -> Result<()>,
) -> Result<()> {
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        take(row)?;
    }
    Ok(())
}

/// Jobs that a queue has more or less of in a state.
pub(crate) type Counts = BTreeMap<(u32, u8), i64>;

pub(crate) fn count(counts: &mut Counts, (queue, state): (u32, JobState), by: i64) {
    *counts.entry((queue, state as u8)).or_default() += by;
}

pub(crate) fn write_counts(conn: &Connection, counts: &Counts) -> Result<()> {
    let more = "INSERT INTO counts (queue, state, jobs) VALUES (?, ?, ?)
        ON CONFLICT (queue, state) DO UPDATE SET jobs = jobs + excluded.jobs";
    let mut more = conn.prepare_cached(more)?;
    let mut none =
        conn.prepare_cached("DELETE FROM counts WHERE queue = ? AND state = ? AND jobs = 0")?;
    for ((queue, state), by) in counts.iter().filter(|(_, by)| **by != 0) {
        more.execute(params![queue, state, by])?;
        if *by < 0 {
            none.execute(params![queue, state])?;
        }
    }
    Ok(())
}

/// Writes what was folded, in one transaction.
pub(crate) fn commit(projection: &mut Projection) -> Result<()> {
    {
        let Projection { conn, fold, .. } = &*projection;
        let tx = conn.unchecked_transaction()?;
        write_queues(conn, fold)?;
        write_jobs(conn, fold)?;
        write_errors(conn, fold)?;
        write_journal(conn, fold)?;
        write_minutes(conn, fold)?;
        write_sessions(conn, fold)?;
        write_schedules(conn, fold)?;
        let mark = "INSERT OR REPLACE INTO watermarks VALUES (?, ?, ?, ?, ?)";
        let mut mark_statement = conn.prepare_cached(mark)?;
        for (shard, mark) in &fold.watermarks {
            let Watermark { index, event, time, begins } = *mark;
            let mark = [index, event, time, begins].map(int);
            mark_statement.execute(params![shard, mark[0], mark[1], mark[2], mark[3]])?;
        }
        if !projection.options.bulk {
            purge::step(projection)?;
        }
        tx.commit()?;
    }
    if !projection.options.bulk {
        projection.trimmed = false;
    }
    let fold = &mut projection.fold;
    fold.queues.stored = fold.queues.all().len();
    fold.jobs.clear();
    fold.errors.clear();
    fold.journal.clear();
    fold.minutes.clear();
    fold.changed_sessions.clear();
    fold.changed_workers.clear();
    fold.changed_schedules.clear();
    (fold.events, fold.bytes) = (0, 0);
    Ok(())
}

/// Forgets some of what is old; whether there may be more.
pub(crate) fn forget_old(projection: &mut Projection) -> Result<bool> {
    let tx = projection.conn.unchecked_transaction()?;
    let more = purge::step(projection)?;
    tx.commit()?;
    Ok(more)
}

fn write_queues(conn: &Connection, fold: &Fold) -> Result<()> {
    let mut insert = conn.prepare_cached("INSERT INTO queues (id, name) VALUES (?, ?)")?;
    for (id, name) in fold.queues.all().iter().enumerate().skip(fold.queues.stored) {
        insert.execute(params![id as i64, &**name])?;
    }
    Ok(())
}

fn write_jobs(conn: &Connection, fold: &Fold) -> Result<()> {
    let mut counts = Counts::new();
    let marks = text::marks(conn)?;
    let mut insert = conn.prepare_cached(&record::insert_sql())?;
    let mut updates: HashMap<u16, (String, Vec<usize>)> = HashMap::new();
    for Touched { record, changed, stored, gone } in fold.jobs.sorted() {
        let key = record.key;
        if let Some(was) = stored {
            count(&mut counts, *was, -1);
        }
        if !gone {
            count(&mut counts, (record.queue, record.state), 1);
        }
        match (stored, gone) {
            (None, true) => {}
            (None, false) => {
                insert_job(&mut insert, record)?;
                put_tags(conn, key, &record.tags)?;
            }
            (Some(_), true) => purge::remove(conn, key, record.errors > 0, text::has(&marks, key))?,
            (Some(_), false) if *changed == 0 => {}
            (Some(_), false) => {
                if changed & group::TAGS != 0 {
                    drop_tags(conn, key)?;
                }
                let (sql, columns) =
                    updates.entry(*changed).or_insert_with(|| record::update_sql(*changed));
                update(conn, sql, columns, record)?;
                if changed & group::PAYLOAD != 0 && text::has(&marks, key) {
                    text::again(conn, key)?;
                }
            }
        }
    }
    write_counts(conn, &counts)
}

/// What most rows do not have is not bound: it is NULL.
fn insert_job(insert: &mut Statement<'_>, record: &Record) -> Result<()> {
    const NULL: ToSqlOutput<'_> = ToSqlOutput::Borrowed(ValueRef::Null);
    insert.clear_bindings();
    for column in 0..record::COLUMNS.len() {
        let is_rare = (record::RARE_FROM..record::LARGE_FROM).contains(&column);
        if is_rare && record.rare.is_none() {
            continue;
        }
        let value = record.value(column);
        if value != NULL && value != ToSqlOutput::Owned(Value::Null) {
            insert.raw_bind_parameter(column + 1, value)?;
        }
    }
    insert.raw_execute()?;
    Ok(())
}

fn update(conn: &Connection, sql: &str, columns: &[usize], record: &Record) -> Result<()> {
    let mut statement = conn.prepare_cached(sql)?;
    for (at, column) in columns.iter().enumerate() {
        statement.raw_bind_parameter(at + 1, record.value(*column))?;
    }
    statement.raw_bind_parameter(columns.len() + 1, record.key)?;
    let changed = statement.raw_execute()?;
    if changed == 1 { Ok(()) } else { Err(Error::Damaged(format!("row {} is gone", record.key))) }
}

/// Tags whose values are texts, of those that a client gave as a JSON object.
fn texts(tags: &[u8]) -> Vec<(String, String)> {
    if tags.is_empty() {
        return Vec::new();
    }
    let Ok(serde_json::Value::Object(tags)) = serde_json::from_slice(tags) else {
        return Vec::new();
    };
    let text = |(tag, value)| match value {
        serde_json::Value::String(value) => Some((tag, value)),
        _ => None,
    };
    tags.into_iter().filter_map(text).collect()
}

fn put_tags(conn: &Connection, key: i64, tags: &[u8]) -> Result<()> {
    for (tag, value) in texts(tags) {
        let sql = "INSERT OR IGNORE INTO tags (tag, value, job) VALUES (?, ?, ?)";
        conn.prepare_cached(sql)?.execute(params![tag, value, key])?;
    }
    Ok(())
}

/// The stored row still has the tags whose rows go.
pub(crate) fn drop_tags(conn: &Connection, key: i64) -> Result<()> {
    let mut stored = conn.prepare_cached("SELECT tags FROM jobs WHERE key = ?")?;
    let tags: Option<Vec<u8>> = stored.query_row([key], |row| row.get(0))?;
    for (tag, value) in texts(&tags.unwrap_or_default()) {
        let sql = "DELETE FROM tags WHERE tag = ? AND value = ? AND job = ?";
        conn.prepare_cached(sql)?.execute(params![tag, value, key])?;
    }
    Ok(())
}

fn write_errors(conn: &Connection, fold: &Fold) -> Result<()> {
    let sql =
        "INSERT INTO errors (job, event, attempt, at, error, backtrace) VALUES (?, ?, ?, ?, ?, ?)";
    let mut insert = conn.prepare_cached(sql)?;
    let there = |job: &i64| fold.jobs.get(*job).is_some_and(|touched| !touched.gone);
    for new in fold.errors.iter().filter(|new| there(&new.job)) {
        let (event, at) = (int(new.event), int(new.at));
        insert.execute(params![new.job, event, new.attempt, at, new.error, new.backtrace])?;
    }
    Ok(())
}

fn write_journal(conn: &Connection, fold: &Fold) -> Result<()> {
    let sql = "INSERT INTO journal (seq, shard, event, time, events) VALUES (?, ?, ?, ?, ?)";
    let mut insert = conn.prepare_cached(sql)?;
    for row in &fold.journal {
        let (seq, event, time) = (int(row.seq), int(row.event), int(row.time));
        insert.execute(params![seq, row.shard, event, time, row.events])?;
    }
    Ok(())
}

fn write_minutes(conn: &Connection, fold: &Fold) -> Result<()> {
    let sql = "INSERT INTO minutes (minute, enqueued, completed, failed) VALUES (?, ?, ?, ?)
        ON CONFLICT (minute) DO UPDATE SET enqueued = enqueued + excluded.enqueued,
        completed = completed + excluded.completed, failed = failed + excluded.failed";
    let mut insert = conn.prepare_cached(sql)?;
    for (minute, counts) in &fold.minutes {
        let [enqueued, completed, failed] = counts.map(int);
        insert.execute(params![int(*minute), enqueued, completed, failed])?;
    }
    let oldest = (fold.time() / 60_000_000).saturating_sub(MINUTES);
    conn.prepare_cached("DELETE FROM minutes WHERE minute < ?")?.execute([int(oldest)])?;
    Ok(())
}

fn write_sessions(conn: &Connection, fold: &Fold) -> Result<()> {
    for (shard, session) in &fold.changed_sessions {
        let known = fold.sessions.get(&(*shard, *session));
        let session = int(*session);
        for table in ["sessions", "extensions"] {
            let sql = format!("DELETE FROM {table} WHERE shard = ? AND session = ?");
            conn.prepare_cached(&sql)?.execute(params![shard, session])?;
        }
        let Some(known) = known else { continue };
        let sql = "INSERT INTO sessions (shard, session, name, host) VALUES (?, ?, ?, ?)";
        conn.prepare_cached(sql)?.execute(params![shard, session, &*known.name, &*known.host])?;
        for (event, deadline) in &known.extensions {
            let sql =
                "INSERT INTO extensions (shard, session, event, deadline) VALUES (?, ?, ?, ?)";
            let row = params![shard, session, int(*event), int(*deadline)];
            conn.prepare_cached(sql)?.execute(row)?;
        }
    }
    for key in &fold.changed_workers {
        let (shard, session, name) = (key.0, int(key.1), &key.2);
        match fold.workers.get(key).map(Arc::as_ref) {
            Some(host) => {
                let sql = "INSERT OR REPLACE INTO workers (shard, session, name, host) VALUES (?, ?, ?, ?)";
                conn.prepare_cached(sql)?.execute(params![shard, session, name, host])?;
            }
            None => {
                let sql = "DELETE FROM workers WHERE shard = ? AND session = ? AND name = ?";
                conn.prepare_cached(sql)?.execute(params![shard, session, name])?;
            }
        }
    }
    Ok(())
}

fn write_schedules(conn: &Connection, fold: &Fold) -> Result<()> {
    for key in &fold.changed_schedules {
        let (shard, queue, name) = key;
        let sql = "DELETE FROM schedules WHERE shard = ? AND queue = ? AND name = ?";
        conn.prepare_cached(sql)?.execute(params![shard, queue, name])?;
        let Some(definition) = fold.schedules.get(key) else { continue };
        let sql = "INSERT INTO schedules VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        conn.prepare_cached(sql)?.execute(params![
            shard,
            queue,
            name,
            int(definition.event),
            definition.priority,
            definition.max_retries,
            definition.backoff as u8,
            definition.backoff_base_ms,
            definition.backoff_cap_ms,
            int(definition.expire_after_ms),
            definition.limit_key,
            definition.payload,
            definition.tags
        ])?;
    }
    Ok(())
}
