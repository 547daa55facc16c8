//! Whole segments, as verifying and opening a log see them: both say the same, and what opens can be read, by index and
//! by event, and opens again with nothing left to repair.
#![no_main]

use jobbie_fuzz::{disk::MemDisk, log::disk, run};
use jobbie_log::{Create, Entry, Identity, Log, LogConfig, Opened, ReadError};
use libfuzzer_sys::fuzz_target;

/// Reads that one input may ask for.
const READS_MAX: usize = 200;

fuzz_target!(|input: &[u8]| {
    let disk = disk(input);
    let Ok(identity) = run(jobbie_log::identify(&disk)) else { return };
    let verified = run(jobbie_log::verify(&disk));
    match (open(&disk.copy(), identity, true), verified) {
        (Ok((log, report)), Ok(verified)) => {
            assert_eq!((report.torn, report.segments), (verified.torn, verified.segments));
            assert_eq!(log.state().last.map(|last| last.index), verified.last_index);
            read(&log);
        }
        (Err(opened), Err(verified)) => assert_eq!(opened, verified.to_string()),
        (opened, verified) => panic!("{:?} but {verified:?}", opened.map(|(_, report)| report)),
    }
    let Ok((log, _)) = open(&disk, identity, false) else { return };
    read(&log);
    let (again, report) = open(&disk, identity, false).expect("what was opened opens again");
    assert_eq!(report.torn, None, "a torn tail is cut once and for all");
    assert_eq!(again.state(), log.state());
});

type Open = (Log<MemDisk>, jobbie_log::RecoveryReport);

fn open(disk: &MemDisk, identity: Identity, verify_sealed: bool) -> Result<Open, String> {
    let config = LogConfig { segment_bytes: 1 << 20, verify_sealed, ..LogConfig::default() };
    match run(Log::open(disk.clone(), config, identity, Create::Never)) {
        // Nothing is written here, so nobody drives it.
        Ok(Opened { log, report, .. }) => Ok((log, report)),
        Err(error) => Err(error.to_string()),
    }
}

/// Entries from the first to the last, or to the first one that cannot be read.
fn read(log: &Log<MemDisk>) {
    let state = log.state();
    let mut from = state.purged.map_or(0, |purged| purged.index + 1);
    let end = state.last.map_or(0, |last| last.index + 1);
    for _ in 0..READS_MAX {
        if from >= end {
            break;
        }
        let Ok(entries) = run(log.read(from..end, 64 << 10)) else { break };
        assert!(!entries.is_empty(), "a read that gives nothing");
        for entry in entries {
            assert_eq!(entry.id.index, from, "entries follow each other");
            from += 1;
            read_event(log, &entry);
        }
    }
}

fn read_event(log: &Log<MemDisk>, entry: &Entry) {
    if entry.event_count == 0 {
        return;
    }
    let found: Result<Entry, ReadError> = run(log.entry_of_event(entry.first_event));
    if let Ok(found) = found {
        assert!(found.holds(entry.first_event));
    }
}
