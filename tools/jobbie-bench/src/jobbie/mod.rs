//! jobbie as the server that is measured, spoken to in its own frames.

mod connection;
mod target;

pub use connection::Connection;
pub use target::Jobbie;
