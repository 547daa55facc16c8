//! A mark after the last record, once the log is idle: without it, damage to the last records could
//! not be told from a torn tail.

use std::rc::Rc;

use jobbie_io::Disk;

use crate::core::Change;
use crate::format::header::RecordKind;
use crate::limits::{ENTRY_RESERVE_BYTES, MARK_IDLE_NANOS};
use crate::shared::Shared;

pub(super) async fn run<D: Disk>(shared: Rc<Shared<D>>) {
    loop {
        let Some(sequence) = shared.work.until(|| unmarked(&shared)).await else { return };
        super::sleep_or(&shared, MARK_IDLE_NANOS, || ending(&shared)).await;
        let mut core = shared.core.borrow_mut();
        // Something newer has come: the log was not idle.
        let idle = core.sequence == sequence && core.durable_sequence == sequence;
        if idle
            && core.failed.is_none()
            && core.fits([crate::format::BLOCK].into_iter(), ENTRY_RESERVE_BYTES)
        {
            core.push_control(RecordKind::Mark, Change::Nothing, None);
            core.marked_sequence = core.sequence;
            drop(core);
            shared.work.raise();
        }
    }
}

/// The last record when it is durable and not followed by a mark. `None` inside when the log ends.
fn unmarked<D: Disk>(shared: &Shared<D>) -> Option<Option<u64>> {
    let core = shared.core.borrow();
    if core.failed.is_some()
        || core.closing && core.marked_sequence == core.sequence && core.queue.is_idle()
    {
        return Some(None);
    }
    let unmarked = core.sequence != core.marked_sequence && core.durable_sequence == core.sequence;
    if core.closing && !unmarked && core.durable_sequence != core.sequence && core.queue.is_idle() {
        // Nothing will make it durable any more (a durability that does not flush).
        return Some(None);
    }
    unmarked.then_some(Some(core.sequence))
}

fn ending<D: Disk>(shared: &Shared<D>) -> bool {
    let core = shared.core.borrow();
    core.closing || core.failed.is_some()
}
