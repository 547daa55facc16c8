//! A hash index of slab numbers that never rehashes as a whole.
//!
//! Linear hashing (Litwin, VLDB 1980): the table grows and shrinks by one bucket at a time, so no
//! operation ever touches more than two of them. An ordinary table doubles at once, which with a
//! million entries stops the shard for tens of milliseconds.

use crate::pages::{Pages, per_page};

/// Entries a bucket holds on average when the table grows.
const FILL: usize = 24;

#[derive(Clone, Copy)]
struct Entry {
    tag: u32,
    number: u32,
}

/// From 64-bit hashes to slab numbers. Whoever asks compares the object itself.
#[derive(Clone)]
pub(crate) struct Table {
    buckets: Pages<Vec<Entry>, { per_page::<Vec<Entry>>() }>,
    len: usize,
}

impl Table {
    pub(crate) fn new() -> Self {
        let mut buckets = Pages::new();
        buckets.push(Vec::new());
        Self { buckets, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bucket is chosen by the 32 bits that the entry keeps, so that a split needs no rehash.
    fn bucket_of(&self, tag: u32) -> usize {
        let buckets = self.buckets.len();
        let low = tag as usize & (buckets.next_power_of_two() - 1);
        if low < buckets { low } else { low & (buckets.next_power_of_two() / 2 - 1) }
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = tag(hash);
        let bucket = &self.buckets[self.bucket_of(tag)];
        bucket.iter().find(|e| e.tag == tag && is_it(e.number)).map(|e| e.number)
    }

    /// Reads what [`Table::find`] and [`Table::insert`] will need: of each cache line of a bucket something. The result means
    /// nothing, but has to be used.
    #[inline]
    pub(crate) fn touch(&self, hash: u64) -> u32 {
        const LINE: usize = 64 / size_of::<Entry>();
        let bucket = &self.buckets[self.bucket_of(tag(hash))];
        bucket.iter().step_by(LINE).fold(0, |all, entry| all ^ entry.tag)
    }

    pub(crate) fn insert(&mut self, hash: u64, number: u32) {
        let tag = tag(hash);
        let at = self.bucket_of(tag);
        push_exact(self.buckets.get_mut(at), Entry { tag, number });
        self.len += 1;
        if self.len > self.buckets.len() * FILL {
            self.split();
        }
    }

    /// # Panics
    /// When it is not there.
    pub(crate) fn remove(&mut self, hash: u64, number: u32) {
        let at = self.bucket_of(tag(hash));
        let bucket = self.buckets.get_mut(at);
        let found = bucket.iter().position(|e| e.number == number);
        bucket.swap_remove(found.expect("removed from a table that does not hold it"));
        if bucket.capacity() > 2 * bucket.len() + 8 {
            bucket.shrink_to_fit();
        }
        self.len -= 1;
        if self.len < self.buckets.len() * FILL / 3 && self.buckets.len() > 1 {
            self.merge();
        }
    }

    /// Every number in it, in no order that means anything.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.buckets.iter().flatten().map(|e| e.number).collect()
    }

    fn split(&mut self) {
        let new = self.buckets.len();
        let bit = 1 << new.ilog2();
        let (kept, moved): (Vec<_>, Vec<_>) = std::mem::take(self.buckets.get_mut(new - bit))
            .into_iter()
            .partition(|e| e.tag as usize & (2 * bit - 1) != new);
        *self.buckets.get_mut(new - bit) = kept;
        self.buckets.push(moved);
    }

    fn merge(&mut self) {
        let moved = self.buckets.pop().expect("there is more than one bucket");
        let last = self.buckets.len();
        self.buckets.get_mut(last - (1 << last.ilog2())).extend(moved);
    }
}

/// The low half of a hash is as good as the high one.
fn tag(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}

/// Grows by four or eight, to where an allocator has a size: buckets are many, and doubling would
/// waste a third of the table.
fn push_exact(bucket: &mut Vec<Entry>, entry: Entry) {
    if bucket.len() == bucket.capacity() {
        let step = if bucket.len() < 32 { 4 } else { 8 };
        bucket.reserve_exact(step - bucket.len() % step);
    }
    bucket.push(entry);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u32) -> u64 {
        u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn holds_what_was_put_in_while_it_grows_and_shrinks() {
        let mut table = Table::new();
        for n in 0..5000 {
            table.insert(hash(n), n);
        }
        assert!(table.buckets.len() > 200);
        for n in 0..5000 {
            assert_eq!(table.find(hash(n), |m| m == n), Some(n));
        }
        for n in 0..4990 {
            table.remove(hash(n), n);
            assert_eq!(table.find(hash(n), |m| m == n), None);
            assert_eq!(table.find(hash(4999), |m| m == 4999), Some(4999));
        }
        assert!(table.buckets.len() < 8, "{}", table.buckets.len());
        assert_eq!(table.len(), 10);
    }

    #[test]
    fn equal_hashes_are_told_apart_by_the_caller() {
        let mut table = Table::new();
        (0..3).for_each(|n| table.insert(7, n));
        table.remove(7, 1);
        assert_eq!(table.find(7, |n| n == 2), Some(2));
        assert_eq!(table.find(7, |n| n == 1), None);
    }
}
