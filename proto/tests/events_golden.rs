//! Entry bodies of every version are read for ever, and are still written the same.

#[path = "support/events.rs"]
mod events;

use std::collections::HashSet;
use std::mem::discriminant;

use jobbie_proto::Event;
use jobbie_proto::event::codec::{self, TRAILER_BYTES};

const GOLDEN: &[u8] = include_bytes!("../../tests/golden/v1/events/every_kind.bin");
const GOLDEN_2: &[u8] = include_bytes!("../../tests/golden/v2/events/every_kind.bin");

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
}

#[test]
fn r24_events_of_version_2_are_still_written_the_same() {
    assert!(events::body_2() == GOLDEN_2, "the bytes have changed: that needs another version");
}

/// An older release reads what it can understand, and refuses the rest by its version.
#[test]
fn r24_an_entry_says_the_version_that_its_newest_event_needs() {
    assert_eq!((version(GOLDEN), version(GOLDEN_2)), (1, 2));
    let old = events::groups();
    assert_eq!(version(&events::body_of(b"", &Vec::new())), 1, "an empty entry");
    for event in events::groups_2().into_iter().flat_map(|group| group.events) {
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
    assert_eq!((old.len(), new.len()), (19, 17));
}

#[test]
fn every_cut_is_refused_and_no_flipped_bit_does_harm() {
    for golden in [GOLDEN, GOLDEN_2] {
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
