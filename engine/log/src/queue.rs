//! Records on their way to the disk: queued, coalesced into writes, landed in order.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use jobbie_io::AlignedBuf;

use crate::entry::EntryId;
use crate::error::LogFailed;
use crate::limits::{WRITE_BYTES_MAX, WRITE_IN_PLACE_BYTES_MIN, WRITES_IN_FLIGHT};

/// Called once, in the order of the records, when a record and all before it are written.
pub(crate) type Done = Box<dyn FnOnce(Result<(), LogFailed>)>;

/// A record with its place.
pub(crate) struct Queued {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) sequence: u64,
    pub(crate) buf: Rc<AlignedBuf>,
    /// The last entry of the log once this record counts, when the record changes that.
    pub(crate) entry: Option<EntryId>,
    pub(crate) done: Option<Done>,
}

/// One write to do.
pub(crate) struct Write {
    pub(crate) flight: u64,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) buf: Rc<AlignedBuf>,
    pub(crate) range: Range<usize>,
}

/// A write and everything before it succeeded.
pub(crate) struct Landed {
    pub(crate) segment: u64,
    pub(crate) end: u64,
    pub(crate) sequence: u64,
    pub(crate) entry: Option<EntryId>,
    pub(crate) dones: Vec<Done>,
}

struct Flight {
    number: u64,
    written: bool,
    landed: Landed,
}

/// The queue of one log.
#[derive(Default)]
pub(crate) struct Queue {
    queued: VecDeque<Queued>,
    flights: VecDeque<Flight>,
    flights_started: u64,
    /// Mean size of the latest writes, in bytes.
    write_bytes_recent: usize,
    /// Buffers of earlier coalesced writes.
    buffers: Vec<Rc<AlignedBuf>>,
}

impl Queue {
    pub(crate) fn push(&mut self, record: Queued) {
        self.queued.push_back(record);
    }

    /// Nothing waits and another write could start.
    pub(crate) fn has_room(&self) -> bool {
        self.queued.is_empty() && self.flights.len() < WRITES_IN_FLIGHT
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.queued.is_empty() && self.flights.is_empty()
    }

    /// Mean size of the latest writes, in bytes.
    pub(crate) fn write_bytes_recent(&self) -> usize {
        self.write_bytes_recent
    }

    /// The next write, if one may start: everything queued that lies in one piece.
    pub(crate) fn next_write(&mut self) -> Option<Write> {
        if self.flights.len() == WRITES_IN_FLIGHT {
            return None;
        }
        let first = self.queued.front()?;
        let (segment, offset) = (first.segment, first.offset);
        let count = self.run_length();
        let (buf, range) = if count == 1 {
            (Rc::clone(&first.buf), 0..first.buf.len())
        } else {
            let mut joined = self.take_buffer();
            let buf = Rc::get_mut(&mut joined).expect("a pooled buffer is nobody else's");
            buf.clear();
            for record in self.queued.iter().take(count) {
                buf.extend_from_slice(&record.buf);
            }
            let range = 0..buf.len();
            self.buffers.push(Rc::clone(&joined));
            (joined, range)
        };
        self.flights_started += 1;
        self.write_bytes_recent = (self.write_bytes_recent * 7 + range.len()) / 8;
        let mut landed = Landed {
            segment,
            end: offset + range.len() as u64,
            sequence: 0,
            entry: None,
            dones: Vec::new(),
        };
        for record in self.queued.drain(..count) {
            landed.sequence = record.sequence;
            landed.entry = record.entry.or(landed.entry);
            landed.dones.extend(record.done);
        }
        self.flights.push_back(Flight { number: self.flights_started, written: false, landed });
        Some(Write { flight: self.flights_started, segment, offset, buf, range })
    }

    /// How many records from the front go into one write: one that is large goes alone, from its own
    /// buffer; small ones are joined while they lie side by side.
    fn run_length(&self) -> usize {
        let mut bytes = 0;
        let mut expected = None;
        let mut count = 0;
        for record in &self.queued {
            let len = record.buf.len();
            let contiguous = expected.is_none_or(|place| place == (record.segment, record.offset));
            let large = len >= WRITE_IN_PLACE_BYTES_MIN;
            if !contiguous || count > 0 && (large || bytes + len > WRITE_BYTES_MAX) {
                break;
            }
            count += 1;
            if large {
                break;
            }
            bytes += len;
            expected = Some((record.segment, record.offset + len as u64));
        }
        count
    }

    fn take_buffer(&mut self) -> Rc<AlignedBuf> {
        let free = self.buffers.iter().position(|buf| Rc::strong_count(buf) == 1);
        free.map_or_else(
            || Rc::new(AlignedBuf::with_capacity(WRITE_BYTES_MAX)),
            |free| self.buffers.swap_remove(free),
        )
    }

    /// A write succeeded: gives what landed, in order, up to the first write still out.
    pub(crate) fn landed(&mut self, number: u64) -> Vec<Landed> {
        let flight = self.flights.iter_mut().find(|flight| flight.number == number);
        flight.expect("a write that was started").written = true;
        let mut landed = Vec::new();
        while self.flights.front().is_some_and(|flight| flight.written) {
            landed.push(self.flights.pop_front().expect("just seen").landed);
        }
        landed
    }

    /// Records from `end_index` on no longer say what the last entry is.
    pub(crate) fn forget_entries(&mut self, end_index: u64) {
        let entries = self.queued.iter_mut().map(|record| &mut record.entry);
        for entry in entries.chain(self.flights.iter_mut().map(|flight| &mut flight.landed.entry)) {
            if entry.is_some_and(|id| id.index >= end_index) {
                *entry = None;
            }
        }
    }

    /// Gives up everything.
    pub(crate) fn clear(&mut self) -> Vec<Done> {
        let flights = self.flights.drain(..).flat_map(|flight| flight.landed.dones);
        let mut dones: Vec<Done> = flights.collect();
        dones.extend(self.queued.drain(..).filter_map(|record| record.done));
        dones
    }
}
