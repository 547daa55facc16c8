//! What bounds an expression and a search.

/// Bytes of an expression.
pub const EXPRESSION_BYTES_MAX: usize = 255;
/// Bytes of a time zone's name.
pub const ZONE_BYTES_MAX: usize = 64;
/// How far a search looks, in years. The rarest expressions name 29 February and a weekday, which can be 40 years apart
/// (Sundays: 2088 and 2128, as 2100 has no leap day), so what fires at all fires within this.
pub const SEARCH_YEARS: i64 = 41;

/// [`SEARCH_YEARS`] in seconds.
pub(crate) const SEARCH_SECONDS: i64 = SEARCH_YEARS * 366 * 86_400;
