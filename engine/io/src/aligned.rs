//! A growable byte buffer whose start is aligned for direct I/O.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::disk::BLOCK_BYTES;
use crate::pool;

/// A byte vector aligned to [`BLOCK_BYTES`], so that `O_DIRECT` can read and write it in place.
/// Bytes between the length and the capacity are always initialised. Its memory goes back to a pool of the
/// thread, because fresh memory costs a page fault and zeroing for every few bytes that a log writes.
pub struct AlignedBuf {
    memory: Memory,
    len: usize,
}

/// An aligned allocation, all of it initialised, given back to the system when dropped.
pub(crate) struct Memory {
    ptr: NonNull<u8>,
    capacity: usize,
}

impl AlignedBuf {
    /// An empty buffer with room for at least `capacity` bytes, in whole blocks.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let capacity = pool::class(capacity);
        Self { memory: pool::take(capacity).unwrap_or_else(|| Memory::allocate(capacity)), len: 0 }
    }

    /// A buffer of `len` zeros.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let mut buf = Self::with_capacity(len);
        buf.resize(len);
        buf
    }

    /// A buffer of `len` bytes of any content, to be read into.
    #[must_use]
    pub fn unzeroed(len: usize) -> Self {
        let mut buf = Self::with_capacity(len);
        buf.len = len;
        buf
    }

    /// How many bytes fit without moving.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.memory.capacity
    }

    /// Appends `bytes`, growing when needed.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let start = self.len;
        let end = start + bytes.len();
        if end > self.memory.capacity {
            self.grow(end);
        }
        // What lies there is initialised, so it need not be zeroed first.
        self.len = end;
        self[start..].copy_from_slice(bytes);
    }

    /// Sets the length, filling what is added with zeros.
    pub fn resize(&mut self, len: usize) {
        if len > self.memory.capacity {
            self.grow(len);
        }
        let old = self.len;
        self.len = len;
        if len > old {
            self[old..].fill(0);
        }
    }

    /// Pads with zeros to a whole number of blocks.
    pub fn pad_to_block(&mut self) {
        self.resize(self.len.next_multiple_of(BLOCK_BYTES));
    }

    /// Forgets the content and keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    fn grow(&mut self, needed: usize) {
        let mut larger = Self::with_capacity(needed.max(self.memory.capacity * 2));
        larger.len = self.len;
        larger.copy_from_slice(self);
        std::mem::swap(self, &mut larger);
    }
}

impl Memory {
    /// Of whole blocks, zeroed.
    #[expect(unsafe_code, reason = "aligned allocation has no safe interface")]
    fn allocate(capacity: usize) -> Self {
        assert!(capacity > 0, "memory of no bytes");
        let layout = layout(capacity);
        // SAFETY: `layout` does not have size zero, as just asserted.
        let ptr = unsafe { alloc_zeroed(layout) };
        let ptr = NonNull::new(ptr).unwrap_or_else(|| handle_alloc_error(layout));
        Self { ptr, capacity }
    }

    /// No memory at all.
    const fn none() -> Self {
        Self { ptr: NonNull::dangling(), capacity: 0 }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }
}

fn layout(capacity: usize) -> Layout {
    Layout::from_size_align(capacity, BLOCK_BYTES).expect("buffer larger than the address space")
}

#[expect(unsafe_code, reason = "frees what `Memory::allocate` gave")]
impl Drop for Memory {
    fn drop(&mut self) {
        if self.capacity > 0 {
            // SAFETY: memory with a capacity comes from `allocate(self.capacity)` alone and has one owner.
            unsafe { dealloc(self.ptr.as_ptr(), layout(self.capacity)) }
        }
    }
}

// SAFETY: it owns its allocation alone, like a `Box<[u8]>`.
#[expect(unsafe_code, reason = "a raw pointer hides that the memory has one owner")]
unsafe impl Send for Memory {}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        pool::give(std::mem::replace(&mut self.memory, Memory::none()));
    }
}

#[expect(unsafe_code, reason = "a view of the owned allocation")]
impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the allocation holds `capacity >= len` initialised bytes, and the borrow of
        // `self` keeps it alive and unchanged.
        unsafe { std::slice::from_raw_parts(self.memory.ptr.as_ptr(), self.len) }
    }
}

#[expect(unsafe_code, reason = "a view of the owned allocation")]
impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as `deref`, and the exclusive borrow of `self` makes it the only view.
        unsafe { std::slice::from_raw_parts_mut(self.memory.ptr.as_ptr(), self.len) }
    }
}

impl std::fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlignedBuf").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_keeps_content_and_alignment() {
        let mut buf = AlignedBuf::with_capacity(1);
        for i in 0..10_000_u32 {
            buf.extend_from_slice(&i.to_le_bytes());
        }
        assert_eq!(buf.as_ptr() as usize % BLOCK_BYTES, 0);
        let read: Vec<u32> =
            buf.chunks(4).map(|c| u32::from_le_bytes(c.try_into().unwrap())).collect();
        assert!(read.iter().copied().eq(0..10_000));
    }

    #[test]
    fn memory_is_used_again_and_zeroed_only_where_asked() {
        let mut buf = AlignedBuf::with_capacity(3 * BLOCK_BYTES);
        buf.extend_from_slice(&[7; 3 * BLOCK_BYTES]);
        let ptr = buf.as_ptr();
        drop(buf);
        let again = AlignedBuf::unzeroed(2 * BLOCK_BYTES + 1);
        assert_eq!(again.as_ptr(), ptr);
        assert!(again.iter().all(|b| *b == 7));
        drop(again);
        let zeroed = AlignedBuf::zeroed(3 * BLOCK_BYTES);
        assert_eq!(zeroed.as_ptr(), ptr);
        assert!(zeroed.iter().all(|b| *b == 0));
    }

    #[test]
    fn padding_is_zero_even_over_old_content() {
        let mut buf = AlignedBuf::with_capacity(1);
        buf.extend_from_slice(&[7; BLOCK_BYTES]);
        buf.clear();
        buf.extend_from_slice(&[1, 2, 3]);
        buf.pad_to_block();
        assert_eq!(buf.len(), BLOCK_BYTES);
        assert!(buf[3..].iter().all(|b| *b == 0));
    }
}
