//! The group on the simulator and on a real disk.

mod cluster;
mod machine;
mod node;
mod peers;
mod single;
mod suite;

use jobbie_io::Disk;
use jobbie_log::{Body, Create, Driver, Identity, Log, LogConfig, Opened};

use crate::Proposal;

/// A proposal of `event_count` events from `first_event` on, whose bytes say which they are.
fn proposal(first_event: u64, event_count: u32) -> Proposal {
    let body = Body::copy_of(&[first_event.to_le_bytes(); 8].concat());
    Proposal { time_us: first_event, first_event, event_count, body }
}

/// Opens a log of small segments, making it if there is none, and has `spawn` run its driver.
async fn open_log<D: Disk>(disk: D, node: u64, spawn: impl FnOnce(Driver)) -> Log<D> {
    let config =
        LogConfig { segment_bytes: 1 << 20, tail_bytes_max: 64 << 10, ..LogConfig::default() };
    let identity = Identity { cluster: 1, node, shard: 0, store: u128::from(node) };
    let opened = Log::open(disk, config, identity, Create::IfMissing).await;
    let Opened { log, driver, .. } = opened.expect("the log opens");
    spawn(driver);
    log
}

fn spawn_in_simulation(driver: Driver) {
    drop(jobbie_sim::Handle::current().spawn(driver));
}
