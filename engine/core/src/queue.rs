//! Queues: their waiting jobs and their counts.

use std::rc::Rc;

use imbl::GenericOrdMap;
use imbl::shared_ptr::RcK;
use jobbie_proto::event::{QueueSettings, Sharing};
use jobbie_proto::limits::PRIORITY_TIERS;
use jobbie_proto::reply::{JOB_STATES, JobState};
use xxhash_rust::xxh3::xxh3_64;

use crate::fifo::Fifo;
use crate::lanes::Lanes;
use crate::lanes::fair::Cost;
use crate::lanes::settings::{Key, Limits};
use crate::lanes::window::{Rate, RateWindow};
use crate::pages::{Pages, own};
use crate::table::Table;

/// One queue.
#[derive(Clone, Default)]
pub(crate) struct Queue {
    pub(crate) name: Rc<str>,
    pub(crate) paused: bool,
    /// Whether it was paused to be drained.
    pub(crate) draining: bool,
    pub(crate) settings: QueueSettings,
    /// What was given out of late, when there is a rate.
    pub(crate) window: RateWindow,
    /// Waiting jobs by limit key, since the first one with a key came. Those that waited before go first.
    pub(crate) lanes: Option<Box<Lanes>>,
    /// Shares of limit keys that are not 1.
    pub(crate) weights: GenericOrdMap<Rc<str>, u16, RcK>,
    /// When the queue stands among those whose windows open; 0 is not.
    pub(crate) opening: u64,
    /// Waiting jobs by tier. The first member of each, if any, really waits: whatever takes a
    /// waiting job away also trims, so that a fetch never searches.
    pub(crate) tiers: [Fifo; PRIORITY_TIERS as usize],
    /// Jobs by state; those completed since the shard began.
    pub(crate) jobs: [u64; JOB_STATES],
    pub(crate) enqueued_total: u64,
    /// Jobs in memory that can expire.
    pub(crate) expiring: u64,
    /// Jobs with a lower number lost their keys here when the queue was deleted; 0 is never.
    pub(crate) deleted_below: u64,
    /// Whether it was deleted and not used since: only its name and `deleted_below` are remembered.
    pub(crate) hidden: bool,
}

impl Queue {
    /// The rate of the queue as a whole, if it has one.
    pub(crate) fn rate(&self) -> Option<Rate> {
        let QueueSettings { rate, window_ms, .. } = self.settings;
        let window_us = u64::from(window_ms) * 1000;
        (rate > 0 && window_ms > 0).then_some(Rate { claims: rate, window_us })
    }

    /// Whether anything but its waiting jobs decides what it hands out.
    #[inline]
    pub(crate) fn is_limited(&self) -> bool {
        self.settings.concurrency > 0 || self.settings.rate > 0 || self.lanes.is_some()
    }

    /// How many jobs it may hand out at `now`, when `ended` of its active ones are over.
    pub(crate) fn room(&self, now: u64, ended: u64) -> u64 {
        if !self.is_limited() {
            return u64::MAX;
        }
        let active = self.jobs[JobState::Active as usize] - ended;
        let slots = match u64::from(self.settings.concurrency) {
            0 => u64::MAX,
            _ if crate::mutant!(ConcurrencyIgnored) => u64::MAX,
            most => most.saturating_sub(active),
        };
        let rate = self.rate().filter(|_| !crate::mutant!(RateIgnored));
        rate.map_or(slots, |rate| slots.min(self.window.room(now, rate).into()))
    }

    /// When a window opens for which jobs wait, its own or that of a key; 0 is never.
    pub(crate) fn opens_at(&self) -> u64 {
        let waits = self.pending() > 0;
        let whole = self.rate().filter(|_| waits).and_then(|rate| self.window.opens_at(rate));
        let lane = self.lanes.as_ref().and_then(|lanes| lanes.first_opening());
        whole.into_iter().chain(lane).min().unwrap_or(0)
    }

    /// What its lanes are to keep to.
    pub(crate) fn lane_limits(&self) -> Limits {
        if crate::mutant!(KeyLimitsIgnored) {
            return Limits::default();
        }
        Limits {
            key_concurrency: self.settings.key_concurrency,
            key_rate: self.settings.key_rate,
            key_window_us: u64::from(self.settings.key_window_ms) * 1000,
            fair: match self.settings.fair {
                Sharing::None => None,
                Sharing::Jobs => Some(Cost::Jobs),
                Sharing::WorkerTime => Some(Cost::WorkerTime),
            },
        }
    }

    /// A limit key with its share.
    pub(crate) fn key<'a>(&self, name: &'a str) -> Key<'a> {
        Key { name, weight: self.weights.get(name).copied().unwrap_or(1) }
    }

    pub(crate) fn pending(&self) -> u64 {
        self.jobs[JobState::Pending as usize]
    }

    /// Whether it has no jobs, and is set up as if it had never been used.
    pub(crate) fn is_unused(&self) -> bool {
        // What has moved on is no longer here.
        let here = JobState::HERE.iter().all(|state| self.jobs[*state as usize] == 0);
        here && self.enqueued_total == 0
            && !self.paused
            && self.settings == QueueSettings::default()
            && self.weights.is_empty()
    }
}

/// All queues of a shard. A queue stays until it is deleted, and its name for ever.
#[derive(Clone)]
pub(crate) struct Queues {
    queues: Pages<Rc<Queue>, 64>,
    by_name: Table,
    sorted: Sorted,
    /// Those that are hidden.
    hidden: Sorted,
    hidden_count: usize,
}

impl Queues {
    pub(crate) fn new() -> Self {
        Self {
            queues: Pages::new(),
            by_name: Table::new(),
            sorted: Sorted::default(),
            hidden: Sorted::default(),
            hidden_count: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.queues.len()
    }

    /// Those that exist for others.
    pub(crate) fn shown(&self) -> usize {
        self.len() - self.hidden_count
    }

    #[inline]
    pub(crate) fn get(&self, at: u32) -> &Queue {
        &self.queues[at as usize]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, at: u32) -> &mut Queue {
        own(self.queues.get_mut(at as usize))
    }

    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        self.by_name.find(xxh3_64(name.as_bytes()), |at| *self.get(at).name == *name)
    }

    pub(crate) fn find_or_insert(&mut self, name: &str) -> u32 {
        if let Some(at) = self.find(name) {
            self.show(at);
            return at;
        }
        let at = u32::try_from(self.len()).expect("too many queues");
        self.queues.push(Rc::new(Queue { name: name.into(), ..Queue::default() }));
        self.by_name.insert(xxh3_64(name.as_bytes()), at);
        let queues = &self.queues;
        self.sorted.insert(at, |other| *queues[other as usize].name < *name);
        at
    }

    /// A queue that was deleted is used again.
    #[inline]
    pub(crate) fn show(&mut self, at: u32) {
        if self.hidden_count > 0 && self.get(at).hidden {
            self.get_mut(at).hidden = false;
            self.hidden_count -= 1;
            let (queues, name) = (&self.queues, Rc::clone(&self.queues[at as usize].name));
            let before = |other: u32| *queues[other as usize].name < *name;
            self.hidden.remove(before);
            self.sorted.insert(at, before);
        }
    }

    /// A queue exists no longer; its name is remembered.
    pub(crate) fn hide(&mut self, at: u32) {
        if self.get(at).hidden {
            return;
        }
        self.get_mut(at).hidden = true;
        self.hidden_count += 1;
        let (queues, name) = (&self.queues, Rc::clone(&self.queues[at as usize].name));
        let before = |other: u32| *queues[other as usize].name < *name;
        self.sorted.remove(before);
        self.hidden.insert(at, before);
    }

    /// Numbers of those that are hidden, by name.
    pub(crate) fn hidden(&self) -> impl Iterator<Item = u32> {
        self.hidden.from(|_| false)
    }

    /// Numbers of the queues whose name is above `after` and not below `from`, by name.
    pub(crate) fn from<'a>(&'a self, from: &'a str, after: &'a str) -> impl Iterator<Item = u32> {
        let before = move |at: u32| {
            let name = &*self.get(at).name;
            name < from || (!after.is_empty() && name <= after)
        };
        self.sorted.from(before)
    }
}

/// Queue numbers by name, in shared chunks, so that a new queue moves few of them.
#[derive(Clone, Default)]
struct Sorted {
    chunks: Vec<Rc<Vec<u32>>>,
}

const CHUNK: usize = 256;

impl Sorted {
    fn insert(&mut self, at: u32, before: impl Fn(u32) -> bool) {
        let chunk = self.chunks.partition_point(|c| before(c[0])).saturating_sub(1);
        let Some(numbers) = self.chunks.get_mut(chunk) else {
            return self.chunks.push(Rc::new(vec![at]));
        };
        let numbers = own(numbers);
        numbers.insert(numbers.partition_point(|&n| before(n)), at);
        if numbers.len() == CHUNK {
            let upper = numbers.split_off(CHUNK / 2);
            self.chunks.insert(chunk + 1, Rc::new(upper));
        }
    }

    /// Removes the first that is not before.
    fn remove(&mut self, before: impl Fn(u32) -> bool) {
        let chunk = self.chunks.partition_point(|c| before(c[0])).saturating_sub(1);
        // It is in this chunk, or the first of the next.
        let here = self.chunks[chunk].partition_point(|&n| before(n));
        let (chunk, at) =
            if here < self.chunks[chunk].len() { (chunk, here) } else { (chunk + 1, 0) };
        let numbers = own(&mut self.chunks[chunk]);
        numbers.remove(at);
        if numbers.is_empty() {
            self.chunks.remove(chunk);
        }
    }

    fn from(&self, before: impl Fn(u32) -> bool) -> impl Iterator<Item = u32> {
        let chunk = self.chunks.partition_point(|c| before(c[0])).saturating_sub(1);
        let rest = self.chunks.get(chunk..).unwrap_or_default();
        let skip = rest.first().map_or(0, |c| c.partition_point(|&n| before(n)));
        rest.iter().flat_map(|c| c.iter().copied()).skip(skip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_listed_by_name_from_anywhere() {
        let mut queues = Queues::new();
        let mut names: Vec<_> = (0..3000_u32).map(|n| format!("q{}", n * 7919 % 3000)).collect();
        for name in &names {
            queues.find_or_insert(name);
        }
        names.sort();
        let list = |from, after| -> Vec<String> {
            queues.from(from, after).map(|at| queues.get(at).name.to_string()).collect()
        };
        assert_eq!(list("", ""), names);
        assert_eq!(list("", "q1500"), names[names.partition_point(|n| &**n <= "q1500")..]);
        assert_eq!(list("q29", "q1")[0], "q29");
        assert!(list("r", "").is_empty());
        assert_eq!(queues.find("q17").map(|at| &*queues.get(at).name), Some("q17"));
    }

    #[test]
    fn hidden_queues_are_not_listed_until_they_are_used_again() {
        let mut queues = Queues::new();
        let name = |n: u32| format!("q{n:04}");
        (0..1000).for_each(|n| _ = queues.find_or_insert(&name(n * 7919 % 1000)));
        let hidden = |n: &u32| !n.is_multiple_of(3);
        for n in (0..1000).filter(hidden) {
            queues.hide(queues.find(&name(n)).expect("it was made"));
        }
        let names = |list: Vec<u32>| -> Vec<String> {
            list.into_iter().map(|at| queues.get(at).name.to_string()).collect()
        };
        let expected: Vec<_> = (0..1000).filter(|n| !hidden(n)).map(name).collect();
        assert_eq!(names(queues.from("", "").collect()), expected);
        let expected: Vec<_> = (0..1000).filter(hidden).map(name).collect();
        assert_eq!(names(queues.hidden().collect()), expected);
        assert_eq!(queues.shown(), 334);
        (0..1000).for_each(|n| _ = queues.find_or_insert(&name(n)));
        assert_eq!((queues.from("", "").count(), queues.hidden().count()), (1000, 0));
        assert_eq!((queues.shown(), queues.len()), (1000, 1000));
    }
}
