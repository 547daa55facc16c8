//! How fast new segments are zeroed. Zeros and log share the disk, so zeroing goes as fast as the log uses segments up
//! and no faster, except while the log writes nothing; and where the log writes in bulk, it is better served by a segment
//! that is only allocated than by waiting for the zeros.

use std::rc::Rc;

use jobbie_io::Disk;

use crate::core::Core;
use crate::limits::{BULK_WRITE_BYTES, ZERO_IDLE_NANOS};
use crate::shared::Shared;

/// What to do with a segment in the making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Zero one more piece.
    Zero,
    /// It is wanted as it is. What is not zeroed reads as zeros, and is only slower to write.
    HandOver,
    /// The log ends.
    Stop,
}

/// The pace of one segment.
pub(super) struct Pacer {
    /// What the log had written when the segment was begun, in bytes.
    begun: u64,
    /// What the log had written when it was seen to rest, in bytes.
    resting_at: Option<u64>,
}

impl Pacer {
    pub(super) fn new<F>(core: &Core<F>) -> Self {
        Self { begun: core.placed_bytes, resting_at: None }
    }

    /// Waits for the next step; `zeroed` bytes are.
    pub(super) async fn step<D: Disk>(&mut self, shared: &Rc<Shared<D>>, zeroed: u64) -> Step {
        loop {
            if let Some(step) = self.look(&shared.core.borrow(), zeroed) {
                return step;
            }
            let before = shared.core.borrow().placed_bytes;
            let look = || self.look(&shared.core.borrow(), zeroed).is_some();
            super::sleep_or(shared, ZERO_IDLE_NANOS, look).await;
            let core = shared.core.borrow();
            if core.placed_bytes == before && core.queue.is_idle() {
                self.resting_at = Some(before);
            }
        }
    }

    fn look<F: Clone>(&self, core: &Core<F>, zeroed: u64) -> Option<Step> {
        if core.failed.is_some() || core.closing {
            return Some(Step::Stop);
        }
        if !core.unplaced.is_empty() || core.will_soon_want_a_segment() {
            return Some(Step::HandOver);
        }
        let rests = self.resting_at == Some(core.placed_bytes);
        let due = (core.placed_bytes - self.begun) / 2 * 3;
        let bulk = core.queue.write_bytes_recent() >= BULK_WRITE_BYTES;
        (rests || !bulk && zeroed < due).then_some(Step::Zero)
    }
}

impl<F: Clone> Core<F> {
    /// Whether the last segment there is will be full before another could be zeroed.
    fn will_soon_want_a_segment(&self) -> bool {
        let active = self.segments.active();
        self.ready.is_empty() && active.end > active.limit() / 4 * 3
    }
}
