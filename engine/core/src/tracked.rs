//! Jobs that are more than waiting.

use jobbie_proto::EventSeq;
use jobbie_proto::reply::JobState;

use crate::class::ClassId;
use crate::slab::{NONE, Slot};

/// A job that is or was active, or is dead or cancelled.
#[derive(Clone, Debug)]
pub(crate) struct Tracked {
    /// Its number.
    pub(crate) job: u64,
    /// What the state needs: the token while active; the event that put it into its queue while
    /// pending; the time it waits for while scheduled or retrying; otherwise 0.
    pub(crate) mark: u64,
    /// Place of its timer: end of lease, retry time, expiry.
    pub(crate) timer: u32,
    pub(crate) class: ClassId,
    pub(crate) attempt: u32,
    /// What a heartbeat adds, while active.
    pub(crate) lease_ms: u32,
    /// Number of the session that has it, while active.
    pub(crate) session: u32,
    /// The session's next lease, in the order of tokens.
    pub(crate) next: u32,
    pub(crate) previous: u32,
    /// Its [`Side`].
    pub(crate) side: u32,
    /// Leases of it that ran out.
    pub(crate) lease_expiries: u16,
    pub(crate) state: JobState,
}

const _: () = assert!(size_of::<Tracked>() <= 56);

impl Tracked {
    pub(crate) fn new(job: u64, class: ClassId) -> Self {
        Self { job, class, ..Self::default() }
    }
}

impl Default for Tracked {
    fn default() -> Self {
        Self {
            job: 0,
            mark: 0,
            timer: NONE,
            class: ClassId(0),
            attempt: 0,
            lease_ms: 0,
            session: NONE,
            next: NONE,
            previous: NONE,
            side: NONE,
            lease_expiries: 0,
            state: JobState::Pending,
        }
    }
}

impl Slot for Tracked {
    fn next_free(&self) -> u32 {
        self.next
    }

    fn free(next: u32) -> Self {
        Self { next, ..Self::default() }
    }
}

/// Where in the log the rare things of a job are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) checkpoint: EventSeq,
    pub(crate) progress: EventSeq,
    pub(crate) error: EventSeq,
}

impl Slot for Side {
    fn next_free(&self) -> u32 {
        self.error.0 as u32
    }

    fn free(next: u32) -> Self {
        Self { error: EventSeq(u64::from(next)), ..Self::default() }
    }
}
