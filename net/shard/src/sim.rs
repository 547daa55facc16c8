//! What a simulation sees of a shard from inside, and the defects it can plant there. Not in a release.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use jobbie_core::State;
use jobbie_log::{Entry, EntryId};
use jobbie_proto::event::Group;
use jobbie_proto::{Micros, ShardId};

/// Is told of every change of state and every commit, on the shard's thread.
pub trait Observer {
    /// A shard was started; this is what its snapshot held, up to `applied`.
    fn restored(&self, shard: ShardId, applied: Option<EntryId>, state: &State);
    /// A group of its log was absorbed again.
    fn replayed(&self, shard: ShardId, time: Micros, group: &Group, state: &State);
    /// A group was decided and absorbed; it is not committed yet.
    fn absorbed(&self, shard: ShardId, time: Micros, group: &Group, state: &State);
    /// An entry was committed. Called before its answers leave; the state may be ahead of it.
    fn committed(&self, shard: ShardId, entry: &Entry, state: &State);
}

/// A defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Answers leave when their entry is proposed (R1).
    ReplyBeforeCommit,
    /// Log time follows the wall clock while the shard leads (R12).
    WallClockFollowed,
    /// The log is allowed to drop what the jobs in memory still need (R10).
    RecordsDropped,
    /// A restart does not replay the end of the log (R7).
    ReplayStopsEarly,
    /// A snapshot is said to hold one entry more than it does (R3, R7).
    SnapshotSaysMore,
    /// Deliveries do not use up credit.
    CreditUncounted,
    /// A full disk refuses what finishes jobs too (R5).
    AcksRefusedWhenFull,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 7] = [
        Mutant::ReplyBeforeCommit,
        Mutant::WallClockFollowed,
        Mutant::RecordsDropped,
        Mutant::ReplayStopsEarly,
        Mutant::SnapshotSaysMore,
        Mutant::CreditUncounted,
        Mutant::AcksRefusedWhenFull,
    ];
}

thread_local! {
    static OBSERVER: RefCell<Option<Rc<dyn Observer>>> = const { RefCell::new(None) };
    static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Every shard of this thread is seen by `observer` from now on.
pub fn observe(observer: Rc<dyn Observer>) {
    OBSERVER.set(Some(observer));
}

/// Plants a defect in this thread, or none.
pub fn plant(mutant: Option<Mutant>) {
    PLANTED.set(mutant);
}

pub(crate) fn is_planted(mutant: Mutant) -> bool {
    PLANTED.get() == Some(mutant)
}

/// Tells the observer, if there is one.
pub(crate) fn tell(what: impl FnOnce(&dyn Observer)) {
    let observer = OBSERVER.with_borrow(Clone::clone);
    if let Some(observer) = observer {
        what(&*observer);
    }
}
