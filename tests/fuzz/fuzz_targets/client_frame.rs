//! Whatever a client sends: the stream is split, frames decode or are refused, and a request that decodes comes
//! back the same after being written again.
#![no_main]

use jobbie_proto::limits::FRAME_BYTES_MAX;
use jobbie_proto::wire::{ClientFrame, Encoder, FrameReader, frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut reader = FrameReader::new(FRAME_BYTES_MAX);
    reader.feed(bytes);
    while let Ok(Some(read)) = reader.next_frame() {
        let Ok(ClientFrame::Request(request)) = ClientFrame::decode(read) else { continue };
        let mut again = Vec::new();
        // Overlapping vectors can say more than a frame of their own holds.
        if Encoder::new().request(&mut again, &request).is_err() {
            continue;
        }
        let (read, _) = frame::split(&again, FRAME_BYTES_MAX).unwrap().unwrap();
        assert_eq!(ClientFrame::decode(read), Ok(ClientFrame::Request(request)));
    }
});
