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

/// Reads a queue name.
pub(crate) fn queue_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > limits::QUEUE_BYTES_MAX {
        return Err(format!("a queue name has 1 to {} bytes", limits::QUEUE_BYTES_MAX));
    }
    if text.chars().any(char::is_control) {
        return Err("a queue name has no control characters".to_owned());
    }
    Ok(text.to_owned())
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
    fn queue_names_have_limits() {
        assert!(queue_name("mail.out").is_ok());
        assert!(queue_name(&"q".repeat(255)).is_ok());
        for wrong in ["", "a\nb", &"q".repeat(256)] {
            assert!(queue_name(wrong).is_err(), "{wrong}");
        }
    }
}
