//! Everything that was promised, and the checks of each: hears every change of state, every commit and every frame.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use jobbie_core::State;
use jobbie_log::{Entry, EntryId, EntryKind, LogState};
use jobbie_proto::event::{Group, codec};
use jobbie_proto::limits::FRAME_BYTES_MAX;
use jobbie_proto::wire::{ClientFrame, ServerFrame, frame};
use jobbie_proto::{Micros, Request, ShardId};
use jobbie_shard::sim::Observer;
use jobbie_sim::Handle;

use crate::check::{self, Entries, Hashes, violated};
use crate::model::{Fact, Model, Outcome};

/// The books of all shards.
pub(crate) struct Ledger {
    books: RefCell<Vec<Book>>,
    wires: RefCell<Vec<Wire>>,
    /// `State::check` runs after each this many groups, or more when there is more to check.
    check_every: u64,
    /// Groups until it runs again.
    unchecked: Cell<u64>,
    /// Frames that reached a shard, and frames it sent.
    pub(crate) frames: Cell<(u64, u64)>,
    /// Answers of several frames.
    pub(crate) long_answers: Cell<u64>,
}

/// What is known of one shard.
pub(crate) struct Book {
    shard: ShardId,
    /// The naive model of what is committed.
    pub(crate) model: Model,
    entries: Entries,
    hashes: Hashes,
    /// When each group was decided, in nanoseconds of virtual time, by its last event.
    decided: BTreeMap<u64, u64>,
    /// Requests that reached the shard, by session and number.
    asked: BTreeMap<(u64, u64), Rc<Vec<u8>>>,
    /// Whether the shard owed others nothing when it was last seen, and had decided nothing that was not committed.
    quiet: bool,
}

/// One connection as its frames show it.
struct Wire {
    session: u64,
    /// Jobs that each subscription may still get.
    credit: BTreeMap<u32, u64>,
    /// The request whose answer has begun and goes on, and what it said so far.
    part: Option<(u64, Outcome)>,
}

/// The request in a frame.
pub(crate) fn request_in(bytes: &[u8]) -> Request<'_> {
    let (frame, _) = frame::split(bytes, FRAME_BYTES_MAX).ok().flatten().expect("a whole frame");
    match ClientFrame::decode(frame) {
        Ok(ClientFrame::Request(request)) => request,
        other => panic!("not a request: {other:?}"),
    }
}

impl Ledger {
    pub(crate) fn new(shards: u16, check_every: u64) -> Rc<Self> {
        let book = |shard| {
            let shard = ShardId(shard);
            Book {
                shard,
                model: Model::new(shard, shards),
                entries: Entries::default(),
                hashes: Hashes::default(),
                decided: BTreeMap::new(),
                asked: BTreeMap::new(),
                quiet: true,
            }
        };
        Rc::new(Self {
            books: RefCell::new((0..shards).map(book).collect()),
            wires: RefCell::default(),
            check_every,
            unchecked: Cell::new(1),
            frames: Cell::new((0, 0)),
            long_answers: Cell::new(0),
        })
    }

    /// Looks into a shard's book.
    pub(crate) fn with<T>(&self, shard: ShardId, look: impl FnOnce(&mut Book) -> T) -> T {
        look(&mut self.books.borrow_mut()[usize::from(shard.0)])
    }

    /// Looks at the models of all shards.
    pub(crate) fn with_models<T>(&self, look: impl FnOnce(&[&Model]) -> T) -> T {
        let books = self.books.borrow();
        look(&books.iter().map(|book| &book.model).collect::<Vec<_>>())
    }

    /// A new connection; its number.
    pub(crate) fn connected(&self) -> usize {
        let mut wires = self.wires.borrow_mut();
        wires.push(Wire { session: 0, credit: BTreeMap::new(), part: None });
        wires.len() - 1
    }

    /// One whole frame reached a shard.
    pub(crate) fn arrived_up(&self, shard: ShardId, wire: usize, bytes: &[u8]) {
        let (up, down) = self.frames.get();
        self.frames.set((up + 1, down));
        let split = frame::split(bytes, FRAME_BYTES_MAX).ok().flatten();
        let (frame, _) = split.expect("clients send whole frames");
        let wire = &mut self.wires.borrow_mut()[wire];
        match ClientFrame::decode(frame).expect("clients send what decodes") {
            ClientFrame::Request(request) => {
                let key = (request.session.0, request.number);
                let shared = || Rc::new(bytes.to_vec());
                self.with(shard, |book| {
                    book.asked.entry(key).or_insert_with(shared);
                });
            }
            ClientFrame::Subscribe(subscribe) => {
                wire.credit.insert(subscribe.subscription, 0);
            }
            ClientFrame::Credit { subscription, add } => {
                *wire.credit.entry(subscription).or_default() += u64::from(add);
            }
            _ => {}
        }
    }

    /// A shard sent frames.
    pub(crate) fn sent_down(&self, shard: ShardId, wire: usize, bytes: &[u8]) {
        let mut at = 0;
        let split = |at| frame::split(&bytes[at..], FRAME_BYTES_MAX).expect("frames");
        while let Some((frame, len)) = split(at) {
            at += len;
            let (up, down) = self.frames.get();
            self.frames.set((up, down + 1));
            let decoded = ServerFrame::decode(frame).expect("servers send what decodes");
            self.check_frame(shard, wire, &decoded);
        }
        assert_eq!(at, bytes.len(), "servers send whole frames");
    }

    fn check_frame(&self, shard: ShardId, wire: usize, decoded: &ServerFrame<'_>) {
        let wire = &mut self.wires.borrow_mut()[wire];
        let books = self.books.borrow();
        let book = &books[usize::from(shard.0)];
        let begun = wire.part.take();
        match decoded {
            ServerFrame::Welcome(welcome) => {
                wire.session = welcome.session.0;
                check::r01_answers::welcome(&book.model, welcome.session.0);
            }
            ServerFrame::Reply(reply) => {
                let outcome = match begun {
                    None => Outcome::of(reply),
                    Some((number, begun)) if number == reply.number => {
                        self.long_answers.set(self.long_answers.get() + u64::from(!reply.more));
                        begun.and(reply)
                    }
                    Some((number, _)) => {
                        violated!("r01", "{shard}: the answer to {number} was not finished")
                    }
                };
                check::r01_answers::leases(&book.model, wire.session, &reply.leases);
                if reply.more {
                    wire.part = Some((reply.number, outcome));
                    return;
                }
                let asked = book.asked.get(&(wire.session, reply.number));
                let Some(asked) = asked else {
                    // What is confirmed is forgotten, here as there.
                    if check::r01_answers::was_forgotten(&book.model, wire.session, reply.number) {
                        return;
                    }
                    violated!("r09", "{shard}: answer to {} that was never asked", reply.number);
                };
                let request = request_in(asked);
                check::r05_full_disk::reply(&request, reply.number, reply.code);
                check::r01_answers::reply(&book.model, wire.session, &request, reply, &outcome);
            }
            ServerFrame::Deliver { subscription, leases } => {
                let credit = wire.credit.entry(*subscription).or_default();
                let count = leases.len() as u64;
                if *credit < count {
                    violated!("credit", "{shard}: {count} jobs delivered on credit {credit}");
                }
                *credit -= count;
                check::r01_answers::leases(&book.model, wire.session, leases);
            }
            ServerFrame::Lost(lost) => check::r11_leases::lost(&book.model, lost),
            ServerFrame::Refused(_) | ServerFrame::GoAway { .. } | ServerFrame::Pong { .. } => {}
        }
    }

    /// A shard serves again; its log stands like this.
    pub(crate) fn started(&self, shard: ShardId, log: &LogState) {
        self.with(shard, |book| check::r04_prefix::started(&book.entries, &book.model, log));
    }
}

impl Book {
    /// State hashes so far.
    pub(crate) fn hashes(&self) -> &Hashes {
        &self.hashes
    }

    /// Whether the shard owes others nothing.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Entries committed so far.
    pub(crate) fn entries(&self) -> &Entries {
        &self.entries
    }

    fn absorb(&mut self, entry: &Entry) {
        let decoded = codec::decode(entry.body.bytes());
        let (groups, blob) = decoded.expect("what is committed decodes");
        let mut number = entry.first_event;
        for group in &groups {
            let end = number + group.count();
            let asked = self.asked.get(&(group.session.0, group.number)).cloned();
            if asked.is_none() && group.number != 0 {
                violated!("r09", "{}: did request {} that nobody sent", self.shard, group.number);
            }
            let request = asked.as_ref().map(|bytes| request_in(bytes));
            let decided = self.decided.get(&end).copied();
            let time = entry.time_us;
            let fact = Fact { time, number, group, blob, request: request.as_ref(), decided };
            self.model.absorb(&fact);
            number = end;
        }
        let model = &self.model;
        self.decided = self.decided.split_off(&model.next_event);
        let kept = |session: u64, number: u64| {
            model.sessions.get(&session).is_none_or(|s| number >= s.confirmed_below)
        };
        if self.asked.len() > 4096 {
            self.asked.retain(|(session, number), _| kept(*session, *number));
        }
    }
}

impl Observer for Ledger {
    fn restored(&self, shard: ShardId, applied: Option<EntryId>, state: &State) {
        self.with(shard, |book| {
            book.entries.restored(applied);
            book.hashes.restored(state);
        });
        state.check();
    }

    fn replayed(&self, shard: ShardId, _: Micros, _: &Group, state: &State) {
        self.with(shard, |book| book.hashes.replayed(state));
    }

    fn absorbed(&self, shard: ShardId, _: Micros, _: &Group, state: &State) {
        let now = Handle::current().now_nanos();
        self.with(shard, |book| {
            book.decided.insert(state.next_event().0, now);
            book.hashes.absorbed(state);
        });
        self.unchecked.set(self.unchecked.get() - 1);
        if self.unchecked.get() == 0 {
            state.check();
            self.unchecked.set(self.check_every + state.stats().jobs / 8);
        }
    }

    fn committed(&self, shard: ShardId, entry: &Entry, state: &State) {
        Handle::current().trace(entry.id.index ^ entry.next_event().rotate_left(32));
        self.with(shard, |book| {
            if !book.entries.committed(entry) {
                return;
            }
            check::r08_events::entry(&book.model, entry);
            if entry.kind == EntryKind::Batch {
                book.absorb(entry);
                book.hashes.committed(entry);
            }
            // The state has what is decided: only when nothing is under way it is that of the model.
            let is_all = state.next_event().0 == book.model.next_event;
            book.quiet = is_all && check::ties::is_quiet(state);
            if is_all {
                Handle::current().trace(state.digest());
                check::r10_one_state::compare(&book.model, state, entry.id.index);
            }
        });
    }
}
