//! The row of a job while events are folded into it, and its columns.

use std::sync::Arc;

use jobbie_proto::agent::{AgentLimits, AgentState};
use jobbie_proto::event::BackoffKind;
use jobbie_proto::reply::JobState;
use jobbie_proto::{BatchId, JobId, JobSeq, Micros, ShardId};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Row as SqlRow};

use crate::error::{Error, Result};
use crate::row::JobRow;

/// Groups of columns that change together.
pub(crate) mod group {
    pub(crate) const STATE: u16 = 1;
    pub(crate) const QUEUE: u16 = 1 << 1;
    pub(crate) const PRIORITY: u16 = 1 << 2;
    pub(crate) const ATTEMPT: u16 = 1 << 3;
    pub(crate) const WORKER: u16 = 1 << 4;
    pub(crate) const LEASE: u16 = 1 << 5;
    pub(crate) const SCHEDULED: u16 = 1 << 6;
    pub(crate) const COMPLETED: u16 = 1 << 7;
    pub(crate) const FAILED: u16 = 1 << 8;
    pub(crate) const REST: u16 = 1 << 9;
    pub(crate) const PROGRESS: u16 = 1 << 10;
    pub(crate) const CHECKPOINT: u16 = 1 << 11;
    pub(crate) const RESULT: u16 = 1 << 12;
    pub(crate) const TAGS: u16 = 1 << 13;
    pub(crate) const PAYLOAD: u16 = 1 << 14;
    pub(crate) const RECORD: u16 = 1 << 15;
    /// Set when the row is made, never changed.
    pub(crate) const FIXED: u16 = 0;
}

use group::{
    ATTEMPT, CHECKPOINT, COMPLETED, FAILED, FIXED, LEASE, PAYLOAD, PRIORITY, PROGRESS, QUEUE,
    RECORD, REST, RESULT, SCHEDULED, STATE, TAGS, WORKER,
};

/// The columns, in their order in the table, and the group of each.
pub(crate) const COLUMNS: [(&str, u16); 46] = [
    ("key", FIXED),
    ("created", FIXED),
    ("queue", QUEUE),
    ("state", STATE),
    ("priority", PRIORITY),
    ("attempt", ATTEMPT),
    ("max_retries", FIXED),
    ("backoff", FIXED),
    ("backoff_base", FIXED),
    ("backoff_cap", FIXED),
    ("record", RECORD),
    ("worker", WORKER),
    ("host", WORKER),
    ("session", LEASE),
    ("token", LEASE),
    ("started", WORKER),
    ("lease_expires", LEASE),
    ("scheduled", SCHEDULED),
    ("expires", REST),
    ("completed", COMPLETED),
    ("failed", FAILED),
    ("cancelled", FAILED),
    ("errors", FAILED),
    ("unique_key", REST),
    ("limit_key", REST),
    ("batch", REST),
    ("parent", REST),
    ("chain", REST),
    ("chain_step", REST),
    ("depends_on", REST),
    ("moved_to", REST),
    ("hold_reason", REST),
    ("iteration", REST),
    ("cost", REST),
    ("max_iterations", REST),
    ("max_cost", REST),
    ("iteration_timeout", REST),
    ("planned", REST),
    ("missing", REST),
    ("awaits_due", REST),
    ("leaving", REST),
    ("progress", PROGRESS),
    ("checkpoint", CHECKPOINT),
    ("result", RESULT),
    ("tags", TAGS),
    ("payload", PAYLOAD),
];
/// Those before it are read when a job is touched; what is behind may be large.
pub(crate) const LARGE_FROM: usize = 41;
/// Those from it on, up to the large ones, are in [`Rare`].
pub(crate) const RARE_FROM: usize = 23;

/// What few jobs have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rare {
    pub(crate) unique_key: Vec<u8>,
    pub(crate) limit_key: String,
    pub(crate) batch: Option<BatchId>,
    pub(crate) parent: Option<JobId>,
    pub(crate) chain: Option<(JobId, i32)>,
    pub(crate) depends_on: Vec<JobId>,
    pub(crate) moved_to: Option<JobId>,
    pub(crate) hold_reason: String,
    pub(crate) iteration: u32,
    pub(crate) cost: u64,
    pub(crate) limits: AgentLimits,
    /// It has a plan.
    pub(crate) planned: bool,
    /// Jobs that it waits for; 0 when it does not wait.
    pub(crate) missing: u32,
    /// When it may run at the earliest, while it waits for others.
    pub(crate) awaits_due: u64,
    /// The queue of another shard to which it goes when its worker gives it back; empty is none.
    pub(crate) leaving: String,
}

/// A job. Times are in microseconds; 0 is never.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) key: i64,
    pub(crate) created: u64,
    pub(crate) queue: u32,
    pub(crate) state: JobState,
    pub(crate) priority: u8,
    pub(crate) attempt: u32,
    pub(crate) max_retries: u32,
    pub(crate) backoff: BackoffKind,
    pub(crate) backoff_base_ms: u32,
    pub(crate) backoff_cap_ms: u32,
    pub(crate) record: u64,
    pub(crate) worker: Arc<str>,
    pub(crate) host: Arc<str>,
    pub(crate) session: u64,
    pub(crate) token: u64,
    pub(crate) started: u64,
    pub(crate) lease_expires: u64,
    pub(crate) scheduled: u64,
    pub(crate) expires: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) errors: u32,
    pub(crate) rare: Option<Box<Rare>>,
    pub(crate) progress: Vec<u8>,
    pub(crate) checkpoint: Vec<u8>,
    pub(crate) result: Vec<u8>,
    pub(crate) tags: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

const SEQ_BITS: u32 = 50;

/// The key of a job's row: its shard and its number there.
pub(crate) fn key_of(shard: ShardId, job: JobSeq) -> i64 {
    (i64::from(shard.0) << SEQ_BITS) | job.0 as i64
}

/// The first key of a shard's jobs.
pub(crate) fn first_key(shard: u64) -> i64 {
    (shard as i64) << SEQ_BITS
}

pub(crate) fn shard_of_key(key: i64) -> u64 {
    (key >> SEQ_BITS) as u64
}

pub(crate) fn seq_of_key(key: i64) -> u64 {
    (key & ((1 << SEQ_BITS) - 1)) as u64
}

pub(crate) fn id_of(key: i64, created: u64) -> JobId {
    JobId::new(created / 1000, ShardId(shard_of_key(key) as u16), JobSeq(seq_of_key(key)))
}

fn time(value: u64) -> Value {
    if value == 0 { Value::Null } else { Value::Integer(int(value)) }
}

pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn text(value: &str) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(if value.is_empty() {
        ValueRef::Null
    } else {
        ValueRef::Text(value.as_bytes())
    })
}

fn bytes(value: &[u8]) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(if value.is_empty() { ValueRef::Null } else { ValueRef::Blob(value) })
}

/// A job or batch as it is stored.
pub(crate) fn id_bytes(id: u128) -> Vec<u8> {
    id.to_be_bytes().to_vec()
}

impl Record {
    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(crate) fn id(&self) -> JobId {
        id_of(self.key, self.created)
    }

    /// The value of a column.
    pub(crate) fn value(&self, column: usize) -> ToSqlOutput<'_> {
        let number = |n: u64| ToSqlOutput::Owned(Value::Integer(int(n)));
        let owned = ToSqlOutput::Owned;
        match column {
            0 => owned(Value::Integer(self.key)),
            1 => number(self.created),
            2 => number(self.queue.into()),
            3 => number(self.state as u64),
            4 => number(self.priority.into()),
            5 => number(self.attempt.into()),
            6 => number(self.max_retries.into()),
            7 => number(self.backoff as u64),
            8 => number(self.backoff_base_ms.into()),
            9 => number(self.backoff_cap_ms.into()),
            10 => number(self.record),
            11 => text(&self.worker),
            12 => text(&self.host),
            13 => owned(time(self.session)),
            14 => owned(time(self.token)),
            15 => owned(time(self.started)),
            16 => owned(time(self.lease_expires)),
            17 => owned(time(self.scheduled)),
            18 => owned(time(self.expires)),
            19 => owned(time(self.completed)),
            20 => owned(time(self.failed)),
            21 => owned(time(self.cancelled)),
            22 => owned(time(self.errors.into())),
            RARE_FROM..LARGE_FROM => self.rare_value(column),
            41 => bytes(&self.progress),
            42 => bytes(&self.checkpoint),
            43 => bytes(&self.result),
            44 => bytes(&self.tags),
            _ => bytes(&self.payload),
        }
    }

    fn rare_value(&self, column: usize) -> ToSqlOutput<'_> {
        let owned = ToSqlOutput::Owned;
        let Some(rare) = &self.rare else { return owned(Value::Null) };
        let id = |id: Option<u128>| owned(id.map_or(Value::Null, |id| Value::Blob(id_bytes(id))));
        match column {
            23 => bytes(&rare.unique_key),
            24 => text(&rare.limit_key),
            25 => id(rare.batch.map(BatchId::to_u128)),
            26 => id(rare.parent.map(JobId::to_u128)),
            27 => id(rare.chain.map(|(chain, _)| chain.to_u128())),
            28 => owned(rare.chain.map_or(Value::Null, |(_, step)| Value::Integer(step.into()))),
            29 if rare.depends_on.is_empty() => owned(Value::Null),
            29 => {
                let on = rare.depends_on.iter();
                owned(Value::Blob(on.flat_map(|id| id.to_u128().to_be_bytes()).collect()))
            }
            30 => id(rare.moved_to.map(JobId::to_u128)),
            31 => text(&rare.hold_reason),
            32 => owned(time(rare.iteration.into())),
            33 => owned(time(rare.cost)),
            34 => owned(time(rare.limits.max_iterations.into())),
            35 => owned(time(rare.limits.max_cost_micros)),
            36 => owned(time(rare.limits.iteration_timeout_ms)),
            37 => owned(time(rare.planned.into())),
            38 => owned(time(rare.missing.into())),
            39 => owned(time(rare.awaits_due)),
            _ => text(&rare.leaving),
        }
    }

    /// Reads the columns of [`COLUMNS`] up to [`LARGE_FROM`], and those behind if `large`.
    pub(crate) fn read(row: &SqlRow<'_>, large: bool) -> Result<Self> {
        let number = |at: usize| -> Result<u64> {
            Ok(row.get::<_, Option<i64>>(at)?.unwrap_or(0).max(0) as u64)
        };
        let narrow =
            |at: usize| -> Result<u32> { u32::try_from(number(at)?).map_err(|_| damaged(at)) };
        let shared = |at: usize| -> Result<Arc<str>> {
            Ok(row.get_ref(at)?.as_str_or_null().map_err(|_| damaged(at))?.unwrap_or("").into())
        };
        let blob = |at: usize| -> Result<Vec<u8>> {
            if !large {
                return Ok(Vec::new());
            }
            let found = row.get_ref(at)?.as_bytes_or_null().map_err(|_| damaged(at))?;
            Ok(found.unwrap_or_default().to_vec())
        };
        Ok(Self {
            key: row.get(0)?,
            created: number(1)?,
            queue: narrow(2)?,
            state: u8::try_from(number(3)?)
                .ok()
                .and_then(JobState::from_u8)
                .ok_or_else(|| damaged(3))?,
            priority: u8::try_from(number(4)?).map_err(|_| damaged(4))?,
            attempt: narrow(5)?,
            max_retries: narrow(6)?,
            backoff: u8::try_from(number(7)?)
                .ok()
                .and_then(BackoffKind::from_u8)
                .ok_or_else(|| damaged(7))?,
            backoff_base_ms: narrow(8)?,
            backoff_cap_ms: narrow(9)?,
            record: number(10)?,
            worker: shared(11)?,
            host: shared(12)?,
            session: number(13)?,
            token: number(14)?,
            started: number(15)?,
            lease_expires: number(16)?,
            scheduled: number(17)?,
            expires: number(18)?,
            completed: number(19)?,
            failed: number(20)?,
            cancelled: number(21)?,
            errors: narrow(22)?,
            rare: read_rare(row)?,
            progress: blob(41)?,
            checkpoint: blob(42)?,
            result: blob(43)?,
            tags: blob(44)?,
            payload: blob(45)?,
        })
    }

    /// As it is told to others.
    pub(crate) fn told(self, queue: &str) -> JobRow {
        let id = self.id();
        let rare = self.rare.map(|rare| *rare).unwrap_or_default();
        let agent = (rare.iteration > 0).then_some(AgentState {
            iteration: rare.iteration,
            cost_micros: rare.cost,
            limits: rare.limits,
        });
        JobRow {
            id,
            queue: queue.to_owned(),
            state: self.state,
            payload: self.payload,
            tags: self.tags,
            priority: self.priority,
            attempt: self.attempt,
            max_retries: self.max_retries,
            backoff: self.backoff,
            backoff_base_ms: self.backoff_base_ms,
            backoff_cap_ms: self.backoff_cap_ms,
            unique_key: rare.unique_key,
            limit_key: rare.limit_key,
            batch: rare.batch,
            parent: rare.parent,
            chain: rare.chain,
            depends_on: rare.depends_on,
            moved_to: rare.moved_to,
            worker: self.worker.to_string(),
            host: self.host.to_string(),
            progress: self.progress,
            checkpoint: self.checkpoint,
            result: self.result,
            hold_reason: rare.hold_reason,
            agent,
            errors: self.errors,
            created: Micros(self.created),
            started: Micros(self.started),
            lease_expires: Micros(self.lease_expires),
            scheduled: Micros(self.scheduled),
            expires: Micros(self.expires),
            completed: Micros(self.completed),
            failed: Micros(self.failed),
            cancelled: Micros(self.cancelled),
            record: self.record,
        }
    }
}

fn damaged(column: usize) -> Error {
    Error::Damaged(format!("{} of a job", COLUMNS[column].0))
}

fn read_rare(row: &SqlRow<'_>) -> Result<Option<Box<Rare>>> {
    let mut any = false;
    for at in RARE_FROM..LARGE_FROM {
        any |= row.get_ref(at)? != ValueRef::Null;
    }
    if !any {
        return Ok(None);
    }
    let number = |at: usize| -> Result<u64> {
        Ok(row.get::<_, Option<i64>>(at)?.unwrap_or(0).max(0) as u64)
    };
    let narrow = |at: usize| -> Result<u32> { u32::try_from(number(at)?).map_err(|_| damaged(at)) };
    let id = |at: usize| -> Result<Option<u128>> {
        let Some(found) = row.get::<_, Option<Vec<u8>>>(at)? else { return Ok(None) };
        let found: [u8; 16] = found.try_into().map_err(|_| damaged(at))?;
        Ok(Some(u128::from_be_bytes(found)))
    };
    let job = |at: usize| -> Result<Option<JobId>> { Ok(id(at)?.and_then(JobId::from_u128)) };
    let text =
        |at: usize| -> Result<String> { Ok(row.get::<_, Option<String>>(at)?.unwrap_or_default()) };
    let on = row.get::<_, Option<Vec<u8>>>(29)?.unwrap_or_default();
    let on = on.chunks_exact(16).filter_map(|raw| {
        let raw: [u8; 16] = raw.try_into().ok()?;
        JobId::from_u128(u128::from_be_bytes(raw))
    });
    let step = row.get::<_, Option<i32>>(28)?;
    Ok(Some(Box::new(Rare {
        unique_key: row.get::<_, Option<Vec<u8>>>(23)?.unwrap_or_default(),
        limit_key: text(24)?,
        batch: id(25)?.and_then(BatchId::from_u128),
        parent: job(26)?,
        chain: job(27)?.zip(step),
        depends_on: on.collect(),
        moved_to: job(30)?,
        hold_reason: text(31)?,
        iteration: narrow(32)?,
        cost: number(33)?,
        limits: AgentLimits {
            max_iterations: narrow(34)?,
            max_cost_micros: number(35)?,
            iteration_timeout_ms: number(36)?,
        },
        planned: number(37)? > 0,
        missing: narrow(38)?,
        awaits_due: number(39)?,
        leaving: text(40)?,
    })))
}

/// The names of columns, from the first on.
fn names(count: usize) -> String {
    let names: Vec<_> = COLUMNS[..count].iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// Selects jobs; what may be large only if `large`.
pub(crate) fn select(large: bool, rest: &str) -> String {
    let count = if large { COLUMNS.len() } else { LARGE_FROM };
    format!("SELECT {} FROM jobs {rest}", names(count))
}

/// The row of a job, without what may be large.
pub(crate) fn load(conn: &Connection, sql: &str, key: i64) -> Result<Option<Record>> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([key])?;
    rows.next()?.map(|row| Record::read(row, false)).transpose()
}

pub(crate) fn insert_sql() -> String {
    let marks = vec!["?"; COLUMNS.len()].join(", ");
    format!("INSERT INTO jobs ({}) VALUES ({marks})", names(COLUMNS.len()))
}

/// Changes the columns of some groups; these are its parameters, and then the key.
pub(crate) fn update_sql(groups: u16) -> (String, Vec<usize>) {
    let changed = |at: &usize| COLUMNS[*at].1 & groups != 0;
    let columns: Vec<usize> = (0..COLUMNS.len()).filter(changed).collect();
    let sets: Vec<_> = columns.iter().map(|at| format!("{} = ?", COLUMNS[*at].0)).collect();
    (format!("UPDATE jobs SET {} WHERE key = ?", sets.join(", ")), columns)
}
