//! A channel that keeps the newest value. Tokio's wakes its waiters in random order; this one
//! wakes them in the order they began to wait.

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;
use std::task::{Poll, Waker};

use openraft::async_runtime::watch::{RecvError, SendError};
use openraft::async_runtime::{Watch, WatchReceiver, WatchSender};
use openraft::{OptionalSend, OptionalSync};

/// Watch channels of a simulation.
pub struct SimWatch;

struct Channel<T> {
    value: RefCell<T>,
    /// Rises with each change.
    version: Cell<u64>,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    next_receiver: Cell<u64>,
    waiting: RefCell<Vec<(u64, Waker)>>,
}

impl<T> Channel<T> {
    fn wake_all(&self) {
        let waiting = self.waiting.take();
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn wait(&self, receiver: u64, waker: &Waker) {
        let mut waiting = self.waiting.borrow_mut();
        match waiting.iter_mut().find(|(id, _)| *id == receiver) {
            Some((_, there)) => there.clone_from(waker),
            None => waiting.push((receiver, waker.clone())),
        }
    }
}

/// The side that sets the value.
pub struct Sender<T>(Rc<Channel<T>>);

/// A side that follows the value.
pub struct Receiver<T> {
    channel: Rc<Channel<T>>,
    id: u64,
    seen: u64,
}

impl<T> Receiver<T> {
    fn new(channel: Rc<Channel<T>>, seen: u64) -> Self {
        channel.receivers.set(channel.receivers.get() + 1);
        let id = channel.next_receiver.replace(channel.next_receiver.get() + 1);
        Self { channel, id, seen }
    }
}

impl Watch for SimWatch {
    type Sender<T: OptionalSend + OptionalSync> = Sender<T>;
    type Receiver<T: OptionalSend + OptionalSync> = Receiver<T>;
    type Ref<'a, T: OptionalSend + 'a> = Ref<'a, T>;

    fn channel<T: OptionalSend + OptionalSync>(init: T) -> (Sender<T>, Receiver<T>) {
        let channel = Rc::new(Channel {
            value: RefCell::new(init),
            version: Cell::new(0),
            senders: Cell::new(1),
            receivers: Cell::new(0),
            next_receiver: Cell::new(0),
            waiting: RefCell::default(),
        });
        (Sender(channel.clone()), Receiver::new(channel, 0))
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.set(self.0.senders.get() + 1);
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.senders.set(self.0.senders.get() - 1);
        if self.0.senders.get() == 0 {
            self.0.wake_all();
        }
    }
}

impl<T: OptionalSend + OptionalSync> WatchSender<SimWatch, T> for Sender<T> {
    fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.0.receivers.get() == 0 {
            return Err(SendError(value));
        }
        self.send_if_modified(|current| {
            *current = value;
            true
        });
        Ok(())
    }

    fn send_if_modified<F>(&self, modify: F) -> bool
    where
        F: FnOnce(&mut T) -> bool,
    {
        let modified = modify(&mut self.0.value.borrow_mut());
        if modified {
            self.0.version.set(self.0.version.get() + 1);
            self.0.wake_all();
        }
        modified
    }

    fn borrow_watched(&self) -> Ref<'_, T> {
        self.0.value.borrow()
    }

    fn subscribe(&self) -> Receiver<T> {
        Receiver::new(self.0.clone(), self.0.version.get())
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self::new(self.channel.clone(), self.seen)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.channel.receivers.set(self.channel.receivers.get() - 1);
        self.channel.waiting.borrow_mut().retain(|(id, _)| *id != self.id);
    }
}

impl<T: OptionalSend + OptionalSync> WatchReceiver<SimWatch, T> for Receiver<T> {
    async fn changed(&mut self) -> Result<(), RecvError> {
        std::future::poll_fn(|cx| {
            let version = self.channel.version.get();
            if version != self.seen {
                self.seen = version;
                return Poll::Ready(Ok(()));
            }
            if self.channel.senders.get() == 0 {
                return Poll::Ready(Err(RecvError(())));
            }
            self.channel.wait(self.id, cx.waker());
            Poll::Pending
        })
        .await
    }

    fn borrow_watched(&self) -> Ref<'_, T> {
        self.channel.value.borrow()
    }

    fn borrow_and_update(&mut self) -> Ref<'_, T> {
        self.seen = self.channel.version.get();
        self.channel.value.borrow()
    }
}

#[cfg(test)]
mod tests {
    use jobbie_sim::{Executor, Handle, Schedule};

    use super::*;

    #[test]
    fn waiters_wake_in_the_order_they_began_to_wait() {
        Executor::new(1, Schedule::Fifo).block_on(async {
            let handle = Handle::current();
            let (sender, receiver) = SimWatch::channel(0);
            let order = Rc::new(RefCell::new(Vec::new()));
            for i in 0..20 {
                let (mut receiver, order) = (receiver.clone(), order.clone());
                handle.spawn(async move {
                    receiver.changed().await.expect("the sender lives");
                    order.borrow_mut().push(i);
                });
            }
            handle.yield_now().await;
            sender.send(1).expect("there are receivers");
            handle.yield_now().await;
            assert_eq!(order.take(), (0..20).collect::<Vec<_>>());
        });
    }
}
