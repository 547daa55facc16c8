//! Whatever a server sends to a client: frames decode or are refused, and what decodes can be used.
#![no_main]

use jobbie_proto::limits::FRAME_BYTES_MAX;
use jobbie_proto::wire::{FrameReader, ServerFrame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut reader = FrameReader::new(FRAME_BYTES_MAX);
    reader.feed(bytes);
    while let Ok(Some(frame)) = reader.next_frame() {
        if let Ok(ServerFrame::Reply(reply)) = ServerFrame::decode(frame) {
            for run in reply.enqueued {
                assert_eq!(run.ids().count(), run.count as usize);
            }
        }
    }
});
