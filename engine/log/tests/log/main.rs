//! The log on the simulated disk.

mod basic;
mod crash;
mod damage;
mod every_bit;
mod fault;
mod follow;
mod frozen;
mod golden;
mod golden_log;
mod parts;
mod scrub;
mod snapshots;
mod support;
