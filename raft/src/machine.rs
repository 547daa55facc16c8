//! What the shard's state machine does for its group, and the adapter that openraft drives.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::rc::Rc;

use futures_util::{Stream, StreamExt};
use jobbie_log::{Entry, EntryId};
use openraft::OptionalSend;
use openraft::async_runtime::AsyncRuntime;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};

use crate::membership::{Membership, PlacedMembership};
use crate::payload::to_entry;
use crate::shared::Shared;
use crate::types::{
    LogId, RaftEntry, RaftSnapshot, RaftSnapshotMeta, StoredMembership, Types, from_log_id,
    to_log_id,
};

/// Number of a shard's first event; the log begins with it.
pub const FIRST_EVENT: u64 = 1;

/// Where a machine stands when its group starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The last committed entry the machine already holds, from a snapshot or by replaying the
    /// log up to the last entry known to be committed. [`Machine::committed`] begins after it.
    pub applied: Option<EntryId>,
    /// Number of the first event after it.
    pub next_event: u64,
    /// The membership as of that entry.
    pub membership: PlacedMembership,
}

impl Default for Recovered {
    /// A machine that holds nothing.
    fn default() -> Self {
        let membership = PlacedMembership::default();
        Self { applied: None, next_event: FIRST_EVENT, membership }
    }
}

/// What a snapshot says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// The last entry whose effects it holds; committed.
    pub last: EntryId,
    /// Number of the first event after it.
    pub next_event: u64,
    /// The membership as of that entry, to be kept in the snapshot.
    pub membership: PlacedMembership,
}

/// A snapshot on its way through openraft, whose own description lacks the events.
#[derive(Clone)]
pub(crate) struct Published<S> {
    pub(crate) meta: SnapshotMeta,
    pub(crate) snapshot: S,
}

/// A shard's state machine as its group sees it. One thread, never `Send`.
pub trait Machine: 'static {
    /// A published snapshot: a name, an open file. Clones are cheap.
    type Snapshot: Clone + 'static;

    /// `entry` is committed. Called in index order without a gap, once for each entry after
    /// [`Recovered::applied`] or after an installed snapshot; also for entries that hold no events.
    /// A leader releases what waited for the entry, a follower absorbs it.
    fn committed(&self, entry: &Entry);

    /// Takes a snapshot of the state as of one entry of the machine's choice, waits until that
    /// entry is committed, and publishes it durably.
    ///
    /// # Errors
    /// The group stops.
    fn snapshot(
        self: &Rc<Self>,
        memberships: Memberships,
    ) -> impl Future<Output = io::Result<(SnapshotMeta, Self::Snapshot)>> + 'static;

    /// The newest published snapshot.
    ///
    /// # Errors
    /// The group stops.
    fn latest_snapshot(
        &self,
    ) -> impl Future<Output = io::Result<Option<(SnapshotMeta, Self::Snapshot)>>>;

    /// Replaces the whole state by a snapshot of the leader, durably.
    ///
    /// # Errors
    /// The group stops.
    fn install(
        &self,
        meta: &SnapshotMeta,
        snapshot: Self::Snapshot,
    ) -> impl Future<Output = io::Result<()>>;
}

/// Which members the group had as of each entry since the last snapshot.
#[derive(Clone)]
pub struct Memberships(Rc<RefCell<VecDeque<PlacedMembership>>>);

impl Memberships {
    fn new(first: PlacedMembership) -> Self {
        Self(Rc::new(RefCell::new(VecDeque::from([first]))))
    }

    /// The membership that a snapshot must keep which ends with `last`.
    #[must_use]
    pub fn as_of(&self, last: EntryId) -> PlacedMembership {
        let history = self.0.borrow();
        let at = |placed: &&PlacedMembership| placed.id.is_none_or(|id| id.index <= last.index);
        history.iter().rev().find(at).cloned().unwrap_or_default()
    }

    fn newest(&self) -> PlacedMembership {
        self.0.borrow().back().cloned().unwrap_or_default()
    }

    fn push(&self, membership: PlacedMembership) {
        self.0.borrow_mut().push_back(membership);
    }

    /// Forgets what only older snapshots could ask for.
    fn forget_before(&self, last: EntryId) {
        let mut history = self.0.borrow_mut();
        while history.get(1).is_some_and(|next| next.id.is_none_or(|id| id.index <= last.index)) {
            history.pop_front();
        }
    }

    fn replace(&self, membership: PlacedMembership) {
        *self.0.borrow_mut() = VecDeque::from([membership]);
    }
}

/// openraft's state machine: passes what is committed to the [`Machine`], and keeps nothing but
/// where that stands.
pub(crate) struct StateMachine<M> {
    machine: Rc<M>,
    shared: Shared,
    memberships: Memberships,
}

impl<M: Machine> StateMachine<M> {
    pub(crate) fn new(machine: Rc<M>, shared: Shared, recovered: Recovered) -> Self {
        if let Some(applied) = recovered.applied {
            shared.set_applied(applied, recovered.next_event);
        }
        Self { machine, shared, memberships: Memberships::new(recovered.membership) }
    }

    fn apply_entry(&self, entry: RaftEntry) {
        let id = from_log_id(entry.log_id);
        let expected = self.shared.applied().map_or(0, |applied| applied.index + 1);
        assert_eq!(id.index, expected, "committed entries come in order without a gap");
        if let Some(membership) = entry.payload.membership() {
            let membership = Membership::from_raft(membership);
            self.memberships.push(PlacedMembership { id: Some(id), membership });
        }
        let entry = to_entry(entry);
        self.machine.committed(&entry);
        self.shared.set_applied(id, entry.next_event());
    }
}

fn to_raft_meta(meta: &SnapshotMeta) -> io::Result<RaftSnapshotMeta> {
    let last_membership = meta.membership.to_raft().map_err(io::Error::other)?;
    Ok(RaftSnapshotMeta { last_log_id: Some(to_log_id(meta.last)), last_membership })
}

pub(crate) fn to_raft_snapshot<S: 'static>(
    meta: SnapshotMeta,
    snapshot: S,
) -> io::Result<RaftSnapshot<Published<S>>> {
    Ok(RaftSnapshot { meta: to_raft_meta(&meta)?, snapshot: Published { meta, snapshot } })
}

impl<R: AsyncRuntime, M: Machine> RaftStateMachine<Types<R>> for StateMachine<M> {
    type SnapshotData = Published<M::Snapshot>;
    type SnapshotBuilder = SnapshotBuilder<M>;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let membership = self.memberships.newest().to_raft().map_err(io::Error::other)?;
        Ok((self.shared.applied().map(to_log_id), membership))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<Types<R>>>> + Unpin + OptionalSend,
    {
        while let Some(next) = entries.next().await {
            let (entry, responder) = next.map_err(|error| self.shared.fail(error))?;
            self.apply_entry(entry);
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, _force: bool) -> Option<SnapshotBuilder<M>> {
        // Nothing is applied, so there is nothing a snapshot could hold.
        self.shared.applied()?;
        Some(RaftStateMachine::<Types<R>>::get_snapshot_builder(self).await)
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder<M> {
        SnapshotBuilder {
            machine: self.machine.clone(),
            shared: self.shared.clone(),
            memberships: self.memberships.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        _: &RaftSnapshotMeta,
        snapshot: Published<M::Snapshot>,
    ) -> io::Result<()> {
        let Published { meta, snapshot } = snapshot;
        let installed = self.machine.install(&meta, snapshot).await;
        installed.map_err(|error| self.shared.fail(error))?;
        self.memberships.replace(meta.membership);
        self.shared.set_applied(meta.last, meta.next_event);
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<RaftSnapshot<Published<M::Snapshot>>>> {
        let latest = self.machine.latest_snapshot().await;
        match latest.map_err(|error| self.shared.fail(error))? {
            None => Ok(None),
            Some((meta, snapshot)) => to_raft_snapshot(meta, snapshot).map(Some),
        }
    }
}

/// Has the machine write one snapshot.
pub(crate) struct SnapshotBuilder<M> {
    machine: Rc<M>,
    shared: Shared,
    memberships: Memberships,
}

impl<R: AsyncRuntime, M: Machine> RaftSnapshotBuilder<Types<R>> for SnapshotBuilder<M> {
    type SnapshotData = Published<M::Snapshot>;

    async fn build_snapshot(&mut self) -> io::Result<RaftSnapshot<Published<M::Snapshot>>> {
        let built = self.machine.snapshot(self.memberships.clone()).await;
        let (meta, snapshot) = built.map_err(|error| self.shared.fail(error))?;
        let applied = self.shared.applied();
        assert!(
            applied.is_some_and(|applied| meta.last.index <= applied.index),
            "a snapshot holds what is not committed: {meta:?} after {applied:?}"
        );
        self.memberships.forget_before(meta.last);
        to_raft_snapshot(meta, snapshot)
    }
}
