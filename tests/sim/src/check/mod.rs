//! The promises, one a file. A broken one ends the run.

pub(crate) mod agents;
pub(crate) mod budgets;
pub(crate) mod crossings;
pub(crate) mod limits;
pub(crate) mod moves;
pub(crate) mod overruns;
pub(crate) mod plans;
pub(crate) mod r01_answers;
pub(crate) mod r03_order;
pub(crate) mod r04_prefix;
pub(crate) mod r05_full_disk;
pub(crate) mod r07_replay;
pub(crate) mod r08_events;
pub(crate) mod r09_once;
pub(crate) mod r10_one_state;
pub(crate) mod r11_leases;
pub(crate) mod r12_lease_ends;
pub(crate) mod r13_attempts;
pub(crate) mod r14_order;
pub(crate) mod schedules;
pub(crate) mod spending;
pub(crate) mod ties;
pub(crate) mod usage;

pub(crate) use r03_order::Entries;
pub(crate) use r07_replay::Hashes;

/// Ends the run: the promise is broken.
macro_rules! violated {
    ($promise:literal, $($what:tt)*) => {
        panic!("{} is broken: {}", $promise, format_args!($($what)*))
    };
}
pub(crate) use violated;
