//! One thread's loop: wait for sockets, take answers, make the next requests, write. Nothing is allocated per job.

use std::num::NonZeroU64;
use std::time::Duration;

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;

use super::conn::{Conn, What};
use super::pace::{Pace, Pause, Sending};
use super::shared::Shared;
use crate::ledger::Ledger;
use crate::wire::{Answer, Job, Received, Role, Wire};

/// Longest latency that is told apart, in nanoseconds.
const LATENCY_NS_MAX: u64 = 600_000_000_000;
/// How often the loop looks whether others are done.
const CHECK: Duration = Duration::from_millis(20);
/// A server that has not answered anything for this long is taken for stuck.
const STALL_MAX: Duration = Duration::from_secs(30);
/// Events taken at once.
const EVENTS_MAX: usize = 256;

/// One request, in nanoseconds since the run began and for so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was sent, or meant to be.
    pub since_ns: u64,
    /// How long its answer took.
    pub latency_ns: u64,
}

/// What one thread saw, or all together.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which jobs.
    pub ledger: Ledger,
    /// From when a request was sent, or meant to be, to its answer, in nanoseconds; of workers, from the fetch to the
    /// answered ack.
    pub latency_ns: Histogram<u64>,
    /// From when a job was meant to be sent, or was due, to a worker having it, in nanoseconds.
    pub start_ns: Histogram<u64>,
    /// When the last job came to a worker, in nanoseconds since the run began.
    pub received_ns: u64,
    /// How long before its time a job came at most, in nanoseconds.
    pub early_ns: u64,
    /// Operations refused.
    pub errors: u64,
    /// The first refusal's name.
    pub error: Option<&'static str>,
    /// Of each enqueue, when it was sent, or meant to be, and its latency, when the phase keeps samples.
    pub samples: Vec<Sample>,
    /// No answers came any more, and jobs were missing.
    pub is_stalled: bool,
}

impl Seen {
    pub(super) fn new() -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("the bounds are in order");
        Self {
            ledger: Ledger::default(),
            latency_ns: histogram(),
            start_ns: histogram(),
            received_ns: 0,
            early_ns: 0,
            errors: 0,
            error: None,
            samples: Vec::new(),
            is_stalled: false,
        }
    }

    /// Adds what another thread or phase saw.
    pub fn merge(&mut self, other: &Seen) {
        self.ledger.merge(&other.ledger);
        self.latency_ns.add(&other.latency_ns).expect("equal bounds");
        self.start_ns.add(&other.start_ns).expect("equal bounds");
        self.received_ns = self.received_ns.max(other.received_ns);
        self.early_ns = self.early_ns.max(other.early_ns);
        self.errors += other.errors;
        self.error = self.error.or(other.error);
        self.samples.extend_from_slice(&other.samples);
        self.is_stalled |= other.is_stalled;
    }
}

pub(super) struct EventLoop<'a, W> {
    shared: &'a Shared,
    epoll: OwnedFd,
    conns: Vec<Conn<W>>,
    seen: Seen,
    sending: Sending,
    /// Where the search for a free producer goes on.
    next_producer: usize,
    spare: Vec<Vec<Job>>,
}

impl<'a, W: Wire> EventLoop<'a, W> {
    pub(super) fn new(shared: &'a Shared) -> anyhow::Result<Self> {
        // An open loop's requests would go out up to 50 µs late otherwise.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).context("set timer slack")?;
        Ok(Self {
            shared,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).context("make epoll")?,
            conns: Vec::new(),
            seen: Seen::new(),
            sending: Sending::Answers,
            next_producer: 0,
            spare: Vec::new(),
        })
    }

    pub(super) fn add(
        &mut self,
        stream: std::net::TcpStream,
        wire: W,
        role: Role,
    ) -> anyhow::Result<()> {
        let conn = Conn::new(stream, wire, role)?;
        let data = epoll::EventData::new_u64(self.conns.len() as u64);
        epoll::add(&self.epoll, conn.stream(), data, epoll::EventFlags::IN)
            .context("watch socket")?;
        self.conns.push(conn);
        Ok(())
    }

    pub(super) fn into_seen(self) -> Seen {
        self.seen
    }

    /// Brings every connection to where requests may be made.
    pub(super) fn open(&mut self) -> anyhow::Result<()> {
        let begin_ns = self.shared.now_ns();
        for at in 0..self.conns.len() {
            self.flush(at)?;
        }
        while self.conns.iter().any(|c| !c.wire.is_open()) {
            let mut received = Received::default();
            for at in self.ready(CHECK)? {
                self.conns[at].receive(&mut received)?;
                self.flush(at)?;
            }
            let waited = self.shared.now_ns() - begin_ns;
            if waited > STALL_MAX.as_nanos() as u64 {
                bail!("the server does not finish the handshake");
            }
        }
        Ok(())
    }

    /// Works until the phase is over.
    pub(super) fn run(&mut self) -> anyhow::Result<()> {
        let mine = self.conns.iter().filter(|c| c.role == Role::Producer).count();
        let phase = &self.shared.phase;
        if let Some(pause) = phase.pause {
            self.sending = Sending::Waiting(Pause::new(pause));
        } else if let Some(rate) = phase.rate.filter(|_| mine > 0) {
            let share = mine as f64 / f64::from(phase.producers);
            let requests = rate as f64 / f64::from(phase.batch) * share;
            self.sending = Sending::Schedule(Pace::new(self.shared.now_ns(), requests));
        }
        for at in 0..self.conns.len() {
            for _ in 0..self.shared.phase.inflight {
                match self.conns[at].role {
                    Role::Worker => {
                        self.conns[at].fetch(self.shared.phase.batch, self.shared.now_ns())
                    }
                    Role::Producer => self.produce_on_answer(at),
                }
            }
            self.flush(at)?;
        }
        self.work()
    }

    fn work(&mut self) -> anyhow::Result<()> {
        let mut received = Received::default();
        while !self.shared.is_done() {
            let wait = self.send_what_is_due()?;
            for at in self.ready(wait)? {
                received.clear();
                self.conns[at].receive(&mut received)?;
                if !received.answers.is_empty() {
                    self.take(at, &received)?;
                }
                self.flush(at)?;
            }
            let idle_ns = self.shared.now_ns().saturating_sub(self.shared.last_ns());
            if idle_ns > STALL_MAX.as_nanos() as u64 && self.is_stuck() {
                self.seen.is_stalled = true;
                self.shared.abort();
            }
        }
        Ok(())
    }

    /// Whether this thread waits for something that ought to have come.
    fn is_stuck(&self) -> bool {
        let produces = self.conns.iter().any(|c| c.role == Role::Producer && !c.pending.is_empty());
        produces || self.shared.is_produced()
    }

    /// The connections with something to read or room to write.
    fn ready(&mut self, wait: Duration) -> anyhow::Result<Vec<usize>> {
        let timeout =
            Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        let mut events = Vec::with_capacity(EVENTS_MAX);
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout))
        {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).context("wait for sockets"),
        }
        let index = |event: &epoll::Event| {
            // The event is packed: its fields are copied, never borrowed.
            let data = event.data;
            data.u64() as usize
        };
        Ok(events.iter().map(index).collect())
    }

    fn flush(&mut self, at: usize) -> anyhow::Result<()> {
        let conn = &mut self.conns[at];
        let was_blocked = conn.is_blocked;
        conn.is_blocked = conn.flush()?;
        if was_blocked != conn.is_blocked {
            let mut flags = epoll::EventFlags::IN;
            flags.set(epoll::EventFlags::OUT, conn.is_blocked);
            let data = epoll::EventData::new_u64(at as u64);
            epoll::modify(&self.epoll, conn.stream(), data, flags).context("watch socket")?;
        }
        Ok(())
    }

    /// Unless answers make producers send, sends every request whose time has come and that finds a free connection;
    /// returns how long to wait for sockets.
    fn send_what_is_due(&mut self) -> anyhow::Result<Duration> {
        while let Some(due_ns) = self.due_ns() {
            let now_ns = self.shared.now_ns();
            if due_ns > now_ns {
                return Ok(Duration::from_nanos(due_ns - now_ns).min(CHECK));
            }
            let Some(at) = self.free_producer() else { break };
            let since_ns = match &mut self.sending {
                Sending::Schedule(pace) => {
                    pace.step();
                    due_ns
                }
                // Nobody was meant to wait less: waking up late is this program's doing.
                Sending::Waiting(_) | Sending::Answers => now_ns,
            };
            match self.shared.take(since_ns) {
                Some(jobs) => {
                    self.conns[at].enqueue(jobs, since_ns);
                    self.flush(at)?;
                }
                None => {
                    self.sending = Sending::Answers;
                    (0..self.conns.len()).for_each(|at| self.finish_producer(at));
                }
            }
        }
        Ok(CHECK)
    }

    fn due_ns(&mut self) -> Option<u64> {
        let everyone_waits = matches!(self.sending, Sending::Waiting(_)) && self.everyone_waits();
        match &mut self.sending {
            Sending::Answers => None,
            Sending::Schedule(pace) => Some(pace.due_ns()),
            Sending::Waiting(pause) => pause.due_ns(everyone_waits, self.shared.now_ns()),
        }
    }

    /// Whether every job is finished and every worker has asked for the next.
    fn everyone_waits(&self) -> bool {
        let waits = |conn: &Conn<W>| match conn.role {
            Role::Producer => conn.pending.is_empty(),
            Role::Worker => conn.pending.iter().all(|p| matches!(p.what, What::Fetch)),
        };
        self.shared.acked() == self.shared.enqueued() && self.conns.iter().all(waits)
    }

    fn free_producer(&mut self) -> Option<usize> {
        let (count, inflight) = (self.conns.len(), self.shared.phase.inflight as usize);
        let is_free = |c: &Conn<W>| c.role == Role::Producer && c.pending.len() < inflight;
        let found = (0..count)
            .map(|i| (self.next_producer + i) % count)
            .find(|at| is_free(&self.conns[*at]))?;
        self.next_producer = found + 1;
        Some(found)
    }

    fn take(&mut self, at: usize, received: &Received) -> anyhow::Result<()> {
        let now_ns = self.shared.now_ns();
        self.seen.ledger.mangled += received.mangled;
        let (mut jobs, mut refused) = (received.jobs.as_slice(), received.refused.as_slice());
        for answer in &received.answers {
            let (own_jobs, rest) = jobs.split_at(answer.jobs as usize);
            let (own_refused, others) = refused.split_at(answer.errors as usize);
            (jobs, refused) = (rest, others);
            self.answered(at, *answer, own_jobs, own_refused, now_ns)?;
        }
        Ok(())
    }

    fn answered(
        &mut self,
        at: usize,
        answer: Answer,
        jobs: &[Job],
        refused: &[u32],
        now_ns: u64,
    ) -> anyhow::Result<()> {
        let pending = self.conns[at].answered(answer.ticket)?;
        self.seen.errors += u64::from(answer.errors);
        self.seen.error = self.seen.error.or(answer.error);
        let latency_ns = now_ns - pending.since_ns;
        match pending.what {
            What::Enqueue(new) => {
                // Beside workers, latency is theirs.
                if self.shared.phase.workers == 0 {
                    self.seen.latency_ns.saturating_record(latency_ns);
                }
                if self.shared.phase.keeps_samples {
                    self.seen.samples.push(Sample { since_ns: pending.since_ns, latency_ns });
                }
                for nth in (0..new.count).filter(|nth| !refused.contains(nth)) {
                    self.seen.ledger.enqueued.insert(new.first + u64::from(nth));
                }
                self.shared.add_enqueued(answer.ok, now_ns);
                self.produce_on_answer(at);
            }
            What::Fetch => self.finish(at, jobs, pending.since_ns, now_ns),
            What::Ack(done) => {
                self.seen.latency_ns.saturating_record(latency_ns);
                for (nth, job) in done.iter().enumerate() {
                    if !refused.contains(&(nth as u32)) {
                        self.seen.ledger.ack(job.number);
                    }
                }
                self.shared.add_acked(answer.ok, now_ns);
                self.spare.push(done);
                self.finish(at, jobs, now_ns, now_ns);
            }
        }
        Ok(())
    }

    /// Acks what a worker was given, or has it ask again.
    fn finish(&mut self, at: usize, jobs: &[Job], since_ns: u64, now_ns: u64) {
        let phase = &self.shared.phase;
        if jobs.is_empty() {
            self.conns[at].fetch(phase.batch, now_ns);
            return;
        }
        for job in jobs {
            self.seen.start_ns.saturating_record(now_ns.saturating_sub(job.sent_ns));
            self.seen.early_ns = self.seen.early_ns.max(job.sent_ns.saturating_sub(now_ns));
        }
        self.seen.received_ns = now_ns;
        let mut own = self.spare.pop().unwrap_or_default();
        own.clear();
        own.extend_from_slice(jobs);
        self.conns[at].ack(own, if phase.combine { phase.batch } else { 0 }, since_ns);
    }

    /// In a closed loop, has a producer create the next jobs.
    fn produce_on_answer(&mut self, at: usize) {
        if !matches!(self.sending, Sending::Answers) {
            return;
        }
        let now_ns = self.shared.now_ns();
        match self.shared.take(now_ns) {
            Some(jobs) => self.conns[at].enqueue(jobs, now_ns),
            None => self.finish_producer(at),
        }
    }

    /// Counts a producer out once its last answer is there.
    fn finish_producer(&mut self, at: usize) {
        let conn = &mut self.conns[at];
        if conn.role == Role::Producer && !conn.is_done && conn.pending.is_empty() {
            conn.is_done = true;
            self.shared.producer_is_done();
        }
    }
}
