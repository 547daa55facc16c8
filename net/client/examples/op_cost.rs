//! What an operation costs the client's thread, against a responder on another thread:
//! `cargo run --release -p jobbie-client --example op_cost`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use jobbie_client::connection::{Connection, Event, Identity};
use jobbie_client::{Client, NewJob};
use jobbie_proto::limits::FRAME_BYTES_MAX;
use jobbie_proto::reply::{Enqueued, Reply};
use jobbie_proto::request::Enqueue;
use jobbie_proto::wire::{
    ClientFrame, Durability, Encoder, FrameReader, Limits, ReplyHead, Welcome,
};
use jobbie_proto::{Code, JobSeq, Micros, Request, SessionId, ShardId};

const PAYLOAD: [u8; 200] = [7; 200];
const OPS: usize = 400_000;

/// Answers every request at once, as many as a read brings with one write.
fn respond(mut stream: TcpStream) {
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    let mut reader = FrameReader::new(FRAME_BYTES_MAX);
    let mut chunk = vec![0; 64 << 10];
    while let Ok(n @ 1..) = stream.read(&mut chunk) {
        reader.feed(&chunk[..n]);
        while let Some(frame) = reader.next_frame().expect("frames") {
            match ClientFrame::decode(frame).expect("good frames") {
                ClientFrame::Hello(_) => {
                    let welcome = Welcome {
                        version: 1,
                        session: SessionId(1),
                        shard: ShardId(0),
                        shards: 1,
                        endpoints: vec![],
                        limits: Limits::default(),
                        server_time: Micros(0),
                        durability: Durability::None,
                        server_version: "responder",
                        store: 1,
                        abilities: jobbie_proto::ability::Abilities::OURS,
                        settings: Default::default(),
                    };
                    encoder.welcome(&mut out, &welcome).expect("fits");
                }
                ClientFrame::Request(request) => {
                    let head = ReplyHead { number: request.number, ..ReplyHead::default() };
                    let count = request.enqueues.len() as u32;
                    let first_job = JobSeq(request.number);
                    let run = Enqueued { code: Code::Ok, created_ms: 1, first_job, count };
                    let reply = Reply { enqueued: vec![run], ..Reply::default() };
                    encoder.plain_reply(&mut out, &head, &reply).expect("fits");
                }
                _ => return,
            }
        }
        if stream.write_all(&out).is_err() {
            return;
        }
        out.clear();
    }
}

fn responder() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("accept");
            stream.set_nodelay(true).expect("nodelay");
            std::thread::spawn(move || respond(stream));
        }
    });
    address
}

/// Nanoseconds this thread has run, and clock ticks of it outside the kernel and inside.
fn cpu() -> (u64, u64, u64) {
    let read = |path| std::fs::read_to_string(path).expect("Linux");
    let run = read("/proc/thread-self/schedstat");
    let stat = read("/proc/thread-self/stat");
    let fields: Vec<_> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let first = run.split_whitespace().next().expect("a field");
    (number(first), number(fields[11]), number(fields[12]))
}

fn report(what: &str, ops: usize, run: impl FnOnce()) {
    let (before, began) = (cpu(), Instant::now());
    run();
    let (after, took) = (cpu(), began.elapsed());
    let cpu_ns = (after.0 - before.0) as f64 / ops as f64;
    let (user, system) = (after.1 - before.1, after.2 - before.2);
    let share = user as f64 / (user + system).max(1) as f64;
    println!(
        "{what:<34} {:6.2} µs CPU an op, {:6.2} µs of it outside the kernel; {:9.0} ops/s",
        cpu_ns / 1000.0,
        cpu_ns * share / 1000.0,
        ops as f64 / took.as_secs_f64()
    );
}

fn with_client(address: &str, tasks: usize, ops: usize) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("start");
    runtime.block_on(async {
        let client = Client::connect(address).await.expect("connect");
        let workers = (0..tasks).map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                for _ in 0..ops / tasks {
                    client.enqueue(&NewJob::new("mail", &PAYLOAD)).await.expect("enqueue");
                }
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await.expect("no panic");
        }
    });
}

/// The protocol without tasks: fills the window, writes, reads, and again.
fn with_connection(address: &str, window: usize, ops: usize) {
    let mut stream = TcpStream::connect(address).expect("connect");
    stream.set_nodelay(true).expect("nodelay");
    let mut connection: Connection<Instant> = Connection::new(Identity::random(), window);
    connection.start().expect("hello fits");
    let job = NewJob::new("mail", &PAYLOAD);
    let mut request = Request { enqueues: vec![Enqueue::from(job)], ..Request::default() };
    let mut chunk = vec![0; 64 << 10];
    let (mut sent, mut answered) = (0, 0);
    while answered < ops {
        while connection.has_session() && connection.has_room() && sent < ops {
            connection.submit(&mut request, Instant::now()).expect("room");
            sent += 1;
        }
        stream.write_all(connection.output()).expect("write");
        connection.output().clear();
        let n = stream.read(&mut chunk).expect("read");
        connection.feed(&chunk[..n]);
        while let Some(event) = connection.next_event().expect("protocol") {
            if let Event::Reply { tag, reply, .. } = event {
                assert_eq!(reply.code, Code::Ok);
                std::hint::black_box(tag.elapsed());
                answered += 1;
            }
        }
    }
}

fn main() {
    let address = responder();
    for depth in [1, 64] {
        let ops = if depth == 1 { OPS / 10 } else { OPS };
        report(&format!("Client, {depth} in flight"), ops, || with_client(&address, depth, ops));
        let what = format!("Connection, {depth} in flight");
        report(&what, ops, || with_connection(&address, depth, ops));
    }
}
