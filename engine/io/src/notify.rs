//! Waking a shard from another thread.
//!
//! The other thread puts work into a queue of its own and calls [`EventNotifier::notify`]; the
//! shard waits with [`EventWaiter::wait`]. An eventfd carries the wake-up, and a flag saves the
//! system call whenever the shard is awake anyway.

use std::cell::RefCell;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys;

struct Shared {
    sleeping: AtomicBool,
    eventfd: File,
}

type WakeRead = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// The side of any thread. Cheap to clone.
#[derive(Clone)]
pub struct EventNotifier {
    shared: Arc<Shared>,
}

/// The side of the shard: one waiter, on the thread of its runtime.
pub struct EventWaiter {
    shared: Arc<Shared>,
    ring_file: std::rc::Rc<monoio::fs::File>,
    // A read that was started stays here until it completes, so that a dropped `wait` neither
    // loses a wake-up nor leaves two reads racing for one.
    read: RefCell<Option<WakeRead>>,
}

/// A connected pair. Call on the thread of the runtime that will wait.
///
/// # Errors
/// When the process is out of descriptors.
pub fn event_notify() -> io::Result<(EventNotifier, EventWaiter)> {
    let eventfd = File::from(sys::eventfd()?);
    let ring_file = std::rc::Rc::new(monoio::fs::File::from_std(eventfd.try_clone()?)?);
    let shared = Arc::new(Shared { sleeping: AtomicBool::new(false), eventfd });
    let waiter = EventWaiter { shared: Arc::clone(&shared), ring_file, read: RefCell::new(None) };
    Ok((EventNotifier { shared }, waiter))
}

impl EventNotifier {
    /// Wakes the shard if it sleeps. Call after the work is visible in the queue.
    pub fn notify(&self) {
        // Pairs with the store in `wait`: in the one order of all SeqCst operations either this
        // swap sees the flag, or the waiter's second look sees the work.
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.shared.sleeping.load(Ordering::SeqCst)
            && self.shared.sleeping.swap(false, Ordering::SeqCst)
        {
            // The count cannot overflow: it is written at most once per sleep.
            let written = (&self.shared.eventfd).write(&1_u64.to_ne_bytes());
            assert!(matches!(written, Ok(8)), "eventfd refused a wake-up: {written:?}");
        }
    }
}

impl EventWaiter {
    /// Returns when `ready` says so. `ready` is asked at least once, then after each wake-up.
    ///
    /// # Errors
    /// When the ring refuses the read.
    pub async fn wait(&self, mut ready: impl FnMut() -> bool) -> io::Result<()> {
        loop {
            if ready() {
                return Ok(());
            }
            self.shared.sleeping.store(true, Ordering::SeqCst);
            std::sync::atomic::fence(Ordering::SeqCst);
            if ready() {
                self.shared.sleeping.store(false, Ordering::SeqCst);
                return Ok(());
            }
            poll_fn(|cx| {
                let mut slot = self.read.borrow_mut();
                let read = slot.get_or_insert_with(|| {
                    let file = std::rc::Rc::clone(&self.ring_file);
                    Box::pin(async move { file.read_at(vec![0_u8; 8], 0).await.0.map(drop) })
                });
                let polled = read.as_mut().poll(cx);
                if polled.is_ready() {
                    *slot = None;
                }
                polled
            })
            .await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn no_item_is_left_behind() {
        const ITEMS: u32 = 20_000;
        crate::runtime::block_on(async {
            let (notifier, waiter) = event_notify().unwrap();
            let queue = Arc::new(Mutex::new(Vec::new()));
            let sender = std::thread::spawn({
                let queue = Arc::clone(&queue);
                move || {
                    for item in 0..ITEMS {
                        queue.lock().unwrap().push(item);
                        notifier.notify();
                        if item % 64 == 0 {
                            std::thread::yield_now();
                        }
                    }
                }
            });
            let mut received = Vec::new();
            while received.len() < ITEMS as usize {
                waiter.wait(|| !queue.lock().unwrap().is_empty()).await.unwrap();
                received.append(&mut queue.lock().unwrap());
            }
            sender.join().unwrap();
            assert!(received.into_iter().eq(0..ITEMS));
        })
        .unwrap();
    }
}
