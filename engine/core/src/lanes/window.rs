//! An exact sliding window: how many claims lie in `(now − window, now]`.
//!
//! Counters in fixed buckets and token buckets both let up to twice the rate through in some
//! window; a list of claims does not. Claims of one microsecond are one run, so the list is never
//! longer than the rate that let them in.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::pages::own;

/// Runs in one shared chunk.
const CHUNK: usize = 256;
/// Forgotten runs from which on it is worth while to move the others up.
const COMPACTED: usize = 8;

/// At most `claims` in any `window_us` microseconds. Both may change at any time: the window
/// itself only remembers when claims were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) claims: u32,
    pub(crate) window_us: u64,
}

/// Claims of one microsecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) time_us: u64,
    pub(crate) count: u32,
}

impl Run {
    /// The first microsecond in which it no longer counts.
    fn ends(self, window_us: u64) -> u64 {
        self.time_us.saturating_add(window_us)
    }
}

/// Claims that may still count, oldest first. Shared with its clones in chunks. While none has ended, only noting one more
/// looks into a chunk.
#[derive(Clone, Default)]
pub(crate) struct RateWindow {
    /// Full chunks before the last one.
    older: Option<Rc<VecDeque<Chunk>>>,
    /// Not empty, not even behind what was taken.
    last: Option<Chunk>,
    /// Claims held, whether they still count or not.
    held: u64,
    /// When the first of them was made.
    oldest_us: u64,
    /// Runs of the first chunk that are forgotten.
    taken: u32,
}

type Chunk = Rc<Vec<Run>>;

impl RateWindow {
    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.older.iter().flat_map(|older| older.iter()).chain(&self.last)
    }

    /// Held runs, oldest first.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Run> {
        self.chunks().flat_map(|chunk| chunk.iter().copied()).skip(self.taken as usize)
    }

    /// Whether all that is held counts at `now`.
    fn is_current(&self, now: u64, window_us: u64) -> bool {
        self.is_empty() || self.oldest_us.saturating_add(window_us) > now
    }

    /// How many more claims fit at `now`.
    pub(crate) fn room(&self, now: u64, rate: Rate) -> u32 {
        let mut counted = self.held;
        if !self.is_current(now, rate.window_us) {
            let ended = self.runs().take_while(|run| run.ends(rate.window_us) <= now);
            counted -= ended.map(|run| u64::from(run.count)).sum::<u64>();
        }
        u64::from(rate.claims).saturating_sub(counted) as u32
    }

    /// Notes `count` claims made at `now`. It is the caller who asks for room first: what has
    /// happened is noted even where today's rate would not have let it happen.
    ///
    /// # Panics
    /// When time runs backwards.
    pub(crate) fn claim(&mut self, now: u64, count: u32) {
        if count == 0 {
            return;
        }
        self.held += u64::from(count);
        let run = Run { time_us: now, count };
        let Some(last) = &mut self.last else {
            (self.last, self.oldest_us) = (Some(Rc::new(vec![run])), now);
            return;
        };
        let newest = last.last().expect("no chunk is empty").time_us;
        assert!(newest <= now, "a claim before an earlier one");
        if newest == now {
            own(last).last_mut().expect("just seen").count += count;
        } else if last.len() < CHUNK {
            own(last).push(run);
        } else {
            let full = std::mem::replace(last, Rc::new(vec![run]));
            own(self.older.get_or_insert_default()).push_back(full);
        }
    }

    /// The first microsecond in which there is room among the claims held, or none when there is
    /// room already.
    pub(crate) fn opens_at(&self, rate: Rate) -> Option<u64> {
        let mut leaving = self.held.checked_sub(u64::from(rate.claims))? + 1;
        for run in self.runs() {
            leaving = leaving.saturating_sub(u64::from(run.count));
            if leaving == 0 {
                return Some(run.ends(rate.window_us));
            }
        }
        // A rate of nothing never opens.
        Some(u64::MAX)
    }

    /// The first microsecond in which nothing held counts any more, or none when nothing is held.
    pub(crate) fn ends_at(&self, window_us: u64) -> Option<u64> {
        Some(self.newest()?.ends(window_us))
    }

    /// Drops the claims that no longer count at `now`.
    #[inline]
    pub(crate) fn forget(&mut self, now: u64, window_us: u64) {
        if !self.is_current(now, window_us) {
            self.forget_ended(now, window_us);
        }
    }

    fn forget_ended(&mut self, now: u64, window_us: u64) {
        while !self.is_empty() {
            let first = self.chunks().next().expect("it is not empty");
            let rest = &first[self.taken as usize..];
            let runs = rest.iter().take_while(|run| run.ends(window_us) <= now).count();
            let claims: u64 = rest[..runs].iter().map(|run| u64::from(run.count)).sum();
            let left = rest.get(runs).copied();
            self.held -= claims;
            if let Some(run) = left {
                self.taken += runs as u32;
                self.oldest_us = run.time_us;
                return self.compact();
            }
            self.taken = 0;
            match &mut self.older {
                Some(older) => {
                    own(older).pop_front();
                    if older.is_empty() {
                        self.older = None;
                    }
                }
                None => self.last = None,
            }
        }
    }

    /// A window that moves on within one chunk takes no more memory than twice what it holds.
    fn compact(&mut self) {
        let taken = self.taken as usize;
        if let (None, Some(chunk)) = (&self.older, &mut self.last)
            && taken >= COMPACTED
            && 2 * taken >= chunk.len()
        {
            own(chunk).drain(..taken);
            self.taken = 0;
        }
    }

    /// When the newest claim held was made.
    pub(crate) fn newest_us(&self) -> Option<u64> {
        self.newest().map(|run| run.time_us)
    }

    fn newest(&self) -> Option<Run> {
        self.last.as_ref()?.last().copied()
    }

    /// Asserts that runs are in order and counted.
    pub(crate) fn check(&self) {
        let runs: Vec<_> = self.runs().collect();
        assert!(runs.is_sorted_by(|a, b| a.time_us < b.time_us), "claims are out of order");
        assert!(runs.iter().all(|run| run.count > 0), "a run of no claims");
        let held: u64 = runs.iter().map(|run| u64::from(run.count)).sum();
        assert_eq!(self.held, held, "claims miscounted");
        assert_eq!(self.is_empty(), runs.is_empty(), "an empty chunk is kept");
        let oldest = runs.first().map_or(self.oldest_us, |run| run.time_us);
        assert_eq!(self.oldest_us, oldest, "the oldest claim was made at another time");
        assert!(self.older.as_ref().is_none_or(|older| !older.is_empty()), "an empty list is kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(claims: u32, window_us: u64) -> Rate {
        Rate { claims, window_us }
    }

    #[test]
    fn a_claim_counts_until_its_window_ends_and_not_in_that_microsecond() {
        let mut window = RateWindow::default();
        assert_eq!((window.room(0, rate(2, 100)), window.opens_at(rate(2, 100))), (2, None));
        window.claim(50, 1);
        window.claim(60, 1);
        assert_eq!(window.opens_at(rate(2, 100)), Some(150));
        assert_eq!(window.room(149, rate(2, 100)), 0);
        assert_eq!(window.room(150, rate(2, 100)), 1);
        assert_eq!(window.room(159, rate(2, 100)), 1);
        assert_eq!(window.room(160, rate(2, 100)), 2);
        // A lower rate waits for more to leave; a window of nothing holds nobody up.
        assert_eq!(window.opens_at(rate(1, 100)), Some(160));
        assert_eq!(window.room(60, rate(1, 0)), 1);
        assert_eq!(window.ends_at(100), Some(160));
        window.forget(149, 100);
        assert_eq!(window.runs().count(), 2);
        window.forget(150, 100);
        assert_eq!(window.runs().count(), 1);
        window.forget(160, 100);
        assert!(window.is_empty() && window.ends_at(100).is_none());
        window.check();
    }

    #[test]
    fn a_window_that_moves_on_takes_no_more_memory_than_it_holds() {
        let mut window = RateWindow::default();
        for now in 0..10_000 {
            window.forget(now, 20);
            window.claim(now, 1);
        }
        window.check();
        let chunk = window.last.as_ref().expect("it holds claims");
        assert_eq!((window.runs().count(), window.older.is_none()), (20, true));
        assert!(chunk.capacity() <= 64, "{}", chunk.capacity());
    }

    #[test]
    fn no_number_overflows() {
        let mut window = RateWindow::default();
        window.claim(u64::MAX - 1, u32::MAX);
        window.claim(u64::MAX, u32::MAX);
        assert_eq!(window.opens_at(rate(1, u64::MAX)), Some(u64::MAX));
        assert_eq!(window.room(u64::MAX - 1, rate(u32::MAX, 10)), 0);
        assert_eq!(window.opens_at(rate(0, 10)), Some(u64::MAX));
    }

    /// Every claim ever made, and from when on the window may have forgotten.
    #[derive(Default)]
    struct Naive(Vec<u64>);

    impl Naive {
        fn room(&self, now: u64, rate: Rate) -> u32 {
            let counted = self.0.iter().filter(|&&t| t + rate.window_us > now).count();
            rate.claims.saturating_sub(counted as u32)
        }

        /// Tries every microsecond in which anything can change.
        fn opens_at(&self, rate: Rate) -> Option<u64> {
            if self.0.len() < rate.claims as usize {
                return None;
            }
            self.0.iter().map(|t| t + rate.window_us).find(|&at| self.room(at, rate) > 0)
        }
    }

    #[test]
    fn is_a_list_of_claims_whatever_the_times_and_limits() {
        let (mut window, mut naive) = (RateWindow::default(), Naive::default());
        let (mut random, mut now, mut limit) = (1_u64, 1000_u64, rate(5, 100));
        let (mut full, mut longest, mut copies) = (0, 0, Vec::new());
        for n in 0..20_000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(n);
            let chance = random >> 33;
            let long = n / 5000 % 2 == 1;
            if n.is_multiple_of(5000) || chance.is_multiple_of(if long { 997 } else { 97 }) {
                // Claims that left before the change do not come back with it.
                window.forget(now, limit.window_us);
                naive.0.retain(|t| t + limit.window_us > now);
                let claims = if long { 500 + chance % 900 } else { 1 + chance % 9 };
                let window = if long { 9000 + chance / 7 % 9000 } else { chance / 7 % 300 };
                limit = rate(claims as u32, window);
            }
            now += [0, 0, 1, 3, 9, chance % 40][(chance / 11 % 6) as usize];
            assert_eq!(window.room(now, limit), naive.room(now, limit));
            assert_eq!(window.opens_at(limit), naive.opens_at(limit));
            if chance.is_multiple_of(3) {
                window.forget(now, limit.window_us);
                naive.0.retain(|t| t + limit.window_us > now);
            }
            let room = window.room(now, limit);
            full += u32::from(room == 0);
            let count = room.min((chance / 13 % 3) as u32);
            window.claim(now, count);
            naive.0.extend((0..count).map(|_| now));
            longest = longest.max(window.runs().count());
            if n.is_multiple_of(997) {
                window.check();
                copies.push((window.clone(), window.runs().collect::<Vec<_>>()));
            }
        }
        assert!(full > 1000 && longest > 2 * CHUNK, "{full} {longest}");
        for (copy, runs) in copies {
            copy.check();
            assert!(copy.runs().eq(runs));
        }
    }
}
