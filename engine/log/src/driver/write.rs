//! Writes records, at most two writes at a time.

use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;
use std::task::Poll;

use jobbie_io::{Disk, DiskFile};

use crate::limits::WRITES_IN_FLIGHT;
use crate::queue::Write;
use crate::shared::Shared;

pub(super) async fn run<D: Disk>(shared: Rc<Shared<D>>) {
    let mut slots = [(); WRITES_IN_FLIGHT].map(|()| Box::pin(None));
    poll_fn(|cx| {
        loop {
            let mut progress = false;
            for slot in &mut slots {
                if slot.is_none() {
                    let Some((file, write)) = next(&shared) else { continue };
                    slot.set(Some(one(file, write)));
                }
                let Some(write) = slot.as_mut().as_pin_mut() else { continue };
                if let Poll::Ready((flight, result)) = write.poll(cx) {
                    slot.set(None);
                    land(&shared, flight, result);
                    progress = true;
                }
            }
            if !progress {
                break;
            }
        }
        let core = shared.core.borrow();
        let idle = slots.iter().all(|slot| slot.is_none());
        if idle
            && (core.failed.is_some()
                || core.closing && core.queue.is_idle() && core.unplaced.is_empty())
        {
            return Poll::Ready(());
        }
        shared.work.register(cx.waker());
        Poll::Pending
    })
    .await;
}

fn next<D: Disk>(shared: &Shared<D>) -> Option<(D::File, Write)> {
    let mut core = shared.core.borrow_mut();
    let write = core.queue.next_write()?;
    let segment = core.segments.get(write.segment).expect("records lie in known segments");
    let file = segment.file.clone().expect("a segment being written is open");
    Some((file, write))
}

async fn one<F: DiskFile>(file: F, write: Write) -> (u64, io::Result<()>) {
    (write.flight, file.write_at(write.buf, write.range, write.offset).await)
}

fn land<D: Disk>(shared: &Shared<D>, flight: u64, result: io::Result<()>) {
    if shared.failed() {
        return;
    }
    match result {
        Ok(()) => {
            let dones = shared.core.borrow_mut().complete(flight);
            for done in dones {
                done(Ok(()));
            }
            shared.changed.raise();
        }
        Err(error) => {
            shared.fail_io("write to the log", &error);
        }
    }
}
