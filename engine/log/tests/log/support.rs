//! A log on a simulated disk, and entries whose content follows from their name.

use std::cell::RefCell;
use std::rc::Rc;

use jobbie_log::{
    Body, Create, Entry, EntryId, EntryKind, Identity, Log, LogConfig, LogFailed, OpenError,
    Opened, RecoveryReport,
};
use jobbie_sim::{DiskConfig, Executor, Handle, NodeId, Schedule, SimDisk};

pub(crate) const IDENTITY: Identity = Identity { cluster: 11, node: 22, shard: 3, store: 44 };
pub(crate) const NODE: NodeId = NodeId(1);
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const FIRST: &str = "log-0000000000000001.seg";

pub(crate) fn config() -> LogConfig {
    LogConfig {
        segment_bytes: MIB,
        spare_segments: 1,
        // Small, so that most reads go to the disk.
        tail_bytes_max: 64 << 10,
        ..LogConfig::default()
    }
}

pub(crate) fn simulate<T>(seed: u64, test: impl AsyncFnOnce() -> T) -> T {
    Executor::new(seed, Schedule::Shuffled).block_on(test())
}

pub(crate) fn disk(seed: u64) -> SimDisk {
    SimDisk::new(seed, DiskConfig::default())
}

/// Opens the log and spawns its driver on [`NODE`].
pub(crate) async fn try_open(
    disk: &SimDisk,
    config: LogConfig,
) -> Result<(Log<SimDisk>, RecoveryReport), OpenError> {
    let Opened { log, driver, report } =
        Log::open(disk.clone(), config, IDENTITY, Create::IfMissing).await?;
    Handle::current().spawn_on(NODE, driver);
    Ok((log, report))
}

pub(crate) async fn open(disk: &SimDisk) -> (Log<SimDisk>, RecoveryReport) {
    try_open(disk, config()).await.unwrap()
}

/// Content that only this entry has.
pub(crate) fn content(id: EntryId, bytes: usize) -> Vec<u8> {
    let mut state =
        id.term.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ id.index.wrapping_mul(0xd6e8_feb8_6659_fd93);
    (0..bytes)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect()
}

pub(crate) fn entry(
    term: u64,
    index: u64,
    first_event: u64,
    event_count: u32,
    bytes: usize,
) -> Entry {
    let id = EntryId { term, index };
    Entry {
        id,
        kind: if event_count == 0 { EntryKind::Blank } else { EntryKind::Batch },
        time_us: index * 1000,
        first_event,
        event_count,
        body: Body::copy_of(&content(id, bytes)),
    }
}

/// The entry that would follow, with `event_count` events.
pub(crate) fn next(log: &Log<SimDisk>, term: u64, event_count: u32, bytes: usize) -> Entry {
    let state = log.state();
    let index = state.last.map_or(0, |last| last.index + 1);
    entry(term, index, state.next_event, event_count, bytes)
}

/// What an append's callback said, once it has.
pub(crate) type Said = Rc<RefCell<Option<Result<(), LogFailed>>>>;

pub(crate) fn start_append(log: &Log<SimDisk>, entries: Vec<Entry>) -> Said {
    let said = Said::default();
    let told = Rc::clone(&said);
    log.append(entries, move |result| *told.borrow_mut() = Some(result)).unwrap();
    said
}

pub(crate) async fn append(log: &Log<SimDisk>, entries: Vec<Entry>) -> Result<(), LogFailed> {
    let said = start_append(log, entries);
    loop {
        if let Some(result) = said.borrow_mut().take() {
            return result;
        }
        Handle::current().sleep(std::time::Duration::from_micros(5)).await;
    }
}

/// Appends `count` entries one by one.
pub(crate) async fn fill(log: &Log<SimDisk>, term: u64, count: u64, bytes: usize) {
    for _ in 0..count {
        append(log, vec![next(log, term, 3, bytes)]).await.unwrap();
    }
}

/// Reads every entry and checks that each has its own content.
pub(crate) async fn read_all(log: &Log<SimDisk>) -> Vec<Entry> {
    let state = log.state();
    let first = state.purged.map_or(0, |purged| purged.index + 1);
    let end = state.last.map_or(0, |last| last.index + 1);
    let mut entries = Vec::new();
    while first + (entries.len() as u64) < end {
        let from = first + entries.len() as u64;
        let read = log.read(from..end, 100_000).await.unwrap();
        assert!(!read.is_empty() && read[0].id.index == from);
        entries.extend(read);
    }
    for entry in &entries {
        assert!(
            entry.body.bytes() == content(entry.id, entry.body.bytes().len()),
            "{:?}",
            entry.id
        );
    }
    entries
}

pub(crate) async fn sleep_ms(ms: u64) {
    Handle::current().sleep(std::time::Duration::from_millis(ms)).await;
}
