//! The body of a batch entry: its events decode or are refused, and what decodes comes back the same after being
//! written again.
#![no_main]

use jobbie_proto::event::codec;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let Ok((groups, blob)) = codec::decode(body) else { return };
    let mut again = blob.to_vec();
    codec::finish(&mut again, blob.len(), &groups);
    assert_eq!(codec::decode(&again), Ok((groups, blob)));
});
