//! Flushes now and then, for [`Durability::Interval`].

use std::rc::Rc;

use jobbie_io::Disk;

use crate::config::Durability;
use crate::shared::Shared;

pub(super) async fn run<D: Disk>(shared: Rc<Shared<D>>) {
    let Durability::Interval(interval_ms) = shared.core.borrow().config.durability else { return };
    loop {
        let ended = shared
            .work
            .until(|| {
                let core = shared.core.borrow();
                let unflushed = core.written_sequence > core.durable_sequence;
                let ended =
                    core.failed.is_some() || core.closing && core.queue.is_idle() && !unflushed;
                (ended || unflushed).then_some(ended)
            })
            .await;
        if ended {
            return;
        }
        let nanos = u64::from(interval_ms) * 1_000_000;
        super::sleep_or(&shared, nanos, || shared.core.borrow().closing).await;
        if shared.sync_written().await.is_err() {
            return;
        }
        shared.work.raise();
    }
}
