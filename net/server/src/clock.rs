//! The clocks of the machine.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use jobbie_proto::Micros;

/// Wall clock and monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MachineClock {
    start: Instant,
}

impl MachineClock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl jobbie_shard::Clock for MachineClock {
    fn wall(&self) -> Micros {
        // A machine whose clock says 1969 gets log times near 1970, which are as good as any.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
