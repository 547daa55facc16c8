//! Times as people write them. Inside, they are microseconds since 1970, as in the log.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// RFC 3339 in UTC, to the microsecond.
pub(crate) fn text(us: u64) -> String {
    let Ok(at) = OffsetDateTime::from_unix_timestamp_nanos(i128::from(us) * 1000) else {
        return us.to_string();
    };
    let (date, [hour, minute, second]) = (at.date(), [at.hour(), at.minute(), at.second()]);
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    let micros = at.microsecond();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// RFC 3339, or microseconds since 1970.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    if let Ok(us) = text.parse() {
        return Ok(us);
    }
    let wrong = || {
        format!(
            "{text:?} is no time: write 2026-01-31T12:00:00Z, 2026-01-31T13:00:00.5+01:00, or microseconds since 1970"
        )
    };
    let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| wrong())?;
    u64::try_from(at.unix_timestamp_nanos() / 1000).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for us in [0, 1, 1_795_000_000_123_456, 4_102_444_800_000_000] {
            assert_eq!(parse(&text(us)), Ok(us));
            assert_eq!(parse(&us.to_string()), Ok(us));
        }
        assert_eq!(text(4_102_444_800_000_000), "2100-01-01T00:00:00.000000Z");
        assert_eq!(parse("2026-01-31T13:00:00.5+01:00"), parse("2026-01-31T12:00:00.5Z"));
        assert!(parse("yesterday").is_err() && parse("1960-01-01T00:00:00Z").is_err());
    }
}
