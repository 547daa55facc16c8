//! A reader beside the writer.

use jobbie_log::{Entry, EntryId, FollowError, Follower, ReadError};
use jobbie_sim::{Handle, SimDisk};

use crate::support::*;

/// Everything that is committed now.
async fn drain(follower: &mut Follower<SimDisk>, committed_end: u64) -> Vec<Entry> {
    let mut all = Vec::new();
    loop {
        let some = follower.read(committed_end).await.unwrap();
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

#[test]
fn a_follower_sees_what_is_committed_in_order_while_it_is_written() {
    for seed in 0..20 {
        simulate(seed, async || {
            let disk = disk(seed);
            let (log, _) = open(&disk).await;
            let mut follower = Follower::open(disk.clone(), 0).await.unwrap();
            let writer = log.clone();
            let writing = Handle::current().spawn(async move {
                let mut written = Vec::new();
                for i in 0..300_u64 {
                    let bytes = (i as usize * 7919) % 30_000 + if i == 100 { 400_000 } else { 0 };
                    let entry = next(&writer, 1, (i % 5) as u32, bytes);
                    written.push(entry.clone());
                    append(&writer, vec![entry]).await.unwrap();
                    if i % 3 == 0 {
                        writer.note_committed(i);
                    }
                }
                writer.note_committed(299);
                written
            });
            let mut seen = Vec::new();
            while seen.len() < 250 {
                // Records say with some delay what is committed.
                let some = drain(&mut follower, 0).await;
                seen.extend(some);
                sleep_ms(1).await;
            }
            let written = writing.await.unwrap();
            seen.extend(drain(&mut follower, 300).await);
            assert!(log.stats().segments > 1, "the test crosses segments");
            assert!(seen == written, "seed {seed}");
            for from in [0, 1, 137, 299, 300] {
                let mut late = Follower::open(disk.clone(), from).await.unwrap();
                assert!(drain(&mut late, 300).await == written[from as usize..], "{from}");
                assert_eq!(late.next_index(), 300);
            }
        });
    }
}

#[test]
fn what_was_truncated_is_not_seen() {
    simulate(3, async || {
        let disk = disk(3);
        let (log, _) = open(&disk).await;
        let mut follower = Follower::open(disk.clone(), 0).await.unwrap();
        fill(&log, 1, 100, 9000).await;
        assert!(drain(&mut follower, 0).await.is_empty(), "nothing is committed");
        log.truncate_after(Some(EntryId { term: 1, index: 49 })).await.unwrap();
        fill(&log, 2, 100, 9000).await;
        let expected = read_all(&log).await;
        assert!(drain(&mut follower, 150).await == expected);
        // Without a writer that knows, the end of the log is what is there.
        let mut late = Follower::open(disk.clone(), 40).await.unwrap();
        let mut all = drain(&mut late, 0).await;
        all.extend(late.take_rest());
        assert!(all == expected[40..]);
    });
}

#[test]
fn a_follower_that_comes_too_late_is_told_where_the_log_begins() {
    simulate(4, async || {
        let disk = disk(4);
        let (log, _) = open(&disk).await;
        let mut slow = Follower::open(disk.clone(), 0).await.unwrap();
        assert_eq!(slow.read(1).await.unwrap(), []);
        fill(&log, 1, 500, 9000).await;
        log.note_committed(499);
        assert_eq!(Follower::beginning(&disk).await.unwrap().index, 0);
        log.purge(EntryId { term: 1, index: 499 }).await.unwrap();
        log.keep_from(log.state().next_event);
        sleep_ms(1000).await;
        let begins = Follower::beginning(&disk).await.unwrap();
        assert!(begins.index > 0 && begins.event == begins.index * 3 + 1, "{begins:?}");
        let refused = Follower::open(disk.clone(), 0).await.map(drop).unwrap_err();
        let is_told = |error: &FollowError| matches!(error, FollowError::Read(ReadError::Purged { first, .. }) if *first == begins.index);
        assert!(is_told(&refused), "{refused}");
        let seen = loop {
            match slow.read(500).await {
                Ok(some) => assert!(!some.is_empty(), "it must not wait for what is gone"),
                Err(error) => break error,
            }
        };
        assert!(is_told(&seen), "{seen}");
        let mut late = Follower::open(disk.clone(), begins.index).await.unwrap();
        assert_eq!(drain(&mut late, 500).await.len() as u64, 500 - begins.index);
    });
}

#[test]
fn damage_behind_which_the_log_goes_on_is_reported() {
    simulate(5, async || {
        let disk = disk(5);
        let (log, _) = open(&disk).await;
        fill(&log, 1, 300, 9000).await;
        log.note_committed(299);
        log.close().await.unwrap();
        sleep_ms(1000).await;
        disk.corrupt(FIRST, 40 * 4096 + 200, 1);
        let mut follower = Follower::open(disk.clone(), 0).await.unwrap();
        let error = loop {
            match follower.read(300).await {
                Ok(some) => assert!(!some.is_empty(), "it must not wait for what is damaged"),
                Err(error) => break error,
            }
        };
        assert!(
            matches!(&error, FollowError::Read(ReadError::Damaged(damage)) if damage.file == FIRST),
            "{error}"
        );
    });
}
