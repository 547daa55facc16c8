//! The log on the simulated disk.

mod basic;
mod support;
