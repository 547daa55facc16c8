//! Log time: the wall clock when a shard starts to lead, and only elapsed time from then on.
//!
//! A wall clock may be stepped. A forward step of a day would end every lease a day early, so
//! while a shard leads, its time follows the monotonic clock alone. Backward steps and the
//! time between two leaders can only make leases longer.

use jobbie_proto::Micros;

/// Where time comes from. Simulations bring their own.
pub trait Clock: 'static {
    /// Microseconds since the Unix epoch by the wall clock.
    fn wall(&self) -> Micros;
    /// Microseconds since any fixed instant; never goes back, is never stepped, counts suspension.
    fn elapsed(&self) -> u64;
}

/// The log time of one period of leadership.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogClock {
    /// What is added to elapsed time.
    offset: u64,
}

impl LogClock {
    /// Starts at the wall clock, or at `last` (the newest time in the log) if that is later.
    #[must_use]
    pub(crate) fn start(clock: &impl Clock, last: Micros) -> Self {
        let begin = clock.wall().max(last);
        Self { offset: begin.0.saturating_sub(clock.elapsed()) }
    }

    /// The same, set forward if that is what it takes to be at `time`.
    #[must_use]
    pub(crate) fn no_earlier(self, clock: &impl Clock, time: Micros) -> Self {
        Self { offset: self.offset.max(time.0.saturating_sub(clock.elapsed())) }
    }

    /// Log time now.
    #[must_use]
    pub(crate) fn now(&self, clock: &impl Clock) -> Micros {
        if crate::mutant!(WallClockFollowed) {
            return clock.wall();
        }
        Micros(self.offset + clock.elapsed())
    }

    /// Microseconds from now until `time`; 0 when it has passed.
    #[must_use]
    pub(crate) fn until(&self, clock: &impl Clock, time: Micros) -> u64 {
        time.0.saturating_sub(self.now(clock).0)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    #[derive(Clone, Default)]
    struct Hands {
        wall: Rc<Cell<u64>>,
        elapsed: Rc<Cell<u64>>,
    }

    impl Clock for Hands {
        fn wall(&self) -> Micros {
            Micros(self.wall.get())
        }
        fn elapsed(&self) -> u64 {
            self.elapsed.get()
        }
    }

    #[test]
    fn r12_a_stepped_wall_clock_does_not_move_log_time() {
        let hands = Hands::default();
        hands.wall.set(1_000_000);
        hands.elapsed.set(500);
        let clock = LogClock::start(&hands, Micros(0));
        hands.wall.set(86_400_000_000);
        hands.elapsed.set(600);
        assert_eq!(clock.now(&hands), Micros(1_000_100));
        hands.wall.set(0);
        assert_eq!(clock.now(&hands), Micros(1_000_100));
    }

    #[test]
    fn r12_time_begins_no_earlier_than_the_log() {
        let hands = Hands::default();
        hands.wall.set(10);
        let clock = LogClock::start(&hands, Micros(5_000));
        assert_eq!(clock.now(&hands), Micros(5_000));
        assert_eq!(clock.until(&hands, Micros(5_300)), 300);
        assert_eq!(clock.until(&hands, Micros(1)), 0);
    }
}
