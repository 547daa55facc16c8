//! Timers of virtual time.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::Handle;

/// Deadline and order of registration: timers of one instant fire in the order they were set.
type TimerKey = (u64, u64);

#[derive(Default)]
pub(super) struct Timers {
    next_id: u64,
    pending: BTreeMap<TimerKey, Waker>,
}

impl Timers {
    fn insert(&mut self, deadline_nanos: u64, waker: Waker) -> TimerKey {
        self.next_id += 1;
        let key = (deadline_nanos, self.next_id);
        self.pending.insert(key, waker);
        key
    }

    /// The earliest deadline and everything that waits for it.
    pub(super) fn pop_next(&mut self) -> Option<(u64, Vec<Waker>)> {
        let (deadline_nanos, _) = *self.pending.first_key_value()?.0;
        let mut wakers = Vec::new();
        while let Some(entry) = self.pending.first_entry()
            && entry.key().0 == deadline_nanos
        {
            wakers.push(entry.remove());
        }
        Some((deadline_nanos, wakers))
    }
}

/// Ends at a deadline of virtual time.
pub struct Sleep {
    handle: Handle,
    deadline_nanos: u64,
    registered: Option<TimerKey>,
}

impl Sleep {
    pub(super) fn new(handle: Handle, deadline_nanos: u64) -> Self {
        Self { handle, deadline_nanos, registered: None }
    }

    fn unregister(&mut self) {
        if let Some(key) = self.registered.take() {
            self.handle.0.timers.borrow_mut().pending.remove(&key);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.handle.now_nanos() >= self.deadline_nanos {
            self.unregister();
            return Poll::Ready(());
        }
        let handle = self.handle.clone();
        let mut timers = handle.0.timers.borrow_mut();
        match self.registered.and_then(|key| timers.pending.get_mut(&key)) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.registered = Some(timers.insert(self.deadline_nanos, cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.unregister();
    }
}
