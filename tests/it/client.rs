//! The Rust client and worker runtime against the real server.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use jobbie_client::{
    BackoffKind, Client, Code, FetchOptions, JobContext, JobError, JobId, JobState, NewJob, Worker,
};
use jobbie_proto::ShardId;
use jobbie_proto::limits::HELLO_BYTES_MAX;
use jobbie_proto::wire::{ANY_SHARD, Encoder, Hello, ServerFrame, frame};
use jobbie_tests::server::{Server, free_address};

fn start(shards: &str) -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().expect("make a folder");
    let address = free_address(shards.parse().expect("a number"));
    let server = Server::start(&folder.path().join("data"), address, &["--shards", shards]);
    (folder, server)
}

fn run<F: Future>(future: F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

#[test]
fn a_waiting_fetch_gets_the_job_that_comes() {
    let (_folder, server) = start("1");
    run(async {
        let client = Client::connect(server.addr()).await.expect("connect");
        let waiter = client.clone();
        let waits = FetchOptions { wait_ms: 30_000, ..FetchOptions::default() };
        let waiting = tokio::spawn(async move { waiter.fetch(&["q"], waits).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        let begin = Instant::now();
        let job = client.enqueue(&NewJob::new("q", b"payload")).await.expect("enqueue");
        let fetched = waiting.await.expect("no panic").expect("fetch");
        assert!(begin.elapsed() < Duration::from_secs(10), "it waited on: {:?}", begin.elapsed());
        assert_eq!((fetched[0].id, &fetched[0].payload[..]), (job.id, &b"payload"[..]));
        let nothing = FetchOptions { wait_ms: 300, ..FetchOptions::default() };
        assert!(client.fetch(&["q"], nothing).await.expect("fetch").is_empty());
    });
}

#[test]
fn a_worker_is_pushed_every_job_retries_what_fails_and_drains() {
    const JOBS: u32 = 500;
    let (_folder, server) = start("2");
    run(async {
        let client = Client::connect(server.addr()).await.expect("connect");
        let payloads: Vec<String> = (0..JOBS).map(|n| n.to_string()).collect();
        let queues: Vec<String> = (0..4).map(|n| format!("queue-{n}")).collect();
        let zero = Duration::ZERO;
        let jobs: Vec<NewJob<'_>> = payloads
            .iter()
            .enumerate()
            .map(|(n, payload)| NewJob::new(&queues[n % 4], payload.as_bytes()))
            .map(|job| job.backoff(BackoffKind::None, zero, zero))
            .collect();
        for enqueued in client.enqueue_many(&jobs).await {
            enqueued.expect("enqueue");
        }
        let done = Arc::new(AtomicU32::new(0));
        let mut worker = Worker::builder(&client).concurrency(16);
        for queue in &queues {
            let done = Arc::clone(&done);
            worker = worker
                .queue(queue.clone(), move |job| every_third_fails_once(job, Arc::clone(&done)));
        }
        let all = Arc::clone(&done);
        let stop = async move {
            while all.load(Ordering::SeqCst) < JOBS {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let report = tokio::time::timeout(Duration::from_secs(60), worker.run_until(stop)).await;
        let report = report.expect("in time").expect("a worker");
        assert_eq!(u64::from(JOBS), report.completed, "{report:?}");
        assert_eq!(u64::from(JOBS.div_ceil(3)), report.failed, "{report:?}");
        for stats in client.queues("").await.expect("queues") {
            let left: u64 =
                stats.jobs.iter().sum::<u64>() - stats.jobs[JobState::Completed as usize];
            assert_eq!(left, 0, "{stats:?}");
        }
    });
}

async fn every_third_fails_once(
    job: JobContext,
    done: Arc<AtomicU32>,
) -> Result<Vec<u8>, JobError> {
    let number: u32 = std::str::from_utf8(job.payload())?.parse()?;
    if number.is_multiple_of(3) && job.attempt() == 1 {
        return Err(JobError::retry("not yet"));
    }
    done.fetch_add(1, Ordering::SeqCst);
    Ok(Vec::new())
}

/// A worker has a job that is taken away from it: it is told, and reports the job as lost.
pub(crate) async fn a_worker_loses_its_job(
    client: &Client,
    take_away: impl AsyncFnOnce(JobId),
) -> JobId {
    let job = client.enqueue(&NewJob::new("q", b"")).await.expect("enqueue");
    let told = Arc::new(tokio::sync::Notify::new());
    let begun = Arc::new(tokio::sync::Notify::new());
    let (tell, begin) = (Arc::clone(&told), Arc::clone(&begun));
    let worker = Worker::builder(client).queue("q", move |job: JobContext| {
        let (tell, begin) = (Arc::clone(&tell), Arc::clone(&begin));
        async move {
            begin.notify_one();
            job.cancelled().await;
            tell.notify_one();
            Ok(Vec::new())
        }
    });
    let work = tokio::spawn(worker.run_until(async move { told.notified().await }));
    begun.notified().await;
    take_away(job.id).await;
    let report = tokio::time::timeout(Duration::from_secs(30), work).await.expect("in time");
    let report = report.expect("no panic").expect("a worker");
    assert_eq!((report.lost, report.completed), (1, 0), "{report:?}");
    job.id
}

#[test]
fn a_worker_is_told_that_its_job_was_cancelled() {
    let (_folder, server) = start("1");
    run(async {
        let client = Client::connect(server.addr()).await.expect("connect");
        let cancel = async |job| client.cancel(job).await.expect("cancel");
        let job = a_worker_loses_its_job(&client, cancel).await;
        let info = client.job(job).await.expect("look up").expect("still known");
        assert_eq!(info.state, JobState::Cancelled);
    });
}

fn first_answer(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).expect("connect");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("set a limit");
    socket.write_all(bytes).expect("send");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("the server ends the connection");
    answer
}

fn refusal(answer: &[u8]) -> (Code, String) {
    let (frame, _) = frame::split(answer, HELLO_BYTES_MAX).expect("a frame").expect("a whole one");
    match ServerFrame::decode(frame).expect("a server's frame") {
        ServerFrame::Refused(refused) => (refused.code, refused.message.to_owned()),
        other => panic!("no refusal: {other:?}"),
    }
}

#[test]
fn r21_whoever_does_not_speak_the_protocol_is_told_so_and_disturbs_nobody() {
    let (_folder, server) = start("1");
    let address = server.addr().parse().expect("an address");
    run(async {
        let client = Client::connect(server.addr()).await.expect("connect");
        let hello = Hello {
            version_min: 7,
            version_max: 9,
            client: 1,
            resume_session: jobbie_proto::SessionId(0),
            shard: ANY_SHARD,
            token: b"",
            name: "new",
            host: "",
        };
        let encode = |hello: &Hello<'_>| {
            let mut bytes = Vec::new();
            Encoder::new().hello(&mut bytes, hello).expect("it fits");
            bytes
        };
        let newer = refusal(&first_answer(address, &encode(&hello)));
        assert_eq!(newer.0, Code::BadVersion);
        assert!(newer.1.contains("version 1"), "{}", newer.1);
        let elsewhere = Hello { version_min: 1, version_max: 1, shard: ShardId(9), ..hello };
        assert_eq!(refusal(&first_answer(address, &encode(&elsewhere))).0, Code::WrongShard);
        let http = b"GET / HTTP/1.1\r\nHost: jobbie\r\n\r\n";
        assert_eq!(refusal(&first_answer(address, http)).0, Code::BadFrame);
        let mut ping = Vec::new();
        Encoder::new().ping(&mut ping, 1);
        assert_eq!(refusal(&first_answer(address, &ping)).0, Code::BadHandshake);
        let mut huge = ping.clone();
        huge[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(refusal(&first_answer(address, &huge)).0, Code::FrameTooLarge);
        client.enqueue(&NewJob::new("q", b"")).await.expect("others go on");
    });
}
