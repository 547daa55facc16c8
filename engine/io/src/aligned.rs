//! A growable byte buffer whose start is aligned for direct I/O.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::disk::BLOCK_BYTES;

/// A byte vector aligned to [`BLOCK_BYTES`], so that `O_DIRECT` can read and write it in place.
/// Bytes between the length and the capacity are always initialised.
pub struct AlignedBuf {
    ptr: NonNull<u8>,
    len: usize,
    capacity: usize,
}

impl AlignedBuf {
    /// An empty buffer with room for `capacity` bytes, rounded up to whole blocks.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let capacity = capacity.max(1).next_multiple_of(BLOCK_BYTES);
        Self { ptr: allocate(capacity), len: 0, capacity }
    }

    /// A buffer of `len` zeros.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let mut buf = Self::with_capacity(len);
        buf.len = len;
        buf
    }

    /// How many bytes fit without moving.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Appends `bytes`, growing when needed.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let start = self.len;
        let end = start + bytes.len();
        if end > self.capacity {
            self.grow(end);
        }
        // What lies there is initialised, so it need not be zeroed first.
        self.len = end;
        self[start..].copy_from_slice(bytes);
    }

    /// Sets the length, filling what is added with zeros.
    pub fn resize(&mut self, len: usize) {
        if len > self.capacity {
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
        let mut larger = Self::with_capacity(needed.max(self.capacity * 2));
        larger.len = self.len;
        larger.copy_from_slice(self);
        std::mem::swap(self, &mut larger);
    }
}

#[expect(unsafe_code, reason = "aligned allocation has no safe interface")]
fn allocate(capacity: usize) -> NonNull<u8> {
    let layout = layout(capacity);
    // SAFETY: `layout` never has size zero, because capacities are at least one block.
    let ptr = unsafe { alloc_zeroed(layout) };
    NonNull::new(ptr).unwrap_or_else(|| handle_alloc_error(layout))
}

fn layout(capacity: usize) -> Layout {
    Layout::from_size_align(capacity, BLOCK_BYTES).expect("buffer larger than the address space")
}

#[expect(unsafe_code, reason = "frees what `allocate` gave")]
impl Drop for AlignedBuf {
    fn drop(&mut self) {
        // SAFETY: `ptr` came from `allocate(self.capacity)` and nothing else frees it.
        unsafe { dealloc(self.ptr.as_ptr(), layout(self.capacity)) }
    }
}

#[expect(unsafe_code, reason = "a view of the owned allocation")]
impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the allocation holds `capacity >= len` initialised bytes, and the borrow of
        // `self` keeps it alive and unchanged.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

#[expect(unsafe_code, reason = "a view of the owned allocation")]
impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as `deref`, and the exclusive borrow of `self` makes it the only view.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

// SAFETY: the buffer owns its allocation alone, like a `Vec<u8>`.
#[expect(unsafe_code, reason = "a raw pointer hides that the buffer owns its bytes")]
unsafe impl Send for AlignedBuf {}

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
