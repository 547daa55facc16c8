//! Random histories of the real engine, folded; every row against what the engine says.

mod compare;
mod pages;
mod random;
mod shards;

use std::path::Path;

use jobbie_projector::journal::Wanted;
use jobbie_projector::{Namespace, Options, Projection, Reader, dump};
use jobbie_proto::{EventSeq, ShardId};

use crate::random::{Random, SHARDS};
use crate::shards::{Entry, Rng};

pub(crate) const OPTIONS: Options = Options { shards: SHARDS, retention_ms: 0, bulk: false };

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

fn dumped(path: &Path) -> String {
    let mut out = Vec::new();
    dump(path, &mut out).expect("it can be dumped");
    String::from_utf8(out).expect("text")
}

/// Compares the rows with the engine again and again. `JOBBIE_PROJECTOR_SEEDS` says how many histories.
#[test]
fn rows_are_what_the_engine_says() {
    let first = number("JOBBIE_PROJECTOR_FIRST", 0);
    for seed in first..first + number("JOBBIE_PROJECTOR_SEEDS", 12) {
        println!("seed {seed}");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.db");
        let mut projection = Projection::open(&path, OPTIONS).expect("a new file");
        let reader = Reader::open(&path).expect("it is there");
        let mut random = Random::new(seed);
        for step in 0..250 {
            random.step();
            let entries = random.shards.take();
            let committed: Vec<_> = entries.iter().map(Entry::committed).collect();
            projection.apply(&committed).expect("they fold");
            if step % 5 == 0 {
                projection.commit().expect("it commits");
                compare::compare(&random.shards, &reader);
            }
            if step % 20 == 0 {
                projection.index_text(30).expect("it indexes");
            }
        }
    }
}

/// A history as its entries, in the order in which they are folded.
pub(crate) fn history(seed: u64, steps: u64) -> Vec<Entry> {
    let mut random = Random::new(seed);
    let mut entries = Vec::new();
    for _ in 0..steps {
        random.step();
        entries.extend(random.shards.take());
    }
    entries
}

/// Folds entries, with a commit after so many.
pub(crate) fn fold(path: &Path, options: Options, entries: &[Entry], each: usize) -> Projection {
    let mut projection = Projection::open(path, options).expect("a new file");
    for some in entries.chunks(each) {
        let committed: Vec<_> = some.iter().map(Entry::committed).collect();
        projection.apply(&committed).expect("they fold");
        projection.commit().expect("it commits");
    }
    projection
}

#[test]
fn rows_do_not_depend_on_when_they_were_committed() {
    // So that completed jobs are purged on the way.
    for options in [OPTIONS, Options { retention_ms: 400, ..OPTIONS }] {
        let entries = history(77, 500);
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        drop(fold(&at("1"), options, &entries, 1));
        let wanted = dumped(&at("1"));
        for (name, each) in [("7", 7), ("100", 100), ("all", usize::MAX)] {
            drop(fold(&at(name), options, &entries, each));
            assert!(dumped(&at(name)) == wanted, "with commits after {each} entries");
        }
        let bulk = Options { bulk: true, ..options };
        let loaded = fold(&at("bulk"), bulk, &entries, 50);
        let finished = loaded.finish_bulk(&at("finished")).expect("it ends");
        assert!(dumped(&at("finished")) == wanted, "loaded in bulk");
        assert!(!at("bulk").exists());
        drop(finished);
        // What was not committed comes again.
        let mut rng = Rng(5);
        for _ in 0..30 {
            let mut projection = Projection::open(&at("torn"), options).expect("it opens");
            let done = |shard| projection.watermark(ShardId(shard)).0;
            let marks: Vec<_> = (0..SHARDS).map(done).collect();
            let rest = entries.iter().filter(|e| e.index > marks[usize::from(e.shard.0)]);
            let rest: Vec<_> = rest.map(Entry::committed).collect();
            let (some, more) = (rng.below(90) as usize, rng.below(90) as usize);
            let some = some.min(rest.len());
            projection.apply(&rest[..some]).expect("they fold");
            projection.commit().expect("it commits");
            projection.apply(&rest[some..(some + more).min(rest.len())]).expect("they fold");
        }
        let mut projection = Projection::open(&at("torn"), options).expect("it opens");
        let committed: Vec<_> = entries.iter().map(Entry::committed).collect();
        // Those that are folded already are left out.
        projection.apply(&committed).expect("they fold");
        projection.commit().expect("it commits");
        drop(projection);
        assert!(dumped(&at("torn")) == wanted, "torn and continued");
    }
}

#[test]
fn the_journal_has_every_public_event_once_in_order() {
    let entries = history(3, 300);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.db");
    drop(fold(&path, OPTIONS, &entries, 40));
    let reader = Reader::open(&path).expect("it is there");
    let (mut seen, mut after) = (Vec::new(), 0);
    loop {
        let (events, looked) = reader.journal(after, 7, &Wanted::default()).expect("it reads");
        assert!(events.iter().all(|event| event.seq > after && event.seq <= looked));
        if events.is_empty() {
            break;
        }
        after = looked;
        seen.extend(events);
    }
    let events: u64 = entries
        .iter()
        .fold(vec![0; 3], |mut last, entry| {
            let (groups, _) = jobbie_proto::event::codec::decode(&entry.body).expect("a body");
            let count: u64 = groups.iter().map(|group| group.count()).sum();
            last[usize::from(entry.shard.0)] = entry.first_event.0 + count - 1;
            last
        })
        .iter()
        .sum();
    assert!(seen.windows(2).all(|two| two[0].seq < two[1].seq && two[0].at <= two[1].at));
    assert!(seen.last().expect("some").seq <= 2 * events);
    // The first events open sessions; then the number of an event follows from those before it.
    let mut others = [0_u64; 3];
    let mut wanted = Vec::new();
    for entry in &entries {
        let (groups, _) = jobbie_proto::event::codec::decode(&entry.body).expect("a body");
        let at = usize::from(entry.shard.0);
        let before: u64 = others.iter().sum::<u64>() - others[at];
        let mut event = entry.first_event.0;
        for record in groups.iter().flat_map(|group| &group.events) {
            if let jobbie_proto::event::Event::Completed { jobs } = record {
                wanted.extend((0..jobs.len() as u64).map(|nth| 2 * (before + event + nth) - 1));
            }
            event += record.count();
        }
        others[at] = event - 1;
    }
    let kinds = vec!["completed".to_owned()];
    let only = Wanted { kinds, ..Wanted::default() };
    let (completed, looked) = reader.journal(0, 10_000, &only).expect("it reads");
    let plans = completed.iter().filter(|event| !wanted.contains(&event.seq)).count();
    assert_eq!(completed.len() - plans, wanted.len());
    assert_eq!(looked, 2 * events, "up to everything that is folded");
    let namespace = Wanted { namespace: Namespace::Named("ns".into()), ..Wanted::default() };
    let (named, _) = reader.journal(0, 10_000, &namespace).expect("it reads");
    assert!(!named.is_empty() && named.iter().all(|event| event.queue.starts_with("ns::")));
    let namespace = Wanted { namespace: Namespace::Default, ..Wanted::default() };
    let (rest, _) = reader.journal(0, 10_000, &namespace).expect("it reads");
    assert!(rest.iter().all(|event| !event.queue.starts_with("ns::")));
    let all = reader.journal(0, 10_000, &Wanted::default()).expect("it reads").0.len();
    assert_eq!(named.len() + rest.len(), all);
}

#[test]
fn what_the_logs_gave_up_is_forgotten() {
    let entries = history(9, 300);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.db");
    let mut projection = fold(&path, OPTIONS, &entries, 40);
    let reader = Reader::open(&path).expect("it is there");
    let before = compare::all(&reader).len();
    let begins = |shard| projection.watermark(ShardId(shard)).1.0 / 2;
    let begins: Vec<_> = (0..SHARDS).map(begins).collect();
    for (shard, begins) in (0..SHARDS).zip(&begins) {
        projection.log_begins(ShardId(shard), EventSeq(*begins));
    }
    projection.commit().expect("it commits");
    let mut kept_live = 0;
    for id in compare::all(&reader) {
        let row = reader.job(id).expect("it reads").expect("it is there");
        let old = row.record < begins[usize::from(id.shard().0)];
        let completed = row.state == jobbie_proto::reply::JobState::Completed;
        assert!(!(old && completed), "{row:?}");
        kept_live += u32::from(old);
    }
    assert!(kept_live > 0 && compare::all(&reader).len() < before);
    let (first, _) = reader.journal(0, 1, &Wanted::default()).expect("it reads");
    assert!(first[0].seq > 10, "{first:?}");
}

/// A test that never sees an event cannot find what is wrong with it.
#[test]
fn histories_have_every_event_that_changes_rows() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..40 {
        for entry in history(seed, 250) {
            let (groups, _) = jobbie_proto::event::codec::decode(&entry.body).expect("a body");
            for event in groups.iter().flat_map(|group| &group.events) {
                let text = format!("{event:?}");
                let mut words = text.split(|c: char| !c.is_alphanumeric());
                let (first, second) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
                let two = matches!(first, "Tied" | "Ruled");
                seen.insert(if two { format!("{first} {second}") } else { first.to_owned() });
                for (of, what) in [("Iterated", "status: "), ("Appended", "effect: ")] {
                    if let Some((_, rest)) = text.split_once(what).filter(|_| first == of) {
                        let word = rest.split(|c: char| !c.is_alphanumeric()).next();
                        seen.insert(format!("{of} {}", word.unwrap_or("")));
                    }
                }
            }
        }
    }
    println!("{seen:?}");
    for wanted in [
        "AgentEnqueued",
        "Appended Completed",
        "Appended Failed",
        "Approved",
        "Cancelled",
        "Completed",
        "Deleted",
        "Enqueued",
        "Expired",
        "Extended",
        "Failed",
        "Held",
        "Iterated Continue",
        "Iterated Done",
        "Iterated Hold",
        "LeaseExpired",
        "Leased",
        "Limited",
        "Moved",
        "PlanTimedOut",
        "Planned",
        "Prioritized",
        "Promoted",
        "Quarantined",
        "QueuePaused",
        "Rejected",
        "Released",
        "Replaced",
        "Requeued",
        "Retried",
        "Revised",
        "ScheduleDeleted",
        "ScheduleFired",
        "ScheduleSet",
        "SessionExtended",
        "SessionOpened",
        "Tied Arrived",
        "Tied Awaits",
        "Tied Chained",
        "Tied Fated",
        "Tied Joined",
        "Tied Located",
        "Tied Parented",
        "Tied Settled",
        "UniqueTaken",
        "UsageReported",
        "WorkerSeen",
        "Ruled Exceeded",
        "Ruled Overrun",
        "Purged",
    ] {
        assert!(seen.contains(wanted), "{wanted}");
    }
}
