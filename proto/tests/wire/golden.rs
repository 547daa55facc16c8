//! Frames of version 1 read for ever as they were meant.

use std::path::PathBuf;

use jobbie_proto::wire::{ClientFrame, ServerFrame};

use crate::{round_trip, samples};

fn read(name: &str) -> Vec<u8> {
    read_of("v1", name)
}

fn read_of(version: &str, name: &str) -> Vec<u8> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("../tests/golden").join(version).join(format!("wire/{name}.bin"));
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

/// Vectors that came later are in frames of their own.
#[test]
fn r24_what_came_later_is_read_and_still_written_the_same() {
    for ((name, request), (_, bytes)) in samples::later().into_iter().zip(samples::encoded_later())
    {
        let golden = read_of("v2", name);
        let frame = ClientFrame::decode(round_trip::only(&golden));
        assert_eq!(frame, Ok(ClientFrame::Request(request)), "{name}");
        assert_eq!(bytes, golden, "{name}");
    }
}
