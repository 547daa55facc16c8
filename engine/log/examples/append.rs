//! How fast the log appends to a real disk, beside raw writes to the same disk.
//!
//! `cargo run --release -p jobbie-log --example append -- DIR [SECONDS]`; DIR must allow O_DIRECT.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use jobbie_io::{AlignedBuf, Disk, DiskFile, OpenMode, UringDisk};
use jobbie_log::{
    BodyBuilder, Create, Durability, Entry, EntryId, EntryKind, HEADER_BYTES, Identity, Log,
    LogConfig, Opened,
};

const IDENTITY: Identity = Identity { cluster: 1, node: 1, shard: 0, store: 1 };

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().expect("a directory"));
    let seconds = args.next().map_or(2.0, |text| text.parse().expect("seconds"));
    let run = Duration::from_secs_f64(seconds);
    let result = jobbie_io::runtime::block_on(async move {
        for bytes in [4096, 65536, 1 << 20] {
            for depth in [1, 2] {
                raw(&dir, bytes, depth, run).await;
                log(&dir, bytes, depth, run).await;
            }
        }
    });
    result.expect("a ring");
}

struct Meter {
    latency_us: Histogram<u64>,
    begun: Instant,
    bytes: usize,
}

impl Meter {
    fn new(bytes: usize) -> Self {
        Self { latency_us: Histogram::new(3).expect("a histogram"), begun: Instant::now(), bytes }
    }

    fn report(&self, what: &str, depth: usize) {
        let per_s = self.latency_us.len() as f64 / self.begun.elapsed().as_secs_f64();
        println!(
            "{what:>4} {:>8} bytes, depth {depth}: {per_s:>8.0}/s, {:>6.0} MiB/s, p50 {:>5} us, p99 {:>6} us, max {:>6} us",
            self.bytes,
            per_s * self.bytes as f64 / 1048576.0,
            self.latency_us.value_at_quantile(0.5),
            self.latency_us.value_at_quantile(0.99),
            self.latency_us.max(),
        );
    }
}

fn fresh(dir: &Path) -> UringDisk {
    let dir = dir.join("append-bench");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("create the directory");
    UringDisk::open(dir).expect("open the directory")
}

async fn raw(dir: &Path, bytes: usize, depth: usize, run: Duration) {
    let disk = fresh(dir);
    let file = disk.open("raw", OpenMode::Create).await.expect("create");
    let piece = Rc::new(AlignedBuf::zeroed(1 << 20));
    for offset in 0..64_u64 {
        file.write_at(Rc::clone(&piece), 0..1 << 20, offset << 20).await.expect("zero");
    }
    file.sync_all().await.expect("sync");
    let file = disk.open("raw", OpenMode::Durable).await.expect("open");
    let meter = Rc::new(std::cell::RefCell::new(Meter::new(bytes)));
    let next = Rc::new(Cell::new(0_u64));
    let mut lanes = Vec::new();
    for _ in 0..depth {
        let (file, meter, next) = (file.clone(), Rc::clone(&meter), Rc::clone(&next));
        let buf = Rc::new(AlignedBuf::zeroed(bytes));
        lanes.push(monoio::spawn(async move {
            let begun = Instant::now();
            while begun.elapsed() < run {
                let offset = next.get() % (64 << 20);
                next.set(offset + bytes as u64);
                let sent = Instant::now();
                file.write_at(Rc::clone(&buf), 0..bytes, offset).await.expect("write");
                meter
                    .borrow_mut()
                    .latency_us
                    .record(sent.elapsed().as_micros() as u64)
                    .expect("in range");
            }
        }));
    }
    for lane in lanes {
        lane.await;
    }
    meter.borrow().report("raw", depth);
}

async fn log(dir: &Path, bytes: usize, depth: usize, run: Duration) {
    let disk = fresh(dir);
    let config = LogConfig { durability: Durability::Fsync, ..LogConfig::default() };
    let Opened { log, driver, .. } =
        Log::open(disk, config, IDENTITY, Create::IfMissing).await.expect("open the log");
    monoio::spawn(driver);
    while log.stats().segments_ready < config.spare_segments {
        monoio::time::sleep(Duration::from_millis(10)).await;
    }
    let meter = Rc::new(std::cell::RefCell::new(Meter::new(bytes)));
    let begun = Instant::now();
    let open = Rc::new(Cell::new(0_usize));
    let waker = Rc::new(std::cell::RefCell::new(None::<std::task::Waker>));
    while begun.elapsed() < run {
        std::future::poll_fn(|cx| {
            if open.get() < depth {
                return std::task::Poll::Ready(());
            }
            *waker.borrow_mut() = Some(cx.waker().clone());
            std::task::Poll::Pending
        })
        .await;
        let state = log.state();
        let id = EntryId { term: 1, index: state.last.map_or(0, |last| last.index + 1) };
        let mut body = BodyBuilder::with_capacity(bytes - HEADER_BYTES);
        body.extend_zeroed(bytes - HEADER_BYTES);
        let entry = Entry {
            id,
            kind: EntryKind::Batch,
            time_us: 0,
            first_event: state.next_event,
            event_count: 1,
            body: body.finish(),
        };
        open.set(open.get() + 1);
        let (meter, open, sent) = (Rc::clone(&meter), Rc::clone(&open), Instant::now());
        let waker = Rc::clone(&waker);
        let done = move |result: Result<(), _>| {
            result.expect("alive");
            open.set(open.get() - 1);
            if let Some(waker) = waker.borrow_mut().take() {
                waker.wake();
            }
            meter
                .borrow_mut()
                .latency_us
                .record(sent.elapsed().as_micros() as u64)
                .expect("in range");
        };
        log.append(vec![entry], done).expect("taken");
    }
    meter.borrow().report("log", depth);
    println!("     {:?}", log.stats());
    log.close().await.expect("alive");
}
