//! The load generator: one event loop a thread, no tasks, and a ledger that knows every job.
//!
//! It shares the machine with the server it measures, so it must cost little: a thread drives all its
//! connections from one epoll loop over protocols without I/O ([`wire::Wire`]). The same loop drives other servers in
//! comparisons, so that differences are the servers' and not the drivers'.

pub mod drive;
pub mod due;
pub mod in_order;
pub mod jobbie;
pub mod ledger;
pub mod options;
pub mod payload;
pub mod peer;
pub mod process;
pub mod report;
pub mod run;
pub mod scatter;
pub mod wire;
