//! Bytes on their way to one connection.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Frames encoded by the shard and not yet taken by the connection's writer.
///
/// The shard never waits for a connection: it appends here, and stops taking requests from a
/// connection whose outbox is fuller than [`Outbox::is_full`] allows.
#[derive(Default)]
pub struct Outbox {
    bytes: RefCell<Vec<u8>>,
    waker: RefCell<Option<Waker>>,
    closed: Cell<bool>,
    closed_waker: RefCell<Option<Waker>>,
    bytes_max: usize,
}

impl Outbox {
    /// An empty outbox that counts as full from `bytes_max` bytes on.
    #[must_use]
    pub fn new(bytes_max: usize) -> Rc<Self> {
        Rc::new(Self { bytes_max, ..Self::default() })
    }

    /// Appends what `encode` writes and wakes the writer. Nothing is kept once closed.
    pub fn put(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        if self.closed.get() {
            return;
        }
        encode(&mut self.bytes.borrow_mut());
        self.wake();
    }

    /// Whether the client reads too slowly to be given more work.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes.borrow().len() >= self.bytes_max
    }

    /// Whether the connection is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// No more frames: what is there already is still to be written.
    pub fn close(&self) {
        self.closed.set(true);
        self.wake();
        if let Some(waker) = self.closed_waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Waits until it is closed. For one task: the connection's reader.
    pub async fn closed(&self) {
        poll_fn(|cx| {
            if self.closed.get() {
                return Poll::Ready(());
            }
            *self.closed_waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits for bytes and swaps them into `buf`, which must be empty. `false` when the outbox is
    /// closed and everything was taken.
    pub async fn take(&self, buf: &mut Vec<u8>) -> bool {
        assert!(buf.is_empty(), "the writer has not written what it took");
        poll_fn(|cx| {
            let mut bytes = self.bytes.borrow_mut();
            if !bytes.is_empty() {
                std::mem::swap(&mut *bytes, buf);
                return Poll::Ready(true);
            }
            if self.closed.get() {
                return Poll::Ready(false);
            }
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}
