//! openraft's own tests of a storage, on the real log (O7).
//!
//! They append, apply and purge with holes that Raft never makes and that our log and state
//! machine refuse; the wrappers here fill them with blank entries first.

use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;

use futures_util::{Stream, StreamExt};
use jobbie_io::{Disk, UringDisk};
use jobbie_log::Driver;
use jobbie_sim::{DiskConfig, Executor, Handle, Schedule, SimDisk};
use openraft::async_runtime::AsyncRuntime;
use openraft::entry::RaftEntry as _;
use openraft::storage::{
    EntryResponder, IOFlushed, LogState, RaftLogReader, RaftLogStorage, RaftStateMachine,
};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{OptionalSend, StorageError};

use tempfile::TempDir;

use super::machine::{SnapshotSlot, TestMachine};
use crate::MonoioRuntime;
use crate::machine::{Published, SnapshotBuilder, StateMachine};
use crate::payload::Stamps;
use crate::shared::Shared;
use crate::sim::SimRuntime;
use crate::store::LogStore;
use crate::types::{
    LogId, RaftEntry, RaftSnapshot, RaftSnapshotMeta, RaftVote, StoredMembership, Types,
};

const STAMPS: Stamps = Stamps { time_us: 0, first_event: crate::FIRST_EVENT };

fn blank(index: u64) -> RaftEntry {
    let mut entry = RaftEntry::new_blank(LogId::new_term_index(0, index));
    entry.payload.stamps = Some(STAMPS);
    entry
}

struct Store<D: Disk> {
    inner: LogStore<D>,
    shared: Shared,
}

impl<D: Disk> Store<D> {
    fn next_index(&self) -> u64 {
        self.inner.last().map_or(0, |last| last.index + 1)
    }
}

impl<R: AsyncRuntime, D: Disk> RaftLogReader<Types<R>> for Store<D> {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<RaftEntry>> {
        RaftLogReader::<Types<R>>::try_get_log_entries(&mut self.inner, range).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<RaftVote>> {
        RaftLogReader::<Types<R>>::read_vote(&mut self.inner).await
    }
}

impl<R: AsyncRuntime, D: Disk> RaftLogStorage<Types<R>> for Store<D> {
    type LogReader = LogStore<D>;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types<R>>> {
        self.inner.get_log_state().await
    }

    async fn get_log_reader(&mut self) -> LogStore<D> {
        RaftLogStorage::<Types<R>>::get_log_reader(&mut self.inner).await
    }

    async fn save_vote(&mut self, vote: &RaftVote) -> io::Result<()> {
        RaftLogStorage::<Types<R>>::save_vote(&mut self.inner, vote).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        RaftLogStorage::<Types<R>>::save_committed(&mut self.inner, committed).await
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        // The suite purges a log whose machine is empty; what is purged counts as committed here.
        let committed = RaftLogStorage::<Types<R>>::read_committed(&mut self.inner).await?;
        let purged = RaftLogStorage::<Types<R>>::get_log_state(&mut self.inner).await?;
        Ok(committed.filter(|committed| Some(*committed) > purged.last_purged_log_id))
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<Types<R>>) -> io::Result<()>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut next = self.next_index();
        let mut filled = Vec::new();
        for entry in entries {
            while next < entry.log_id.index {
                filled.push(blank(next));
                next += 1;
            }
            next += 1;
            filled.push(entry);
        }
        self.inner.append(filled, flushed).await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        if last.is_some_and(|last| self.next_index() <= last.index) {
            return Ok(());
        }
        RaftLogStorage::<Types<R>>::truncate_after(&mut self.inner, last).await
    }

    async fn purge(&mut self, id: LogId) -> io::Result<()> {
        if self.next_index() <= id.index {
            self.shared.set_applied(crate::types::from_log_id(id), crate::FIRST_EVENT);
        }
        RaftLogStorage::<Types<R>>::purge(&mut self.inner, id).await
    }
}

struct Applier(StateMachine<TestMachine>);

impl<R: AsyncRuntime> RaftStateMachine<Types<R>> for Applier {
    type SnapshotData = Published<super::machine::Snapshot>;
    type SnapshotBuilder = SnapshotBuilder<TestMachine>;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        RaftStateMachine::<Types<R>>::applied_state(&mut self.0).await
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<Types<R>>>> + Unpin + OptionalSend,
    {
        while let Some(next) = entries.next().await {
            let (mut entry, responder) = next?;
            let (applied, _) = RaftStateMachine::<Types<R>>::applied_state(self).await?;
            let first = applied.map_or(0, |applied| applied.index + 1);
            entry.payload.stamps.get_or_insert(STAMPS);
            let filled = (first..entry.log_id.index).map(|index| Ok((blank(index), None)));
            let all = filled.chain([Ok((entry, responder))]);
            RaftStateMachine::<Types<R>>::apply(&mut self.0, futures_util::stream::iter(all))
                .await?;
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(
        &mut self,
        _force: bool,
    ) -> Option<SnapshotBuilder<TestMachine>> {
        let (applied, _) = RaftStateMachine::<Types<R>>::applied_state(self).await.ok()?;
        if applied.is_none() {
            let entries = futures_util::stream::iter([Ok((blank(0), None))]);
            RaftStateMachine::<Types<R>>::apply(self, entries).await.ok()?;
        }
        RaftStateMachine::<Types<R>>::try_create_snapshot_builder(&mut self.0, true).await
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder<TestMachine> {
        RaftStateMachine::<Types<R>>::get_snapshot_builder(&mut self.0).await
    }

    async fn install_snapshot(
        &mut self,
        meta: &RaftSnapshotMeta,
        snapshot: Published<super::machine::Snapshot>,
    ) -> io::Result<()> {
        RaftStateMachine::<Types<R>>::install_snapshot(&mut self.0, meta, snapshot).await
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<RaftSnapshot<Published<super::machine::Snapshot>>>> {
        RaftStateMachine::<Types<R>>::get_current_snapshot(&mut self.0).await
    }
}

async fn build<D: Disk>(disk: D, spawn: impl FnOnce(Driver)) -> (Store<D>, Applier) {
    let log = super::open_log(disk, 1, spawn).await;
    let shared = Shared::new();
    let slot = SnapshotSlot::default();
    let (machine, recovered) = TestMachine::recover(&slot, |_| {});
    let store = Store { inner: LogStore::new(log, shared.clone()), shared: shared.clone() };
    (store, Applier(StateMachine::new(machine, shared, recovered)))
}

struct OnSimDisk;

impl StoreBuilder<Types<SimRuntime>, Store<SimDisk>, Applier> for OnSimDisk {
    async fn build(
        &self,
    ) -> Result<((), Store<SimDisk>, Applier), StorageError<Types<SimRuntime>>> {
        let disk = SimDisk::new(Handle::current().random(), DiskConfig::default());
        let (store, machine) = build(disk, super::spawn_in_simulation).await;
        Ok(((), store, machine))
    }
}

struct OnUring;

impl StoreBuilder<Types<MonoioRuntime>, Store<UringDisk>, Applier, TempDir> for OnUring {
    async fn build(
        &self,
    ) -> Result<(TempDir, Store<UringDisk>, Applier), StorageError<Types<MonoioRuntime>>> {
        let dir = TempDir::new().expect("a temporary directory");
        let disk = UringDisk::open(dir.path()).expect("the directory is there");
        let (store, machine) = build(disk, |driver| drop(monoio::spawn(driver))).await;
        Ok((dir, store, machine))
    }
}

#[test]
fn o7_the_log_on_a_real_disk_passes_openrafts_suite() {
    let suite = Suite::test_all(OnUring);
    jobbie_io::runtime::block_on(suite).expect("a ring").expect("the suite passes");
}

#[test]
fn o7_the_log_on_a_simulated_disk_passes_openrafts_suite() {
    for seed in 0..2 {
        let suite = Suite::test_all(OnSimDisk);
        Executor::new(seed, Schedule::Shuffled).block_on(suite).expect("the suite passes");
    }
}
