//! All segments of a log, oldest first; the last one is being written.

use std::collections::VecDeque;

use crate::segment::Segment;

/// The segments that belong to the log.
pub(crate) struct Segments<F> {
    list: VecDeque<Segment<F>>,
}

impl<F> Segments<F> {
    pub(crate) fn new() -> Self {
        Self { list: VecDeque::new() }
    }

    pub(crate) fn push(&mut self, segment: Segment<F>) {
        if let Some(last) = self.list.back() {
            assert_eq!(segment.id, last.id + 1, "segments follow each other");
        }
        self.list.push_back(segment);
    }

    pub(crate) fn active(&self) -> &Segment<F> {
        self.list.back().expect("a log has a segment")
    }

    pub(crate) fn active_mut(&mut self) -> &mut Segment<F> {
        self.list.back_mut().expect("a log has a segment")
    }

    pub(crate) fn oldest(&self) -> &Segment<F> {
        self.list.front().expect("a log has a segment")
    }

    pub(crate) fn pop_oldest(&mut self) -> Segment<F> {
        assert!(self.list.len() > 1, "the active segment is never given up");
        self.list.pop_front().expect("checked")
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Segment<F>> {
        self.list.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Segment<F>> {
        self.list.iter_mut()
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Segment<F>> {
        let position = id.checked_sub(self.list.front()?.id)?;
        self.list.get(usize::try_from(position).ok()?)
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Segment<F>> {
        let position = id.checked_sub(self.list.front()?.id)?;
        self.list.get_mut(usize::try_from(position).ok()?)
    }

    /// Forgets entries from `end_index` on.
    pub(crate) fn truncate(&mut self, end_index: u64, next_event: u64) {
        for segment in self.list.iter_mut().rev() {
            if segment.start_index < end_index
                && segment.entries().is_none_or(|e| e.end <= end_index)
            {
                break;
            }
            segment.truncate(end_index, next_event);
        }
    }

    /// Segment and offset from which walking finds entry `index`.
    pub(crate) fn find_index(&self, index: u64) -> Option<(u64, u64)> {
        let after = self.list.partition_point(|segment| segment.start_index <= index);
        let segment = self.list.get(after.checked_sub(1)?)?;
        Some((segment.id, segment.offset_before_index(index)?))
    }

    /// Segment and offset from which walking finds the entry that holds `event`.
    pub(crate) fn find_event(&self, event: u64) -> Option<(u64, u64)> {
        let after = self.list.partition_point(|segment| segment.start_event <= event);
        let segment = self.list.get(after.checked_sub(1)?)?;
        Some((segment.id, segment.offset_before_event(event)?))
    }
}
