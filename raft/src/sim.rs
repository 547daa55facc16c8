//! The runtime adapter for the simulator: openraft on the executor of `jobbie-sim`.

mod channels;
pub mod mutant;
mod runtime;
mod watch;

pub use runtime::SimRuntime;
