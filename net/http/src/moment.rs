//! Times and durations as text.

use jobbie_proto::Micros;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::ApiError;

/// A time as RFC 3339 in UTC; `None` when there is none.
pub(crate) fn some(time: Micros) -> Option<String> {
    (time != Micros(0)).then(|| text(time))
}

/// A time as RFC 3339 in UTC.
pub(crate) fn text(time: Micros) -> String {
    let end = || OffsetDateTime::from_unix_timestamp(253_402_300_799).expect("the year 9999");
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.0) * 1000);
    at.unwrap_or_else(|_| end()).format(&Rfc3339).expect("a year of four digits has a text")
}

/// A time out of RFC 3339; what was before 1970 is its beginning.
pub(crate) fn parse(text: &str) -> Option<Micros> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let micros = at.unix_timestamp_nanos().div_euclid(1000);
    Some(Micros(u64::try_from(micros).unwrap_or(0)))
}

/// A point in time in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timestamp(pub(crate) Micros);

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        let bad = || serde::de::Error::custom("not a time as RFC 3339 has them");
        parse(&text).map(Self).ok_or_else(bad)
    }
}

impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// Now, by this machine's clock.
pub(crate) fn now() -> Micros {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Micros(u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX))
}

/// Nanoseconds of each unit, longer names first.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("\u{b5}s", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
    ("d", 86_400e9),
];

/// Nanoseconds of a duration such as `1h30m`, `500ms`, `-1.5h`, `7d` or `0`.
fn parse_ns(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (if text.starts_with('-') { -1.0 } else { 1.0 }, rest),
        None => (1.0, text),
    };
    if rest == "0" {
        return Some(0.0);
    }
    let mut sum = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        if !number.bytes().any(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number: f64 = number.parse().ok()?;
        // "m" begins "ms", so the whole word is compared.
        let word = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (word, after) = after.split_at(word);
        let unit = UNITS.iter().find(|(name, _)| *name == word)?.1;
        sum += number * unit;
        rest = after;
    }
    Some(sign * sum)
}

/// Milliseconds of a duration that is not negative, rounded up.
///
/// # Errors
/// Names `field` when it is none.
pub(crate) fn duration_ms(field: &str, text: &str) -> Result<u64, ApiError> {
    let bad = || {
        ApiError::validation(format!(
            "{field}: \"{text}\" is no duration, such as 500ms, 1.5h, 1h30m or 7d"
        ))
    };
    let ns = parse_ns(text).filter(|ns| *ns >= 0.0).ok_or_else(bad)?;
    let ms = (ns / 1e6).ceil();
    if ms > jobbie_proto::limits::PERIOD_MS_MAX as f64 {
        return Err(ApiError::validation(format!("{field}: \"{text}\" is longer than 100 years")));
    }
    Ok(ms as u64)
}

/// A duration as text, such as `30s` or `1h30m0s`.
pub(crate) fn duration_text(ms: u64) -> String {
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    let (seconds, rest) = (ms / 1000 % 60, ms % 1000);
    let part = if rest == 0 { String::new() } else { format!(".{rest:03}") };
    let part = part.trim_end_matches('0');
    match (hours, minutes) {
        _ if ms > 0 && ms < 1000 => format!("{ms}ms"),
        (0, 0) => format!("{seconds}{part}s"),
        (0, _) => format!("{minutes}m{seconds}{part}s"),
        _ => format!("{hours}h{minutes}m{seconds}{part}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_without_trailing_zeros() {
        let text = |us| text(Micros(us));
        assert_eq!(text(1_790_000_000_000_000), "2026-09-21T14:13:20Z");
        assert_eq!(text(1_790_000_000_120_000), "2026-09-21T14:13:20.12Z");
        assert_eq!(text(1_790_000_000_000_001), "2026-09-21T14:13:20.000001Z");
        assert_eq!(some(Micros(0)), None);
    }

    #[test]
    fn times_are_read_with_their_offset() {
        let parsed = parse("2026-09-21T16:13:20.5+02:00");
        assert_eq!(parsed, Some(Micros(1_790_000_000_500_000)));
        for text in ["2026-09-21", "2026-09-21T16:13:20", "now", ""] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("1960-01-01T00:00:00Z"), Some(Micros(0)));
    }

    #[test]
    fn durations() {
        let good = [
            ("500ms", 500),
            ("1.5h", 5_400_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("0", 0),
            ("0s", 0),
            ("1us", 1),
            ("1\u{b5}s", 1),
            (".5s", 500),
            ("1m1ms", 60_001),
        ];
        for (text, ms) in good {
            assert_eq!(duration_ms("f", text).expect("a duration"), ms, "{text}");
        }
        for text in ["", "5", "s", "-1s", "1 s", "1w", "1h30", ".s", "1..5s", "1e3s", "200000d"] {
            let error = duration_ms("f", text).expect_err(text);
            assert_eq!((error.code, error.status.as_u16()), ("VALIDATION_ERROR", 400), "{text}");
        }
    }

    #[test]
    fn durations_are_told_as_they_are_read() {
        for ms in [0, 1, 500, 1000, 1500, 60_000, 90_500, 3_600_000, 86_400_000] {
            assert_eq!(duration_ms("f", &duration_text(ms)).expect("a duration"), ms);
        }
    }
}
