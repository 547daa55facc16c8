//! One field of an expression: a set of small numbers.

use std::fmt;

use crate::ScheduleError;

/// A field of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// 0-59.
    Minute,
    /// 0-23.
    Hour,
    /// 1-31.
    DayOfMonth,
    /// 1-12.
    Month,
    /// 0-7, where 0 and 7 are Sunday.
    DayOfWeek,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// The weekday that may be written and is kept as 0.
const SUNDAY: u32 = 7;

impl Field {
    /// The first and the last value, after 7 has become 0.
    pub(crate) fn bounds(self) -> (u32, u32) {
        match self {
            Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::DayOfWeek => (0, 6),
        }
    }

    /// How many values there are.
    pub(crate) fn count(self) -> u32 {
        let (first, last) = self.bounds();
        last - first + 1
    }

    /// What may be written.
    pub(crate) fn allowed(self) -> &'static str {
        match self {
            Self::Minute => "0-59",
            Self::Hour => "0-23",
            Self::DayOfMonth => "1-31",
            Self::Month => "1-12 or jan-dec",
            Self::DayOfWeek => "0-7 or sun-sat",
        }
    }

    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Month => &MONTHS,
            Self::DayOfWeek => &WEEKDAYS,
            Self::Minute | Self::Hour | Self::DayOfMonth => &[],
        }
    }

    fn value(self, text: &str) -> Result<u32, ScheduleError> {
        let (first, last) = self.bounds();
        let written_max = if self == Self::DayOfWeek { SUNDAY } else { last };
        if let Some(at) = self.names().iter().position(|name| name.eq_ignore_ascii_case(text)) {
            return Ok(first + u32::try_from(at).expect("a dozen names"));
        }
        number(text)
            .filter(|value| (first..=written_max).contains(value))
            .ok_or_else(|| ScheduleError::Value { field: self, text: text.into() })
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of month",
            Self::Month => "month",
            Self::DayOfWeek => "day of week",
        })
    }
}

/// Digits and nothing else, as `parse` alone would take a sign.
fn number(text: &str) -> Option<u32> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// The values of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) field: Field,
    /// Bit n is value n.
    pub(crate) bits: u64,
    /// Whether it was written with `*` at the beginning, which decides how the day fields combine.
    pub(crate) begins_with_star: bool,
}

impl Set {
    /// Reads a field. `text` is printable ASCII without blanks.
    pub(crate) fn parse(field: Field, text: &str) -> Result<Self, ScheduleError> {
        let mut bits = 0;
        for part in text.split(',') {
            bits |= part_bits(field, part)?;
        }
        assert!(bits != 0 && bits & !every(field, 1) == 0, "{field}: {bits:#x}");
        Ok(Self { field, bits, begins_with_star: text.starts_with('*') })
    }

    /// Whether it holds every value of its field.
    pub(crate) fn is_full(self) -> bool {
        self.bits == every(self.field, 1)
    }
}

/// `a`, `a-b`, `a-b/n`, `*` or `*/n`.
fn part_bits(field: Field, part: &str) -> Result<u64, ScheduleError> {
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (part, None),
    };
    let (first, last) = if range == "*" {
        field.bounds()
    } else if let Some((first, last)) = range.split_once('-') {
        let (first, last) = (field.value(first)?, field.value(last)?);
        if first > last {
            return Err(ScheduleError::Backwards { field, text: range.into() });
        }
        (first, last)
    } else {
        let value = field.value(range)?;
        if step.is_some() {
            return Err(ScheduleError::StepWithoutRange { field, text: part.into() });
        }
        (value, value)
    };
    let step = match step {
        None => 1,
        Some(text) => number(text)
            .filter(|step| (1..=field.count()).contains(step))
            .ok_or_else(|| ScheduleError::Step { field, text: text.into() })?,
    };
    let mut bits = stepped(first, last, step);
    if field == Field::DayOfWeek && bits & (1 << SUNDAY) != 0 {
        bits = bits & !(1 << SUNDAY) | 1;
    }
    Ok(bits)
}

/// Every `step`th value of a field, from its first.
fn every(field: Field, step: u32) -> u64 {
    let (first, last) = field.bounds();
    stepped(first, last, step)
}

fn stepped(first: u32, last: u32, step: u32) -> u64 {
    let step = usize::try_from(step).expect("a step fits");
    (first..=last).step_by(step).fold(0, |bits, value| bits | 1 << value)
}

/// The shortest way to write the set as `*`, then steps, then runs, each as a range if it has three values or more.
impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_day = matches!(self.field, Field::DayOfMonth | Field::DayOfWeek);
        let mut rest = self.bits;
        let stars = (1..=self.field.count()).find(|step| {
            let bits = every(self.field, *step);
            // Elsewhere `*` means nothing but its values: it must be all of them, and more than one.
            let is_plain = bits == self.bits && bits.count_ones() > 1;
            if is_day { self.begins_with_star && bits & !self.bits == 0 } else { is_plain }
        });
        let mut comma = "";
        if let Some(step) = stars {
            if step == 1 {
                f.write_str("*")?;
            } else {
                write!(f, "*/{step}")?;
            }
            rest &= !every(self.field, step);
            comma = ",";
        }
        while rest != 0 {
            let first = rest.trailing_zeros();
            let run = (rest >> first).trailing_ones();
            let (shown, last) = if run < 3 { (1, first) } else { (run, first + run - 1) };
            write!(f, "{comma}{first}")?;
            if shown > 1 {
                write!(f, "-{last}")?;
            }
            rest &= !stepped(first, last, 1);
            comma = ",";
        }
        Ok(())
    }
}
