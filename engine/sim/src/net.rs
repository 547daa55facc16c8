//! A network that delays, drops, duplicates and cuts. It decides fates and knows no messages:
//! whoever sends one asks [`SimNet::fates`] when it arrives, and how often.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;

use crate::executor::{Handle, NodeId};
use crate::rng::Rng;

/// How links behave.
#[derive(Clone, Debug)]
pub struct LinkRates {
    /// One way, in nanoseconds of virtual time. Differing delays reorder messages.
    pub delay_nanos: Range<u64>,
    /// Messages that vanish, per million.
    pub drop_ppm: u32,
    /// Messages that arrive twice, per million.
    pub duplicate_ppm: u32,
}

impl Default for LinkRates {
    fn default() -> Self {
        Self { delay_nanos: 50_000..500_000, drop_ppm: 0, duplicate_ppm: 0 }
    }
}

struct Links {
    rates: LinkRates,
    rng: Rng,
    /// Pairs (from, to) over which nothing passes.
    cut: BTreeSet<(NodeId, NodeId)>,
}

/// The links between simulated nodes. Clones are the same network.
#[derive(Clone)]
pub struct SimNet(Rc<RefCell<Links>>);

impl SimNet {
    /// A network without cuts.
    #[must_use]
    pub fn new(seed: u64, rates: LinkRates) -> Self {
        Self(Rc::new(RefCell::new(Links { rates, rng: Rng::new(seed), cut: BTreeSet::new() })))
    }

    /// When each copy of a message sent now arrives, in nanoseconds from now; empty if none does.
    /// Folds the answer into the trace.
    #[must_use]
    pub fn fates(&self, from: NodeId, to: NodeId) -> Vec<u64> {
        let mut links = self.0.borrow_mut();
        let Links { rates, rng, cut } = &mut *links;
        let copies = match (rng.chance_ppm(rates.drop_ppm), rng.chance_ppm(rates.duplicate_ppm)) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        };
        let copies = if cut.contains(&(from, to)) { 0 } else { copies };
        let fates: Vec<u64> = (0..copies).map(|_| rng.within(&rates.delay_nanos)).collect();
        let handle = Handle::current();
        handle.trace(from.0.rotate_left(32) ^ to.0);
        fates.iter().for_each(|nanos| handle.trace(*nanos));
        fates
    }

    /// Whether a message on its way arrives: a cut also stops what was sent before it.
    #[must_use]
    pub fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.0.borrow().cut.contains(&(from, to))
    }

    /// Stops everything from `from` to `to`; the other way stays open.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.0.borrow_mut().cut.insert((from, to));
    }

    /// Opens `from` to `to` again.
    pub fn heal(&self, from: NodeId, to: NodeId) {
        self.0.borrow_mut().cut.remove(&(from, to));
    }

    /// Opens every link.
    pub fn heal_all(&self) {
        self.0.borrow_mut().cut.clear();
    }

    /// Changes how links behave from now on.
    pub fn configure(&self, change: impl FnOnce(&mut LinkRates)) {
        change(&mut self.0.borrow_mut().rates);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::{Executor, Schedule};

    fn count(net: &SimNet, from: u64, to: u64) -> usize {
        (0..1000).map(|_| net.fates(NodeId(from), NodeId(to)).len()).sum()
    }

    #[test]
    fn messages_drop_duplicate_and_reorder_by_the_rates() {
        let rates = LinkRates { drop_ppm: 200_000, duplicate_ppm: 100_000, ..LinkRates::default() };
        Executor::new(1, Schedule::Fifo).block_on(async {
            let net = SimNet::new(3, rates);
            let arrived = count(&net, 1, 2);
            assert!((820..940).contains(&arrived), "{arrived} of 1000 arrived");
            net.configure(|rates| *rates = LinkRates::default());
            let delays: BTreeSet<u64> =
                (0..100).flat_map(|_| net.fates(NodeId(1), NodeId(2))).collect();
            assert!(delays.len() > 90, "delays differ, so messages overtake each other");
        });
    }

    #[test]
    fn a_cut_is_one_way_until_healed() {
        Executor::new(1, Schedule::Fifo).block_on(async {
            let net = SimNet::new(3, LinkRates::default());
            net.cut(NodeId(1), NodeId(2));
            assert_eq!((count(&net, 1, 2), count(&net, 2, 1)), (0, 1000));
            assert!(net.is_cut(NodeId(1), NodeId(2)));
            net.heal_all();
            assert_eq!(count(&net, 1, 2), 1000);
        });
    }
}
