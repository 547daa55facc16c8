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

/// Whether the log rests, as far as it was watched.
#[derive(Default)]
pub(super) struct Rest {
    /// What the log had written when it was seen to rest, in bytes.
    at: Option<u64>,
}

impl Rest {
    /// Whether nothing was written since the log was seen to rest.
    pub(super) fn lasts<F>(&self, core: &Core<F>) -> bool {
        self.at == Some(core.placed_bytes)
    }

    /// Watches the log for [`ZERO_IDLE_NANOS`], or less when `wake` gives true.
    pub(super) async fn watch<D: Disk>(shared: &Shared<D>, wake: impl FnMut() -> bool) -> Self {
        let before = shared.core.borrow().placed_bytes;
        super::sleep_or(shared, ZERO_IDLE_NANOS, wake).await;
        let core = shared.core.borrow();
        let rests = core.placed_bytes == before && core.queue.is_idle();
        Self { at: rests.then_some(before) }
    }
}

/// The pace of one segment.
pub(super) struct Pacer {
    /// What the log had written when the segment was begun, in bytes.
    begun: u64,
    rest: Rest,
}

impl Pacer {
    pub(super) fn new<F>(core: &Core<F>) -> Self {
        Self { begun: core.placed_bytes, rest: Rest::default() }
    }

    /// Waits for the next step; `zeroed` bytes are.
    pub(super) async fn step<D: Disk>(&mut self, shared: &Rc<Shared<D>>, zeroed: u64) -> Step {
        loop {
            if let Some(step) = self.look(&shared.core.borrow(), zeroed) {
                return step;
            }
            let look = || self.look(&shared.core.borrow(), zeroed).is_some();
            self.rest = Rest::watch(shared, look).await;
        }
    }

    fn look<F: Clone>(&self, core: &Core<F>, zeroed: u64) -> Option<Step> {
        if core.failed.is_some() || core.closing {
            return Some(Step::Stop);
        }
        if !core.unplaced.is_empty() || core.will_soon_want_a_segment() {
            return Some(Step::HandOver);
        }
        let rests = self.rest.lasts(core);
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
