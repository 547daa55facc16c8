//! What is due when: an eight-way heap of (time, key), in shared pages.
//!
//! Chosen over a hierarchical wheel because the next time is exact without moving anything, because no step ever
//! touches more than a path (a wheel cascades a slot of a million timers in one go), and because it costs 16 bytes a
//! timer.

use crate::pages::{Pages, per_page};

const WAYS: usize = 8;

/// Whoever a timer belongs to is told where the timer is, so that it can be removed or moved.
pub(crate) trait Owner {
    fn timer_is_at(&mut self, key: u64, at: u32);
}

/// One timer. Order is by time, then key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timer {
    pub(crate) due: u64,
    pub(crate) key: u64,
}

/// No timer: after all others.
impl Default for Timer {
    fn default() -> Self {
        Self { due: u64::MAX, key: u64::MAX }
    }
}

/// The timers right below another one. They are looked at together, so they are together: those below
/// the timer at `n` are group `n + 1`, and the first timer is the last of group 0.
type Group = [Timer; WAYS];

/// Timers, the earliest first.
#[derive(Clone)]
pub(crate) struct Heap {
    groups: Pages<Group, { per_page::<Group>() }>,
    len: usize,
}

fn place(at: usize) -> (usize, usize) {
    let at = at + WAYS - 1;
    (at / WAYS, at % WAYS)
}

impl Heap {
    pub(crate) fn new() -> Self {
        Self { groups: Pages::new(), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn at(&self, at: u32) -> Timer {
        self.get(at as usize)
    }

    #[inline]
    fn get(&self, at: usize) -> Timer {
        let (group, nth) = place(at);
        self.groups[group][nth]
    }

    #[inline]
    pub(crate) fn first(&self) -> Option<Timer> {
        (self.len > 0).then(|| self.get(0))
    }

    /// The places below `at`.
    #[inline]
    pub(crate) fn children(&self, at: u32) -> std::ops::Range<u32> {
        let first = (at as usize * WAYS + 1).min(self.len);
        first as u32..(first + WAYS).min(self.len) as u32
    }

    pub(crate) fn insert(&mut self, timer: Timer, owner: &mut impl Owner) {
        let at = self.len;
        self.len += 1;
        if place(at).0 == self.groups.len() {
            self.groups.push(Group::default());
        }
        self.rise(at, timer, owner);
    }

    /// Takes the timer at `at` away. Its owner is not told.
    pub(crate) fn remove(&mut self, at: u32, owner: &mut impl Owner) -> Timer {
        let at = at as usize;
        let last = self.pop();
        if at == self.len {
            return last;
        }
        let removed = self.get(at);
        self.settle(at, last, owner);
        removed
    }

    fn pop(&mut self) -> Timer {
        self.len = self.len.checked_sub(1).expect("removed from an empty heap");
        let (group, nth) = place(self.len);
        let last = std::mem::take(&mut self.groups.get_mut(group)[nth]);
        if nth == 0 {
            self.groups.pop();
        }
        last
    }

    /// Gives the timer at `at` another time.
    pub(crate) fn change(&mut self, at: u32, due: u64, owner: &mut impl Owner) {
        let timer = Timer { due, ..self.at(at) };
        self.settle(at as usize, timer, owner);
    }

    fn settle(&mut self, at: usize, timer: Timer, owner: &mut impl Owner) {
        if at > 0 && timer < self.get((at - 1) / WAYS) {
            self.rise(at, timer, owner);
        } else {
            self.sink(at, timer, owner);
        }
    }

    #[inline]
    fn put(&mut self, at: usize, timer: Timer, owner: &mut impl Owner) {
        let (group, nth) = place(at);
        self.groups.get_mut(group)[nth] = timer;
        owner.timer_is_at(timer.key, at as u32);
    }

    fn rise(&mut self, mut at: usize, timer: Timer, owner: &mut impl Owner) {
        while at > 0 {
            let up = (at - 1) / WAYS;
            let above = self.get(up);
            if above <= timer {
                break;
            }
            self.put(at, above, owner);
            at = up;
        }
        self.put(at, timer, owner);
    }

    fn sink(&mut self, mut at: usize, timer: Timer, owner: &mut impl Owner) {
        while at + 1 < self.groups.len() {
            let below = &self.groups[at + 1];
            let mut least = 0;
            for nth in 1..WAYS {
                if below[nth] < below[least] {
                    least = nth;
                }
            }
            let earliest = below[least];
            if timer <= earliest {
                break;
            }
            self.put(at, earliest, owner);
            at = at * WAYS + 1 + least;
        }
        self.put(at, timer, owner);
    }

    /// Asserts the heap order.
    pub(crate) fn check(&self) {
        for at in 1..self.len {
            let up = (at - 1) / WAYS;
            assert!(self.get(up) <= self.get(at), "timer {at} is before the one above it");
        }
        let all = self.groups.iter().flatten().filter(|timer| **timer != Timer::default());
        assert_eq!(all.count(), self.len, "timers miscounted");
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Timer> {
        (0..self.len).map(|at| self.get(at))
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
