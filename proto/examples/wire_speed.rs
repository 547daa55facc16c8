//! What a frame costs: `cargo run --release -p jobbie-proto --example wire_speed`.

use std::hint::black_box;
use std::time::Instant;

use jobbie_proto::limits::FRAME_BYTES_MAX;
use jobbie_proto::reply::{Enqueued, Lease, Reply};
use jobbie_proto::request::{Ack, Enqueue, JobRef};
use jobbie_proto::wire::{
    ClientFrame, Encoder, LeaseBytes, ReplyHead, ServerFrame, StatsAnswer, frame,
};
use jobbie_proto::{Code, EventSeq, JobId, JobSeq, LeaseToken, Micros, Request, ShardId};

fn time(what: &str, jobs: usize, mut run: impl FnMut()) {
    let rounds = 400_000 / (jobs + 9);
    let mut best = f64::MAX;
    for _ in 0..15 {
        let start = Instant::now();
        (0..rounds).for_each(|_| run());
        best = best.min(start.elapsed().as_nanos() as f64 / (rounds * jobs) as f64);
    }
    println!("{what:<28} {best:7.1} ns a job");
}

fn enqueue(payload: &[u8]) -> Enqueue<'_> {
    Enqueue {
        queue: "mail.outgoing",
        payload,
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
    }
}

fn client(jobs: usize, what: &str, request: &Request<'_>) {
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    time(&format!("{what} x{jobs} encode"), jobs, || {
        out.clear();
        encoder.request(&mut out, black_box(request)).unwrap();
        black_box(&out);
    });
    time(&format!("{what} x{jobs} decode"), jobs, || {
        let (frame, _) = frame::split(black_box(&out), FRAME_BYTES_MAX).unwrap().unwrap();
        black_box(ClientFrame::decode(frame).unwrap());
    });
}

fn server(jobs: usize, what: &str, reply: &Reply, payload: &[u8]) {
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    let head = ReplyHead { number: 9, ..ReplyHead::default() };
    time(&format!("{what} x{jobs} encode"), jobs, || {
        out.clear();
        let bytes = |_: usize, _: &Lease| LeaseBytes {
            queue: "mail.outgoing",
            payload,
            ..LeaseBytes::default()
        };
        let stats = StatsAnswer::default();
        encoder.reply(&mut out, &head, black_box(reply), bytes, [], stats).unwrap();
        black_box(&out);
    });
    time(&format!("{what} x{jobs} decode"), jobs, || {
        let (frame, _) = frame::split(black_box(&out), FRAME_BYTES_MAX).unwrap().unwrap();
        black_box(ServerFrame::decode(frame).unwrap());
    });
}

fn main() {
    let payload = [7u8; 200];
    for jobs in [1, 100, 1000] {
        let request = Request { enqueues: vec![enqueue(&payload); jobs], ..Request::default() };
        client(jobs, "enqueue", &request);
        let id = JobId::new(1_795_000_000_000, ShardId(1), JobSeq(9));
        let ack = Ack { job: JobRef { job: id, token: LeaseToken(4) }, result: b"" };
        client(jobs, "ack", &Request { acks: vec![ack; jobs], ..Request::default() });

        let run = Enqueued {
            code: Code::Ok,
            created_ms: 1_795_000_000_000,
            first_job: JobSeq(1),
            count: jobs as u32,
        };
        server(jobs, "enqueue reply", &Reply { enqueued: vec![run], ..Reply::default() }, b"");
        let acks = vec![Code::Ok; jobs];
        server(jobs, "ack reply", &Reply { acks, ..Reply::default() }, b"");
        let lease = Lease {
            job: JobSeq(4),
            created_ms: 1_795_000_000_000,
            token: LeaseToken(8),
            attempt: 1,
            max_retries: 3,
            deadline: Micros(1),
            record: EventSeq(1),
            checkpoint: EventSeq(0),
            placed: EventSeq(0),
            payload: EventSeq(0),
        };
        server(jobs, "lease", &Reply { leases: vec![lease; jobs], ..Reply::default() }, &payload);
    }
}
