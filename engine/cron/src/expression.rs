//! Five fields from text, and back.

use std::fmt;

use crate::ScheduleError;
use crate::field::{Field, Set};
use crate::limits::EXPRESSION_BYTES_MAX;

const NICKNAMES: &[(&str, &str)] = &[
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// What an expression says, without the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expression {
    pub(crate) minutes: Set,
    pub(crate) hours: Set,
    pub(crate) days: Set,
    pub(crate) months: Set,
    pub(crate) weekdays: Set,
}

impl Expression {
    /// Reads an expression. Says nothing about whether it ever fires.
    pub(crate) fn parse(text: &str) -> Result<Self, ScheduleError> {
        if text.len() > EXPRESSION_BYTES_MAX {
            return Err(ScheduleError::ExpressionTooLong { bytes: text.len() });
        }
        let is_strange = |c: char| !matches!(c, ' '..='~' | '\t');
        if let Some((at, character)) = text.char_indices().find(|(_, c)| is_strange(*c)) {
            return Err(ScheduleError::Character { at, character });
        }
        let text = text.trim_matches([' ', '\t']);
        let text = if text.starts_with('@') { from_nickname(text)? } else { text };
        let fields: Vec<&str> = text.split([' ', '\t']).filter(|f| !f.is_empty()).collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(ScheduleError::FieldCount { found: fields.len() });
        };
        Ok(Self {
            minutes: Set::parse(Field::Minute, minutes)?,
            hours: Set::parse(Field::Hour, hours)?,
            days: Set::parse(Field::DayOfMonth, days)?,
            months: Set::parse(Field::Month, months)?,
            weekdays: Set::parse(Field::DayOfWeek, weekdays)?,
        })
    }
}

fn from_nickname(text: &str) -> Result<&'static str, ScheduleError> {
    NICKNAMES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text))
        .map(|(_, fields)| *fields)
        .ok_or_else(|| ScheduleError::Nickname { text: text.into() })
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { minutes, hours, days, months, weekdays } = self;
        write!(f, "{minutes} {hours} {days} {months} {weekdays}")
    }
}
