//! Everything that must hold of lanes, checked from scratch.

use super::index::Index;
use super::{LaneId, Lanes, TIERS, Waiting};

impl Lanes {
    /// Asserts every invariant, in time proportional to everything in it. For tests and the simulator.
    ///
    /// `waits` says whether a job still waits in the place that is named, `active` how many jobs of a key workers
    /// have.
    ///
    /// # Panics
    /// When something contradicts itself, saying how.
    pub(crate) fn check(&self, waits: impl Fn(Waiting) -> bool, active: impl Fn(&str) -> u32) {
        let ids = self.ids();
        assert_eq!(ids.len(), self.lanes.live(), "lanes and their keys differ");
        let (mut expected, mut total) = (Index::default(), 0);
        for &id in &ids {
            let lane = self.lanes.get(id.0);
            let key = lane.key();
            assert_eq!(self.find(key), Some(id), "lane {key} is not found");
            assert_eq!(lane.active, active(key), "lane {key} miscounts its active jobs");
            total += u64::from(lane.active);
            lane.window.check();
            let unlimited = lane.is_keyless() || self.limits.rate().is_none();
            assert!(!unlimited || lane.window.is_empty(), "lane {key} counts claims for nothing");
            for tier in 0..TIERS {
                self.check_tier(id, tier, &waits);
            }
            assert!(lane.turn.finish <= self.clock.finish_max, "lane {key} is ahead of the clock");
            let fair = self.limits.fair.is_some();
            assert!(
                fair || lane.turn == super::fair::Turn::default(),
                "lane {key} has tags for nothing"
            );
            expected.insert(id, lane, lane.standing(&self.limits));
        }
        assert_eq!(self.active, total, "active jobs miscounted");
        self.check_index(&expected);
        if self.active == 0 && !self.has_ready() {
            assert!(
                self.clock.now >= self.clock.finish_max,
                "debts are kept while nobody is served"
            );
        }
    }

    fn check_tier(&self, id: LaneId, tier: usize, waits: impl Fn(Waiting) -> bool) {
        let lane = self.lanes.get(id.0);
        let key = lane.key();
        assert!(lane.front(tier).is_none_or(waits), "lane {key}: the front is gone");
        let positions = self.waiting(id, tier as u8).map(|waiting| waiting.position);
        assert!(positions.is_sorted(), "lane {key} is out of order");
    }

    /// Ready, opening, cooling and lingering are exactly the lanes that should be there, in order.
    fn check_index(&self, expected: &Index) {
        for tier in 0..TIERS {
            let (is, should) = (&self.index.ready[tier], &expected.ready[tier]);
            assert!(is.iter().eq(should.iter()), "tier {tier}: wrong lanes are ready");
            assert!(is.iter().is_sorted(), "tier {tier}: ready lanes are out of order");
            is.check();
        }
        self.index.opening.check();
        self.index.cooling.check();
        self.index.lingering.check();
        assert!(self.index.opening.iter().eq(expected.opening.iter()), "wrong lanes open");
        assert!(self.index.cooling.iter().eq(expected.cooling.iter()), "wrong lanes cool");
        assert!(self.index.lingering.iter().eq(expected.lingering.iter()), "wrong lanes linger");
    }
}
