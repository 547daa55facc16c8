//! What the threads of a phase share: counters only, touched once a request.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::due::Due;
use crate::wire::NewJobs;

/// Some connections doing one thing until it is done.
#[derive(Clone, Debug)]
pub struct Phase {
    /// Connections that create jobs.
    pub producers: u32,
    /// Connections that finish jobs.
    pub workers: u32,
    /// Jobs a request.
    pub batch: u32,
    /// Requests a connection has open at once.
    pub inflight: u32,
    /// Size of a job, in bytes.
    pub payload_bytes: usize,
    /// Jobs a second in an open loop.
    pub rate: Option<u64>,
    /// One job is under way at a time; the next is sent this long after every worker waits again.
    pub pause: Option<Duration>,
    /// Each enqueue's time and latency is kept.
    pub keeps_samples: bool,
    /// Threads.
    pub threads: u32,
    /// Workers ack and fetch in one request.
    pub combine: bool,
    /// Number of the first job to create.
    pub first_number: u64,
    /// Jobs to create.
    pub jobs_max: u64,
    /// When the jobs to create are due, where they wait for their time.
    pub due: Option<Due>,
    /// Producers stop after this long.
    pub time_max: Option<Duration>,
    /// Jobs waiting at the start, to be finished with those that are created.
    pub waiting: u64,
}

/// A phase and how far it is.
#[derive(Debug)]
pub struct Shared {
    /// The phase.
    pub phase: Phase,
    epoch: Instant,
    begun: OnceLock<Instant>,
    next: AtomicU64,
    producing: AtomicU64,
    enqueued: AtomicU64,
    acked: AtomicU64,
    last_ns: AtomicU64,
    aborted: AtomicBool,
}

impl Shared {
    /// `epoch` is when the run began: the zero of the times in payloads.
    #[must_use]
    pub fn new(phase: Phase, epoch: Instant) -> Self {
        Self {
            next: AtomicU64::new(0),
            producing: AtomicU64::new(u64::from(phase.producers)),
            enqueued: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            last_ns: AtomicU64::new(0),
            aborted: AtomicBool::new(false),
            begun: OnceLock::new(),
            epoch,
            phase,
        }
    }

    /// Nanoseconds since the run began.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    /// When the phase began, in nanoseconds since the run began.
    #[must_use]
    pub fn begun_ns(&self) -> u64 {
        self.begun.get().map_or(0, |begun| begun.duration_since(self.epoch).as_nanos() as u64)
    }

    pub(super) fn begin(&self) {
        self.begun.get_or_init(Instant::now);
        self.last_ns.fetch_max(self.begun_ns(), Ordering::Relaxed);
    }

    /// When the last job was created or finished, in nanoseconds since the run began.
    #[must_use]
    pub fn last_ns(&self) -> u64 {
        self.last_ns.load(Ordering::Relaxed)
    }

    /// The next jobs to create, or nothing when all are.
    pub(super) fn take(&self, sent_ns: u64) -> Option<NewJobs> {
        let is_late = self
            .phase
            .time_max
            .is_some_and(|max| self.begun.get().is_some_and(|begun| begun.elapsed() >= max));
        if is_late || self.is_aborted() {
            return None;
        }
        let batch = u64::from(self.phase.batch);
        let at = self.next.fetch_add(batch, Ordering::Relaxed);
        let count = self.phase.jobs_max.saturating_sub(at).min(batch);
        let first = self.phase.first_number + at;
        let due = self.phase.due;
        (count > 0).then_some(NewJobs { first, count: count as u32, sent_ns, due })
    }

    pub(super) fn producer_is_done(&self) {
        self.producing.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn add_enqueued(&self, count: u32, now_ns: u64) {
        self.last_ns.fetch_max(now_ns, Ordering::Relaxed);
        self.enqueued.fetch_add(u64::from(count), Ordering::Relaxed);
    }

    pub(super) fn add_acked(&self, count: u32, now_ns: u64) {
        self.last_ns.fetch_max(now_ns, Ordering::Relaxed);
        self.acked.fetch_add(u64::from(count), Ordering::Relaxed);
    }

    /// Whether nobody creates jobs any more.
    pub(super) fn is_produced(&self) -> bool {
        self.producing.load(Ordering::Acquire) == 0
    }

    /// Whether there is nothing left to do.
    pub(super) fn is_done(&self) -> bool {
        let is_drained =
            || self.phase.workers == 0 || self.acked() >= self.enqueued() + self.phase.waiting;
        self.is_aborted() || (self.is_produced() && is_drained())
    }

    /// Jobs created so far.
    #[must_use]
    pub fn enqueued(&self) -> u64 {
        self.enqueued.load(Ordering::Relaxed)
    }

    /// Jobs finished so far.
    #[must_use]
    pub fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    /// Ends the phase for every thread.
    pub fn abort(&self) {
        self.aborted.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::Relaxed)
    }
}
