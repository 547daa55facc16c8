//! One record as it is read from a segment: it is refused, or it is written again as it was.
//!
//! The first byte is flags, 1 leaves checksums as they are; the next three are the place; the rest is the record.
#![no_main]

use jobbie_fuzz::fix::{self, Segment};
use jobbie_log::rewrite_record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(([flags, store, id, block], record)) = input.split_first_chunk() else { return };
    let (store, id, offset) = (u128::from(*store), u64::from(*id), u64::from(*block) * 4096);
    let mut record = record.to_vec();
    if flags & 1 == 0 {
        fix::record(&mut record, Segment { store: store.to_le_bytes(), id }, offset, None);
    }
    let Some(again) = rewrite_record(&record, store, id, offset) else { return };
    assert_eq!(rewrite_record(&again, store, id, offset).as_ref(), Some(&again));
    // An entry's body is opaque, so all of it is as before, but for what is reserved.
    if record[5] == 2 {
        assert_eq!((&again[..80], &again[88..92]), (&record[..80], &record[88..92]));
        assert_eq!(again[96..], record[96..again.len()]);
    }
});
