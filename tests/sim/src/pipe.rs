//! One direction of a simulated TCP connection: bytes arrive late, in order, and may be cut off anywhere.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use jobbie_sim::{Handle, Rng};

/// Clones are the same pipe.
#[derive(Clone)]
pub(crate) struct Pipe(Rc<RefCell<State>>);

struct State {
    rng: Rng,
    delay_nanos: std::ops::Range<u64>,
    on_the_way: VecDeque<(u64, Vec<u8>)>,
    closed: bool,
    reader: Option<Waker>,
}

impl Pipe {
    /// A pipe that delays each piece by a time from `delay_nanos`.
    pub(crate) fn new(rng: Rng, delay_nanos: std::ops::Range<u64>) -> Self {
        let (on_the_way, closed, reader) = (VecDeque::new(), false, None);
        Self(Rc::new(RefCell::new(State { rng, delay_nanos, on_the_way, closed, reader })))
    }

    /// Sends bytes, unless the pipe is closed. They arrive as they are or in several pieces, cut anywhere.
    pub(crate) fn send(&self, mut bytes: Vec<u8>) {
        let mut state = self.0.borrow_mut();
        if state.closed || bytes.is_empty() {
            return;
        }
        while bytes.len() > 1 && state.rng.below(4) == 0 {
            let cut = 1 + state.rng.below(bytes.len() as u64 - 1) as usize;
            let rest = bytes.split_off(cut);
            state.push(std::mem::replace(&mut bytes, rest));
        }
        state.push(bytes);
        state.wake();
    }

    /// No more is sent; what is on the way still arrives.
    pub(crate) fn close(&self) {
        let mut state = self.0.borrow_mut();
        state.closed = true;
        state.wake();
    }

    /// The connection breaks: of what is on the way, any number of bytes arrives.
    pub(crate) fn sever(&self) {
        let mut state = self.0.borrow_mut();
        let bytes: usize = state.on_the_way.iter().map(|(_, piece)| piece.len()).sum();
        let mut left = state.rng.below(bytes as u64 + 1) as usize;
        for (_, piece) in &mut state.on_the_way {
            let keep = left.min(piece.len());
            piece.truncate(keep);
            left -= keep;
        }
        state.on_the_way.retain(|(_, piece)| !piece.is_empty());
        state.closed = true;
        state.wake();
    }

    /// The next piece; `None` when there will be none. Dropping the future loses nothing.
    pub(crate) async fn receive(&self) -> Option<Vec<u8>> {
        loop {
            let arrives = poll_fn(|cx| {
                let mut state = self.0.borrow_mut();
                match state.on_the_way.front() {
                    Some((at, _)) => Poll::Ready(Some(*at)),
                    None if state.closed => Poll::Ready(None),
                    None => {
                        state.reader = Some(cx.waker().clone());
                        Poll::Pending
                    }
                }
            });
            let at = arrives.await?;
            let handle = Handle::current();
            if at > handle.now_nanos() {
                handle.sleep_until(at).await;
                continue;
            }
            let mut state = self.0.borrow_mut();
            // It may have been cut off while it was waited for.
            if let Some((_, piece)) = state.on_the_way.pop_front() {
                return Some(piece);
            }
        }
    }
}

impl State {
    fn push(&mut self, piece: Vec<u8>) {
        let delay = self.rng.within(&self.delay_nanos);
        let after = self.on_the_way.back().map_or(0, |(at, _)| *at);
        let arrives = after.max(Handle::current().now_nanos() + delay);
        self.on_the_way.push_back((arrives, piece));
    }

    fn wake(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }
}
