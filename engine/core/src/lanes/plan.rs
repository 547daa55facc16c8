//! Which jobs would be served, without serving them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::fair::{Clock, Turn};
use super::lane::{Rank, Standing};
use super::{LaneId, Lanes, TIERS, Waiting, cost};
use crate::fifo::Cursor;

/// Jobs for which there is room from the beginning.
const ROOM: usize = 128;

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
    /// Takes time in proportion to what it meets, times the logarithm of the number of lanes that it meets:
    /// ready lanes are read in order from the index, and those that have been served meanwhile are merged in
    /// from a heap.
    pub(crate) fn plan(&self, now: u64, ask: Ask<'_>, look: impl Fn(Waiting) -> Candidate) -> Plan {
        let mut planner = Planner {
            lanes: self,
            now,
            ask,
            look,
            clock: self.clock,
            seats: Vec::with_capacity(ask.wanted.min(ROOM)),
            heads: BinaryHeap::with_capacity(ask.wanted.min(ROOM)),
            plan: Plan { picks: Vec::with_capacity(ask.wanted.min(ROOM)), expired: Vec::new() },
        };
        planner.seat_ended();
        for tier in 0..TIERS {
            planner.serve(tier);
        }
        planner.plan
    }
}

/// A lane as it will be when the plan so far is carried out.
struct Seat {
    lane: LaneId,
    /// Whether it stood among the ready ones, so that it may give away one job at least.
    is_ready: bool,
    active: u32,
    /// Jobs of it that the plan gives away.
    claimed: u32,
    /// How many its window lets through; none until that matters.
    room: Option<u32>,
    turn: Turn,
    /// Behind the jobs of this tier that were met.
    cursor: Cursor,
}

/// When a lane's next job in this tier is due.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    /// Its rank, or one that is lower when the job has not been looked up.
    rank: Rank,
    is_known: bool,
    seat: u32,
}

struct Planner<'a, L> {
    lanes: &'a Lanes,
    now: u64,
    ask: Ask<'a>,
    look: L,
    clock: Clock,
    seats: Vec<Seat>,
    /// Next jobs of the lanes that have seats, in the tier that is served.
    heads: BinaryHeap<Reverse<Head>>,
    plan: Plan,
}

impl<L: Fn(Waiting) -> Candidate> Planner<'_, L> {
    fn is_full(&self) -> bool {
        self.plan.picks.len() >= self.ask.wanted || self.plan.expired.len() >= self.ask.expired_max
    }

    /// Lanes that have ended jobs may give away more than it is known of ready ones.
    fn seat_ended(&mut self) {
        let mut ended = self.ask.ended.to_vec();
        ended.sort_unstable();
        for same in ended.chunk_by(|a, b| a == b) {
            let lane = self.lanes.lanes.get(same[0].0);
            let seat = self.seat(same[0], lane.standing(&self.lanes.limits) == Standing::Ready);
            seat.active = lane.active.saturating_sub(same.len() as u32);
        }
    }

    fn seat(&mut self, id: LaneId, is_ready: bool) -> &mut Seat {
        let lane = self.lanes.lanes.get(id.0);
        let mut turn = lane.turn;
        if !is_ready {
            self.clock.enter(&mut turn);
        }
        let (active, cursor) = (lane.active, Cursor::START);
        self.seats.push(Seat { lane: id, is_ready, active, claimed: 0, room: None, turn, cursor });
        self.seats.last_mut().expect("just pushed")
    }

    fn serve(&mut self, tier: usize) {
        self.heads.clear();
        let mut seated: Vec<_> = self.seats.iter().map(|seat| seat.lane).collect();
        seated.sort_unstable();
        for seat in 0..self.seats.len() {
            self.seats[seat].cursor = Cursor::START;
            self.push_head(tier, seat);
        }
        let lanes = self.lanes;
        let ready = lanes.index.ready[tier].iter();
        let mut ready = ready.filter(|(_, id)| seated.binary_search(id).is_err()).peekable();
        while !self.is_full() {
            let head = self.heads.peek().map(|Reverse(head)| *head);
            match ready.next_if(|(rank, _)| head.is_none_or(|head| *rank < head.rank)) {
                Some((_, id)) => {
                    self.seat(*id, true);
                    self.meet_next(tier, self.seats.len() - 1);
                }
                None => {
                    let Some(Head { is_known, seat, .. }) = head else { return };
                    self.heads.pop();
                    if is_known {
                        self.meet_next(tier, seat as usize);
                    } else {
                        self.push_known_head(tier, seat as usize);
                    }
                }
            }
        }
    }

    /// Lets a lane compete with its next job behind the cursor. Where keys share, it is far behind the others when it has just been served, so its next
    /// job is looked up only when its turn comes.
    fn push_head(&mut self, tier: usize, seat: usize) {
        if self.lanes.limits.fair.is_none() {
            return self.push_known_head(tier, seat);
        }
        let rank = Rank { start: self.seats[seat].turn.start, position: 0, job: 0 };
        self.heads.push(Reverse(Head { rank, is_known: false, seat: seat as u32 }));
    }

    fn push_known_head(&mut self, tier: usize, seat: usize) {
        let Seat { lane, turn, mut cursor, .. } = self.seats[seat];
        if let Some(next) = self.lanes.lanes.get(lane.0).next(tier, &mut cursor) {
            let rank = Rank::new(turn.start, next);
            self.heads.push(Reverse(Head { rank, is_known: true, seat: seat as u32 }));
        }
    }

    /// The next job of a lane is the first of all, unless the lane is at a limit: then all its others wait, too.
    fn meet_next(&mut self, tier: usize, at: usize) {
        if !self.may_give(at) {
            return;
        }
        let seat = &mut self.seats[at];
        let lane = seat.lane;
        let next = self.lanes.lanes.get(lane.0).next(tier, &mut seat.cursor);
        let Some(waiting) = next else { return };
        let pick = Pick { lane, tier: tier as u8, waiting };
        match (self.look)(waiting) {
            Candidate::Gone => {}
            Candidate::Expired => self.plan.expired.push(pick),
            Candidate::Waits => {
                self.plan.picks.push(pick);
                self.charge(at);
            }
        }
        self.push_head(tier, at);
    }

    fn may_give(&mut self, at: usize) -> bool {
        let Lanes { limits, lanes, .. } = self.lanes;
        let (seat, now) = (&mut self.seats[at], self.now);
        let lane = lanes.get(seat.lane.0);
        let has_room = |seat: &mut Seat| {
            *seat.room.get_or_insert_with(|| lane.room(now, limits)) > seat.claimed
        };
        lane.has_slot(seat.active, limits) && (seat.is_ready && seat.claimed == 0 || has_room(seat))
    }

    fn charge(&mut self, at: usize) {
        let Lanes { limits, lanes, .. } = self.lanes;
        let seat = &mut self.seats[at];
        let lane = lanes.get(seat.lane.0);
        seat.active += 1;
        seat.claimed += 1;
        if limits.fair.is_some() {
            let charged = cost(limits, &self.clock, lane);
            self.clock.serve(&mut seat.turn, charged, lane.weight);
        }
    }
}
