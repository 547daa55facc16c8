//! Filters as SQL. Everything that a caller gives is bound, never spliced.

use jobbie_proto::reply::JobState;
use jobbie_proto::{JobId, Micros};
use rusqlite::Connection;
use rusqlite::types::Value;

use super::functions::matches;
use crate::error::Result;
use crate::namespace::Namespace;
use crate::record::{first_key, id_bytes, int};
use crate::search::{Bounds, Filter};
use crate::text;

/// Rows behind the text index that are looked through, the newest.
const BEHIND_MAX: i64 = 50_000;
/// Trigrams of a needle that are looked up.
const TRIGRAMS_MAX: usize = 32;

/// Part of a query and its parameters.
#[derive(Clone, Debug, Default)]
pub(super) struct Sql {
    pub(super) text: String,
    pub(super) values: Vec<Value>,
}

impl Sql {
    pub(super) fn new(text: impl Into<String>, values: Vec<Value>) -> Self {
        Self { text: text.into(), values }
    }

    pub(super) fn push(&mut self, other: &Self) {
        self.text.push_str(&other.text);
        self.values.extend_from_slice(&other.values);
    }
}

/// A filter, ready to be asked.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    /// What must be true of a row. Columns have a unary plus, so that SQLite does not choose their indexes by itself.
    pub(super) all: Vec<Sql>,
    /// Queries that give the keys of all rows that match one condition, by an index; how many they are is to be seen.
    pub(super) drivers: Vec<Sql>,
    /// Any of these queues, in order; `None` is all.
    pub(super) queues: Option<Vec<u32>>,
    /// Any of these states; empty is all.
    pub(super) states: Vec<JobState>,
    /// Bounds by which columns have to be; usable in the order of that column.
    pub(super) bounds: Vec<(&'static str, Sql)>,
}

impl Conditions {
    pub(super) fn of(conn: &Connection, filter: &Filter) -> Result<Self> {
        let queues = queues(conn, filter)?;
        let mut states = filter.states.clone();
        states.sort_unstable_by_key(|state| *state as u8);
        states.dedup();
        let mut made = Self { queues, states, ..Self::default() };
        made.columns(filter);
        made.ids(filter);
        made.times(filter);
        made.texts(conn, filter)?;
        Ok(made)
    }

    /// A condition on an indexed column, which is mostly NULL.
    fn rare(&mut self, column: &str, index: &str, value: Value) {
        self.all.push(Sql::new(format!("+{column} = ?"), vec![value.clone()]));
        let driver = format!(
            "SELECT key FROM jobs INDEXED BY {index} WHERE {column} IS NOT NULL AND {column} = ?"
        );
        self.drivers.push(Sql::new(driver, vec![value]));
    }

    fn columns(&mut self, filter: &Filter) {
        if let Some(priority) = filter.priority {
            let value = vec![Value::Integer(priority.into())];
            self.all.push(Sql::new("+priority = ?", value.clone()));
            if priority != 2 {
                let driver = "SELECT key FROM jobs INDEXED BY jobs_priority
                    WHERE priority <> 2 AND priority = ?";
                self.drivers.push(Sql::new(driver, value));
            }
        }
        if let Some(min) = filter.attempt_min {
            let value = vec![Value::Integer(min.into())];
            self.all.push(Sql::new("+attempt >= ?", value.clone()));
            if min > 1 {
                let driver = "SELECT key FROM jobs INDEXED BY jobs_attempt
                    WHERE attempt > 1 AND attempt >= ?";
                self.drivers.push(Sql::new(driver, value));
            }
        }
        if let Some(max) = filter.attempt_max {
            self.all.push(Sql::new("+attempt <= ?", vec![Value::Integer(max.into())]));
        }
        for (tag, value) in &filter.tags {
            let values = vec![Value::Text(tag.clone()), Value::Text(value.clone())];
            let there =
                "EXISTS (SELECT 1 FROM tags WHERE tag = ? AND value = ? AND job = jobs.key)";
            self.all.push(Sql::new(there, values.clone()));
            let driver = "SELECT job FROM tags WHERE tag = ? AND value = ?";
            self.drivers.push(Sql::new(driver, values));
        }
    }

    fn ids(&mut self, filter: &Filter) {
        let id = |id: u128| Value::Blob(id_bytes(id));
        if let Some(key) = &filter.unique_key {
            self.rare("unique_key", "jobs_unique", Value::Blob(key.clone().into_bytes()));
        }
        if let Some(batch) = filter.batch {
            self.rare("batch", "jobs_batch", id(batch.to_u128()));
        }
        if let Some(parent) = filter.parent {
            self.rare("parent", "jobs_parent", id(parent.to_u128()));
        }
        if let Some(chain) = filter.chain {
            self.rare("chain", "jobs_chain", id(chain.to_u128()));
        }
        if let Some(worker) = &filter.worker {
            self.rare("worker", "jobs_worker", Value::Text(worker.clone()));
        }
        if let Some(prefix) = &filter.id_prefix {
            self.id_prefix(prefix);
        }
    }

    fn id_prefix(&mut self, prefix: &str) {
        let Some((low, high)) = id_range(prefix) else {
            return self.all.push(Sql::new("0", vec![]));
        };
        if low == JobId::default() && high.to_u128() == ID_MAX {
            return;
        }
        let created = |id: JobId, ms: u64| Value::Integer(int((id.created_ms() + ms) * 1000));
        let mut values = vec![created(low, 0), created(high, 1)];
        let mut text = "+created >= ? AND +created < ?".to_owned();
        if low.created_ms() == high.created_ms() {
            let key = |id: JobId| Value::Integer(id.to_u128() as i64 & ((1 << 60) - 1));
            text.push_str(" AND +key >= ? AND +key <= ?");
            values.extend([key(low), key(high)]);
        }
        self.all.push(Sql::new(text.clone(), values.clone()));
        let text = text.replace("+created", "created");
        let driver = format!("SELECT key FROM jobs INDEXED BY jobs_created WHERE {text}");
        self.drivers.push(Sql::new(driver, values));
    }

    fn times(&mut self, filter: &Filter) {
        let columns = [
            ("created", filter.created),
            ("scheduled", filter.scheduled),
            ("started", filter.started),
            ("completed", filter.completed),
            ("expires", filter.expires),
        ];
        for (column, Bounds { after, before }) in columns {
            if after.is_none() && before.is_none() {
                continue;
            }
            let time = |time: Micros| Value::Integer(int(time.0));
            let (mut text, mut values) = (format!("{column} IS NOT NULL"), Vec::new());
            if let Some(after) = after {
                text.push_str(&format!(" AND {column} > ?"));
                values.push(time(after));
            }
            if let Some(before) = before {
                text.push_str(&format!(" AND {column} < ?"));
                values.push(time(before));
            }
            let driver = format!("SELECT key FROM jobs INDEXED BY jobs_{column} WHERE {text}");
            self.drivers.push(Sql::new(driver, values.clone()));
            self.bounds.push((column, Sql::new(text, values)));
        }
    }

    fn texts(&mut self, conn: &Connection, filter: &Filter) -> Result<()> {
        if let Some(expression) = &filter.payload_jq {
            let value = vec![Value::Text(expression.to_string())];
            self.all.push(Sql::new("payload_holds(payload, ?)", value));
        }
        if let Some(needle) = filter.payload_contains.as_deref().filter(|text| !text.is_empty()) {
            self.all.push(has("payload", needle));
            self.drivers.extend(by_text(conn, &[needle])?);
        }
        let error = filter.error_contains.as_deref();
        if filter.has_errors || error.is_some() {
            self.all.push(Sql::new("+errors IS NOT NULL", vec![]));
            self.drivers.push(Sql::new("SELECT job FROM errors", vec![]));
        }
        if let Some(needle) = error {
            let needle = Value::Text(needle.to_ascii_lowercase());
            let there = "EXISTS (SELECT 1 FROM errors
                WHERE errors.job = jobs.key AND has_text(errors.error, ?))";
            self.all.push(Sql::new(there, vec![needle]));
        }
        Ok(())
    }
}

/// The column's text has the needle in it.
pub(super) fn has(column: &str, needle: &str) -> Sql {
    let needle = Value::Text(needle.to_ascii_lowercase());
    Sql::new(format!("has_text({column}, ?)"), vec![needle])
}

/// Gives the keys of all rows in the text index that may have the needles in them, and of the newest behind it. `None` when no needle
/// is long enough.
pub(super) fn by_text(conn: &Connection, needles: &[&str]) -> Result<Option<Sql>> {
    let mut terms: Vec<String> = Vec::new();
    for needle in needles.iter().filter(|needle| !needle.contains('\0')) {
        let chars: Vec<char> = needle.chars().collect();
        let term = |three: &[char]| {
            let three: String = three.iter().collect();
            format!("\"{}\"", three.replace('"', "\"\""))
        };
        terms.extend(chars.windows(3).take(TRIGRAMS_MAX).map(term));
    }
    terms.sort_unstable();
    terms.dedup();
    if terms.is_empty() {
        return Ok(None);
    }
    let text = "SELECT rowid FROM text WHERE text MATCH ?".to_owned();
    let mut driver = Sql::new(text, vec![Value::Text(terms.join(" AND "))]);
    for (from, to) in behind(conn)? {
        driver.text.push_str(" UNION ALL SELECT key FROM jobs WHERE key > ? AND key < ?");
        driver.values.extend([Value::Integer(from), Value::Integer(to)]);
    }
    Ok(Some(driver))
}

/// Keys of rows that the text index has not reached: behind the first and before the second.
fn behind(conn: &Connection) -> Result<Vec<(i64, i64)>> {
    let marks = text::marks(conn)?;
    let mut statement = conn.prepare_cached("SELECT shard FROM watermarks ORDER BY shard")?;
    let shards: Vec<u64> = statement
        .query_map([], |row| row.get::<_, i64>(0))?
        .map(|s| s.map(|s| s as u64))
        .collect::<Result<_, _>>()?;
    let each = BEHIND_MAX / (shards.len().max(1) as i64);
    let mut ranges = Vec::new();
    for shard in shards {
        let (from, to) = (first_key(shard), first_key(shard + 1));
        let reached = from + int(marks.get(&shard).copied().unwrap_or(0));
        let newest = "SELECT max(key) FROM jobs WHERE key >= ? AND key < ?";
        let newest: Option<i64> =
            conn.prepare_cached(newest)?.query_row([from, to], |row| row.get(0))?;
        if let Some(newest) = newest.filter(|newest| *newest > reached) {
            ranges.push((reached.max(newest - each), to));
        }
    }
    Ok(ranges)
}

const ID_MAX: u128 = (1 << 104) - 1;

/// The smallest and largest id whose texts begin so.
fn id_range(prefix: &str) -> Option<(JobId, JobId)> {
    let digits = match prefix.strip_prefix("job_") {
        Some(digits) => digits,
        None if "job_".starts_with(prefix) => "",
        None => return None,
    };
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if digits.len() > 26 || !digits.bytes().all(is_hex) {
        return None;
    }
    let id = |fill: &str| {
        let whole = digits.to_owned() + &fill.repeat(26 - digits.len());
        u128::from_str_radix(&whole, 16).ok().and_then(JobId::from_u128)
    };
    id("0").zip(id("f"))
}

/// The queues that a filter wants, by number.
fn queues(conn: &Connection, filter: &Filter) -> Result<Option<Vec<u32>>> {
    let Filter { namespace, queue, queue_globs, .. } = filter;
    if *namespace == Namespace::Any && queue.is_none() && queue_globs.is_empty() {
        return Ok(None);
    }
    let fits = |name: &str| {
        namespace.owns(name)
            && (queue_globs.is_empty() || queue_globs.iter().any(|glob| matches(glob, name)))
    };
    let prefix = namespace.prefix();
    let (from, to) = match queue {
        Some(queue) => (queue.clone(), Some(queue.clone())),
        None => (prefix.clone(), None),
    };
    let sql =
        "SELECT name, id FROM queues WHERE name >= ?1 AND (?2 IS NULL OR name <= ?2) ORDER BY name";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(rusqlite::params![from, to])?;
    let (mut found, mut is_all) = (Vec::new(), true);
    while let Some(row) = rows.next()? {
        let name = row.get_ref(0)?.as_str().unwrap_or_default();
        if !name.starts_with(&*prefix) {
            break;
        }
        if fits(name) {
            found.push(row.get(1)?);
        } else {
            is_all = false;
        }
    }
    if is_all && *namespace == Namespace::Default && queue.is_none() {
        // There are no others: rows need not be looked at for it.
        return Ok(None);
    }
    found.sort_unstable();
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_of_ids_is_a_range() {
        let range = |prefix| id_range(prefix).map(|(low, high)| (low.to_u128(), high.to_u128()));
        assert_eq!(range("job_"), Some((0, ID_MAX)));
        assert_eq!(range("jo"), Some((0, ID_MAX)));
        assert_eq!(range("job_0"), Some((0, ID_MAX >> 4)));
        let whole = "job_00000000123456789abcdef012";
        assert_eq!(range(whole), Some((0x12_3456_789a_bcde_f012, 0x12_3456_789a_bcde_f012)));
        assert_eq!(range("job_F"), None);
        assert_eq!(range("batch_"), None);
        assert_eq!(range("job_000000001234567890123456789"), None);
    }
}
