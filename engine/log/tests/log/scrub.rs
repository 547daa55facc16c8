//! Sealed segments are read back in the background: damage is found without anybody reading, and nothing else is.

use jobbie_log::limits::{CHUNK_BYTES, SCRUB_AGAIN_NANOS, SCRUB_BUSY_NANOS};
use jobbie_log::{Damage, EntryId, Log, LogConfig};
use jobbie_sim::{Fault, Handle, Operation, SimDisk};

use crate::support::*;

const SECOND: &str = "log-0000000000000002.seg";
const BLOCK: u64 = 4096;
/// Where the footer of a segment of one MiB begins.
const FOOTER: u64 = MIB - BLOCK;
/// Longer than all that is sealed in these tests takes.
const SCRUB_MS: u64 = 2000;
const WEEK_MS: u64 = SCRUB_AGAIN_NANOS / 1_000_000;

/// A log of three sealed segments and some more, closed.
async fn three_sealed(disk: &SimDisk) {
    let (log, _) = open(disk).await;
    // Of one block, of several, and of more than is read at once.
    for round in 0..4 {
        fill(&log, 1, 20, 300).await;
        append(&log, vec![next(&log, 1, 1, 2 * CHUNK_BYTES + round)]).await.unwrap();
        fill(&log, 1, 20, 9000).await;
    }
    assert!(log.stats().segments >= 4);
    log.close().await.unwrap();
    sleep_ms(1000).await;
}

fn damage(log: &Log<SimDisk>) -> Vec<Damage> {
    std::iter::from_fn(|| log.take_damage()).collect()
}

/// Places of the damage that a log finds in itself in time.
async fn found(disk: &SimDisk) -> Vec<(String, u64)> {
    let (log, _) = open(disk).await;
    sleep_ms(SCRUB_MS).await;
    let found = damage(&log);
    let stats = log.stats();
    assert_eq!(stats.damage_found, found.len() as u64);
    assert_eq!(stats.scrubbed_segments, sealed(&log), "damage in one does not keep it from others");
    assert_eq!(stats.chunks_read, 0, "readers' chunks are not for this");
    assert_eq!(log.failed(), None, "stopping would bring nothing back");
    append(&log, vec![next(&log, 1, 1, 10)]).await.unwrap();
    Handle::current().kill(NODE);
    found.into_iter().map(|damage| (damage.file, damage.offset)).collect()
}

fn sealed(log: &Log<SimDisk>) -> u64 {
    log.stats().segments as u64 - 1
}

/// Offsets and lengths of the records of a segment, by the lengths that they say they have.
fn records(segment: &[u8]) -> Vec<(u64, u64)> {
    let mut records = Vec::new();
    let mut at = 4096;
    while segment[at..at + 4] == *b"jbR1" {
        let body = u32::from_le_bytes(segment[at + 8..at + 12].try_into().unwrap());
        records.push((at as u64, 96 + u64::from(body)));
        at += (96 + body as usize).next_multiple_of(4096);
    }
    records
}

#[test]
fn f12_damage_in_a_sealed_segment_is_found_without_a_reader() {
    simulate(1, async || {
        let disk = disk(1);
        three_sealed(&disk).await;
        assert_eq!(found(&disk.fork(2)).await, []);
        let records = records(&disk.content(SECOND).unwrap());
        assert!(records.iter().any(|(_, bytes)| *bytes > 2 * CHUNK_BYTES as u64));
        for (number, (offset, bytes)) in records.iter().enumerate() {
            // In the magic, in the middle of the header, in its checksum, at both ends of the body.
            for byte in [0, 60, 95, 96, bytes - 1] {
                let copy = disk.fork(2);
                copy.corrupt(SECOND, offset + byte, 1 << (byte % 8));
                let place = (SECOND.to_owned(), *offset);
                assert_eq!(found(&copy).await, [place], "byte {byte} of record {number}");
            }
        }
        // Nobody's: the rest of the header's block, padding, blocks behind the last record.
        let (last, bytes) = records[records.len() - 1];
        for byte in [64, BLOCK - 1, records[0].0 + records[0].1, last + bytes, FOOTER - 1] {
            let copy = disk.fork(2);
            copy.corrupt(SECOND, byte, 1);
            assert_eq!(found(&copy).await, [], "byte {byte}");
        }
    });
}

#[test]
fn f12_damage_while_the_log_is_open_is_found_in_the_next_round() {
    simulate(2, async || {
        let disk = disk(2);
        three_sealed(&disk).await;
        // Not looked at when the log is opened, or that would refuse.
        for (byte, at) in
            [(0, 0), (59, 0), (FOOTER, FOOTER), (FOOTER + 204, FOOTER), (MIB - 1, FOOTER)]
        {
            let copy = disk.fork(2);
            let (log, _) = open(&copy).await;
            sleep_ms(SCRUB_MS).await;
            assert_eq!(log.stats().scrubbed_segments, sealed(&log));
            copy.corrupt(SECOND, byte, 0x40);
            sleep_ms(WEEK_MS).await;
            let found = damage(&log);
            assert_eq!(found.len(), 1, "byte {byte}: {found:?}");
            assert_eq!((found[0].file.as_str(), found[0].offset), (SECOND, at), "byte {byte}");
            // Found again, not told again.
            sleep_ms(WEEK_MS).await;
            assert_eq!((damage(&log), log.stats().damage_found), (vec![], 1));
            assert_eq!(log.stats().scrubbed_segments, 3 * sealed(&log));
            Handle::current().kill(NODE);
        }
    });
}

#[test]
fn f12_an_error_of_the_disk_is_damage_and_stops_nothing() {
    simulate(3, async || {
        let disk = disk(3);
        three_sealed(&disk).await;
        let (log, _) = open(&disk).await;
        disk.plan(Operation::Read, 1, Fault::Error);
        sleep_ms(SCRUB_MS).await;
        let found = damage(&log);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].found.contains("simulated I/O error"), "{}", found[0]);
        assert_eq!(found[0].offset % BLOCK, 0);
        assert_eq!((log.stats().scrubbed_segments, log.failed()), (sealed(&log), None));
        assert_eq!(read_all(&log).await.len(), 164);
    });
}

#[test]
fn f12_what_was_just_sealed_is_read_back_soon_and_an_idle_log_then_sleeps() {
    simulate(4, async || {
        let disk = disk(4);
        let (log, _) = open(&disk).await;
        fill(&log, 1, 120, 9000).await;
        assert_eq!(sealed(&log), 1);
        let before = log.stats();
        let stats = log.scrubbed_since(&before).await.unwrap();
        assert_eq!((stats.scrubbed_segments, stats.damage_found), (1, 0));
        assert!((MIB - 100_000..MIB + 100_000).contains(&stats.scrubbed_bytes), "{stats:?}");
        sleep_ms(1000).await;
        let operations = disk.operations();
        sleep_ms(WEEK_MS - 10_000).await;
        assert_eq!(disk.operations(), operations, "nothing to do, nothing done");
        sleep_ms(20_000).await;
        assert_eq!(log.stats().scrubbed_segments, 2, "once a week");
        log.close().await.unwrap();
        assert_eq!(log.scrubbed_since(&log.stats()).await, None);
    });
}

#[test]
fn f12_a_segment_that_is_recycled_meanwhile_is_given_up() {
    simulate(5, async || {
        let disk = disk(5);
        let (log, _) = open(&disk).await;
        let mut recycled = 0;
        for round in 0..40 {
            fill(&log, 1, 110, 9000).await;
            let segments = log.stats().segments;
            // At any moment of the reading, which takes some forty milliseconds.
            Handle::current().sleep(std::time::Duration::from_micros(round * 1300)).await;
            let last = log.state().last.unwrap();
            log.purge(EntryId { index: last.index - 2, ..last }).await.unwrap();
            log.keep_from(log.state().next_event - 6);
            // It is not waited for: less than the rest of the segment would take.
            sleep_ms(8).await;
            recycled += segments - log.stats().segments;
        }
        assert!(recycled >= 38, "{recycled}");
        assert_eq!(damage(&log), []);
        let stats = log.stats();
        assert_eq!((stats.damage_found, log.failed()), (0, None));
        assert!((5..35).contains(&stats.scrubbed_segments), "{stats:?}");
    });
}

#[test]
fn f12_reading_back_makes_way_for_writes_and_never_stops_for_them() {
    simulate(6, async || {
        let disk = disk(6);
        three_sealed(&disk).await;
        let (log, _) = open(&disk).await;
        // Never five milliseconds without a write.
        let nanos = || Handle::current().now_nanos();
        let begun = nanos();
        while nanos() - begun < 20 * SCRUB_BUSY_NANOS {
            fill(&log, 2, 1, 10).await;
            sleep_ms(1).await;
        }
        let (reads, bytes) = (20, log.stats().scrubbed_bytes);
        assert!(bytes <= (reads + 1) * CHUNK_BYTES as u64, "{bytes} bytes beside the writes");
        assert!(bytes >= reads / 2 * 64 * 1024, "{bytes} bytes: it starves");
        sleep_ms(150).await;
        let stats = log.stats();
        assert!(stats.scrubbed_segments >= 3, "no hurry while the log writes only: {stats:?}");
    });
}

#[test]
fn f12_relaxed_and_verified_logs_are_read_back_too() {
    for durability in [jobbie_log::Durability::Interval(5), jobbie_log::Durability::None] {
        simulate(7, async || {
            let disk = disk(7);
            let config = LogConfig { durability, verify_sealed: true, ..config() };
            for _ in 0..2 {
                let (log, _) = try_open(&disk, config).await.unwrap();
                fill(&log, 1, 300, 9000).await;
                sleep_ms(SCRUB_MS).await;
                assert_eq!(log.stats().scrubbed_segments, sealed(&log));
                assert_eq!(damage(&log), []);
                log.close().await.unwrap();
                sleep_ms(1000).await;
            }
        });
    }
}

#[test]
fn f12_entries_truncated_after_sealing_are_no_damage() {
    simulate(8, async || {
        let disk = disk(8);
        let (log, _) = open(&disk).await;
        fill(&log, 1, 300, 9000).await;
        let kept = log.read(20..21, 1).await.unwrap().remove(0).id;
        log.truncate_after(Some(kept)).await.unwrap();
        fill(&log, 2, 200, 9000).await;
        sleep_ms(SCRUB_MS).await;
        assert_eq!((log.stats().scrubbed_segments, damage(&log)), (sealed(&log), vec![]));
        log.close().await.unwrap();
        sleep_ms(1000).await;
        assert_eq!(found(&disk).await, []);
    });
}
