//! Files that are not what they should be, and questions that are ended.

use std::fs;
use std::path::Path;

use jobbie_projector::search::{Filter, Search};
use jobbie_projector::{Committed, Error, Options, Projection, Reader};
use jobbie_proto::event::{BackoffKind, Blob, Class, EnqueuedJob, Event, Group, codec};
use jobbie_proto::{EventSeq, JobSeq, Micros, ShardId};

const OPTIONS: Options = Options { shards: 1, retention_ms: 0, bulk: false };

fn entry(index: u64, jobs: u64) -> Vec<u8> {
    let text = br#"{"kind":"Invoice"}"#;
    let mut body = text.to_vec();
    let payload = Blob { offset: 0, len: text.len() as u32 };
    let none = Blob::default();
    let job = EnqueuedJob { payload, tags: none, key: none, due: Micros(0) };
    let class = Class {
        queue: "mails".into(),
        priority: 2,
        max_retries: 1,
        backoff: BackoffKind::None,
        backoff_base_ms: 0,
        backoff_cap_ms: 0,
        expire_after_ms: 0,
    };
    let first_job = JobSeq((index - 1) * jobs + 1);
    let jobs = vec![job; jobs as usize];
    let events = vec![Event::Enqueued { class, first_job, jobs, keys: vec![] }];
    codec::finish(&mut body, text.len(), &vec![Group { events, ..Group::default() }]);
    body
}

fn committed(index: u64, jobs: u64, body: &[u8]) -> Committed<'_> {
    Committed {
        shard: ShardId(0),
        index,
        time: Micros(1_000_000 * index),
        first_event: EventSeq((index - 1) * jobs + 1),
        body,
    }
}

fn filled(path: &Path, jobs: u64) -> Projection {
    let mut projection = Projection::open(path, OPTIONS).expect("a new file");
    for index in 1..=4 {
        let body = entry(index, jobs);
        projection.apply(&[committed(index, jobs, &body)]).expect("it folds");
    }
    projection.commit().expect("it commits");
    projection
}

fn copy(from: &Path, to: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(from).expect("the file");
    change(&mut bytes);
    fs::write(to, bytes).expect("another");
}

#[test]
fn what_is_not_ours_is_to_be_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, other) = (folder.path().join("rows.db"), folder.path().join("other.db"));
    drop(filled(&path, 500));
    // The schema version is at byte 60.
    copy(&path, &other, |bytes| bytes[63] = 99);
    let error = Projection::open(&other, OPTIONS).expect_err("another version");
    assert!(matches!(error, Error::Schema { found: 99, .. }) && error.wants_rebuild(), "{error}");
    assert!(Reader::open(&other).expect_err("another version").wants_rebuild());
    let damages: [fn(&mut Vec<u8>); 3] = [
        |bytes| bytes[..100].fill(7),
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes[9000..].fill(0xaa),
    ];
    for damage in damages {
        copy(&path, &other, damage);
        let error = Projection::open(&other, OPTIONS).expect_err("damaged");
        assert!(error.wants_rebuild(), "{error}");
    }
    let bulk = Projection::open(&folder.path().join("bulk.db"), Options { bulk: true, ..OPTIONS });
    drop(bulk.expect("a new file"));
    let error = Projection::open(&folder.path().join("bulk.db"), OPTIONS).expect_err("unfinished");
    assert!(error.wants_rebuild(), "{error}");
}

#[test]
fn entries_that_do_not_follow_or_decode_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut projection = filled(&folder.path().join("rows.db"), 10);
    assert_eq!(projection.watermark(ShardId(0)), (4, EventSeq(40)));
    let body = entry(6, 10);
    let gap = projection.apply(&[committed(6, 10, &body)]);
    assert!(matches!(gap, Err(Error::Gap { found: 51, wanted: 41, .. })), "{gap:?}");
    let bad = projection.apply(&[committed(5, 10, b"nonsense")]);
    assert!(matches!(bad, Err(Error::Entry { index: 5, .. })), "{bad:?}");
    // One without events moves the watermark.
    projection.apply(&[committed(5, 10, b"")]).expect("it folds");
    assert_eq!(projection.watermark(ShardId(0)), (5, EventSeq(40)));
}

#[test]
fn a_long_question_can_be_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.db");
    let projection = filled(&path, 20_000);
    let reader = Reader::open(&path).expect("it is there");
    let handle = reader.interrupt_handle();
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let ender = std::thread::spawn({
        let done = std::sync::Arc::clone(&done);
        move || {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                handle.interrupt();
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
    });
    let jq = Some(r#".kind == "nothing""#.parse().expect("an expression"));
    let filter = Filter { payload_jq: jq, ..Filter::default() };
    let ended = reader.search(&Search { filter: filter.clone(), ..Search::default() });
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    ender.join().expect("it ends");
    assert!(matches!(ended, Err(Error::Interrupted)), "{ended:?}");
    // The next one is not.
    assert_eq!(reader.count(&filter).expect("it counts"), 0);
    drop(projection);
}

#[test]
fn minutes_count_what_happened_in_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.db");
    let mut projection = filled(&path, 10);
    let body = entry(5, 10);
    let later = Committed { time: Micros(61_000_000), ..committed(5, 10, &body) };
    projection.apply(&[later]).expect("it folds");
    projection.commit().expect("it commits");
    let reader = Reader::open(&path).expect("it is there");
    let minutes = reader.minutes(Micros(3_600_000_000 - 1)).expect("it reads");
    let counts: Vec<_> = minutes.iter().map(|minute| minute.enqueued).collect();
    assert_eq!((counts.len(), &counts[..3]), (60, &[40, 10, 0][..]));
    let positions = reader.positions().expect("it reads");
    assert_eq!(positions, [(ShardId(0), 5, EventSeq(50), Micros(61_000_000))]);
}
