//! Batches, chains, dependencies and moves over several shards, whose messages come late, twice, or after a crash.

mod cases;
mod many;
mod moved_agents;
mod moved_ties;
mod moves;
mod net;
mod random;
