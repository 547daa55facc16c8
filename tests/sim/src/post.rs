//! Letters between shards: they come late, out of order, twice or not at all.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use jobbie_proto::ShardId;
use jobbie_proto::letter::Letter;
use jobbie_shard::Post;
use jobbie_sim::{Handle, Rng};

use crate::node::Node;

/// Clones are the same.
#[derive(Clone)]
pub(crate) struct SimPost(Rc<Inner>);

struct Inner {
    nodes: RefCell<Vec<Weak<Node>>>,
    rng: RefCell<Rng>,
}

impl SimPost {
    pub(crate) fn new(seed: u64) -> Self {
        let rng = RefCell::new(Rng::new(seed ^ 0x1e77e5));
        Self(Rc::new(Inner { nodes: RefCell::default(), rng }))
    }

    /// Everybody who gets letters, by shard.
    pub(crate) fn connect(&self, nodes: &[Rc<Node>]) {
        *self.0.nodes.borrow_mut() = nodes.iter().map(Rc::downgrade).collect();
    }

    fn delay_nanos(&self) -> u64 {
        let mut rng = self.0.rng.borrow_mut();
        match rng.below(16) {
            0 => rng.below(3_000_000_000),
            _ => 20_000 + rng.below(2_000_000),
        }
    }
}

impl Post for SimPost {
    fn post(&self, to: ShardId, letter: Letter) {
        let copies = match self.0.rng.borrow_mut().below(12) {
            0 => 0,
            1 => 2,
            _ => 1,
        };
        let Some(node) = self.0.nodes.borrow().get(usize::from(to.0)).cloned() else { return };
        for _ in 0..copies {
            let (node, letter) = (node.clone(), letter.clone());
            let arrives = Handle::current().now_nanos() + self.delay_nanos();
            drop(Handle::current().spawn(async move {
                Handle::current().sleep_until(arrives).await;
                if let Some(shard) = node.upgrade().and_then(|node| node.serving()) {
                    shard.receive(letter);
                }
            }));
        }
    }
}
