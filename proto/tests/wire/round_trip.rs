//! Encode, decode, compare.

use jobbie_proto::limits::{FRAME_BYTES_MAX, OPS_PER_REQUEST_MAX};
use jobbie_proto::request::Stats;
use jobbie_proto::wire::{
    ClientFrame, EncodeError, Encoder, Frame, FrameReader, ServerFrame, frame,
};
use jobbie_proto::{JobId, JobSeq, Request, ShardId};
use proptest::prelude::*;

use crate::strategies::{client_frame, request, small_server_frame};

pub(crate) fn put_client(encoder: &mut Encoder, out: &mut Vec<u8>, frame: &ClientFrame<'_>) {
    match frame {
        ClientFrame::Hello(hello) => encoder.hello(out, hello).unwrap(),
        ClientFrame::Request(request) => encoder.request(out, request).unwrap(),
        ClientFrame::Subscribe(subscribe) => encoder.subscribe(out, subscribe).unwrap(),
        ClientFrame::Credit { subscription, add } => encoder.credit(out, *subscription, *add),
        ClientFrame::Unsubscribe { subscription } => encoder.unsubscribe(out, *subscription),
        ClientFrame::Goodbye => encoder.goodbye(out),
        ClientFrame::Ping { nonce } => encoder.ping(out, *nonce),
    }
}

pub(crate) fn put_server(encoder: &mut Encoder, out: &mut Vec<u8>, frame: &ServerFrame<'_>) {
    match frame {
        ServerFrame::Welcome(welcome) => encoder.welcome(out, welcome).unwrap(),
        ServerFrame::Lost(leases) => encoder.lost(out, leases).unwrap(),
        ServerFrame::Refused(refused) => encoder.refused(out, refused).unwrap(),
        ServerFrame::GoAway { grace_ms, message } => {
            encoder.go_away(out, *grace_ms, message).unwrap();
        }
        ServerFrame::Pong { nonce, server_time } => encoder.pong(out, *nonce, *server_time),
        ServerFrame::Reply(_) | ServerFrame::Deliver { .. } => unreachable!("see the reply tests"),
    }
}

/// The only frame in `bytes`.
pub(crate) fn only(bytes: &[u8]) -> Frame<'_> {
    let (frame, used) = frame::split(bytes, FRAME_BYTES_MAX).unwrap().expect("a whole frame");
    assert_eq!(used, bytes.len());
    frame
}

proptest! {
    #[test]
    fn client_frames_come_back(frames in proptest::collection::vec(client_frame(), 1..5)) {
        let (mut encoder, mut out) = (Encoder::new(), vec![]);
        for frame in &frames {
            put_client(&mut encoder, &mut out, frame);
        }
        let mut reader = FrameReader::new(FRAME_BYTES_MAX);
        reader.feed(&out);
        for frame in &frames {
            let read = reader.next_frame().unwrap().expect("as many as were written");
            prop_assert_eq!(&ClientFrame::decode(read).unwrap(), frame);
        }
        prop_assert_eq!(reader.next_frame(), Ok(None));
    }

    #[test]
    fn server_frames_come_back(frames in proptest::collection::vec(small_server_frame(), 1..5)) {
        let (mut encoder, mut out) = (Encoder::new(), vec![]);
        for frame in &frames {
            put_server(&mut encoder, &mut out, frame);
        }
        let mut reader = FrameReader::new(FRAME_BYTES_MAX);
        reader.feed(&out);
        for frame in &frames {
            let read = reader.next_frame().unwrap().expect("as many as were written");
            prop_assert_eq!(&ServerFrame::decode(read).unwrap(), frame);
        }
    }

    /// What an encoder wrote before leaves no trace in what it writes next.
    #[test]
    fn encoding_is_a_function_of_the_request(first in request(), second in request()) {
        let mut used = Encoder::new();
        let (mut a, mut b) = (vec![], vec![]);
        used.request(&mut a, &first).unwrap();
        a.clear();
        used.request(&mut a, &second).unwrap();
        Encoder::new().request(&mut b, &second).unwrap();
        prop_assert_eq!(a, b);
    }
}

#[test]
fn a_thousand_jobs_alike_name_their_queue_once() {
    let mut request = Request::default();
    let job = jobbie_proto::request::Enqueue {
        queue: "a-queue-with-a-rather-long-name",
        payload: b"",
        tags: b"",
        key: b"",
        key_ms: 0,
        unique: b"",
        unique_ms: 0,
        limit_key: "",
        priority: 2,
        max_retries: 3,
        backoff: Default::default(),
        backoff_base_ms: 5000,
        backoff_cap_ms: 600_000,
        expire_after_ms: 0,
        when: Default::default(),
    };
    request.enqueues = vec![job; 1000];
    let mut out = vec![];
    Encoder::new().request(&mut out, &request).unwrap();
    assert!(out.len() < 1000 * 12 + 256, "{} bytes", out.len());
    assert_eq!(ClientFrame::decode(only(&out)), Ok(ClientFrame::Request(request)));
}

#[test]
fn too_much_is_refused_and_leaves_the_buffer_alone() {
    let (mut encoder, mut out) = (Encoder::new(), b"before".to_vec());
    let id = JobId::new(1, ShardId(0), JobSeq(1));
    let many = Request { cancels: vec![id; OPS_PER_REQUEST_MAX + 1], ..Request::default() };
    let refused = encoder.request(&mut out, &many);
    assert!(matches!(refused, Err(EncodeError::TooMany { field: "cancels", .. })), "{refused:?}");
    let name = "x".repeat(70_000);
    let long = Request { stats: Stats::Queue(&name), ..Request::default() };
    let refused = encoder.request(&mut out, &long);
    assert!(matches!(refused, Err(EncodeError::Field { bytes: 70_000, .. })), "{refused:?}");
    let result = vec![0; FRAME_BYTES_MAX];
    let job = jobbie_proto::request::JobRef { job: id, token: jobbie_proto::LeaseToken(1) };
    let acks = vec![jobbie_proto::request::Ack { job, result: &result }];
    let refused = encoder.request(&mut out, &Request { acks, ..Request::default() });
    assert!(matches!(refused, Err(EncodeError::Frame { .. })), "{refused:?}");
    assert_eq!(out, b"before");
}
