//! Bytes that nobody meant to send.

use jobbie_proto::limits::FRAME_BYTES_MAX;
use jobbie_proto::wire::{ClientFrame, Encoder, Frame, ServerFrame, frame};
use proptest::prelude::*;

use crate::reply::parts;
use crate::round_trip::{put_client, put_server};
use crate::strategies::{client_frame, small_server_frame};

/// Whatever it is, decoding ends, and what it makes is in proportion to the bytes.
fn try_everything(bytes: &[u8]) {
    let Ok(Some((frame, _))) = frame::split(bytes, FRAME_BYTES_MAX) else { return };
    decode_both(frame);
}

fn decode_both(frame: Frame<'_>) {
    let _ = ClientFrame::decode(frame);
    if let Ok(ServerFrame::Reply(reply)) = ServerFrame::decode(frame) {
        reply.enqueued.iter().for_each(|run| assert!(run.ids().count() == run.count as usize));
    }
}

fn cut_and_flip(bytes: &[u8]) {
    for cut in 0..bytes.len() {
        assert_eq!(frame::split(&bytes[..cut], FRAME_BYTES_MAX), Ok(None), "cut at {cut}");
    }
    let (whole, _) = frame::split(bytes, FRAME_BYTES_MAX).unwrap().unwrap();
    for cut in 0..whole.table.len() {
        decode_both(Frame { table: &whole.table[..cut], ..whole });
        decode_both(Frame { table: &whole.table[cut..], ..whole });
    }
    for cut in 0..whole.blob.len() {
        decode_both(Frame { blob: &whole.blob[..cut], ..whole });
    }
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            try_everything(&bytes);
            bytes[at] ^= 1 << bit;
        }
        let kept = std::mem::replace(&mut bytes[at], 0xff);
        try_everything(&bytes);
        bytes[at] = kept;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn r21_damaged_client_frames_do_no_harm(frame in client_frame()) {
        let mut bytes = vec![];
        put_client(&mut Encoder::new(), &mut bytes, &frame);
        cut_and_flip(&bytes);
    }

    #[test]
    fn r21_damaged_server_frames_do_no_harm(frame in small_server_frame()) {
        let mut bytes = vec![];
        put_server(&mut Encoder::new(), &mut bytes, &frame);
        cut_and_flip(&bytes);
    }

    #[test]
    fn r21_damaged_replies_do_no_harm(parts in parts()) {
        let mut bytes = vec![];
        parts.encode(&mut Encoder::new(), &mut bytes);
        cut_and_flip(&bytes);
    }
}

proptest! {
    #[test]
    fn r21_random_tables_do_no_harm(
        kind in any::<u8>(),
        table in proptest::collection::vec(any::<u8>(), 0..300),
        blob in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        decode_both(Frame { kind, blob: &blob, table: &table });
    }
}
