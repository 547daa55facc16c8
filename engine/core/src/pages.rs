//! Growable arrays in shared pages: a clone costs one reference a page, and a page is copied when
//! it is next written. That is how a snapshot is taken while the shard goes on.

use std::ops::Index;
use std::rc::Rc;

/// How many `T` fill a page of 4 KiB together with its two counts. An allocator has no block just
/// above a power of two: one more element, and a fifth of the page is lost.
pub(crate) const fn per_page<T>() -> usize {
    (4096 - 2 * size_of::<usize>()) / size_of::<T>()
}

/// What is shared, to be written: copied first when a snapshot still has it, which is rare enough to stay
/// out of the way of those who call this.
#[inline]
pub(crate) fn own<T: Clone>(shared: &mut Rc<T>) -> &mut T {
    if Rc::strong_count(shared) != 1 {
        copy(shared);
    }
    Rc::get_mut(shared).expect("nobody else has it")
}

#[cold]
#[inline(never)]
fn copy<T: Clone>(shared: &mut Rc<T>) {
    *shared = Rc::new(T::clone(shared));
}

/// An array of `T` in pages of `N`.
#[derive(Clone)]
pub(crate) struct Pages<T, const N: usize> {
    pages: Vec<Rc<[T; N]>>,
    len: usize,
}

impl<T: Clone + Default, const N: usize> Pages<T, N> {
    pub(crate) fn new() -> Self {
        Self { pages: Vec::new(), len: 0 }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, at: usize) -> &mut T {
        assert!(at < self.len);
        &mut own(&mut self.pages[at / N])[at % N]
    }

    pub(crate) fn push(&mut self, value: T) {
        if self.len == self.pages.len() * N {
            self.pages.push(Rc::new(std::array::from_fn(|_| T::default())));
        }
        self.len += 1;
        *self.get_mut(self.len - 1) = value;
    }

    /// Removes the last element. The page after the last used one is kept, so that a count that
    /// swings around a page's edge does not allocate each time.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let last = self.len.checked_sub(1)?;
        let value = std::mem::take(self.get_mut(last));
        self.len = last;
        if self.pages.len() > self.len.div_ceil(N) + 1 {
            self.pages.pop();
        }
        Some(value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flat_map(|page| page.iter()).take(self.len)
    }
}

impl<T, const N: usize> Index<usize> for Pages<T, N> {
    type Output = T;

    #[inline]
    fn index(&self, at: usize) -> &T {
        &self.pages[at / N][at % N]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_what_it_saw() {
        let mut a: Pages<u32, 4> = Pages::new();
        (0..10).for_each(|n| a.push(n));
        let b = a.clone();
        *a.get_mut(3) = 99;
        assert_eq!(a.pop(), Some(9));
        a.push(7);
        assert_eq!(b.iter().copied().collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        assert_eq!((a[3], a[9], a.len(), b[3], b.len()), (99, 7, 10, 3, 10));
    }

    #[test]
    fn pages_are_given_back() {
        let mut a: Pages<u32, 4> = Pages::new();
        (0..100).for_each(|n| a.push(n));
        while a.pop().is_some() {}
        assert_eq!(a.pages.len(), 1);
    }
}
