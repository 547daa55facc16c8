//! Plans: what jobs without workers wait for, and what of it has come.
//!
//! The names of a plan's kinds and the contents of events are in the log; here are their hashes. An event's id stays
//! as long as its job, so that a repeat is known whenever it comes.

use std::rc::Rc;

use imbl::GenericOrdSet;
use imbl::shared_ptr::RcK;
use jobbie_proto::event::{AppendedEvent, ExpectedKind, PlannedJob};
use jobbie_proto::limits::EVENTS_PER_JOB_MAX;
use jobbie_proto::plan::{Effect, Need, PlanStatus};
use jobbie_proto::reply::{JobState, KindView, PlanView};
use jobbie_proto::{EventSeq, Micros};
use xxhash_rust::xxh3::xxh3_128;

use crate::pages::own;
use crate::sidetable::SideTable;

/// How a plan ended, if by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has not ended, or its job has without it.
    #[default]
    Open,
    Failed,
    TimedOut,
}

/// A kind of events that is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Of its name.
    pub(crate) hash: u128,
    /// Since the plan began; 0 is whenever.
    pub(crate) deadline_ms: u64,
    pub(crate) count: u16,
    /// At most `count`.
    pub(crate) seen: u16,
    pub(crate) need: Need,
}

impl Kind {
    fn new(expected: &ExpectedKind) -> Self {
        let ExpectedKind { name, need, count, deadline_ms } = expected;
        let hash = xxh3_128(name.as_bytes());
        Self { hash, deadline_ms: *deadline_ms, count: *count, seen: 0, need: *need }
    }

    fn is_missing(&self) -> bool {
        self.need == Need::Required && self.seen < self.count
    }
}

/// The plan of a job.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The event that has the names of its kinds.
    pub(crate) record: u64,
    /// The newest event recorded for the job; 0 is none.
    pub(crate) newest: u64,
    /// When it began.
    pub(crate) begun: u64,
    /// Since then; 0 is whenever.
    pub(crate) deadline_ms: u64,
    pub(crate) kinds: Vec<Kind>,
    /// Hashes of the ids of all events recorded for the job.
    pub(crate) ids: GenericOrdSet<u128, RcK>,
    pub(crate) outcome: Outcome,
}

impl Plan {
    pub(crate) fn new(planned: &PlannedJob, record: u64, now: u64) -> Self {
        Self {
            record,
            newest: 0,
            begun: now,
            deadline_ms: planned.deadline_ms,
            kinds: planned.kinds.iter().map(Kind::new).collect(),
            ids: GenericOrdSet::new(),
            outcome: Outcome::Open,
        }
    }

    fn deadline(&self, after_ms: u64) -> u64 {
        if after_ms == 0 { 0 } else { Micros(self.begun).plus_ms(after_ms).0 }
    }

    /// When it has timed out if nothing more comes; 0 is never.
    pub(crate) fn due(&self) -> u64 {
        let missing = self.kinds.iter().filter(|kind| kind.is_missing());
        let all = missing.map(|kind| kind.deadline_ms).chain([self.deadline_ms]);
        self.deadline(all.filter(|ms| *ms > 0).min().unwrap_or(0))
    }

    fn is_satisfied(&self) -> bool {
        !self.kinds.iter().any(Kind::is_missing)
    }

    /// How far it is, when its job is in this state.
    pub(crate) fn status(&self, state: JobState) -> PlanStatus {
        match self.outcome {
            Outcome::Failed => PlanStatus::Failed,
            Outcome::TimedOut => PlanStatus::TimedOut,
            Outcome::Open if state != JobState::Planned => PlanStatus::Stopped,
            Outcome::Open if self.is_satisfied() => PlanStatus::Satisfied,
            Outcome::Open if self.kinds.iter().any(|kind| kind.seen > 0) => PlanStatus::InProgress,
            Outcome::Open => PlanStatus::Waiting,
        }
    }

    /// What an event would do, and the position of its kind where that matters.
    pub(crate) fn effect(&self, state: JobState, id: u128, kind: &str) -> (Effect, Option<u16>) {
        if self.ids.contains(&id) && !crate::mutant!(PlanCountsRepeats) {
            return (Effect::Duplicate, None);
        }
        if self.ids.len() >= EVENTS_PER_JOB_MAX {
            return (Effect::Full, None);
        }
        if state != JobState::Planned {
            return (Effect::Late, None);
        }
        let hash = xxh3_128(kind.as_bytes());
        let Some(at) = self.kinds.iter().position(|kind| kind.hash == hash) else {
            return (Effect::Unexpected, None);
        };
        let kind = self.kinds[at];
        let is_last = kind.seen + 1 >= kind.count;
        let missing = self.kinds.iter().filter(|kind| kind.is_missing()).count();
        let effect = match kind.need {
            _ if kind.seen >= kind.count => Effect::Surplus,
            Need::Failure if is_last && !crate::mutant!(PlanFailureIgnored) => Effect::Failed,
            Need::Required if is_last && missing == 1 => Effect::Completed,
            _ => Effect::Counted,
        };
        (effect, Some(at as u16))
    }

    /// An event was recorded.
    pub(crate) fn take(&mut self, event: u64, appended: &AppendedEvent) {
        self.newest = event;
        self.ids.insert(appended.id_hash);
        if let Effect::Counted | Effect::Completed | Effect::Failed = appended.effect {
            let nth = appended.nth.expect("what is counted is of a known kind");
            let kind = &mut self.kinds[usize::from(nth)];
            assert!(kind.seen < kind.count, "more events of a kind were counted than expected");
            kind.seen += 1;
        }
        if appended.effect == Effect::Failed {
            self.outcome = Outcome::Failed;
        }
        let completes = appended.effect == Effect::Completed;
        assert!(!completes || self.is_satisfied(), "a plan was completed that lacks something");
    }

    /// It begins anew, or goes on with what has come but for what made it fail.
    pub(crate) fn again(&mut self, now: u64, is_new: bool) {
        (self.begun, self.outcome) = (now, Outcome::Open);
        let is_new = is_new && !crate::mutant!(PlanRetryKeepsCounts);
        let reset = self.kinds.iter_mut().filter(|kind| is_new || kind.need == Need::Failure);
        reset.for_each(|kind| kind.seen = 0);
    }

    pub(crate) fn view(&self, state: JobState) -> PlanView {
        let kind = |kind: &Kind| KindView {
            need: kind.need,
            count: kind.count,
            seen: kind.seen,
            deadline: Micros(self.deadline(kind.deadline_ms)),
        };
        PlanView {
            status: self.status(state),
            record: EventSeq(self.record),
            newest: EventSeq(self.newest),
            events: self.ids.len() as u32,
            deadline: Micros(self.deadline(self.deadline_ms)),
            kinds: self.kinds.iter().map(kind).collect(),
        }
    }
}

/// All plans of a shard. Shared, so that copying a page of them copies no plan.
#[derive(Clone)]
pub(crate) struct Plans(SideTable<Option<Rc<Plan>>>);

impl Plans {
    pub(crate) fn new() -> Self {
        Self(SideTable::new())
    }

    #[inline]
    pub(crate) fn get(&self, job: u64) -> Option<&Plan> {
        self.0.get(job).and_then(Option::as_deref)
    }

    /// # Panics
    /// When the job has no plan.
    pub(crate) fn get_mut(&mut self, job: u64) -> &mut Plan {
        let plan = self.0.get_mut(job).and_then(Option::as_mut);
        own(plan.expect("the job has no plan"))
    }

    pub(crate) fn insert(&mut self, job: u64, plan: Plan) {
        self.0.insert(job, Some(Rc::new(plan)));
    }

    #[inline]
    pub(crate) fn remove(&mut self, job: u64) {
        self.0.remove(job);
    }

    /// Every job that has a plan, by number.
    pub(crate) fn jobs(&self) -> Vec<u64> {
        self.0.jobs()
    }
}

/// What an event's id is known by.
pub(crate) fn hash_id(id: &[u8]) -> u128 {
    xxh3_128(id)
}
