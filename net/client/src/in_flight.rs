//! Requests that are not answered yet, by number.

use std::collections::VecDeque;

/// A request the client has numbered.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    pub(crate) number: u64,
    /// Its bytes, to be sent again as they are.
    pub(crate) frame: Vec<u8>,
    /// Whether a server may have seen it.
    pub(crate) sent: bool,
    pub(crate) tag: T,
}

/// Buffers kept for the next requests.
const POOL_MAX: usize = 64;
/// A kept buffer is no larger than this.
const POOL_BYTES_MAX: usize = 64 << 10;

/// Numbers are dense, so a request is found by subtraction; an answered one leaves a hole until all before it are
/// answered too.
#[derive(Debug)]
pub(crate) struct InFlight<T> {
    requests: VecDeque<Option<Pending<T>>>,
    /// Number of the first element of `requests`: everything below is answered.
    first: u64,
    open: usize,
    pool: Vec<Vec<u8>>,
}

impl<T> InFlight<T> {
    pub(crate) fn new() -> Self {
        Self { requests: VecDeque::new(), first: 1, open: 0, pool: Vec::new() }
    }

    /// The client has the answers to everything below this.
    pub(crate) fn confirmed_below(&self) -> u64 {
        self.first
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.first + self.requests.len() as u64
    }

    /// Numbers between the oldest unanswered request and the next one: what the server must remember.
    pub(crate) fn span(&self) -> usize {
        self.requests.len()
    }

    pub(crate) fn open(&self) -> usize {
        self.open
    }

    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        self.pool.pop().unwrap_or_default()
    }

    pub(crate) fn keep_buffer(&mut self, mut buffer: Vec<u8>) {
        if self.pool.len() < POOL_MAX && buffer.capacity() <= POOL_BYTES_MAX {
            buffer.clear();
            self.pool.push(buffer);
        }
    }

    pub(crate) fn push(&mut self, pending: Pending<T>) {
        assert_eq!(pending.number, self.next_number(), "numbers are dense");
        self.requests.push_back(Some(pending));
        self.open += 1;
    }

    fn position(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Pending<T>> {
        let at = self.position(number)?;
        self.requests.get_mut(at)?.as_mut()
    }

    /// Takes an answered request out; `None` when it was answered already or never existed.
    pub(crate) fn answer(&mut self, number: u64) -> Option<T> {
        let at = self.position(number)?;
        let pending = self.requests.get_mut(at)?.take()?;
        self.open -= 1;
        while let Some(None) = self.requests.front() {
            self.requests.pop_front();
            self.first += 1;
        }
        self.keep_buffer(pending.frame);
        Some(pending.tag)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Pending<T>> {
        self.requests.iter_mut().flatten()
    }

    /// Everything unanswered, oldest first; numbering starts again at 1.
    pub(crate) fn take_all(&mut self) -> Vec<Pending<T>> {
        self.first = 1;
        self.open = 0;
        self.requests.drain(..).flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(requests: &mut InFlight<u64>) -> u64 {
        let number = requests.next_number();
        requests.push(Pending { number, frame: vec![], sent: false, tag: number * 10 });
        number
    }

    #[test]
    fn r09_only_what_has_no_gap_before_it_is_confirmed() {
        let mut requests = InFlight::new();
        let numbers: Vec<_> = (0..4).map(|_| push(&mut requests)).collect();
        assert_eq!(numbers, [1, 2, 3, 4]);
        assert_eq!(requests.answer(2), Some(20));
        assert_eq!(requests.answer(3), Some(30));
        assert_eq!((requests.confirmed_below(), requests.open()), (1, 2));
        assert_eq!(requests.answer(1), Some(10));
        assert_eq!((requests.confirmed_below(), requests.span()), (4, 1));
        assert_eq!(requests.answer(1), None);
        assert_eq!(requests.answer(9), None);
        assert_eq!(push(&mut requests), 5);
    }
}
