//! Reading jobs back: entries of the log, decoded, so that a fetch finds payloads.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use jobbie_io::Disk;
use jobbie_log::{Body, Entry, Log, ReadError};
use jobbie_proto::event::{ArchivedJob, Blob, Class, Event, Group, codec};
use jobbie_proto::{EventSeq, Micros};

use crate::outlines::{LoneJob, Outlines};

/// Why a record could not be read back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// The log could not give the entry.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The entry's records do not decode, though its checksum holds.
    #[error("entry of event {event}: {source}")]
    Decode {
        /// The event asked for.
        event: EventSeq,
        /// What is wrong with it.
        source: codec::DecodeError,
    },
}

/// One entry of the log, taken apart.
pub(crate) struct Decoded {
    first_event: u64,
    time: Micros,
    body: Body,
    groups: Vec<Group>,
    /// For each event record: number of its first event, its group, its place in the group.
    index: Vec<(u64, u32, u32)>,
    end_event: u64,
}

/// A job as it was enqueued or revived, or as its schedule was defined.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JobRecord<'a> {
    /// Queue and options.
    pub(crate) class: &'a Class,
    /// What the worker gets.
    pub(crate) payload: &'a [u8],
    /// Tags.
    pub(crate) tags: &'a [u8],
    /// Idempotency key.
    pub(crate) key: &'a [u8],
}

impl Decoded {
    /// Takes an entry apart whose groups are known already.
    #[must_use]
    pub(crate) fn new(entry: &Entry, groups: Vec<Group>) -> Self {
        let (first_event, body) = (entry.first_event, entry.body.clone());
        let mut index = Vec::new();
        let mut event_number = first_event;
        for (g, group) in groups.iter().enumerate() {
            for (e, event) in group.events.iter().enumerate() {
                index.push((event_number, g as u32, e as u32));
                event_number += event.count();
            }
        }
        Self {
            first_event,
            time: Micros(entry.time_us),
            body,
            groups,
            index,
            end_event: event_number,
        }
    }

    fn decode(entry: &Entry) -> Result<Self, codec::DecodeError> {
        let (groups, _) = codec::decode(entry.body.bytes())?;
        Ok(Self::new(entry, groups))
    }

    pub(crate) fn first_event(&self) -> u64 {
        self.first_event
    }

    /// Its first event, and the first one after it.
    pub(crate) fn events(&self) -> (u64, u64) {
        (self.first_event, self.end_event)
    }

    /// Its event records, each with the number of its first event.
    pub(crate) fn records(&self) -> impl Iterator<Item = (u64, &Event)> {
        let record = |(first, g, e): &(u64, u32, u32)| {
            (*first, &self.groups[*g as usize].events[*e as usize])
        };
        self.index.iter().map(record)
    }

    /// Log time of its events.
    pub(crate) fn time(&self) -> Micros {
        self.time
    }

    /// The event record that holds `event`, and which of its elements that is.
    #[must_use]
    pub(crate) fn event(&self, event: EventSeq) -> Option<(&Event, usize)> {
        if event.0 < self.first_event || event.0 >= self.end_event {
            return None;
        }
        let at = self.index.partition_point(|(first, ..)| *first <= event.0) - 1;
        let (first, g, e) = self.index[at];
        Some((&self.groups[g as usize].events[e as usize], (event.0 - first) as usize))
    }

    /// The job whose enqueueing or revival is `event`, or any that the schedule makes which was defined there.
    #[must_use]
    pub(crate) fn job(&self, event: EventSeq) -> Option<JobRecord<'_>> {
        let (class, jobs, nth) = match self.event(event)? {
            (Event::Enqueued { class, jobs, .. }, nth) => (class, jobs, nth),
            (Event::Limited(limited), nth) => (&limited.class, &limited.jobs, nth),
            (Event::ScheduleSet(set), _) => {
                let (payload, tags) = (self.bytes(set.payload), self.bytes(set.tags));
                return Some(JobRecord { class: &set.class, payload, tags, key: &[] });
            }
            (Event::Archived(archived), _) => {
                let ArchivedJob::Revived(job) = &**archived else { return None };
                let (payload, tags) = (self.bytes(job.payload), self.bytes(job.tags));
                return Some(JobRecord { class: &job.class, payload, tags, key: &[] });
            }
            _ => return None,
        };
        let job = jobs.get(nth)?;
        let (payload, tags) = (self.bytes(job.payload), self.bytes(job.tags));
        Some(JobRecord { class, payload, tags, key: self.bytes(job.key) })
    }

    /// A range of the entry's blob.
    #[must_use]
    pub(crate) fn bytes(&self, blob: Blob) -> &[u8] {
        blob.of(self.body.bytes())
    }

    /// The bytes that ranges of its events refer to.
    pub(crate) fn blob(&self) -> &[u8] {
        self.body.bytes()
    }

    fn weight(&self) -> usize {
        self.body.bytes().len() + self.index.len() * 64
    }
}

/// The newest decoded entries, and the way to the older ones.
pub(crate) struct Records<D: Disk> {
    log: Log<D>,
    bytes_max: usize,
    bytes: Cell<usize>,
    by_event: RefCell<BTreeMap<u64, Rc<Decoded>>>,
    /// First events in the order they came in; the oldest goes first.
    order: RefCell<VecDeque<u64>>,
    outlines: Outlines,
}

impl<D: Disk> Records<D> {
    /// Keeps up to about `bytes_max` bytes of decoded entries.
    #[must_use]
    pub(crate) fn new(log: Log<D>, bytes_max: usize) -> Self {
        Self {
            log,
            bytes_max,
            bytes: Cell::new(0),
            by_event: RefCell::default(),
            order: RefCell::default(),
            outlines: Outlines::default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn log(&self) -> &Log<D> {
        &self.log
    }

    /// Remembers an entry that was just made or read.
    pub(crate) fn insert(&self, decoded: Rc<Decoded>) {
        let mut by_event = self.by_event.borrow_mut();
        let mut order = self.order.borrow_mut();
        self.bytes.set(self.bytes.get() + decoded.weight());
        order.push_back(decoded.first_event);
        if let Some(old) = by_event.insert(decoded.first_event, decoded) {
            self.bytes.set(self.bytes.get() - old.weight());
        }
        while self.bytes.get() > self.bytes_max && order.len() > 1 {
            let oldest = order.pop_front().expect("more than one");
            if let Some(old) = by_event.remove(&oldest) {
                self.bytes.set(self.bytes.get() - old.weight());
            }
        }
    }

    /// The entry with `event` if it needs no disk: decoded already, or in the log's memory.
    pub(crate) fn cached(&self, event: EventSeq) -> Option<Rc<Decoded>> {
        if let Some(decoded) = self.decoded(event) {
            return Some(decoded);
        }
        // Of an entry with an outline, reading single jobs takes less than decoding all.
        if self.outlines.know(event) {
            return None;
        }
        let entry = self.log.cached(event.0)?;
        self.keep(event, &entry).ok()
    }

    /// The entry with `event`, from disk if need be.
    ///
    /// # Errors
    /// When the log cannot read it or it does not decode.
    pub(crate) async fn load(&self, event: EventSeq) -> Result<Rc<Decoded>, RecordError> {
        if let Some(decoded) = self.cached(event) {
            return Ok(decoded);
        }
        let entry = self.log.entry_of_event(event.0).await?;
        // Of a crowd that waited for the same entry, the first has decoded it.
        self.decoded(event).map_or_else(|| self.keep(event, &entry), Ok)
    }

    /// Those jobs that need the disk and can be had without the rest of their entries, by event.
    pub(crate) async fn lone_jobs(&self, events: impl Iterator<Item = EventSeq>) -> Vec<LoneJob> {
        let missing = |event: &EventSeq| self.decoded(*event).is_none();
        self.outlines.jobs(&self.log, events.filter(missing).collect()).await
    }

    fn decoded(&self, event: EventSeq) -> Option<Rc<Decoded>> {
        let by_event = self.by_event.borrow();
        let (_, decoded) = by_event.range(..=event.0).next_back()?;
        (event.0 < decoded.end_event).then(|| Rc::clone(decoded))
    }

    fn keep(&self, event: EventSeq, entry: &Entry) -> Result<Rc<Decoded>, RecordError> {
        let decoded =
            Decoded::decode(entry).map_err(|source| RecordError::Decode { event, source })?;
        let decoded = Rc::new(decoded);
        self.insert(Rc::clone(&decoded));
        self.outlines.decoded(&self.log, &decoded);
        Ok(decoded)
    }
}
