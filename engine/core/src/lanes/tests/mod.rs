//! What is promised of lanes: against a naive model, and as shares that come out.

mod copies;
mod edges;
mod model;
mod naive;
mod shares;

use super::Waiting;
use super::settings::Key;

/// Splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

fn key(name: &str) -> Key<'_> {
    Key { name, weight: 1 }
}

fn waiting(job: u64) -> Waiting {
    Waiting { job, position: job }
}
