//! Tests of the repository as a whole and of the binaries from outside.

mod agents;
//ARCHIVE
mod bad_input;
mod checksums;
mod cli;
mod client;
mod controls;
mod crash;
mod damage;
mod four_shards;
mod limits;
mod moves;
mod observe;
mod operations;
mod pipeline;
mod plans;
mod read_model;
mod release_1;
mod repeats;
mod replay;
mod rules;
mod schedules;
mod search;
mod terminal;
mod tidy;
mod ties;
mod usage;
