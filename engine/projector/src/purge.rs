//! What is forgotten: completed jobs that were kept long enough, and what began before the log does.

use jobbie_proto::reply::JobState;
use rusqlite::{Connection, params};

use crate::error::{Error, Result};
use crate::projection::Projection;
use crate::record::{first_key, int};
use crate::store::{self, Counts};
use crate::text;

/// Jobs and journal rows forgotten in one step at most.
const STEP: usize = 50_000;
/// So many revived jobs in a row do not hide what is behind them.
const REVIVED_MAX: u32 = 10_000;

/// A row goes, with all that belongs to it.
pub(crate) fn remove(conn: &Connection, key: i64, errors: bool, text: bool) -> Result<()> {
    store::drop_tags(conn, key)?;
    if errors {
        conn.prepare_cached("DELETE FROM errors WHERE job = ?")?.execute([key])?;
    }
    if text {
        text::forget(conn, key)?;
    }
    conn.prepare_cached("DELETE FROM jobs WHERE key = ?")?.execute([key])?;
    Ok(())
}

/// What is known of a row that is to go.
struct Old {
    key: i64,
    queue: u32,
    state: JobState,
    errors: bool,
}

fn old(row: &rusqlite::Row<'_>) -> Result<Old> {
    let state = JobState::from_u8(row.get(2)?);
    Ok(Old {
        key: row.get(0)?,
        queue: row.get(1)?,
        state: state.ok_or_else(|| Error::Damaged("state of a job".into()))?,
        errors: row.get::<_, Option<i64>>(3)?.is_some(),
    })
}

/// Forgets some; whether there may be more. Which goes follows from the watermarks alone.
pub(crate) fn step(projection: &Projection) -> Result<bool> {
    let Projection { conn, fold, options, trimmed, .. } = projection;
    let mut goes = Vec::new();
    if options.retention_ms > 0 {
        let kept = options.retention_ms.saturating_mul(1000);
        let before = fold.time().saturating_sub(kept);
        let sql = "SELECT key, queue, state, errors FROM jobs
            WHERE completed IS NOT NULL AND completed <= ? ORDER BY completed LIMIT ?";
        let mut statement = conn.prepare_cached(sql)?;
        let mut rows = statement.query(params![int(before), STEP as i64])?;
        while let Some(row) = rows.next()? {
            goes.push(old(row)?);
        }
    }
    let mut more = goes.len() == STEP;
    if *trimmed {
        for (shard, mark) in &fold.watermarks {
            ended_before(conn, u64::from(*shard), mark.begins, &mut goes)?;
            more |= journal_before(conn, *shard, mark.begins)?;
        }
    }
    goes.sort_unstable_by_key(|old| old.key);
    goes.dedup_by_key(|old| old.key);
    let (marks, mut counts) = (text::marks(conn)?, Counts::new());
    for old in &goes {
        store::count(&mut counts, (old.queue, old.state), -1);
        remove(conn, old.key, old.errors, text::has(&marks, old.key))?;
    }
    store::write_counts(conn, &counts)?;
    Ok(more)
}

/// Completed jobs whose records the log has given up. Records rise with the numbers of jobs, but for those few that were revived: it
/// ends behind many in a row that stay.
fn ended_before(conn: &Connection, shard: u64, begins: u64, goes: &mut Vec<Old>) -> Result<()> {
    let sql = "SELECT key, queue, state, errors, record FROM jobs WHERE key >= ? AND key < ? ORDER BY key";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([first_key(shard), first_key(shard + 1)])?;
    let mut stay = 0;
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(4)? >= int(begins) {
            stay += 1;
            if stay > REVIVED_MAX {
                break;
            }
            continue;
        }
        stay = 0;
        let found = old(row)?;
        if found.state == JobState::Completed {
            goes.push(found);
        }
    }
    Ok(())
}

fn journal_before(conn: &Connection, shard: u16, begins: u64) -> Result<bool> {
    let sql = "DELETE FROM journal WHERE seq IN
        (SELECT seq FROM journal WHERE shard = ? AND event < ? ORDER BY event LIMIT ?)";
    let gone = conn.prepare_cached(sql)?.execute(params![shard, int(begins), STEP as i64])?;
    Ok(gone == STEP)
}
