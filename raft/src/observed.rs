//! A value that others on this thread wait for changes of.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Poll, Waker};

struct Shared<T> {
    value: RefCell<T>,
    version: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

/// A shared cell that counts its changes and wakes who waits for one, in the order they came.
pub struct Observed<T>(Rc<Shared<T>>);

impl<T> Clone for Observed<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Clone + PartialEq> Observed<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Rc::new(Shared {
            value: RefCell::new(value),
            version: Cell::new(0),
            waiting: RefCell::default(),
        }))
    }

    /// The value now.
    #[must_use]
    pub fn get(&self) -> T {
        self.0.value.borrow().clone()
    }

    pub(crate) fn set(&self, value: T) {
        if *self.0.value.borrow() == value {
            return;
        }
        self.0.value.replace(value);
        self.0.version.set(self.0.version.get() + 1);
        self.0.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// Waits until the value is one that `wanted` accepts, and returns it.
    pub async fn until(&self, mut wanted: impl FnMut(&T) -> bool) -> T {
        let mut seen = None;
        std::future::poll_fn(|cx| {
            let version = self.0.version.get();
            if seen != Some(version) {
                seen = Some(version);
                let value = self.0.value.borrow();
                if wanted(&value) {
                    return Poll::Ready(value.clone());
                }
            }
            self.0.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use jobbie_sim::{Executor, Handle, Schedule};

    use super::*;

    #[test]
    fn waits_for_the_wanted_value_only() {
        Executor::new(1, Schedule::Fifo).block_on(async {
            let observed = Observed::new(0);
            let other = observed.clone();
            let waiter = Handle::current().spawn(async move { other.until(|n| *n >= 3).await });
            for n in 1..=3 {
                Handle::current().yield_now().await;
                assert!(!waiter.is_finished());
                observed.set(n);
            }
            assert_eq!(waiter.await, Ok(3));
        });
    }
}
