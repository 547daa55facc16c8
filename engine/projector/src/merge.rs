//! Entries of several shards as one sequence: by time, then by shard. Which sequence that is follows from the logs alone, whenever and
//! however often it is made.

use std::collections::VecDeque;

use jobbie_proto::{Micros, ShardId};

/// An entry as the sequence sees it.
pub trait Timed {
    /// When it was made; within a shard, never before the one before it.
    fn time(&self) -> Micros;
}

/// Puts entries in order. An entry has its turn once no other shard can come with one that goes before it.
#[derive(Debug)]
pub struct Merge<E> {
    lanes: Vec<Lane<E>>,
}

#[derive(Debug)]
struct Lane<E> {
    waiting: VecDeque<E>,
    /// What comes behind those that wait is no earlier than this.
    floor: Micros,
}

impl<E: Timed> Merge<E> {
    /// For shards `0..shards`.
    #[must_use]
    pub fn new(shards: u16) -> Self {
        let lane = || Lane { waiting: VecDeque::new(), floor: Micros(0) };
        Self { lanes: (0..shards).map(|_| lane()).collect() }
    }

    /// The next entry of a shard.
    ///
    /// # Panics
    /// When there is no such shard.
    pub fn push(&mut self, shard: ShardId, entry: E) {
        let lane = &mut self.lanes[usize::from(shard.0)];
        lane.floor = lane.floor.max(entry.time());
        lane.waiting.push_back(entry);
    }

    /// What comes next of a shard is no earlier than `floor`; [`Micros`] of `u64::MAX` for never.
    ///
    /// # Panics
    /// When there is no such shard.
    pub fn promise(&mut self, shard: ShardId, floor: Micros) {
        let lane = &mut self.lanes[usize::from(shard.0)];
        lane.floor = lane.floor.max(floor);
    }

    /// Whether no entry of a shard waits.
    ///
    /// # Panics
    /// When there is no such shard.
    #[must_use]
    pub fn is_empty(&self, shard: ShardId) -> bool {
        self.lanes[usize::from(shard.0)].waiting.is_empty()
    }

    /// The next entry, if it is known which one that is.
    pub fn pop(&mut self) -> Option<(ShardId, E)> {
        let first = self.first()?;
        if self.holding_up(first).next().is_some() {
            return None;
        }
        let shard = ShardId(first as u16);
        self.lanes[first].waiting.pop_front().map(|entry| (shard, entry))
    }

    /// The shards that the next entry waits for, and the time behind which they must promise to stay.
    pub fn waits_for(&self) -> impl Iterator<Item = (ShardId, Micros)> + '_ {
        self.first().into_iter().flat_map(|first| {
            let time = self.lanes[first].waiting[0].time();
            // A lower shard goes first when the times are equal.
            let wanted = move |shard: usize| Micros(time.0 + u64::from(shard < first));
            self.holding_up(first).map(move |shard| (ShardId(shard as u16), wanted(shard)))
        })
    }

    /// The lane with the earliest of the entries that wait.
    fn first(&self) -> Option<usize> {
        let fronts = self.lanes.iter().enumerate();
        let times = fronts.filter_map(|(at, lane)| Some((lane.waiting.front()?.time(), at)));
        times.min().map(|(_, at)| at)
    }

    fn holding_up(&self, first: usize) -> impl Iterator<Item = usize> + '_ {
        let time = self.lanes[first].waiting[0].time();
        let may_come_before = move |(at, lane): &(usize, &Lane<E>)| {
            lane.waiting.is_empty() && (lane.floor, *at) < (time, first)
        };
        self.lanes.iter().enumerate().filter(may_come_before).map(|(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Timed for u64 {
        fn time(&self) -> Micros {
            Micros(*self)
        }
    }

    const A: ShardId = ShardId(0);
    const B: ShardId = ShardId(1);

    #[test]
    fn an_entry_waits_for_shards_that_may_come_before_it() {
        let mut merge = Merge::new(2);
        merge.push(A, 10_u64);
        assert_eq!(merge.pop(), None);
        assert_eq!(merge.waits_for().collect::<Vec<_>>(), [(B, Micros(10))]);
        merge.promise(B, Micros(9));
        assert_eq!(merge.pop(), None);
        merge.promise(B, Micros(10));
        assert_eq!(merge.pop(), Some((A, 10)), "of two at one time the lower shard goes first");
        merge.push(B, 10);
        assert_eq!(merge.waits_for().collect::<Vec<_>>(), [(A, Micros(11))]);
        merge.promise(A, Micros(10));
        assert_eq!(merge.pop(), None);
        merge.push(A, 10);
        assert_eq!((merge.pop(), merge.pop()), (Some((A, 10)), None));
        merge.promise(A, Micros(u64::MAX));
        assert_eq!((merge.pop(), merge.pop()), (Some((B, 10)), None));
        assert!(merge.is_empty(A) && merge.is_empty(B) && merge.waits_for().next().is_none());
    }

    /// However the shards' entries and promises arrive, they come out in one order.
    #[test]
    fn the_order_does_not_depend_on_how_entries_arrive() {
        let lanes: [Vec<u64>; 3] =
            [vec![1, 4, 4, 9], vec![4, 5, 5, 5, 20], vec![2, 2, 3, 9, 9, 11]];
        let mut expected: Vec<(u64, usize, usize)> = Vec::new();
        for (shard, lane) in lanes.iter().enumerate() {
            expected.extend(lane.iter().enumerate().map(|(nth, time)| (*time, shard, nth)));
        }
        expected.sort_unstable();
        let expected: Vec<(usize, u64)> = expected.iter().map(|e| (e.1, e.0)).collect();
        for seed in 1..500_u64 {
            let (mut merge, mut at, mut random) = (Merge::new(3), [0; 3], seed);
            let mut seen = Vec::new();
            while seen.len() < expected.len() {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let shard = (random >> 40) as usize % 3;
                let id = ShardId(shard as u16);
                match lanes[shard].get(at[shard]) {
                    Some(time) if random >> 33 & 1 == 0 => {
                        merge.push(id, *time);
                        at[shard] += 1;
                    }
                    next => merge.promise(id, Micros(next.copied().unwrap_or(u64::MAX))),
                }
                while let Some((shard, time)) = merge.pop() {
                    seen.push((usize::from(shard.0), time));
                }
            }
            assert_eq!(seen, expected, "seed {seed}");
        }
    }
}
