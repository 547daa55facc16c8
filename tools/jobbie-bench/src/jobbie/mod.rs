//! jobbie as the server that is measured, spoken to in its own frames.

mod connection;
mod crash_load;
mod group;
mod history;
mod jobs;
mod link;
mod target;

pub use connection::Connection;
pub use crash_load::run as run_crash_load;
pub use jobs::Jobs;
pub use target::Jobbie;
