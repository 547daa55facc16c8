//! The log's state in memory and every change of it. Nothing here waits: the driver does the I/O this asks for.

use std::collections::VecDeque;
use std::rc::Rc;

use jobbie_io::{AlignedBuf, BLOCK_BYTES};

use crate::body::BodyBuilder;
use crate::chunks::Chunks;
use crate::config::{Durability, LogConfig};
use crate::entry::{Entry, EntryId, Identity, Vote};
use crate::error::{Damage, LogFailed};
use crate::format::control::{CONTROL_BYTES, Control};
use crate::format::header::{HEADER_BYTES, Header, Place, RecordKind, padded_bytes};
use crate::format::{BLOCK, footer};
use crate::limits::{CONTROL_RESERVE_BYTES, ENTRY_RESERVE_BYTES, OPEN_SEGMENTS_MAX};
use crate::queue::{Done, Queue, Queued};
use crate::segment::{Closing, Segment};
use crate::segments::Segments;
use crate::tail::Tail;

/// Whether the log can still grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Yes.
    Ok,
    /// Only into its reserve: what adds jobs should be refused, what finishes them not. Becomes
    /// [`Space::Ok`] by itself.
    Low,
}

/// A segment prepared in advance.
pub(crate) struct Ready<F> {
    pub(crate) id: u64,
    pub(crate) bytes: u64,
    pub(crate) file: F,
}

/// A change that waits for a segment to be prepared.
pub(crate) enum Unplaced {
    Entry(Entry),
    Control(RecordKind, Change),
}

/// What a control record changes.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    Nothing,
    Vote(Vote),
    /// New last entry and next event.
    Truncate(Option<EntryId>, u64),
    /// New first segment; the purged entry is taken from the state then.
    Oldest(u64),
    /// The log goes on behind this entry, with this event.
    Restart(EntryId, u64),
}

pub(crate) struct Core<F> {
    pub(crate) config: LogConfig,
    pub(crate) identity: Identity,
    /// Size of new segments.
    pub(crate) segment_bytes: u64,
    pub(crate) segments: Segments<F>,
    pub(crate) ready: VecDeque<Ready<F>>,
    /// The state as callers see it.
    pub(crate) control: Control,
    /// The state behind the last record that has a place.
    pub(crate) placed: Control,
    pub(crate) committed_end: u64,
    /// Bytes of the records that got a place since the log was opened.
    pub(crate) placed_bytes: u64,
    /// Number and checksum of the last record that has a place.
    pub(crate) sequence: u64,
    pub(crate) checksum: u32,
    pub(crate) force_point: bool,
    /// Last record that is written, with all before it.
    pub(crate) written_sequence: u64,
    /// Last record that survives power loss, with all before it.
    pub(crate) durable_sequence: u64,
    /// The last mark.
    pub(crate) marked_sequence: u64,
    pub(crate) flushed: Option<EntryId>,
    pub(crate) tail: Tail,
    pub(crate) chunks: Chunks,
    pub(crate) unplaced: VecDeque<(Unplaced, Option<Done>)>,
    pub(crate) queue: Queue,
    pub(crate) space: Space,
    pub(crate) keep_from: u64,
    /// A chunk the driver should read ahead.
    pub(crate) wanted_chunk: Option<(u64, u64)>,
    /// Chunks being read.
    pub(crate) loading: Vec<(u64, u64)>,
    pub(crate) failed: Option<LogFailed>,
    pub(crate) closing: bool,
    /// Rises with every use of a descriptor.
    pub(crate) uses: u64,
    /// Highest segment id ever given out.
    pub(crate) last_segment: u64,
    /// Spare files, by id.
    pub(crate) spares: VecDeque<u64>,
    /// Records that had to be copied because somebody else held their body.
    pub(crate) copied_records: u64,
    /// Reads of older records from the disk.
    pub(crate) chunks_read: u64,
    pub(crate) scrub: Scrub,
}

/// What reading sealed segments back has come to.
#[derive(Default)]
pub(crate) struct Scrub {
    /// Some sealed segment may not have been read back in this round.
    pub(crate) is_due: bool,
    /// Segments read back, to their end or to the first damage.
    pub(crate) segments: u64,
    /// Bytes read for that.
    pub(crate) bytes: u64,
    /// Places where damage was found.
    pub(crate) damage_found: u64,
    /// Damage that nobody was told of yet.
    pub(crate) untold: VecDeque<Damage>,
}

impl<F: Clone> Core<F> {
    /// Body bytes that fit in a segment beside its first record.
    pub(crate) fn body_bytes_max(&self) -> usize {
        let room = footer::offset(self.segment_bytes) - 2 * BLOCK - ENTRY_RESERVE_BYTES;
        usize::try_from(room).expect("segments fit in memory") - HEADER_BYTES
    }

    pub(crate) fn next_index(&self) -> u64 {
        self.control.last.map_or(0, |last| last.index + 1)
    }

    /// Whether records of these sizes can be placed without preparing another segment, with `reserve`
    /// left over.
    pub(crate) fn fits(&self, records: impl Iterator<Item = u64>, reserve: u64) -> bool {
        if !self.unplaced.is_empty() {
            return false;
        }
        let active = self.segments.active();
        let (mut left, mut ready) = (active.limit() - active.end, self.ready.iter());
        for bytes in records {
            loop {
                let reserve = if ready.len() == 0 { reserve } else { 0 };
                if bytes + reserve <= left {
                    break;
                }
                let Some(next) = ready.next() else { return false };
                // The header and the first record take a block each.
                left = footer::offset(next.bytes) - 2 * BLOCK;
            }
            left -= bytes;
        }
        true
    }

    /// Takes an entry that has been checked.
    pub(crate) fn push_entry(&mut self, mut entry: Entry, done: Option<Done>) {
        self.control.last = Some(entry.id);
        self.control.next_event = entry.next_event();
        if self.unplaced.is_empty()
            && self.make_room(padded_bytes(entry.body.bytes().len()), ENTRY_RESERVE_BYTES)
        {
            self.place_entry(&mut entry, done);
            self.tail.push(entry, self.sequence);
        } else {
            self.tail.push(entry.clone(), u64::MAX);
            self.unplaced.push_back((Unplaced::Entry(entry), done));
        }
        self.tail.evict(self.written_sequence);
    }

    /// Takes a control record.
    pub(crate) fn push_control(&mut self, kind: RecordKind, change: Change, done: Option<Done>) {
        apply(&mut self.control, change);
        // Giving up a segment goes before what waits for one, which it changes nothing about.
        let gives_up = matches!(change, Change::Oldest(_));
        let reserve = if gives_up { 0 } else { CONTROL_RESERVE_BYTES };
        let may_go = gives_up || self.unplaced.is_empty();
        if may_go && self.make_room(padded_bytes(CONTROL_BYTES), reserve) {
            self.place_control(kind, change, done);
        } else {
            self.unplaced.push_back((Unplaced::Control(kind, change), done));
        }
    }

    /// Gives places to what waited for a segment.
    pub(crate) fn place_waiting(&mut self) {
        while let Some((waiting, _)) = self.unplaced.front() {
            let (body_bytes, reserve) = match waiting {
                Unplaced::Entry(entry) => (entry.body.bytes().len(), ENTRY_RESERVE_BYTES),
                Unplaced::Control(..) => (CONTROL_BYTES, CONTROL_RESERVE_BYTES),
            };
            if !self.make_room(padded_bytes(body_bytes), reserve) {
                return;
            }
            match self.unplaced.pop_front().expect("just seen") {
                (Unplaced::Entry(mut entry), done) => {
                    self.place_entry(&mut entry, done);
                    self.tail.placed(entry.id.index, self.sequence);
                }
                (Unplaced::Control(kind, change), done) => self.place_control(kind, change, done),
            }
        }
    }

    /// Sees that a record of `bytes` fits behind the last one, going on to the next segment if there is one.
    /// `reserve` is left when there is no next segment.
    fn make_room(&mut self, bytes: u64, reserve: u64) -> bool {
        let reserve = if self.ready.is_empty() { reserve } else { 0 };
        let active = self.segments.active_mut();
        if active.end + bytes + reserve <= active.limit() {
            return true;
        }
        let Some(next) = self.ready.pop_front() else { return false };
        active.closing = Some(Closing {
            control: self.placed,
            committed_end: self.committed_end,
            last_checksum: self.checksum,
        });
        let start_index = self.placed.last.map_or(0, |last| last.index + 1);
        let segment =
            Segment::new(next.id, next.bytes, Some(next.file), start_index, self.placed.next_event);
        self.segments.push(segment);
        self.place_control(RecordKind::Start, Change::Nothing, None);
        true
    }

    fn place_entry(&mut self, entry: &mut Entry, done: Option<Done>) {
        let kind = RecordKind::Entry(entry.kind);
        let mut header = self.header(kind, entry.body.bytes());
        header.index = entry.id.index;
        header.term = entry.id.term;
        header.time_us = entry.time_us;
        header.first_event = entry.first_event;
        header.event_count = entry.event_count;
        let place = self.place();
        let mut checksum = 0;
        let before = entry.body.bytes().as_ptr();
        let buf = entry.body.make_record(|out| checksum = header.encode(&place, out));
        self.copied_records += u64::from(before != entry.body.bytes().as_ptr());
        let force_point = std::mem::take(&mut self.force_point);
        let active = self.segments.active_mut();
        active.note_entry(entry.id.index, entry.first_event, place.offset, force_point);
        self.placed.last = Some(entry.id);
        self.placed.next_event = entry.next_event();
        self.push_record(&header, checksum, buf, Some(entry.id), done);
    }

    fn place_control(&mut self, kind: RecordKind, change: Change, done: Option<Done>) {
        apply(&mut self.placed, change);
        if matches!(change, Change::Truncate(..)) {
            let end_index = self.placed.last.map_or(0, |last| last.index + 1);
            let active = self.segments.active_mut();
            active.truncated_to = active.truncated_to.min(end_index);
        }
        self.force_point |= matches!(change, Change::Truncate(..) | Change::Restart(..));
        let mut body = BodyBuilder::with_capacity(CONTROL_BYTES);
        body.extend_from_slice(&self.placed.encode());
        let mut body = body.finish();
        let header = self.header(kind, body.bytes());
        let place = self.place();
        let mut checksum = 0;
        let buf = body.make_record(|out| checksum = header.encode(&place, out));
        let flushes = match change {
            Change::Truncate(last, _) => last,
            Change::Restart(last, _) => Some(last),
            _ => None,
        };
        self.push_record(&header, checksum, buf, flushes, done);
    }

    fn place(&self) -> Place {
        let active = self.segments.active();
        Place { store: self.identity.store, segment: active.id, offset: active.end }
    }

    fn header(&self, kind: RecordKind, body: &[u8]) -> Header {
        Header {
            kind,
            body_bytes: u32::try_from(body.len()).expect("smaller than a segment"),
            shard: self.identity.shard,
            index: 0,
            term: 0,
            time_us: 0,
            first_event: 0,
            event_count: 0,
            body_checksum: crc32fast::hash(body),
            sequence: self.sequence + 1,
            durable_sequence: self.durable_sequence,
            committed_end: self.committed_end,
            previous: self.checksum,
        }
    }

    fn push_record(
        &mut self,
        header: &Header,
        checksum: u32,
        buf: Rc<AlignedBuf>,
        entry: Option<EntryId>,
        done: Option<Done>,
    ) {
        assert_eq!(buf.len() as u64, header.padded_bytes(), "a record of whole blocks");
        assert!(buf.len().is_multiple_of(BLOCK_BYTES));
        let active = self.segments.active_mut();
        assert!(active.end + buf.len() as u64 <= active.limit(), "room was made");
        self.queue.push(Queued {
            segment: active.id,
            offset: active.end,
            sequence: header.sequence,
            buf,
            entry,
            done,
        });
        if active.records == 0 {
            active.first_sequence = header.sequence;
        }
        active.records += 1;
        active.end += header.padded_bytes();
        self.placed_bytes += header.padded_bytes();
        self.sequence = header.sequence;
        self.checksum = checksum;
    }

    /// Forgets entries behind `last`. They stay on the disk until their segments are recycled, but nothing
    /// refers to them.
    pub(crate) fn truncate(&mut self, last: Option<EntryId>, next_event: u64, done: Option<Done>) {
        let end_index = last.map_or(0, |last| last.index + 1);
        self.tail.truncate(end_index);
        self.chunks.truncate(end_index);
        self.segments.truncate(end_index, next_event);
        self.queue.forget_entries(end_index);
        if self.flushed.is_some_and(|flushed| flushed.index >= end_index) {
            self.flushed = last;
        }
        // What never got a place need not get one; whoever waits for it hears when this is done.
        let mut dones: Vec<Done> = Vec::new();
        let gone =
            |waiting: &Unplaced| matches!(waiting, Unplaced::Entry(e) if e.id.index >= end_index);
        self.unplaced.retain_mut(|(waiting, done)| {
            let gone = gone(waiting);
            if gone {
                dones.extend(done.take());
            }
            !gone
        });
        dones.extend(done);
        let done: Done = Box::new(move |result: Result<(), LogFailed>| {
            dones.into_iter().for_each(|done| done(result.clone()));
        });
        self.push_control(RecordKind::Truncate, Change::Truncate(last, next_event), Some(done));
    }

    /// The log goes on behind `last`, which it does not hold.
    pub(crate) fn restart(&mut self, last: EntryId, next_event: u64, done: Option<Done>) {
        self.tail.truncate(0);
        self.push_control(RecordKind::Purge, Change::Restart(last, next_event), done);
        self.committed_end = self.committed_end.max(last.index + 1);
    }

    /// A write completed: everything up to `written` counts. Gives what to call once no borrow is held.
    pub(crate) fn complete(&mut self, flight: u64) -> Vec<Done> {
        let mut dones = Vec::new();
        for landed in self.queue.landed(flight) {
            self.written_sequence = landed.sequence;
            if let Some(segment) = self.segments.get_mut(landed.segment) {
                segment.readable_end = landed.end;
            }
            if landed.entry.is_some() {
                self.flushed = landed.entry;
            }
            dones.extend(landed.dones);
        }
        if self.config.durability == Durability::Fsync {
            self.durable_sequence = self.written_sequence;
        }
        self.tail.evict(self.written_sequence);
        dones
    }

    /// Stops for good. Gives everybody who waits.
    pub(crate) fn fail(&mut self, reason: String) -> (LogFailed, Vec<Done>) {
        let failed = self.failed.get_or_insert(LogFailed { reason }).clone();
        let mut dones = self.queue.clear();
        dones.extend(self.unplaced.drain(..).filter_map(|(_, done)| done));
        (failed, dones)
    }

    /// Closes the files of sealed segments beyond the limit, those not used for longest first.
    pub(crate) fn close_unused_files(&mut self) {
        let open = self.segments.iter().filter(|segment| segment.sealed && segment.file.is_some());
        let mut uses: Vec<u64> = open.map(|segment| segment.used).collect();
        if uses.len() <= OPEN_SEGMENTS_MAX {
            return;
        }
        uses.sort_unstable();
        let limit = uses[uses.len() - OPEN_SEGMENTS_MAX];
        for segment in
            self.segments.iter_mut().filter(|segment| segment.sealed && segment.used < limit)
        {
            segment.file = None;
        }
    }

    pub(crate) fn check(&self) -> Result<(), LogFailed> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// As [`Core::check`], and the log is not being closed.
    pub(crate) fn check_open(&self) -> Result<(), LogFailed> {
        assert!(!self.closing, "used after it was closed");
        self.check()
    }

    /// Whether a control record may be taken now.
    pub(crate) fn takes_control(&self) -> bool {
        self.space == Space::Ok || self.fits([BLOCK].into_iter(), CONTROL_RESERVE_BYTES)
    }

    /// Whether the oldest segment can be given up, and the log can say so: nothing in it is needed by anybody.
    pub(crate) fn oldest_is_free(&self) -> bool {
        let oldest = self.segments.oldest();
        let active = self.segments.active();
        oldest.sealed
            && (active.end + BLOCK <= active.limit() || !self.ready.is_empty())
            && Rc::strong_count(&oldest.pin) == 1
            && self.is_unneeded(oldest.id)
    }

    /// Whether nothing in segment `id` is needed by anybody any more; that never changes again.
    pub(crate) fn is_unneeded(&self, id: u64) -> bool {
        let purged_end = self.control.purged.map_or(0, |purged| purged.index + 1);
        let needs_none = |next: &Segment<F>| {
            next.start_index <= purged_end && next.start_event <= self.keep_from
        };
        self.segments.get(id + 1).is_some_and(needs_none)
    }
}

/// The effect of a change on the state.
pub(crate) fn apply(control: &mut Control, change: Change) {
    match change {
        Change::Nothing => {}
        Change::Vote(vote) => control.vote = Some(vote),
        Change::Truncate(last, next_event) => {
            control.last = last;
            control.next_event = next_event;
        }
        Change::Oldest(segment) => control.oldest_segment = segment,
        Change::Restart(last, next_event) => {
            control.last = Some(last);
            control.purged = Some(last);
            control.next_event = next_event;
        }
    }
}
