//! Searches against a naive filter over all rows.
