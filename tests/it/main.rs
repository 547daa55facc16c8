//! Tests of the repository as a whole and of the binaries from outside.

mod checksums;
mod cli;
mod client;
mod controls;
mod crash;
mod damage;
mod limits;
mod release_1;
mod tidy;
