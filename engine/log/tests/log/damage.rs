//! Flipped bits, cut files, missing and foreign ones: each gives exactly the same state, a torn tail, or
//! a refusal that names file and offset.

use jobbie_log::{Damage, Entry, EntryId, OpenError, Vote};
use jobbie_sim::{Fault, Handle, Operation, SimDisk};

use crate::support::*;

const SECOND: &str = "log-0000000000000002.seg";

#[derive(Debug, PartialEq)]
enum Outcome {
    Same,
    /// A torn tail at this offset, with this many entries left.
    Torn(String, u64, usize),
    Refused(String, u64),
    Strange(String),
    Missing(String),
}

/// Verifies and opens a copy of the disk; both must agree.
async fn outcome(disk: &SimDisk, expected: &[Entry]) -> Outcome {
    let disk = disk.fork(9);
    let verified = jobbie_log::verify(&disk).await;
    let config = jobbie_log::LogConfig { verify_sealed: true, ..config() };
    match try_open(&disk, config).await {
        Ok((log, report)) => {
            assert_eq!(verified.unwrap().torn, report.torn, "verify and open agree");
            let found = read_all(&log).await;
            assert_eq!(found, expected[..found.len()], "what is left is a prefix");
            // The log can be continued, and the tail never comes back.
            append(&log, vec![next(&log, 9, 1, 5000)]).await.unwrap();
            let continued = read_all(&log).await;
            jobbie_sim::Handle::current().kill(NODE);
            let (log, again) = open(&disk).await;
            assert_eq!(again.torn, None);
            assert_eq!(read_all(&log).await, continued);
            jobbie_sim::Handle::current().kill(NODE);
            match report.torn {
                None if found.len() == expected.len() => Outcome::Same,
                None => panic!(
                    "{} of {} entries vanished silently",
                    expected.len() - found.len(),
                    expected.len()
                ),
                Some(torn) => Outcome::Torn(torn.file, torn.offset, found.len()),
            }
        }
        Err(error) => {
            assert_eq!(
                verified.unwrap_err().to_string(),
                error.to_string(),
                "verify and open agree"
            );
            match error {
                OpenError::Damaged(Damage { file, offset, .. }) => Outcome::Refused(file, offset),
                OpenError::StrangeFile { file, .. } => Outcome::Strange(file),
                OpenError::MissingFile { file } => Outcome::Missing(file),
                other => panic!("{other}"),
            }
        }
    }
}

/// Three entries of one, two and three blocks and a vote, as a killed process leaves them: no mark yet.
/// Gives the offsets of the records, the start record first, and the end.
async fn small_log(disk: &SimDisk, marked: bool) -> (Vec<Entry>, Vec<u64>) {
    let (log, _) = open(disk).await;
    for bytes in [100, 5000, 9000] {
        append(&log, vec![next(&log, 1, 2, bytes)]).await.unwrap();
    }
    log.save_vote(Vote { term: 2, node: 1, committed: false }).await.unwrap();
    append(&log, vec![next(&log, 2, 2, 300)]).await.unwrap();
    let entries = read_all(&log).await;
    if marked {
        sleep_ms(300).await;
    } else {
        // Until the spare segment is ready, so that the directory is at rest.
        while log.stats().segments_ready == 0 {
            jobbie_sim::Handle::current().sleep(std::time::Duration::from_micros(500)).await;
        }
    }
    jobbie_sim::Handle::current().kill(NODE);
    (entries, vec![4096, 8192, 12288, 20480, 32768, 36864, 40960])
}

#[test]
fn r04_every_damaged_sector_of_a_marked_log_is_refused_where_it_is() {
    simulate(1, async || {
        let disk = disk(1);
        let (entries, records) = small_log(&disk, true).await;
        assert_eq!(outcome(&disk, &entries).await, Outcome::Same);
        let content = disk.content(FIRST).unwrap();
        // Each byte of each header and a few of each body.
        for (number, pair) in records.windows(2).enumerate() {
            let used = [96, 196, 96 + 5000, 96 + 9000, 192, 396][number];
            let step = if number == 3 { 977 } else { 251 };
            let offsets = (0..96).step_by(5).chain((96..used).step_by(step));
            for offset in offsets.map(|offset| pair[0] + offset) {
                let copy = disk.fork(2);
                copy.corrupt(FIRST, offset, 1 << (offset % 8));
                let got = outcome(&copy, &entries).await;
                assert_eq!(got, Outcome::Refused(FIRST.into(), pair[0]), "byte {offset}");
            }
        }
        // Padding is nobody's.
        let copy = disk.fork(2);
        copy.corrupt(FIRST, records[1] + 1000, 1);
        assert_eq!(outcome(&copy, &entries).await, Outcome::Same);
        // The mark itself: nothing is lost with it.
        assert_ne!(content[40960..40964], [0; 4], "there is a mark");
        for byte in 0..192 {
            let copy = disk.fork(2);
            copy.corrupt(FIRST, 40960 + byte, 0x10);
            let got = outcome(&copy, &entries).await;
            assert_eq!(got, Outcome::Torn(FIRST.into(), 40960, entries.len()));
        }
    });
}

#[test]
fn r04_torn_tail_is_cut_and_never_comes_back() {
    simulate(2, async || {
        let disk = disk(2);
        let (entries, records) = small_log(&disk, false).await;
        assert_eq!(outcome(&disk, &entries).await, Outcome::Same);
        // The last record is durable, but nothing says so yet.
        for sector in 0..1 {
            let copy = disk.fork(2);
            copy.overwrite(FIRST, records[5] + sector * 512, &[0xee; 512]);
            let got = outcome(&copy, &entries).await;
            assert_eq!(got, Outcome::Torn(FIRST.into(), records[5], entries.len() - 1));
        }
        // Any earlier one has a later record that calls it durable.
        for (number, offset) in records[..5].iter().enumerate() {
            let copy = disk.fork(2);
            copy.overwrite(FIRST, *offset, &[0; 512]);
            let got = outcome(&copy, &entries).await;
            assert_eq!(got, Outcome::Refused(FIRST.into(), *offset), "record {number}");
        }
    });
}

#[test]
fn every_cut_length_is_refused_with_its_length() {
    simulate(3, async || {
        let disk = disk(3);
        let (entries, _) = small_log(&disk, true).await;
        for len in [0, 1, 63, 4096, 8192, 40960, 500_000, MIB - 1, MIB + 1] {
            let copy = disk.fork(2);
            copy.cut(FIRST, len);
            let expected = if len < 64 { 0 } else { len.min(MIB) };
            assert_eq!(
                outcome(&copy, &entries).await,
                Outcome::Refused(FIRST.into(), expected),
                "{len}"
            );
        }
    });
}

/// Changes a field of eight bytes of the record at `offset`, and its checksum to match.
fn forge(disk: &SimDisk, offset: u64, field: u64, change: impl Fn(u64) -> u64) {
    let at = offset as usize;
    let mut header = disk.content(FIRST).unwrap()[at..at + 96].to_vec();
    let field = field as usize..field as usize + 8;
    let old = u64::from_le_bytes(header[field.clone()].try_into().unwrap());
    header[field].copy_from_slice(&change(old).to_le_bytes());
    let mut bound = header[..92].to_vec();
    bound.extend_from_slice(&IDENTITY.store.to_le_bytes());
    bound.extend_from_slice(&1_u64.to_le_bytes());
    bound.extend_from_slice(&offset.to_le_bytes());
    header[92..].copy_from_slice(&crc32fast::hash(&bound).to_le_bytes());
    disk.overwrite(FIRST, offset, &header);
}

#[test]
fn r03_a_sound_record_that_contradicts_those_before_it_is_refused() {
    const INDEX: u64 = 16;
    const FIRST_EVENT: u64 = 40;
    simulate(9, async || {
        let disk = disk(9);
        let (entries, records) = small_log(&disk, true).await;
        forge(&disk, records[2], INDEX, |index| index);
        assert_eq!(outcome(&disk, &entries).await, Outcome::Same, "forged as it was");
        for (field, change) in [(INDEX, 1), (INDEX, u64::MAX), (FIRST_EVENT, 1), (FIRST_EVENT, 9)] {
            let copy = disk.fork(2);
            forge(&copy, records[2], field, |value| value.wrapping_add(change));
            let refused = Outcome::Refused(FIRST.into(), records[2]);
            assert_eq!(outcome(&copy, &entries).await, refused, "field {field} by {change}");
        }
    });
}

#[test]
fn missing_foreign_and_misplaced_files_are_refused_by_name() {
    simulate(4, async || {
        let disk = disk(4);
        let (log, _) = open(&disk).await;
        fill(&log, 1, 700, 6000).await;
        let entries = read_all(&log).await;
        log.close().await.unwrap();
        sleep_ms(1000).await;
        let names: Vec<String> = disk
            .files()
            .into_iter()
            .map(|f| f.name)
            .filter(|name| name.starts_with("log-"))
            .collect();
        assert!(names.len() >= 5, "{names:?}");
        assert_eq!(outcome(&disk, &entries).await, Outcome::Same);
        // The last two are the one being written and a spare: without both the one before is sealed.
        for name in &names[..names.len() - 2] {
            let copy = disk.fork(2);
            copy.delete(name);
            assert_eq!(outcome(&copy, &entries).await, Outcome::Missing(name.clone()));
        }
        let copy = disk.fork(2);
        copy.delete(&names[names.len() - 1]);
        copy.delete(&names[names.len() - 2]);
        assert_eq!(
            outcome(&copy, &entries).await,
            Outcome::Missing(names[names.len() - 2].clone())
        );
        let copy = disk.fork(2);
        copy.put(SECOND, &disk.content(FIRST).unwrap());
        assert_eq!(outcome(&copy, &entries).await, Outcome::Strange(SECOND.into()));
        let copy = disk.fork(2);
        copy.put("log-2.seg", b"");
        assert_eq!(outcome(&copy, &entries).await, Outcome::Strange("log-2.seg".into()));
        let copy = disk.fork(2);
        copy.put("superblock", &[0; 8192]);
        assert_eq!(outcome(&copy, &entries).await, Outcome::Refused("superblock".into(), 0));
        // Records of a sealed segment, swapped or duplicated.
        let segment = disk.content(SECOND).unwrap();
        let (a, b) = (&segment[8192..16384], &segment[16384..24576]);
        let copy = disk.fork(2);
        copy.overwrite(SECOND, 8192, b);
        copy.overwrite(SECOND, 16384, a);
        assert_eq!(outcome(&copy, &entries).await, Outcome::Refused(SECOND.into(), 8192));
        // A footer that does not count is only a restart that reads more.
        let copy = disk.fork(2);
        copy.corrupt(SECOND, MIB - 4096, 1);
        assert_eq!(outcome(&copy, &entries).await, Outcome::Same);
    });
}

#[test]
fn f10_a_damaged_copy_of_the_superblock_is_written_again_and_reported() {
    simulate(9, async || {
        let disk = disk(9);
        small_log(&disk, true).await;
        let sound = disk.content("superblock").unwrap();
        for offset in [20, 4096 + 20] {
            disk.corrupt("superblock", offset, 1);
            let damage = jobbie_log::verify(&disk).await.unwrap().superblock.unwrap();
            assert_eq!((&*damage.file, damage.offset), ("superblock", offset - 20));
            let (_, report) = open(&disk).await;
            assert_eq!(report.superblock, Some(damage));
            Handle::current().kill(NODE);
            assert!(disk.fork(1).crash().content("superblock").unwrap() == sound);
            assert_eq!(open(&disk).await.1.superblock, None);
            Handle::current().kill(NODE);
        }
    });
}

#[test]
fn damage_that_is_met_only_when_reading_is_an_error_there() {
    simulate(5, async || {
        let disk = disk(5);
        let (log, _) = open(&disk).await;
        fill(&log, 1, 400, 6000).await;
        sleep_ms(500).await;
        disk.corrupt(FIRST, 8192 + 4000, 1);
        let error = log.read(0..1, 1).await.unwrap_err();
        assert!(
            matches!(&error, jobbie_log::ReadError::Damaged(Damage { file, offset: 8192, .. }) if file == FIRST),
            "{error}"
        );
    });
}

#[test]
fn a_write_the_disk_lost_or_misplaced_is_noticed() {
    for fault in [Fault::Lost, Fault::Misdirected, Fault::BitFlip] {
        simulate(6, async || {
            let disk = disk(6);
            let (log, _) = open(&disk).await;
            sleep_ms(300).await;
            fill(&log, 1, 3, 100).await;
            disk.plan(Operation::Write, 0, fault);
            fill(&log, 1, 3, 100).await;
            let entries = log.read(0..6, usize::MAX).await.unwrap();
            sleep_ms(300).await;
            jobbie_sim::Handle::current().kill(NODE);
            let got = outcome(&disk, &entries).await;
            // A flipped bit may be in the padding, where it means nothing.
            let harmless = fault == Fault::BitFlip && got == Outcome::Same;
            assert!(harmless || matches!(got, Outcome::Refused(..)), "{fault:?} gave {got:?}");
        });
    }
}

/// Of two writes in flight only the later one survives. It must stay gone, even when the log then writes the very
/// same bytes again that once led up to it.
#[test]
fn r04_a_record_behind_a_torn_one_is_never_revived() {
    simulate(7, async || {
        let disk = disk(7);
        let (log, _) = open(&disk).await;
        sleep_ms(300).await;
        fill(&log, 1, 2, 100).await;
        let entries = vec![next(&log, 1, 1, 70_000), entry(1, 3, 8, 1, 70_000)];
        append(&log, entries.clone()).await.unwrap();
        jobbie_sim::Handle::current().kill(NODE);
        let torn_at = (1..40)
            .map(|block| block * 4096)
            .find(|at| disk.content(FIRST).unwrap()[at + 16..at + 24] == 2_u64.to_le_bytes())
            .unwrap();
        disk.overwrite(FIRST, torn_at as u64, &[0; 512]);
        let (log, report) = open(&disk).await;
        assert_eq!(report.torn.map(|torn| torn.offset), Some(torn_at as u64));
        assert_eq!(log.state().last.unwrap().index, 1);
        jobbie_sim::Handle::current().kill(NODE);
        let (log, report) = open(&disk).await;
        assert_eq!(report.torn, None, "cut once and for all");
        append(&log, entries[..1].to_vec()).await.unwrap();
        jobbie_sim::Handle::current().kill(NODE);
        let (log, report) = open(&disk).await;
        assert_eq!((report.torn, log.state().last.unwrap().index), (None, 2));
    });
}

/// The same with a disk that loses the very write that was to clear the later record away: the chain still tells.
#[test]
fn f01_a_record_of_another_chain_never_counts() {
    simulate(8, async || {
        let disk = disk(8);
        let (log, _) = open(&disk).await;
        sleep_ms(300).await;
        fill(&log, 1, 2, 100).await;
        let entries = vec![next(&log, 1, 1, 70_000), entry(1, 3, 8, 1, 70_000)];
        append(&log, entries.clone()).await.unwrap();
        jobbie_sim::Handle::current().kill(NODE);
        let header_of = |index: u64| {
            let content = disk.content(FIRST).unwrap();
            let holds = |at: &usize| content[at + 16..at + 24] == index.to_le_bytes();
            (1..60).map(|block| block * 4096).find(holds).unwrap() as u64
        };
        let (torn_at, later_at) = (header_of(2), header_of(3));
        disk.overwrite(FIRST, torn_at, &[0; 512]);
        disk.plan(Operation::Write, 0, Fault::Lost);
        let (log, _) = open(&disk).await;
        append(&log, vec![entry(2, 2, 7, 1, 70_000)]).await.unwrap();
        jobbie_sim::Handle::current().kill(NODE);
        assert_eq!(header_of(3), later_at, "still there");
        let (log, report) = open(&disk).await;
        assert_eq!(log.state().last.unwrap().index, 2);
        assert_eq!(report.torn.map(|torn| torn.offset), Some(later_at));
    });
}

/// What gave up the first segments may be what is damaged: that is to be said, not that they are missing.
#[test]
fn r04_damage_of_what_gave_segments_up_is_named() {
    simulate(12, async || {
        let disk = disk(12);
        let (log, _) = open(&disk).await;
        fill(&log, 1, 450, 6000).await;
        log.purge(EntryId { term: 1, index: 419 }).await.unwrap();
        log.keep_from(1 + 3 * 420);
        sleep_ms(500).await;
        fill(&log, 1, 10, 6000).await;
        let entries = log.read(420..460, usize::MAX).await.unwrap();
        sleep_ms(500).await;
        jobbie_sim::Handle::current().kill(NODE);
        assert_eq!(disk.content(FIRST), None, "it was given up");
        let last = "log-0000000000000004.seg";
        let content = disk.content(last).unwrap();
        let mut refused = 0;
        for offset in (4096..content.len()).step_by(4096) {
            if content[offset..][..8] == [0; 8] {
                break;
            }
            let copy = disk.fork(3);
            copy.corrupt(last, offset as u64 + 8, 1);
            let got = outcome(&copy, &entries).await;
            assert!(!matches!(got, Outcome::Missing(_)), "at {offset}: {got:?}");
            refused += usize::from(matches!(got, Outcome::Refused(..)));
        }
        assert!(refused > 10, "{refused}");
    });
}
