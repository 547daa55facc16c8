//! Parts of older entries are read without the rest of them, and no byte is given out that was not checked.

use std::ops::Range;

use jobbie_log::{Damage, EntryBlocks, Log, ReadError};
use jobbie_sim::SimDisk;

use crate::support::*;

const BLOCK: usize = 4096;
const HEADER: usize = 96;
/// Of one block, of several, and of more than is read at once.
const SIZES: [usize; 6] = [10, 4000, 4096 - HEADER, 9000, 70_000, 300_000];

/// A log whose entries have these sizes, with one event each, opened anew, so that none is in memory.
async fn filled(disk: &SimDisk) -> Log<SimDisk> {
    let (log, _) = open(disk).await;
    for bytes in SIZES {
        append(&log, vec![next(&log, 1, 1, bytes)]).await.unwrap();
    }
    // Larger than the tail.
    append(&log, vec![next(&log, 1, 1, 100_000)]).await.unwrap();
    log
}

/// Blocks of the entry with an event, which is read whole for that.
async fn blocks(log: &Log<SimDisk>, event: u64) -> EntryBlocks {
    log.entry_of_event(event).await.unwrap();
    log.blocks_of_event(event).expect("it was read from the disk")
}

/// Some ranges of a body, in order: whole, ends, edges of blocks, and pieces anywhere.
fn ranges(bytes: usize) -> Vec<Range<usize>> {
    let edges = (1..).map(|block| block * BLOCK - HEADER).take_while(|edge| *edge < bytes);
    let around = edges.map(|edge| edge.saturating_sub(1)..(edge + 1).min(bytes));
    let mut ranges: Vec<_> = around.collect();
    ranges.extend([0..1, bytes - 1..bytes, 0..bytes, bytes / 3..bytes / 2 + 1]);
    ranges
}

#[test]
fn a_part_is_what_the_whole_entry_has_there() {
    simulate(1, async || {
        let disk = disk(1);
        let log = filled(&disk).await;
        for (event, bytes) in (1..).zip(SIZES) {
            let blocks = blocks(&log, event).await;
            let body = log.entry_of_event(event).await.unwrap().body;
            for range in ranges(bytes) {
                let part = log.read_part(&blocks, std::slice::from_ref(&range)).await.unwrap();
                assert_eq!(part.bytes(range.clone()), Some(&body.bytes()[range.clone()]));
                assert_eq!(part.bytes(range.start..range.start), Some(&[][..]));
            }
            let all = ranges(bytes);
            let part = log.read_part(&blocks, &all).await.unwrap();
            assert!(all.iter().all(|at| part.bytes(at.clone()) == Some(&body.bytes()[at.clone()])));
        }
    });
}

#[test]
fn what_was_not_asked_for_is_not_given_out() {
    simulate(2, async || {
        let disk = disk(2);
        let log = filled(&disk).await;
        let blocks = blocks(&log, 5).await;
        let asked = [20_000..20_010, 60_000..60_010];
        let part = log.read_part(&blocks, &asked).await.unwrap();
        assert!(asked.into_iter().all(|range| part.bytes(range).is_some()));
        // Before it, between, after, and over an edge. What shares a block was checked with it.
        for range in [0..10, 40_000..40_010, 69_000..69_010, 20_000..60_010] {
            assert_eq!(part.bytes(range), None);
        }
        assert!(part.bytes(20_020..20_030).is_some());
    });
}

#[test]
fn r04_a_block_that_has_changed_is_refused_and_the_others_are_not() {
    simulate(3, async || {
        let disk = disk(3);
        let log = filled(&disk).await;
        let blocks = blocks(&log, 5).await;
        let body = log.entry_of_event(5).await.unwrap().body;
        let content = disk.content(FIRST).unwrap();
        let at = content.windows(64).position(|bytes| *bytes == body.bytes()[..64]).unwrap();
        let record = at - HEADER;
        for block in [0, 1, 7, blocks.blocks(&(69_999..70_000)).start] {
            let place = (record + block * BLOCK) as u64;
            for byte in [96, 2000, 4095].map(|byte| place + byte) {
                if byte >= (record + HEADER + 70_000) as u64 {
                    continue;
                }
                disk.corrupt(FIRST, byte, 1 << (byte % 8));
                for other in 0..70_000 / BLOCK {
                    let range = other * BLOCK..other * BLOCK + 100;
                    let read = log.read_part(&blocks, std::slice::from_ref(&range)).await;
                    if !blocks.blocks(&range).contains(&block) {
                        assert_eq!(read.unwrap().bytes(range.clone()), Some(&body.bytes()[range]));
                        continue;
                    }
                    let Err(ReadError::Damaged(Damage { file, offset, .. })) = read else {
                        panic!("byte {byte} was not noticed in block {block}");
                    };
                    assert_eq!((file.as_str(), offset), (FIRST, place));
                }
                disk.corrupt(FIRST, byte, 1 << (byte % 8));
            }
        }
    });
}

#[test]
fn a_part_of_a_segment_that_is_gone_is_an_error() {
    simulate(4, async || {
        let disk = disk(4);
        let log = filled(&disk).await;
        let blocks = blocks(&log, 1).await;
        while log.stats().segments < 3 {
            append(&log, vec![next(&log, 1, 1, 100_000)]).await.unwrap();
        }
        let last = log.state().last.unwrap();
        log.purge(last).await.unwrap();
        log.keep_from(log.state().next_event);
        sleep_ms(100).await;
        assert!(matches!(
            log.read_part(&blocks, std::slice::from_ref(&(0..10))).await,
            Err(ReadError::Io { .. })
        ));
    });
}

#[test]
fn a_large_entry_is_read_at_once() {
    simulate(5, async || {
        let disk = disk(5);
        let log = filled(&disk).await;
        log.entry_of_event(6).await.unwrap();
        assert_eq!(log.stats().chunks_read, 1, "its beginning was read first");
    });
}
