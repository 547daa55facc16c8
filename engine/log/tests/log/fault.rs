//! Errors, full disks, slow and reordered writes.

use std::cell::RefCell;
use std::rc::Rc;

use jobbie_log::{AppendError, ControlError, Durability, LogConfig, Space, Vote};
use jobbie_sim::{DiskConfig, Fault, Handle, Operation, SimDisk};

use crate::support::*;

#[test]
fn r06_after_a_failed_write_nothing_more_is_acknowledged() {
    for (operation, fault) in
        [(Operation::Write, Fault::Error), (Operation::Write, Fault::ShortWrite)]
    {
        simulate(1, async || {
            let disk = disk(1);
            let (log, _) = open(&disk).await;
            sleep_ms(300).await;
            fill(&log, 1, 5, 100).await;
            disk.plan(operation, 0, fault);
            let first = start_append(&log, vec![next(&log, 1, 1, 100)]);
            let second = start_append(&log, vec![next(&log, 1, 1, 100)]);
            sleep_ms(100).await;
            assert!(first.borrow().as_ref().unwrap().is_err());
            assert!(second.borrow().as_ref().unwrap().is_err());
            let refused = log.append(vec![next(&log, 1, 1, 100)], |_| panic!("never called"));
            assert!(matches!(refused, Err(AppendError::Failed(_))));
            let vote = Vote { term: 9, node: 9, committed: false };
            assert!(matches!(log.save_vote(vote).await, Err(ControlError::Failed(_))));
            log.read(0..1, 1).await.unwrap_err();
            log.wait_room().await.unwrap_err();
            log.close().await.unwrap_err();
            assert_eq!(log.state().flushed.unwrap().index, 4);
            Handle::current().kill(NODE);
            let (log, _) = open(&disk).await;
            assert!(read_all(&log).await.len() >= 5);
        });
    }
}

#[test]
fn o1_callbacks_come_in_order_although_writes_complete_out_of_order() {
    simulate(2, async || {
        let disk = disk(2);
        disk.configure(|config| config.write_nanos = 10_000..2_000_000);
        let (log, _) = open(&disk).await;
        let order = Rc::new(RefCell::new(Vec::new()));
        for i in 0..300 {
            let told = Rc::clone(&order);
            let entry = next(&log, 1, 1, 100 + (i as usize * 631) % 70_000);
            log.append(vec![entry], move |result| {
                result.unwrap();
                told.borrow_mut().push(i);
            })
            .unwrap();
            if i % 3 == 0 {
                log.wait_room().await.unwrap();
            }
        }
        log.close().await.unwrap();
        assert!(order.borrow().iter().copied().eq(0..300));
        assert!(log.room());
    });
}

#[test]
fn f06_a_vote_is_not_durable_before_what_came_before_it() {
    simulate(3, async || {
        let (log, _) = open(&disk(3)).await;
        let said = start_append(&log, vec![next(&log, 1, 1, 300_000)]);
        log.save_vote(Vote { term: 4, node: 2, committed: true }).await.unwrap();
        assert_eq!(said.borrow_mut().take(), Some(Ok(())));
    });
}

#[test]
fn r05_a_full_disk_refuses_keeps_a_reserve_and_recovers_by_itself() {
    simulate(4, async || {
        let config = DiskConfig { capacity_bytes: 8 * MIB, ..DiskConfig::default() };
        let disk = SimDisk::new(4, config);
        let (log, _) = open(&disk).await;
        while log.space() == Space::Ok {
            fill(&log, 1, 1, 4000).await;
            sleep_ms(1).await;
        }
        // The reserve still takes acks.
        let mut reserve = 0;
        let refused = loop {
            match log.append(vec![next(&log, 1, 1, 100)], |_| {}) {
                Ok(()) => reserve += 1,
                Err(error) => break error,
            }
            log.wait_room().await.unwrap();
        };
        assert_eq!(refused, AppendError::NoSpace);
        assert!(reserve > 50, "only {reserve} small entries fit in the reserve");
        assert_eq!(log.failed(), None);
        let entries = read_all(&log).await;
        // Space comes back because the log itself gives some up.
        let last = entries.last().unwrap();
        log.purge(last.id).await.unwrap();
        log.keep_from(last.next_event());
        assert_eq!(log.space_changed(Space::Low).await, Space::Ok);
        fill(&log, 2, 50, 4000).await;

        // And because somebody else frees some.
        while log.space() == Space::Ok {
            fill(&log, 2, 1, 4000).await;
            sleep_ms(1).await;
        }
        disk.configure(|config| config.capacity_bytes = 64 * MIB);
        assert_eq!(log.space_changed(Space::Low).await, Space::Ok);
        fill(&log, 2, 500, 4000).await;
        log.close().await.unwrap();
        sleep_ms(1000).await;
        jobbie_log::verify(&disk).await.unwrap();
    });
}

#[test]
fn recycled_segments_hold_stale_records_that_never_count() {
    simulate(5, async || {
        let disk = disk(5);
        let mut log = open(&disk).await.0;
        for round in 0..12 {
            fill(&log, round + 1, 120, 3900 + round as usize * 300).await;
            let last = log.state().last.unwrap();
            let keep = log.read(last.index - 5..last.index, 1).await.unwrap().remove(0);
            log.purge(keep.id).await.unwrap();
            log.keep_from(keep.first_event);
            sleep_ms(200).await;
            let before = read_all(&log).await;
            Handle::current().kill(NODE);
            let reopened = open(&disk).await;
            assert_eq!(reopened.1.torn, None, "round {round}");
            log = reopened.0;
            let entries = read_all(&log).await;
            assert_eq!(entries[entries.len() - before.len()..], before);
        }
        let files = disk.files();
        assert!(files.len() < 12, "segments are reused: {files:?}");
    });
}

#[test]
fn r02_relaxed_durabilities_lose_only_a_suffix() {
    for durability in [Durability::Interval(5), Durability::None] {
        simulate(6, async || {
            let disk = disk(6);
            let config = LogConfig { durability, ..config() };
            let (log, _) = try_open(&disk, config).await.unwrap();
            fill(&log, 1, 300, 5000).await;
            let entries = read_all(&log).await;
            // The death of the process alone loses nothing.
            Handle::current().kill(NODE);
            let (log, _) = try_open(&disk, config).await.unwrap();
            assert_eq!(read_all(&log).await, entries);
            log.save_vote(Vote { term: 3, node: 1, committed: false }).await.unwrap();
            fill(&log, 3, 100, 5000).await;
            let entries = read_all(&log).await;
            Handle::current().kill(NODE);
            let disk = disk.crash();
            let (log, _) = try_open(&disk, config).await.unwrap();
            let left = read_all(&log).await;
            assert!(left.len() >= 300, "a vote is flushed whatever the durability");
            assert_eq!(left, entries[..left.len()]);
            assert_eq!(log.state().vote.unwrap().term, 3);
        });
    }
}

#[test]
fn f04_one_mark_when_idle_and_none_while_busy() {
    simulate(7, async || {
        let disk = disk(7);
        let (log, _) = open(&disk).await;
        sleep_ms(1000).await;
        let before = disk.operations();
        sleep_ms(10_000).await;
        assert_eq!(disk.operations(), before, "an idle log does nothing");
        fill(&log, 1, 1, 100).await;
        sleep_ms(1000).await;
        assert_eq!(disk.operations(), before + 2, "one record, one mark");
    });
}

#[test]
fn r01_what_a_dead_process_left_unflushed_is_flushed_before_it_counts() {
    let mut found_after_kill = 0;
    for seed in 0..40 {
        found_after_kill += simulate(seed, async || {
            let disk = disk(seed);
            let (log, _) = open(&disk).await;
            sleep_ms(300).await;
            let said = start_append(&log, vec![next(&log, 1, 1, 100)]);
            Handle::current().sleep(std::time::Duration::from_micros(20)).await;
            assert!(said.borrow().is_none(), "still being written");
            Handle::current().kill(NODE);
            let (log, _) = open(&disk).await;
            let found = read_all(&log).await;
            Handle::current().kill(NODE);
            let (log, _) = open(&disk.crash()).await;
            assert_eq!(read_all(&log).await, found, "seed {seed}");
            found.len()
        });
    }
    assert!(
        (5..35).contains(&found_after_kill),
        "{found_after_kill} of 40 writes survived the kill"
    );
}
