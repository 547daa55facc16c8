//! Every bit and every length of a small log that has all there is: a superblock, a segment being written with
//! records of every kind, a sealed one with its footer, a snapshot. What is changed is either noticed where it is, or it
//! has no meaning, and then all that is read is the same.
//!
//! Without meaning are: the rest of a header's block behind its checksum, a record's padding to whole blocks, and
//! blocks behind the end of the log that do not look like one of its records.

use std::ops::Range;

use jobbie_log::{Create, Entry, EntryId, Log, LogState, OpenError, SnapshotMeta, Snapshots, Vote};

use crate::frozen::{FrozenDisk, Wrong, run};
use crate::support::*;

const SUPERBLOCK: &str = "superblock";
const SECOND: &str = "log-0000000000000002.seg";
const SNAPSHOT: &str = "snap-0000000000000004-0000000000000002.snap";
const BLOCK: u64 = 4096;
const FOOTER: u64 = MIB - BLOCK;
const BITS: [u8; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

#[derive(Debug, PartialEq)]
enum Seen {
    Same,
    Torn(String, u64),
    Refused(String, u64),
}

/// All that can be read of a log.
#[derive(Debug, PartialEq)]
struct Content {
    state: LogState,
    entries: Vec<Entry>,
}

fn read(disk: &FrozenDisk) -> Content {
    let opened = Log::open(disk.clone(), config(), IDENTITY, Create::Never);
    let log = run(opened).expect("what verifies opens").log;
    let state = log.state();
    let first = state.purged.map_or(0, |purged| purged.index + 1);
    let end = state.last.map_or(0, |last| last.index + 1);
    Content { state, entries: run(log.read(first..end, usize::MAX)).expect("it verifies") }
}

fn seen(disk: &FrozenDisk, content: &Content) -> Seen {
    match run(jobbie_log::verify(disk)) {
        Err(OpenError::Damaged(damage)) => Seen::Refused(damage.file, damage.offset),
        Err(other) => panic!("{other}"),
        Ok(verified) => match verified.torn {
            Some(torn) => Seen::Torn(torn.file, torn.offset),
            None => {
                assert!(read(disk) == *content, "{verified:?}");
                Seen::Same
            }
        },
    }
}

/// Records of every kind in one segment, and a mark behind them: everything is known to be durable.
fn open_segment(seed: u64) -> FrozenDisk {
    simulate(seed, async || {
        let disk = disk(seed);
        let (log, _) = open(&disk).await;
        append(&log, vec![next(&log, 1, 0, 30)]).await.unwrap();
        append(&log, vec![next(&log, 1, 2, 4100)]).await.unwrap();
        log.save_vote(Vote { term: 2, node: 1, committed: true }).await.unwrap();
        append(&log, vec![next(&log, 2, 1, 50)]).await.unwrap();
        log.truncate_after(Some(EntryId { term: 1, index: 1 })).await.unwrap();
        append(&log, vec![next(&log, 2, 3, 300)]).await.unwrap();
        sleep_ms(1000).await;
        jobbie_sim::Handle::current().kill(NODE);
        // The segment prepared behind it belongs to no log yet.
        disk.delete(SECOND);
        FrozenDisk::of(&disk)
    })
}

/// The bytes of each record of a segment, by the length that it says it has.
fn records(segment: &[u8]) -> Vec<Range<u64>> {
    let (mut found, mut at) = (Vec::new(), BLOCK);
    while segment[at as usize..].starts_with(b"jbR1") {
        let len = segment[at as usize + 8..at as usize + 12].try_into().unwrap();
        let end = at + 96 + u64::from(u32::from_le_bytes(len));
        found.push(at..end);
        at = end.next_multiple_of(BLOCK);
    }
    found
}

/// What a flip of a bit in this byte of the segment must give.
fn expected(at: u64, records: &[Range<u64>]) -> Seen {
    let refused = |offset| Seen::Refused(FIRST.into(), offset);
    let mark = records.last().unwrap();
    match records.iter().find(|record| (record.start..record.end).contains(&at)) {
        _ if at < 64 => refused(0),
        // Nothing is lost with the mark, and nothing says that it was there.
        Some(record) if record == mark => Seen::Torn(FIRST.into(), mark.start),
        Some(record) => refused(record.start),
        // A block that nobody wrote to is all zeros, or it is what a torn write left.
        None if at / BLOCK == mark.start / BLOCK + 1 => {
            Seen::Torn(FIRST.into(), at / BLOCK * BLOCK)
        }
        None => Seen::Same,
    }
}

#[test]
fn f01_every_bit_of_every_record_is_noticed_or_means_nothing() {
    let disk = open_segment(1);
    let content = read(&disk);
    let records = records(disk.content(FIRST));
    assert_eq!((seen(&disk, &content), records.len()), (Seen::Same, 8));
    for record in std::iter::once(&(0..64)).chain(&records) {
        for at in record.clone() {
            for mask in BITS {
                let got = seen(&disk.with(FIRST, Wrong::Flip(at, mask)), &content);
                assert_eq!(got, expected(at, &records), "byte {at}, bit {mask:#x}");
            }
        }
    }
}

/// One bit of every byte, since nothing looks at them one by one; the decoders' own tests turn over all of them.
#[test]
fn f02_no_bit_between_records_or_behind_them_changes_what_is_read() {
    let disk = open_segment(2);
    let content = read(&disk);
    let records = records(disk.content(FIRST));
    let end = records.last().unwrap().start + 2 * BLOCK;
    let near = (64..end).filter(|at| !records.iter().any(|record| record.contains(at)));
    let (mut same, mut torn) = (0, 0);
    for at in near.chain((end..MIB).step_by(7919)) {
        let got = seen(&disk.with(FIRST, Wrong::Flip(at, BITS[at as usize % 8])), &content);
        assert_eq!(got, expected(at, &records), "byte {at}");
        same += u32::from(got == Seen::Same);
        torn += u32::from(got != Seen::Same);
    }
    assert!(same > 20_000 && torn > 4_000, "{same} without meaning, {torn} torn");
}

#[test]
fn f05_every_length_but_the_right_one_is_refused() {
    let disk = open_segment(3);
    let content = read(&disk);
    let near = records(disk.content(FIRST)).last().unwrap().end + BLOCK;
    let edges = (near..MIB + 3 * BLOCK).filter(|len| len % BLOCK < 2 || len % BLOCK == BLOCK - 1);
    for len in (0..near).chain(edges) {
        let got = seen(&disk.with(FIRST, Wrong::Cut(len)), &content);
        let at = if len < 64 { 0 } else { len.min(MIB) };
        let expected = if len == MIB { Seen::Same } else { Seen::Refused(FIRST.into(), at) };
        assert_eq!(got, expected, "{len} bytes");
    }
}

#[test]
fn f10_one_copy_of_the_superblock_is_enough() {
    let disk = open_segment(4);
    let identify = |wrong| run(jobbie_log::identify(&disk.with(SUPERBLOCK, wrong)));
    for bit in 0..2 * BLOCK * 8 {
        let wrong = Wrong::Flip(bit / 8, BITS[bit as usize % 8]);
        assert_eq!(identify(wrong).expect("the other copy"), IDENTITY, "bit {bit}");
    }
    for len in 0..2 * BLOCK {
        let refused = identify(Wrong::Cut(len)).expect_err("a part of it");
        assert!(matches!(refused, OpenError::Damaged(ref d) if d.file == SUPERBLOCK), "{len}");
    }
}

/// A segment that was left and sealed, and one behind it.
fn sealed_segment(seed: u64) -> FrozenDisk {
    simulate(seed, async || {
        let disk = disk(seed);
        let (log, _) = open(&disk).await;
        for bytes in [100, 900_000, 150_000, 200] {
            append(&log, vec![next(&log, 1, 2, bytes)]).await.unwrap();
        }
        sleep_ms(1000).await;
        log.close().await.unwrap();
        sleep_ms(1000).await;
        jobbie_sim::Handle::current().kill(NODE);
        FrozenDisk::of(&disk)
    })
}

/// Without its footer a segment is read like one that is still being written, to the same effect.
#[test]
fn f05_no_bit_of_a_footer_is_trusted_without_the_others() {
    let disk = sealed_segment(5);
    let content = read(&disk);
    assert!(disk.content(FIRST)[FOOTER as usize..].starts_with(b"jobbieLF"));
    assert!(records(disk.content(SECOND)).len() >= 2, "the log goes on");
    let used = 208 + 3 * 12;
    for at in (0..used).chain((used..BLOCK).step_by(61)) {
        let wrong = Wrong::Flip(FOOTER + at, BITS[at as usize % 8]);
        assert_eq!(seen(&disk.with(FIRST, wrong), &content), Seen::Same, "byte {at}");
        assert_eq!(run(jobbie_log::verify(&disk)).unwrap().segments, 2);
    }
    // What the footer vouches for is damaged where it is, and so is the first record behind.
    for at in (BLOCK..BLOCK + 192).chain(8192..8192 + 96) {
        let got = seen(&disk.with(FIRST, Wrong::Flip(at, BITS[at as usize % 8])), &content);
        assert_eq!(got, Seen::Refused(FIRST.into(), at / BLOCK * BLOCK), "byte {at}");
    }
}

#[test]
fn r17_every_bit_and_every_length_of_a_snapshot_is_noticed() {
    let disk = simulate(6, async || {
        let disk = disk(6);
        let last = EntryId { term: 2, index: 4 };
        let (time_us, state_hash, membership) = (5, 6, vec![7; 100]);
        let meta = SnapshotMeta { last, next_event: 9, time_us, state_hash, membership };
        let mut writer = Snapshots::offline(disk.clone(), IDENTITY).begin(meta).await.unwrap();
        writer.write(&content(last, 500)).await.unwrap();
        writer.finish().await.unwrap();
        FrozenDisk::of(&disk)
    });
    let refused = |wrong| {
        let snapshots = Snapshots::offline(disk.with(SNAPSHOT, wrong), IDENTITY);
        let latest = run(snapshots.latest()).expect("no I/O error");
        assert_eq!(latest.snapshot.is_none(), latest.refused.len() == 1);
        latest.snapshot.is_none()
    };
    assert!(!refused(Wrong::Nothing));
    let bytes = disk.content(SNAPSHOT).len() as u64;
    for bit in 0..bytes * 8 {
        assert!(refused(Wrong::Flip(bit / 8, BITS[bit as usize % 8])), "bit {bit}");
    }
    for len in (0..bytes).chain(bytes + 1..bytes + 2 * BLOCK) {
        assert!(refused(Wrong::Cut(len)), "{len} bytes");
    }
}
