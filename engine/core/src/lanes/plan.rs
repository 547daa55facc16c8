//! Which jobs would be served, without serving them.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};

use super::fair::{Clock, Turn};
use super::lane::{Rank, Standing};
use super::{LaneId, Lanes, TIERS, Waiting, cost};
use crate::fifo::Cursor;

/// What a job that stands in a lane is worth to the one who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Candidate {
    /// It may be given away.
    Waits,
    /// It waits, but its time is over: it is reported and passed over.
    Expired,
    /// It no longer waits here.
    Gone,
}

/// What is asked of a plan.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ask<'a> {
    /// Jobs wanted.
    pub(crate) wanted: usize,
    /// Expired jobs met, at which the search stops.
    pub(crate) expired_max: usize,
    /// Lanes of active jobs whose end has been decided but not yet absorbed, once for each.
    pub(crate) ended: &'a [LaneId],
}

/// A job that was met, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pick {
    pub(crate) lane: LaneId,
    pub(crate) tier: u8,
    pub(crate) waiting: Waiting,
}

/// Jobs in the order in which they were met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) picks: Vec<Pick>,
    pub(crate) expired: Vec<Pick>,
}

impl Lanes {
    /// The jobs that would be served now. Limits and tags advance within the plan as they will
    /// when it is carried out: when its expired jobs are dead and each pick, in order, has gone
    /// through [`Lanes::lease`].
    ///
    /// Takes time in proportion to what it meets, times the logarithm of the number of lanes:
    /// ready lanes are read in order from the index, and those that have been served meanwhile are merged in
    /// from a heap.
    pub(crate) fn plan(&self, now: u64, ask: Ask<'_>, look: impl Fn(Waiting) -> Candidate) -> Plan {
        let mut planner = Planner {
            lanes: self,
            now,
            ask,
            look,
            clock: self.clock,
            touched: BTreeMap::new(),
            heads: BinaryHeap::new(),
            plan: Plan::default(),
        };
        for &id in ask.ended {
            let touched = planner.touch(id);
            touched.active = touched.active.saturating_sub(1);
        }
        for tier in 0..TIERS {
            planner.serve(tier);
        }
        planner.plan
    }
}

/// A lane as it will be when the plan so far is carried out.
struct Touched {
    active: u32,
    /// How many more jobs its window lets through.
    room: u32,
    turn: Turn,
}

/// The next job of a touched lane.
struct Head {
    rank: Rank,
    lane: LaneId,
    candidate: Candidate,
    /// Behind the job.
    cursor: Cursor,
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank)
    }
}

struct Planner<'a, L> {
    lanes: &'a Lanes,
    now: u64,
    ask: Ask<'a>,
    look: L,
    clock: Clock,
    touched: BTreeMap<LaneId, Touched>,
    /// Next jobs of touched lanes, in the tier that is served.
    heads: BinaryHeap<Reverse<Head>>,
    plan: Plan,
}

impl<L: Fn(Waiting) -> Candidate> Planner<'_, L> {
    fn is_full(&self) -> bool {
        self.plan.picks.len() >= self.ask.wanted || self.plan.expired.len() >= self.ask.expired_max
    }

    fn touch(&mut self, id: LaneId) -> &mut Touched {
        let Self { lanes, now, clock, touched, .. } = self;
        touched.entry(id).or_insert_with(|| {
            let (lane, limits) = (lanes.lanes.get(id.0), &lanes.limits);
            let mut turn = lane.turn;
            if lane.standing(limits) != Standing::Ready {
                clock.enter(&mut turn);
            }
            Touched { active: lane.active, room: lane.room(*now, limits), turn }
        })
    }

    fn serve(&mut self, tier: usize) {
        self.heads.clear();
        let touched: Vec<_> = self.touched.keys().copied().collect();
        for id in touched {
            self.push_head(tier, id, Cursor::START);
        }
        let lanes = self.lanes;
        let mut ready = lanes.index.ready[tier].iter().peekable();
        while !self.is_full() {
            while ready.peek().is_some_and(|(_, id)| self.touched.contains_key(id)) {
                ready.next();
            }
            let head = self.heads.peek().map(|Reverse(head)| head.rank);
            match ready.peek().filter(|(rank, _)| head.is_none_or(|head| *rank < head)) {
                Some((_, id)) => {
                    self.touch(*id);
                    self.push_head(tier, *id, Cursor::START);
                }
                None => {
                    let Some(Reverse(head)) = self.heads.pop() else { return };
                    self.meet(tier, head);
                }
            }
        }
    }

    /// Lets a touched lane compete with its next job from `cursor` on.
    fn push_head(&mut self, tier: usize, id: LaneId, mut cursor: Cursor) {
        let (touched, lane) = (&self.touched[&id], self.lanes.lanes.get(id.0));
        if !lane.has_slot(touched.active, &self.lanes.limits) || touched.room == 0 {
            return;
        }
        let start = touched.turn.start;
        while let Some(next) = lane.next(tier, &mut cursor) {
            let candidate = (self.look)(next);
            if candidate != Candidate::Gone {
                let rank = Rank::new(start, next);
                self.heads.push(Reverse(Head { rank, lane: id, candidate, cursor }));
                return;
            }
        }
    }

    fn meet(&mut self, tier: usize, head: Head) {
        let Rank { job, position, .. } = head.rank;
        let waiting = Waiting { job, position };
        let pick = Pick { lane: head.lane, tier: tier as u8, waiting };
        if head.candidate == Candidate::Expired {
            self.plan.expired.push(pick);
        } else {
            self.plan.picks.push(pick);
            self.charge(head.lane);
        }
        self.push_head(tier, head.lane, head.cursor);
    }

    fn charge(&mut self, id: LaneId) {
        let Lanes { limits, lanes, .. } = self.lanes;
        let lane = lanes.get(id.0);
        let touched = self.touched.get_mut(&id).expect("whoever is served was touched");
        touched.active += 1;
        if limits.rate().is_some() && !lane.is_keyless() {
            touched.room -= 1;
        }
        if limits.fair.is_some() {
            let charged = cost(limits, &self.clock, lane);
            self.clock.serve(&mut touched.turn, charged, lane.weight);
        }
    }
}
