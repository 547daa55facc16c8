//! The clocks of a simulated node: one that only goes on, and one that people set.

use std::cell::Cell;
use std::rc::Rc;

use jobbie_proto::Micros;
use jobbie_shard::Clock;
use jobbie_sim::Handle;

/// The wall clock when a run begins, in microseconds: some day in 2027.
const EPOCH_US: u64 = 1_800_000_000_000_000;

/// Clones are the same clock.
#[derive(Clone, Default)]
pub(crate) struct SimClock {
    /// How far the wall clock is off, in microseconds.
    wall_off_us: Rc<Cell<i64>>,
}

impl SimClock {
    /// Sets the wall clock by `us` microseconds from where it is.
    pub(crate) fn step(&self, us: i64) {
        self.wall_off_us.set(self.wall_off_us.get() + us);
    }
}

impl Clock for SimClock {
    fn wall(&self) -> Micros {
        let us = (EPOCH_US + self.elapsed()).checked_add_signed(self.wall_off_us.get());
        Micros(us.expect("steps are days"))
    }

    fn elapsed(&self) -> u64 {
        Handle::current().now_nanos() / 1000
    }
}
