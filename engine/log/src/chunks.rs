//! Older entries that were read from the disk a moment ago.

use std::collections::VecDeque;

use crate::entry::Entry;
use crate::limits::CHUNKS_MAX;
use crate::part::EntryBlocks;

/// Consecutive records as they were read. The entries share one buffer.
pub(crate) struct Chunk {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    /// Offset behind the last record read whole.
    pub(crate) end: u64,
    /// Entries that count, in order; there may be none.
    pub(crate) entries: Vec<Entry>,
    /// Offset of the record of each.
    pub(crate) offsets: Vec<u64>,
}

impl Chunk {
    fn of_index(&self, index: u64) -> Option<usize> {
        let position = usize::try_from(index.checked_sub(self.entries.first()?.id.index)?).ok()?;
        (self.entries.get(position)?.id.index == index).then_some(position)
    }

    fn of_event(&self, event: u64) -> Option<usize> {
        let after = self.entries.partition_point(|entry| entry.first_event <= event);
        let position = after.checked_sub(1)?;
        self.entries[position].holds(event).then_some(position)
    }
}

/// The chunks used last, in that order.
#[derive(Default)]
pub(crate) struct Chunks {
    recent: VecDeque<Chunk>,
}

impl Chunks {
    pub(crate) fn push(&mut self, chunk: Chunk) {
        self.recent.retain(|known| (known.segment, known.offset) != (chunk.segment, chunk.offset));
        self.recent.truncate(CHUNKS_MAX - 1);
        self.recent.push_front(chunk);
    }

    /// Offset behind the chunk that begins at `offset`, if it is here.
    pub(crate) fn end_of(&self, segment: u64, offset: u64) -> Option<u64> {
        let is_it = |chunk: &&Chunk| (chunk.segment, chunk.offset) == (segment, offset);
        self.recent.iter().find(is_it).map(|chunk| chunk.end)
    }

    pub(crate) fn of_index(&mut self, index: u64) -> Option<&Entry> {
        self.find(|chunk| chunk.of_index(index)).map(|(entry, _)| entry)
    }

    /// The entry, and where reading on would begin when it is in the chunk's second half.
    pub(crate) fn of_event(&mut self, event: u64) -> Option<(&Entry, Option<(u64, u64)>)> {
        self.find(|chunk| chunk.of_event(event))
    }

    /// What the blocks of the entry are like, if it is here.
    pub(crate) fn blocks_of_event(&self, event: u64) -> Option<EntryBlocks> {
        let in_chunk = |chunk: &Chunk| {
            let at = chunk.of_event(event)?;
            let body = &chunk.entries[at].body;
            Some(EntryBlocks::of(chunk.segment, chunk.offsets[at], body))
        };
        self.recent.iter().find_map(in_chunk)
    }

    fn find(
        &mut self,
        position: impl Fn(&Chunk) -> Option<usize>,
    ) -> Option<(&Entry, Option<(u64, u64)>)> {
        let (chunk, entry) =
            self.recent.iter().enumerate().find_map(|(at, chunk)| Some((at, position(chunk)?)))?;
        if chunk > 0 {
            let used = self.recent.remove(chunk).expect("just found");
            self.recent.push_front(used);
        }
        let chunk = &self.recent[0];
        let next = ((entry + 1) * 2 > chunk.entries.len()).then_some((chunk.segment, chunk.end));
        Some((&chunk.entries[entry], next))
    }

    pub(crate) fn truncate(&mut self, end_index: u64) {
        for chunk in &mut self.recent {
            chunk.entries.retain(|entry| entry.id.index < end_index);
            chunk.offsets.truncate(chunk.entries.len());
        }
    }

    pub(crate) fn drop_segment(&mut self, segment: u64) {
        self.recent.retain(|chunk| chunk.segment != segment);
    }
}
