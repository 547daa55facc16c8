//! The wire codec from outside: what goes in comes out, and nothing else gets in.

mod damage;
mod golden;
mod reply;
mod round_trip;
mod rules;
mod samples;
mod schedules;
mod strategies;
