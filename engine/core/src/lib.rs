//! One shard's job queue as a pure state machine.
//!
//! [`decide`] reads the [`State`] and turns a request into events, [`State::absorb`] is the only
//! thing that changes it. Neither knows a clock, a disk, a socket or randomness: time and input
//! come as arguments, so the server, the simulator and the offline tools run the same code, and a
//! replay is exact.
//!
//! | module | is |
//! |---|---|
//! | `decide` | requests and timers to events |
//! | `absorb` | events to state and replies |
//! | `state` | what a shard knows, and the moves every event is made of |
//! | `jobs`, `tracked`, `leases`, `fifo`, `heap`, `class`, `queue`, `session`, `keys`, `unique` | its parts |
//! | `plans` | what jobs without workers wait for, and what of it has come |
//! | `operations` | work on many jobs that goes on in the background |
//! | `lanes` | waiting jobs by limit key: limits per key, fair sharing |
//! | `ties` | batches, chains, dependencies, and messages between shards |
//! | `settings` | what operators set and decisions depend on |
//! | `workers` | who asked for jobs not long ago |
//! | `agents` | jobs that are worked on in iterations |
//! | `usage` | what work on jobs used, in sums that outlive them |
//! | `rules` | budgets and approval policies, and what jobs have cost against them |
//! | `schedules` | what makes jobs again and again, and which definitions are needed |
//! | `snapshot` | the state as bytes, in slices, and back |
//! | `pages`, `slab`, `table`, `ordered`, `sidetable` | shared pages, and what is built on them |

mod absorb;
mod agents;
mod check;

mod class;
mod decide;
mod digest;
mod fifo;
mod heap;
mod jobs;
mod keys;
mod lanes;
mod leases;
#[cfg(feature = "mutants")]
pub mod mutants;
mod operations;
mod ordered;
mod pages;
mod plans;
mod queue;
mod revived;
mod rules;
mod schedules;
mod serving;
mod session;
mod settings;
mod sidetable;
mod slab;
mod snapshot;

mod state;
mod table;
pub mod ties;
mod tracked;
mod unique;
mod usage;
mod view;
mod workers;

/// Whether the planted defect is on. Always false, and gone, in a release.
macro_rules! mutant {
    ($name:ident) => {{
        #[cfg(feature = "mutants")]
        {
            $crate::mutants::is_planted($crate::mutants::Mutant::$name)
        }
        #[cfg(not(feature = "mutants"))]
        {
            false
        }
    }};
}
use mutant;

pub use decide::{
    BlobSink, Decision, Sighting, decide, decide_close_session, decide_consequences,
    decide_delivered, decide_fetch, decide_letter, decide_open_session, decide_operations,
    decide_timers, decide_worker,
};

pub use serving::validate_fetch;
pub use settings::Settings;
pub use snapshot::{RestoreError, Snapshot};
pub use state::State;
pub use view::{Answers, ErrorChain, answers};
