//! Which planned times are run when the shard comes to them, late or not.

use jobbie_proto::Micros;
use jobbie_proto::event::{Event, Missed};
use jobbie_proto::limits::{SCHEDULE_CATCH_UP_MAX, SCHEDULE_LATE_MS_MAX, SCHEDULE_SKIPPED_MAX};

use super::super::BlobSink;
use super::{Firings, Run, next_after};
use crate::schedules::Schedule;
use crate::state::State;

/// Schedules that are looked at for one entry: one that has missed very much takes a fraction of a millisecond.
const SCHEDULES_PER_STEP: usize = 32;

/// What is due of one schedule.
struct Due {
    /// Planned times to run, oldest first.
    runs: Vec<Micros>,
    /// How many before them are not run.
    skipped: u32,
    /// What is planned behind them.
    next: Micros,
}

/// Adds what schedules do at `now`, at most `limit` runs, in the order of time and then of names. What does not fit is still
/// due.
pub(in crate::decide) fn push_runs(
    state: &State,
    now: Micros,
    limit: usize,
    blob: &mut impl BlobSink,
    events: &mut Vec<Event>,
) {
    if state.schedules.first_due().is_none_or(|due| due > now.0) {
        return;
    }
    let mut firings = Firings::new(state, now);
    let mut left = limit;
    for schedule in state.schedules.due_at(now.0).take(SCHEDULES_PER_STEP) {
        if left == 0 {
            return;
        }
        let Due { runs, skipped, next } = due(schedule, &mut firings);
        if runs.is_empty() {
            let (queue, name) = (schedule.class.queue.clone(), schedule.name.to_string());
            events.push(Event::ScheduleSkipped { queue, name, next, skipped });
            left -= 1;
        }
        for (at, &planned) in runs.iter().enumerate().take(left) {
            let next = runs.get(at + 1).copied().unwrap_or(next);
            let skipped = if at == 0 { skipped } else { 0 };
            firings.fire(schedule, &Run { planned, next, skipped }, blob, events);
            left -= 1;
        }
    }
}

fn due(schedule: &Schedule, firings: &mut Firings<'_>) -> Due {
    let (first, now) = (Micros(schedule.next), firings.now);
    let Ok(plan) = firings.zones.plan(&schedule.expression, &schedule.zone) else {
        // Another release planned this, whose time zones this one lacks. What was planned is run, and that was it.
        return Due { runs: vec![first], skipped: 0, next: Micros(0) };
    };
    let second = plan.next_after(first).filter(|second| *second <= now);
    let newest = second.and_then(|_| plan.prev(Micros(now.0 + 1))).unwrap_or(first).max(first);
    let next = next_after(&plan, now);
    let is_late = newest.plus_ms(SCHEDULE_LATE_MS_MAX) < now;
    let missed = match schedule.missed {
        _ if crate::mutant!(MissedRunsForgotten) => Missed::Skip,
        missed => missed,
    };
    let runs = match missed {
        Missed::Skip if is_late => {
            let skipped = skipped_between(&plan, first, now);
            return Due { runs: Vec::new(), skipped, next };
        }
        Missed::Skip | Missed::Once => vec![newest],
        Missed::All => {
            let earlier = |at: &Micros| plan.prev(*at).filter(|at| *at >= first);
            let back = std::iter::successors(Some(newest), earlier);
            let mut runs: Vec<_> = back.take(SCHEDULE_CATCH_UP_MAX).collect();
            runs.reverse();
            runs
        }
    };
    let skipped = skipped_between(&plan, first, Micros(runs[0].0 - 1));
    Due { runs, skipped, next }
}

/// How many times from the planned time `first` on, up to and with `until`, are planned; no more than
/// [`SCHEDULE_SKIPPED_MAX`].
pub(super) fn skipped_between(plan: &jobbie_cron::Schedule, first: Micros, until: Micros) -> u32 {
    if until < first {
        return 0;
    }
    1 + plan.between(first, until, SCHEDULE_SKIPPED_MAX - 1).len() as u32
}
