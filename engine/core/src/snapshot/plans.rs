//! Plans as rows, and back.

use jobbie_proto::limits::{EVENTS_PER_JOB_MAX, PLAN_KINDS_MAX};
use jobbie_proto::plan::Need;
use jobbie_proto::reply::JobState;
use rkyv::{Archive, Deserialize, Serialize};

use super::read::{Checked, require};
use crate::plans::{Kind, Outcome, Plan};
use crate::state::State;

/// Bytes of a row's lists that count as much as another row.
const BYTES_PER_ROW: usize = 128;

#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(super) struct PlanRow {
    job: u64,
    record: u64,
    newest: u64,
    begun: u64,
    deadline_ms: u64,
    /// 0 open, 1 failed, 2 timed out.
    outcome: u8,
    kinds: Vec<PlanKindRow>,
    /// Rising.
    ids: Vec<u128>,
}

#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(super) struct PlanKindRow {
    hash: u128,
    deadline_ms: u64,
    count: u16,
    seen: u16,
    need: Need,
}

impl PlanRow {
    pub(super) fn new(job: u64, plan: &Plan) -> Self {
        let kind = |kind: &Kind| {
            let Kind { hash, deadline_ms, count, seen, need } = *kind;
            PlanKindRow { hash, deadline_ms, count, seen, need }
        };
        let Plan { record, newest, begun, deadline_ms, .. } = *plan;
        let keeps_ids = !crate::mutant!(PlanIdsMissingFromSnapshot);
        Self {
            job,
            record,
            newest,
            begun,
            deadline_ms,
            outcome: plan.outcome as u8,
            kinds: plan.kinds.iter().map(kind).collect(),
            ids: plan.ids.iter().filter(|_| keeps_ids).copied().collect(),
        }
    }

    /// As how many rows of other kinds it counts.
    pub(super) fn weight(&self) -> usize {
        let bytes =
            self.kinds.len() * size_of::<PlanKindRow>() + self.ids.len() * size_of::<u128>();
        1 + bytes / BYTES_PER_ROW
    }

    fn plan(&self) -> Checked<Plan> {
        let kind = |row: &PlanKindRow| {
            let PlanKindRow { hash, deadline_ms, count, seen, need } = *row;
            Kind { hash, deadline_ms, count, seen, need }
        };
        let outcomes = [Outcome::Open, Outcome::Failed, Outcome::TimedOut];
        let outcome = outcomes.get(usize::from(self.outcome)).copied();
        Ok(Plan {
            record: self.record,
            newest: self.newest,
            begun: self.begun,
            deadline_ms: self.deadline_ms,
            kinds: self.kinds.iter().map(kind).collect(),
            ids: self.ids.iter().copied().collect(),
            outcome: outcome.ok_or("a plan with an unknown outcome")?,
        })
    }

    fn check(&self, state: &State) -> Checked {
        require(state.plans.get(self.job).is_none(), "a job has two plans")?;
        let known = 1..state.next_event;
        let newest = self.newest == 0 || known.contains(&self.newest);
        require(known.contains(&self.record) && newest, "a plan is ahead")?;
        require(self.begun <= state.time, "a plan is ahead of its time")?;
        require((1..=PLAN_KINDS_MAX).contains(&self.kinds.len()), "a plan with too many kinds")?;
        let counted = |kind: &PlanKindRow| kind.count > 0 && kind.seen <= kind.count;
        require(self.kinds.iter().all(counted), "a plan counts wrongly")?;
        require(self.ids.len() <= EVENTS_PER_JOB_MAX, "a job has too many events")?;
        require(self.ids.is_sorted_by(|a, b| a < b), "events out of order")
    }

    /// Gives the plan back to its job; whether that waits for it.
    pub(super) fn restore(&self, state: &mut State) -> Checked<bool> {
        let number = state.jobs.contains(self.job).then(|| state.number_of(self.job)).flatten();
        let tracked = state.tracked.get(number.ok_or("a plan of a job without a struct")?);
        let (waits, mark) = (tracked.state == JobState::Planned, tracked.mark);
        require(waits || tracked.state.has_ended(), "a plan of a job that needs none")?;
        self.check(state)?;
        let plan = self.plan()?;
        require(!waits || plan.due() == mark, "a job waits for another time than its plan")?;
        state.plans.insert(self.job, plan);
        Ok(waits)
    }
}
