//! Agent jobs: jobs that are worked on again and again, one iteration after the other, until their worker says that they
//! are done. What limits them, and what a worker says of an iteration.

use rkyv::{Archive, Deserialize, Serialize};

/// What limits an agent job; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct AgentLimits {
    /// Iterations after which it is held instead of going on.
    pub max_iterations: u32,
    /// What it may cost before it is held instead of going on, in micro-dollars.
    pub max_cost_micros: u64,
    /// How long an iteration should take at most, in milliseconds. For workers and people: the lease is what ends one.
    pub iteration_timeout_ms: u64,
}

/// How far an agent job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct AgentState {
    /// The iteration that is worked on, or is next, from 1.
    pub iteration: u32,
    /// What it has cost so far, in micro-dollars.
    pub cost_micros: u64,
    /// What limits it.
    pub limits: AgentLimits,
}

/// What becomes of an agent job after an iteration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[repr(u8)]
pub enum AgentStatus {
    /// It is completed.
    #[default]
    Done = 0,
    /// Another iteration follows.
    Continue = 1,
    /// It waits for a human.
    Hold = 2,
}

impl AgentStatus {
    /// All of them, by number.
    pub const ALL: [Self; 3] = [Self::Done, Self::Continue, Self::Hold];

    /// The status with this number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its name on every surface.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Continue => "continue",
            Self::Hold => "hold",
        }
    }
}
