//! Frames of version 1 read for ever as they were meant.

use std::path::PathBuf;

use jobbie_proto::wire::{ClientFrame, ServerFrame};

use crate::{round_trip, samples};

fn read(name: &str) -> Vec<u8> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("../tests/golden/v1/wire").join(format!("{name}.bin"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn r24_client_frames_of_version_1_are_read() {
    for (name, expected) in samples::client() {
        let bytes = read(name);
        let frame = ClientFrame::decode(round_trip::only(&bytes));
        assert_eq!(frame, Ok(expected), "{name}");
    }
}

#[test]
fn r24_server_frames_of_version_1_are_read() {
    for (name, expected) in samples::server() {
        let bytes = read(name);
        let frame = ServerFrame::decode(round_trip::only(&bytes));
        assert_eq!(frame, Ok(expected), "{name}");
    }
}

/// As long as version 1 is what is written, it is written to the byte.
#[test]
fn r24_version_1_is_still_written_the_same() {
    for (name, bytes) in samples::encoded() {
        assert_eq!(bytes, read(name), "{name}");
    }
}
