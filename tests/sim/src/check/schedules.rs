//! A planned time is run once, when it has come, and by the definition that holds; R9 and R14 for schedules.

use jobbie_proto::Micros;

use super::violated;
use crate::model::schedules::Schedule;

const MINUTE: u64 = 60_000_000;

/// `next` is what a schedule plans at `time`.
pub(crate) fn planned(time: u64, next: u64) {
    if next != time / MINUTE * MINUTE + MINUTE {
        violated!("r14", "a schedule of every minute plans {next} at {time}");
    }
}

/// A schedule is about to make a job, for a planned time or, for 0, because somebody asked.
pub(crate) fn fired(
    schedule: &Schedule,
    time: u64,
    planned_for: Micros,
    next: Micros,
    defined: u64,
) {
    let at = planned_for.0;
    if schedule.defined != defined {
        violated!("r09", "a run by definition {defined} of {schedule:?}");
    }
    if at == 0 {
        if next.0 != schedule.next {
            violated!("r14", "a run on demand moved the plan of {schedule:?} to {next}");
        }
        return;
    }
    if at <= schedule.last_planned {
        violated!("r09", "{schedule:?} ran again for {at}");
    }
    if schedule.paused || at < schedule.next || at > time || !at.is_multiple_of(MINUTE) {
        violated!("r14", "{schedule:?} ran for {at} at {time}");
    }
    // One that makes up for all it has missed goes on where it is.
    if next.0 != at + MINUTE {
        planned(time, next.0);
    }
}
