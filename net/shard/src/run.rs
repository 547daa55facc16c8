//! The shard's loop, and what follows when it may no longer lead.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use jobbie_io::Disk;
use jobbie_log::Space;
use jobbie_proto::event::{Blob, Event, ExtendedJob, Group, OverrunAt, Rule};
use jobbie_proto::plan::Effect;
use jobbie_proto::rules::OnExceed;
use jobbie_proto::wire::LostLease;
use jobbie_proto::{Code, JobSeq, Micros};
use jobbie_raft::{AsyncRuntime, Leadership};
use tracing::{error, info};

use crate::clock::{Clock, LogClock};
use crate::entry::EntryBuilder;
use crate::limits::TIMER_JOBS_PER_ENTRY;
use crate::outgoing::{Answer, Content, Outgoing, Sources};
use crate::shard::Inner;
use crate::waiters::Owed;

impl<R: AsyncRuntime, D: Disk, C: Clock> Inner<R, D, C> {
    /// Decides as long as this node leads, until the group stops.
    pub(crate) async fn run(self: Rc<Self>) {
        loop {
            let leadership = self.group().leadership().clone();
            let now = leadership
                .until(|now| now.ready_term().is_some() || matches!(now, Leadership::Stopped(_)))
                .await;
            match now {
                Leadership::Stopped(fatal) => return self.stop(&fatal.to_string()),
                _ => self.lead(now.ready_term().expect("waited for it")).await,
            }
            if self.stopped.borrow().is_some() {
                return;
            }
        }
    }

    async fn lead(self: &Rc<Self>, term: u64) {
        let (ours, logs) = (self.state.borrow().next_event().0, self.log.state().next_event);
        if ours != logs {
            return self.stop(&format!(
                "the state is at event {ours} and the log at {logs}: restart to read the log again"
            ));
        }
        self.begin(term);
        self.begin_relay();
        self.keep_leases(term).await;
        while self.leads(term) {
            if self.has_room() && self.has_work() && self.stopped.borrow().is_none() {
                self.turn(term).await;
            } else {
                self.rest().await;
            }
        }
        self.step_down("this node no longer leads the shard");
    }

    fn leads(&self, term: u64) -> bool {
        self.group().leadership().get().ready_term() == Some(term)
    }

    fn begin(&self, term: u64) {
        let state = self.state.borrow();
        let last = state.time().max(self.config.feed.floor());
        self.log_clock.set(LogClock::start(&self.clock, last));
        let now = self.now();
        let mut sessions = self.sessions.borrow_mut();
        state.session_ids().for_each(|session| sessions.leave(session, now));
        self.metrics.serving.set(1);
        info!(shard = %self.config.shard, term, "leading");
    }

    /// Gives every lease the time again that it had left at the end of the log. How long nobody led is
    /// known from the wall clock alone, which may have been stepped meanwhile: without this, a step forward and
    /// a restart would end leases early.
    async fn keep_leases(self: &Rc<Self>, term: u64) {
        let (pause, leases) = {
            let state = self.state.borrow();
            let pause = self.now().0 - state.time().0;
            (pause, state.leases().collect::<Vec<_>>())
        };
        for leases in leases.chunks(TIMER_JOBS_PER_ENTRY) {
            while !self.has_room() {
                if !self.leads(term) {
                    return;
                }
                self.woken().await;
            }
            let extended = |&(job, deadline): &(JobSeq, Micros)| ExtendedJob {
                job,
                deadline: Micros(deadline.0.saturating_add(pause)),
                progress: Blob::default(),
                checkpoint: Blob::default(),
            };
            let events = vec![Event::Extended { jobs: leases.iter().map(extended).collect() }];
            let first_event = self.state.borrow().next_event();
            let mut entry = EntryBuilder::new(self.now(), first_event, 0, self.entry_bytes_soft());
            self.absorb(&mut entry, Group { events, ..Group::default() });
            self.propose(term, entry).await;
        }
    }

    /// Waits until there may be something to do. Nothing polls: an idle shard sleeps until its next
    /// timer, and without one until something arrives.
    async fn rest(&self) {
        // While nothing is decided, a deadline that has passed must not keep the shard awake.
        let decides = self.has_room() && self.stopped.borrow().is_none();
        let deadline = if decides { self.next_deadline() } else { None };
        let Some(deadline) = deadline else { return self.woken().await };
        let wait = Duration::from_micros(self.log_clock.get().until(&self.clock, deadline));
        either(self.woken(), R::sleep(wait)).await;
    }

    /// Waits until something arrives, or schedules need not wait for room any more.
    async fn woken(&self) {
        if self.log.space() == Space::Low {
            self.trim_log(0);
            either(self.rung(), self.log.space_changed(Space::Low)).await;
        } else {
            self.rung().await;
        }
    }

    async fn rung(&self) {
        let leadership = self.group().leadership();
        let serving = leadership.get();
        either(self.bell.wait(), leadership.until(|now| *now != serving)).await;
    }

    /// When time alone makes something happen next.
    pub(crate) fn next_deadline(&self) -> Option<Micros> {
        let timer = self.state.borrow().next_timer(&self.settings());
        let waiter = self.waiters.borrow().next_deadline();
        let session = self.sessions.borrow().next_deadline();
        let mail = self.mailbox.next_deadline();
        [timer, waiter, session, mail].into_iter().flatten().min()
    }

    /// What was decided and not committed may or may not survive: nobody is told that it did. The
    /// clients find out by repeating their requests where the shard is led next.
    pub(crate) fn step_down(&self, reason: &str) {
        self.metrics.serving.set(0);
        self.pending.borrow_mut().clear();
        self.refuse_all(Code::NotLeader, reason);
    }

    /// Takes no more requests.
    pub(crate) fn close_intake(&self) {
        self.stopped.borrow_mut().get_or_insert_with(|| "the server is stopping".to_owned());
    }

    /// Answers waiting fetches with nothing, and every client with why its connection ends.
    pub(crate) fn part(&self, reason: &str) {
        while let Some(waiter) = self.waiters.borrow_mut().pop_overdue(Micros(u64::MAX)) {
            if let Owed::Reply { number, .. } = waiter.owed {
                let content = Content::Reply(Answer { number, ..Answer::default() });
                let outgoing = Outgoing { connection: waiter.connection, content };
                if !self.is_overtaken(&outgoing) {
                    self.encode(&outgoing, &Sources::default());
                }
            }
        }
        self.refuse_all(Code::ShuttingDown, reason);
    }

    fn refuse_all(&self, code: Code, reason: &str) {
        for connection in self.connections.take().into_values() {
            self.refuse(&connection, code, reason);
        }
    }

    fn stop(&self, reason: &str) {
        error!(shard = %self.config.shard, reason, "the shard has stopped");
        *self.stopped.borrow_mut() = Some(reason.to_owned());
        self.metrics.serving.set(0);
        self.pending.borrow_mut().clear();
        self.refuse_all(Code::Unavailable, reason);
        self.settled.ring();
        self.relay.bell.ring();
    }

    /// Tells the clients whose leases these events end from outside.
    pub(crate) fn tell_losers(&self, entry: &mut EntryBuilder, events: &[Event]) {
        for event in events {
            let (jobs, code) = match event {
                Event::Cancelled { jobs } => (&jobs[..], Code::NotActive),
                Event::Held { job, .. } => (std::slice::from_ref(job), Code::NotActive),
                Event::LeaseExpired { jobs } => (&jobs[..], Code::StaleLease),
                Event::Deleted { jobs } => (&jobs[..], Code::NotFound),
                Event::Quarantined { jobs } => {
                    let jobs = jobs.iter().map(|lost| lost.job);
                    jobs.for_each(|job| self.tell_loser(entry, job, Code::NotActive));
                    continue;
                }
                Event::Ruled(rule) => match &**rule {
                    // Whoever acked has an answer.
                    Rule::Overrun { job, at: OverrunAt::Heartbeat, on_exceed, .. }
                        if *on_exceed > OnExceed::AlertOnly =>
                    {
                        (std::slice::from_ref(job), Code::NotActive)
                    }
                    _ => continue,
                },
                _ => continue,
            };
            jobs.iter().for_each(|job| self.tell_loser(entry, *job, code));
        }
    }

    fn tell_loser(&self, entry: &mut EntryBuilder, job: JobSeq, code: Code) {
        let Some((session, job)) = self.state.borrow().lease_of(job) else { return };
        let sessions = self.sessions.borrow();
        let Some(connection) = sessions.connection(session) else { return };
        let lost = LostLease { job, code };
        if let Some(Outgoing { connection: last, content: Content::Lost(leases) }) =
            entry.outgoing.last_mut()
            && Rc::ptr_eq(last, connection)
        {
            return leases.push(lost);
        }
        let content = Content::Lost(vec![lost]);
        entry.outgoing.push(Outgoing { connection: Rc::clone(connection), content });
    }

    pub(crate) fn count_events(&self, events: &[Event]) {
        for event in events {
            let counter = match event {
                Event::Enqueued { .. }
                | Event::Limited(_)
                | Event::ScheduleFired { duplicate: false, .. } => &self.metrics.enqueued_total,
                Event::Leased { .. } => &self.metrics.leased_total,
                Event::Completed { .. } => &self.metrics.completed_total,
                Event::Appended(appended) if appended.effect == Effect::Completed => {
                    &self.metrics.completed_total
                }
                Event::Failed { .. } => &self.metrics.failed_total,
                _ => continue,
            };
            counter.add(event.count());
        }
    }

    pub(crate) fn count_state(&self) {
        let stats = self.state.borrow().stats();
        let log = self.log.state();
        let metrics = &self.metrics;
        metrics.sessions.set(stats.sessions);
        metrics.leases.set(stats.leases);
        metrics.jobs.set(stats.jobs);
        metrics.mail.set(self.state.borrow().mail_len() as u64);
        metrics.budgets_spent.set(self.state.borrow().budgets_spent() as u64);
        metrics.intake_frames.set(self.intake.depth() as u64);
        metrics.waiters.set(self.waiters.borrow().len() as u64);
        metrics.connections.set(self.connections.borrow().len() as u64);
        metrics.last_index.set(log.last.map_or(0, |id| id.index));
        metrics.flushed_index.set(log.flushed.map_or(0, |id| id.index));
    }
}

pub(crate) async fn either(a: impl Future, b: impl Future) {
    match select(pin!(a), pin!(b)).await {
        Either::Left(_) | Either::Right(_) => {}
    }
}
