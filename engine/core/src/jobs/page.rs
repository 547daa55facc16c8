//! What is known of 512 consecutive jobs: which of them are in memory, where they came from,
//! and which have a struct or a timer of their own.

use super::links::Links;
use super::rows::Rows;
use super::{Handle, Origin};

/// Jobs a page covers.
pub(crate) const PAGE: u64 = 1 << PAGE_BITS;
pub(super) const PAGE_BITS: u32 = 9;
const WORDS: usize = PAGE as usize / 64;

/// Handles that are kept packed.
const PACKED_MAX: usize = 96;
/// Handles at which an unpacked page is packed again.
const PACKED_AGAIN: u32 = 32;

#[derive(Clone, Default)]
pub(super) struct Page {
    alive: [u64; WORDS],
    special: [u64; WORDS],
    pub(super) live: u32,
    /// Bits of `special`.
    specials: u32,
    rows: Rows,
    /// One for each bit of `special`, in order, while they are few; otherwise one for each job of the
    /// page, so that a busy page neither counts bits nor moves handles.
    handles: Vec<u32>,
    /// Absent while no job has a unique key.
    uniques: Option<Box<Links>>,
}

fn bit(offset: u64) -> (usize, u64) {
    ((offset / 64) as usize, 1 << (offset % 64))
}

impl Page {
    pub(super) fn add(&mut self, offset: u64, count: u64, origin: Origin) {
        for at in offset..offset + count {
            let (word, mask) = bit(at);
            assert!(self.alive[word] & mask == 0, "a job number was used twice");
            self.alive[word] |= mask;
        }
        self.live += count as u32;
        if self.rows.last(offset) != Some(origin) {
            self.rows.push(offset, origin);
        }
        if offset + count == PAGE {
            self.rows.shrink_to_fit();
        }
    }

    /// A job that had left memory is in it again; it may be the only one here.
    pub(super) fn put_back(&mut self, offset: u64, origin: Origin) {
        let (word, mask) = bit(offset);
        assert!(self.alive[word] & mask == 0, "a job is in memory twice");
        let row = self.rows.find(offset).filter(|(_, end)| self.next(offset + 1, false) < *end);
        self.alive[word] |= mask;
        self.live += 1;
        self.rows.put(offset, origin);
        // Those behind it came from where they came from.
        if let Some((before, _)) = row {
            self.rows.put(offset + 1, Origin { event: before.event + 1, ..before });
        }
    }

    #[inline]
    pub(super) fn contains(&self, offset: u64) -> bool {
        let (word, mask) = bit(offset);
        self.alive[word] & mask != 0
    }

    /// Where a job came from, and how many offsets from it on came from there too.
    #[inline]
    pub(super) fn origin(&self, offset: u64) -> (Origin, u64) {
        let (origin, end) = self.rows.of(offset);
        (origin, end - offset)
    }

    /// Special jobs before this one. Most words are empty, and counting bits is slow without the
    /// processor's own instruction, which the baseline of our builds does not have.
    #[inline]
    fn rank(&self, offset: u64) -> usize {
        let (word, mask) = bit(offset);
        let count = |w: u64| if w == 0 { 0 } else { w.count_ones() };
        let before: u32 = self.special[..word].iter().map(|&w| count(w)).sum();
        (before + count(self.special[word] & (mask - 1))) as usize
    }

    fn is_direct(&self) -> bool {
        self.handles.len() == PAGE as usize
    }

    /// Where the handle of a special job is.
    #[inline]
    fn place(&self, offset: u64) -> usize {
        if self.is_direct() { offset as usize } else { self.rank(offset) }
    }

    #[inline]
    pub(super) fn handle(&self, offset: u64) -> Option<Handle> {
        let (word, mask) = bit(offset);
        (self.special[word] & mask != 0).then(|| Handle(self.handles[self.place(offset)]))
    }

    #[inline]
    pub(super) fn set_handle(&mut self, offset: u64, handle: Handle) {
        let (word, mask) = bit(offset);
        if self.special[word] & mask == 0 {
            if !self.is_direct() {
                if self.handles.len() < PACKED_MAX {
                    self.handles.insert(self.rank(offset), handle.0);
                    self.special[word] |= mask;
                    self.specials += 1;
                    return;
                }
                self.unpack();
            }
            self.special[word] |= mask;
            self.specials += 1;
        }
        let place = self.place(offset);
        self.handles[place] = handle.0;
    }

    #[inline]
    pub(super) fn clear_handle(&mut self, offset: u64) {
        let (word, mask) = bit(offset);
        assert!(self.special[word] & mask != 0, "the job has no handle");
        if !self.is_direct() {
            let rank = self.rank(offset);
            self.handles.remove(rank);
        }
        self.special[word] &= !mask;
        self.specials -= 1;
        if self.is_direct() && self.specials < PACKED_AGAIN {
            self.pack();
        }
    }

    fn offsets(special: [u64; WORDS]) -> impl Iterator<Item = usize> {
        special.into_iter().enumerate().flat_map(|(at, mut word)| {
            std::iter::from_fn(move || {
                let low = word.trailing_zeros() as usize;
                word &= word.wrapping_sub(1);
                (low < 64).then_some(at * 64 + low)
            })
        })
    }

    fn unpack(&mut self) {
        let packed = std::mem::replace(&mut self.handles, vec![0; PAGE as usize]);
        for (offset, handle) in Self::offsets(self.special).zip(packed) {
            self.handles[offset] = handle;
        }
    }

    fn pack(&mut self) {
        let direct = std::mem::take(&mut self.handles);
        self.handles = Self::offsets(self.special).map(|offset| direct[offset]).collect();
    }

    pub(super) fn remove(&mut self, offset: u64) {
        let (word, mask) = bit(offset);
        assert!(self.alive[word] & mask != 0, "the job is not in memory");
        if self.special[word] & mask != 0 {
            self.clear_handle(offset);
        }
        self.alive[word] &= !mask;
        self.live -= 1;
    }

    #[inline]
    pub(super) fn unique(&self, offset: u64) -> Option<u32> {
        self.uniques.as_ref()?.get(offset)
    }

    pub(super) fn set_unique(&mut self, offset: u64, key: u32) {
        assert!(self.contains(offset), "a job that is not there took a unique key");
        self.uniques.get_or_insert_default().set(offset, key);
    }

    pub(super) fn uniques(&self) -> usize {
        self.uniques.as_ref().map_or(0, |links| links.offsets().count())
    }

    #[inline]
    pub(super) fn take_unique(&mut self, offset: u64) -> Option<u32> {
        self.uniques.as_mut()?.take(offset)
    }

    /// The first job at or after `offset`, or `PAGE`; only untouched ones when `fresh`.
    #[inline]
    pub(super) fn next(&self, offset: u64, fresh: bool) -> u64 {
        let mut word = (offset / 64) as usize;
        let mut keep = u64::MAX << (offset % 64);
        while word < WORDS {
            let hidden = if fresh { self.special[word] } else { 0 };
            let bits = self.alive[word] & !hidden & keep;
            if bits != 0 {
                return word as u64 * 64 + u64::from(bits.trailing_zeros());
            }
            keep = u64::MAX;
            word += 1;
        }
        PAGE
    }

    pub(super) fn check(&self) {
        let count = |words: &[u64; WORDS]| words.iter().map(|w| w.count_ones()).sum::<u32>();
        assert_eq!(count(&self.alive), self.live, "a page miscounts its jobs");
        assert_eq!(count(&self.special), self.specials, "a page miscounts its handles");
        let packed = self.handles.len() == self.specials as usize;
        assert!(packed || self.is_direct(), "handles and bits differ");
        for (alive, special) in self.alive.iter().zip(&self.special) {
            assert_eq!(special & !alive, 0, "a job that is gone has a handle");
        }
        self.rows.check();
        if let Some(links) = &self.uniques {
            links.check();
            assert!(links.offsets().all(|at| self.contains(at)), "a job that is gone has a key");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::ClassId;

    #[test]
    fn handles_survive_packing_and_unpacking() {
        let mut page = Page::default();
        page.add(0, PAGE, Origin { event: 1, created_ms: 5, class: ClassId(1) });
        let order = |n: u64| n * 37 % PAGE;
        for n in 0..PAGE {
            page.set_handle(order(n), Handle(order(n) as u32));
            page.check();
            assert!((0..=n).all(|m| page.handle(order(m)) == Some(Handle(order(m) as u32))));
        }
        for n in 0..PAGE {
            page.clear_handle(order(n));
            page.check();
            assert!((n + 1..PAGE).all(|m| page.handle(order(m)) == Some(Handle(order(m) as u32))));
        }
        assert!(page.handles.is_empty());
    }

    #[test]
    fn handles_follow_their_jobs() {
        let mut page = Page::default();
        page.add(0, PAGE, Origin { event: 1, created_ms: 5, class: ClassId(1) });
        for offset in [500, 3, 64, 63, 0, 511] {
            page.set_handle(offset, Handle(offset as u32 + 1000));
        }
        page.set_handle(64, Handle(7));
        page.remove(63);
        page.clear_handle(3);
        for (offset, handle) in [(500, 1500), (64, 7), (0, 1000), (511, 1511)] {
            assert_eq!(page.handle(offset), Some(Handle(handle)));
        }
        assert_eq!((page.handle(3), page.handle(63), page.contains(63)), (None, None, false));
        assert_eq!((page.next(0, true), page.next(62, true), page.next(511, true)), (1, 62, PAGE));
        assert_eq!((page.next(63, false), page.next(63, true)), (64, 65));
        page.check();
    }
}
