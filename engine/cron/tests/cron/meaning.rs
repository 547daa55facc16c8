//! Expressions as the documentation describes them: how they are written, and which local minutes they name.

use std::fmt;

use jiff::civil::DateTime;
use proptest::prelude::*;

/// `*/step` or `first-last/step`; step 1 is left out, and so is a `last` that is `first` with step 1.
#[derive(Clone, Debug)]
enum Part {
    Star(i8),
    Range(i8, i8, i8),
}

#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// Where `*` begins to count.
    first: i8,
    parts: Vec<Part>,
}

impl Field {
    fn holds(&self, value: i8) -> bool {
        self.parts.iter().any(|part| match *part {
            Part::Star(step) => (value - self.first) % step == 0,
            Part::Range(first, last, step) => {
                (first..=last).contains(&value) && (value - first) % step == 0
            }
        })
    }

    fn begins_with_star(&self) -> bool {
        matches!(self.parts[0], Part::Star(_))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self
            .parts
            .iter()
            .map(|part| match *part {
                Part::Star(1) => "*".to_owned(),
                Part::Star(step) => format!("*/{step}"),
                Part::Range(first, last, 1) if first == last => first.to_string(),
                Part::Range(first, last, 1) => format!("{first}-{last}"),
                Part::Range(first, last, step) => format!("{first}-{last}/{step}"),
            })
            .collect();
        f.write_str(&parts.join(","))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Expression {
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
}

impl Expression {
    pub(crate) fn names(&self, local: DateTime) -> bool {
        let weekday = local.weekday().to_sunday_zero_offset();
        let by_date = self.day.holds(local.day());
        // 7 is Sunday too, wherever a range or a step comes upon it; a star ends with Saturday.
        let by_weekday = self.weekday.holds(weekday)
            || weekday == 0
                && self.weekday.parts.iter().any(
                    |part| matches!(*part, Part::Range(first, 7, step) if (7 - first) % step == 0),
                );
        let day = if self.day.begins_with_star() || self.weekday.begins_with_star() {
            by_date && by_weekday
        } else {
            by_date || by_weekday
        };
        day && self.minute.holds(local.minute())
            && self.hour.holds(local.hour())
            && self.month.holds(local.month())
    }

    pub(crate) fn names_every_hour(&self) -> bool {
        (0..24).all(|hour| self.hour.holds(hour))
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { minute, hour, day, month, weekday } = self;
        write!(f, "{minute} {hour} {day} {month} {weekday}")
    }
}

fn field(first: i8, last: i8, step_max: i8, stars: u32) -> impl Strategy<Value = Field> {
    let range = (first..=last, first..=last, 1..=step_max).prop_map(|(a, b, step)| {
        let step = if a == b { 1 } else { step };
        Part::Range(a.min(b), a.max(b), step)
    });
    let one = (first..=last).prop_map(|a| Part::Range(a, a, 1));
    let star = prop_oneof![3 => Just(1), 1 => 1..=step_max].prop_map(Part::Star);
    let part = prop_oneof![stars => star, 3 => one, 1 => range];
    prop::collection::vec(part, 1..4).prop_map(move |parts| Field { first, parts })
}

/// Any expression that fires at some time. Hours lean to those at which clocks change.
pub(crate) fn expression() -> impl Strategy<Value = Expression> {
    let hour = prop_oneof![field(0, 23, 24, 1), field(0, 3, 4, 0), field(22, 23, 2, 0)];
    let hour = hour.prop_map(|hour| Field { first: 0, ..hour });
    let month = prop_oneof![3 => Just(Field { first: 1, parts: vec![Part::Star(1)] }), 1 => field(1, 12, 12, 3)];
    (field(0, 59, 60, 3), hour, field(1, 31, 31, 8), month, field(0, 7, 7, 8))
        .prop_map(|(minute, hour, day, month, weekday)| Expression {
            minute,
            hour,
            day,
            month,
            weekday,
        })
        .prop_filter("fires at some time", |expression| {
            jobbie_cron::Schedule::parse(&expression.to_string(), "").is_ok()
        })
}
