//! Fair sharing: start-time fair queueing (Goyal, Vin and Cheng, "Start-time Fair Queuing",
//! SIGCOMM 1996), exactly, in integers.
//!
//! Every lane carries a tag on one virtual clock. The lane with the lowest start tag is served;
//! its service costs it time on that clock in inverse proportion to its weight; the clock stands
//! at the start tag of what was served last. A lane that comes back after a pause starts at the
//! clock: it has saved nothing up and owes at most its last service. What was chosen over: deficit
//! round robin, whose rounds make a newcomer wait in proportion to the largest cost, and virtual
//! finish times, which need the cost before the job has run.

/// A point on the virtual clock. One unit of cost at weight 1 takes [`UNIT`]. Even a queue that is
/// charged a worker's time for a million workers at once fills less than 90 of its bits in a
/// thousand years.
pub(crate) type Tag = u128;

/// Virtual time of one unit of cost at weight 1: enough that at the largest weight a cost is
/// rounded by less than a thousandth.
pub(crate) const UNIT: Tag = 1 << 20;
/// Largest weight; the smallest is 1.
pub(crate) const WEIGHT_MAX: u16 = 1000;
/// What a job is charged before any job of its queue has told its cost, in microseconds.
pub(crate) const COST_US_DEFAULT: u64 = 1_000_000;

const _: () = assert!(UNIT / WEIGHT_MAX as Tag > 1000);

/// What lanes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    /// Every job costs one.
    Jobs,
    /// A job costs the microseconds that it keeps a worker.
    WorkerTime,
}

/// A queue's virtual clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clock {
    /// Start tag of what was served last. It never goes back.
    pub(crate) now: Tag,
    /// Highest finish tag ever given.
    pub(crate) finish_max: Tag,
    /// What the last job that ended has really cost, in microseconds. 0 when none has.
    pub(crate) cost_us: u64,
}

/// A lane's place on the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// When its next job is due. Means something only while the lane is ready.
    pub(crate) start: Tag,
    /// When what it was given is paid for.
    pub(crate) finish: Tag,
}

impl Clock {
    /// A lane becomes ready.
    pub(crate) fn enter(&self, turn: &mut Turn) {
        turn.start = turn.finish.max(self.now);
    }

    /// A ready lane is served and pays `cost`.
    ///
    /// Its start tag may lie behind the clock when other tiers moved that while it was passed over.
    /// Then it was first in line, but pays from where the clock is: it gets one job ahead, not
    /// everything that it has missed.
    pub(crate) fn serve(&mut self, turn: &mut Turn, cost: u64, weight: u16) {
        self.now = self.now.max(turn.start);
        turn.finish = self.now + span(cost, weight);
        turn.start = turn.finish;
        self.finish_max = self.finish_max.max(turn.finish);
    }

    /// A lane paid `charged` and it has really cost `real`. No start tag falls behind the clock by that.
    pub(crate) fn settle(&mut self, turn: &mut Turn, charged: u64, real: u64, weight: u16) {
        if charged == real {
            return;
        }
        let paid = turn.finish + span(real, weight);
        turn.finish = paid.saturating_sub(span(charged, weight));
        turn.start = turn.finish.max(turn.start.min(self.now));
        self.finish_max = self.finish_max.max(turn.finish);
    }

    /// Nobody is served and nobody could be: all debts are forgiven.
    pub(crate) fn rest(&mut self) {
        self.now = self.now.max(self.finish_max);
    }
}

/// How long a cost takes on the clock.
fn span(cost: u64, weight: u16) -> Tag {
    Tag::from(cost) * UNIT / Tag::from(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_starts_at_the_clock_and_an_old_debt_is_kept() {
        let (mut clock, mut a, mut b) = (Clock::default(), Turn::default(), Turn::default());
        clock.enter(&mut a);
        clock.serve(&mut a, 10, 1);
        assert_eq!((clock.now, a.finish), (0, 10 * UNIT));
        clock.serve(&mut a, 10, 2);
        assert_eq!((clock.now, a.start), (10 * UNIT, 15 * UNIT));
        clock.enter(&mut b);
        assert_eq!(b.start, 10 * UNIT);
        clock.enter(&mut a);
        assert_eq!(a.start, 15 * UNIT);
        clock.rest();
        clock.enter(&mut b);
        assert_eq!(b.start, 15 * UNIT);
    }

    #[test]
    fn a_cost_is_corrected_but_never_to_before_the_clock() {
        let (mut clock, mut a) = (Clock::default(), Turn::default());
        clock.serve(&mut a, 100, 1);
        clock.settle(&mut a, 100, 300, 1);
        assert_eq!((a.start, a.finish, clock.finish_max), (300 * UNIT, 300 * UNIT, 300 * UNIT));
        clock.now = 250 * UNIT;
        clock.settle(&mut a, 200, 10, 1);
        assert_eq!((a.start, a.finish), (250 * UNIT, 110 * UNIT));
        clock.settle(&mut a, 500, 0, 1);
        assert_eq!((a.start, a.finish), (250 * UNIT, 0));
    }

    #[test]
    fn the_largest_costs_fit() {
        let (mut clock, mut a) = (Clock::default(), Turn::default());
        for _ in 0..1000 {
            clock.serve(&mut a, u64::MAX, 1);
        }
        clock.settle(&mut a, 0, u64::MAX, 1);
        assert_eq!(a.finish, 1001 * u128::from(u64::MAX) * UNIT);
    }
}
