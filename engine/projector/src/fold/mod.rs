//! Events to rows: what happens to a job within one transaction becomes one change of its row.

mod archive;
mod events;
mod jobs;
mod rarer;
mod ties;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use jobbie_proto::event::{WorkerKey, codec};
use jobbie_proto::reply::JobState;
use jobbie_proto::{EventSeq, JobId, JobSeq, Micros, ShardId};
use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::public::{Kind, Packer};
use crate::record::{self, Record, group};

/// One committed entry of a shard.
#[derive(Clone, Copy, Debug)]
pub struct Committed<'a> {
    /// The shard.
    pub shard: ShardId,
    /// Its index in the shard's log.
    pub index: u64,
    /// Its time.
    pub time: Micros,
    /// The number of its first event; of one without events, the number that the next one gets.
    pub first_event: EventSeq,
    /// A batch, as [`codec`] reads it; empty is an entry without events.
    pub body: &'a [u8],
}

/// How far a shard's log is folded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Watermark {
    pub(crate) index: u64,
    pub(crate) event: u64,
    pub(crate) time: u64,
    /// The first event that the log still has.
    pub(crate) begins: u64,
}

/// A session: a worker's connection.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) name: Arc<str>,
    pub(crate) host: Arc<str>,
    /// Events that made all its leases longer and the new ends: events rise, ends fall, so that those of a lease are the ends of
    /// all events after it, of which the first is the latest.
    pub(crate) extensions: Vec<(u64, u64)>,
}

/// What a schedule's jobs are made of.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) event: u64,
    pub(crate) priority: u8,
    pub(crate) max_retries: u32,
    pub(crate) backoff: jobbie_proto::event::BackoffKind,
    pub(crate) backoff_base_ms: u32,
    pub(crate) backoff_cap_ms: u32,
    pub(crate) expire_after_ms: u64,
    pub(crate) limit_key: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) tags: Vec<u8>,
}

/// A job that this transaction has touched.
#[derive(Debug)]
pub(crate) struct Touched {
    pub(crate) record: Record,
    /// Groups of columns that changed.
    pub(crate) changed: u16,
    /// What the stored row says, if there is one.
    pub(crate) stored: Option<(u32, JobState)>,
    pub(crate) gone: bool,
}

/// Mixes the numbers that keys are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are numbers")
    }

    fn write_i64(&mut self, key: i64) {
        let mixed = (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

/// The jobs that this transaction has touched.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    places: HashMap<i64, u32, BuildHasherDefault<KeyHasher>>,
    touched: Vec<Touched>,
}

impl Jobs {
    pub(crate) fn get(&self, key: i64) -> Option<&Touched> {
        self.places.get(&key).map(|at| &self.touched[*at as usize])
    }

    fn place(&self, key: i64) -> Option<usize> {
        self.places.get(&key).map(|at| *at as usize)
    }

    /// Its place. One that is there already is replaced.
    fn insert(&mut self, touched: Touched) -> usize {
        let at = self.touched.len();
        self.places.insert(touched.record.key, at as u32);
        self.touched.push(touched);
        at
    }

    /// All of them, by key.
    pub(crate) fn sorted(&self) -> Vec<&Touched> {
        let mut all: Vec<_> = self.touched.iter().collect();
        all.sort_unstable_by_key(|touched| touched.record.key);
        all
    }

    /// Forgets all, and keeps the room for as many.
    pub(crate) fn clear(&mut self) {
        self.places.clear();
        self.touched.clear();
    }
}

/// An error of a job that is not written yet.
#[derive(Debug)]
pub(crate) struct NewError {
    pub(crate) job: i64,
    pub(crate) event: u64,
    pub(crate) attempt: u32,
    pub(crate) at: u64,
    pub(crate) error: String,
    pub(crate) backtrace: String,
}

/// A packed journal row that is not written yet.
#[derive(Debug)]
pub(crate) struct NewJournal {
    pub(crate) seq: u64,
    pub(crate) shard: u16,
    pub(crate) event: u64,
    pub(crate) time: u64,
    pub(crate) events: Vec<u8>,
}

/// Queue names and their numbers, in the order in which they were seen first.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    by_name: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
    /// How many of them are stored.
    pub(crate) stored: usize,
}

impl Queues {
    pub(crate) fn intern(&mut self, name: &str) -> u32 {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let (id, name) = (self.names.len() as u32, Arc::<str>::from(name));
        self.by_name.insert(Arc::clone(&name), id);
        self.names.push(name);
        id
    }

    pub(crate) fn name(&self, id: u32) -> &Arc<str> {
        &self.names[id as usize]
    }

    pub(crate) fn all(&self) -> &[Arc<str>] {
        &self.names
    }
}

type WorkerPlace = (u16, u64, String);

/// Everything that is folded in memory and not committed, and the small tables whole.
#[derive(Debug)]
pub(crate) struct Fold {
    pub(crate) shards: u16,
    pub(crate) watermarks: BTreeMap<u16, Watermark>,
    pub(crate) queues: Queues,
    pub(crate) sessions: HashMap<(u16, u64), Session>,
    pub(crate) changed_sessions: BTreeSet<(u16, u64)>,
    pub(crate) workers: HashMap<WorkerPlace, Arc<str>>,
    pub(crate) changed_workers: BTreeSet<WorkerPlace>,
    pub(crate) schedules: HashMap<(u16, String, String), Definition>,
    pub(crate) changed_schedules: BTreeSet<(u16, String, String)>,
    pub(crate) jobs: Jobs,
    pub(crate) errors: Vec<NewError>,
    pub(crate) minutes: BTreeMap<u64, [u64; 3]>,
    pub(crate) journal: Vec<NewJournal>,
    /// Events and bytes since the last commit.
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    empty: Arc<str>,
    load: String,
}

/// The entry that is being folded.
pub(crate) struct Folding<'a> {
    pub(crate) fold: &'a mut Fold,
    pub(crate) conn: &'a Connection,
    pub(crate) shard: ShardId,
    pub(crate) time: u64,
    /// The number of the event that is being folded.
    pub(crate) event: u64,
    /// What must be added to the number of an event to get the sum over all shards.
    others: u64,
    /// The event published last, and how often.
    published: (u64, u64),
    packer: Option<Packer>,
    blob: &'a [u8],
    /// Jobs of this group that came from another shard.
    arrived: Vec<JobSeq>,
    /// Workers of this entry that were not known before.
    new_workers: Vec<WorkerKey>,
}

/// What is told of a job when something about it is published.
pub(crate) type Brief = (JobId, u32);

impl Fold {
    pub(crate) fn new(shards: u16) -> Self {
        Self {
            shards,
            watermarks: BTreeMap::new(),
            queues: Queues::default(),
            sessions: HashMap::new(),
            changed_sessions: BTreeSet::new(),
            workers: HashMap::new(),
            changed_workers: BTreeSet::new(),
            schedules: HashMap::new(),
            changed_schedules: BTreeSet::new(),
            jobs: Jobs::default(),
            errors: Vec::new(),
            minutes: BTreeMap::new(),
            journal: Vec::new(),
            events: 0,
            bytes: 0,
            empty: "".into(),
            load: record::select(false, "WHERE key = ?"),
        }
    }

    /// The newest time of all shards.
    pub(crate) fn time(&self) -> u64 {
        self.watermarks.values().map(|mark| mark.time).max().unwrap_or(0)
    }

    /// Folds an entry. One that was folded already is left out.
    pub(crate) fn entry(&mut self, conn: &Connection, entry: &Committed<'_>) -> Result<()> {
        let Committed { shard, index, time, first_event, body } = *entry;
        let mark = self.watermarks.get(&shard.0).copied().unwrap_or_default();
        if index <= mark.index && mark.index > 0 {
            return Ok(());
        }
        // The first one of a log that has given up its beginning begins anywhere.
        let known = mark.index > 0 || mark.event > 0;
        if known && first_event.0 != mark.event + 1 {
            let (found, wanted) = (first_event.0, mark.event + 1);
            return Err(Error::Gap { shard, index, found, wanted });
        }
        let before = first_event.0.saturating_sub(1);
        let others: u64 =
            self.watermarks.iter().filter(|(of, _)| **of != shard.0).map(|(_, m)| m.event).sum();
        let mut last = before;
        if !body.is_empty() {
            let (groups, blob) =
                codec::decode(body).map_err(|source| Error::Entry { shard, index, source })?;
            let mut folding = Folding {
                fold: self,
                conn,
                shard,
                time: time.0,
                event: first_event.0,
                others,
                published: (0, 0),
                packer: None,
                blob,
                arrived: Vec::new(),
                new_workers: Vec::new(),
            };
            for group in &groups {
                folding.group(group)?;
            }
            last = folding.event - 1;
            if let Some(packer) = folding.packer.take() {
                let (seq, event) = (packer.first_seq, first_event.0);
                let events = packer.finish();
                let row = NewJournal { seq, shard: shard.0, event, time: time.0, events };
                self.journal.push(row);
            }
        }
        self.events += last - before + 1;
        self.bytes += body.len() as u64;
        let mark = self.watermarks.entry(shard.0).or_default();
        mark.time = mark.time.max(time.0);
        (mark.index, mark.event) = (index, last);
        Ok(())
    }
}

impl<'a> Folding<'a> {
    fn key(&self, job: JobSeq) -> i64 {
        record::key_of(self.shard, job)
    }

    /// What is known of a job. `None` when the log has given up the entry that made it.
    fn touch(&mut self, job: JobSeq) -> Result<Option<&mut Touched>> {
        let key = self.key(job);
        let at = match self.fold.jobs.place(key) {
            Some(at) => at,
            None => {
                let Some(record) = record::load(self.conn, &self.fold.load, key)? else {
                    return Ok(None);
                };
                let stored = Some((record.queue, record.state));
                self.fold.jobs.insert(Touched { record, changed: 0, stored, gone: false })
            }
        };
        Ok(Some(&mut self.fold.jobs.touched[at]).filter(|touched| !touched.gone))
    }

    /// Changes a job; what it says is which groups of columns that was.
    fn change(
        &mut self,
        job: JobSeq,
        change: impl FnOnce(&mut Record) -> u16,
    ) -> Result<Option<Brief>> {
        let Some(touched) = self.touch(job)? else { return Ok(None) };
        touched.changed |= change(&mut touched.record);
        Ok(Some((touched.record.id(), touched.record.queue)))
    }

    /// Tells others of the event that is being folded; at most twice of each.
    fn publish(&mut self, kind: Kind, job: Option<JobId>, queue: u32, data: &[u8]) {
        let nth = if self.published.0 == self.event { self.published.1 + 1 } else { 0 };
        assert!(nth < 2, "an event is told at most twice");
        self.published = (self.event, nth);
        let seq = crate::journal::seq_of(self.others + self.event, nth);
        let time_ms = self.time / 1000;
        let packer = self.packer.get_or_insert_with(|| Packer::new(seq, time_ms));
        packer.push(seq, kind, job, self.fold.queues.name(queue), data);
    }

    fn publish_job(&mut self, kind: Kind, job: Option<Brief>, data: &[u8]) {
        if let Some((id, queue)) = job {
            self.publish(kind, Some(id), queue, data);
        }
    }

    fn minute(&mut self, which: usize) {
        self.fold.minutes.entry(self.time / 60_000_000).or_default()[which] += 1;
    }

    /// A job failed, and why.
    fn error(&mut self, job: JobSeq, attempt: u32, error: &[u8], backtrace: &[u8]) -> Result<()> {
        self.record_error(job, attempt, [error, backtrace], true)
    }

    /// An error of a job is recorded; it may have failed elsewhere.
    fn record_error(
        &mut self,
        job: JobSeq,
        attempt: u32,
        [error, backtrace]: [&[u8]; 2],
        fails: bool,
    ) -> Result<()> {
        let (time, event, key) = (self.time, self.event, self.key(job));
        let found = self.change(job, |record| {
            record.failed = if fails { time } else { record.failed };
            record.errors += 1;
            group::FAILED
        })?;
        if found.is_some() {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (error, backtrace) = (text(error), text(backtrace));
            self.fold.errors.push(NewError {
                job: key,
                event,
                attempt,
                at: time,
                error,
                backtrace,
            });
        }
        Ok(())
    }

    /// The job is removed.
    fn remove(&mut self, job: JobSeq) -> Result<Option<Brief>> {
        let Some(touched) = self.touch(job)? else { return Ok(None) };
        touched.gone = true;
        Ok(Some((touched.record.id(), touched.record.queue)))
    }
}
