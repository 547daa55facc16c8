//! Lanes: the waiting jobs of one queue by limit key, with the limits of each key and fair sharing
//! between them.
//!
//! A lane is *ready* when a job waits in it, fewer of its jobs are active than may be, and its
//! rate window has room. Ready lanes stand in an ordered index for each tier, so that the next job
//! is found, and an event is absorbed, in a time logarithmic in the number of lanes. Lanes that
//! wait for their window stand in another, by the time they open.
//!
//! Without fair sharing the index is ordered by the event that put the first job of each lane into
//! it, which makes the tier one list in order of arrival that passes over what is limited. With it, the
//! order is by start tag first (see `fair`). A tier is served before the next one in any case.
//!
//! Time comes with each call and never runs backwards. A lane that waits for its window becomes
//! ready by [`Lanes::open`] alone, so that whoever has absorbed the same events has the same lanes
//! ready. Lanes that nothing depends on any more are forgotten, by and by, in [`Lanes::sweep`];
//! whether that has happened cannot be told from outside.
//!
//! | file | is |
//! |---|---|
//! | `window` | how many claims of late |
//! | `fair` | the virtual clock |
//! | `lane`, `index` | one lane, and the sets they all stand in |
//! | `plan` | which jobs would be served, without serving them |
//! | `settings` | limits and weights that change |
//! | `saved` | lanes in a snapshot |
//! | `check` | what must hold |

mod check;
pub(crate) mod fair;
mod index;
mod lane;
pub(crate) mod plan;
pub(crate) mod saved;
pub(crate) mod settings;
#[cfg(test)]
mod tests;
pub(crate) mod window;

use std::rc::Rc;

use jobbie_proto::limits::PRIORITY_TIERS;
use xxhash_rust::xxh3::xxh3_64;

use crate::pages::per_page;
use crate::slab::{NONE, Slab};
use crate::table::Table;
use fair::{Clock, Cost, Turn, WEIGHT_MAX};
use index::Index;
use lane::{Lane, Standing};
use settings::{Key, Limits};

const TIERS: usize = PRIORITY_TIERS as usize;
/// Longest limit key, in bytes.
pub(crate) const KEY_BYTES_MAX: usize = 255;
/// Slots up to which the pages of a queue without lanes are kept.
const KEPT: usize = 64;

/// A lane. It is the same as long as a job of it waits or is active; a snapshot brings it back
/// under another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LaneId(u32);

/// No lane.
impl Default for LaneId {
    fn default() -> Self {
        Self(NONE)
    }
}

/// A waiting job, and the event that put it where it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) job: u64,
    pub(crate) position: u64,
}

/// The lanes of one queue. Without a lane it holds no pages.
#[derive(Clone)]
pub(crate) struct Lanes {
    limits: Limits,
    clock: Clock,
    /// Active jobs of all lanes.
    active: u64,
    lanes: Slab<Lane, { per_page::<Lane>() }>,
    by_key: Option<Table>,
    index: Index,
}

// Most queues have no lanes: they should not have this by value either.
const _: () = assert!(size_of::<Lanes>() <= 384);

impl Lanes {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            clock: Clock::default(),
            active: 0,
            lanes: Slab::new(),
            by_key: None,
            index: Index::default(),
        }
    }

    /// Lanes in memory, among them some that are about to be forgotten.
    pub(crate) fn len(&self) -> usize {
        self.lanes.live()
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// The lane of a key; the empty key is that of the jobs without one.
    pub(crate) fn find(&self, key: &str) -> Option<LaneId> {
        let is_it = |at| self.lanes.get(at).key() == key;
        self.by_key.as_ref()?.find(hash(key), is_it).map(LaneId)
    }

    /// Whether `id` still is the lane of a key that was shared with it by [`Lanes::key_of`]: no lane can have got
    /// that key at the same address while somebody kept it.
    #[inline]
    pub(crate) fn is_of(&self, id: LaneId, key: &Rc<str>) -> bool {
        let own = ((id.0 as usize) < self.lanes.slots()).then(|| self.lanes.get(id.0).key.as_ref());
        own.flatten().is_some_and(|own| Rc::ptr_eq(own, key))
    }

    /// The key of a lane, to be shared.
    pub(crate) fn key_of(&self, id: LaneId) -> Rc<str> {
        Rc::clone(self.lanes.get(id.0).key.as_ref().expect("a free slot has no key"))
    }

    /// Whether there is a job that may be given away.
    pub(crate) fn has_ready(&self) -> bool {
        self.index.has_ready()
    }

    /// The next time at which a lane opens that waits for its window.
    pub(crate) fn first_opening(&self) -> Option<u64> {
        Some(self.index.opening.first()?.0)
    }

    /// A job waits from now on, behind all others of its key and tier. Says where, and whether that
    /// lane is ready.
    ///
    /// # Panics
    /// When the key is too long.
    pub(crate) fn push(
        &mut self,
        now: u64,
        key: Key<'_>,
        tier: u8,
        waiting: Waiting,
    ) -> (LaneId, bool) {
        let id = match self.find(key.name) {
            None => {
                let id = self.insert(key);
                self.push_first(id, Standing::Held, tier, waiting);
                id
            }
            Some(id) => {
                self.lanes.get_mut(id.0).weight = key.weight;
                self.push_to(now, id, tier, waiting);
                id
            }
        };
        (id, self.lanes.get(id.0).standing(&self.limits) == Standing::Ready)
    }

    /// The same for a lane that is known, whose weight stays.
    pub(crate) fn push_to(&mut self, now: u64, id: LaneId, tier: u8, waiting: Waiting) {
        let lane = self.lanes.get_mut(id.0);
        if lane.front(tier.into()).is_some() {
            return lane.push(tier, waiting);
        }
        let was = self.take_out(now, id);
        let lane = self.lanes.get_mut(id.0);
        if was == Standing::Lingering(lane.turn.finish) && lane.turn.finish <= self.clock.now {
            // It could have been swept already, and then what it knew would be gone.
            (lane.turn, lane.cost_us) = (Turn::default(), 0);
        }
        self.push_first(id, was, tier, waiting);
    }

    fn push_first(&mut self, id: LaneId, was: Standing, tier: u8, waiting: Waiting) {
        self.lanes.get_mut(id.0).push(tier, waiting);
        self.put_back(id, was);
    }

    /// A job of a lane has been given away: it no longer waits. Returns what its lane was charged,
    /// for [`Lanes::settle`].
    ///
    /// Nothing is refused: what has happened is counted, whatever the limits are by now.
    pub(crate) fn lease(
        &mut self,
        now: u64,
        id: LaneId,
        tier: u8,
        waits: impl Fn(Waiting) -> bool,
    ) -> u64 {
        let was = self.take_out(now, id);
        let lane = self.lanes.get_mut(id.0);
        lane.active += 1;
        self.active += 1;
        if self.limits.rate().is_some() && !lane.is_keyless() {
            lane.window.claim(now, 1);
        }
        let charged = cost(&self.limits, &self.clock, lane);
        if self.limits.fair.is_some() {
            if was != Standing::Ready {
                self.clock.enter(&mut lane.turn);
            }
            self.clock.serve(&mut lane.turn, charged, lane.weight);
        }
        lane.trim(usize::from(tier), waits);
        // It keeps the tag that it paid for, if it is still ready.
        self.put_back(id, Standing::Ready);
        charged
    }

    /// What a job has really cost, as soon as that is known, but before its [`Lanes::end`]: the microseconds
    /// that a worker had it.
    pub(crate) fn settle(&mut self, now: u64, id: LaneId, charged: u64, real_us: u64) {
        if self.limits.fair != Some(Cost::WorkerTime) {
            return;
        }
        let was = self.take_out(now, id);
        let lane = self.lanes.get_mut(id.0);
        // 0 is "not known", and no job is free.
        let known = real_us.max(1);
        (lane.cost_us, self.clock.cost_us) = (known, known);
        self.clock.settle(&mut lane.turn, charged, real_us, lane.weight);
        self.put_back(id, was);
    }

    /// A job of a lane is no longer active. Whether its lane has become ready by that.
    ///
    /// # Panics
    /// When none was.
    pub(crate) fn end(&mut self, now: u64, id: LaneId) -> bool {
        let lane = self.lanes.get_mut(id.0);
        if lane.is_waited_in() && lane.has_slot(lane.active, &self.limits) && lane.active > 0 {
            // It had a slot already: it stands where it stood.
            lane.active -= 1;
            self.active -= 1;
            if self.active == 0 && !self.index.has_ready() {
                self.clock.rest();
            }
            return false;
        }
        let was = self.take_out(now, id);
        let lane = self.lanes.get_mut(id.0);
        lane.active = lane.active.checked_sub(1).expect("more jobs ended than were active");
        self.active -= 1;
        self.put_back(id, was)
    }

    /// A job has become active without being leased here: it came with a move from elsewhere.
    pub(crate) fn adopt(&mut self, now: u64, key: Key<'_>) -> LaneId {
        let (id, was) = match self.find(key.name) {
            None => (self.insert(key), Standing::Held),
            Some(id) => (id, self.take_out(now, id)),
        };
        self.lanes.get_mut(id.0).active += 1;
        self.active += 1;
        self.put_back(id, was);
        id
    }

    /// To be called when a job of this lane and tier no longer waits, however that came about.
    pub(crate) fn trim(&mut self, now: u64, id: LaneId, tier: u8, waits: impl Fn(Waiting) -> bool) {
        let tier = usize::from(tier);
        if self.lanes.get(id.0).front(tier).is_none_or(&waits) {
            return;
        }
        let was = self.take_out(now, id);
        self.lanes.get_mut(id.0).trim(tier, waits);
        self.put_back(id, was);
    }

    /// Makes lanes ready whose window has room since a time up to `now`, at most `limit` of them.
    /// Whether any has become so.
    pub(crate) fn open(&mut self, now: u64, limit: usize) -> bool {
        let mut opened = false;
        for _ in 0..limit {
            let Some((_, id)) = self.index.opening.first().filter(|(at, _)| *at <= now) else {
                break;
            };
            let was = self.take_out(now, id);
            opened |= self.put_back(id, was);
        }
        opened
    }

    /// Forgets lanes on which nothing depends at `now`, at most `limit` of them.
    pub(crate) fn sweep(&mut self, now: u64, limit: usize) {
        for _ in 0..limit {
            let cool = self.index.cooling.first().filter(|(at, _)| *at <= now);
            let over = self.index.lingering.first().filter(|(tag, _)| *tag <= self.clock.now);
            let Some(id) = cool.map(|c| c.1).or(over.map(|o| o.1)) else { break };
            let was = self.take_out(now, id);
            self.put_back(id, was);
        }
        if self.lanes.live() == 0 && self.lanes.slots() > KEPT {
            (self.lanes, self.by_key) = (Slab::new(), None);
        }
    }

    /// A new lane, which stands nowhere until [`Lanes::put_back`].
    fn insert(&mut self, key: Key<'_>) -> LaneId {
        assert!(key.name.len() <= KEY_BYTES_MAX, "a limit key of {} bytes", key.name.len());
        assert!((1..=WEIGHT_MAX).contains(&key.weight), "a weight of {}", key.weight);
        let at = self.lanes.insert(Lane::new(key.name, key.weight));
        self.by_key.get_or_insert_with(Table::new).insert(hash(key.name), at);
        LaneId(at)
    }

    /// Takes a lane out of the index, to be changed, and forgets the claims that no longer count.
    /// [`Lanes::put_back`] must follow.
    fn take_out(&mut self, now: u64, id: LaneId) -> Standing {
        let lane = self.lanes.get_mut(id.0);
        let was = lane.standing(&self.limits);
        self.index.remove(id, lane, was);
        lane.window.forget(now, self.limits.key_window_us);
        match was {
            Standing::Cooling(_) => lane.standing(&self.limits),
            _ => was,
        }
    }

    /// Puts a lane that stood elsewhere to where it belongs, or forgets it. Whether it has become ready.
    fn put_back(&mut self, id: LaneId, was: Standing) -> bool {
        let lane = self.lanes.get_mut(id.0);
        let standing = lane.standing(&self.limits);
        let opened = standing == Standing::Ready && was != Standing::Ready;
        if opened && self.limits.fair.is_some() {
            self.clock.enter(&mut lane.turn);
        }
        if standing == Standing::Lingering(lane.turn.finish) && lane.turn.finish <= self.clock.now {
            let key = self.lanes.remove(id.0).key.expect("a free slot has no key");
            self.by_key.as_mut().expect("it was found there").remove(hash(&key), id.0);
        } else {
            self.index.insert(id, lane, standing);
        }
        if self.active == 0 && !self.index.has_ready() {
            self.clock.rest();
        }
        opened
    }
}

/// What a lane is charged for its next job.
fn cost(limits: &Limits, clock: &Clock, lane: &Lane) -> u64 {
    match limits.fair {
        None => 0,
        Some(Cost::Jobs) => 1,
        Some(Cost::WorkerTime) => {
            let known = [lane.cost_us, clock.cost_us, fair::COST_US_DEFAULT];
            known.into_iter().find(|&cost| cost > 0).expect("the default is not 0")
        }
    }
}

fn hash(key: &str) -> u64 {
    xxh3_64(key.as_bytes())
}
