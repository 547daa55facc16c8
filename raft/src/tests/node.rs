//! A simulated node: a disk, a log, a group and somebody who proposes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use jobbie_log::{Entry, Log};
use jobbie_sim::{Handle, NodeId, SimDisk};
use openraft::async_runtime::{AsyncRuntime, Select2};

use super::machine::{SnapshotSlot, TestMachine, hash_of};
use super::peers::{Line, SimGroup, Switchboard};
use crate::sim::SimRuntime;
use crate::{Bootstrap, GroupConfig};

/// What was ever committed anywhere, by index (R3).
#[derive(Clone, Default)]
pub(crate) struct Ledger(Rc<RefCell<Book>>);

#[derive(Default)]
struct Book {
    committed: BTreeMap<u64, u64>,
    violation: Option<String>,
}

impl Ledger {
    fn note(&self, node: u64, entry: &Entry) {
        let (index, hash) = (entry.id.index, hash_of(entry));
        let mut book = self.0.borrow_mut();
        if *book.committed.entry(index).or_insert(hash) != hash {
            let what = format!("r03: node {node} committed another entry at index {index}");
            book.violation.get_or_insert(what);
        }
    }

    /// The first broken promise.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.0.borrow().violation.clone().map_or(Ok(()), Err)
    }

    pub(crate) fn history(&self) -> BTreeMap<u64, u64> {
        self.0.borrow().committed.clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().committed.len()
    }
}

pub(crate) struct Node {
    pub(crate) id: u64,
    pub(crate) disk: SimDisk,
    pub(crate) slot: SnapshotSlot,
    pub(crate) ledger: Ledger,
    pub(crate) board: Switchboard,
    pub(crate) bootstrap: Bootstrap,
    pub(crate) running: Option<Running>,
}

#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) group: SimGroup,
    pub(crate) machine: Rc<TestMachine>,
    pub(crate) log: Log<SimDisk>,
}

impl Node {
    pub(crate) fn new(
        id: u64,
        disk: SimDisk,
        ledger: &Ledger,
        board: &Switchboard,
        bootstrap: Bootstrap,
    ) -> Self {
        let (ledger, board) = (ledger.clone(), board.clone());
        Self { id, disk, slot: SnapshotSlot::default(), ledger, board, bootstrap, running: None }
    }

    /// Boots the node. It may die on the way, if its disk was told to lose power.
    pub(crate) async fn start(&mut self) -> Option<Running> {
        let (id, ledger) = (self.id, self.ledger.clone());
        let (machine, recovered) =
            TestMachine::recover(&self.slot, move |entry| ledger.note(id, entry));
        let (disk, line) = (self.disk.clone(), Line { board: self.board.clone(), node: id });
        let config = GroupConfig::new(id, self.bootstrap.clone());
        let boot = async move {
            let log = super::open_log(disk, id, super::spawn_in_simulation).await;
            let group =
                SimGroup::start(config, log.clone(), machine.clone(), recovered, line).await;
            Running { group: group.expect("the group starts"), machine, log }
        };
        let booted = Handle::current().spawn_on(NodeId(id), boot);
        let Select2::First(running) = SimRuntime::select2(booted, self.disk.power_failure()).await
        else {
            return None;
        };
        let running = running.expect("nobody kills it while it boots");
        self.board.plug(id, running.group.clone());
        self.running = Some(running.clone());
        Some(running)
    }

    /// The process dies; what it wrote stays as far as the disk has it.
    pub(crate) fn kill(&mut self) {
        self.board.unplug(self.id);
        Handle::current().kill(NodeId(self.id));
        self.running = None;
    }

    /// The power fails.
    pub(crate) fn lose_power(&mut self) {
        let crashed = self.disk.crash();
        self.kill();
        self.disk = crashed;
    }
}

impl Running {
    /// Proposes whenever this node leads, in bursts, two entries ahead of what is committed, until
    /// its node dies.
    pub(crate) fn keep_proposing(&self, node: u64) {
        let this = self.clone();
        Handle::current().spawn_on(NodeId(node), async move { this.propose_for_ever().await });
    }

    async fn propose_for_ever(&self) {
        let leadership = self.group.leadership();
        loop {
            let led = leadership.until(|role| role.ready_term().is_some()).await;
            let term = led.ready_term().expect("waited for");
            let mut next = self.log.state().next_event;
            while self.group.propose(term, super::proposal(next, 3)).await.is_ok() {
                next += 3;
                if next.is_multiple_of(8) {
                    SimRuntime::sleep(Duration::from_millis(2)).await;
                }
                let room = self.machine.progress().until(|committed| committed + 6 >= next);
                let lost = leadership.until(|role| role.ready_term() != Some(term));
                SimRuntime::select2(room, lost).await;
            }
        }
    }
}
