//! What is due when: an eight-way heap of (time, key), in shared pages.
//!
//! Chosen over a hierarchical wheel because the next time is exact without moving anything, because no step ever
//! touches more than a path (a wheel cascades a slot of a million timers in one go), and because it costs 16 bytes a
//! timer. A lease that is longer than those before it goes in without moving anything.

use crate::pages::Pages;

const WAYS: usize = 8;

/// Whoever a timer belongs to is told where the timer is, so that it can be removed or moved.
pub(crate) trait Owner {
    fn timer_is_at(&mut self, key: u64, at: u32);
}

/// One timer. Order is by time, then key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timer {
    pub(crate) due: u64,
    pub(crate) key: u64,
}

/// Timers, the earliest first.
#[derive(Clone)]
pub(crate) struct Heap {
    timers: Pages<Timer, 256>,
}

impl Heap {
    pub(crate) fn new() -> Self {
        Self { timers: Pages::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.timers.len()
    }

    #[inline]
    pub(crate) fn at(&self, at: u32) -> Timer {
        self.timers[at as usize]
    }

    pub(crate) fn first(&self) -> Option<Timer> {
        (self.len() > 0).then(|| self.timers[0])
    }

    /// The places below `at`.
    #[inline]
    pub(crate) fn children(&self, at: u32) -> std::ops::Range<u32> {
        let first = (at as usize * WAYS + 1).min(self.len());
        first as u32..(first + WAYS).min(self.len()) as u32
    }

    pub(crate) fn insert(&mut self, timer: Timer, owner: &mut impl Owner) {
        let at = self.len();
        self.timers.push(timer);
        self.rise(at, timer, owner);
    }

    /// Takes the timer at `at` away. Its owner is not told.
    pub(crate) fn remove(&mut self, at: u32, owner: &mut impl Owner) -> Timer {
        let at = at as usize;
        let last = self.timers.pop().expect("removed from an empty heap");
        if at == self.len() {
            return last;
        }
        let removed = self.timers[at];
        self.settle(at, last, owner);
        removed
    }

    /// Gives the timer at `at` another time.
    pub(crate) fn change(&mut self, at: u32, due: u64, owner: &mut impl Owner) {
        let timer = Timer { due, ..self.at(at) };
        self.settle(at as usize, timer, owner);
    }

    fn settle(&mut self, at: usize, timer: Timer, owner: &mut impl Owner) {
        if at > 0 && timer < self.timers[(at - 1) / WAYS] {
            self.rise(at, timer, owner);
        } else {
            self.sink(at, timer, owner);
        }
    }

    #[inline]
    fn put(&mut self, at: usize, timer: Timer, owner: &mut impl Owner) {
        *self.timers.get_mut(at) = timer;
        owner.timer_is_at(timer.key, at as u32);
    }

    fn rise(&mut self, mut at: usize, timer: Timer, owner: &mut impl Owner) {
        while at > 0 {
            let up = (at - 1) / WAYS;
            let above = self.timers[up];
            if above <= timer {
                break;
            }
            self.put(at, above, owner);
            at = up;
        }
        self.put(at, timer, owner);
    }

    fn sink(&mut self, mut at: usize, timer: Timer, owner: &mut impl Owner) {
        loop {
            let children = self.children(at as u32);
            let least = children.min_by_key(|&child| self.timers[child as usize]);
            let Some(below) = least.map(|child| child as usize) else { break };
            if timer <= self.timers[below] {
                break;
            }
            self.put(at, self.timers[below], owner);
            at = below;
        }
        self.put(at, timer, owner);
    }

    /// Asserts the heap order.
    pub(crate) fn check(&self) {
        for at in 1..self.len() {
            let up = (at - 1) / WAYS;
            assert!(self.timers[up] <= self.timers[at], "timer {at} is before the one above it");
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Timer> {
        self.timers.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeSet, HashMap};

    #[derive(Default)]
    struct Places(HashMap<u64, u32>);

    impl Owner for Places {
        fn timer_is_at(&mut self, key: u64, at: u32) {
            self.0.insert(key, at);
        }
    }

    #[test]
    fn the_earliest_is_first_whatever_is_added_removed_or_moved() {
        let (mut heap, mut places) = (Heap::new(), Places::default());
        let mut model = BTreeSet::new();
        let mut random = 1_u64;
        for key in 0..4000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(key);
            let timer = Timer { due: random >> 52, key };
            heap.insert(timer, &mut places);
            model.insert(timer);
            let victim = random % (key + 1);
            if random & 3 == 0
                && let Some(&at) = places.0.get(&victim)
            {
                let removed = heap.remove(at, &mut places);
                assert_eq!(removed.key, victim);
                assert!(model.remove(&removed));
                places.0.remove(&victim);
            } else if random & 3 == 1
                && let Some(&at) = places.0.get(&victim)
            {
                model.remove(&heap.at(at));
                heap.change(at, random >> 50, &mut places);
                model.insert(Timer { due: random >> 50, key: victim });
            }
            assert_eq!(heap.first().as_ref(), model.first());
        }
        heap.check();
        for (key, &at) in &places.0 {
            assert_eq!(heap.at(at).key, *key);
        }
        while let Some(first) = model.pop_first() {
            assert_eq!(heap.remove(0, &mut places), first);
        }
        assert_eq!(heap.len(), 0);
    }
}
