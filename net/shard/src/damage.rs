//! Telling of damage that the log finds by itself, while nobody reads there.

use std::rc::Rc;

use jobbie_io::Disk;
use jobbie_raft::AsyncRuntime;
use tracing::error;

use crate::clock::Clock;
use crate::shard::Inner;

impl<R: AsyncRuntime, D: Disk, C: Clock> Inner<R, D, C> {
    /// Counts what the log reads back, and reports what it finds damaged, until the log ends. Wakes once a segment.
    pub(crate) async fn watch_log(self: Rc<Self>) {
        let mut known = self.log.stats();
        loop {
            self.metrics.log_scrubbed_bytes_total.set(known.scrubbed_bytes);
            self.metrics.log_damage_found_total.set(known.damage_found);
            while let Some(damage) = self.log.take_damage() {
                error!(
                    shard = %self.config.shard,
                    file = damage.file,
                    offset = damage.offset,
                    expected = damage.expected,
                    found = damage.found,
                    "a sealed segment of the log is damaged"
                );
            }
            let Some(now) = self.log.scrubbed_since(&known).await else { return };
            known = now;
        }
    }
}
