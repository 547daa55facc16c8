//! Entry bodies of version 1 are read for ever, and are still written the same.

#[path = "support/events.rs"]
mod events;

use jobbie_proto::event::codec;

const GOLDEN: &[u8] = include_bytes!("../../tests/golden/v1/events/every_kind.bin");

#[test]
fn r24_events_of_version_1_are_read() {
    let (groups, blob) = codec::decode(GOLDEN).expect("version 1");
    assert_eq!((groups, blob), (events::groups(), events::BLOB));
}

#[test]
fn r24_events_of_version_1_are_still_written_the_same() {
    assert!(events::body() == GOLDEN, "the bytes have changed: that needs a version 2");
}

#[test]
fn every_cut_is_refused_and_no_flipped_bit_does_harm() {
    for cut in 0..GOLDEN.len() {
        assert!(codec::decode(&GOLDEN[..cut]).is_err(), "cut at {cut}");
    }
    for bit in 0..GOLDEN.len() * 8 {
        let mut bytes = GOLDEN.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        // The record's checksum notices the flip; decoding must only stay within the bytes.
        if let Ok((groups, blob)) = codec::decode(&bytes) {
            assert!(blob.len() <= bytes.len() && groups.len() <= bytes.len());
        }
    }
}
