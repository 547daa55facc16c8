//! Objects with small stable numbers, in shared pages, with a free list threaded through them.

use crate::pages::Pages;

/// "No number".
pub(crate) const NONE: u32 = u32::MAX;

/// An object that lends the slab one field while it is free.
pub(crate) trait Slot: Clone + Default {
    /// The next free slot, when this one is free.
    fn next_free(&self) -> u32;
    /// A free slot that names the next.
    fn free(next: u32) -> Self;
}

/// A slab in pages of `N`.
#[derive(Clone)]
pub(crate) struct Slab<T, const N: usize> {
    items: Pages<T, N>,
    free: u32,
    live: usize,
}

impl<T: Slot, const N: usize> Slab<T, N> {
    pub(crate) fn new() -> Self {
        Self { items: Pages::new(), free: NONE, live: 0 }
    }

    /// Objects in it.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Slots, free or not: every number in use is below.
    pub(crate) fn slots(&self) -> usize {
        self.items.len()
    }

    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        self.live += 1;
        if self.free == NONE {
            let at = u32::try_from(self.items.len()).expect("slab is full");
            self.items.push(value);
            return at;
        }
        let at = self.free;
        let slot = self.items.get_mut(at as usize);
        self.free = slot.next_free();
        *slot = value;
        at
    }

    #[inline]
    pub(crate) fn remove(&mut self, at: u32) -> T {
        self.live -= 1;
        let removed = std::mem::replace(self.items.get_mut(at as usize), T::free(self.free));
        self.free = at;
        removed
    }

    #[inline]
    pub(crate) fn get(&self, at: u32) -> &T {
        &self.items[at as usize]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, at: u32) -> &mut T {
        self.items.get_mut(at as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, Default, PartialEq)]
    struct Thing(u32);

    impl Slot for Thing {
        fn next_free(&self) -> u32 {
            self.0
        }
        fn free(next: u32) -> Self {
            Thing(next)
        }
    }

    #[test]
    fn numbers_are_reused() {
        let mut slab: Slab<Thing, 4> = Slab::new();
        let numbers: Vec<_> = (0..6).map(|n| slab.insert(Thing(n * 10))).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
        assert_eq!((slab.remove(1), slab.remove(4)), (Thing(10), Thing(40)));
        assert_eq!(
            (slab.insert(Thing(7)), slab.insert(Thing(8)), slab.insert(Thing(9))),
            (4, 1, 6)
        );
        assert_eq!((slab.get(4), slab.get(5), slab.live()), (&Thing(7), &Thing(50), 7));
    }
}
