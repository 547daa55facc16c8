//! The rules of the house, as functions from a text to the violations in it. `it/tidy.rs` runs them over the
//! repository; the unit tests beside each rule show it failing on a planted violation.

pub mod imports;
pub mod modules;
pub mod owners;
pub mod repo;
pub mod source;
