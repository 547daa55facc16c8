//! Lanes in a snapshot, and back.
//!
//! What a snapshot keeps of a queue is its limits, its [`Clock`], a [`Saved`] row for each lane and the waiting
//! jobs of each lane and tier in order. Numbers of lanes are not kept, and nothing depends on
//! them.

use super::fair::{Clock, Turn};
use super::lane::{Lane, Standing};
use super::settings::{Key, Limits};
use super::window::{RateWindow, Run};
use super::{LaneId, Lanes, Waiting};
use crate::fifo::Cursor;

/// A lane without its waiting jobs and its claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saved<'a> {
    pub(crate) key: Key<'a>,
    pub(crate) active: u32,
    pub(crate) turn: Turn,
    /// What its last job that ended has cost. 0 when none has.
    pub(crate) cost_us: u64,
}

impl Lanes {
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// The lane that follows in a walk over all of them, which begins after none and may be made in slices.
    pub(crate) fn lane_after(&self, last: Option<LaneId>) -> Option<(LaneId, Saved<'_>)> {
        let from = last.map_or(0, |id| id.0 + 1);
        let at = (from..self.lanes.slots() as u32).find(|&at| self.lanes.get(at).key.is_some())?;
        Some((LaneId(at), self.saved(LaneId(at))))
    }

    /// A lane without its waiting jobs and its claims.
    pub(crate) fn saved(&self, id: LaneId) -> Saved<'_> {
        let lane = self.lanes.get(id.0);
        Saved {
            key: Key { name: lane.key(), weight: lane.weight },
            active: lane.active,
            turn: lane.turn,
            cost_us: lane.cost_us,
        }
    }

    /// Whether nothing depends on a lane at `now`, so that it may have been forgotten already.
    pub(crate) fn is_idle(&self, id: LaneId, now: u64) -> bool {
        let lane = self.lanes.get(id.0);
        let is_over = lane.turn.finish <= self.clock.now;
        match lane.standing(&self.limits) {
            Standing::Cooling(until) => until <= now && is_over,
            Standing::Lingering(_) => is_over,
            Standing::Held | Standing::Ready | Standing::Opening(_) => false,
        }
    }

    /// When jobs of a lane were given out of late.
    pub(crate) fn window(&self, id: LaneId) -> &RateWindow {
        &self.lanes.get(id.0).window
    }

    /// Brings a claim back, after those before it.
    pub(crate) fn restore_claim(&mut self, id: LaneId, run: Run) {
        self.lanes.get_mut(id.0).window.claim(run.time_us, run.count);
    }

    /// The waiting job of a lane's tier at a cursor, which moves behind it.
    pub(crate) fn waiting_at(&self, id: LaneId, tier: u8, cursor: &mut Cursor) -> Option<Waiting> {
        self.lanes.get(id.0).next(usize::from(tier), cursor)
    }

    /// The waiting jobs of a lane's tier in order, among them some that no longer wait.
    pub(crate) fn waiting(&self, id: LaneId, tier: u8) -> impl Iterator<Item = Waiting> {
        let (lane, mut cursor) = (self.lanes.get(id.0), Cursor::START);
        std::iter::from_fn(move || lane.next(usize::from(tier), &mut cursor))
    }

    /// Begins to restore: [`Lanes::restore_lane`] for every row, [`Lanes::restore_claim`] for every claim, [`Lanes::restore_waiting`] for every job that
    /// waits, then [`Lanes::restored`].
    pub(crate) fn restore(limits: Limits, clock: Clock) -> Self {
        Self { clock, ..Self::new(limits) }
    }

    /// Brings a lane back, for now without its claims and jobs.
    ///
    /// # Panics
    /// When there is one of this key already, or the row is out of bounds.
    pub(crate) fn restore_lane(&mut self, saved: &Saved<'_>) -> LaneId {
        assert!(self.find(saved.key.name).is_none(), "two lanes of one key");
        let id = self.insert(saved.key);
        let lane: &mut Lane = self.lanes.get_mut(id.0);
        (lane.active, lane.turn, lane.cost_us) = (saved.active, saved.turn, saved.cost_us);
        self.active += u64::from(saved.active);
        id
    }

    /// Brings a waiting job back, in order of position within its lane and tier.
    pub(crate) fn restore_waiting(&mut self, id: LaneId, tier: u8, waiting: Waiting) {
        self.lanes.get_mut(id.0).push(tier, waiting);
    }

    /// Everything is back: lanes are put where they stand.
    pub(crate) fn restored(&mut self) {
        self.index = super::Index::default();
        for id in self.ids() {
            let lane = self.lanes.get(id.0);
            self.index.insert(id, lane, lane.standing(&self.limits));
        }
    }
}
