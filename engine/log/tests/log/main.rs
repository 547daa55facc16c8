//! The log on the simulated disk.

mod basic;
mod crash;
mod damage;
mod fault;
mod golden;
mod golden_log;
mod snapshots;
mod support;
