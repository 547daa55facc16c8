//! Entry bodies of every version are read for ever, and are still written the same.

#[path = "support/events.rs"]
mod events;
#[path = "support/events_archive.rs"]
mod events_archive;
#[path = "support/events_moves.rs"]
mod events_moves;
#[path = "support/events_plans.rs"]
mod events_plans;
#[path = "support/events_rules.rs"]
mod events_rules;
#[path = "support/events_ties.rs"]
mod events_ties;
#[path = "support/events_usage.rs"]
mod events_usage;
#[path = "support/events_workers.rs"]
mod events_workers;

use std::collections::HashSet;
use std::mem::discriminant;

use jobbie_proto::Event;
use jobbie_proto::event::codec::{self, TRAILER_BYTES};

const GOLDEN: &[u8] = include_bytes!("../../tests/golden/v1/events/every_kind.bin");
const GOLDEN_2: &[u8] = include_bytes!("../../tests/golden/v2/events/every_kind.bin");
const SCHEDULES: &[u8] = include_bytes!("../../tests/golden/v2/events/schedules.bin");

const GOLDEN_PLANS: &[u8] = include_bytes!("../../tests/golden/v2/events/plans.bin");
const GOLDEN_RULES: &[u8] = include_bytes!("../../tests/golden/v2/events/rules.bin");
const GOLDEN_TIES: &[u8] = include_bytes!("../../tests/golden/v2/events/ties.bin");
const GOLDEN_MOVES: &[u8] = include_bytes!("../../tests/golden/v2/events/moves.bin");
const GOLDEN_USAGE: &[u8] = include_bytes!("../../tests/golden/v2/events/usage.bin");
/// Kinds that version 2 got after that file was made.
const GOLDEN_OPERATIONS: &[u8] = include_bytes!("../../tests/golden/v2/events/operations.bin");

const GOLDEN_ARCHIVE: &[u8] = include_bytes!("../../tests/golden/v2/events/archive.bin");
const GOLDEN_WORKERS: &[u8] = include_bytes!("../../tests/golden/v2/events/workers.bin");

/// What the trailer says.
fn version(body: &[u8]) -> u16 {
    let at = body.len() - TRAILER_BYTES + 4;
    u16::from_le_bytes([body[at], body[at + 1]])
}

#[test]
fn r24_events_of_version_1_are_read() {
    let (groups, blob) = codec::decode(GOLDEN).expect("version 1");
    assert_eq!((groups, blob), (events::groups(), events::BLOB));
}

#[test]
fn r24_events_of_version_1_are_still_written_the_same() {
    assert!(events::body() == GOLDEN, "the bytes have changed: that needs another version");
}

#[test]
fn r24_events_of_version_2_are_read() {
    let (groups, blob) = codec::decode(GOLDEN_2).expect("version 2");
    assert_eq!((groups, blob), (events::groups_2(), events::BLOB_2));
    let (groups, blob) = codec::decode(GOLDEN_OPERATIONS).expect("version 2");
    assert_eq!((groups, blob), (events::groups_operations(), events::BLOB_2));
}

#[test]
fn r24_events_of_version_2_are_still_written_the_same() {
    assert!(events::body_2() == GOLDEN_2, "the bytes have changed: that needs another version");
    let operations = events::body_operations() == GOLDEN_OPERATIONS;
    assert!(operations, "the bytes have changed: that needs another version");
}

#[test]
fn r24_events_of_planned_jobs_are_read() {
    let (groups, blob) = codec::decode(GOLDEN_PLANS).expect("version 2");
    assert_eq!((groups, blob), (events_plans::groups(), events_plans::BLOB));
}

#[test]
fn r24_events_of_planned_jobs_are_still_written_the_same() {
    let same = events_plans::body() == GOLDEN_PLANS;
    assert!(same, "the bytes have changed: that needs another version");
}

#[test]
fn r24_events_of_ties_are_read() {
    let (groups, blob) = codec::decode(GOLDEN_TIES).expect("version 2");
    assert_eq!((groups, blob), (events_ties::groups(), events_ties::BLOB));
}

#[test]
fn r24_events_of_ties_are_still_written_the_same() {
    let same = events_ties::body() == GOLDEN_TIES;
    assert!(same, "the bytes have changed: that needs another version");
}

#[test]
fn r24_events_of_moves_are_read_and_still_written_the_same() {
    let (groups, blob) = codec::decode(GOLDEN_MOVES).expect("version 2");
    assert_eq!((groups, blob), (events_moves::groups(), events_moves::BLOB));
    let same = events_moves::body() == GOLDEN_MOVES;
    assert!(same, "the bytes have changed: that needs another version");
    assert_eq!(version(GOLDEN_MOVES), 2);
}

#[test]
fn r24_events_of_usage_are_read_and_still_written_the_same() {
    let (groups, blob) = codec::decode(GOLDEN_USAGE).expect("version 2");
    assert_eq!((groups, blob), (events_usage::groups(), events_usage::BLOB));
    assert!(events_usage::body() == GOLDEN_USAGE, "the bytes have changed");
}

#[test]
fn r24_events_of_schedules_are_read_and_still_written_the_same() {
    let (groups, blob) = codec::decode(SCHEDULES).expect("version 2");
    assert_eq!((groups, blob), (events::schedules(), events::BLOB_2));
    assert!(events::body_of_schedules() == SCHEDULES, "the bytes have changed");
    assert_eq!(version(SCHEDULES), 2);
}

#[test]
fn r24_events_of_workers_are_read_and_still_written_the_same() {
    let (groups, blob) = codec::decode(GOLDEN_WORKERS).expect("version 2");
    assert_eq!((groups, blob), (events_workers::groups(), &b""[..]));
    let same = events_workers::body() == GOLDEN_WORKERS;
    assert!(same, "the bytes have changed: that needs another version");
}

#[test]
fn r24_events_of_rules_are_read_and_still_written_the_same() {
    let (groups, blob) = codec::decode(GOLDEN_RULES).expect("version 2");
    assert_eq!((groups, blob), (events_rules::groups(), events_rules::BLOB));
    assert!(events_rules::body() == GOLDEN_RULES, "the bytes have changed");
}

#[test]
fn r24_events_of_archived_jobs_are_read_and_still_written_the_same() {
    let (groups, blob) = codec::decode(GOLDEN_ARCHIVE).expect("version 2");
    assert_eq!((groups, blob), (events_archive::groups(), events_archive::BLOB));
    assert!(events_archive::body() == GOLDEN_ARCHIVE, "the bytes have changed");
}

/// An older release reads what it can understand, and refuses the rest by its version.
#[test]
fn r24_an_entry_says_the_version_that_its_newest_event_needs() {
    assert_eq!((version(GOLDEN), version(GOLDEN_2)), (1, 2));
    let old = events::groups();
    assert_eq!(version(&events::body_of(b"", &Vec::new())), 1, "an empty entry");
    let new = events::groups_2().into_iter().chain(events_plans::groups());
    let new = new.chain(events::schedules()).chain(events::groups_operations());
    let new = new.chain(events_workers::groups()).chain(events_moves::groups());
    let new = new.chain(events_usage::groups()).chain(events_rules::groups());
    let new = new.chain(events_archive::groups());
    // An `Ignored` has a kind of version 1, whatever its code.
    let events = new.chain(events_ties::groups()).flat_map(|group| group.events);
    for event in events.filter(|event| !matches!(event, Event::Ignored { .. })) {
        assert_eq!(event.version(), 2, "{event:?}");
        // Last of the first group, so that neither the first nor the last event decides alone.
        let mut groups = old.clone();
        groups[0].events.push(event);
        assert_eq!(version(&events::body_of(events::BLOB, &groups)), 2, "{:?}", groups[0].events);
    }
}

/// A kind of which there is no sample has no golden bytes.
#[test]
fn the_samples_have_every_kind() {
    let kinds = |groups: Vec<_>| {
        let events = groups.into_iter().flat_map(|g: jobbie_proto::event::Group| g.events);
        events.map(|event: Event| discriminant(&event)).collect::<HashSet<_>>()
    };
    let (old, new) = (kinds(events::groups()), kinds(events::groups_2()));
    let both: Vec<_> = old.intersection(&new).collect();
    assert_eq!(both, [&discriminant(&events::groups()[2].events[10])], "only `Refused`");
    let plans = kinds(events_plans::groups());
    assert!(plans.is_disjoint(&old) && plans.is_disjoint(&new));
    let schedules = kinds(events::schedules());
    let operations = kinds(events::groups_operations());
    assert!(operations.is_disjoint(&old) && operations.is_disjoint(&new));
    let ties = kinds(events_ties::groups());
    let workers = kinds(events_workers::groups());
    assert_eq!(workers.len(), 2);
    let usage = kinds(events_usage::groups());
    let others = [&old, &new, &plans, &schedules, &operations, &workers];
    assert!(others.iter().all(|others| ties.is_disjoint(others)));
    assert!(ties.is_disjoint(&usage));
    let new_kinds = |of: &HashSet<_>| usage.iter().filter(|kind| !of.contains(*kind)).count();
    assert!(others.iter().all(|others| new_kinds(others) >= 4), "all but `Refused`, `Ignored`");
    assert_eq!(usage.len(), 6);
    // Messages are told in the same event, whatever they are about.
    let rules = kinds(events_rules::groups());
    assert!(rules.is_superset(&ties) && rules.is_disjoint(&usage) && rules.len() == 2);
    assert!(others.iter().all(|others| rules.is_disjoint(others)));
    let archive = kinds(events_archive::groups());
    assert_eq!(archive.difference(&new).count(), 1, "all but `UniqueTaken` and `Refused`");
    assert!(others.iter().all(|others| archive.difference(others).count() >= 1));
    assert_eq!((operations.len(), ties.len()), (4, 1));
    assert_eq!((old.len(), new.len(), plans.len(), schedules.len()), (19, 17, 3, 6));
}

#[test]
fn every_cut_is_refused_and_no_flipped_bit_does_harm() {
    let all = [GOLDEN, GOLDEN_2, GOLDEN_PLANS, GOLDEN_TIES, SCHEDULES, GOLDEN_OPERATIONS];
    let more = [GOLDEN_MOVES, GOLDEN_WORKERS, GOLDEN_USAGE, GOLDEN_RULES, GOLDEN_ARCHIVE];
    for golden in all.into_iter().chain(more) {
        for cut in 0..golden.len() {
            assert!(codec::decode(&golden[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..golden.len() * 8 {
            let mut bytes = golden.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // The record's checksum notices the flip; decoding must only stay within the bytes.
            if let Ok((groups, blob)) = codec::decode(&bytes) {
                assert!(blob.len() <= bytes.len() && groups.len() <= bytes.len());
            }
        }
    }
}
