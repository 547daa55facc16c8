//! An ordered set in shared pages.
//!
//! Elements stand in order in pages of at most [`PAGE`], the pages in a list with the place at which each begins. A
//! clone costs a reference a page. Made for sets that lose their first and get new last elements most of the time:
//! both are found without a search, and pages are rings, so that nothing moves up. Anywhere else an element
//! costs two binary searches, and half a page is moved.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::pages::own;

/// Elements of a page. The list of pages of a million elements is still short enough to be moved when it gets one more.
const PAGE: usize = 64;
/// Elements at which a page looks for another to join, if both together leave room.
const SPARSE: usize = PAGE / 4;

#[derive(Clone)]
struct Page<T> {
    /// Not above its first element, and above all elements of the page before.
    from: T,
    /// Never empty.
    items: Rc<VecDeque<T>>,
}

/// A set of `T` in order.
#[derive(Clone)]
pub(crate) struct Ordered<T> {
    pages: VecDeque<Page<T>>,
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self { pages: VecDeque::new() }
    }
}

impl<T: Copy + Ord> Ordered<T> {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    #[inline]
    pub(crate) fn first(&self) -> Option<T> {
        self.pages.front()?.items.front().copied()
    }

    /// All elements in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flat_map(|page| page.items.iter())
    }

    /// The page in which an element stands, or would stand: the last that begins at or before it.
    #[inline]
    fn page_of(&self, item: T) -> usize {
        let last = self.pages.len().saturating_sub(1);
        if self.pages.get(1).is_none_or(|second| item < second.from) {
            0
        } else if self.pages[last].from <= item {
            last
        } else {
            self.pages.partition_point(|page| page.from <= item) - 1
        }
    }

    /// Whether it was not there yet.
    pub(crate) fn insert(&mut self, item: T) -> bool {
        let at = self.page_of(item);
        let Some(page) = self.pages.get_mut(at) else {
            let items = Rc::new(VecDeque::from([item]));
            self.pages.push_back(Page { from: item, items });
            return true;
        };
        page.from = page.from.min(item);
        let items = own(&mut page.items);
        if items.back().is_some_and(|back| *back < item) {
            items.push_back(item);
        } else {
            let Err(place) = items.binary_search(&item) else { return false };
            items.insert(place, item);
        }
        if items.len() > PAGE {
            // Whoever only ever appends leaves full pages behind.
            let is_last = at + 1 == self.pages.len();
            let items = own(&mut self.pages[at].items);
            let upper = items.split_off(if is_last { PAGE } else { PAGE / 2 });
            self.pages.insert(at + 1, Page { from: upper[0], items: Rc::new(upper) });
        }
        true
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, item: T) -> bool {
        let at = self.page_of(item);
        let Some(page) = self.pages.get_mut(at) else { return false };
        let items = own(&mut page.items);
        if items.front() == Some(&item) {
            items.pop_front();
        } else {
            let Ok(place) = items.binary_search(&item) else { return false };
            items.remove(place);
        }
        if items.is_empty() {
            self.pages.remove(at);
        } else if items.len() < SPARSE {
            self.join(at);
        }
        true
    }

    /// A page that has become sparse takes the next one in, if there is room.
    fn join(&mut self, at: usize) {
        let len = |at: usize| self.pages.get(at).map_or(PAGE, |page| page.items.len());
        if len(at) + len(at + 1) > PAGE * 3 / 4 {
            return;
        }
        let next = self.pages.remove(at + 1).expect("just seen");
        own(&mut self.pages[at].items).extend(next.items.iter());
    }

    /// Asserts the order within and between pages.
    pub(crate) fn check(&self) {
        assert!(self.iter().is_sorted_by(|a, b| a < b), "a set out of order");
        for (nth, page) in self.pages.iter().enumerate() {
            assert!((1..=PAGE).contains(&page.items.len()), "a page of {}", page.items.len());
            assert!(page.from <= page.items[0], "a page begins before its place");
            let before = nth.checked_sub(1).and_then(|before| self.pages[before].items.back());
            assert!(before.is_none_or(|before| *before < page.from), "pages overlap");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn is_a_set_in_order_whatever_comes_and_goes_and_a_copy_keeps_what_it_saw() {
        let (mut set, mut model) = (Ordered::default(), BTreeSet::new());
        let (mut random, mut copies, mut most) = (1_u64, Vec::new(), 0);
        for n in 0..200_000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(n);
            let chance = random >> 33;
            // A ring of lanes, then anything anywhere; each grows and is drained.
            let (ring, grows) = (n / 50_000 % 2 == 0, n / 25_000 % 2 == 0);
            if chance % 5 < if grows { 3 } else { 2 } {
                let item = if ring { n } else { chance / 5 % 5000 };
                assert_eq!(set.insert(item), model.insert(item));
            } else {
                let first = model.first().copied().unwrap_or(0);
                let item = if ring { first } else { chance / 5 % 5000 };
                assert_eq!(set.remove(item), model.remove(&item));
            }
            assert_eq!(set.first(), model.first().copied());
            assert_eq!(set.is_empty(), model.is_empty());
            most = most.max(set.pages.len());
            if n.is_multiple_of(997) {
                set.check();
                assert!(set.iter().eq(&model));
                assert!(set.pages.len() <= 2 + model.len() / (SPARSE / 2));
            }
            if n.is_multiple_of(9973) {
                copies.push((set.clone(), model.clone()));
            }
        }
        assert!(most > 40, "it never had many pages: {most}");
        for (set, model) in copies {
            set.check();
            assert!(set.iter().eq(&model));
        }
    }

    #[test]
    fn appending_fills_pages_and_draining_leaves_none() {
        let mut set = Ordered::default();
        (0..1000).for_each(|n| assert!(set.insert(n)));
        assert_eq!(set.pages.len(), 1000_usize.div_ceil(PAGE));
        assert!(!set.insert(500) && !set.remove(1000));
        (0..1000).rev().step_by(2).for_each(|n| assert!(set.remove(n)));
        set.check();
        (0..1000).step_by(2).for_each(|n| assert!(set.remove(n)));
        assert!(set.is_empty());
    }

    #[test]
    #[should_panic(expected = "pages overlap")]
    fn an_element_in_a_wrong_page_is_noticed() {
        let mut set: Ordered<u32> = Ordered::default();
        (0..200).for_each(|n| assert!(set.insert(n)));
        set.pages[1].from = 60;
        set.check();
    }
}
