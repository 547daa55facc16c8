//! Lanes out of a snapshot. They are put into their queues last, so that nothing else moves in them before.

use std::collections::{BTreeMap, BTreeSet};

use jobbie_proto::limits::LIMIT_KEY_BYTES_MAX;

use super::read::{Checked, require};
use super::{ClaimRow, ClockRow, LaneRow, LaneWaitingRow};
use crate::lanes::fair::{Clock, Turn};
use crate::lanes::saved::Saved;
use crate::lanes::settings::Limits;
use crate::lanes::window::{RateWindow, Run};
use crate::lanes::{LaneId, Lanes, Waiting};
use crate::state::State;

/// Whether a claim at `time` comes after all others.
pub(super) fn rises(window: &RateWindow, time: u64) -> bool {
    window.newest_us().is_none_or(|newest| newest < time)
}

#[derive(Default)]
pub(super) struct RestoringLanes {
    /// By place of the queue: its number, and its lanes if it has any.
    queues: Vec<(u32, Option<Lanes>)>,
    /// Place of the queue, and the lane in it.
    lanes: Vec<(usize, LaneId)>,
    /// The last job that waits: its place.
    last: Option<(u32, u8, u64, u64)>,
}

impl RestoringLanes {
    pub(super) fn queue(&mut self, at: u32, clock: Option<ClockRow>, limits: Limits) -> Checked {
        let clock =
            clock.map(|ClockRow { now, finish_max, cost_us }| Clock { now, finish_max, cost_us });
        let idle = |clock: &Clock| *clock == Clock::default();
        let sound = clock.as_ref().is_none_or(|clock| limits.fair.is_some() || idle(clock));
        require(sound, "a clock of lanes that share nothing")?;
        self.queues.push((at, clock.map(|clock| Lanes::restore(limits, clock))));
        Ok(())
    }

    pub(super) fn lane(&mut self, state: &State, row: &LaneRow) -> Checked {
        let place = row.queue as usize;
        let rises = self.lanes.last().is_none_or(|last| last.0 <= place);
        require(rises, "lanes out of order")?;
        let (at, lanes) = self.queues.get_mut(place).ok_or("a lane of an unknown queue")?;
        let lanes = lanes.as_mut().ok_or("a lane of a queue without lanes")?;
        require(row.key.len() <= LIMIT_KEY_BYTES_MAX, "a limit key is too long")?;
        require(lanes.find(&row.key).is_none(), "two lanes of one key")?;
        let (turn, clock) = (Turn { start: row.start, finish: row.finish }, lanes.clock());
        let shares = lanes.limits().fair.is_some();
        let entered = turn.start <= turn.finish.max(clock.now);
        require(entered && turn.finish <= clock.finish_max, "a lane is ahead of the clock")?;
        require(shares || turn == Turn::default(), "a turn of lanes that share nothing")?;
        let id = lanes.restore_lane(&Saved {
            key: state.queues.get(*at).key(&row.key),
            active: row.active,
            turn,
            cost_us: row.cost_us,
        });
        self.lanes.push((place, id));
        Ok(())
    }

    fn of(&mut self, lane: usize) -> Checked<(u32, &mut Lanes, LaneId)> {
        let &(place, id) = self.lanes.get(lane).ok_or("an unknown lane")?;
        let (at, lanes) = &mut self.queues[place];
        Ok((*at, lanes.as_mut().expect("it has this lane"), id))
    }

    pub(super) fn claim(&mut self, lane: usize, row: ClaimRow) -> Checked {
        let (_, lanes, id) = self.of(lane)?;
        let counts = lanes.limits().has_rate() && !lanes.saved(id).key.name.is_empty();
        require(counts, "a claim of a lane without a rate")?;
        require(rises(lanes.window(id), row.time), "claims out of order")?;
        lanes.restore_claim(id, Run { time_us: row.time, count: row.count });
        Ok(())
    }

    /// The job is one of `queue` and `key`.
    pub(super) fn waiting(&mut self, row: LaneWaitingRow, queue: u32, key: &str) -> Checked {
        let place = (row.lane, row.tier, row.position, row.job);
        require(self.last.is_none_or(|last| last < place), "jobs out of order in their lanes")?;
        self.last = Some(place);
        let (at, lanes, id) = self.of(row.lane as usize)?;
        let here = at == queue && *lanes.saved(id).key.name == *key;
        require(here, "a job waits in another's lane")?;
        lanes.restore_waiting(id, row.tier, Waiting { job: row.job, position: row.position });
        Ok(())
    }

    /// Everything is restored: queues get their lanes.
    pub(super) fn install(self, state: &mut State) -> Checked {
        let classes = state.classes.sorted().into_iter().map(|class| state.classes.get(class));
        let keyed = classes.filter(|entry| !entry.limit_key.is_empty()).map(|entry| entry.queue);
        let keyed: BTreeSet<u32> = keyed.collect();
        if keyed.is_empty() && self.lanes.is_empty() {
            return self.install_empty(state);
        }
        // Of every queue, by key.
        let mut active = BTreeMap::<(u32, String), u32>::new();
        for (job, _) in state.leases() {
            let entry = state.classes.get(state.class_of(job.0));
            *active.entry((entry.queue, entry.limit_key.to_string())).or_default() += 1;
        }
        for (place, id) in &self.lanes {
            let (at, lanes) = &self.queues[*place];
            let saved = lanes.as_ref().expect("it has this lane").saved(*id);
            let counted = active.remove(&(*at, saved.key.name.to_owned())).unwrap_or(0);
            require(counted == saved.active, "a lane miscounts its active jobs")?;
        }
        let missing: BTreeSet<u32> = active.into_keys().map(|(queue, _)| queue).collect();
        for (at, lanes) in &self.queues {
            let (has, needs) = (lanes.is_some(), keyed.contains(at));
            require(has || !needs, "jobs with limit keys of a queue without lanes")?;
            require(!has || !missing.contains(at), "active jobs without a lane")?;
        }
        self.install_empty(state)
    }

    fn install_empty(self, state: &mut State) -> Checked {
        for (at, lanes) in self.queues {
            let lanes = lanes.map(|mut lanes| {
                lanes.restored();
                lanes
            });
            state.restore_limits(at, lanes);
        }
        Ok(())
    }
}
