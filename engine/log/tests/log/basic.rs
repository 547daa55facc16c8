//! Append, read, find, reopen.

use jobbie_log::{AppendError, Create, EntryId, Identity, Log, OpenError, ReadError, Vote};

use jobbie_sim::Handle;

use crate::support::*;

#[test]
fn entries_are_read_back_before_and_after_reopening() {
    simulate(1, async || {
        let disk = disk(1);
        let (log, report) = open(&disk).await;
        assert!(report.created);
        let mut expected = Vec::new();
        for i in 0..400 {
            let entry = next(&log, 1 + i / 100, (i % 5) as u32, (i as usize * 37) % 9000);
            expected.push(entry.clone());
            append(&log, vec![entry]).await.unwrap();
        }
        log.save_vote(Vote { term: 5, node: 9, committed: true }).await.unwrap();
        assert_eq!(read_all(&log).await, expected);
        assert!(log.stats().segments > 1, "the test crosses segments");
        let state = log.state();
        log.close().await.unwrap();
        sleep_ms(1000).await;

        let (log, report) = open(&disk).await;
        assert_eq!((report.created, report.torn), (false, None));
        assert_eq!(log.state(), state);
        assert_eq!(read_all(&log).await, expected);
        for entry in &expected {
            for event in [entry.first_event, entry.next_event().saturating_sub(1)] {
                if entry.holds(event) {
                    assert_eq!(log.entry_of_event(event).await.unwrap(), *entry);
                }
            }
        }
        let verified = jobbie_log::verify(&disk).await.unwrap();
        assert_eq!(verified.last_index, Some(399));
    });
}

#[test]
fn a_crowd_that_wants_one_entry_makes_one_read() {
    simulate(9, async || {
        let disk = disk(9);
        let (log, _) = open(&disk).await;
        fill(&log, 1, 40, 3000).await;
        log.close().await.unwrap();
        sleep_ms(1000).await;
        let (log, _) = open(&disk).await;
        let readers: Vec<_> = (1..=20)
            .map(|event| {
                let log = log.clone();
                Handle::current().spawn(async move { log.entry_of_event(event).await })
            })
            .collect();
        for (reader, event) in readers.into_iter().zip(1..) {
            assert!(reader.await.unwrap().unwrap().holds(event));
        }
        assert_eq!(log.stats().chunks_read, 1);
    });
}

#[test]
fn o3_gaps_are_refused() {
    simulate(2, async || {
        let (log, _) = open(&disk(2)).await;
        fill(&log, 1, 3, 10).await;
        let never = |_| panic!("never called");
        assert_eq!(
            log.append(vec![entry(1, 4, 10, 1, 1)], never),
            Err(AppendError::IndexGap { expected: 3, found: 4 })
        );
        assert_eq!(
            log.append(vec![entry(1, 3, 11, 1, 1)], never),
            Err(AppendError::EventGap { index: 3, expected: 10, found: 11 })
        );
        let too_large = log.body_bytes_max() + 1;
        assert!(matches!(
            log.append(vec![entry(1, 3, 10, 1, too_large)], never),
            Err(AppendError::TooLarge { index: 3, .. })
        ));
        append(&log, vec![entry(1, 3, 10, 1, too_large - 1)]).await.unwrap();
        assert!(matches!(log.read(9..10, 1).await, Err(ReadError::Beyond { index: 9, end: 4 })));
        assert!(matches!(log.entry_of_event(11).await, Err(ReadError::FutureEvent { .. })));
    });
}

#[test]
fn truncation_takes_back_the_tail_across_segments_and_restarts() {
    simulate(3, async || {
        let disk = disk(3);
        let (mut log, _) = open(&disk).await;
        fill(&log, 1, 300, 5000).await;
        for (term, keep) in [(2, 290), (3, 120), (4, 121), (5, 60)] {
            let kept = log.read(keep..keep + 1, 1).await.unwrap().remove(0).id;
            log.truncate_after(Some(kept)).await.unwrap();
            assert_eq!(log.state().last, Some(kept));
            fill(&log, term, 40, 3000).await;
            let before = read_all(&log).await;
            log.close().await.unwrap();
            sleep_ms(1000).await;
            log = open(&disk).await.0;
            assert_eq!(read_all(&log).await, before);
            assert_eq!(log.entry_of_event(before[70].first_event).await.unwrap(), before[70]);
        }
        let missing = EntryId { term: 1, index: 61 };
        log.truncate_after(Some(missing)).await.unwrap_err();
        log.truncate_after(None).await.unwrap();
        assert_eq!((log.state().last, log.state().next_event), (None, 1));
    });
}

#[test]
fn f10_somebody_elses_log_is_refused() {
    simulate(4, async || {
        let disk = disk(4);
        assert!(matches!(
            Log::open(disk.clone(), config(), IDENTITY, Create::Never).await.err().unwrap(),
            OpenError::Missing
        ));
        let (log, _) = open(&disk).await;
        log.close().await.unwrap();
        sleep_ms(1000).await;
        for other in [
            Identity { cluster: 1, ..IDENTITY },
            Identity { node: 1, ..IDENTITY },
            Identity { shard: 1, ..IDENTITY },
            Identity { store: 1, ..IDENTITY },
        ] {
            let error =
                Log::open(disk.clone(), config(), other, Create::Never).await.err().unwrap();
            assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
        }
    });
}

#[test]
fn purged_entries_go_their_events_stay_until_let_go() {
    simulate(5, async || {
        let disk = disk(5);
        let (log, _) = open(&disk).await;
        fill(&log, 1, 600, 6000).await;
        let segments = log.stats().segments;
        log.purge(EntryId { term: 1, index: 499 }).await.unwrap();
        sleep_ms(100).await;
        assert!(matches!(log.read(499..501, 1).await, Err(ReadError::Purged { first: 500, .. })));
        assert_eq!(log.entry_of_event(1).await.unwrap().id.index, 0, "kept until let go");
        assert_eq!(log.stats().segments, segments);
        let newest = |bytes| log.event_of_newest(bytes);
        assert_eq!((newest(0), newest(u64::MAX)), (log.state().next_event, 1));
        let some = newest(2 * MIB);
        assert!(some > newest(4 * MIB) && some < log.state().next_event, "{some}");
        log.keep_from(1 + 3 * 400);
        sleep_ms(500).await;
        assert!(log.stats().segments < segments);
        assert!(matches!(log.entry_of_event(1).await, Err(ReadError::Trimmed { .. })));
        assert_eq!(log.entry_of_event(1 + 3 * 400).await.unwrap().id.index, 400);
        fill(&log, 2, 600, 6000).await;
        let before = read_all(&log).await;
        assert_eq!(before.len(), 700);
        log.close().await.unwrap();
        sleep_ms(1000).await;
        let (log, report) = open(&disk).await;
        assert_eq!(report.torn, None);
        assert_eq!(read_all(&log).await, before);
        jobbie_log::verify(&disk).await.unwrap();
    });
}

#[test]
fn restart_after_an_installed_snapshot() {
    simulate(6, async || {
        let disk = disk(6);
        let (log, _) = open(&disk).await;
        fill(&log, 1, 5, 100).await;
        let id = EntryId { term: 7, index: 1000 };
        log.restart_after(id, 5_000_000_000_000).await.unwrap();
        assert_eq!((log.state().purged, log.state().last), (Some(id), Some(id)));
        fill(&log, 7, 3, 100).await;
        log.close().await.unwrap();
        sleep_ms(1000).await;
        let (log, _) = open(&disk).await;
        let entries = read_all(&log).await;
        assert_eq!(entries.iter().map(|e| e.id.index).collect::<Vec<_>>(), [1001, 1002, 1003]);
        assert_eq!(log.entry_of_event(5_000_000_000_004).await.unwrap().id.index, 1002);
        assert_eq!(log.state().committed, Some(1000));
    });
}
