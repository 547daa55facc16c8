//! Waiting for a change on the same thread.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Wakes everybody who waits for a condition, whenever something changed.
#[derive(Default)]
pub(crate) struct Signal {
    waiting: RefCell<Vec<Waker>>,
}

impl Signal {
    /// Something changed.
    pub(crate) fn raise(&self) {
        // Out of the cell first: a waker may run code that waits again.
        let mut waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        for waker in waiting.drain(..) {
            waker.wake();
        }
        let mut slot = self.waiting.borrow_mut();
        if slot.is_empty() {
            // Keeps the memory for the next round.
            *slot = waiting;
        }
    }

    /// Registers `waker` for the next change.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
    }

    /// Waits until `condition` gives something; asked at once and after each change.
    pub(crate) async fn until<T>(&self, mut condition: impl FnMut() -> Option<T>) -> T {
        poll_fn(|cx| match condition() {
            Some(value) => Poll::Ready(value),
            None => {
                self.register(cx.waker());
                Poll::Pending
            }
        })
        .await
    }
}
