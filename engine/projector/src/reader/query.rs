//! How the rows that match a filter are found: by an index that has few of them, or in the order in which they are wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jobbie_proto::reply::JobState;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::filter::{Conditions, Sql};
use crate::error::{Error, Result};
use crate::search::{Cursor, Sort};

/// An index that has no more matches than this is followed; their order is made afterwards.
const FEW: u64 = 20_000;
/// Queues and states, each with each, that are looked through one by one.
const RUNS_MAX: usize = 256;
/// Counting what no table says ends after so many times so many steps of SQLite's machine: some ten milliseconds.
const COUNT_TIMES: u64 = 100;
const STEPS_AT_A_TIME: i32 = 10_000;

/// A place in the results: what is sorted by, creation, key.
pub(super) type Place = (i64, i64, i64);

/// A filter and how to follow it.
#[derive(Debug)]
pub(super) struct Query<'a> {
    conn: &'a Connection,
    conditions: Conditions,
    /// Gives the keys of at most [`FEW`] rows, of which those wanted are.
    driver: Option<Sql>,
    /// What the table of counts says, if there is nothing else to the filter.
    counted: Option<u64>,
    /// Queues and states that have jobs and are wanted.
    cells: Vec<(u32, JobState)>,
}

impl<'a> Query<'a> {
    pub(super) fn new(conn: &'a Connection, conditions: Conditions) -> Result<Self> {
        let Conditions { queues, states, all, bounds, .. } = &conditions;
        let (mut cells, mut sum) = (Vec::new(), 0);
        let mut statement = conn.prepare_cached("SELECT queue, state, jobs FROM counts")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (queue, jobs): (u32, i64) = (row.get(0)?, row.get(2)?);
            let state = JobState::from_u8(row.get(1)?);
            let state = state.ok_or_else(|| Error::Damaged("state of a count".into()))?;
            let wanted = queues.as_ref().is_none_or(|queues| queues.binary_search(&queue).is_ok())
                && (states.is_empty() || states.contains(&state));
            if wanted && jobs > 0 {
                cells.push((queue, state));
                sum += jobs as u64;
            }
        }
        let counted = (all.is_empty() && bounds.is_empty()).then_some(sum);
        let mut query = Self { conn, conditions, driver: None, counted, cells };
        query.choose(sum)?;
        Ok(query)
    }

    /// Takes the index with the fewest matches, if they are few.
    fn choose(&mut self, sum: u64) -> Result<()> {
        let mut best = FEW + 1;
        for driver in &self.conditions.drivers {
            let text = format!("SELECT count(*) FROM ({} LIMIT {best})", driver.text);
            let mut statement = self.conn.prepare_cached(&text)?;
            let few: i64 =
                statement.query_row(params_from_iter(&driver.values), |row| row.get(0))?;
            if (few as u64) < best {
                (best, self.driver) = (few as u64, Some(driver.clone()));
            }
        }
        let live = !self.cells.iter().any(|(_, state)| *state == JobState::Completed);
        if sum < best
            && live
            && (self.conditions.queues.is_some() || !self.conditions.states.is_empty())
        {
            let each = |(queue, state): &(u32, JobState)| {
                let state = *state as u8;
                format!(
                    "SELECT key FROM jobs INDEXED BY jobs_live
                    WHERE state <> 5 AND state = {state} AND queue = {queue}"
                )
            };
            let cells: Vec<_> = self.cells.iter().take(RUNS_MAX + 1).map(each).collect();
            if (1..=RUNS_MAX).contains(&cells.len()) {
                self.driver = Some(Sql::new(cells.join(" UNION ALL "), vec![]));
            }
        }
        Ok(())
    }

    /// Nothing can match.
    fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// What must be true of a row, but for queue and state; bounds of `ordered` may use its index.
    fn conditions(&self, ordered: &str) -> Sql {
        let mut sql = Sql::new("1", vec![]);
        for condition in &self.conditions.all {
            sql.text.push_str(" AND ");
            sql.push(condition);
        }
        for (column, bounds) in &self.conditions.bounds {
            sql.text.push_str(" AND ");
            let mut bounds = bounds.clone();
            if *column != ordered {
                bounds.text = bounds.text.replace(column, &format!("+{column}"));
            }
            sql.push(&bounds);
        }
        if let Some(driver) = &self.driver {
            sql.text.push_str(" AND key IN (");
            sql.push(driver);
            sql.text.push(')');
        }
        sql
    }

    /// Queue and state as conditions that use no index.
    fn queue_and_state(&self) -> String {
        let list = |numbers: Vec<String>| numbers.join(", ");
        let mut text = String::new();
        if let Some(queues) = &self.conditions.queues {
            let queues = queues.iter().map(u32::to_string).collect();
            text.push_str(&format!(" AND +queue IN ({})", list(queues)));
        }
        if !self.conditions.states.is_empty() {
            let states = self.conditions.states.iter().map(|s| (*s as u8).to_string()).collect();
            text.push_str(&format!(" AND +state IN ({})", list(states)));
        }
        text
    }

    /// Ways through the rows in the order of their creation, each by an index that has that order: conditions on queue and state.
    fn runs(&self) -> Vec<(String, &'static str)> {
        let Conditions { queues, states, .. } = &self.conditions;
        let anywhere = || vec![(self.queue_and_state(), "")];
        if self.driver.is_some() || (queues.is_none() && states.is_empty()) {
            return anywhere();
        }
        let completed = JobState::Completed;
        if states.is_empty() {
            let mut all: Vec<u32> = self.cells.iter().map(|(queue, _)| *queue).collect();
            all.dedup();
            if all.len() > RUNS_MAX {
                return anywhere();
            }
            let run = |queue| (format!(" AND queue = {queue}"), "INDEXED BY jobs_queue");
            return all.into_iter().map(run).collect();
        }
        if queues.is_none() && states.contains(&completed) || self.cells.len() > RUNS_MAX {
            return anywhere();
        }
        let run = |(queue, state): &(u32, JobState)| match *state {
            JobState::Completed => {
                (format!(" AND queue = {queue} AND +state = 5"), "INDEXED BY jobs_queue")
            }
            state => {
                let state = state as u8;
                let text = format!(" AND state <> 5 AND state = {state} AND queue = {queue}");
                (text, "INDEXED BY jobs_live")
            }
        };
        self.cells.iter().map(run).collect()
    }

    /// The first results behind a place, at most `limit`.
    pub(super) fn page(
        &self,
        sort: Sort,
        ascending: bool,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Vec<Place>> {
        let mut found = Vec::new();
        if self.is_empty() {
            return Ok(found);
        }
        let mut cursor = cursor;
        for segment in segments(sort, ascending) {
            if found.len() == limit {
                break;
            }
            if cursor.is_some_and(|cursor| !(segment.has)(cursor.key)) {
                continue;
            }
            self.segment(&segment, ascending, cursor.take(), limit, &mut found)?;
        }
        Ok(found)
    }

    fn segment(
        &self,
        segment: &Segment,
        ascending: bool,
        cursor: Option<&Cursor>,
        limit: usize,
        found: &mut Vec<Place>,
    ) -> Result<()> {
        let ordered = segment.column.unwrap_or("created");
        let direction = if ascending { "ASC" } else { "DESC" };
        // The order of few rows is made, not read from an index.
        let plus = if self.driver.is_some() { "+" } else { "" };
        let columns: Vec<&str> = segment.column.into_iter().chain(["created", "key"]).collect();
        let order: Vec<_> =
            columns.iter().map(|column| format!("{plus}{column} {direction}")).collect();
        let mut behind = Sql::default();
        if let Some(cursor) = cursor {
            let key = crate::record::key_of(cursor.id.shard(), cursor.id.seq());
            let mut values = vec![Value::Integer(cursor.created.0 as i64), Value::Integer(key)];
            if segment.column.is_some() {
                values.insert(0, Value::Integer(cursor.key));
            }
            let sign = if ascending { ">" } else { "<" };
            let marks = vec!["?"; values.len()].join(", ");
            let places: Vec<_> = columns.iter().map(|column| format!("{plus}{column}")).collect();
            behind.text = format!(" AND ({}) {sign} ({marks})", places.join(", "));
            behind.values = values;
        }
        let runs = match segment.column {
            None if sort_is_free(segment) => self.runs(),
            _ => vec![(self.queue_and_state(), "")],
        };
        let (start, wanted) = (found.len(), limit - found.len());
        let value = segment.column.map_or_else(|| segment.value.to_string(), str::to_owned);
        for (run, index) in &runs {
            let mut sql = Sql::new(
                format!(
                    "SELECT {value}, created, key FROM jobs {index} WHERE {}",
                    segment.condition
                ),
                vec![],
            );
            sql.text.push_str(run);
            sql.text.push_str(" AND ");
            sql.push(&self.conditions(if index.is_empty() || ordered == "created" {
                ordered
            } else {
                ""
            }));
            sql.push(&behind);
            sql.text.push_str(&format!(" ORDER BY {} LIMIT {wanted}", order.join(", ")));
            let mut statement = self.conn.prepare_cached(&sql.text)?;
            let mut rows = statement.query(params_from_iter(&sql.values))?;
            while let Some(row) = rows.next()? {
                let created: i64 = row.get(1)?;
                let sorted = if sort_is_free(segment) { created } else { row.get(0)? };
                found.push((sorted, created, row.get(2)?));
            }
        }
        if runs.len() > 1 {
            let new = &mut found[start..];
            new.sort_unstable();
            if !ascending {
                new.reverse();
            }
            found.truncate(limit);
        }
        Ok(())
    }

    /// Keys behind one, by number, at most `limit`.
    pub(super) fn keys(&self, after: i64, limit: usize) -> Result<Vec<(i64, i64)>> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let mut sql = Sql::new("SELECT key, created FROM jobs WHERE ", vec![]);
        sql.push(&self.conditions(""));
        sql.text.push_str(&self.queue_and_state());
        sql.text.push_str(&format!(" AND key > ? ORDER BY key LIMIT {limit}"));
        sql.values.push(Value::Integer(after));
        let mut statement = self.conn.prepare_cached(&sql.text)?;
        let rows = statement
            .query_map(params_from_iter(&sql.values), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many match. Unless `exact`, counting ends after a while: then `false` is with what was counted until then.
    pub(super) fn count(&self, exact: bool) -> Result<(u64, bool)> {
        if let Some(counted) = self.counted {
            return Ok((counted, true));
        }
        if self.is_empty() {
            return Ok((0, true));
        }
        let steps = Arc::new(AtomicU64::new(0));
        if !exact && self.driver.is_none() {
            let steps = Arc::clone(&steps);
            let handler = move || steps.fetch_add(1, Ordering::Relaxed) >= COUNT_TIMES;
            self.conn.progress_handler(STEPS_AT_A_TIME, Some(handler));
        }
        let counted = self.count_runs();
        self.conn.progress_handler(0, None::<fn() -> bool>);
        let ended = steps.load(Ordering::Relaxed) > COUNT_TIMES;
        match counted {
            (count, Ok(())) => Ok((count, true)),
            (count, Err(Error::Interrupted)) if ended => Ok((count, false)),
            (_, Err(error)) => Err(error),
        }
    }

    fn count_runs(&self) -> (u64, Result<()>) {
        let mut count = 0;
        let counted = self.runs().iter().try_for_each(|(run, index)| {
            let mut sql = Sql::new(format!("SELECT 1 FROM jobs {index} WHERE "), vec![]);
            sql.push(&self.conditions("created"));
            sql.text.push_str(run);
            let mut statement = self.conn.prepare_cached(&sql.text)?;
            let mut rows = statement.query(params_from_iter(&sql.values))?;
            while rows.next()?.is_some() {
                count += 1;
            }
            Ok(())
        });
        (count, counted)
    }
}

/// Rows that come one after the other in the results, by one index.
struct Segment {
    condition: &'static str,
    /// What they are sorted by; `None` is creation.
    column: Option<&'static str>,
    /// What all of them have in what is sorted by, when that is not a column.
    value: i64,
    /// Whether a cursor with this value is in it.
    has: fn(i64) -> bool,
}

fn sort_is_free(segment: &Segment) -> bool {
    segment.condition == "1"
}

const NONE: i64 = i64::MIN;

fn segments(sort: Sort, ascending: bool) -> Vec<Segment> {
    let by = |condition, column, has| Segment { condition, column: Some(column), value: 0, has };
    let all = |condition, value, has| Segment { condition, column: None, value, has };
    let time = |there, column, none| {
        vec![by(there, column, |key| key != NONE), all(none, NONE, |key| key == NONE)]
    };
    let mut segments = match sort {
        Sort::Created => vec![all("1", 0, |_| true)],
        Sort::Started => time("started IS NOT NULL", "started", "started IS NULL"),
        Sort::Completed => time("completed IS NOT NULL", "completed", "completed IS NULL"),
        Sort::Scheduled => time("scheduled IS NOT NULL", "scheduled", "scheduled IS NULL"),
        Sort::Failed => time("failed IS NOT NULL", "failed", "failed IS NULL"),
        Sort::Priority => vec![
            by("priority <> 2 AND priority < 2", "priority", |key| key < 2),
            all("+priority = 2", 2, |key| key == 2),
            by("priority <> 2 AND priority > 2", "priority", |key| key > 2),
        ],
        Sort::Attempt => vec![
            all("+attempt = 0", 0, |key| key == 0),
            all("+attempt = 1", 1, |key| key == 1),
            by("attempt > 1", "attempt", |key| key > 1),
        ],
    };
    if !ascending && matches!(sort, Sort::Priority | Sort::Attempt) {
        segments.reverse();
    }
    segments
}
