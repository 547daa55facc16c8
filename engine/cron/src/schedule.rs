//! An expression in a zone, and when it fires.

use std::fmt;

use jobbie_proto::Micros;

use crate::expression::Expression;
use crate::limits::SEARCH_SECONDS;
use crate::zone::Stretch;
use crate::{ScheduleError, Zone, calendar};

const MICROS_PER_SECOND: u64 = 1_000_000;
const SECONDS_PER_MINUTE: i64 = 60;

/// When something is to happen, again and again: a cron expression read by the clock of a zone.
///
/// Equal if written the same and in the same zone; two ways to write the same times are told apart, but their [`Display`] is one.
///
/// [`Display`]: fmt::Display
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    text: Box<str>,
    expression: Expression,
    zone: Zone,
}

impl Schedule {
    /// Reads an expression (see the [crate](crate) for what it may hold, at most 255 bytes) for a zone by its IANA name
    /// (at most 64 bytes, any case; empty is UTC).
    ///
    /// # Errors
    /// Names the field, what is wrong there and what is allowed; or that it can never fire, as `0 0 30 2 *`.
    pub fn parse(expression: &str, zone: &str) -> Result<Self, ScheduleError> {
        Self::in_zone(expression, &Zone::parse(zone)?)
    }

    /// The same for a zone that was found before, whose table it shares.
    ///
    /// # Errors
    /// As [`Schedule::parse`].
    pub fn in_zone(expression: &str, zone: &Zone) -> Result<Self, ScheduleError> {
        let parsed = Expression::parse(expression)?;
        let until = SEARCH_SECONDS / SECONDS_PER_MINUTE;
        if calendar::first_in(&parsed, 0, until).is_none() {
            return Err(ScheduleError::NeverFires { text: expression.into() });
        }
        Ok(Self { text: expression.into(), expression: parsed, zone: zone.clone() })
    }

    /// The expression as it was written.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.text
    }

    /// The zone's name as the database spells it.
    #[must_use]
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    /// The first planned time strictly after `after`; nothing when that is more than [`SEARCH_YEARS`](crate::SEARCH_YEARS)
    /// away or past the year 9999.
    #[must_use]
    pub fn next_after(&self, after: Micros) -> Option<Micros> {
        let from = seconds(after.0 / MICROS_PER_SECOND) + 1;
        let next = micros(self.first_from(from)?);
        assert!(next > after, "{self}: {next} after {after}");
        Some(next)
    }

    /// The last planned time strictly before `before`, with the same bounds; nothing before 1970. However much was missed,
    /// this finds the one to catch up with.
    #[must_use]
    pub fn prev(&self, before: Micros) -> Option<Micros> {
        let until = seconds(before.0.div_ceil(MICROS_PER_SECOND));
        let prev = micros(self.last_before(until)?);
        assert!(prev < before, "{self}: {prev} before {before}");
        Some(prev)
    }

    /// The planned times after `after`, up to and with `until`, oldest first, but `max` at most.
    #[must_use]
    pub fn between(&self, after: Micros, until: Micros, max: usize) -> Vec<Micros> {
        std::iter::successors(self.next_after(after), |last| self.next_after(*last))
            .take_while(|time| *time <= until)
            .take(max)
            .collect()
    }

    /// Whether a local time is planned once, wherever the clock goes. A schedule of every hour is not of local times: it takes
    /// hours as they come.
    fn goes_by_wall_clock(&self) -> bool {
        !self.expression.hours.is_full()
    }

    /// The first planned second in `from..`, stretch by stretch.
    fn first_from(&self, from: i64) -> Option<i64> {
        let horizon = Zone::end().min(from.saturating_add(SEARCH_SECONDS));
        let mut at = from;
        while at < horizon {
            let stretch = self.zone.stretch(at);
            if at == stretch.start && self.lost_some(stretch) {
                return Some(at);
            }
            let local = (at + stretch.offset).max(self.first_local(stretch));
            let end = stretch.end.min(horizon) + stretch.offset;
            if let Some(minute) = calendar::first_in(&self.expression, minute(local), minute(end)) {
                return Some(minute * SECONDS_PER_MINUTE - stretch.offset);
            }
            at = stretch.end;
        }
        None
    }

    /// The last planned second before `until`, stretch by stretch.
    fn last_before(&self, until: i64) -> Option<i64> {
        let until = until.min(Zone::end());
        let horizon = until.saturating_sub(SEARCH_SECONDS).max(0);
        let mut end = until;
        while end > horizon {
            let stretch = self.zone.stretch(end - 1);
            let local = (horizon + stretch.offset).max(self.first_local(stretch));
            let local_end = end + stretch.offset;
            let found = calendar::last_in(&self.expression, minute(local), minute(local_end));
            if let Some(minute) = found {
                return Some(minute * SECONDS_PER_MINUTE - stretch.offset);
            }
            if stretch.start >= horizon && self.lost_some(stretch) {
                return Some(stretch.start);
            }
            end = stretch.start;
        }
        None
    }

    /// Whether a planned local time fell into the gap before `stretch`.
    fn lost_some(&self, stretch: Stretch) -> bool {
        let Stretch { start, offset, offset_before, .. } = stretch;
        self.goes_by_wall_clock()
            && calendar::first_in(
                &self.expression,
                minute(start + offset_before),
                minute(start + offset),
            )
            .is_some()
    }

    /// The first local second of `stretch` to consider: those that the one before has shown already are left out.
    fn first_local(&self, stretch: Stretch) -> i64 {
        let Stretch { start, offset, offset_before, .. } = stretch;
        if self.goes_by_wall_clock() { start + offset.max(offset_before) } else { start + offset }
    }
}

/// `minute hour day-of-month month day-of-week zone`, in numbers and as short as it gets.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.expression, self.zone())
    }
}

/// The first whole minute at or after a local second. As the end of a range that is right too: a minute that begins before the
/// second is before the end.
fn minute(local: i64) -> i64 {
    -(-local).div_euclid(SECONDS_PER_MINUTE)
}

fn seconds(seconds: u64) -> i64 {
    i64::try_from(seconds).expect("a millionth of 64 bits")
}

fn micros(second: i64) -> Micros {
    let second = u64::try_from(second).expect("no planned time before 1970");
    Micros(second * MICROS_PER_SECOND)
}
