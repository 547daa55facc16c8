//! What each record must be behind those before it.

use crate::entry::EntryId;
use crate::format::BLOCK;
use crate::format::control::Control;
use crate::format::header::{Header, RecordKind};
use crate::format::segment_header::SegmentHeader;

/// A record that is sound and has its place in the chain.
pub(crate) struct Record {
    pub(crate) header: Header,
    /// Checksum of its header, which the next record carries.
    pub(crate) checksum: u32,
    /// The state of the log that it holds, if it is no entry.
    pub(crate) control: Option<Control>,
}

/// The records of a log, as far as they were followed.
pub(crate) struct Chain {
    /// The state of the log behind the last one.
    pub(crate) control: Control,
    /// Number of the last one; 0 when nothing is known of those before.
    pub(crate) sequence: u64,
    pub(crate) checksum: u32,
}

impl Chain {
    /// Before the first record of segment `oldest`, when no segment before it is there.
    pub(crate) fn beginning(oldest: u64) -> Self {
        let control = Control { next_event: 1, oldest_segment: oldest, ..Control::default() };
        Self { control, sequence: 0, checksum: 0 }
    }

    pub(crate) fn next_index(&self) -> u64 {
        self.control.last.map_or(0, |last| last.index + 1)
    }

    /// Whether a sound record at `offset` of `segment` is the next one. The very first one followed has nothing to be
    /// compared to.
    pub(crate) fn continues(&self, header: &Header, segment: &SegmentHeader, offset: u64) -> bool {
        let begins = offset == BLOCK;
        let first_ever = self.sequence == 0 && segment.segment != 1;
        header.shard == segment.shard
            && (header.kind == RecordKind::Start) == begins
            && (first_ever && begins
                || header.sequence == self.sequence + 1
                    && (header.previous == self.checksum || crate::mutant!(StaleRecordsFollowed)))
    }

    /// What a sound record should say behind those before it, and what it says. No disk does that by accident, but
    /// the log must not be built on it.
    pub(crate) fn contradiction(
        &self,
        header: &Header,
        control: Option<&Control>,
    ) -> Option<(String, String)> {
        let (index, event) = (self.next_index(), self.control.next_event);
        let Some(control) = control else {
            let follows = (header.index, header.first_event) == (index, event);
            let found = || format!("entry {} with event {}", header.index, header.first_event);
            return (!follows).then(|| (format!("entry {index} with event {event}"), found()));
        };
        let last = control.last.map_or(0, |last| last.index + 1);
        let same = (last, control.next_event) == (index, event);
        let follows = match header.kind {
            // The first record there is says where the log begins.
            _ if self.sequence == 0 => true,
            RecordKind::Truncate => last <= index && control.next_event <= event,
            RecordKind::Purge => same || last > index && control.purged == control.last,
            _ => same,
        };
        let state = |index, event| format!("a log that goes on with entry {index}, event {event}");
        (!follows).then(|| (state(index, event), state(last, control.next_event)))
    }

    /// Goes on behind `record`.
    pub(crate) fn take(&mut self, record: &Record) {
        let header = &record.header;
        match record.control {
            Some(control) => self.control = control,
            None => {
                self.control.last = Some(EntryId { term: header.term, index: header.index });
                self.control.next_event = header.first_event + u64::from(header.event_count);
            }
        }
        self.sequence = header.sequence;
        self.checksum = record.checksum;
    }
}
