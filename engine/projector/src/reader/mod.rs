//! The ones who ask: each has a connection of its own, which never holds up the one who writes.

mod filter;
mod functions;
mod query;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use jobbie_proto::reply::JobState;
use jobbie_proto::{EventSeq, JobId, Micros, ShardId};
use rusqlite::types::Value;
use rusqlite::{Connection, InterruptHandle, OptionalExtension, params};

use crate::error::{Error, Result};
use crate::journal::{JournalEvent, Wanted};
use crate::namespace::Namespace;
use crate::public;
use crate::record::{self, Record, id_of, key_of, shard_of_key};
use crate::row::{ErrorRow, JobRow, Minute};
use crate::schema;
use crate::search::{Cursor, Filter, Page, Search, Sort};
use filter::{Conditions, Sql};
use query::Query;

/// Minutes in one answer.
const MINUTES: u64 = 60;
/// Results of a search at most.
const LIMIT_MAX: u32 = 1000;
/// Journal rows that one question looks at.
const JOURNAL_ROWS: usize = 2000;

/// Reads a read model.
#[derive(Debug)]
pub struct Reader {
    conn: Connection,
    queues: RefCell<HashMap<u32, Arc<str>>>,
}

impl Reader {
    /// Opens the file, which must be there.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(path: &Path) -> Result<Self> {
        let conn = schema::open_reader(path)?;
        functions::add(&conn)?;
        Ok(Self { conn, queues: RefCell::default() })
    }

    /// Ends whatever question is being asked, from another thread: it answers [`Error::Interrupted`].
    #[must_use]
    pub fn interrupt_handle(&self) -> InterruptHandle {
        self.conn.get_interrupt_handle()
    }

    /// A job.
    ///
    /// # Errors
    /// See [`Error`]; as in all questions below.
    pub fn job(&self, id: JobId) -> Result<Option<JobRow>> {
        let snapshot = self.conn.unchecked_transaction()?;
        let row = self.row(key_of(id.shard(), id.seq()))?.filter(|row| row.id == id);
        drop(snapshot);
        Ok(row)
    }

    /// Jobs in the order in which they are named; those that are unknown are left out.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn jobs(&self, ids: &[JobId]) -> Result<Vec<JobRow>> {
        let snapshot = self.conn.unchecked_transaction()?;
        let mut rows = Vec::new();
        for id in ids {
            rows.extend(self.row(key_of(id.shard(), id.seq()))?.filter(|row| row.id == *id));
        }
        drop(snapshot);
        Ok(rows)
    }

    fn row(&self, key: i64) -> Result<Option<JobRow>> {
        let mut statement = self.conn.prepare_cached(&record::select(true, "WHERE key = ?"))?;
        let mut rows = statement.query([key])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let mut record = Record::read(row, true)?;
        if record.state == JobState::Active {
            record.lease_expires = record.lease_expires.max(self.extended(&record)?);
        }
        let queue = self.queue(record.queue)?;
        Ok(Some(record.told(&queue)))
    }

    /// Until when its session has made all its leases longer.
    fn extended(&self, record: &Record) -> Result<u64> {
        let sql =
            "SELECT max(deadline) FROM extensions WHERE shard = ? AND session = ? AND event > ?";
        let shard = shard_of_key(record.key) as i64;
        let lease = params![shard, record.session as i64, record.token as i64];
        let end: Option<i64> = self.conn.prepare_cached(sql)?.query_row(lease, |row| row.get(0))?;
        Ok(end.unwrap_or(0) as u64)
    }

    fn queue(&self, id: u32) -> Result<Arc<str>> {
        if let Some(name) = self.queues.borrow().get(&id) {
            return Ok(Arc::clone(name));
        }
        let mut statement = self.conn.prepare_cached("SELECT name FROM queues WHERE id = ?")?;
        let name: Option<String> = statement.query_row([id], |row| row.get(0)).optional()?;
        let name: Arc<str> =
            name.ok_or_else(|| Error::Damaged(format!("queue {id} has no name")))?.into();
        self.queues.borrow_mut().insert(id, Arc::clone(&name));
        Ok(name)
    }

    /// Errors of a job, the oldest first.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn errors(&self, id: JobId) -> Result<Vec<ErrorRow>> {
        let sql =
            "SELECT event, attempt, error, backtrace, at FROM errors WHERE job = ? ORDER BY event";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([key_of(id.shard(), id.seq())], |row| {
            Ok(ErrorRow {
                id: row.get::<_, i64>(0)? as u64,
                attempt: row.get(1)?,
                error: row.get(2)?,
                backtrace: row.get(3)?,
                at: Micros(row.get::<_, i64>(4)? as u64),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A page of what matches.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn search(&self, search: &Search) -> Result<Page> {
        let snapshot = self.conn.unchecked_transaction()?;
        let query = Query::new(&self.conn, Conditions::of(&self.conn, &search.filter)?)?;
        let (jobs, next) = self.found(&query, search)?;
        let (total, total_is_exact) = query.count(false)?;
        drop(snapshot);
        // What was seen counts, even if counting was ended earlier.
        let total = total.max(jobs.len() as u64 + u64::from(next.is_some()));
        Ok(Page { jobs, total, total_is_exact, next })
    }

    /// The same without counting: a page, and where the next one begins.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn page(&self, search: &Search) -> Result<(Vec<JobRow>, Option<Cursor>)> {
        let snapshot = self.conn.unchecked_transaction()?;
        let query = Query::new(&self.conn, Conditions::of(&self.conn, &search.filter)?)?;
        let found = self.found(&query, search)?;
        drop(snapshot);
        Ok(found)
    }

    fn found(&self, query: &Query<'_>, search: &Search) -> Result<(Vec<JobRow>, Option<Cursor>)> {
        let Search { sort, ascending, limit, cursor, .. } = search;
        let limit = (*limit).clamp(1, LIMIT_MAX) as usize;
        let mut places = query.page(*sort, *ascending, cursor.as_ref(), limit + 1)?;
        let more = places.len() > limit;
        places.truncate(limit);
        let last = places.last().filter(|_| more);
        let next = last.map(|(key, created, job)| Cursor {
            key: *key,
            created: Micros(*created as u64),
            id: id_of(*job, *created as u64),
        });
        let mut jobs = Vec::with_capacity(places.len());
        for (_, _, key) in &places {
            jobs.extend(self.row(*key)?);
        }
        Ok((jobs, next))
    }

    /// Ids of what matches, by their shards and then in the order in which they were made, behind one, at most `limit`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn ids(&self, filter: &Filter, after: Option<JobId>, limit: usize) -> Result<Vec<JobId>> {
        let snapshot = self.conn.unchecked_transaction()?;
        let query = Query::new(&self.conn, Conditions::of(&self.conn, filter)?)?;
        let after = after.map_or(-1, |id| key_of(id.shard(), id.seq()));
        let keys = query.keys(after, limit)?;
        drop(snapshot);
        Ok(keys.into_iter().map(|(key, created)| id_of(key, created as u64)).collect())
    }

    /// How many match, however long that takes.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn count(&self, filter: &Filter) -> Result<u64> {
        let snapshot = self.conn.unchecked_transaction()?;
        let query = Query::new(&self.conn, Conditions::of(&self.conn, filter)?)?;
        let (count, _) = query.count(true)?;
        drop(snapshot);
        Ok(count)
    }

    /// The newest jobs in whose payload, tags or queue name each word is, whatever the case of ASCII letters.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn fulltext(
        &self,
        namespace: &Namespace,
        words: &[String],
        limit: usize,
    ) -> Result<Vec<JobRow>> {
        let snapshot = self.conn.unchecked_transaction()?;
        let filter = Filter { namespace: namespace.clone(), ..Filter::default() };
        let mut conditions = Conditions::of(&self.conn, &filter)?;
        let mut needles = Vec::new();
        for word in words.iter().filter(|word| !word.is_empty()) {
            let queues = self.queues_with(&namespace.prefix(), word)?;
            let mut condition = Sql::new("(", vec![]);
            condition.push(&filter::has("payload", word));
            condition.text.push_str(" OR ");
            condition.push(&filter::has("tags", word));
            if queues.is_empty() {
                needles.push(word.as_str());
            } else {
                let queues: Vec<_> = queues.iter().map(u32::to_string).collect();
                condition.text.push_str(&format!(" OR +queue IN ({})", queues.join(", ")));
            }
            condition.text.push(')');
            conditions.all.push(condition);
        }
        conditions.drivers.extend(filter::by_text(&self.conn, &needles)?);
        let query = Query::new(&self.conn, conditions)?;
        let mut rows = Vec::new();
        for (_, _, key) in query.page(Sort::Created, false, None, limit)? {
            rows.extend(self.row(key)?);
        }
        drop(snapshot);
        Ok(rows)
    }

    /// Queues whose names begin with the prefix of a namespace, with a word in the rest of them.
    fn queues_with(&self, prefix: &str, word: &str) -> Result<Vec<u32>> {
        let sql = "SELECT id FROM queues
            WHERE substr(name, 1, length(?1)) = ?1 AND has_text(substr(name, length(?1) + 1), ?2)";
        let mut statement = self.conn.prepare_cached(sql)?;
        let found = [Value::Text(prefix.into()), Value::Text(word.to_ascii_lowercase())];
        let rows = statement.query_map(rusqlite::params_from_iter(found), |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Public events behind a number, at most `limit` of those wanted, and up to which number was looked: the next question goes on
    /// there. One question looks at a bounded number of entries, so that it may find nothing and yet not be at the end.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn journal(
        &self,
        after_seq: u64,
        limit: usize,
        wanted: &Wanted,
    ) -> Result<(Vec<JournalEvent>, u64)> {
        let snapshot = self.conn.unchecked_transaction()?;
        let after = i64::try_from(after_seq).unwrap_or(i64::MAX);
        // The row that holds it may hold later ones too.
        let from = "SELECT max(seq) FROM journal WHERE seq <= ?";
        let from: Option<i64> =
            self.conn.prepare_cached(from)?.query_row([after], |row| row.get(0))?;
        let sql =
            "SELECT seq, shard, time, events FROM journal WHERE seq >= ? ORDER BY seq LIMIT ?";
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query(params![from.unwrap_or(0), JOURNAL_ROWS as i64])?;
        let (mut found, mut looked, mut count) = (Vec::new(), after_seq, 0);
        while let Some(row) = rows.next()? {
            if found.len() >= limit {
                break;
            }
            count += 1;
            let (seq, time) = (row.get::<_, i64>(0)? as u64, row.get::<_, i64>(2)? as u64);
            let packed = row.get_ref(3)?.as_blob().unwrap_or_default();
            let each = |event: JournalEvent| {
                if event.seq > after_seq {
                    looked = event.seq;
                    if wants(wanted, &event) {
                        found.push(event);
                    }
                }
                found.len() < limit
            };
            public::unpack((seq, ShardId(row.get(1)?), Micros(time)), packed, each)
                .ok_or_else(|| Error::Damaged(format!("journal row {seq}")))?;
        }
        if found.len() < limit && count < JOURNAL_ROWS {
            // At the end: there are no more up to what is folded.
            let sum = "SELECT coalesce(sum(event), 0) FROM watermarks";
            let sum: i64 = self.conn.prepare_cached(sum)?.query_row([], |row| row.get(0))?;
            looked = looked.max(sum as u64 * 2);
        }
        drop(snapshot);
        Ok((found, looked))
    }

    /// The last sixty minutes up to `now`, the oldest first.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn minutes(&self, now: Micros) -> Result<Vec<Minute>> {
        const MICROS: u64 = 60_000_000;
        let last = now.0 / MICROS;
        let first = last.saturating_sub(MINUTES - 1);
        let begins = |minute| Micros(minute * MICROS);
        let mut minutes: Vec<_> = (first..first + MINUTES)
            .map(|minute| Minute { begins: begins(minute), ..Minute::default() })
            .collect();
        let sql = "SELECT minute, enqueued, completed, failed FROM minutes
            WHERE minute >= ? AND minute < ?";
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query([first as i64, (first + MINUTES) as i64])?;
        while let Some(row) = rows.next()? {
            let number = |at| row.get::<_, i64>(at).map(|n| n as u64);
            let minute = &mut minutes[(number(0)? - first) as usize];
            (minute.enqueued, minute.completed, minute.failed) =
                (number(1)?, number(2)?, number(3)?);
        }
        Ok(minutes)
    }

    /// How far each shard is folded: index, event and time of the last entry.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn positions(&self) -> Result<Vec<(ShardId, u64, EventSeq, Micros)>> {
        let sql = "SELECT shard, idx, event, time FROM watermarks ORDER BY shard";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| {
            let number = |at| row.get::<_, i64>(at).map(|n| n as u64);
            Ok((ShardId(row.get(0)?), number(1)?, EventSeq(number(2)?), Micros(number(3)?)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn wants(wanted: &Wanted, event: &JournalEvent) -> bool {
    let Wanted { namespace, queues, jobs, kinds } = wanted;
    namespace.owns(&event.queue)
        && (queues.is_empty() || queues.contains(&event.queue))
        && (jobs.is_empty() || event.job.is_some_and(|job| jobs.contains(&job)))
        && (kinds.is_empty() || kinds.iter().any(|kind| kind == event.kind))
}
