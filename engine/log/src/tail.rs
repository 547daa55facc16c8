//! The newest entries, in memory.

use std::collections::VecDeque;

use crate::entry::Entry;

struct Kept {
    entry: Entry,
    /// Number of its record; `u64::MAX` while it has no place yet.
    sequence: u64,
}

/// Entries from some index to the end of the log: all that are not written yet, and older ones up to
/// a number of bytes.
pub(crate) struct Tail {
    kept: VecDeque<Kept>,
    bytes: usize,
    bytes_max: usize,
}

impl Tail {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { kept: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// Index of the first entry here.
    pub(crate) fn first_index(&self) -> Option<u64> {
        self.kept.front().map(|kept| kept.entry.id.index)
    }

    pub(crate) fn push(&mut self, entry: Entry, sequence: u64) {
        if let Some(last) = self.kept.back() {
            assert_eq!(entry.id.index, last.entry.id.index + 1, "the tail has no gaps");
        }
        self.bytes += entry.body.held_bytes();
        self.kept.push_back(Kept { entry, sequence });
    }

    /// The entry got its place.
    pub(crate) fn placed(&mut self, index: u64, sequence: u64) {
        if let Some(position) = self.position(index) {
            self.kept[position].sequence = sequence;
        }
    }

    /// Lets go of the oldest entries beyond the limit, but of none that is not written.
    pub(crate) fn evict(&mut self, written_sequence: u64) {
        while self.bytes > self.bytes_max {
            match self.kept.front() {
                Some(kept) if kept.sequence <= written_sequence => {
                    self.bytes -= kept.entry.body.held_bytes();
                    self.kept.pop_front();
                }
                _ => break,
            }
        }
    }

    pub(crate) fn truncate(&mut self, end_index: u64) {
        while self.kept.back().is_some_and(|kept| kept.entry.id.index >= end_index) {
            let kept = self.kept.pop_back().expect("just seen");
            self.bytes -= kept.entry.body.held_bytes();
        }
    }

    pub(crate) fn get(&self, index: u64) -> Option<&Entry> {
        Some(&self.kept[self.position(index)?].entry)
    }

    pub(crate) fn of_event(&self, event: u64) -> Option<&Entry> {
        let after = self.kept.partition_point(|kept| kept.entry.first_event <= event);
        let entry = &self.kept.get(after.checked_sub(1)?)?.entry;
        entry.holds(event).then_some(entry)
    }

    fn position(&self, index: u64) -> Option<usize> {
        let position = usize::try_from(index.checked_sub(self.first_index()?)?).ok()?;
        (position < self.kept.len()).then_some(position)
    }
}
