//! A disk that is full for a while.

use jobbie_sim::Handle;

use super::{MS, Nemesis};
use crate::check::{r05_full_disk, violated};
use crate::node::{Node, STORE};
use crate::records;
use crate::world::count;

/// With less than this in its segments the log may have to wait, leases and all.
const ROOM_BYTES: u64 = 256 << 10;
/// Seconds after which a log must have noticed that there is space again.
const RESUME_SECS_MAX: u64 = 20;

impl Nemesis {
    pub(super) async fn no_space(&self, node: &Node) {
        count(&self.world.counts.disk_faults);
        let disk = node.disk();
        let used: u64 = disk.files().iter().map(|file| file.len).sum();
        let left = self.below(2 << 20);
        disk.configure(|config| config.capacity_bytes = used + left);
        self.world.hurry.set(self.below(2) == 0);
        let starts = node.starts.get();
        let log_time = || self.world.ledger.with(node.shard, |book| book.model.time);
        let (begun, time_begun) = (Handle::current().now_nanos(), log_time());
        self.sleep(self.below(6000) * MS).await;
        self.world.hurry.set(false);
        let passed_us = (Handle::current().now_nanos() - begun) / 1000;
        let serves = || node.starts.get() == starts && node.failed().is_none();
        if serves() && node.is_full() == Some(true) {
            count(&self.world.counts.full_disks);
            if records::room(&disk, STORE) >= ROOM_BYTES {
                let time = time_begun + passed_us;
                self.world
                    .ledger
                    .with(node.shard, |book| r05_full_disk::expired(&book.model, time));
            }
        }
        let capacity = self.world.plan.disk.capacity_bytes;
        disk.configure(|config| config.capacity_bytes = capacity);
        self.resumes(node, serves).await;
    }

    /// The log finds by itself that there is space.
    async fn resumes(&self, node: &Node, serves: impl Fn() -> bool) {
        let begun = Handle::current().now_nanos();
        while serves() && node.is_full() == Some(true) {
            if Handle::current().now_nanos() - begun > RESUME_SECS_MAX * 1000 * MS {
                violated!("r05", "shard {} does not notice that there is space", node.shard);
            }
            self.sleep(100 * MS).await;
        }
    }
}
