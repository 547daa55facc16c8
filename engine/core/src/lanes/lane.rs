//! One lane: the waiting jobs of one limit key.

use std::rc::Rc;

use super::fair::{Tag, Turn};
use super::settings::Limits;
use super::window::RateWindow;
use super::{TIERS, Waiting};
use crate::fifo::{Cursor, Fifo, Item};
use crate::slab::Slot;

/// A lane, or a free slot for one.
#[derive(Clone, Default)]
pub(super) struct Lane {
    /// None in a free slot.
    pub(super) key: Option<Rc<str>>,
    /// Waiting jobs. The first of each really waits.
    pub(super) tiers: [Fifo; TIERS],
    pub(super) window: RateWindow,
    pub(super) turn: Turn,
    /// What its last job that ended has really cost. 0 when none has.
    pub(super) cost_us: u64,
    /// Jobs that workers have. In a free slot, the next free one.
    pub(super) active: u32,
    pub(super) weight: u16,
}

const _: () = assert!(size_of::<Lane>() <= 240);

impl Slot for Lane {
    fn next_free(&self) -> u32 {
        self.active
    }

    fn free(next: u32) -> Self {
        Self { active: next, ..Self::default() }
    }
}

/// Where a lane stands. It follows from the lane and the limits alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It waits for one of its own jobs to end, in which no index helps.
    Held,
    /// Its first job may be given away.
    Ready,
    /// Jobs wait in it until there is room in its window, at this time.
    Opening(u64),
    /// Nothing waits and nothing is active, but until this time its claims count.
    Cooling(u64),
    /// As above, but only its finish tag is left, until the clock has passed it.
    Lingering(Tag),
}

/// The order in which ready lanes are served: by tag, then by who came first. No two jobs have
/// the same; jobs of one event have the same position, and are taken by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) start: Tag,
    pub(super) position: u64,
    pub(super) job: u64,
}

impl Rank {
    pub(super) fn new(start: Tag, next: Waiting) -> Self {
        Self { start, position: next.position, job: next.job }
    }
}

impl Lane {
    pub(super) fn new(key: &str, weight: u16) -> Self {
        Self { key: Some(key.into()), weight, ..Self::default() }
    }

    pub(super) fn key(&self) -> &str {
        self.key.as_deref().expect("a free slot has no key")
    }

    /// Whether limits per key do not concern it.
    pub(super) fn is_keyless(&self) -> bool {
        self.key().is_empty()
    }

    /// The first waiting job of a tier.
    pub(super) fn front(&self, tier: usize) -> Option<Waiting> {
        self.tiers[tier].front().map(waiting)
    }

    /// A job waits behind all others of its tier.
    pub(super) fn push(&mut self, tier: u8, waiting: Waiting) {
        let Waiting { job, position } = waiting;
        self.tiers[usize::from(tier)].push(Item::Single { job, position });
    }

    /// The waiting job at a cursor, which moves behind it.
    pub(super) fn next(&self, tier: usize, cursor: &mut Cursor) -> Option<Waiting> {
        self.tiers[tier].next(cursor).map(waiting)
    }

    /// Where it stands in the order of a tier.
    pub(super) fn rank(&self, tier: usize) -> Option<Rank> {
        Some(Rank::new(self.turn.start, self.front(tier)?))
    }

    pub(super) fn is_waited_in(&self) -> bool {
        self.tiers.iter().any(|tier| !tier.is_empty())
    }

    /// Whether one more job may be active beside `active` others of this lane.
    pub(super) fn has_slot(&self, active: u32, limits: &Limits) -> bool {
        limits.key_concurrency == 0 || self.is_keyless() || active < limits.key_concurrency
    }

    /// How many of its jobs the window lets through at `now`.
    pub(super) fn room(&self, now: u64, limits: &Limits) -> u32 {
        let rate = limits.rate().filter(|_| !self.is_keyless());
        rate.map_or(u32::MAX, |rate| self.window.room(now, rate))
    }

    pub(super) fn standing(&self, limits: &Limits) -> Standing {
        if self.is_waited_in() {
            if !self.has_slot(self.active, limits) {
                return Standing::Held;
            }
            let rate = limits.rate().filter(|_| !self.is_keyless());
            let opens = rate.and_then(|rate| self.window.opens_at(rate));
            return opens.map_or(Standing::Ready, Standing::Opening);
        }
        if self.active > 0 {
            return Standing::Held;
        }
        let cool = self.window.ends_at(limits.key_window_us);
        cool.map_or(Standing::Lingering(self.turn.finish), Standing::Cooling)
    }

    /// Drops jobs that no longer wait from the front of a tier.
    pub(super) fn trim(&mut self, tier: usize, waits: impl Fn(Waiting) -> bool) {
        while self.front(tier).is_some_and(|front| !waits(front)) {
            self.tiers[tier].drop_front(1);
        }
    }
}

fn waiting(item: Item) -> Waiting {
    match item {
        Item::Single { job, position } => Waiting { job, position },
        Item::Run { .. } => unreachable!("a run in a lane"),
    }
}
