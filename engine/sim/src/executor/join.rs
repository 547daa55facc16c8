//! Waiting for a task, and stopping it.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::{Handle, TaskId};

/// The task was dropped before it ended: aborted, or its node was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinError;

impl std::fmt::Display for JoinError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the task was dropped before it ended")
    }
}

impl std::error::Error for JoinError {}

struct Outcome<T> {
    result: Option<Result<T, JoinError>>,
    waiter: Option<Waker>,
}

/// Waits for a task. Dropping it leaves the task running.
pub struct JoinHandle<T> {
    handle: Handle,
    id: TaskId,
    outcome: Rc<RefCell<Outcome<T>>>,
}

/// The task's end of a [`JoinHandle`]; dropped unused, it reports [`JoinError`].
pub(super) struct Settle<T>(Rc<RefCell<Outcome<T>>>);

pub(super) fn pair<T>(handle: Handle, id: TaskId) -> (JoinHandle<T>, Settle<T>) {
    let outcome = Rc::new(RefCell::new(Outcome { result: None, waiter: None }));
    (JoinHandle { handle, id, outcome: outcome.clone() }, Settle(outcome))
}

impl<T> Settle<T> {
    pub(super) fn finish(self, value: T) {
        self.settle(Ok(value));
    }

    fn settle(&self, result: Result<T, JoinError>) {
        let mut outcome = self.0.borrow_mut();
        outcome.result.get_or_insert(result);
        let waiter = outcome.waiter.take();
        drop(outcome);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

impl<T> Drop for Settle<T> {
    fn drop(&mut self) {
        // After `finish` the result is there, or was already taken by the waiter, who is gone.
        self.settle(Err(JoinError));
    }
}

impl<T> JoinHandle<T> {
    /// Drops the task where it stands.
    pub fn abort(&self) {
        self.handle.abort(self.id);
    }

    /// Whether the task has ended or was dropped.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.outcome.borrow().result.is_some()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut outcome = self.outcome.borrow_mut();
        match outcome.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                outcome.waiter = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
