//! Memory of buffers that were dropped on this thread, kept for the next ones.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::aligned::Memory;
use crate::disk::BLOCK_BYTES;

/// Memory that one thread keeps, in bytes.
const BYTES_MAX: usize = 4 << 20;
/// Larger buffers are rare and go back to the system, in bytes.
const BUFFER_BYTES_MAX: usize = 4 << 20;

#[derive(Default)]
struct Pool {
    free: BTreeMap<usize, Vec<Memory>>,
    bytes: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

/// The capacity that a buffer for `bytes` gets: whole blocks, and so few different sizes (each at most a
/// quarter more than was asked for) that what one buffer gives back serves the next.
pub(crate) fn class(bytes: usize) -> usize {
    let step = (bytes.checked_next_power_of_two().unwrap_or(BLOCK_BYTES) / 8).max(BLOCK_BYTES);
    bytes.max(1).next_multiple_of(if bytes > BUFFER_BYTES_MAX { BLOCK_BYTES } else { step })
}

/// Memory of at least `capacity` bytes and at most twice that, all initialised, if there is some: the smallest that serves.
pub(crate) fn take(capacity: usize) -> Option<Memory> {
    POOL.try_with(|pool| {
        let pool = &mut *pool.borrow_mut();
        let mut serve = pool.free.range_mut(capacity..=capacity * 2);
        let memory = serve.find_map(|(_, free)| free.pop())?;
        pool.bytes -= memory.capacity();
        Some(memory)
    })
    .ok()?
}

/// Keeps the memory, unless there is enough of it or the thread is ending.
pub(crate) fn give(memory: Memory) {
    let capacity = memory.capacity();
    // Where nothing takes it, dropping it gives it back to the system.
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if (1..=BUFFER_BYTES_MAX).contains(&capacity) && pool.bytes + capacity <= BYTES_MAX {
            pool.bytes += capacity;
            pool.free.entry(capacity).or_default().push(memory);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_whole_blocks_and_waste_little() {
        for bytes in (0..=BUFFER_BYTES_MAX + 10).step_by(997) {
            let capacity = class(bytes);
            assert!(capacity >= bytes && capacity.is_multiple_of(BLOCK_BYTES));
            assert!(capacity <= bytes + (bytes / 4).max(BLOCK_BYTES), "{bytes} gave {capacity}");
            assert_eq!(class(capacity), capacity, "a buffer's memory fits the next of its size");
        }
    }

    #[test]
    fn only_so_much_is_kept() {
        std::thread::spawn(|| {
            let buffers: Vec<_> =
                (0..20).map(|_| crate::AlignedBuf::with_capacity(1 << 20)).collect();
            drop(buffers);
            let kept = POOL.with_borrow(|pool| pool.bytes);
            assert_eq!(kept, BYTES_MAX);
        })
        .join()
        .unwrap();
    }
}
