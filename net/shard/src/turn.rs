//! One turn: everything that has arrived is decided on top of the state, and becomes one entry.

use std::rc::Rc;

use jobbie_core::{
    Decision, Settings, decide, decide_close_session, decide_operations, decide_timers,
};
use jobbie_io::Disk;
use jobbie_log::{Body, Space};
use jobbie_proto::event::{ArchivedJob, Event, Group, Rule, Tie};
use jobbie_proto::letter::Letter;
use jobbie_proto::limits::ENTRY_BYTES_SOFT;
use jobbie_proto::{Reply, Request, ShardId};
use jobbie_raft::{AsyncRuntime, Proposal};

use crate::clock::Clock;
use crate::entry::{EntryBuilder, Pending};
use crate::limits::{BESIDE_REQUESTS, ENTRIES_IN_FLIGHT_MAX, TIMER_JOBS_PER_ENTRY};
use crate::outgoing::{Answer, Content, Outgoing};
use crate::shard::Inner;
use crate::snapshots::Captured;
use crate::waiters::{Owed, Waiter, WaiterId};

impl<R: AsyncRuntime, D: Disk, C: Clock> Inner<R, D, C> {
    /// Whether there is something to decide now. While an entry is under way, as many requests as it has
    /// must have arrived: fewer wait for its commit, or for more of them. Their own entry would cost as much as
    /// several requests do, and its answers could not leave before those of the one under way.
    pub(crate) fn has_work(&self) -> bool {
        let arrived = self.intake.depth();
        let enough = self.pending.borrow().back().map_or(1, |last| last.groups.len());
        (arrived > 0 && arrived >= enough)
            || self.snapshots.is_wanted()
            || self.mailbox.has_work()
            || self.state.borrow().has_consequences()
            || self.waiters.borrow().is_stirred()
            || self.next_deadline().is_some_and(|deadline| deadline <= self.now())
    }

    /// Whether another entry may be decided. While it may not, what arrives gathers: that is how
    /// one write comes to carry many requests, without a timer.
    pub(crate) fn has_room(&self) -> bool {
        self.pending.borrow().len() < ENTRIES_IN_FLIGHT_MAX
    }

    /// Decides everything that has arrived, as far as it fits one entry, and proposes it.
    pub(crate) async fn turn(self: &Rc<Self>, term: u64) {
        let (now, first_event) = (self.now(), self.state.borrow().next_event());
        let bytes_soft = self.entry_bytes_soft();
        let bytes_expected = self.intake.next_bytes().min(bytes_soft);
        let mut entry = EntryBuilder::new(now, first_event, bytes_expected, bytes_soft);
        self.fire_timers(&mut entry);
        self.advance_operation(&mut entry);
        self.close_idle_sessions(&mut entry);
        self.take_letters(&mut entry);
        self.take_frames(&mut entry);
        self.follow(&mut entry);
        self.note_delivered(&mut entry);
        self.serve_waiters(&mut entry);
        self.end_overdue_waits(&mut entry);
        self.count_state();
        if entry.has_events() {
            self.propose(term, entry).await;
        } else {
            self.answer_without_entry(entry.outgoing, entry.letters);
            self.capture_without_entry();
        }
    }

    /// An entry goes into one segment whatever the last request adds to it.
    pub(crate) fn entry_bytes_soft(&self) -> usize {
        ENTRY_BYTES_SOFT.min(self.log.body_bytes_max() / 4)
    }

    /// What an entry may take of a letter, beside all else.
    pub(crate) fn letter_bytes_max(&self) -> usize {
        self.log.body_bytes_max() / 2
    }

    /// Makes a decision true for everything that is decided after it.
    pub(crate) fn absorb(&self, entry: &mut EntryBuilder, group: Group) -> Option<Rc<Reply>> {
        self.tell_losers(entry, &group.events);
        let reply = self.state.borrow_mut().absorb(entry.time, &group);
        crate::tell!(|observer| {
            observer.absorbed(self.config.shard, entry.time, &group, &self.state.borrow());
        });
        self.stir_waiters(&group.events);
        let opened = self.state.borrow_mut().drain_opened();
        opened.iter().for_each(|queue| self.waiters.borrow_mut().stir(queue));
        self.count_events(&group.events);
        entry.push(group);
        reply
    }

    fn fire_timers(&self, entry: &mut EntryBuilder) {
        let settings = &self.settings();
        let due = self.state.borrow().next_timer(settings).is_some_and(|timer| timer <= entry.time);
        if due {
            let (state, limit) = (self.state.borrow(), TIMER_JOBS_PER_ENTRY);
            let events = decide_timers(&state, settings, entry.time, limit, entry.blob());
            drop(state);
            if !events.is_empty() {
                self.absorb(entry, Group { events, ..Group::default() });
            }
        }
    }

    /// Those of the server. On a full disk schedules wait.
    pub(crate) fn settings(&self) -> Settings {
        Settings { schedules_wait: self.log.space() == Space::Low, ..self.config.settings }
    }

    /// One step of an operation, a smaller one while requests wait.
    fn advance_operation(&self, entry: &mut EntryBuilder) {
        let most = self.config.operation_jobs_per_entry;
        let limit = if self.intake.depth() == 0 { most } else { most.div_ceil(BESIDE_REQUESTS) };
        let events = decide_operations(&self.state.borrow(), entry.time, limit, entry.blob());
        if !events.is_empty() {
            self.absorb(entry, Group { events, ..Group::default() });
        }
    }

    fn close_idle_sessions(&self, entry: &mut EntryBuilder) {
        while let Some(session) = self.sessions.borrow_mut().pop_overdue(entry.time) {
            let group = decide_close_session(&self.state.borrow(), session);
            if let Some(group) = group {
                self.absorb(entry, group);
            }
        }
    }

    fn take_frames(self: &Rc<Self>, entry: &mut EntryBuilder) {
        while !entry.is_full()
            && let Some(mut turn) = self.intake.next_turn()
        {
            while !entry.is_full()
                && let Some(frame) = self.intake.next_frame(&mut turn)
            {
                self.take_frame(entry, &turn.connection, &frame);
            }
            self.intake.end_turn(turn);
        }
    }

    /// Gives jobs that became claimable to those who wait for them, in the same entry.
    fn serve_waiters(&self, entry: &mut EntryBuilder) {
        while !entry.is_full() {
            let Some(queue) = self.waiters.borrow_mut().next_stirred() else { return };
            loop {
                if !self.state.borrow().is_fetchable(&queue, entry.time) {
                    break;
                }
                let ready =
                    |waiter: &Waiter| waiter.want > 0 && !waiter.connection.outbox.is_full();
                let first = self.waiters.borrow().first(&queue, ready);
                let Some(id) = first else { break };
                if !self.serve(entry, id) {
                    break;
                }
            }
        }
    }

    /// Serves one waiter; whether it got anything.
    fn serve(&self, entry: &mut EntryBuilder, id: WaiterId) -> bool {
        let mut waiters = self.waiters.borrow_mut();
        let waiter = waiters.get_mut(id).expect("it stands in a line");
        let (number, confirmed_below) = match waiter.owed {
            Owed::Reply { number, confirmed_below, .. } => (number, confirmed_below),
            Owed::Delivery { .. } => (0, 0),
        };
        let session = waiter.connection.session.get();
        let fetch = Some(waiter.fetch());
        let request = Request { session, number, confirmed_below, fetch, ..Request::default() };
        let decision = match waiter.owed {
            Owed::Reply { .. } => decide(&self.state.borrow(), entry.time, &request, entry.blob()),
            Owed::Delivery { .. } => self.decide_delivery(entry, &request),
        };
        drop(waiters);
        let reply = match decision {
            Decision::Events(group) => self.absorb(entry, group).expect("a session asked"),
            Decision::Repeat(reply) => reply,
            Decision::Refuse { code, .. } => Rc::new(Reply { code, ..Reply::default() }),
            Decision::Nothing | Decision::Wait => return false,
        };
        self.hand_over(entry, id, reply);
        true
    }

    fn decide_delivery(&self, entry: &mut EntryBuilder, request: &Request<'_>) -> Decision {
        let (state, fetch) = (self.state.borrow(), request.fetch.as_ref().expect("just set"));
        let time = entry.time;
        let events = jobbie_core::decide_fetch(&state, time, request.session, fetch, entry.blob());
        if events.is_empty() {
            return Decision::Nothing;
        }
        Decision::Events(Group { session: request.session, events, ..Group::default() })
    }

    fn hand_over(&self, entry: &mut EntryBuilder, id: WaiterId, reply: Rc<Reply>) {
        let mut waiters = self.waiters.borrow_mut();
        let waiter = waiters.get_mut(id).expect("it stands in a line");
        let connection = Rc::clone(&waiter.connection);
        let content = match waiter.owed {
            Owed::Reply { number, .. } => {
                waiters.remove(id);
                Content::Reply(Answer { number, reply, ..Answer::default() })
            }
            Owed::Delivery { subscription } => {
                if !crate::mutant!(CreditUncounted) {
                    waiter.want -= u32::try_from(reply.leases.len()).expect("no more than wanted");
                }
                waiters.send_back(id);
                Content::Delivery { subscription, reply }
            }
        };
        entry.outgoing.push(Outgoing { connection, content });
    }

    /// Answers fetches that have waited long enough: with nothing, unless the same request came again over another
    /// connection and was done there.
    fn end_overdue_waits(&self, entry: &mut EntryBuilder) {
        loop {
            let Some(waiter) = self.waiters.borrow_mut().pop_overdue(entry.time) else { return };
            let Owed::Reply { number, confirmed_below, .. } = waiter.owed else {
                unreachable!("only fetches have a deadline");
            };
            let session = waiter.connection.session.get();
            let request = Request { session, number, confirmed_below, ..Request::default() };
            let reply = match decide(&self.state.borrow(), entry.time, &request, entry.blob()) {
                Decision::Repeat(reply) => reply,
                _ => Rc::default(),
            };
            let content = Content::Reply(Answer { number, reply, ..Answer::default() });
            entry.outgoing.push(Outgoing { connection: waiter.connection, content });
        }
    }

    fn stir_waiters(&self, events: &[Event]) {
        let mut waiters = self.waiters.borrow_mut();
        if waiters.is_empty() {
            return;
        }
        for event in events {
            match event {
                Event::Enqueued { class, .. } => waiters.stir(&class.queue),
                Event::Limited(limited) => waiters.stir(&limited.class.queue),
                Event::QueueResumed { queue } => waiters.stir(queue),
                Event::Moved { queue, .. } => waiters.stir(queue),
                Event::Archived(archived) => {
                    if let ArchivedJob::Revived(revived) = &**archived {
                        waiters.stir(&revived.class.queue);
                    }
                }
                Event::Tied(tie) if matches!(**tie, Tie::Settled { .. }) => waiters.stir_all(),
                Event::ScheduleFired { queue, .. } => waiters.stir(queue),
                Event::Ruled(rule) if opens(rule) => waiters.stir_all(),
                Event::Released { .. }
                | Event::LeaseExpired { .. }
                | Event::Promoted { .. }
                | Event::Retried { .. }
                | Event::Requeued { .. }
                | Event::Approved { .. } => waiters.stir_all(),
                _ => {}
            }
        }
    }

    pub(crate) async fn propose(self: &Rc<Self>, term: u64, entry: EntryBuilder) {
        let time_us = entry.time.0;
        let (body, mut pending) = entry.finish();
        if crate::mutant!(ReplyBeforeCommit) {
            std::mem::take(&mut pending.outgoing).into_iter().for_each(|early| self.send(early));
        }
        pending.proposed_at = self.clock.elapsed();
        pending.state_hash = self.state.borrow().digest();
        pending.snapshot = self.snapshots.take_wish().then(|| self.snapshot_state());
        let proposal = proposal(time_us, body, &pending);
        self.pending.borrow_mut().push_back(pending);
        if let Err(error) = self.group().propose(term, proposal).await {
            self.step_down(&error.to_string());
        }
    }

    /// Answers that need no entry of their own still wait for the entries whose effects they show.
    fn answer_without_entry(
        self: &Rc<Self>,
        outgoing: Vec<Outgoing>,
        letters: Vec<(ShardId, Letter)>,
    ) {
        let mut pending = self.pending.borrow_mut();
        if let Some(last) = pending.back_mut() {
            last.outgoing.extend(outgoing);
            last.letters.extend(letters);
            return;
        }
        drop(pending);
        outgoing.into_iter().for_each(|outgoing| self.send(outgoing));
        letters.into_iter().for_each(|(to, letter)| self.post.post(to, letter));
    }

    fn capture_without_entry(&self) {
        if !self.snapshots.is_wanted() {
            return;
        }
        let mut pending = self.pending.borrow_mut();
        if let Some(last) = pending.back_mut() {
            if last.snapshot.is_none() && self.snapshots.take_wish() {
                last.snapshot = Some(self.snapshot_state());
            }
        } else if let Some(committed) = self.committed.get()
            && self.snapshots.take_wish()
        {
            self.snapshots.captured(committed, self.snapshot_state());
        }
    }

    fn snapshot_state(&self) -> Captured {
        Captured::of(&self.state.borrow())
    }
}

/// Whether queues may hand out jobs again by it.
fn opens(rule: &Rule) -> bool {
    matches!(rule, Rule::BudgetSet { .. } | Rule::BudgetDeleted { .. } | Rule::DayTurned { .. })
}

fn proposal(time_us: u64, body: Body, pending: &Pending) -> Proposal {
    Proposal {
        time_us,
        first_event: pending.first_event.0,
        event_count: u32::try_from(pending.event_count).expect("bounded by the frames of an entry"),
        body,
    }
}
