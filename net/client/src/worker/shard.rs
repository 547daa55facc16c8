//! A worker's part on one shard: one task that owns all its leases there.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use jobbie_proto::agent::AgentStatus;
use jobbie_proto::limits::{ERROR_BYTES_MAX, OPS_PER_REQUEST_MAX, RESULT_BYTES_MAX};
use jobbie_proto::request::{Ack, AgentAck, Fail, Heartbeat, JobRef};
use jobbie_proto::wire::Subscribe;
use jobbie_proto::{Code, LeaseToken, Request, ShardId};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::context::{JobContext, JobError, Said, Signals};
use super::held::{Held, Running};
use super::{Handled, Handler, LAST_WORDS, Report, Settings, Stop};
use crate::client::done;
use crate::link::{Link, Push};
use crate::{Answer, Config, Error, Job};

/// The only subscription of a worker's connection.
const SUBSCRIPTION: u32 = 1;
/// Requests with results that are in flight at a time; what finishes meanwhile shares the next.
const FLUSHES_MAX: usize = 2;
/// Bytes of results in one request.
const FLUSH_BYTES_SOFT: usize = 1 << 20;
/// An ack is worth waiting for: the server knows by its number whether it has it already.
const FLUSH_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Where a shard is and how to speak to it.
pub(super) struct Place {
    pub(super) shard: ShardId,
    pub(super) address: Option<String>,
    pub(super) config: Arc<Config>,
}

/// A job that is done with.
struct Finished {
    lease: JobRef,
    result: Handled,
    ends_chain: bool,
    said: Option<Said>,
}

/// A request under way and what comes of it.
enum Sent {
    Results { finished: Vec<Finished>, answer: Result<Answer, Error> },
    Beats { leases: Vec<JobRef>, answer: Result<Answer, Error> },
    Released { answer: Result<Answer, Error> },
}

type Sending = Pin<Box<dyn Future<Output = Sent> + Send>>;

struct Shard {
    link: Arc<Link>,
    queues: Vec<(String, Handler)>,
    settings: Settings,
    held: Held,
    finished: Vec<Finished>,
    sending: FuturesUnordered<Sending>,
    flushes: usize,
    hands: mpsc::UnboundedSender<(LeaseToken, Handled)>,
    report: Report,
    epoch: u64,
    stopping: bool,
    /// Until then, leases are extended one by one: after a reconnect, the session may hold leases
    /// whose delivery got lost, which extending the whole session would keep from everybody for ever.
    single_until: Instant,
}

/// Runs until `stop`, then drains.
pub(super) async fn run(
    place: Place,
    queues: Vec<(String, Handler)>,
    settings: Settings,
    mut stop: watch::Receiver<Stop>,
) -> Result<Report, Error> {
    let (push, mut pushes) = mpsc::unbounded_channel();
    let (hands, mut results) = mpsc::unbounded_channel();
    let link = Link::start(place.config, place.shard, place.address, Some(push));
    let mut shard = Shard {
        link: link.clone(),
        queues,
        settings,
        held: Held::default(),
        finished: Vec::new(),
        sending: FuturesUnordered::new(),
        flushes: 0,
        hands,
        report: Report::default(),
        epoch: 0,
        stopping: false,
        single_until: Instant::now(),
    };
    let ended = shard.serve(&mut pushes, &mut results, &mut stop).await;
    shard.last_words().await;
    link.stop();
    link.stopped(Duration::from_secs(2)).await;
    shard.report.lost = shard.held.lost;
    ended.map(|()| shard.report)
}

impl Shard {
    async fn serve(
        &mut self,
        pushes: &mut mpsc::UnboundedReceiver<Push>,
        results: &mut mpsc::UnboundedReceiver<(LeaseToken, Handled)>,
        stop: &mut watch::Receiver<Stop>,
    ) -> Result<(), Error> {
        let third = Duration::from_millis(u64::from(self.settings.lease_ms / 3).max(1));
        let mut beat_at = Instant::now() + third;
        let mut give_up_at = None;
        let mut batch = Vec::new();
        while !(self.stopping && self.held.running.is_empty()) {
            tokio::select! {
                biased;
                changed = stop.changed(), if give_up_at.is_none_or(|at| at > Instant::now()) => {
                    let now = changed.is_err() || *stop.borrow_and_update() == Stop::Now;
                    let grace = if now { 0 } else { self.settings.grace_ms };
                    give_up_at = Some(Instant::now() + Duration::from_millis(grace));
                    self.drain();
                }
                count = results.recv_many(&mut batch, OPS_PER_REQUEST_MAX) => {
                    debug_assert!(count > 0, "this task holds a sender");
                    self.finish(&mut batch);
                }
                push = pushes.recv() => match push {
                    Some(push) => self.pushed(push)?,
                    None => return Err(Error::Closed { outcome: crate::Outcome::Unknown }),
                },
                Some(sent) = self.sending.next(), if !self.sending.is_empty() => self.sent(sent),
                () = sleep_until(beat_at) => {
                    beat_at = Instant::now() + third;
                    self.beat();
                }
                () = until(give_up_at) => return Ok(()),
            }
        }
        Ok(())
    }

    fn pushed(&mut self, push: Push) -> Result<(), Error> {
        match push {
            Push::Opened { epoch } => self.opened(epoch)?,
            Push::Jobs(jobs) if self.stopping => {
                self.release(jobs.iter().map(Job::lease).collect());
            }
            Push::Jobs(jobs) => {
                self.held.waiting.extend(jobs);
                self.begin();
            }
            Push::Lost(leases) => {
                let free = leases.iter().map(|lost| self.held.lose(lost.job)).sum();
                self.credit(free);
            }
            Push::Over(error) => return Err(error),
        }
        Ok(())
    }

    fn opened(&mut self, epoch: u64) -> Result<(), Error> {
        let again = self.epoch != 0;
        self.epoch = epoch;
        if again {
            let lease = Duration::from_millis(self.settings.lease_ms.into());
            self.single_until = Instant::now() + lease;
            self.beat();
        }
        if self.stopping {
            return Ok(());
        }
        let subscribe = Subscribe {
            subscription: SUBSCRIPTION,
            queues: self.queues.iter().map(|(queue, _)| queue.as_str()).collect(),
            lease_ms: self.settings.lease_ms,
            worker: "",
        };
        let window = self.settings.concurrency + self.settings.prefetch;
        let credit = window.saturating_sub(self.held.count());
        self.link.subscribe(epoch, &subscribe, credit)
    }

    fn credit(&self, add: u32) {
        if add > 0 && !self.stopping {
            self.link.credit(self.epoch, SUBSCRIPTION, add);
        }
    }

    /// Begins waiting jobs while there are hands.
    fn begin(&mut self) {
        while self.held.running.len() < self.settings.concurrency as usize {
            let Some(job) = self.held.waiting.pop_front() else { return };
            let (lease, cancel) = (job.lease(), Arc::new(Signals::default()));
            let Some((_, handler)) = self.queues.iter().find(|(queue, _)| **queue == *job.queue)
            else {
                // Nobody asked for this queue: it is for another worker.
                self.release(vec![lease]);
                continue;
            };
            let context = JobContext { job, link: self.link.clone(), cancel: cancel.clone() };
            let (handler, hands) = (handler.clone(), self.hands.clone());
            let task = tokio::spawn(async move {
                let result =
                    AssertUnwindSafe(async { handler(context).await }).catch_unwind().await;
                let result = result.unwrap_or_else(|panic| Err(panicked(&*panic)));
                // The worker is gone: so is the lease.
                let _ = hands.send((lease.token, result));
            });
            let task = task.abort_handle();
            self.held.running.insert(lease.token, Running { lease, cancel, task });
        }
    }

    fn finish(&mut self, batch: &mut Vec<(LeaseToken, Handled)>) {
        let mut free = 0;
        for (token, result) in batch.drain(..) {
            let Some(running) = self.held.running.remove(&token) else { continue };
            free += 1;
            if !running.cancel.is_set() {
                let result = fitting(result);
                let (lease, ends_chain) = (running.lease, running.cancel.ends_chain());
                let said = running.cancel.said();
                self.finished.push(Finished { lease, result, ends_chain, said });
            }
        }
        self.flush();
        self.credit(free);
        self.begin();
    }

    /// Sends what is finished, in one request as far as it fits.
    fn flush(&mut self) {
        while self.flushes < FLUSHES_MAX && !self.finished.is_empty() {
            let mut bytes = 0;
            let fits = |finished: &Finished| {
                bytes += match &finished.result {
                    Ok(result) => result.len(),
                    Err(error) => error.message.len(),
                };
                let said = finished.said.as_ref();
                bytes += said.map_or(0, |said| said.checkpoint.len() + said.reason.len());
                bytes <= FLUSH_BYTES_SOFT
            };
            let count = self.finished.iter().take(OPS_PER_REQUEST_MAX).take_while({
                let mut fits = fits;
                move |f| fits(f)
            });
            let count = count.count().max(1);
            let finished: Vec<_> = self.finished.drain(..count).collect();
            let link = self.link.clone();
            self.flushes += 1;
            self.sending.push(Box::pin(async move {
                let answer = send_results(&link, &finished).await;
                Sent::Results { finished, answer }
            }));
        }
    }

    fn sent(&mut self, sent: Sent) {
        match sent {
            Sent::Results { finished, answer } => {
                self.flushes -= 1;
                self.count_results(&finished, answer);
                self.flush();
            }
            Sent::Beats { leases, answer } => match answer {
                Ok(answer) => {
                    // A job over its budget goes on unless the server says that the lease is lost.
                    let goes_on = |code: &Code| matches!(code, Code::Ok | Code::BudgetExceeded);
                    let over = leases.iter().zip(&answer.heartbeats).filter(|(_, c)| !goes_on(c));
                    let free = over.map(|(lease, _)| self.held.lose(*lease)).sum();
                    self.credit(free);
                }
                Err(error) => tracing::warn!(%error, "leases were not extended"),
            },
            Sent::Released { answer } => match answer {
                Ok(answer) => {
                    let done = answer.releases.iter().filter(|code| **code == Code::Ok);
                    self.report.released += done.count() as u64;
                }
                Err(error) => tracing::warn!(%error, "jobs were not given back: their leases end"),
            },
        }
    }

    fn count_results(&mut self, finished: &[Finished], answer: Result<Answer, Error>) {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let jobs = finished.len();
                tracing::error!(jobs, %error, "results were not taken: the jobs will run again");
                return;
            }
        };
        let (mut acks, mut fails) = (answer.acks.iter(), answer.fails.iter());
        for one in finished {
            let (code, counter) = match one.result {
                Ok(_) => (acks.next().copied(), &mut self.report.completed),
                Err(_) => (fails.next().map(|f| f.code), &mut self.report.failed),
            };
            if code == Some(Code::Ok) {
                *counter += 1;
            } else {
                self.held.lost += 1;
                let code = code.map_or("no answer", Code::name);
                tracing::warn!(job = %one.lease.job, code, "result came too late");
            }
        }
    }

    /// Keeps every lease alive with one operation.
    fn beat(&mut self) {
        let leases = self.held.leases();
        if leases.is_empty() {
            return;
        }
        let lease_ms = self.settings.lease_ms;
        let single = Instant::now() < self.single_until;
        let link = self.link.clone();
        self.sending.push(Box::pin(async move {
            let mut request = Request::default();
            if single {
                let beat = |job: &JobRef| Heartbeat {
                    job: *job,
                    extend_ms: lease_ms,
                    progress: b"",
                    checkpoint: b"",
                };
                request.heartbeats = leases.iter().take(OPS_PER_REQUEST_MAX).map(beat).collect();
            } else {
                request.extend_session_ms = lease_ms;
            }
            // Later than the lease it makes no difference any more.
            let until = Instant::now() + Duration::from_millis(lease_ms.into());
            let answer = done(&link, &mut request, until).await;
            Sent::Beats { leases, answer }
        }));
    }

    fn drain(&mut self) {
        if !self.stopping {
            self.stopping = true;
            self.link.unsubscribe(self.epoch, SUBSCRIPTION);
        }
        let waiting = self.held.waiting.drain(..).map(|job| job.lease()).collect();
        self.release(waiting);
    }

    fn release(&mut self, leases: Vec<JobRef>) {
        if leases.is_empty() {
            return;
        }
        let link = self.link.clone();
        self.sending.push(Box::pin(async move {
            let mut request = Request { releases: leases, ..Request::default() };
            let answer = done(&link, &mut request, Instant::now() + LAST_WORDS).await;
            Sent::Released { answer }
        }));
    }

    /// Gives back what is left and waits for the last answers.
    async fn last_words(&mut self) {
        let left = self.held.give_up();
        if !left.is_empty() {
            tracing::warn!(jobs = left.len(), "not finished in time: given back");
        }
        self.release(left);
        self.flush();
        let until = Instant::now() + LAST_WORDS;
        while let Ok(Some(sent)) = timeout_at(until, self.sending.next()).await {
            self.sent(sent);
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn send_results(link: &Link, finished: &[Finished]) -> Result<Answer, Error> {
    let mut request = Request::default();
    for one in finished {
        match &one.result {
            Ok(result) => {
                let of = request.acks.len() as u32;
                let goes_on =
                    one.said.as_ref().is_some_and(|said| said.status != AgentStatus::Done);
                if one.ends_chain && !goes_on {
                    request.ties.exits.push(of);
                }
                request.agent_acks.extend(one.said.as_ref().map(|said| AgentAck {
                    of,
                    status: said.status as u8,
                    checkpoint: &said.checkpoint,
                    reason: said.reason.as_bytes(),
                }));
                request.acks.push(Ack { job: one.lease, result });
            }
            Err(error) => request.fails.push(Fail {
                job: one.lease,
                error: error.message.as_bytes(),
                backtrace: b"",
                no_retry: !error.retry,
            }),
        }
    }
    done(link, &mut request, Instant::now() + FLUSH_PATIENCE).await
}

/// One result that is too long would spoil the whole request.
fn fitting(result: Handled) -> Handled {
    match result {
        Ok(result) if result.len() > RESULT_BYTES_MAX => {
            let bytes = result.len();
            let text = format!("result of {bytes} bytes, at most {RESULT_BYTES_MAX} are allowed");
            Err(JobError::permanent(text))
        }
        Err(mut error) if error.message.len() > ERROR_BYTES_MAX => {
            let end = error.message.floor_char_boundary(ERROR_BYTES_MAX);
            error.message.truncate(end);
            Err(error)
        }
        fits => fits,
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> JobError {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    JobError::retry(format!("handler panicked: {text}"))
}
