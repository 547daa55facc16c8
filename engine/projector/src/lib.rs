//! Read models: what the committed events of all shards add up to, as SQLite tables for search, history and streams.
//!
//! Nothing here is a source of truth. Every row follows from the log, and the file may be deleted at any time: it is made anew
//! from what the log still has.

pub mod journal;
pub mod merge;
pub mod row;
pub mod search;
