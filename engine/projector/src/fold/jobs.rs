//! How the row of a job goes from one state to another.

use jobbie_proto::reply::JobState;

use crate::record::{Record, group};

/// Each gives the groups of columns that it changes.
impl Record {
    /// No worker has it any more. Who had it last stays.
    pub(super) fn ends_lease(&mut self) -> u16 {
        if self.lease_expires == 0 && self.session == 0 {
            return 0;
        }
        (self.lease_expires, self.session, self.token) = (0, 0, 0);
        group::LEASE
    }

    pub(super) fn forgets_due(&mut self) -> u16 {
        if std::mem::take(&mut self.scheduled) == 0 { 0 } else { group::SCHEDULED }
    }

    /// It is pending.
    pub(super) fn waits(&mut self) -> u16 {
        self.state = JobState::Pending;
        self.ends_lease() | self.forgets_due() | group::STATE
    }

    /// It has ended: it waits for nothing and goes nowhere.
    pub(super) fn ends(&mut self) -> u16 {
        let mut changed = self.ends_lease() | self.forgets_due();
        if let Some(rare) = &mut self.rare {
            (rare.missing, rare.awaits_due) = (0, 0);
            rare.leaving.clear();
            changed |= group::REST;
        }
        changed
    }

    /// It is dead.
    pub(super) fn dies(&mut self) -> u16 {
        self.state = JobState::Dead;
        self.ends() | group::STATE
    }

    pub(super) fn cancel(&mut self, time: u64) -> u16 {
        (self.state, self.cancelled) = (JobState::Cancelled, time);
        self.ends() | group::STATE | group::FAILED
    }

    /// Whether an operator or an agent has sent it on: it waits for events if it has a plan.
    pub(super) fn goes_on(&mut self) -> u16 {
        let changed = self.waits();
        if self.rare.as_ref().is_some_and(|rare| rare.planned) {
            self.state = JobState::Planned;
        }
        changed
    }

    /// A held job waits, at the back of its tier or for others.
    pub(super) fn goes_on_held(&mut self) -> u16 {
        let mut changed = self.waits();
        let Some(rare) = &self.rare else { return changed };
        if rare.missing > 0 {
            (self.state, self.scheduled) = (JobState::Scheduled, rare.awaits_due);
            changed |= group::SCHEDULED;
        }
        if rare.iteration > 0 {
            self.attempt = 0;
            changed |= group::ATTEMPT;
        }
        changed
    }

    /// It is held.
    pub(super) fn hold(&mut self, reason: &[u8]) -> u16 {
        self.state = JobState::Held;
        let changed = self.ends_lease() | self.forgets_due() | group::STATE | group::REST;
        let rare = self.rare();
        if !reason.is_empty() {
            rare.hold_reason = String::from_utf8_lossy(reason).into_owned();
        }
        changed
    }

    /// If it is to go to another shard, it goes now.
    pub(super) fn leaves_if_noted(&mut self) -> u16 {
        let leaves = self.rare.as_ref().is_some_and(|rare| !rare.leaving.is_empty());
        if leaves { self.departs() } else { 0 }
    }

    /// It goes to another shard. What it carries and belongs to goes along.
    pub(super) fn departs(&mut self) -> u16 {
        self.state = JobState::Moved;
        let changed = self.ends() | group::STATE | group::REST | group::TAGS | group::PAYLOAD;
        let rare = self.rare();
        (rare.batch, rare.parent, rare.chain) = (None, None, None);
        rare.depends_on.clear();
        (self.tags, self.payload) = (Vec::new(), Vec::new());
        changed
    }
}
