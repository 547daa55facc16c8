//! Which local minutes an expression names. Knows the calendar, and nothing of zones and instants.
//!
//! Local minutes are counted from 1 January 1970 00:00 on the wall, as if every day had 24 hours.

use crate::expression::Expression;

const MINUTES_PER_DAY: i64 = 24 * 60;
/// The 1st, 8th, 15th, 22nd and 29th.
const WEEKLY: u64 = 1 << 1 | 1 << 8 | 1 << 15 | 1 << 22 | 1 << 29;

/// The first named minute in `from..until`. Costs a few operations a month.
pub(crate) fn first_in(expression: &Expression, from: i64, until: i64) -> Option<i64> {
    let mut at = from;
    while at < until {
        let date = Date::of_minute(at);
        let days = days_of_month(expression, date) & at_least(date.day);
        let midnight = (date.number() - i64::from(date.day)) * MINUTES_PER_DAY;
        for day in ones(days) {
            let begins = midnight + i64::from(day) * MINUTES_PER_DAY;
            if let Some(minute) = first_of_day(expression, (at - begins).max(0)) {
                return Some(begins + minute).filter(|found| *found < until);
            }
        }
        let next = date.next_month().number() * MINUTES_PER_DAY;
        assert!(next > at, "the month after {date:?} begins at {next}, and {at} is in it");
        at = next;
    }
    None
}

/// The last named minute in `from..until`.
pub(crate) fn last_in(expression: &Expression, from: i64, until: i64) -> Option<i64> {
    let mut at = until - 1;
    while at >= from {
        let date = Date::of_minute(at);
        let days = days_of_month(expression, date) & !at_least(date.day + 1);
        let midnight = (date.number() - i64::from(date.day)) * MINUTES_PER_DAY;
        for day in ones(days).rev() {
            let begins = midnight + i64::from(day) * MINUTES_PER_DAY;
            if let Some(minute) = last_of_day(expression, (at - begins).min(MINUTES_PER_DAY - 1)) {
                return Some(begins + minute).filter(|found| *found >= from);
            }
        }
        let next = Date { day: 1, ..date }.number() * MINUTES_PER_DAY - 1;
        assert!(next < at, "the month before {date:?} ends at {next}, and {at} is after it");
        at = next;
    }
    None
}

/// The days of `date`'s month that the expression names, bit n for the nth.
fn days_of_month(expression: &Expression, date: Date) -> u64 {
    if expression.months.bits & (1 << date.month) == 0 {
        return 0;
    }
    let first = Date { day: 1, ..date };
    // 1 January 1970 was a Thursday.
    let weekday_of_first = (first.number() + 4).rem_euclid(7);
    let by_weekday = ones(expression.weekdays.bits).fold(0, |days, weekday| {
        days | WEEKLY << (i64::from(weekday) - weekday_of_first).rem_euclid(7)
    });
    let by_date = expression.days.bits;
    let named = if expression.days.begins_with_star || expression.weekdays.begins_with_star {
        by_date & by_weekday
    } else {
        by_date | by_weekday
    };
    let length = date.next_month().number() - first.number();
    named & ((2 << length) - 1)
}

/// The first named minute of a day, from `from`, which may be past its end.
fn first_of_day(expression: &Expression, from: i64) -> Option<i64> {
    let (hour, minute) = hour_and_minute(from);
    let minutes = expression.minutes.bits;
    let in_hour = minutes & at_least(minute);
    let hours = expression.hours.bits & at_least(hour + u32::from(in_hour == 0));
    let found = ones(hours).next()?;
    let minutes = if found == hour { in_hour } else { minutes };
    Some(i64::from(found) * 60 + i64::from(minutes.trailing_zeros()))
}

/// The last named minute of a day, up to and with `to`.
fn last_of_day(expression: &Expression, to: i64) -> Option<i64> {
    let (hour, minute) = hour_and_minute(to);
    let minutes = expression.minutes.bits;
    let in_hour = minutes & !at_least(minute + 1);
    let hours = expression.hours.bits & !at_least(hour + u32::from(in_hour != 0));
    let found = ones(hours).next_back()?;
    let minutes = if found == hour { in_hour } else { minutes };
    Some(i64::from(found) * 60 + i64::from(minutes.ilog2()))
}

fn hour_and_minute(minute_of_day: i64) -> (u32, u32) {
    assert!((0..MINUTES_PER_DAY).contains(&minute_of_day), "minute {minute_of_day} of a day");
    let minute = u32::try_from(minute_of_day).expect("below 1440");
    (minute / 60, minute % 60)
}

/// The bits from `n` up.
fn at_least(n: u32) -> u64 {
    u64::MAX << n
}

/// The numbers of the bits that are set, upwards.
fn ones(bits: u64) -> impl DoubleEndedIterator<Item = u32> {
    (0..u64::BITS).filter(move |n| bits & (1 << n) != 0)
}

/// A day of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Date {
    year: i64,
    /// 1-12.
    month: u32,
    /// 1-31.
    day: u32,
}

const DAYS_PER_400_YEARS: i64 = 146_097;
/// From 1 March of the year 0 to 1 January 1970.
const DAYS_TO_1970: i64 = 719_468;

impl Date {
    /// The day a local minute is in. Years are counted from March, so that the leap day is a year's last and months from
    /// March have 153 days every five (Hinnant, "chrono-compatible low-level date algorithms").
    fn of_minute(minute: i64) -> Self {
        let days = minute.div_euclid(MINUTES_PER_DAY) + DAYS_TO_1970;
        let (era, of_era) =
            (days.div_euclid(DAYS_PER_400_YEARS), days.rem_euclid(DAYS_PER_400_YEARS));
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self {
            year: era * 400 + year + i64::from(month <= 2),
            month: u32::try_from(month).expect("1-12"),
            day: u32::try_from(day).expect("1-31"),
        }
    }

    /// Days since 1 January 1970.
    fn number(self) -> i64 {
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        let year = self.year - i64::from(month <= 2);
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
        let days = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
        era * DAYS_PER_400_YEARS + days - DAYS_TO_1970
    }

    /// The first of the month after.
    fn next_month(self) -> Self {
        if self.month == 12 {
            Self { year: self.year + 1, month: 1, day: 1 }
        } else {
            Self { year: self.year, month: self.month + 1, day: 1 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil;

    #[test]
    fn dates_are_those_of_jiff() {
        let mut theirs = civil::date(1969, 1, 1);
        let first = -365;
        // Past the year 2400, so through every kind of century.
        for number in first..=160_000 {
            let ours = Date::of_minute(number * MINUTES_PER_DAY + 1439);
            let expected = Date {
                year: theirs.year().into(),
                month: theirs.month().unsigned_abs().into(),
                day: theirs.day().unsigned_abs().into(),
            };
            assert_eq!((ours, ours.number()), (expected, number));
            let length = ours.next_month().number() - Date { day: 1, ..ours }.number();
            assert_eq!(length, i64::from(theirs.days_in_month()));
            theirs = theirs.tomorrow().expect("far from the end");
        }
    }

    #[test]
    fn first_and_last_agree_with_a_walk() {
        for text in
            ["*/7 3-5 */5 feb *", "59 23 31 * *", "0 0 13 * fri", "5,50 * * * 0", "0 0 29 2 */7"]
        {
            let expression = Expression::parse(text).expect(text);
            let (from, until) = (1_000, 1_000 + 70 * MINUTES_PER_DAY);
            let walk: Vec<i64> =
                (from..until).filter(|at| first_in(&expression, *at, at + 1).is_some()).collect();
            let mut ahead = Vec::new();
            let mut at = from;
            while let Some(found) = first_in(&expression, at, until) {
                ahead.push(found);
                at = found + 1;
            }
            let mut back = Vec::new();
            let mut at = until;
            while let Some(found) = last_in(&expression, from, at) {
                back.push(found);
                at = found;
            }
            back.reverse();
            assert_eq!((&ahead, &back), (&walk, &walk), "{text}");
        }
    }
}
