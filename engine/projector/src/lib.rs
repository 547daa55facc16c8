//! Read models: what the committed events of all shards add up to, as SQLite tables for search, history and streams.
//!
//! Nothing here is a source of truth. Every row follows from the log, and the file may be deleted at any time: it is made anew
//! from what the log still has. `docs/read-models.md` has the tables.

mod dump;
mod error;
mod expression;
mod file;
mod fold;
pub mod journal;
pub mod merge;
mod namespace;
mod projection;
mod public;
pub mod pump;
mod purge;
pub mod reader;
mod record;
pub mod row;
mod schema;
pub mod search;
mod store;
mod text;

pub use dump::dump;
pub use error::{Error, Result};
pub use expression::BadExpression;
pub use file::Watched;
pub use fold::Committed;
pub use namespace::{Namespace, SEPARATOR, is_namespace, namespace_of};
pub use projection::{Options, Projection};
pub use reader::Reader;
