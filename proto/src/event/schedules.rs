//! What events of schedules are made of.

use rkyv::{Archive, Deserialize, Serialize};

use super::{Blob, Class};
use crate::Micros;

/// What becomes of planned times at which the shard was down.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize,
)]
#[repr(u8)]
pub enum Missed {
    /// The newest of them is run, the others are skipped.
    #[default]
    Once = 0,
    /// They are skipped; one that is late by no more than
    /// [`SCHEDULE_LATE_MS_MAX`](crate::limits::SCHEDULE_LATE_MS_MAX) is not missed.
    Skip = 1,
    /// They are run, each by a job of its own, from the oldest to the newest, but at most the newest
    /// [`SCHEDULE_CATCH_UP_MAX`](crate::limits::SCHEDULE_CATCH_UP_MAX).
    All = 2,
}

impl Missed {
    /// The policy with this number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        [Self::Once, Self::Skip, Self::All].get(usize::from(number)).copied()
    }

    /// The policy's name on every surface.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Skip => "skip",
            Self::All => "all",
        }
    }
}

/// A schedule as it was defined.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct SetSchedule {
    /// Its name, which no other schedule of the queue has.
    pub name: String,
    /// Its queue, and what its jobs have in common.
    pub class: Class,
    /// Limit key of its jobs; empty is none.
    pub limit_key: String,
    /// When it fires: a cron expression of five fields, as it was written.
    pub expression: String,
    /// The IANA time zone by whose clock it does.
    pub zone: String,
    /// What becomes of planned times that are missed.
    pub missed: Missed,
    /// What the workers of its jobs get.
    pub payload: Blob,
    /// Tags of its jobs.
    pub tags: Blob,
    /// Unique key of its jobs; empty is one of its own for each planned time.
    pub unique: Vec<u8>,
    /// How long the unique key is held at most, in milliseconds; 0 is the default.
    pub unique_ms: u64,
    /// The first planned time; 0 is never.
    pub next: Micros,
}
