//! Idempotency keys: which job has taken which, until when.
//!
//! A key outlives its job. It is forgotten by time alone, without an event: whoever looks compares the time, and
//! every absorbed group sweeps a few that are over, so that memory follows.

use std::collections::BTreeMap;

use crate::pages::per_page;
use crate::slab::{NONE, Slab, Slot};
use crate::table::Table;

/// Keys that end within the same 2^26 µs (67 s) are swept together.
const BUCKET_BITS: u32 = 26;
const SEQ_BITS: u32 = 50;
const CREATED_LOW_BITS: u32 = 32;

/// A taken key, in 48 bytes.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: [u64; 2],
    content: u64,
    until: u64,
    /// Job (50 bits) and the upper bits of its creation time.
    job: u64,
    created_low: u32,
    /// The next key of the same bucket.
    next: u32,
}

const _: () = assert!(size_of::<Entry>() == 48);

impl Default for Entry {
    fn default() -> Self {
        Self { hash: [0; 2], content: 0, until: 0, job: 0, created_low: 0, next: NONE }
    }
}

impl Slot for Entry {
    fn next_free(&self) -> u32 {
        self.next
    }

    fn free(next: u32) -> Self {
        Self { next, ..Self::default() }
    }
}

/// A key and who has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) hash: u128,
    pub(crate) content: u64,
    pub(crate) until: u64,
    pub(crate) job: u64,
    pub(crate) created_ms: u64,
}

impl Entry {
    fn new(key: Key) -> Self {
        assert!(key.job < 1 << SEQ_BITS, "job sequence out of range");
        Self {
            hash: [key.hash as u64, (key.hash >> 64) as u64],
            content: key.content,
            until: key.until,
            job: key.job | (key.created_ms >> CREATED_LOW_BITS) << SEQ_BITS,
            created_low: key.created_ms as u32,
            next: NONE,
        }
    }

    fn hash(&self) -> u128 {
        u128::from(self.hash[0]) | u128::from(self.hash[1]) << 64
    }

    fn key(&self) -> Key {
        Key {
            hash: self.hash(),
            content: self.content,
            until: self.until,
            job: self.job & ((1 << SEQ_BITS) - 1),
            created_ms: (self.job >> SEQ_BITS) << CREATED_LOW_BITS | u64::from(self.created_low),
        }
    }
}

/// A place in the list of all keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    bucket: u64,
    at: u32,
}

/// All keys of a shard.
#[derive(Clone)]
pub(crate) struct Keys {
    entries: Slab<Entry, { per_page::<Entry>() }>,
    by_hash: Table,
    /// First and last key of each bucket of time.
    buckets: BTreeMap<u64, (u32, u32)>,
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self { entries: Slab::new(), by_hash: Table::new(), buckets: BTreeMap::new() }
    }

    fn find_entry(&self, hash: u128) -> Option<u32> {
        self.by_hash.find(hash as u64, |at| self.entries.get(at).hash() == hash)
    }

    /// Who has a key at `now`.
    pub(crate) fn find(&self, hash: u128, now: u64) -> Option<Key> {
        let key = self.entries.get(self.find_entry(hash)?).key();
        (key.until > now).then_some(key)
    }

    /// Takes a key that is free at `now`, or that a job with a number below `free_below` has.
    pub(crate) fn take(&mut self, key: Key, now: u64, free_below: u64) {
        if let Some(old) = self.find_entry(key.hash) {
            let entry = self.entries.get_mut(old);
            let is_free = entry.until <= now || entry.key().job < free_below;
            assert!(is_free, "a key was taken twice");
            // It stays in its bucket until that is swept, but nobody finds it any more.
            entry.until = 0;
            self.by_hash.remove(key.hash as u64, old);
        }
        let at = self.entries.insert(Entry::new(key));
        self.by_hash.insert(key.hash as u64, at);
        let ends = self.buckets.entry(key.until >> BUCKET_BITS).or_insert((at, at));
        if ends.0 != at {
            self.entries.get_mut(ends.1).next = at;
            ends.1 = at;
        }
    }

    /// Forgets at most `limit` keys that are over.
    #[inline]
    pub(crate) fn sweep(&mut self, now: u64, limit: usize) {
        if !self.buckets.is_empty() {
            self.sweep_buckets(now, limit);
        }
    }

    fn sweep_buckets(&mut self, now: u64, limit: usize) {
        for _ in 0..limit {
            let Some(mut bucket) = self.buckets.first_entry() else { return };
            if *bucket.key() >= now >> BUCKET_BITS {
                return;
            }
            let (first, last) = *bucket.get();
            let removed = self.entries.remove(first);
            if removed.until != 0 {
                self.by_hash.remove(removed.hash[0], first);
            }
            if first == last {
                bucket.remove();
            } else {
                bucket.get_mut().0 = removed.next;
            }
        }
    }

    /// The next `limit` keys taken at `now` from `cursor` on, in an order that follows from the
    /// history alone, and where to go on.
    pub(crate) fn page(
        &self,
        cursor: Option<Cursor>,
        now: u64,
        limit: usize,
    ) -> (Vec<Key>, Option<Cursor>) {
        let mut keys = Vec::new();
        let mut cursor = cursor.or_else(|| self.bucket_from(0));
        while keys.len() < limit
            && let Some(Cursor { bucket, at }) = cursor
        {
            let entry = self.entries.get(at);
            keys.extend((entry.until > now).then(|| entry.key()));
            cursor = if at == self.buckets[&bucket].1 {
                self.bucket_from(bucket + 1)
            } else {
                Some(Cursor { bucket, at: entry.next })
            };
        }
        (keys, cursor)
    }

    fn bucket_from(&self, bucket: u64) -> Option<Cursor> {
        let (&bucket, &(at, _)) = self.buckets.range(bucket..).next()?;
        Some(Cursor { bucket, at })
    }

    pub(crate) fn check(&self) {
        let mut linked = 0;
        for (bucket, &(first, last)) in &self.buckets {
            let mut at = first;
            loop {
                linked += 1;
                let entry = self.entries.get(at);
                if entry.until != 0 {
                    assert_eq!(entry.until >> BUCKET_BITS, *bucket, "a key is in a wrong bucket");
                    assert_eq!(self.find_entry(entry.hash()), Some(at), "a key is not found");
                }
                if at == last {
                    break;
                }
                at = entry.next;
            }
        }
        assert_eq!(linked, self.entries.live(), "keys outside every bucket");
        assert!(self.by_hash.len() <= linked, "more keys indexed than there are");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(hash: u128, until: u64) -> Key {
        Key { hash, content: 1, until, job: (1 << 50) - 1, created_ms: (1 << 44) - 1 }
    }

    #[test]
    fn a_key_is_found_until_its_end_and_swept_later() {
        let mut keys = Keys::new();
        for n in 0..1000 {
            keys.take(key(n << 64 | 5, 1000 + n as u64), 0, 0);
        }
        keys.check();
        assert_eq!(keys.find(7 << 64 | 5, 1006), Some(key(7 << 64 | 5, 1007)));
        assert_eq!(keys.find(7 << 64 | 5, 1007), None);
        keys.take(key(7 << 64 | 5, 1 << 40), 1007, 0);
        keys.check();
        assert_eq!(keys.page(None, 1100, 9999).0.len(), 1000 - 101 + 1);
        keys.sweep(1 << 27, 600);
        keys.check();
        assert_eq!(keys.entries.live(), 401);
        keys.sweep(1 << 27, 600);
        assert_eq!(keys.entries.live(), 1);
        assert_eq!(keys.find(7 << 64 | 5, 1 << 27).map(|k| k.until), Some(1 << 40));
    }

    #[test]
    #[should_panic(expected = "a key was taken twice")]
    fn r09_a_live_key_cannot_be_taken() {
        let mut keys = Keys::new();
        keys.take(key(1, 10), 0, 0);
        keys.take(key(1, 20), 9, 0);
    }
}
