//! Limits and weights, which may change at any time. Nothing that runs is interrupted by that.

use super::fair::{Clock, Cost, Turn, WEIGHT_MAX};
use super::lane::Standing;
use super::window::{Rate, RateWindow};
use super::{LaneId, Lanes};

/// What holds for every key of a queue. By default, nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Most jobs of one key that may be active at a time. 0 is no limit.
    pub(crate) key_concurrency: u32,
    /// Most jobs of one key that may be given away in one window. 0 is no limit.
    pub(crate) key_rate: u32,
    /// Length of that window, in microseconds. A window of 0 limits nothing.
    pub(crate) key_window_us: u64,
    /// What keys share, each by its weight; none serves jobs in order of arrival.
    pub(crate) fair: Option<Cost>,
}

impl Limits {
    /// Whether claims are counted.
    pub(crate) fn has_rate(&self) -> bool {
        self.rate().is_some()
    }

    pub(super) fn rate(&self) -> Option<Rate> {
        let rate = Rate { claims: self.key_rate, window_us: self.key_window_us };
        (rate.claims > 0).then_some(rate)
    }
}

/// A limit key and what is set for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key<'a> {
    /// At most `KEY_BYTES_MAX` bytes. Empty for jobs without a key, which share a lane that has
    /// no limits.
    pub(crate) name: &'a str,
    /// Its share, `1..=WEIGHT_MAX`.
    pub(crate) weight: u16,
}

impl Lanes {
    /// Puts other limits in force. Whether a lane has become ready by that.
    ///
    /// Claims are counted from when there is a rate at first. A claim that has left the window
    /// does not come back into a longer one. A change of what is shared starts the clock anew.
    /// Takes time in proportion to all lanes.
    pub(crate) fn set_limits(&mut self, now: u64, limits: Limits) -> bool {
        let old = std::mem::replace(&mut self.limits, limits);
        if old == limits {
            return false;
        }
        if old.fair != limits.fair {
            self.clock = Clock::default();
        }
        self.index = super::Index::default();
        let mut opened = false;
        for id in self.ids() {
            let lane = self.lanes.get_mut(id.0);
            let was = lane.standing(&old);
            lane.window.forget(now, old.key_window_us);
            match limits.rate() {
                None => lane.window = RateWindow::default(),
                Some(rate) => lane.window.forget(now, rate.window_us),
            }
            if old.fair != limits.fair {
                (lane.turn, lane.cost_us) = (Turn::default(), 0);
            }
            // Order matters to none of them: the clock stands still until all are back.
            let standing = lane.standing(&limits);
            if standing == Standing::Ready && was != Standing::Ready {
                self.clock.enter(&mut lane.turn);
                opened = true;
            }
            self.index.insert(id, lane, standing);
        }
        if self.active == 0 && !self.index.has_ready() {
            self.clock.rest();
        }
        opened
    }

    /// Gives a key another weight, from its next job on. Keys that have no lane are told theirs when they
    /// come back.
    ///
    /// # Panics
    /// When the weight is out of range.
    pub(crate) fn set_weight(&mut self, key: Key<'_>) {
        assert!((1..=WEIGHT_MAX).contains(&key.weight), "a weight of {}", key.weight);
        if let Some(id) = self.find(key.name) {
            self.lanes.get_mut(id.0).weight = key.weight;
        }
    }

    /// All lanes, by number.
    pub(super) fn ids(&self) -> Vec<LaneId> {
        let mut numbers = self.by_key.as_ref().map_or_else(Vec::new, |table| table.numbers());
        numbers.sort_unstable();
        numbers.into_iter().map(LaneId).collect()
    }
}
