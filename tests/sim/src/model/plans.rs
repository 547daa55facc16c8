//! Plans: what was appended, folded the obvious way.

use jobbie_proto::event::{AppendedEvent, Event, PlannedJob};
use jobbie_proto::plan::{Effect, Need, PlanStatus};
use jobbie_proto::reply::JobState;

use super::Model;
use super::absorb::Step;
use crate::check::{plans, r10_one_state, violated};

/// What a job waits for, and what came.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) planned: PlannedJob,
    pub(crate) begun: u64,
    /// Ids of all events recorded for the job.
    pub(crate) ids: Vec<Vec<u8>>,
    /// Names of the kinds of those that count.
    pub(crate) counted: Vec<String>,
    /// How it ended, if by itself.
    pub(crate) ended: Option<PlanStatus>,
}

impl Plan {
    pub(crate) fn seen(&self, name: &str) -> usize {
        self.counted.iter().filter(|counted| *counted == name).count()
    }

    fn missing(&self) -> impl Iterator<Item = u64> {
        let required = self.planned.kinds.iter().filter(|kind| kind.need == Need::Required);
        let missing = required.filter(|kind| self.seen(&kind.name) < usize::from(kind.count));
        missing.map(|kind| kind.deadline_ms)
    }

    pub(crate) fn is_satisfied(&self) -> bool {
        self.missing().next().is_none()
    }

    /// When it is over if nothing comes; 0 is never.
    pub(crate) fn due(&self) -> u64 {
        let all = self.missing().chain([self.planned.deadline_ms]).filter(|ms| *ms > 0);
        all.min().map_or(0, |ms| self.begun + ms * 1000)
    }

    pub(crate) fn status(&self, state: JobState) -> PlanStatus {
        match self.ended {
            Some(ended) => ended,
            None if state != JobState::Planned => PlanStatus::Stopped,
            None if self.is_satisfied() => PlanStatus::Satisfied,
            None if self.counted.is_empty() => PlanStatus::Waiting,
            None => PlanStatus::InProgress,
        }
    }
}

impl Model {
    pub(super) fn plan_event(&mut self, event: &Event, step: &mut Step<'_>) {
        match event {
            Event::Planned(planned) => {
                self.number();
                let (seq, begun) = (planned.job.0, step.fact.time);
                r10_one_state::leaves(seq, self.job(seq), &[JobState::Pending], "planned");
                let planned = (**planned).clone();
                let (ids, counted) = (Vec::new(), Vec::new());
                let plan = Plan { planned, begun, ids, counted, ended: None };
                self.wait_for_events(seq, plan);
            }
            Event::Appended(appended) => {
                let event = self.number();
                let status = self.appended(appended, step);
                step.outcome.appended.push((appended.effect, status, event));
            }
            Event::PlanTimedOut { jobs } => {
                for job in jobs {
                    self.number();
                    r10_one_state::leaves(
                        job.0,
                        self.job(job.0),
                        &[JobState::Planned],
                        "timed out",
                    );
                    let plan = self.plan_mut(job.0);
                    plans::timed_out(job.0, plan, step.fact.time);
                    plan.ended = Some(PlanStatus::TimedOut);
                    self.set_state(job.0, JobState::Dead);
                }
            }
            other => unreachable!("{other:?} is absorbed elsewhere"),
        }
    }

    fn plan_mut(&mut self, seq: u64) -> &mut Plan {
        self.job_mut(seq).plan.as_mut().expect("the job has a plan")
    }

    fn wait_for_events(&mut self, seq: u64, plan: Plan) {
        self.set_state(seq, JobState::Planned);
        let job = self.job_mut(seq);
        (job.due, job.plan) = (plan.due(), Some(plan));
    }

    /// A retry or requeue; whether the job has a plan.
    pub(super) fn plan_again(&mut self, seq: u64, time: u64, is_retry: bool) -> bool {
        let Some(mut plan) = self.job(seq).plan.clone() else { return false };
        (plan.begun, plan.ended) = (time, None);
        let kinds = &plan.planned.kinds;
        let fails =
            |name: &String| kinds.iter().any(|k| k.name == *name && k.need == Need::Failure);
        plan.counted.retain(|name| !is_retry && !fails(name));
        self.wait_for_events(seq, plan);
        true
    }

    fn appended(&mut self, appended: &AppendedEvent, step: &Step<'_>) -> Option<PlanStatus> {
        let (fact, seq) = (step.fact, appended.job.0);
        let known = self.live.contains(&seq);
        let id = fact.bytes(appended.id).to_vec();
        let kind = String::from_utf8_lossy(fact.bytes(appended.kind)).into_owned();
        let expected = match known.then(|| self.job(seq)) {
            None => Effect::NotFound,
            Some(job) => plans::effect(job, &id, &kind, appended, fact.time),
        };
        if expected != appended.effect {
            let effect = appended.effect;
            violated!("plans", "an event of job {seq} was {effect:?}, should be {expected:?}");
        }
        if matches!(expected, Effect::NotFound | Effect::Unplanned) {
            return None;
        }
        let state = self.job(seq).state;
        let plan = self.plan_mut(seq);
        if expected.is_recorded() {
            plan.ids.push(id);
        }
        match expected {
            Effect::Counted => plan.counted.push(kind),
            Effect::Completed => {
                plan.counted.push(kind);
                self.set_state(seq, JobState::Completed);
                self.forget(seq, Some(JobState::Completed));
                return Some(PlanStatus::Satisfied);
            }
            Effect::Failed => {
                plan.counted.push(kind);
                plan.ended = Some(PlanStatus::Failed);
                self.set_state(seq, JobState::Dead);
                return Some(PlanStatus::Failed);
            }
            _ => {}
        }
        let (due, status) = (plan.due(), plan.status(state));
        self.job_mut(seq).due = due;
        Some(status)
    }
}
