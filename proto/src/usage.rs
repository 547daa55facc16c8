//! What work on jobs used: tokens and money. Money is a whole number of micro-dollars, of which a million are a dollar;
//! nothing here is ever a fraction.

use rkyv::{Archive, Deserialize, Serialize};

/// Micro-dollars of a dollar.
pub const MICROS_PER_DOLLAR: u64 = 1_000_000;
/// Decimal places of a dollar that a micro-dollar has.
const PLACES: usize = 6;

/// Tokens and money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub struct Amounts {
    /// Tokens that a model read.
    pub input_tokens: u64,
    /// Tokens that it wrote.
    pub output_tokens: u64,
    /// Tokens put into a prompt cache.
    pub cache_creation_tokens: u64,
    /// Tokens read from a prompt cache.
    pub cache_read_tokens: u64,
    /// What it cost, in micro-dollars.
    pub cost_micros: u64,
}

impl Amounts {
    /// Whether nothing was used.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// All of them with their names, in the order in which they are told.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 5] {
        [
            ("input_tokens", self.input_tokens),
            ("output_tokens", self.output_tokens),
            ("cache_creation_tokens", self.cache_creation_tokens),
            ("cache_read_tokens", self.cache_read_tokens),
            ("cost_micros", self.cost_micros),
        ]
    }

    /// Adds what something else used. A sum that would not fit stays at the largest number.
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.cache_creation_tokens, other.cache_creation_tokens),
            (&mut self.cache_read_tokens, other.cache_read_tokens),
            (&mut self.cost_micros, other.cost_micros),
        ];
        pairs.into_iter().for_each(|(sum, more)| *sum = sum.saturating_add(more));
    }
}

/// With what usage was reported.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
#[repr(u8)]
pub enum UsagePhase {
    /// With an ack.
    Ack = 0,
    /// With a heartbeat: since the one before it.
    Heartbeat = 1,
}

impl UsagePhase {
    /// Its name on every surface.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Heartbeat => "heartbeat",
        }
    }
}

/// By what usage is summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum UsageGroup {
    /// All in one.
    #[default]
    All = 0,
    /// By queue.
    Queue = 1,
    /// By model.
    Model = 2,
    /// By provider.
    Provider = 3,
}

impl UsageGroup {
    /// The grouping with this number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        [Self::All, Self::Queue, Self::Model, Self::Provider].get(usize::from(number)).copied()
    }
}

/// Not an amount of dollars that is a whole number of micro-dollars.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DollarsError {
    /// Something else than digits with at most one point among them.
    #[error("{0:?} is not an amount of dollars, as 12 or 0.0123")]
    Malformed(String),
    /// Smaller units than there are.
    #[error("{0:?} has more than {PLACES} decimal places, which is less than a micro-dollar")]
    TooFine(String),
    /// More than fits.
    #[error("{0:?} is more dollars than can be counted")]
    TooLarge(String),
}

/// Micro-dollars of a decimal amount of dollars, exactly.
///
/// ```
/// use jobbie_proto::usage::parse_dollars;
///
/// assert_eq!(parse_dollars("0.0123"), Ok(12_300));
/// assert_eq!(parse_dollars("12"), Ok(12_000_000));
/// ```
///
/// # Errors
/// When it is no such amount, or has more than six decimal places.
pub fn parse_dollars(text: &str) -> Result<u64, DollarsError> {
    let malformed = || DollarsError::Malformed(text.to_owned());
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return Err(malformed());
    }
    if part.len() > PLACES {
        return Err(DollarsError::TooFine(text.to_owned()));
    }
    let too_large = || DollarsError::TooLarge(text.to_owned());
    let dollars: u64 = whole.parse().map_err(|_| too_large())?;
    let micros: u64 = format!("{part:0<PLACES$}").parse().map_err(|_| malformed())?;
    let dollars = dollars.checked_mul(MICROS_PER_DOLLAR).ok_or_else(too_large)?;
    dollars.checked_add(micros).ok_or_else(too_large)
}

/// An amount as a decimal number of dollars with six places.
#[must_use]
pub fn dollars(micros: u64) -> String {
    format!("{}.{:06}", micros / MICROS_PER_DOLLAR, micros % MICROS_PER_DOLLAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_converted_exactly() {
        let cases = [
            ("0", 0),
            ("0.000001", 1),
            ("0.0123", 12_300),
            ("12", 12_000_000),
            ("1.50", 1_500_000),
            ("007.000007", 7_000_007),
            ("18446744073709.551615", u64::MAX),
        ];
        for (text, micros) in cases {
            assert_eq!(parse_dollars(text), Ok(micros), "{text}");
            assert_eq!(parse_dollars(&dollars(micros)), Ok(micros), "{text}");
        }
        assert_eq!(dollars(12_300), "0.012300");
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "0x1", "1.2.3", "1,5", " 1", "½"] {
            assert_eq!(parse_dollars(text), Err(DollarsError::Malformed(text.into())), "{text}");
        }
        for text in ["0.0000001", "0.0000000"] {
            assert_eq!(parse_dollars(text), Err(DollarsError::TooFine(text.into())));
        }
        for text in ["18446744073709.551616", "18446744073710", "99999999999999999999"] {
            assert_eq!(parse_dollars(text), Err(DollarsError::TooLarge(text.into())));
        }
    }

    #[test]
    fn sums_stay_at_the_largest_number() {
        let most = Amounts { cost_micros: u64::MAX - 1, input_tokens: 1, ..Amounts::default() };
        let mut sum = most;
        sum.add(&Amounts { cost_micros: 5, input_tokens: 2, ..Amounts::default() });
        let expected = Amounts { cost_micros: u64::MAX, input_tokens: 3, ..Amounts::default() };
        assert_eq!(sum, expected);
    }
}
