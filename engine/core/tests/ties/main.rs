//! Batches, chains and dependencies over several shards, whose messages come late, twice, or after a crash.

mod cases;
mod many;
mod net;
mod random;
