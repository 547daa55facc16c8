//! Queues: their waiting jobs and their counts.

use std::rc::Rc;

use jobbie_proto::limits::PRIORITY_TIERS;
use jobbie_proto::reply::JobState;
use xxhash_rust::xxh3::xxh3_64;

use crate::fifo::Fifo;
use crate::pages::{Pages, own};
use crate::table::Table;

/// One queue.
#[derive(Clone, Default)]
pub(crate) struct Queue {
    pub(crate) name: Rc<str>,
    pub(crate) paused: bool,
    /// Waiting jobs by tier. The first member of each, if any, really waits: whatever takes a
    /// waiting job away also trims, so that a fetch never searches.
    pub(crate) tiers: [Fifo; PRIORITY_TIERS as usize],
    /// Jobs by state; those completed since the shard began.
    pub(crate) jobs: [u64; 8],
    pub(crate) enqueued_total: u64,
    /// Jobs in memory that can expire.
    pub(crate) expiring: u64,
}

impl Queue {
    pub(crate) fn pending(&self) -> u64 {
        self.jobs[JobState::Pending as usize]
    }
}

/// All queues of a shard. A queue stays once it exists.
#[derive(Clone)]
pub(crate) struct Queues {
    queues: Pages<Rc<Queue>, 64>,
    by_name: Table,
    sorted: Sorted,
}

impl Queues {
    pub(crate) fn new() -> Self {
        Self { queues: Pages::new(), by_name: Table::new(), sorted: Sorted::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.queues.len()
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
            return at;
        }
        let at = u32::try_from(self.len()).expect("too many queues");
        self.queues.push(Rc::new(Queue { name: name.into(), ..Queue::default() }));
        self.by_name.insert(xxh3_64(name.as_bytes()), at);
        let queues = &self.queues;
        self.sorted.insert(at, |other| *queues[other as usize].name < *name);
        at
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
}
