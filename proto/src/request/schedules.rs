//! Schedules in requests.

use super::{Enqueue, When};
use crate::event::{BackoffKind, Missed};

/// Something done to a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleControl<'a> {
    /// Its queue, into which its jobs go; it comes into being if it does not exist.
    pub queue: &'a str,
    /// Its name there.
    pub name: &'a str,
    /// What is done.
    pub action: ScheduleAction<'a>,
}

/// What can be done to a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleAction<'a> {
    /// It is made, or gets this definition from now on. What the one before had planned and not run is forgotten; a
    /// paused one stays paused.
    Set(Definition<'a>),
    /// It makes no jobs.
    Pause,
    /// It makes jobs again, from the next planned time on.
    Resume,
    /// It makes a job now, paused or not; planned times stay.
    Run,
    /// It is removed. The jobs it has made stay.
    Delete,
}

/// What a schedule does and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition<'a> {
    /// When it fires: a cron expression of five fields, at most 255 bytes.
    pub expression: &'a str,
    /// The IANA time zone by whose clock it does, at most 64 bytes; empty is UTC.
    pub zone: &'a str,
    /// What becomes of planned times at which the shard was down.
    pub missed: Missed,
    /// What the workers of its jobs get.
    pub payload: &'a [u8],
    /// Tags of its jobs, opaque here. Empty is none.
    pub tags: &'a [u8],
    /// Unique key of its jobs: while one that has it has not ended, no other is made. Empty is one of its own for each
    /// planned time.
    pub unique: &'a [u8],
    /// How long the unique key is held at most, in milliseconds; 0 is the default.
    pub unique_ms: u64,
    /// Limit key of its jobs. Empty is none.
    pub limit_key: &'a str,
    /// Tier of its jobs, 0 first.
    pub priority: u8,
    /// Total attempts of its jobs; 0 and 1 both mean one.
    pub max_retries: u32,
    /// How their retries are delayed.
    pub backoff: BackoffKind,
    /// Delay unit, in milliseconds.
    pub backoff_base_ms: u32,
    /// Longest delay, in milliseconds; 0 is no cap.
    pub backoff_cap_ms: u32,
    /// They die when not finished this long after they were made, in milliseconds; 0 is never.
    pub expire_after_ms: u64,
}

impl<'a> Definition<'a> {
    /// The job that it makes, as if it were enqueued.
    #[must_use]
    pub fn job(&self, queue: &'a str) -> Enqueue<'a> {
        Enqueue {
            queue,
            payload: self.payload,
            tags: self.tags,
            key: b"",
            key_ms: 0,
            unique: self.unique,
            unique_ms: self.unique_ms,
            limit_key: self.limit_key,
            priority: self.priority,
            max_retries: self.max_retries,
            backoff: self.backoff,
            backoff_base_ms: self.backoff_base_ms,
            backoff_cap_ms: self.backoff_cap_ms,
            expire_after_ms: self.expire_after_ms,
            when: When::Now,
        }
    }
}

/// Which schedules are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Schedules<'a> {
    /// None.
    #[default]
    None,
    /// One, with its payload and tags.
    One {
        /// Its queue.
        queue: &'a str,
        /// Its name there.
        name: &'a str,
        /// How many of its next planned times are wanted, at most
        /// [`SCHEDULE_TIMES_MAX`](crate::limits::SCHEDULE_TIMES_MAX).
        times: u16,
    },
    /// All of a queue, or of the shard, that come after one; by queue and name, at most as many as one answer holds.
    List {
        /// The queue; empty is all.
        queue: &'a str,
        /// Continue after this queue; empty starts.
        after_queue: &'a str,
        /// And this name there.
        after_name: &'a str,
    },
}
