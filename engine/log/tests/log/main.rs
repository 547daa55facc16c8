//! The log on the simulated disk.

mod basic;
mod crash;
mod damage;
mod fault;
mod snapshots;
mod support;
