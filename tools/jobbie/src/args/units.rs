//! Values with units and names with limits.

use jobbie_proto::limits;

/// When a write counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// On disk before it is answered.
    Fsync,
    /// On disk at most this many milliseconds after it is answered.
    IntervalMs(u32),
    /// On disk when the kernel sees fit.
    None,
}

/// Longest flush interval, in milliseconds.
const INTERVAL_MS_MAX: u32 = 60_000;

/// Reads `fsync`, `interval:<ms>` or `none`.
pub(crate) fn durability(text: &str) -> Result<Durability, String> {
    match text {
        "fsync" => return Ok(Durability::Fsync),
        "none" => return Ok(Durability::None),
        _ => {}
    }
    let ms = text.strip_prefix("interval:").ok_or("expected fsync, interval:<ms> or none")?;
    match ms.parse() {
        Ok(ms) if (1..=INTERVAL_MS_MAX).contains(&ms) => Ok(Durability::IntervalMs(ms)),
        _ => Err(format!(
            "the interval must be 1 to {INTERVAL_MS_MAX} milliseconds, as interval:100"
        )),
    }
}

/// Reads a number of bytes, with `KiB`, `MiB` or `GiB` behind it if need be.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let (number, shift) = units
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
        .unwrap_or((text, 0));
    let number: u64 =
        number.trim().parse().map_err(|_| "expected a number of bytes, as 67108864 or 64MiB")?;
    number.checked_mul(1 << shift).ok_or_else(|| "too large".to_owned())
}

/// Reads a time with its unit, in milliseconds.
pub(crate) fn time_ms(text: &str) -> Result<u64, String> {
    // The unit of milliseconds ends like that of seconds.
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let read = |(unit, ms): &(&str, u64)| Some((text.strip_suffix(unit)?, *ms));
    let expected = "expected a time with its unit, as 7d, 12h, 30m, 90s or 500ms";
    let (number, ms) = units.iter().find_map(read).ok_or(expected)?;
    let number: u64 = number.trim().parse().map_err(|_| expected)?;
    let time = number.checked_mul(ms).filter(|ms| *ms <= limits::PERIOD_MS_MAX);
    let most = limits::PERIOD_MS_MAX / 86_400_000;
    time.ok_or_else(|| format!("{text} is too long, at most {most}d"))
}

/// Reads a time: milliseconds since 1970, or a date and time of UTC.
pub(crate) fn instant_ms(text: &str) -> Result<u64, String> {
    let wrong = || "expected a time as 2026-11-22T10:00:00Z, or milliseconds since 1970".to_owned();
    let ms = match text.parse() {
        Ok(ms) => ms,
        Err(_) => utc_ms(text).ok_or_else(wrong)?,
    };
    if (1..limits::CREATED_MS_END).contains(&ms) {
        return Ok(ms);
    }
    Err("the time must be after 1970 and before the year 2527, as those of jobs are".to_owned())
}

/// Of `YYYY-MM-DDTHH:MM:SSZ`.
fn utc_ms(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let separated = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')];
    if bytes.len() != 20 || separated.iter().any(|(at, sign)| bytes[*at] != *sign) {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = &text[from..to];
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u64>().ok()).flatten()
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    let february = if leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *months.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    if year < 1970 || !(1..=length).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let years: u64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    let days = years + months[..month as usize - 1].iter().sum::<u64>() + day - 1;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

/// Reads a queue name.
pub(crate) fn queue_name(text: &str) -> Result<String, String> {
    name("queue", text, limits::QUEUE_BYTES_MAX)
}

/// Reads the name of a schedule.
pub(crate) fn schedule_name(text: &str) -> Result<String, String> {
    name("schedule", text, limits::SCHEDULE_NAME_BYTES_MAX)
}

fn name(of: &str, text: &str, bytes_max: usize) -> Result<String, String> {
    if text.is_empty() || text.len() > bytes_max {
        return Err(format!("a {of} name has 1 to {bytes_max} bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("a {of} name has no control characters"));
    }
    Ok(text.to_owned())
}

/// Reads a cron expression. Time zones are the server's business: it may have other releases of them.
pub(crate) fn expression(text: &str) -> Result<String, jobbie_cron::ScheduleError> {
    jobbie_cron::Schedule::parse(text, "").map(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durability_is_read_or_refused() {
        assert_eq!(durability("fsync"), Ok(Durability::Fsync));
        assert_eq!(durability("none"), Ok(Durability::None));
        assert_eq!(durability("interval:250"), Ok(Durability::IntervalMs(250)));
        for wrong in
            ["", "sync", "interval", "interval:", "interval:0", "interval:60001", "interval:1s"]
        {
            assert!(durability(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bytes_are_read_with_and_without_unit() {
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("1 GiB"), Ok(1 << 30));
        for wrong in ["", "MiB", "-1", "1.5MiB", "64MB", "99999999999GiB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_read_with_their_unit() {
        assert_eq!((time_ms("500ms"), time_ms("90s")), (Ok(500), Ok(90_000)));
        assert_eq!((time_ms("30m"), time_ms("12h")), (Ok(1_800_000), Ok(43_200_000)));
        assert_eq!(time_ms("36600d"), Ok(limits::PERIOD_MS_MAX));
        for wrong in ["", "7", "d", "-1d", "1.5h", "1w", "36601d", "99999999999999999999d"] {
            assert!(time_ms(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn instants_are_read_or_refused() {
        assert_eq!(instant_ms("1795000000123"), Ok(1_795_000_000_123));
        assert_eq!(instant_ms("1970-01-02T00:00:01Z"), Ok(86_401_000));
        assert_eq!(instant_ms("2000-02-29T12:30:00Z"), Ok(951_827_400_000));
        assert_eq!(instant_ms("2026-11-22T19:21:47Z"), Ok(1_795_375_307_000));
        for wrong in [
            "",
            "0",
            "-1",
            "now",
            "2026-11-22",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "1969-01-01T00:00:00Z",
            "9999-01-01T00:00:00Z",
            "2026-11-22T10:00:0é",
        ] {
            assert!(instant_ms(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn queue_names_have_limits() {
        assert!(queue_name("mail.out").is_ok());
        assert!(queue_name(&"q".repeat(255)).is_ok());
        for wrong in ["", "a\nb", &"q".repeat(256)] {
            assert!(queue_name(wrong).is_err(), "{wrong}");
        }
    }
}
