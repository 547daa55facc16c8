//! Requests that come again, from a client that speaks the protocol by itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use jobbie_client::{Client, NewJob};
use jobbie_proto::limits::FRAME_BYTES_MAX;
use jobbie_proto::request::{Ack, Fetch, JobRef};
use jobbie_proto::wire::{ANY_SHARD, Encoder, Hello, ServerFrame, frame};
use jobbie_proto::{Code, Request, SessionId};
use jobbie_tests::server::{Server, free_address};

use crate::four_shards::runtime;

/// One connection, one request at a time.
struct Raw {
    socket: TcpStream,
    encoder: Encoder,
    read: Vec<u8>,
}

impl Raw {
    fn connect(address: SocketAddr) -> (Self, SessionId) {
        let socket = TcpStream::connect(address).expect("connect");
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("set a limit");
        let mut raw = Self { socket, encoder: Encoder::new(), read: Vec::new() };
        let hello = Hello {
            version_min: 1,
            version_max: 1,
            client: 77,
            resume_session: SessionId(0),
            shard: ANY_SHARD,
            token: b"",
            name: "raw",
            host: "",
        };
        let mut bytes = Vec::new();
        raw.encoder.hello(&mut bytes, &hello).expect("it fits");
        let session = raw.ask(&bytes, |answer| match answer {
            ServerFrame::Welcome(welcome) => welcome.session,
            other => panic!("no welcome: {other:?}"),
        });
        (raw, session)
    }

    fn ask<T>(&mut self, bytes: &[u8], see: impl FnOnce(&ServerFrame<'_>) -> T) -> T {
        self.socket.write_all(bytes).expect("send");
        let mut part = vec![0; 64 << 10];
        loop {
            if let Some((frame, len)) = frame::split(&self.read, FRAME_BYTES_MAX).expect("a frame")
            {
                let seen = see(&ServerFrame::decode(frame).expect("a server's frame"));
                self.read.drain(..len);
                return seen;
            }
            let len = self.socket.read(&mut part).expect("read");
            assert!(len > 0, "the server ended the connection");
            self.read.extend_from_slice(&part[..len]);
        }
    }

    /// Leased jobs with their payloads.
    fn request(&mut self, request: &Request<'_>) -> Vec<(JobRef, Vec<u8>)> {
        let mut bytes = Vec::new();
        self.encoder.request(&mut bytes, request).expect("it fits");
        self.ask(&bytes, |answer| match answer {
            ServerFrame::Reply(reply) => {
                assert_eq!((reply.number, reply.code), (request.number, Code::Ok));
                let lease = |lease: &jobbie_proto::wire::LeasedJob<'_>| {
                    (JobRef { job: lease.job, token: lease.token }, lease.payload.to_vec())
                };
                reply.leases.iter().map(lease).collect()
            }
            other => panic!("no reply: {other:?}"),
        })
    }
}

/// A client that never got the answer to its fetch asks again when the job has long ended, and its record left the log with it.
#[test]
fn a_fetch_that_comes_again_leaves_out_jobs_that_the_log_has_let_go() {
    let folder = tempfile::tempdir().expect("make a folder");
    let address = free_address(1);
    let flags = [
        "--shards",
        "1",
        "--segment-bytes",
        "1MiB",
        "--snapshot-log-bytes",
        "1MiB",
        "--history-bytes",
        "0",
    ];
    let _server = Server::start(&folder.path().join("data"), address, &flags);
    let runtime = runtime();
    let connect = Client::connect(address.to_string());
    let client = runtime.block_on(connect).expect("connect");
    let job = NewJob::new("q", b"payload");
    runtime.block_on(client.enqueue(&job)).expect("enqueue");
    let (mut raw, session) = Raw::connect(address);
    let wanted = Fetch { queues: vec!["q"], count: 1, lease_ms: 60_000, wait_ms: 0, worker: "" };
    let fetch = Request { session, number: 1, fetch: Some(wanted), ..Request::default() };
    let first = raw.request(&fetch);
    assert_eq!(first.len(), 1);
    let acks = vec![Ack { job: first[0].0, result: b"" }];
    raw.request(&Request { session, number: 2, acks, ..Request::default() });
    let large = vec![b'x'; 200 << 10];
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let again = raw.request(&fetch);
        if again.is_empty() {
            break;
        }
        assert_eq!(again, first, "a repeat is answered as the first time");
        assert!(Instant::now() < until, "the record stays in the log");
        for _ in 0..8 {
            let filler = NewJob::new("filler", &large);
            let made = runtime.block_on(client.enqueue(&filler)).expect("enqueue");
            runtime.block_on(client.delete(made.id)).expect("delete");
        }
    }
}
