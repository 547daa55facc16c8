use jobbie_io::DiskFile;
use jobbie_io::disk::BLOCK_BYTES;

use super::*;
use crate::executor::{Executor, NodeId, Schedule};

const BLOCK: u64 = BLOCK_BYTES as u64;

fn run<T>(seed: u64, test: impl AsyncFnOnce(SimDisk, Handle) -> T) -> T {
    let mut executor = Executor::new(seed, Schedule::Fifo);
    let disk = SimDisk::new(seed, DiskConfig::default());
    let handle = executor.handle().clone();
    executor.block_on(test(disk, handle))
}

fn blocks(count: usize, byte: u8) -> Rc<AlignedBuf> {
    let mut buf = AlignedBuf::zeroed(count * BLOCK_BYTES);
    buf.fill(byte);
    Rc::new(buf)
}

async fn write(file: &SimFile, count: usize, byte: u8, block: u64) -> io::Result<()> {
    file.write_at(blocks(count, byte), 0..count * BLOCK_BYTES, block * BLOCK).await
}

/// A file as the log makes one: written with zeros, flushed, named durably.
async fn segment(disk: &SimDisk, name: &str, count: usize) {
    let file = disk.open(name, OpenMode::Create).await.unwrap();
    write(&file, count, 0, 0).await.unwrap();
    file.sync_all().await.unwrap();
    disk.sync_dir().await.unwrap();
}

/// Values of the first byte of each sector.
fn sectors(disk: &SimDisk, name: &str) -> Vec<u8> {
    disk.content(name).unwrap().chunks(512).map(|sector| sector[0]).collect()
}

#[test]
fn a_completed_durable_write_survives_every_crash() {
    for seed in 0..50 {
        run(seed, async |disk, _| {
            segment(&disk, "a", 4).await;
            let file = disk.open("a", OpenMode::Durable).await.unwrap();
            write(&file, 1, 7, 1).await.unwrap();
            let disk = disk.crash();
            let sectors = sectors(&disk, "a");
            assert_eq!((&sectors[..8], &sectors[8..16]), (&[0; 8][..], &[7; 8][..]));
        });
    }
}

#[test]
fn an_unflushed_write_may_keep_any_subset_of_its_sectors() {
    let mut kept = std::collections::BTreeSet::new();
    for seed in 0..100 {
        run(seed, async |disk, _| {
            segment(&disk, "a", 1).await;
            let file = disk.open("a", OpenMode::Direct).await.unwrap();
            write(&file, 1, 7, 0).await.unwrap();
            assert_eq!(sectors(&disk, "a"), [7; 8], "readers see it at once");
            kept.insert(sectors(&disk.crash(), "a").iter().filter(|byte| **byte == 7).count());
        });
    }
    assert!(kept.len() >= 6, "subsets of many sizes survive: {kept:?}");
}

#[test]
fn flushed_data_never_vanishes_and_later_data_may() {
    let mut lost = 0;
    for seed in 0..50 {
        run(seed, async |disk, _| {
            segment(&disk, "a", 2).await;
            let file = disk.open("a", OpenMode::Direct).await.unwrap();
            write(&file, 1, 7, 0).await.unwrap();
            file.sync_data().await.unwrap();
            write(&file, 1, 8, 0).await.unwrap();
            let disk = disk.crash();
            for sector in &sectors(&disk, "a")[..8] {
                assert!(*sector == 7 || *sector == 8, "never the state before the flush");
                lost += u32::from(*sector == 7);
            }
        });
    }
    assert!(lost > 100, "unflushed sectors really vanish");
}

#[test]
fn a_write_in_flight_when_power_fails_may_be_torn() {
    let mut torn = 0;
    for seed in 0..50 {
        run(seed, async |disk, handle| {
            segment(&disk, "a", 1).await;
            let file = disk.open("a", OpenMode::Durable).await.unwrap();
            handle.spawn_on(NodeId(1), async move { write(&file, 1, 7, 0).await });
            handle.yield_now().await;
            let disk = disk.crash();
            let new = sectors(&disk, "a").iter().filter(|byte| **byte == 7).count();
            torn += u32::from((1..8).contains(&new));
        });
    }
    assert!(torn > 25, "{torn} of 50 torn");
}

#[test]
fn a_write_in_flight_when_power_fails_may_be_whole_and_another_absent() {
    let (mut overtaken, mut both) = (0, 0);
    for seed in 0..400 {
        run(seed, async |disk, handle| {
            segment(&disk, "a", 2).await;
            let file = disk.open("a", OpenMode::Durable).await.unwrap();
            for block in 0..2 {
                let file = file.clone();
                handle.spawn_on(NodeId(1), async move { write(&file, 1, 7, block).await });
            }
            handle.yield_now().await;
            let disk = disk.crash();
            let sectors = sectors(&disk, "a");
            let whole = |block: usize| sectors[block * 8..][..8] == [7; 8];
            overtaken += u32::from(whole(1) && !whole(0));
            both += u32::from(whole(1) && whole(0));
        });
    }
    assert!(overtaken > 20 && both > 0, "{overtaken} overtaken, {both} whole, of 400");
}

#[test]
fn a_killed_node_leaves_part_of_its_write_and_the_disk_goes_on() {
    let mut partial = 0;
    for seed in 0..50 {
        run(seed, async |disk, handle| {
            segment(&disk, "a", 1).await;
            let file = disk.open("a", OpenMode::Durable).await.unwrap();
            handle.spawn_on(NodeId(1), async move { write(&file, 1, 7, 0).await });
            handle.yield_now().await;
            handle.kill(NodeId(1));
            let new = sectors(&disk, "a").iter().filter(|byte| **byte == 7).count();
            partial += u32::from((1..8).contains(&new));
            let file = disk.open("a", OpenMode::Durable).await.unwrap();
            write(&file, 1, 9, 0).await.unwrap();
            assert_eq!(sectors(&disk.crash(), "a"), [9; 8]);
        });
    }
    assert!(partial > 25);
}

#[test]
fn a_durable_write_to_a_range_only_extended_may_vanish() {
    let mut vanished = 0;
    for seed in 0..50 {
        run(seed, async |disk, _| {
            let file = disk.open("a", OpenMode::Create).await.unwrap();
            file.set_len(BLOCK).await.unwrap();
            file.sync_all().await.unwrap();
            disk.sync_dir().await.unwrap();
            let file = disk.open("a", OpenMode::Durable).await.unwrap();
            write(&file, 1, 7, 0).await.unwrap();
            vanished += u32::from(sectors(&disk.crash(), "a").contains(&0));
        });
    }
    assert!(vanished > 25);
}

/// A file that was given its blocks and never written.
async fn allocated(disk: &SimDisk, name: &str, blocks: u64) -> SimFile {
    let file = disk.open(name, OpenMode::Create).await.unwrap();
    disk.sync_dir().await.unwrap();
    file.allocate(blocks * BLOCK).await.unwrap();
    file
}

#[test]
fn an_allocated_and_synced_range_reads_as_zeros_and_takes_durable_writes() {
    for seed in 0..50 {
        run(seed, async |disk, _| {
            allocated(&disk, "a", 4).await.sync_all().await.unwrap();
            let untouched = disk.fork(seed).crash();
            assert_eq!(sectors(&untouched, "a"), [0; 32]);
            let file = disk.open("a", OpenMode::Durable).await.unwrap();
            write(&file, 1, 7, 2).await.unwrap();
            let sectors = sectors(&disk.crash(), "a");
            assert_eq!((&sectors[..16], &sectors[16..24], &sectors[24..]), {
                (&[0; 16][..], &[7; 8][..], &[0; 8][..])
            });
        });
    }
}

#[test]
fn an_allocation_that_was_not_synced_may_be_lost_with_what_was_written_into_it() {
    let (mut lens, mut vanished) = (std::collections::BTreeSet::new(), 0);
    for seed in 0..50 {
        run(seed, async |disk, _| {
            drop(allocated(&disk, "a", 2).await);
            let file = disk.open("a", OpenMode::Durable).await.unwrap();
            write(&file, 1, 7, 1).await.unwrap();
            let disk = disk.crash();
            let content = disk.content("a").unwrap();
            lens.insert(content.len());
            vanished += u32::from(content.len() == 2 * BLOCK_BYTES && content[BLOCK_BYTES] == 0);
            // Not even a sync afterwards gives the hole its block back.
            let file = disk.open("a", OpenMode::Durable).await.unwrap();
            file.sync_all().await.unwrap();
            if content.len() == 2 * BLOCK_BYTES {
                write(&file, 1, 9, 0).await.unwrap();
                vanished += u32::from(sectors(&disk.crash(), "a")[..8].contains(&0));
            }
        });
    }
    assert_eq!(lens.into_iter().collect::<Vec<_>>(), [0, 2 * BLOCK_BYTES]);
    assert!(vanished > 15, "{vanished}");
}

#[test]
fn allocating_keeps_content_and_never_cuts() {
    run(1, async |disk, _| {
        disk.put("a", &[7; 5000]);
        let file = disk.open("a", OpenMode::Direct).await.unwrap();
        file.allocate(600).await.unwrap();
        assert_eq!(disk.content("a").unwrap(), [7; 5000]);
        file.allocate(3 * BLOCK).await.unwrap();
        let content = disk.content("a").unwrap();
        assert_eq!(content.len(), 3 * BLOCK_BYTES);
        assert!(content[..5000].iter().all(|b| *b == 7) && content[5000..].iter().all(|b| *b == 0));
    });
}

#[test]
fn allocating_takes_the_space_at_once_and_keeps_what_it_got_of_too_little() {
    run(1, async |disk, _| {
        disk.configure(|config| config.capacity_bytes = 5 * BLOCK);
        allocated(&disk, "a", 3).await.sync_all().await.unwrap();
        assert_eq!(disk.available_bytes().await.unwrap(), 2 * BLOCK);
        let file = disk.open("b", OpenMode::Create).await.unwrap();
        let full = file.allocate(3 * BLOCK).await.unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert_eq!((disk.available_bytes().await.unwrap(), file.len().await.unwrap()), (0, 0));
        let file = disk.open("a", OpenMode::Durable).await.unwrap();
        write(&file, 3, 1, 0).await.unwrap();
        disk.remove("b").await.unwrap();
        assert_eq!(disk.available_bytes().await.unwrap(), 2 * BLOCK);
    });
}

#[test]
fn names_are_durable_after_sync_dir_only() {
    let (mut gone, mut kept, mut both) = (0, 0, 0);
    for seed in 0..60 {
        run(seed, async |disk, _| {
            segment(&disk, "old", 1).await;
            segment(&disk, "gone", 1).await;
            disk.open("new", OpenMode::Create).await.unwrap();
            disk.rename("old", "renamed").await.unwrap();
            disk.remove("gone").await.unwrap();
            let disk = disk.crash();
            let names: Vec<String> = disk.files().into_iter().map(|file| file.name).collect();
            let has = |name: &str| names.iter().any(|there| there == name);
            assert!(has("old") != has("renamed"), "a rename happens whole or not at all");
            gone += u32::from(!has("new"));
            kept += u32::from(has("new"));
            both += u32::from(has("renamed") && has("gone"));
        });
    }
    assert!(gone > 10 && kept > 10 && both > 5, "{gone} {kept} {both}");
}

#[test]
fn lengths_are_durable_after_sync_all_only() {
    let mut lens = std::collections::BTreeSet::new();
    for seed in 0..40 {
        run(seed, async |disk, _| {
            segment(&disk, "a", 1).await;
            let file = disk.open("a", OpenMode::Direct).await.unwrap();
            write(&file, 1, 7, 1).await.unwrap();
            file.sync_data().await.unwrap();
            let disk = disk.crash();
            lens.insert(disk.content("a").unwrap().len());
        });
    }
    assert_eq!(lens.into_iter().collect::<Vec<_>>(), [BLOCK_BYTES, 2 * BLOCK_BYTES]);
}

#[test]
fn a_cut_file_has_its_old_or_its_new_length_and_never_old_bytes_again() {
    let mut lens = std::collections::BTreeSet::new();
    for seed in 0..40 {
        run(seed, async |disk, _| {
            disk.put("a", &[7; 5000]);
            let file = disk.open("a", OpenMode::Direct).await.unwrap();
            file.set_len(600).await.unwrap();
            let crashed = disk.fork(seed).crash();
            lens.insert(crashed.content("a").unwrap().len());
            file.sync_all().await.unwrap();
            file.set_len(1000).await.unwrap();
            let content = disk.content("a").unwrap();
            assert_eq!((&content[..600], &content[600..]), (&[7; 600][..], &[0; 400][..]));
        });
    }
    assert_eq!(lens.into_iter().collect::<Vec<_>>(), [600, 5000]);
}

#[test]
fn writes_in_flight_complete_in_any_order() {
    let overtaken = (0..50)
        .filter(|seed| {
            run(*seed, async |disk, handle| {
                segment(&disk, "a", 8).await;
                let file = disk.open("a", OpenMode::Durable).await.unwrap();
                let order = Rc::new(RefCell::new(Vec::new()));
                let joins: Vec<_> = (0..4_u8)
                    .map(|i| {
                        let (file, order) = (file.clone(), order.clone());
                        handle.spawn(async move {
                            write(&file, 1, i, u64::from(i)).await.unwrap();
                            order.borrow_mut().push(i);
                        })
                    })
                    .collect();
                for join in joins {
                    join.await.unwrap();
                }
                order.take() != [0, 1, 2, 3]
            })
        })
        .count();
    assert!(overtaken > 30);
}

#[test]
fn a_failed_sync_is_not_mended_by_another() {
    let mut lost = 0;
    for seed in 0..50 {
        run(seed, async |disk, _| {
            segment(&disk, "a", 1).await;
            let file = disk.open("a", OpenMode::Direct).await.unwrap();
            write(&file, 1, 7, 0).await.unwrap();
            disk.plan(Operation::Sync, 0, Fault::Error);
            assert!(file.sync_data().await.is_err());
            file.sync_data().await.unwrap();
            lost += u32::from(sectors(&disk.crash(), "a").contains(&0));
        });
    }
    assert!(lost > 40);
}

#[test]
fn planned_faults_hit_the_call_they_were_planned_for() {
    run(1, async |disk, handle| {
        segment(&disk, "a", 4).await;
        let file = disk.open("a", OpenMode::Durable).await.unwrap();
        disk.plan(Operation::Write, 1, Fault::ShortWrite);
        write(&file, 1, 1, 0).await.unwrap();
        assert_eq!(write(&file, 1, 1, 1).await.unwrap_err().kind(), io::ErrorKind::WriteZero);

        disk.plan(Operation::Write, 0, Fault::BitFlip);
        write(&file, 1, 0, 0).await.unwrap();
        let ones: u32 = disk.content("a").unwrap()[..4096].iter().map(|b| b.count_ones()).sum();
        assert_eq!(ones, 1);

        disk.plan(Operation::Write, 0, Fault::Misdirected);
        write(&file, 1, 5, 2).await.unwrap();
        assert_eq!(sectors(&disk, "a")[16..32], [0, 0, 0, 0, 0, 0, 0, 0, 5, 5, 5, 5, 5, 5, 5, 5]);

        disk.plan(Operation::Write, 0, Fault::Lost);
        write(&file, 1, 6, 3).await.unwrap();
        assert_eq!(sectors(&disk, "a")[24], 5);

        disk.plan(Operation::Write, 0, Fault::Hang);
        let hanging = handle.spawn(async move { write(&file, 1, 6, 3).await });
        handle.sleep(std::time::Duration::from_secs(100)).await;
        assert!(!hanging.is_finished());
        disk.release();
        hanging.await.unwrap().unwrap();
    });
}

#[test]
fn a_full_disk_refuses_new_blocks_and_takes_rewrites() {
    run(1, async |disk, _| {
        disk.configure(|config| config.capacity_bytes = 4 * BLOCK);
        segment(&disk, "a", 4).await;
        assert_eq!(disk.available_bytes().await.unwrap(), 0);
        let file = disk.open("a", OpenMode::Durable).await.unwrap();
        let full = write(&file, 1, 1, 4).await.unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        write(&file, 1, 1, 3).await.unwrap();
        disk.remove("a").await.unwrap();
        assert_eq!(disk.available_bytes().await.unwrap(), 4 * BLOCK);
    });
}

#[test]
fn power_fails_at_the_chosen_call_and_the_old_node_stays_silent() {
    run(1, async |disk, handle| {
        segment(&disk, "a", 1).await;
        let before = disk.operations();
        disk.fail_power_at(before + 2);
        let file = disk.open("a", OpenMode::Durable).await.unwrap();
        let node = handle.spawn_on(NodeId(1), async move {
            write(&file, 1, 1, 0).await.unwrap();
            write(&file, 1, 2, 0).await.unwrap();
        });
        disk.power_failure().await;
        handle.sleep(std::time::Duration::from_secs(1)).await;
        assert!(!node.is_finished());
        handle.kill(NodeId(1));
        let disk = disk.reboot();
        assert_eq!(sectors(&disk, "a"), [1; 8]);
        disk.open("a", OpenMode::Durable).await.unwrap();
    });
}

#[test]
fn power_fails_with_the_writes_asked_for_and_any_of_their_sectors_may_survive() {
    let (mut later_alone, mut first_block) = (0, 0);
    for seed in 0..50 {
        run(seed, async |disk, handle| {
            segment(&disk, "a", 4).await;
            let file = disk.open("a", OpenMode::Durable).await.unwrap();
            disk.fail_power_with_writes(1, 2);
            write(&file, 1, 5, 0).await.unwrap();
            for block in 1..4_u8 {
                let file = file.clone();
                handle.spawn_on(NodeId(1), async move {
                    write(&file, 1, 5 + block, block.into()).await.unwrap();
                    std::future::pending::<()>().await;
                });
            }
            disk.power_failure().await;
            handle.kill(NodeId(1));
            let found = sectors(&disk.reboot(), "a");
            first_block += found[..8].iter().filter(|byte| **byte == 5).count();
            let kept = |sector: usize| found[sector] != 0;
            later_alone += usize::from(kept(16) && !kept(8));
            let begun = (1..4).filter(|block| found[block * 8..][..8] != [0; 8]).count();
            assert!(begun <= 2, "the third never began");
        });
    }
    assert_eq!(first_block, 50 * 8, "what was durable stays");
    assert!(later_alone > 5, "{later_alone}");
}

#[test]
fn a_fork_shares_nothing() {
    run(1, async |disk, _| {
        segment(&disk, "a", 1).await;
        let fork = disk.fork(9);
        disk.corrupt("a", 0, 0xFF);
        disk.overwrite("a", 512, &[3]);
        assert_eq!(
            (sectors(&disk, "a")[..2].to_vec(), sectors(&fork, "a")),
            (vec![255, 3], vec![0; 8])
        );
        disk.cut("a", 512);
        disk.delete("a");
        disk.put("b", b"x");
        assert_eq!(fork.files(), [FileInfo { name: "a".into(), len: BLOCK }]);
        assert_eq!(disk.crash().content("b").unwrap(), b"x");
    });
}

#[test]
fn equal_seeds_give_equal_disks_and_traces() {
    let outcome = |seed| {
        run(seed, async |disk, handle| {
            segment(&disk, "a", 8).await;
            let file = disk.open("a", OpenMode::Direct).await.unwrap();
            for block in 0..8 {
                write(&file, 1, 7, block).await.unwrap();
            }
            let disk = disk.crash();
            (disk.content("a"), handle.trace_hash(), handle.now_nanos())
        })
    };
    assert_eq!(outcome(4), outcome(4));
    let (four, five) = (outcome(4), outcome(5));
    assert!(four.0 != five.0 && four.1 != five.1);
}
