//! What Raft adds to the bare log: closed loops of proposals beside closed loops of appends.
//!
//! `cargo run --release -p jobbie-raft --example propose -- DIR [ENTRY_BYTES] [SECONDS]`

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use jobbie_io::UringDisk;
use jobbie_log::{
    Body, BodyBuilder, Create, Entry, EntryId, EntryKind, HEADER_BYTES, Identity, Log, LogConfig,
    Opened,
};
use jobbie_raft::{
    Bootstrap, Group, GroupConfig, Machine, Memberships, MonoioRuntime, NoPeers, Proposal,
    Recovered, SnapshotMeta,
};

/// Notes when what was proposed came back, and wakes the proposer.
struct Clock {
    started: RefCell<VecDeque<Instant>>,
    taken_us: RefCell<Vec<f64>>,
    in_flight: Cell<usize>,
    waiting: RefCell<Option<std::task::Waker>>,
}

impl Clock {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            started: RefCell::default(),
            taken_us: RefCell::default(),
            in_flight: Cell::new(0),
            waiting: RefCell::default(),
        })
    }

    fn start(&self) {
        self.started.borrow_mut().push_back(Instant::now());
        self.in_flight.set(self.in_flight.get() + 1);
    }

    fn finish(&self) {
        let Some(started) = self.started.borrow_mut().pop_front() else { return };
        self.taken_us.borrow_mut().push(started.elapsed().as_secs_f64() * 1e6);
        self.in_flight.set(self.in_flight.get() - 1);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    async fn below(&self, depth: usize) {
        std::future::poll_fn(|cx| {
            if self.in_flight.get() < depth {
                return std::task::Poll::Ready(());
            }
            self.waiting.replace(Some(cx.waker().clone()));
            std::task::Poll::Pending
        })
        .await;
    }

    fn report(&self, what: &str, depth: usize, elapsed: Duration, cpu_us: f64) {
        let mut taken = self.taken_us.borrow_mut();
        taken.sort_by(f64::total_cmp);
        let count = taken.len() as f64;
        let at = |share: f64| taken[((count - 1.0) * share) as usize];
        println!(
            "{what:<5} depth {depth}: {:>7.0}/s  p50 {:>6.1} us  p99 {:>7.1} us  cpu {:>5.1} us/op",
            count / elapsed.as_secs_f64(),
            at(0.5),
            at(0.99),
            cpu_us / count,
        );
        taken.clear();
    }
}

struct Echo(Rc<Clock>);

impl Machine for Echo {
    type Snapshot = ();

    fn committed(&self, entry: &Entry) {
        if entry.kind == EntryKind::Batch {
            self.0.finish();
        }
    }

    fn snapshot(
        self: &Rc<Self>,
        _: Memberships,
    ) -> impl Future<Output = io::Result<(SnapshotMeta, ())>> + 'static {
        std::future::ready(Err(io::Error::other("this machine takes no snapshots")))
    }

    async fn latest_snapshot(&self) -> io::Result<Option<(SnapshotMeta, ())>> {
        Ok(None)
    }

    async fn install(&self, _: &SnapshotMeta, (): ()) -> io::Result<()> {
        Err(io::Error::other("this machine takes no snapshots"))
    }
}

/// CPU time of this process so far, in microseconds.
fn cpu_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").expect("Linux");
    let nanos: f64 = stat.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    nanos / 1e3
}

fn body(bytes: usize) -> Body {
    let mut builder = BodyBuilder::with_capacity(bytes);
    builder.extend_zeroed(bytes);
    builder.finish()
}

async fn open(dir: &Path) -> Log<UringDisk> {
    std::fs::create_dir_all(dir).expect("make the directory");
    let disk = UringDisk::open(dir).expect("open the directory");
    let identity = Identity { cluster: 1, node: 1, shard: 0, store: 1 };
    let opened = Log::open(disk, LogConfig::default(), identity, Create::IfMissing).await;
    let Opened { log, driver, .. } = opened.expect("open the log");
    jobbie_io::runtime::spawn(driver);
    // Segments are prepared in the background; let that end.
    jobbie_io::runtime::sleep(Duration::from_secs(2)).await;
    log
}

async fn measure<F: Future<Output = ()>>(
    what: &str,
    clock: &Rc<Clock>,
    seconds: u64,
    mut send: impl FnMut() -> F,
) {
    for depth in [1, 2] {
        let (begun, cpu) = (Instant::now(), cpu_us());
        while begun.elapsed() < Duration::from_secs(seconds) {
            clock.below(depth).await;
            clock.start();
            send().await;
        }
        clock.below(1).await;
        clock.report(what, depth, begun.elapsed(), cpu_us() - cpu);
    }
}

async fn bare(dir: &Path, bytes: usize, seconds: u64) {
    let (log, clock) = (open(dir).await, Clock::new());
    measure("log", &clock, seconds, || {
        let (state, clock) = (log.state(), clock.clone());
        let entry = Entry {
            id: EntryId { term: 1, index: state.last.map_or(0, |last| last.index + 1) },
            kind: EntryKind::Batch,
            time_us: 0,
            first_event: state.next_event,
            event_count: 1,
            body: body(bytes),
        };
        log.append(vec![entry], move |done| {
            done.expect("the disk works");
            clock.finish();
        })
        .expect("the log takes it");
        std::future::ready(())
    })
    .await;
    log.close().await.expect("close the log");
}

async fn raft(dir: &Path, bytes: usize, seconds: u64) {
    let (log, clock) = (open(dir).await, Clock::new());
    let begun = Instant::now();
    let config = GroupConfig::new(1, Bootstrap::Single { address: String::new() });
    let machine = Rc::new(Echo(clock.clone()));
    let group = Group::<MonoioRuntime, Echo>::start(
        config,
        log.clone(),
        machine,
        Recovered::default(),
        NoPeers::new(),
    );
    let group = group.await.expect("start the group");
    let role = group.leadership().until(|role| role.ready_term().is_some()).await;
    let term = role.ready_term().expect("waited for");
    println!("from start to leader: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    let next_event = Cell::new(log.state().next_event);
    measure("raft", &clock, seconds, || {
        let first_event = next_event.replace(next_event.get() + 1);
        let proposal = Proposal { time_us: 0, first_event, event_count: 1, body: body(bytes) };
        let group = &group;
        async move { group.propose(term, proposal).await.expect("it leads") }
    })
    .await;
    println!("bodies copied by the log: {}", log.stats().copied_records);
    group.shutdown().await;
    log.close().await.expect("close the log");
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dir = args.first().expect("usage: propose DIR [ENTRY_BYTES] [SECONDS]").clone();
    let number =
        |at: usize, default: usize| args.get(at).map_or(default, |n| n.parse().expect("a number"));
    // One block with its header, unless told otherwise.
    let (bytes, seconds) = (number(1, 4096 - HEADER_BYTES), number(2, 5) as u64);
    let dir = Path::new(&dir);
    let run = async {
        bare(&dir.join("bare"), bytes, seconds).await;
        raft(&dir.join("raft"), bytes, seconds).await;
    };
    jobbie_io::runtime::block_on(run).expect("a ring");
}
