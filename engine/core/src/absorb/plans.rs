//! Events of planned jobs.

use jobbie_proto::event::{AppendedEvent, PlannedJob};
use jobbie_proto::plan::{Effect, PlanStatus};
use jobbie_proto::reply::{Appended, JobState};
use jobbie_proto::{EventSeq, JobSeq};

use super::Mark;
use crate::plans::{Outcome, Plan};
use crate::state::{Detached, State};
use crate::ties::End;

impl State {
    /// A job that was just enqueued waits for events.
    pub(super) fn planned(&mut self, planned: &PlannedJob) {
        let event = self.number_event();
        let job = planned.job.0;
        let state = self.job_state(job);
        assert_eq!(state, JobState::Pending, "a job that is {} was planned", state.name());
        self.digest.mix_all(&[Mark::Planned as u64, job, planned.deadline_ms]);
        let plan = Plan::new(planned, event, self.time);
        for kind in &plan.kinds {
            let hash = [kind.hash as u64, (kind.hash >> 64) as u64];
            let needed = u64::from(kind.count) << 8 | kind.need as u64;
            self.digest.mix_all(&[hash[0], hash[1], needed, kind.deadline_ms]);
        }
        self.plans.insert(job, plan);
        let detached = self.detach(job);
        self.wait_for_events(detached);
    }

    fn wait_for_events(&mut self, detached: Detached) -> u32 {
        let due = self.plans.get(detached.job).expect("a planned job has a plan").due();
        let number = self.track(detached, JobState::Planned, due);
        let ends = due > 0 && !crate::mutant!(PlanNeverTimesOut);
        self.set_expiry_timer(number, ends.then_some(due));
        number
    }

    /// The job goes on: it waits for events if it has a plan, otherwise at the back of its tier.
    pub(super) fn go_on(&mut self, detached: Detached, event: u64, is_new: bool) -> u32 {
        if self.plans.get(detached.job).is_none() {
            return self.step_back(detached, event);
        }
        self.plans.get_mut(detached.job).again(self.time, is_new);
        self.wait_for_events(detached)
    }

    pub(super) fn appended(&mut self, appended: &AppendedEvent) -> Appended {
        let event = self.number_event();
        let (job, effect) = (appended.job.0, appended.effect);
        let id = [appended.id_hash as u64, (appended.id_hash >> 64) as u64];
        let did = u64::from(appended.nth.unwrap_or(u16::MAX)) << 8 | effect as u64;
        self.digest.mix_all(&[Mark::Appended as u64, job, id[0], id[1], did]);
        let status = match effect {
            Effect::NotFound | Effect::Unplanned => None,
            Effect::Duplicate | Effect::Full => Some(self.plan_status(job)),
            _ => Some(self.take_event(event, appended)),
        };
        Appended { effect, status, event: EventSeq(event) }
    }

    fn plan_status(&self, job: u64) -> PlanStatus {
        let plan = self.plans.get(job).expect("an event for a job without a plan");
        plan.status(self.job_state(job))
    }

    fn take_event(&mut self, event: u64, appended: &AppendedEvent) -> PlanStatus {
        let job = appended.job.0;
        let state = self.job_state(job);
        let is_late = appended.effect == Effect::Late;
        assert_eq!(is_late, state != JobState::Planned, "{:?} while {state:?}", appended.effect);
        let plan = self.plans.get_mut(job);
        let before = plan.due();
        plan.take(event, appended);
        let after = plan.due();
        match appended.effect {
            Effect::Completed => {
                let status = self.plan_status(job);
                self.ends(job, event, End::Completed);
                let detached = self.detach(job);
                self.complete(detached);
                return status;
            }
            Effect::Failed => self.die(job, event),
            _ if before != after && !is_late => {
                let detached = self.detach(job);
                self.wait_for_events(detached);
            }
            _ => {}
        }
        self.plan_status(job)
    }

    /// It is dead by this event.
    fn die(&mut self, job: u64, event: u64) {
        self.ends(job, event, End::Died);
        let detached = self.detach(job);
        let number = self.track(detached, JobState::Dead, self.time);
        self.link_error(job, number, event);
    }

    pub(super) fn plan_timed_out(&mut self, job: JobSeq) {
        let event = self.number_event();
        self.digest.mix_all(&[Mark::PlanTimedOut as u64, job.0]);
        let state = self.job_state(job.0);
        assert_eq!(state, JobState::Planned, "the plan of a job that is {}", state.name());
        self.plans.get_mut(job.0).outcome = Outcome::TimedOut;
        self.die(job.0, event);
    }
}
