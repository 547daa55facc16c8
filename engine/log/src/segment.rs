//! One segment as the running log knows it: where it ends and a sparse index of what is in it.

use std::rc::Rc;

use crate::format::BLOCK;
use crate::format::control::Control;
use crate::format::footer::{self, Footer, Point};
use crate::limits::POINT_BYTES;

/// Name of segment `id`.
pub(crate) fn file_name(id: u64) -> String {
    format!("log-{id:016x}.seg")
}

/// Name of a file that was segment `id` and waits to be used again.
pub(crate) fn spare_name(id: u64) -> String {
    format!("spare-{id:016x}.seg")
}

/// The id in a name made by [`file_name`] or, with its prefix, [`spare_name`].
pub(crate) fn parse_name(name: &str, prefix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(".seg")?;
    let well_formed =
        digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if well_formed { u64::from_str_radix(digits, 16).ok() } else { None }
}

/// What the footer needs from the moment the segment was left.
#[derive(Clone, Debug)]
pub(crate) struct Closing {
    pub(crate) control: Control,
    pub(crate) committed_end: u64,
    pub(crate) last_checksum: u32,
}

/// A segment.
pub(crate) struct Segment<F> {
    pub(crate) id: u64,
    pub(crate) bytes: u64,
    /// Open descriptor, if any.
    pub(crate) file: Option<F>,
    /// When `file` was last used, in a count that only rises.
    pub(crate) used: u64,
    /// Held by whoever reads the file, so that it is not recycled under a reader.
    pub(crate) pin: Rc<()>,
    /// Index that the next entry would have had when the segment began; lowered by truncation, so
    /// that it never falls from segment to segment.
    pub(crate) start_index: u64,
    /// The same for events.
    pub(crate) start_event: u64,
    /// Offset behind the last record.
    pub(crate) end: u64,
    /// Offset behind the last record that was written and may be read.
    pub(crate) readable_end: u64,
    pub(crate) first_sequence: u64,
    pub(crate) records: u64,
    base_index: u64,
    base_event: u64,
    /// Entries that count are `[base_index, end_index)`.
    end_index: u64,
    points: Vec<Point>,
    pub(crate) truncated_to: u64,
    /// Set when the log went on to the next segment.
    pub(crate) closing: Option<Closing>,
    pub(crate) sealed: bool,
    /// A sealed segment has no footer if its points did not fit in one.
    pub(crate) has_footer: bool,
    /// It was read back and checked, in this round.
    pub(crate) scrubbed: bool,
    /// Where damage was found in it.
    pub(crate) damaged_at: Option<u64>,
}

impl<F> Segment<F> {
    pub(crate) fn new(
        id: u64,
        bytes: u64,
        file: Option<F>,
        start_index: u64,
        start_event: u64,
    ) -> Self {
        Self {
            id,
            bytes,
            file,
            used: 0,
            pin: Rc::new(()),
            start_index,
            start_event,
            end: BLOCK,
            readable_end: BLOCK,
            first_sequence: 0,
            records: 0,
            base_index: 0,
            base_event: 0,
            end_index: 0,
            points: Vec::new(),
            truncated_to: u64::MAX,
            closing: None,
            sealed: false,
            has_footer: false,
            scrubbed: false,
            damaged_at: None,
        }
    }

    pub(crate) fn from_footer(footer: Footer, bytes: u64) -> Self {
        let mut segment =
            Self::new(footer.segment, bytes, None, footer.start_index, footer.start_event);
        segment.end = footer.end;
        segment.readable_end = footer.end;
        segment.first_sequence = footer.first_sequence;
        segment.records = footer.records;
        segment.base_index = footer.base_index;
        segment.base_event = footer.base_event;
        segment.end_index = footer.end_index;
        segment.points = footer.points;
        segment.truncated_to = footer.truncated_to;
        segment.closing = Some(Closing {
            control: footer.control,
            committed_end: footer.committed_end,
            last_checksum: footer.last_checksum,
        });
        (segment.sealed, segment.has_footer) = (true, true);
        segment
    }

    /// The footer of a segment the log has left.
    pub(crate) fn footer(&self) -> Footer {
        let closing = self.closing.as_ref().expect("only a segment that was left has a footer");
        Footer {
            segment: self.id,
            end: self.end,
            first_sequence: self.first_sequence,
            records: self.records,
            last_checksum: closing.last_checksum,
            committed_end: closing.committed_end,
            truncated_to: self.truncated_to,
            start_index: self.start_index,
            start_event: self.start_event,
            base_index: self.base_index,
            base_event: self.base_event,
            end_index: self.end_index,
            control: closing.control,
            points: self.points.clone(),
        }
    }

    /// Where records must end.
    pub(crate) fn limit(&self) -> u64 {
        footer::offset(self.bytes)
    }

    /// Number of the last record, if there is one.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.first_sequence + self.records - 1
    }

    /// Notes an entry at `offset`. A point is made when the last one is far enough, or when asked for.
    pub(crate) fn note_entry(&mut self, index: u64, event: u64, offset: u64, force_point: bool) {
        if self.points.is_empty() {
            self.base_index = index;
            self.base_event = event;
        }
        let block = u32::try_from(offset / BLOCK).expect("segments are small enough");
        let far = self
            .points
            .last()
            .is_none_or(|point| block - point.block >= POINT_BYTES / BLOCK as u32);
        if far || force_point {
            let relative = |value: u64, base: u64| {
                value.checked_sub(base).and_then(|by| u32::try_from(by).ok())
            };
            match (relative(index, self.base_index), relative(event, self.base_event)) {
                (Some(index), Some(event)) => self.points.push(Point { index, event, block }),
                // A jump by four billion, or back: only after an installed snapshot. What was before is
                // of no use to anybody then.
                _ => {
                    self.base_index = index;
                    self.base_event = event;
                    self.points.clear();
                    self.points.push(Point { index: 0, event: 0, block });
                }
            }
        }
        self.end_index = index + 1;
    }

    /// Offset of the first point behind `offset`.
    pub(crate) fn point_behind(&self, offset: u64) -> Option<u64> {
        let next = self.points.partition_point(|point| u64::from(point.block) * BLOCK <= offset);
        self.points.get(next).map(|point| u64::from(point.block) * BLOCK)
    }

    /// Forgets entries from `end_index` on.
    pub(crate) fn truncate(&mut self, end_index: u64, next_event: u64) {
        self.start_index = self.start_index.min(end_index);
        self.start_event = self.start_event.min(next_event);
        if self.points.is_empty() || self.end_index <= end_index {
            return;
        }
        let base = self.base_index;
        self.points.retain(|point| base + u64::from(point.index) < end_index);
        self.end_index = end_index;
        if self.points.is_empty() {
            self.end_index = 0;
        }
    }

    /// Entries of this segment that count, if any.
    pub(crate) fn entries(&self) -> Option<std::ops::Range<u64>> {
        (!self.points.is_empty()).then_some(self.base_index..self.end_index)
    }

    /// Offset from which walking finds entry `index`.
    pub(crate) fn offset_before_index(&self, index: u64) -> Option<u64> {
        let after = self.points.partition_point(|p| self.base_index + u64::from(p.index) <= index);
        let point = self.points.get(after.checked_sub(1)?)?;
        Some(u64::from(point.block) * BLOCK)
    }

    /// Offset from which walking finds the entry that holds `event`.
    pub(crate) fn offset_before_event(&self, event: u64) -> Option<u64> {
        let after = self.points.partition_point(|p| self.base_event + u64::from(p.event) <= event);
        let point = self.points.get(after.checked_sub(1)?)?;
        Some(u64::from(point.block) * BLOCK)
    }

    /// Whether an entry found at `offset` counts, or was truncated later on. After each truncation a
    /// point is made, so what lies before a point and is not below it in index is stale.
    pub(crate) fn counts(&self, index: u64, offset: u64) -> bool {
        let Some(entries) = self.entries() else { return false };
        let block = (offset / BLOCK) as u32;
        let next = self.points.partition_point(|point| point.block <= block);
        let bound =
            self.points.get(next).map_or(entries.end, |p| self.base_index + u64::from(p.index));
        (entries.start..bound).contains(&index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        assert_eq!(parse_name(&file_name(0xabc), "log-"), Some(0xabc));
        assert_eq!(parse_name(&spare_name(7), "spare-"), Some(7));
        for wrong in ["log-1.seg", "log-000000000000ABCD.seg", "log-0000000000000001.sge", "x"] {
            assert_eq!(parse_name(wrong, "log-"), None);
        }
    }

    #[test]
    fn truncated_entries_do_not_count_where_they_lie() {
        let mut segment = Segment::<()>::new(1, 1 << 20, None, 1, 1);
        for index in 1..=20 {
            segment.note_entry(index, index * 10, BLOCK * (index + 1), false);
        }
        segment.truncate(11, 110);
        assert_eq!(segment.entries(), Some(1..11));
        segment.note_entry(11, 110, BLOCK * 30, true);
        segment.note_entry(12, 120, BLOCK * 31, false);
        assert!(segment.counts(10, BLOCK * 11));
        assert!(!segment.counts(11, BLOCK * 12), "truncated");
        assert!(segment.counts(11, BLOCK * 30));
        assert_eq!(segment.offset_before_index(11), Some(BLOCK * 30));
        assert_eq!(segment.offset_before_event(119), Some(BLOCK * 30));
        assert_eq!(segment.offset_before_event(109), Some(BLOCK * 2));
    }
}
