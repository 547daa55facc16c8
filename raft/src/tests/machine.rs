//! A machine that remembers what it was told, and checks what every machine may rely on.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use jobbie_log::{Entry, EntryId};

use crate::{Machine, Memberships, Observed, Recovered, SnapshotMeta};

/// The durable part of a [`TestMachine`]: its newest snapshot.
pub(crate) type SnapshotSlot = Rc<RefCell<Option<(SnapshotMeta, Snapshot)>>>;

/// Hashes of all entries up to some index.
pub(crate) type Snapshot = Rc<BTreeMap<u64, u64>>;

pub(crate) struct TestMachine {
    /// Hash of every committed entry, by index.
    history: RefCell<BTreeMap<u64, u64>>,
    applied: Cell<Option<EntryId>>,
    next_event: Observed<u64>,
    slot: SnapshotSlot,
    /// What every committed entry is told to.
    watch: Box<dyn Fn(&Entry)>,
}

pub(crate) fn hash_of(entry: &Entry) -> u64 {
    let stamps = [entry.id.term, entry.id.index, entry.first_event, entry.event_count.into()];
    let bytes = stamps.iter().flat_map(|stamp| stamp.to_le_bytes());
    bytes.chain(entry.body.bytes().iter().copied()).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl TestMachine {
    /// As a node starts: from the newest snapshot, if there is one.
    pub(crate) fn recover(
        slot: &SnapshotSlot,
        watch: impl Fn(&Entry) + 'static,
    ) -> (Rc<Self>, Recovered) {
        let newest = slot.borrow().clone();
        let (history, recovered) = match newest {
            None => (BTreeMap::new(), Recovered::default()),
            Some((meta, snapshot)) => {
                let recovered = Recovered {
                    applied: Some(meta.last),
                    next_event: meta.next_event,
                    membership: meta.membership,
                };
                ((*snapshot).clone(), recovered)
            }
        };
        let machine = Self {
            history: RefCell::new(history),
            applied: Cell::new(recovered.applied),
            next_event: Observed::new(recovered.next_event),
            slot: slot.clone(),
            watch: Box::new(watch),
        };
        (Rc::new(machine), recovered)
    }

    pub(crate) fn applied_index(&self) -> Option<u64> {
        self.applied.get().map(|applied| applied.index)
    }

    /// The first event that is not committed.
    pub(crate) fn progress(&self) -> &Observed<u64> {
        &self.next_event
    }

    pub(crate) fn history(&self) -> BTreeMap<u64, u64> {
        self.history.borrow().clone()
    }
}

impl Machine for TestMachine {
    type Snapshot = Snapshot;

    fn committed(&self, entry: &Entry) {
        let expected = self.applied_index().map_or(0, |index| index + 1);
        assert_eq!(entry.id.index, expected, "r03: applied 1, 2, 3 without a gap or a repeat");
        assert_eq!(entry.first_event, self.next_event.get(), "r08: events rise by one");
        self.history.borrow_mut().insert(entry.id.index, hash_of(entry));
        self.applied.set(Some(entry.id));
        self.next_event.set(entry.next_event());
        (self.watch)(entry);
    }

    fn snapshot(
        self: &Rc<Self>,
        memberships: Memberships,
    ) -> impl Future<Output = io::Result<(SnapshotMeta, Snapshot)>> + 'static {
        let machine = self.clone();
        async move {
            let last = machine.applied.get().expect("a snapshot of something");
            let next_event = machine.next_event.get();
            let meta = SnapshotMeta { last, next_event, membership: memberships.as_of(last) };
            let snapshot = Rc::new(machine.history());
            *machine.slot.borrow_mut() = Some((meta.clone(), snapshot.clone()));
            Ok((meta, snapshot))
        }
    }

    async fn latest_snapshot(&self) -> io::Result<Option<(SnapshotMeta, Snapshot)>> {
        Ok(self.slot.borrow().clone())
    }

    async fn install(&self, meta: &SnapshotMeta, snapshot: Snapshot) -> io::Result<()> {
        *self.slot.borrow_mut() = Some((meta.clone(), snapshot.clone()));
        self.history.replace((*snapshot).clone());
        self.applied.set(Some(meta.last));
        self.next_event.set(meta.next_event);
        Ok(())
    }
}
