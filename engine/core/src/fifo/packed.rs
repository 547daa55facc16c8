//! Items in a few bytes each: what they add to the item before them, in variable-length integers.

use super::Item;

/// Kind of an item, in the low bits of its first integer.
const RUN_OF_ONE: u64 = 0;
const RUN: u64 = 1;
const SINGLE: u64 = 2;
const KIND_BITS: u32 = 2;
/// Job numbers and events are below this, so that differences leave room for the kind.
const NUMBER_MAX: u64 = 1 << 60;

/// What the next item is counted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Basis {
    /// The job behind the last one.
    job: u64,
    /// Position of the last single.
    position: u64,
}

impl Basis {
    fn after(self, item: Item) -> Self {
        match item {
            Item::Run { first, count } => Self { job: first + count, ..self },
            Item::Single { job, position } => Self { job: job + 1, position },
        }
    }
}

/// The most bytes of an item.
pub(super) const ITEM_BYTES_MAX: usize = 20;

/// Appends an item and moves the basis behind it.
pub(super) fn pack(item: Item, basis: &mut Basis, bytes: &mut Vec<u8>) {
    let (job, kind) = match item {
        Item::Run { first, count: 1 } => (first, RUN_OF_ONE),
        Item::Run { first, .. } => (first, RUN),
        Item::Single { job, .. } => (job, SINGLE),
    };
    assert!(job < NUMBER_MAX, "job number out of range");
    put(difference(basis.job, job) << KIND_BITS | kind, bytes);
    match item {
        Item::Run { count: 1, .. } => {}
        Item::Run { count, .. } => put(count, bytes),
        Item::Single { position, .. } => {
            assert!(position < NUMBER_MAX, "event out of range");
            put(difference(basis.position, position), bytes);
        }
    }
    *basis = basis.after(item);
}

/// The item at `at`; both `at` and the basis move behind it.
#[inline]
pub(super) fn unpack(bytes: &[u8], at: &mut usize, basis: &mut Basis) -> Item {
    let first = take(bytes, at);
    let job = add(basis.job, first >> KIND_BITS);
    let item = match first & ((1 << KIND_BITS) - 1) {
        RUN_OF_ONE => Item::Run { first: job, count: 1 },
        RUN => Item::Run { first: job, count: take(bytes, at) },
        SINGLE => Item::Single { job, position: add(basis.position, take(bytes, at)) },
        kind => unreachable!("no item of kind {kind}"),
    };
    *basis = basis.after(item);
    item
}

/// Small for numbers near each other, whichever is larger.
fn difference(from: u64, to: u64) -> u64 {
    let signed = to.wrapping_sub(from).cast_signed();
    (signed << 1 ^ signed >> 63).cast_unsigned()
}

fn add(from: u64, difference: u64) -> u64 {
    from.wrapping_add(difference >> 1 ^ (difference & 1).wrapping_neg())
}

/// Seven bits a byte, low ones first; the top bit says that more follow.
fn put(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[inline]
fn take(bytes: &[u8], at: &mut usize) -> u64 {
    let next = bytes.get(*at..).and_then(|rest| rest.first_chunk());
    if let Some((value, len)) = next.and_then(|next| take_word(u64::from_le_bytes(*next))) {
        *at += len;
        return value;
    }
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}

/// The integer that ends within these eight bytes, and its length: without a branch for each byte, of which most would be
/// foreseen wrongly.
#[inline]
fn take_word(word: u64) -> Option<(u64, usize)> {
    let ends = !word & 0x8080_8080_8080_8080;
    if ends == 0 {
        return None;
    }
    let bits = ends.trailing_zeros() + 1;
    let sevens = word & (u64::MAX >> (u64::BITS - bits)) & 0x7f7f_7f7f_7f7f_7f7f;
    let twice = sevens & 0x007f_007f_007f_007f | (sevens & 0x7f00_7f00_7f00_7f00) >> 1;
    let four = twice & 0x0000_3fff_0000_3fff | (twice & 0x3fff_0000_3fff_0000) >> 2;
    let value = four & 0x0fff_ffff | (four & 0x0fff_ffff_0000_0000) >> 4;
    Some((value, bits as usize / 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_and_smallest_items_survive() {
        let numbers = [1, 2, 127, 1 << 20, (1 << 50) - 1, NUMBER_MAX - 1];
        let (mut bytes, mut to, mut items) = (Vec::new(), Basis::default(), Vec::new());
        for a in numbers {
            for b in numbers {
                for item in [
                    Item::Run { first: a, count: b.min(1 << 50) },
                    Item::Single { job: b, position: a },
                ] {
                    let before = bytes.len();
                    pack(item, &mut to, &mut bytes);
                    assert!(bytes.len() - before <= ITEM_BYTES_MAX, "{item:?}");
                    items.push(item);
                }
            }
        }
        let (mut at, mut from) = (0, Basis::default());
        for item in items {
            assert_eq!(unpack(&bytes, &mut at, &mut from), item);
        }
        assert_eq!((at, from), (bytes.len(), to));
    }

    #[test]
    fn an_integer_is_the_same_with_or_without_others_behind_it() {
        for bits in 0..64 {
            for value in [1_u64 << bits, (1 << bits) - 1, 0x5555_5555_5555_5555 >> (63 - bits)] {
                let mut bytes = vec![0xff];
                put(value, &mut bytes);
                for behind in 0..9 {
                    let mut at = 1;
                    assert_eq!(take(&bytes, &mut at), value);
                    assert_eq!(at, bytes.len() - behind);
                    bytes.push(behind as u8 * 0x1f);
                }
            }
        }
    }

    #[test]
    fn every_tenth_job_takes_a_byte() {
        let (mut bytes, mut basis) = (Vec::new(), Basis::default());
        for n in 1..=100 {
            pack(Item::Run { first: 10 * n, count: 1 }, &mut basis, &mut bytes);
        }
        assert_eq!(bytes.len(), 100);
    }
}
