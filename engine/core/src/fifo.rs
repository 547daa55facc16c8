//! The waiting jobs of one tier of one queue, in order.
//!
//! An item is a run of consecutive jobs that were never touched since they were enqueued, or one
//! job that stepped back. Nothing is removed from the middle: whether a member still waits is
//! decided when it is reached, from the job's own state.

use std::collections::VecDeque;
use std::rc::Rc;

/// Items of one chunk: 8 KiB.
const CHUNK: usize = 512;
/// Capacity up to which the only chunk is kept when it becomes empty.
const KEPT: usize = 8;
const RUN: u64 = 1 << 63;

/// Jobs that wait one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// Consecutive jobs without a struct.
    Run { first: u64, count: u64 },
    /// A job that stepped back, and the event that put it here. It waits here only while its
    /// struct names the same event.
    Single { job: u64, position: u64 },
}

/// An item in 16 bytes: the top bit of the second word tells which kind it is.
#[derive(Clone, Copy)]
struct Packed(u64, u64);

impl Packed {
    fn pack(item: Item) -> Self {
        match item {
            Item::Run { first, count } => Self(first, count | RUN),
            Item::Single { job, position } => Self(job, position),
        }
    }

    fn unpack(self) -> Item {
        if self.1 & RUN != 0 {
            Item::Run { first: self.0, count: self.1 & !RUN }
        } else {
            Item::Single { job: self.0, position: self.1 }
        }
    }
}

/// Items in order of arrival.
#[derive(Clone, Default)]
pub(crate) struct Fifo {
    chunks: VecDeque<Rc<Vec<Packed>>>,
    /// Items of the first chunk that are gone.
    gone: usize,
}

impl Fifo {
    pub(crate) fn is_empty(&self) -> bool {
        self.front().is_none()
    }

    #[inline]
    pub(crate) fn front(&self) -> Option<Item> {
        Some(self.chunks.front()?.get(self.gone)?.unpack())
    }

    /// Appends consecutive jobs; a run that continues the last one costs nothing.
    pub(crate) fn push_run(&mut self, first: u64, count: u64) {
        if let Some(chunk) = self.chunks.back_mut()
            && let Some(Item::Run { first: f, count: c }) = chunk.last().map(|p| p.unpack())
            && f + c == first
        {
            let run = Packed::pack(Item::Run { first: f, count: c + count });
            *Rc::make_mut(chunk).last_mut().expect("it has a last item") = run;
            return;
        }
        self.push(Item::Run { first, count });
    }

    pub(crate) fn push(&mut self, item: Item) {
        match self.chunks.back_mut() {
            Some(chunk) if chunk.len() < CHUNK => Rc::make_mut(chunk).push(Packed::pack(item)),
            _ => self.chunks.push_back(Rc::new(vec![Packed::pack(item)])),
        }
    }

    /// Drops the first `members` jobs of the front item.
    pub(crate) fn drop_front(&mut self, members: u64) {
        let item = self.front().expect("dropped from an empty queue");
        match item {
            Item::Run { first, count } if members < count => {
                let rest = Item::Run { first: first + members, count: count - members };
                let chunk = self.chunks.front_mut().expect("it has a front");
                Rc::make_mut(chunk)[self.gone] = Packed::pack(rest);
            }
            _ => self.pop(),
        }
    }

    fn pop(&mut self) {
        self.gone += 1;
        let only = self.chunks.len() == 1;
        let Some(front) = self.chunks.front_mut().filter(|chunk| self.gone == chunk.len()) else {
            return;
        };
        self.gone = 0;
        // A queue whose workers keep up would allocate for every job otherwise.
        match Rc::get_mut(front) {
            Some(chunk) if only && chunk.capacity() <= KEPT => chunk.clear(),
            _ => drop(self.chunks.pop_front()),
        }
    }

    /// The item `at` places behind the front. Only the last chunk is not full.
    pub(crate) fn item(&self, at: usize) -> Option<Item> {
        let at = self.gone + at;
        Some(self.chunks.get(at / CHUNK)?.get(at % CHUNK)?.unpack())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Item> {
        let items = self.chunks.iter().flat_map(|chunk| chunk.iter());
        items.skip(self.gone).map(|p| p.unpack())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjacent_runs_join_and_order_holds_over_chunks() {
        let mut fifo = Fifo::default();
        fifo.push_run(1, 3);
        fifo.push_run(4, 2);
        fifo.push(Item::Single { job: 1, position: 77 });
        fifo.push_run(6, 1);
        let all: Vec<_> = fifo.iter().collect();
        assert_eq!(
            all,
            [
                Item::Run { first: 1, count: 5 },
                Item::Single { job: 1, position: 77 },
                Item::Run { first: 6, count: 1 }
            ]
        );
        fifo.drop_front(2);
        assert_eq!(fifo.front(), Some(Item::Run { first: 3, count: 3 }));
        for n in 0..2000 {
            fifo.push_run(10 + 2 * n, 1);
        }
        fifo.drop_front(3);
        fifo.drop_front(1);
        fifo.drop_front(1);
        let rest: Vec<_> = fifo.iter().collect();
        assert_eq!(rest.len(), 2000);
        for n in 0..2000 {
            assert_eq!(fifo.front(), Some(Item::Run { first: 10 + 2 * n, count: 1 }));
            fifo.drop_front(1);
        }
        assert!(fifo.is_empty());
    }
}
