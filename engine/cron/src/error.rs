//! Why an expression or a zone is refused, worded for whoever wrote it.

use crate::Field;
use crate::limits::{EXPRESSION_BYTES_MAX, ZONE_BYTES_MAX};

/// An expression or a zone that makes no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The expression has more bytes than [`EXPRESSION_BYTES_MAX`].
    #[error("expression has {bytes} bytes, at most {EXPRESSION_BYTES_MAX} are allowed")]
    ExpressionTooLong {
        /// How many it has.
        bytes: usize,
    },
    /// Something other than printable ASCII, spaces and tabs.
    #[error("character {character:?} at byte {at} of the expression is not printable ASCII")]
    Character {
        /// Where it begins.
        at: usize,
        /// What it is.
        character: char,
    },
    /// Too few or too many fields; none, if the expression is empty.
    #[error(
        "expression has {found} fields, must have 5: minute, hour, day of month, month, day of week"
    )]
    FieldCount {
        /// How many it has.
        found: usize,
    },
    /// It begins with `@`, and is not one of the nicknames.
    #[error(
        "nickname {text:?} is unknown, must be @hourly, @daily, @midnight, @weekly, @monthly, @yearly or @annually"
    )]
    Nickname {
        /// What was written.
        text: String,
    },
    /// Not a value of the field.
    #[error("{field}: {text:?} is not in {}", field.allowed())]
    Value {
        /// Which field.
        field: Field,
        /// What was written where a value belongs; empty between two commas.
        text: String,
    },
    /// A range whose end is before its beginning.
    #[error(
        "{field}: range {text:?} runs backwards; ranges do not wrap, list both parts with a comma"
    )]
    Backwards {
        /// Which field.
        field: Field,
        /// The range as it was written.
        text: String,
    },
    /// A step that is no number, 0, or larger than the field has values.
    #[error("{field}: step {text:?} is not in 1-{}", field.count())]
    Step {
        /// Which field.
        field: Field,
        /// What was written after the `/`.
        text: String,
    },
    /// A step after a single value.
    #[error("{field}: the step in {text:?} needs * or a range before it")]
    StepWithoutRange {
        /// Which field.
        field: Field,
        /// The value with its step as it was written.
        text: String,
    },
    /// No year has such a day.
    #[error("expression {text:?} never fires: none of its months has such a day")]
    NeverFires {
        /// The expression as it was written.
        text: String,
    },
    /// The zone's name has more bytes than [`ZONE_BYTES_MAX`].
    #[error("time zone has {bytes} bytes, at most {ZONE_BYTES_MAX} are allowed")]
    ZoneTooLong {
        /// How many it has.
        bytes: usize,
    },
    /// The database has no zone of that name.
    #[error("time zone {name:?} is not in the IANA database {}", crate::tz_version())]
    Zone {
        /// The name as it was written.
        name: String,
    },
}
