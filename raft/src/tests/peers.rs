//! A network of members in one simulation.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use jobbie_log::Vote;
use jobbie_sim::{Handle, NodeId, SimNet};
use openraft::async_runtime::{AsyncRuntime, Oneshot, OneshotSender};

use super::machine::{Snapshot, TestMachine};
use crate::sim::SimRuntime;
use crate::{Fatal, Group, Peer, PeerError, PeerNetwork, PeerReply, PeerRequest, SnapshotMeta};

pub(crate) type SimGroup = Group<SimRuntime, TestMachine>;

/// Which members run, and the links between all of them.
#[derive(Clone)]
pub(crate) struct Switchboard {
    pub(crate) net: SimNet,
    running: Rc<RefCell<BTreeMap<u64, SimGroup>>>,
}

impl Switchboard {
    pub(crate) fn new(net: SimNet) -> Self {
        Self { net, running: Rc::default() }
    }

    pub(crate) fn plug(&self, node: u64, group: SimGroup) {
        self.running.borrow_mut().insert(node, group);
    }

    pub(crate) fn unplug(&self, node: u64) {
        let unplugged = self.running.borrow_mut().remove(&node);
        drop(unplugged);
    }

    fn running(&self, node: u64) -> Option<SimGroup> {
        self.running.borrow().get(&node).cloned()
    }

    /// Carries a question there and the answer back, each as the links decide.
    async fn exchange<T: 'static, F: Future<Output = Result<T, Fatal>> + 'static>(
        &self,
        from: u64,
        peer: &Peer,
        ttl: Duration,
        ask: impl Fn(SimGroup) -> F + 'static,
    ) -> Result<T, PeerError> {
        let (there, to) = (NodeId(from), NodeId(peer.node));
        let ask = Rc::new(ask);
        let (sender, receiver) = <SimRuntime as AsyncRuntime>::Oneshot::channel();
        let sender = Rc::new(RefCell::new(Some(sender)));
        let handle = Handle::current();
        for nanos in self.net.fates(there, to) {
            let (board, sender, ask) = (self.clone(), sender.clone(), ask.clone());
            // What was sent arrives even if the sender dies, so the harness carries it.
            handle.spawn_on(NodeId::HARNESS, async move {
                let handle = Handle::current();
                handle.sleep(Duration::from_nanos(nanos)).await;
                let Some(group) = board.running(to.0).filter(|_| !board.net.is_cut(there, to))
                else {
                    return;
                };
                // The receiver dies in the middle if its node does.
                let answer = handle.spawn_on(to, ask(group)).await;
                let Ok(Ok(answer)) = answer else { return };
                let Some(nanos) = board.net.fates(to, there).first().copied() else { return };
                handle.sleep(Duration::from_nanos(nanos)).await;
                if let Some(sender) = sender.borrow_mut().take() {
                    // The asker may have given up.
                    let _ = sender.send(answer);
                }
            });
        }
        // Only the messages on their way may answer now.
        drop(sender);
        let failed = |reason: &str| PeerError::Failed { node: peer.node, reason: reason.into() };
        match SimRuntime::timeout(ttl, receiver).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => {
                SimRuntime::sleep(ttl / 2).await;
                Err(failed("lost on the way"))
            }
            Err(_) => Err(failed("no answer in time")),
        }
    }
}

/// One member's view of the switchboard.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) board: Switchboard,
    pub(crate) node: u64,
}

impl PeerNetwork for Line {
    type Snapshot = Snapshot;

    async fn call(
        &self,
        peer: &Peer,
        request: PeerRequest,
        ttl: Duration,
    ) -> Result<PeerReply, PeerError> {
        let ask = move |group: SimGroup| {
            let request = request.clone();
            async move { group.handle(request).await }
        };
        self.board.exchange(self.node, peer, ttl, ask).await
    }

    async fn send_snapshot(
        &self,
        peer: &Peer,
        vote: Vote,
        meta: SnapshotMeta,
        snapshot: Snapshot,
        ttl: Duration,
    ) -> Result<Vote, PeerError> {
        let ask = move |group: SimGroup| {
            let (meta, snapshot) = (meta.clone(), snapshot.clone());
            async move { group.install_snapshot(vote, meta, snapshot).await }
        };
        self.board.exchange(self.node, peer, ttl, ask).await
    }
}
