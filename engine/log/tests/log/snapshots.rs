//! Snapshot files.

use jobbie_log::{EntryId, OpenError, SnapshotError, SnapshotMeta, Snapshots};
use jobbie_sim::{Fault, Handle, Operation, SimDisk};

use crate::support::*;

fn meta(index: u64) -> SnapshotMeta {
    SnapshotMeta {
        last: EntryId { term: 3, index },
        next_event: index * 10,
        time_us: index * 1000,
        state_hash: index ^ 0xfeed,
        membership: vec![7; 100],
    }
}

fn state(index: u64, bytes: usize) -> Vec<u8> {
    content(EntryId { term: 3, index }, bytes)
}

async fn take(
    snapshots: &Snapshots<SimDisk>,
    index: u64,
    bytes: usize,
) -> Result<(), SnapshotError> {
    let mut writer = snapshots.begin(meta(index)).await?;
    for piece in state(index, bytes).chunks(100_000) {
        writer.write(piece).await?;
    }
    assert_eq!(writer.finish().await?, meta(index));
    Ok(())
}

/// Index of the newest sound snapshot, its content compared, and how many were refused.
async fn newest(snapshots: &Snapshots<SimDisk>, bytes: usize) -> (Option<u64>, usize) {
    let latest = snapshots.latest().await.unwrap();
    let Some(mut reader) = latest.snapshot else { return (None, latest.refused.len()) };
    let index = reader.meta().last.index;
    assert_eq!(*reader.meta(), meta(index));
    let mut read = Vec::new();
    while let Some(chunk) = reader.next_chunk().await.unwrap() {
        read.extend(chunk);
    }
    assert!(read == state(index, bytes));
    (Some(index), latest.refused.len())
}

#[test]
fn r17_two_are_kept_and_a_damaged_one_is_passed_over() {
    simulate(1, async || {
        let disk = disk(1);
        let (log, _) = open(&disk).await;
        let snapshots = log.snapshots();
        assert_eq!(newest(&snapshots, 0).await, (None, 0));
        for index in [9, 100, 4000] {
            take(&snapshots, index, 600_000).await.unwrap();
        }
        let names = snapshots.names().await.unwrap();
        assert_eq!(names.len(), 2, "{names:?}");
        assert_eq!(newest(&snapshots, 600_000).await, (Some(4000), 0));
        let bytes = disk.content(&names[1]).unwrap().len() as u64;
        for offset in (0..bytes).step_by(13_001).chain(4096..4120).chain(bytes - 32..bytes) {
            let copy = disk.fork(2);
            copy.corrupt(&names[1], offset, 4);
            let snapshots = Snapshots::offline(copy, IDENTITY);
            assert_eq!(newest(&snapshots, 600_000).await, (Some(100), 1), "byte {offset}");
        }
        for len in [0, 5, 4096, 4100, bytes - 33, bytes - 32, bytes - 1, bytes + 1] {
            let copy = disk.fork(2);
            copy.cut(&names[1], len);
            let snapshots = Snapshots::offline(copy, IDENTITY);
            assert_eq!(newest(&snapshots, 600_000).await, (Some(100), 1), "{len} bytes");
        }
        let other = jobbie_log::Identity { shard: 77, ..IDENTITY };
        let foreign = Snapshots::offline(disk.clone(), other).latest().await.unwrap();
        assert!(foreign.snapshot.is_none() && foreign.refused.len() == 2);
    });
}

/// What was durable when a snapshot got its name cannot be a torn tail, whatever is left of it.
#[test]
fn f04_a_log_that_ends_before_a_snapshot_is_damaged_there() {
    simulate(4, async || {
        let disk = disk(4);
        let (log, _) = open(&disk).await;
        fill(&log, 3, 5, 100).await;
        take(&log.snapshots(), 3, 1000).await.unwrap();
        Handle::current().kill(NODE);
        let zero_from = |offset: usize| {
            let copy = disk.fork(1);
            let len = copy.content(FIRST).unwrap().len();
            copy.overwrite(FIRST, offset as u64, &vec![0; len - offset]);
            copy
        };
        // A header, the record that starts the segment, and a block for each entry.
        let (log, report) = open(&zero_from(6 * 4096)).await;
        assert_eq!((log.state().last.unwrap().index, report.torn), (3, None));
        Handle::current().kill(NODE);
        let without = zero_from(5 * 4096);
        let refused = try_open(&without, config()).await.map(|_| ()).unwrap_err();
        let OpenError::Damaged(damage) = &refused else { panic!("{refused}") };
        assert_eq!((&*damage.file, damage.offset), (FIRST, 5 * 4096), "{refused}");
        assert!(refused.to_string().contains("entry 3, which a snapshot holds"), "{refused}");
        let verified = jobbie_log::verify(&without).await.unwrap_err();
        assert_eq!(verified.to_string(), refused.to_string());
    });
}

#[test]
fn r17_a_snapshot_appears_whole_or_not_at_all() {
    simulate(2, async || {
        let disk = disk(2);
        let (log, _) = open(&disk).await;
        fill(&log, 3, 4, 100).await;
        sleep_ms(1000).await;
        take(&log.snapshots(), 1, 600_000).await.unwrap();
        Handle::current().kill(NODE);
        for cut in 0..24 {
            let copy = disk.fork(cut);
            copy.fail_power_at(copy.operations() + cut);
            let snapshots = Snapshots::offline(copy.clone(), IDENTITY);
            let done =
                Handle::current().spawn_on(NODE, async move { take(&snapshots, 2, 600_000).await });
            // Long enough for a whole snapshot; silent from the power loss on.
            sleep_ms(1000).await;
            drop(done);
            Handle::current().kill(NODE);
            let copy = copy.crash();
            let snapshots = Snapshots::offline(copy.clone(), IDENTITY);
            let (index, refused) = newest(&snapshots, 600_000).await;
            assert!(matches!(index, Some(1 | 2)) && refused == 0, "cut at {cut}: {index:?}");
            let (log, _) = open(&copy).await;
            take(&log.snapshots(), 3, 600_000).await.unwrap();
            Handle::current().kill(NODE);
        }
    });
}

#[test]
fn r17_what_is_read_back_differently_is_never_published() {
    simulate(3, async || {
        let disk = disk(3);
        let snapshots = Snapshots::offline(disk.clone(), IDENTITY);
        disk.plan(Operation::Write, 2, Fault::Lost);
        let error = take(&snapshots, 5, 600_000).await.unwrap_err();
        assert!(matches!(error, SnapshotError::Damaged(_)), "{error}");
        assert!(snapshots.names().await.unwrap().is_empty());
    });
}
