//! The shard itself: who is connected, what is under way, and the loop that turns what has arrived
//! into log entries.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::{Rc, Weak};
use std::sync::Arc;

pub use jobbie_core::Settings;
use jobbie_core::State;
use jobbie_io::Disk;
use jobbie_log::{EntryId, Log};
use jobbie_proto::wire::{Durability, Encoder};
use jobbie_proto::{Code, Micros, ShardId};
use jobbie_raft::{AsyncRuntime, Group};

use crate::bell::Bell;
use crate::clock::{Clock, LogClock};
use crate::connection::Connection;
use crate::entry::Pending;
use crate::feed::{Feed, floor_for};
use crate::frame::Frame;
use crate::intake::Intake;
use crate::limits::RECORD_CACHE_BYTES;
use crate::mail::{Mailbox, Post};
use crate::metrics::SharedMetrics;
use crate::records::Records;
use crate::relay::Relay;
use crate::sessions::Sessions;
use crate::snapshots::Snapshots;
use crate::waiters::Waiters;

/// What a shard is told once, at its start.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// Which one it is.
    pub shard: ShardId,
    /// How many the node has.
    pub shards: u16,
    /// This node; never reused for another data directory.
    pub node: u64,
    /// Where each shard is served, `host:port`, by shard number.
    pub endpoints: Vec<String>,
    /// What clients must show; empty asks for nothing.
    pub token: Vec<u8>,
    /// What an answer is worth, as told to clients.
    pub durability: Durability,
    /// Release of the server, as told to clients.
    pub server_version: String,
    /// Random name of the data directory, as told to clients.
    pub store: u128,
    /// Log bytes after which the state is written down anew, so that a restart reads no more than
    /// about this much.
    pub snapshot_log_bytes: u64,
    /// Log bytes of the shard that are kept for history beside what is needed, while there is room on the disk.
    pub history_bytes: u64,
    /// Jobs that an operation on many changes in one entry, 1 or more; it looks at a few times as many. Fewer keep
    /// turns shorter, more get it done sooner.
    pub operation_jobs_per_entry: usize,
    /// What operators have set for the whole server.
    pub settings: Settings,
    /// Whoever follows the log.
    pub feed: Arc<Feed>,
}

/// A running shard. One thread; clones are the same shard.
pub struct Shard<R: AsyncRuntime, D: Disk, C: Clock> {
    pub(crate) inner: Rc<Inner<R, D, C>>,
}

impl<R: AsyncRuntime, D: Disk, C: Clock> Clone for Shard<R, D, C> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

pub(crate) struct Inner<R: AsyncRuntime, D: Disk, C: Clock> {
    /// Itself, for answers that are sent later.
    pub(crate) me: Weak<Self>,
    pub(crate) config: ShardConfig,
    pub(crate) clock: C,
    pub(crate) log: Log<D>,
    pub(crate) group: OnceCell<Group<R, Self>>,
    pub(crate) state: RefCell<State>,
    pub(crate) log_clock: Cell<LogClock>,
    pub(crate) records: Rc<Records<D>>,
    pub(crate) intake: Intake,
    pub(crate) mailbox: Mailbox,
    pub(crate) relay: Relay,
    pub(crate) post: Rc<dyn Post>,
    pub(crate) waiters: RefCell<Waiters>,
    pub(crate) sessions: RefCell<Sessions>,
    /// Entries proposed and not yet committed, oldest first.
    pub(crate) pending: RefCell<VecDeque<Pending>>,
    pub(crate) committed: Cell<Option<EntryId>>,
    pub(crate) snapshots: Snapshots,
    pub(crate) encoder: RefCell<Encoder>,
    pub(crate) metrics: SharedMetrics,
    /// By number, so that all of them are always met in the same order.
    pub(crate) connections: RefCell<BTreeMap<u64, Rc<Connection>>>,
    connections_ever: Cell<u64>,
    /// Something to decide, or room for it.
    pub(crate) bell: Bell,
    /// An entry was committed, while the shard is ending.
    pub(crate) settled: Bell,
    pub(crate) bytes_since_snapshot: Cell<u64>,
    /// The newest snapshot needs events from here on.
    pub(crate) needed_event: Cell<u64>,
    /// Why the shard takes nothing any more.
    pub(crate) stopped: RefCell<Option<String>>,
}

impl<R: AsyncRuntime, D: Disk, C: Clock> Inner<R, D, C> {
    pub(crate) fn new(
        config: ShardConfig,
        clock: C,
        log: Log<D>,
        post: Rc<dyn Post>,
        state: State,
    ) -> Rc<Self> {
        let log_clock = LogClock::start(&clock, state.time().max(config.feed.floor()));
        Rc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            config,
            log_clock: Cell::new(log_clock),
            clock,
            records: Rc::new(Records::new(log.clone(), RECORD_CACHE_BYTES)),
            log,
            group: OnceCell::new(),
            state: RefCell::new(state),
            intake: Intake::default(),
            mailbox: Mailbox::default(),
            relay: Relay::default(),
            post,
            waiters: RefCell::default(),
            sessions: RefCell::default(),
            pending: RefCell::default(),
            committed: Cell::new(None),
            snapshots: Snapshots::default(),
            encoder: RefCell::new(Encoder::new()),
            metrics: SharedMetrics::default(),
            connections: RefCell::default(),
            connections_ever: Cell::new(0),
            bell: Bell::default(),
            settled: Bell::default(),
            bytes_since_snapshot: Cell::new(0),
            needed_event: Cell::new(0),
            stopped: RefCell::new(None),
        })
    }

    pub(crate) fn now(&self) -> Micros {
        self.log_clock.get().now(&self.clock)
    }

    /// Answers whoever follows the log, now or once nothing is under way.
    pub(crate) fn answer_follower(&self) {
        let Some(wanted) = self.config.feed.see() else { return };
        if self.pending.borrow().is_empty() {
            let floor = floor_for(wanted, self.now());
            self.log_clock.set(self.log_clock.get().no_earlier(&self.clock, floor));
            self.config.feed.answer(wanted, floor);
        }
    }

    pub(crate) fn group(&self) -> &Group<R, Self> {
        self.group.get().expect("set before anything is decided")
    }
}

impl<R: AsyncRuntime, D: Disk, C: Clock> Shard<R, D, C> {
    /// A new connection. Its frames go to [`Shard::submit`], the first of them the hello.
    #[must_use]
    pub fn connect(&self) -> Rc<Connection> {
        let inner = &self.inner;
        let id = inner.connections_ever.get() + 1;
        inner.connections_ever.set(id);
        let connection = Connection::new(id);
        inner.connections.borrow_mut().insert(id, Rc::clone(&connection));
        if let Some(reason) = &*inner.stopped.borrow() {
            inner.refuse(&connection, Code::Unavailable, reason);
        }
        connection
    }

    /// Takes a frame of a connection, to be decided in its turn.
    pub fn submit(&self, connection: &Rc<Connection>, frame: Frame) {
        let inner = &self.inner;
        let refused = connection.outbox.is_closed()
            || inner.stopped.borrow().is_some()
            || (inner.intake.is_full() && inner.refuse_if_enqueue(connection, &frame));
        if !refused {
            inner.intake.push(connection, frame);
            inner.bell.ring();
        }
    }

    /// The connection is gone. Its session lives on for a while, so that the client can come back.
    pub fn disconnect(&self, connection: &Rc<Connection>) {
        self.inner.forget(connection);
    }

    /// Does what whoever follows the log has asked for: says from which time on there is nothing more to come, and sets the clock
    /// forward for it if need be.
    pub fn answer_follower(&self) {
        self.inner.answer_follower();
    }

    /// Ends a connection with a reason, which is its last frame.
    pub fn refuse(&self, connection: &Rc<Connection>, code: Code, message: &str) {
        self.inner.refuse(connection, code, message);
    }

    /// What the shard counts.
    #[must_use]
    pub fn metrics(&self) -> SharedMetrics {
        SharedMetrics::clone(&self.inner.metrics)
    }
}
