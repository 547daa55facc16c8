//! The text index over payloads and tags. It is slow to write, so it is fed apart, in idle time, and knows how far it is.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use crate::error::Result;
use crate::projection::Projection;
use crate::record::{first_key, int, seq_of_key, shard_of_key};

/// The last job of each shard that is in the index.
pub(crate) type Marks = BTreeMap<u64, u64>;

pub(crate) fn marks(conn: &Connection) -> Result<Marks> {
    let mut statement = conn.prepare_cached("SELECT shard, job FROM text_marks")?;
    let mut rows = statement.query([])?;
    let mut marks = Marks::new();
    while let Some(row) = rows.next()? {
        marks.insert(row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64);
    }
    Ok(marks)
}

pub(crate) fn has(marks: &Marks, key: i64) -> bool {
    marks.get(&shard_of_key(key)).is_some_and(|mark| seq_of_key(key) <= *mark)
}

pub(crate) fn forget(conn: &Connection, key: i64) -> Result<()> {
    conn.prepare_cached("DELETE FROM text WHERE rowid = ?")?.execute([key])?;
    Ok(())
}

fn body(payload: Option<&[u8]>, tags: Option<&[u8]>) -> String {
    let text =
        |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let (mut body, tags) = (text(payload), text(tags));
    if !tags.is_empty() {
        body.push('\n');
        body.push_str(&tags);
    }
    body
}

fn put(conn: &Connection, key: i64, body: &str) -> Result<()> {
    if !body.is_empty() {
        let sql = "INSERT INTO text (rowid, body) VALUES (?, ?)";
        conn.prepare_cached(sql)?.execute(params![key, body])?;
    }
    Ok(())
}

/// The row of a job that is in the index has another payload.
pub(crate) fn again(conn: &Connection, key: i64) -> Result<()> {
    forget(conn, key)?;
    let mut found = conn.prepare_cached("SELECT payload, tags FROM jobs WHERE key = ?")?;
    let text = found.query_row([key], |row| {
        Ok(body(row.get_ref(0)?.as_bytes_or_null()?, row.get_ref(1)?.as_bytes_or_null()?))
    });
    text.optional()?.map_or(Ok(()), |text| put(conn, key, &text))
}

impl Projection {
    /// Takes up to `rows_max` committed jobs into the text index, the oldest first; how many that were: fewer is all. For idle time
    /// after commits.
    ///
    /// # Errors
    /// When the database fails.
    pub fn index_text(&mut self, rows_max: usize) -> Result<usize> {
        let tx = self.conn.unchecked_transaction()?;
        let conn = &self.conn;
        let known = marks(conn)?;
        let mut taken = 0;
        for shard in self.fold.watermarks.keys().map(|shard| u64::from(*shard)) {
            let mark = known.get(&shard).copied().unwrap_or(0);
            let sql = "SELECT key, payload, tags FROM jobs WHERE key > ? AND key < ? ORDER BY key LIMIT ?";
            let mut statement = conn.prepare_cached(sql)?;
            let from = first_key(shard) + int(mark);
            let limit = (rows_max - taken) as i64;
            let mut rows = statement.query([from, first_key(shard + 1), limit])?;
            let mut last = mark;
            while let Some(row) = rows.next()? {
                let key = row.get(0)?;
                let payload = row.get_ref(1)?.as_bytes_or_null().unwrap_or_default();
                let tags = row.get_ref(2)?.as_bytes_or_null().unwrap_or_default();
                put(conn, key, &body(payload, tags))?;
                (last, taken) = (seq_of_key(key), taken + 1);
            }
            if last > mark {
                let sql = "INSERT OR REPLACE INTO text_marks (shard, job) VALUES (?, ?)";
                conn.prepare_cached(sql)?.execute([int(shard), int(last)])?;
            }
        }
        tx.commit()?;
        Ok(taken)
    }
}
