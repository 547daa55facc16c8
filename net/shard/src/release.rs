//! What happens when an entry is committed: its answers leave.

use std::rc::Rc;

use jobbie_io::Disk;
use jobbie_log::{Entry, ReadError};
use jobbie_proto::event::{Event, Rule, Tie};
use jobbie_proto::wire::Refused;
use jobbie_proto::{Code, EventSeq, Micros, Reply};
use jobbie_raft::AsyncRuntime;
use tracing::error;

use crate::clock::Clock;
use crate::connection::Connection;
use crate::entry::Pending;
use crate::outgoing::{Content, Outgoing, Sources};
use crate::records::{Decoded, RecordError, Records};
use crate::shard::Inner;

impl<R: AsyncRuntime, D: Disk, C: Clock> Inner<R, D, C> {
    /// `entry` is committed. On the leader it is the oldest pending one; entries that the state
    /// held before this leadership, and those without events, have nobody waiting.
    pub(crate) fn on_committed(self: &Rc<Self>, entry: &Entry) {
        self.committed.set(Some(entry.id));
        self.metrics.committed_index.set(entry.id.index);
        self.metrics.applied_index.set(entry.id.index);
        self.config.feed.committed(entry.id.index, Micros(entry.time_us));
        crate::tell!(|observer| {
            observer.committed(self.config.shard, entry, &self.state.borrow());
        });
        let Some(pending) = self.take_pending(entry) else { return };
        self.metrics.entries_total.add(1);
        self.metrics.entry_bytes_total.add(entry.body.bytes().len() as u64);
        self.metrics.entry_groups.record(pending.groups.len() as u64);
        let elapsed = self.clock.elapsed().saturating_sub(pending.proposed_at);
        self.metrics.commit_us.record(elapsed);
        self.metrics.state_hash.set(pending.state_hash);
        self.metrics.last_event.set(entry.next_event() - 1);
        if let Some(snapshot) = pending.snapshot {
            self.snapshots.captured(entry.id, snapshot);
        }
        self.relay.committed(self.config.shard, &pending.groups);
        if pending.groups.iter().flat_map(|group| &group.events).any(is_read_back) {
            let decoded = Decoded::new(entry, pending.groups);
            self.records.insert(Rc::new(decoded));
        }
        for outgoing in pending.outgoing {
            self.send(outgoing);
        }
        for (to, letter) in pending.letters {
            self.post.post(to, letter);
        }
        self.count_log_bytes(entry.body.bytes().len());
        self.bell.ring();
        self.settled.ring();
        self.answer_follower();
    }

    fn take_pending(&self, entry: &Entry) -> Option<Pending> {
        if entry.event_count == 0 {
            return None;
        }
        let mut pending = self.pending.borrow_mut();
        let front = pending.front()?;
        if entry.first_event < front.first_event.0 {
            return None;
        }
        assert_eq!(
            (entry.first_event, u64::from(entry.event_count)),
            (front.first_event.0, front.event_count),
            "another entry was committed than the one decided"
        );
        pending.pop_front()
    }

    /// Sends an answer whose entry is committed, or that needs none.
    pub(crate) fn send(self: &Rc<Self>, outgoing: Outgoing) {
        if self.is_overtaken(&outgoing) {
            return;
        }
        let mut sources = Sources::default();
        if self.gather_cached(&outgoing, &mut sources) {
            return self.encode(&outgoing, &sources);
        }
        // The disk has the rest. Other answers need not wait for this one.
        let inner = Rc::clone(self);
        drop(R::spawn(async move { inner.send_loaded(outgoing, sources).await }));
    }

    /// Whether an answer says that nothing was done, of a request that came again meanwhile and was done then: the client
    /// must hear of that one only.
    pub(crate) fn is_overtaken(&self, outgoing: &Outgoing) -> bool {
        let Content::Reply(answer) = &outgoing.content else { return false };
        if *answer.reply != (Reply { code: answer.reply.code, ..Reply::default() }) {
            return false;
        }
        let (state, session) = (self.state.borrow(), outgoing.connection.session.get());
        let done = state.answer_to(session, answer.number);
        done.is_some_and(|done| !Rc::ptr_eq(done, &answer.reply))
    }

    /// Gathers what an answer needs as far as it is in memory; whether that was all.
    fn gather_cached(&self, outgoing: &Outgoing, sources: &mut Sources) -> bool {
        for event in outgoing.content.needs() {
            if !sources.has(event) {
                let Some(entry) = self.records.cached(event) else { return false };
                sources.add(entry);
            }
        }
        while let Some(event) = outgoing.content.missing(sources) {
            let Some(entry) = self.records.cached(event) else { return false };
            sources.add(entry);
        }
        true
    }

    async fn send_loaded(self: Rc<Self>, mut outgoing: Outgoing, mut sources: Sources) {
        let mut loaded = load_all(&self.records, &outgoing, &mut sources).await;
        while let Err(RecordError::Read(ReadError::Trimmed { first, .. })) = &loaded
            && outgoing.content.leave_out_before(EventSeq(*first))
        {
            loaded = load_all(&self.records, &outgoing, &mut sources).await;
        }
        match loaded {
            Ok(()) => self.encode(&outgoing, &sources),
            Err(error) => {
                error!(shard = %self.config.shard, %error, "a job's record cannot be read back");
                self.refuse(&outgoing.connection, Code::Unavailable, &error.to_string());
            }
        }
    }

    pub(crate) fn encode(&self, outgoing: &Outgoing, sources: &Sources) {
        let mut result = Ok(());
        outgoing.connection.outbox.put(|out| {
            let encoder = &mut *self.encoder.borrow_mut();
            result = outgoing.content.encode(&self.config, sources, encoder, out);
        });
        if let Err(error) = result {
            self.refuse(&outgoing.connection, Code::Unavailable, &error.to_string());
        }
    }

    /// Ends a connection with a reason.
    pub(crate) fn refuse(&self, connection: &Rc<Connection>, code: Code, message: &str) {
        self.refuse_as(connection, &Refused::new(code, message));
    }

    /// Ends a connection with a reason and a hint where to go.
    pub(crate) fn refuse_as(&self, connection: &Rc<Connection>, refused: &Refused<'_>) {
        let encoder = &mut *self.encoder.borrow_mut();
        connection.outbox.put(|out| {
            encoder.refused(out, refused).expect("server messages fit a frame");
        });
        self.forget(connection);
    }

    /// The connection is over: nothing it sent is decided any more, nothing waits for it.
    pub(crate) fn forget(&self, connection: &Rc<Connection>) {
        self.connections.borrow_mut().remove(&connection.id);
        self.intake.forget(connection);
        self.waiters.borrow_mut().forget(connection);
        self.sessions.borrow_mut().disconnect(connection, self.now());
    }
}

/// Whether an event holds bytes that an answer may need again.
fn is_read_back(event: &Event) -> bool {
    if let Event::Tied(tie) = event {
        return matches!(**tie, Tie::BatchOpened { .. } | Tie::Chained(_) | Tie::Arrived(_));
    }
    if let Event::Ruled(rule) = event {
        let kept =
            matches!(**rule, Rule::Tagged { .. } | Rule::Spent { .. } | Rule::DayTurned { .. });
        return !kept;
    }
    matches!(
        event,
        Event::Enqueued { .. }
            | Event::Limited(_)
            | Event::Extended { .. }
            | Event::Failed { .. }
            | Event::Quarantined { .. }
            | Event::Rejected { .. }
            | Event::Held { .. }
            | Event::Moved { .. }
            | Event::Replaced { .. }
            | Event::Planned(_)
            | Event::Appended(_)
            | Event::ScheduleSet(_)
            | Event::AgentEnqueued(_)
            | Event::Iterated(_)
            | Event::Revised(_)
            | Event::Archived(_)
    )
}

async fn load_all<D: Disk>(
    records: &Rc<Records<D>>,
    outgoing: &Outgoing,
    sources: &mut Sources,
) -> Result<(), RecordError> {
    let missing = outgoing.content.jobs().filter(|event| !sources.has(*event));
    let lone = records.lone_jobs(missing).await;
    sources.add_lone(lone);
    let needs: Vec<EventSeq> = outgoing.content.needs().collect();
    for event in needs {
        if !sources.has(event) {
            sources.add(records.load(event).await?);
        }
    }
    while let Some(event) = outgoing.content.missing(sources) {
        sources.add(records.load(event).await?);
    }
    Ok(())
}
