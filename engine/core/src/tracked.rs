//! Jobs that are more than waiting.

use jobbie_proto::EventSeq;
use jobbie_proto::event::HoldEnd;
use jobbie_proto::reply::JobState;

use crate::class::ClassId;
use crate::pages::per_page;
use crate::slab::{NONE, Slab, Slot};

/// A job that is or was active, or is dead or cancelled.
#[derive(Clone, Debug)]
pub(crate) struct Tracked {
    /// Its number.
    pub(crate) job: u64,
    /// What the state needs: the token while active; the event that put it into its queue while
    /// pending; the time it waits for while scheduled or retrying; the time at which `then` happens while held, or 0;
    /// the time at which its plan times out while planned, or 0; the time at which it ended while dead or cancelled.
    pub(crate) mark: u64,
    /// Place of its timer: retry time, end of the hold or plan, or expiry. While active, number of its lease.
    pub(crate) timer: u32,
    /// That of its queue and tier now; what it was enqueued with is that of its origin.
    pub(crate) class: ClassId,
    pub(crate) attempt: u32,
    /// Its [`Side`].
    pub(crate) side: u32,
    /// Leases of it that ran out.
    pub(crate) lease_expiries: u16,
    pub(crate) state: JobState,
    /// Whether its class is another than that of its origin.
    pub(crate) moved: bool,
    /// What happens at `mark` while held.
    pub(crate) then: HoldEnd,
}

const _: () = assert!(size_of::<Tracked>() <= 40);

impl Tracked {
    pub(crate) fn new(job: u64, class: ClassId) -> Self {
        Self { job, class, ..Self::default() }
    }

    /// Number of its lease, while it is active.
    #[inline]
    pub(crate) fn lease(&self) -> Option<u32> {
        (self.state == JobState::Active).then_some(self.timer)
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
            side: NONE,
            lease_expiries: 0,
            state: JobState::Pending,
            moved: false,
            then: HoldEnd::Stay,
        }
    }
}

impl Slot for Tracked {
    fn next_free(&self) -> u32 {
        self.timer
    }

    fn free(timer: u32) -> Self {
        Self { timer, ..Self::default() }
    }
}

/// All structs of a shard.
pub(crate) type TrackedJobs = Slab<Tracked, { per_page::<Tracked>() }>;

/// Where in the log the rare things of a job are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) checkpoint: EventSeq,
    pub(crate) progress: EventSeq,
    pub(crate) error: EventSeq,
    pub(crate) hold: EventSeq,
    /// Where it was put into its queue, when that is not the one it was enqueued into.
    pub(crate) placed: EventSeq,
}

impl Slot for Side {
    fn next_free(&self) -> u32 {
        self.error.0 as u32
    }

    fn free(next: u32) -> Self {
        Self { error: EventSeq(u64::from(next)), ..Self::default() }
    }
}

/// All sides of a shard.
pub(crate) type Sides = Slab<Side, { per_page::<Side>() }>;
