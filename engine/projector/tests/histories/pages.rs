//! Searches against a naive filter over all rows.

use std::collections::HashSet;

use jobbie_projector::row::JobRow;
use jobbie_projector::search::{Bounds, Cursor, Filter, Search, Sort};
use jobbie_projector::{Namespace, Projection, Reader};
use jobbie_proto::reply::JobState;
use jobbie_proto::{JobId, Micros};

use crate::random::QUEUES;
use crate::shards::{Entry, Rng};
use crate::{OPTIONS, compare, history};

const SORTS: [Sort; 7] = [
    Sort::Created,
    Sort::Priority,
    Sort::Started,
    Sort::Completed,
    Sort::Scheduled,
    Sort::Failed,
    Sort::Attempt,
];

fn has(text: &[u8], wanted: &str) -> bool {
    let lower = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_ascii_lowercase();
    lower(text).contains(&wanted.to_ascii_lowercase())
}

fn within(time: Micros, Bounds { after, before }: Bounds) -> bool {
    let given = after.is_some() || before.is_some();
    let inside =
        after.is_none_or(|after| time > after) && before.is_none_or(|before| time < before);
    !given || (time.0 > 0 && inside)
}

/// What a filter says, word for word.
fn matches(filter: &Filter, row: &JobRow, errors: &[String]) -> bool {
    let tags: serde_json::Value = serde_json::from_slice(&row.tags).unwrap_or_default();
    let glob = |glob: &String| row.queue.starts_with(glob.trim_end_matches('*'));
    filter.namespace.owns(&row.queue)
        && filter.queue.as_ref().is_none_or(|queue| *queue == row.queue)
        && (filter.queue_globs.is_empty() || filter.queue_globs.iter().any(glob))
        && (filter.states.is_empty() || filter.states.contains(&row.state))
        && filter.priority.is_none_or(|priority| priority == row.priority)
        && filter.tags.iter().all(|(tag, value)| tags[tag].as_str() == Some(value))
        && filter.payload_contains.as_ref().is_none_or(|text| has(&row.payload, text))
        && filter.payload_jq.as_ref().is_none_or(|expression| expression.holds(&row.payload))
        && within(row.created, filter.created)
        && within(row.scheduled, filter.scheduled)
        && within(row.started, filter.started)
        && within(row.completed, filter.completed)
        && within(row.expires, filter.expires)
        && filter.attempt_min.is_none_or(|min| row.attempt >= min)
        && filter.attempt_max.is_none_or(|max| row.attempt <= max)
        && filter
            .unique_key
            .as_ref()
            .is_none_or(|key| !key.is_empty() && key.as_bytes() == row.unique_key)
        && filter.batch.is_none_or(|batch| row.batch == Some(batch))
        && filter.worker.as_ref().is_none_or(|worker| !worker.is_empty() && *worker == row.worker)
        && filter.parent.is_none_or(|parent| row.parent == Some(parent))
        && filter.chain.is_none_or(|chain| row.chain.is_some_and(|(of, _)| of == chain))
        && (!filter.has_errors || row.errors > 0)
        && filter
            .error_contains
            .as_ref()
            .is_none_or(|text| errors.iter().any(|error| has(error.as_bytes(), text)))
        && filter.id_prefix.as_ref().is_none_or(|prefix| row.id.to_string().starts_with(prefix))
}

/// A filter with any of its parts, each of which some row matches.
fn filter(rng: &mut Rng, rows: &[JobRow]) -> Filter {
    let mut filter = Filter::default();
    for _ in 0..1 + rng.below(3) {
        let row = rng.pick(rows).clone();
        let around = |rng: &mut Rng, time: Micros| match rng.below(3) {
            0 => Bounds { after: Some(time), before: None },
            1 => Bounds { after: None, before: Some(time) },
            _ => Bounds {
                after: Some(Micros(time.0.saturating_sub(1))),
                before: Some(Micros(time.0 + 60_000)),
            },
        };
        match rng.below(24) {
            0 => {
                let namespaces = [Namespace::Named("ns".into()), Namespace::Default];
                filter.namespace = rng.pick(&namespaces).clone();
            }
            1..=2 => filter.queue = Some((*rng.pick(&QUEUES)).into()),
            3 => filter.queue_globs = vec!["q-*".into(), "other".into()],
            4..=6 => filter.states = vec![row.state, *rng.pick(&JobState::ALL)],
            7 => filter.priority = Some(row.priority),
            8 => filter.tags = vec![("tenant".into(), format!("t{}", rng.below(4)))],
            9..=10 => {
                let words =
                    ["invoice", "Invoice\"", "0%_D", "n", ":3,", "nothing", "_", "replaced"];
                filter.payload_contains = Some((*rng.pick(&words)).into());
            }
            11 => {
                let texts = [".n == 3", ".list | length > 1", ".deep.flag == true", ".x == null"];
                filter.payload_jq = Some(rng.pick(&texts).parse().expect("an expression"));
            }
            12 => filter.created = around(rng, row.created),
            13 => filter.started = around(rng, row.started),
            14 => filter.completed = around(rng, row.completed),
            15 => filter.expires = around(rng, row.expires),
            16 => filter.scheduled = around(rng, row.scheduled),
            17 => {
                filter.attempt_min = Some(rng.below(3) as u32);
                filter.attempt_max = Some(rng.below(4) as u32);
            }
            18 => filter.unique_key = String::from_utf8(row.unique_key).ok(),
            19 => (filter.batch, filter.parent) = (row.batch, None),
            20 => filter.worker = Some(row.worker),
            21 => filter.chain = row.chain.map(|(chain, _)| chain),
            22 => {
                filter.has_errors = true;
                let texts = ["broke", "EXPIRED", "nothing", "%"];
                filter.error_contains = rng.one_in(2).then(|| (*rng.pick(&texts)).into());
            }
            _ => {
                let id = row.id.to_string();
                filter.id_prefix = Some(id[..rng.below(id.len() as u64 + 1) as usize].into());
            }
        }
    }
    filter
}

/// What a row is sorted by: jobs without it come last.
fn key(row: &JobRow, sort: Sort, ascending: bool) -> (bool, i128, i128, u128) {
    let time = |time: Micros| (time.0 == 0, i128::from(time.0));
    let (none, value) = match sort {
        Sort::Created => time(row.created),
        Sort::Priority => (false, row.priority.into()),
        Sort::Started => time(row.started),
        Sort::Completed => time(row.completed),
        Sort::Scheduled => time(row.scheduled),
        Sort::Failed => time(row.failed),
        Sort::Attempt => (false, row.attempt.into()),
    };
    let sign = if ascending { 1 } else { -1 };
    let place = row.id.to_u128() & ((1 << 60) - 1);
    let place = if ascending { place } else { !place };
    (none, sign * value, sign * i128::from(row.created.0), place)
}

fn all_pages(reader: &Reader, search: &Search) -> (Vec<JobId>, u64) {
    let (mut ids, mut search, mut total) = (Vec::new(), search.clone(), 0);
    loop {
        let page = reader.search(&search).expect("it searches");
        assert!(page.jobs.len() <= search.limit as usize && page.total_is_exact);
        ids.extend(page.jobs.iter().map(|row| row.id));
        total = page.total.max(total);
        match page.next {
            Some(next) => search.cursor = Some(next),
            None => return (ids, total),
        }
    }
}

#[test]
fn searches_find_what_a_filter_says_in_order() {
    for (seed, indexed) in [(21, 0), (22, 100), (23, 10_000)] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.db");
        let entries = history(seed, 600);
        let mut projection = crate::fold(&path, OPTIONS, &entries[..entries.len() / 2], 50);
        // Part of the text is indexed before its rows change.
        projection.index_text(indexed).expect("it indexes");
        let committed: Vec<_> = entries.iter().map(Entry::committed).collect();
        projection.apply(&committed).expect("they fold");
        projection.commit().expect("it commits");
        projection.index_text(indexed).expect("it indexes");
        let reader = Reader::open(&path).expect("it is there");
        let rows = reader.jobs(&compare::all(&reader)).expect("they are read");
        let errors = |row: &JobRow| -> Vec<String> {
            let errors = reader.errors(row.id).expect("they are read");
            errors.into_iter().map(|error| error.error).collect()
        };
        let errors: Vec<_> = rows.iter().map(errors).collect();
        let (mut rng, mut found_some) = (Rng(seed), 0);
        for nth in 0..600 {
            let filter = filter(&mut rng, &rows);
            let (sort, ascending) = (SORTS[nth % SORTS.len()], rng.one_in(2));
            let limit = 1 + rng.below(60) as u32;
            let search = Search { filter, sort, ascending, limit, cursor: None };
            let pairs = rows.iter().zip(&errors);
            let fits = pairs.filter(|(row, errors)| matches(&search.filter, row, errors));
            let mut wanted: Vec<_> = fits.map(|(row, _)| row).collect();
            wanted.sort_by_key(|row| key(row, sort, ascending));
            let mut wanted: Vec<_> = wanted.into_iter().map(|row| row.id).collect();
            let (found, total) = all_pages(&reader, &search);
            assert_eq!(found, wanted, "{search:?}");
            assert_eq!(total, wanted.len() as u64, "{search:?}");
            assert_eq!(reader.count(&search.filter).expect("it counts"), total, "{search:?}");
            let ids = reader.ids(&search.filter, None, 10_000).expect("they are read");
            let place = |id: &JobId| (id.shard(), id.seq());
            wanted.sort_by_key(place);
            assert_eq!(ids, wanted, "{search:?}");
            if let Some(middle) = ids.get(ids.len() / 2) {
                let rest =
                    reader.ids(&search.filter, Some(*middle), 10_000).expect("they are read");
                assert_eq!(rest, ids[ids.len() / 2 + 1..]);
            }
            found_some += u32::from(!found.is_empty());
        }
        assert!(found_some > 200, "{found_some} searches found anything");
    }
}

#[test]
fn pages_have_every_row_once_while_others_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.db");
    let entries = history(31, 600);
    let (first, rest) = entries.split_at(entries.len() / 2);
    for sort in [Sort::Created, Sort::Priority] {
        let _ = std::fs::remove_file(&path);
        let mut projection: Projection = crate::fold(&path, OPTIONS, first, 100);
        let reader = Reader::open(&path).expect("it is there");
        let there: HashSet<_> = compare::all(&reader).into_iter().collect();
        let mut search = Search { sort, ascending: true, limit: 7, ..Search::default() };
        let mut seen: Vec<JobId> = Vec::new();
        for some in rest.chunks(20).cycle() {
            let page = reader.search(&search).expect("it searches");
            seen.extend(page.jobs.iter().map(|row| row.id));
            let committed: Vec<_> = some.iter().map(Entry::committed).collect();
            projection.apply(&committed).expect("they fold");
            projection.commit().expect("it commits");
            match page.next {
                Some(next) => search.cursor = Some(next),
                None => break,
            }
        }
        let distinct: HashSet<_> = seen.iter().copied().collect();
        if sort == Sort::Created {
            assert_eq!(distinct.len(), seen.len(), "a row came twice");
            let kept: HashSet<_> = compare::all(&reader).into_iter().collect();
            assert!(there.intersection(&kept).all(|id| distinct.contains(id)), "a row was missed");
        }
        let gone = seen.iter().any(|id| reader.job(*id).expect("it reads").is_none());
        assert!(gone, "nothing changed");
        drop((reader, projection));
        for rest in ["rows.db", "rows.db-wal", "rows.db-shm"] {
            let _ = std::fs::remove_file(folder.path().join(rest));
        }
    }
}

#[test]
fn a_cursor_outlives_its_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.db");
    drop(crate::fold(&path, OPTIONS, &history(5, 100), 100));
    let reader = Reader::open(&path).expect("it is there");
    let search = Search { limit: 1000, ..Search::default() };
    let rows = reader.search(&search).expect("it searches").jobs;
    let created = rows[4].created;
    let id = JobId::new(created.ms(), rows[4].id.shard(), jobbie_proto::JobSeq(1 << 40));
    let cursor = Some(Cursor { key: created.0 as i64, created, id });
    let page = reader.search(&Search { cursor, ..search }).expect("it searches");
    assert_eq!(page.jobs[0], rows[4]);
}

#[test]
fn words_are_found_in_payload_tags_and_queue() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.db");
    let mut projection = crate::fold(&path, OPTIONS, &history(41, 300), 50);
    projection.index_text(60).expect("it indexes");
    let reader = Reader::open(&path).expect("it is there");
    let rows = reader.jobs(&compare::all(&reader)).expect("they are read");
    for (namespace, words) in [
        (Namespace::Any, &["invoice"][..]),
        (Namespace::Any, &["INVOICE", "t1"]),
        (Namespace::Any, &["mails", "receipt"]),
        (Namespace::Named("ns".into()), &["mails"]),
        (Namespace::Named("ns".into()), &["ns::"]),
        (Namespace::Default, &["invoice"]),
        (Namespace::Default, &["mails"]),
        (Namespace::Any, &["nowhere"]),
        (Namespace::Any, &["other", "x"]),
    ] {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let fits = |row: &&JobRow| {
            let name = row.queue.strip_prefix(&namespace.prefix());
            let name = name.filter(|_| namespace.owns(&row.queue));
            name.is_some_and(|name| {
                words.iter().all(|word| {
                    [&row.payload[..], &row.tags, name.as_bytes()]
                        .iter()
                        .any(|text| has(text, word))
                })
            })
        };
        let mut wanted: Vec<_> = rows.iter().filter(fits).map(|row| row.id).collect();
        wanted.sort_unstable();
        let found = reader.fulltext(&namespace, &words, 10_000).expect("it searches");
        let mut found: Vec<_> = found.iter().map(|row| row.id).collect();
        found.sort_unstable();
        assert_eq!(found, wanted, "{namespace:?} {words:?}");
    }
}
