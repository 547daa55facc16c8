//! The waiting jobs of one tier of one queue, in order.
//!
//! An item is a run of consecutive jobs that were never touched since they were enqueued, or one
//! job that stepped back. Nothing is removed from the middle: whether a member still waits is
//! decided when it is reached, from the job's own state.
//!
//! The first and the last item are kept apart, because those are what changes; the others are packed.
//! Jobs that come one by one to several queues are a run each, and take a byte or two here.

mod packed;

use std::collections::VecDeque;
use std::rc::Rc;

use crate::pages::own;
use packed::{Basis, ITEM_BYTES_MAX, pack, unpack};

/// Bytes of one chunk.
const CHUNK: usize = 4096;
/// Capacity up to which the only chunk is kept when it becomes empty.
const KEPT: usize = 64;

/// Jobs that wait one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// Consecutive jobs without a struct.
    Run { first: u64, count: u64 },
    /// A job that stepped back, and the event that put it here. It waits here only while its
    /// struct names the same event.
    Single { job: u64, position: u64 },
}

/// An item or none in 16 bytes: the top bit of the second word tells which kind it is, and no job is 0.
#[derive(Clone, Copy, Default)]
struct Place(u64, u64);

const RUN: u64 = 1 << 63;

impl Place {
    fn of(item: Item) -> Self {
        match item {
            Item::Run { first, count } => Self(first, count | RUN),
            Item::Single { job, position } => Self(job, position),
        }
    }

    #[inline]
    fn item(self) -> Option<Item> {
        (self.0 != 0).then_some(if self.1 & RUN != 0 {
            Item::Run { first: self.0, count: self.1 & !RUN }
        } else {
            Item::Single { job: self.0, position: self.1 }
        })
    }

    /// Makes a run longer that ends where another begins.
    #[inline]
    fn joins(&mut self, first: u64, count: u64) -> bool {
        let joins = matches!(self.item(), Some(Item::Run { first: f, count: c }) if f + c == first);
        self.1 += if joins { count } else { 0 };
        joins
    }
}

/// Items in order of arrival. There is a last one only behind a first one, and others only between
/// the two.
#[derive(Clone, Default)]
pub(crate) struct Fifo {
    first: Place,
    last: Place,
    between: Option<Box<Between>>,
}

/// Packed items. Each chunk is packed from an empty basis. Most queues and lanes have no more than one.
#[derive(Clone, Default)]
struct Between {
    /// The first. Empty when there are no others.
    chunk: Rc<Vec<u8>>,
    others: VecDeque<Rc<Vec<u8>>>,
    /// Behind what was taken from the first chunk.
    taken: usize,
    front: Basis,
    /// Behind the last item.
    back: Basis,
}

impl Between {
    fn push(&mut self, item: Item) {
        let Self { chunk, others, back, .. } = self;
        if others.back().unwrap_or(chunk).len() + ITEM_BYTES_MAX > CHUNK {
            others.push_back(Rc::default());
            *back = Basis::default();
        }
        pack(item, back, own(others.back_mut().unwrap_or(chunk)));
    }

    fn pop(&mut self) -> Option<Item> {
        if self.taken == self.chunk.len() {
            return None;
        }
        let item = unpack(&self.chunk, &mut self.taken, &mut self.front);
        if self.taken == self.chunk.len() {
            (self.taken, self.front) = (0, Basis::default());
            self.next_chunk();
        }
        Some(item)
    }

    fn next_chunk(&mut self) {
        if let Some(next) = self.others.pop_front() {
            self.chunk = next;
            return;
        }
        self.back = Basis::default();
        // A queue whose workers keep up would allocate for every job otherwise.
        match Rc::get_mut(&mut self.chunk) {
            Some(chunk) if chunk.capacity() <= KEPT => chunk.clear(),
            Some(chunk) => *chunk = Vec::new(),
            None => self.chunk = Rc::default(),
        }
    }

    fn get(&self, chunk: usize) -> Option<&[u8]> {
        match chunk.checked_sub(1) {
            None => Some(&self.chunk),
            Some(other) => self.others.get(other).map(|chunk| chunk.as_slice()),
        }
    }
}

/// A place in the list of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor(At);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    First,
    Packed { chunk: usize, at: usize, basis: Basis },
    End,
}

impl Cursor {
    /// Before the first item.
    pub(crate) const START: Self = Self(At::First);
}

impl Fifo {
    pub(crate) fn is_empty(&self) -> bool {
        self.front().is_none()
    }

    #[inline]
    pub(crate) fn front(&self) -> Option<Item> {
        self.first.item()
    }

    /// Appends consecutive jobs; a run that continues the last one costs nothing.
    #[inline]
    pub(crate) fn push_run(&mut self, first: u64, count: u64) {
        let last = if self.last.item().is_some() { &mut self.last } else { &mut self.first };
        if !last.joins(first, count) {
            self.push(Item::Run { first, count });
        }
    }

    pub(crate) fn push(&mut self, item: Item) {
        let place = Place::of(item);
        if self.is_empty() {
            self.first = place;
        } else if let Some(last) = std::mem::replace(&mut self.last, place).item() {
            self.between.get_or_insert_default().push(last);
        }
    }

    /// Drops the first `members` jobs of the front item.
    #[inline]
    pub(crate) fn drop_front(&mut self, members: u64) {
        match self.front().expect("dropped from an empty queue") {
            Item::Run { first, count } if members < count => {
                self.first =
                    Place::of(Item::Run { first: first + members, count: count - members });
            }
            _ => {
                self.first = match self.between.as_mut().and_then(|between| between.pop()) {
                    Some(item) => Place::of(item),
                    None => std::mem::take(&mut self.last),
                };
            }
        }
    }

    /// The item at a cursor, which moves behind it.
    #[inline]
    pub(crate) fn next(&self, cursor: &mut Cursor) -> Option<Item> {
        if cursor.0 == At::First {
            let (at, basis) =
                self.between.as_ref().map_or_else(Default::default, |b| (b.taken, b.front));
            cursor.0 = At::Packed { chunk: 0, at, basis };
            return self.front();
        }
        let At::Packed { chunk, at, basis } = &mut cursor.0 else { return None };
        while let Some(bytes) = self.between.as_ref().and_then(|between| between.get(*chunk)) {
            if *at < bytes.len() {
                return Some(unpack(bytes, at, basis));
            }
            (*chunk, *at, *basis) = (*chunk + 1, 0, Basis::default());
        }
        cursor.0 = At::End;
        self.last.item()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Item> {
        let mut cursor = Cursor::START;
        std::iter::from_fn(move || self.next(&mut cursor))
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
        for n in 0..9000 {
            fifo.push_run(10 + 2 * n, 1);
        }
        fifo.drop_front(3);
        fifo.drop_front(1);
        fifo.drop_front(1);
        let rest: Vec<_> = fifo.iter().collect();
        assert_eq!(rest.len(), 9000);
        for n in 0..9000 {
            assert_eq!(fifo.front(), Some(Item::Run { first: 10 + 2 * n, count: 1 }));
            fifo.drop_front(1);
        }
        assert!(fifo.is_empty());
    }

    /// Against a plain list, with copies that must not change, over lengths around every edge.
    #[test]
    fn is_a_list_whatever_is_pushed_and_dropped() {
        let (mut fifo, mut list) = (Fifo::default(), VecDeque::new());
        let mut random = 1_u64;
        let mut copies = Vec::new();
        for n in 0..200_000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(n);
            // Grows for a while, then is drained and stays almost empty, again and again.
            let grows = (n / 20_000).is_multiple_of(2);
            if random >> 61 < if grows { 6 } else { 2 } {
                let job = 1 + (random >> 20) % 100_000;
                let item = match random >> 59 & 3 {
                    0 => Item::Single { job, position: n },
                    kind => Item::Run { first: job * 1000, count: kind },
                };
                fifo.push(item);
                list.push_back(item);
            } else if let Some(front) = list.pop_front() {
                assert_eq!(fifo.front(), Some(front));
                fifo.drop_front(u64::MAX);
            }
            assert_eq!(fifo.front(), list.front().copied());
            if n.is_multiple_of(9973) {
                copies.push((fifo.clone(), list.clone()));
            }
        }
        assert!(copies.iter().any(|(_, list)| list.len() > 3000), "it never had several chunks");
        for (fifo, list) in copies {
            assert!(fifo.iter().eq(list));
        }
    }
}
