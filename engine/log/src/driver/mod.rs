//! The log's I/O. One future that the caller spawns; it ends after [`crate::Log::close`].

mod ahead;
mod mark;
mod pace;
mod prepare;
mod recycle;
mod scrub;
mod seal;
mod sync;
mod write;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use jobbie_io::Disk;

use crate::shared::Shared;

pub(crate) use pace::Step;
pub(crate) use prepare::{TEMPORARY_NAME as PREPARE_TEMPORARY_NAME, create};

type Part = Pin<Box<dyn Future<Output = ()>>>;

/// Does the log's reads and writes while it is polled.
pub struct Driver {
    // The writer comes first, so that the others see in the same round what it has completed.
    parts: Vec<Option<Part>>,
}

impl Driver {
    pub(crate) fn new<D: Disk>(shared: &Rc<Shared<D>>) -> Self {
        let parts: Vec<Part> = vec![
            Box::pin(write::run(Rc::clone(shared))),
            Box::pin(seal::run(Rc::clone(shared))),
            Box::pin(prepare::run(Rc::clone(shared))),
            Box::pin(recycle::run(Rc::clone(shared))),
            Box::pin(mark::run(Rc::clone(shared))),
            Box::pin(sync::run(Rc::clone(shared))),
            Box::pin(ahead::run(Rc::clone(shared))),
            Box::pin(scrub::run(Rc::clone(shared))),
        ];
        Self { parts: parts.into_iter().map(Some).collect() }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut running = false;
        for slot in &mut self.parts {
            if let Some(part) = slot {
                if part.as_mut().poll(cx).is_ready() {
                    *slot = None;
                } else {
                    running = true;
                }
            }
        }
        if running { Poll::Pending } else { Poll::Ready(()) }
    }
}

/// Waits for `nanos`, or less when `wake` gives true.
async fn sleep_or<D: Disk>(shared: &Shared<D>, nanos: u64, mut wake: impl FnMut() -> bool) {
    let mut sleep = Box::pin(shared.disk.sleep(nanos));
    poll_fn(|cx| {
        if wake() || sleep.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        shared.work.register(cx.waker());
        Poll::Pending
    })
    .await;
}
