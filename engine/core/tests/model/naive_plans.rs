//! Plans, in the naive model: a list of what came, folded anew each time anybody asks.

use jobbie_proto::limits::EVENTS_PER_JOB_MAX;
use jobbie_proto::plan::{Effect, Need, PlanStatus};
use jobbie_proto::reply::{Appended, JobState, KindView, PlanView};
use jobbie_proto::request::{Append, EnqueuePlan};
use jobbie_proto::{EventSeq, Micros};

use crate::naive::Naive;

#[derive(Clone, Debug)]
pub(crate) struct Kind {
    name: String,
    need: Need,
    count: u16,
    deadline_ms: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct NaivePlan {
    record: u64,
    begun: u64,
    deadline_ms: u64,
    kinds: Vec<Kind>,
    /// Record and id of every event.
    recorded: Vec<(u64, Vec<u8>)>,
    /// Kinds of the events that were counted since it began.
    counted: Vec<String>,
    /// How it ended, when by itself.
    ended: Option<PlanStatus>,
}

impl NaivePlan {
    pub(crate) fn new(plan: &EnqueuePlan<'_>) -> Self {
        let kinds = plan.kinds.iter().map(|kind| Kind {
            name: kind.name.into(),
            need: kind.need,
            count: kind.count,
            deadline_ms: kind.deadline_ms,
        });
        Self {
            record: 0,
            begun: 0,
            deadline_ms: plan.deadline_ms,
            kinds: kinds.collect(),
            recorded: Vec::new(),
            counted: Vec::new(),
            ended: None,
        }
    }

    fn at(&self, ms: u64) -> u64 {
        if ms == 0 { 0 } else { self.begun + ms * 1000 }
    }

    fn seen(&self, kind: &Kind) -> u16 {
        self.counted.iter().filter(|name| **name == kind.name).count() as u16
    }

    fn missing(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.iter().filter(|kind| kind.need == Need::Required && self.seen(kind) < kind.count)
    }

    fn due(&self) -> u64 {
        let kinds = self.missing().map(|kind| self.at(kind.deadline_ms));
        kinds.chain([self.at(self.deadline_ms)]).filter(|at| *at > 0).min().unwrap_or(0)
    }

    fn status(&self, state: JobState) -> PlanStatus {
        match self.ended {
            Some(ended) => ended,
            None if state != JobState::Planned => PlanStatus::Stopped,
            None if self.missing().next().is_none() => PlanStatus::Satisfied,
            None if self.counted.is_empty() => PlanStatus::Waiting,
            None => PlanStatus::InProgress,
        }
    }

    pub(crate) fn view(&self, state: JobState) -> PlanView {
        let kind = |kind: &Kind| KindView {
            need: kind.need,
            count: kind.count,
            seen: self.seen(kind),
            deadline: Micros(self.at(kind.deadline_ms)),
        };
        PlanView {
            status: self.status(state),
            record: EventSeq(self.record),
            newest: EventSeq(self.recorded.last().map_or(0, |(event, _)| *event)),
            events: self.recorded.len() as u32,
            deadline: Micros(self.at(self.deadline_ms)),
            kinds: self.kinds.iter().map(kind).collect(),
        }
    }
}

impl Naive {
    fn plan_of(&mut self, job: u64) -> &mut NaivePlan {
        self.jobs.get_mut(&job).and_then(|job| job.plan.as_mut()).expect("it has a plan")
    }

    fn wait_for_events(&mut self, job: u64) {
        let due = self.plan_of(job).due();
        self.end(job, JobState::Planned);
        let view = &mut self.jobs.get_mut(&job).expect("it exists").view;
        (view.due, view.ended) = (Micros(due), Micros(0));
    }

    pub(crate) fn plan(&mut self, job: u64, mut plan: NaivePlan, event: u64) {
        (plan.record, plan.begun) = (event, self.now);
        self.jobs.get_mut(&job).expect("it exists").plan = Some(plan);
        self.wait_for_events(job);
    }

    /// Retry or requeue; whether the job has a plan.
    pub(crate) fn plan_again(&mut self, job: u64, is_retry: bool) -> bool {
        let now = self.now;
        let Some(plan) = &mut self.jobs.get_mut(&job).expect("it exists").plan else {
            return false;
        };
        (plan.begun, plan.ended) = (now, None);
        let kinds = plan.kinds.clone();
        let is_failure =
            |name: &String| kinds.iter().any(|k| k.name == *name && k.need == Need::Failure);
        plan.counted.retain(|name| !is_retry && !is_failure(name));
        self.wait_for_events(job);
        true
    }

    fn plan_ends(&mut self, job: u64, status: PlanStatus, event: u64) {
        self.plan_of(job).ended = Some(status);
        self.end(job, JobState::Dead);
        self.link_error(job, event);
        self.jobs.get_mut(&job).expect("it exists").view.last_error = EventSeq(event);
    }

    pub(crate) fn plan_times_out(&mut self, job: u64) {
        let event = self.event();
        let view = &self.jobs[&job].view;
        assert_eq!(view.state, JobState::Planned, "the plan of job {job} timed out");
        assert!(view.due.0 > 0 && view.due.0 <= self.now, "the plan of job {job} ended early");
        self.plan_ends(job, PlanStatus::TimedOut, event);
    }

    pub(crate) fn append(&mut self, append: &Append<'_>) -> Appended {
        let job = append.job.seq().0;
        let known = self.find(append.job).map(|job| (job.view.clone(), job.plan.is_some()));
        if let Some((view, true)) = &known
            && view.state == JobState::Planned
        {
            if view.expire_at.0 > 0 && view.expire_at.0 <= self.now {
                self.expire(job);
            } else if view.due.0 > 0 && view.due.0 <= self.now {
                self.plan_times_out(job);
            }
        }
        let event = self.event();
        let nothing = |effect| Appended { effect, status: None, event: EventSeq(event) };
        match known {
            None => return nothing(Effect::NotFound),
            Some((_, false)) => return nothing(Effect::Unplanned),
            Some((_, true)) => {}
        }
        let state = self.jobs[&job].view.state;
        let plan = self.plan_of(job);
        let kind = plan.kinds.iter().find(|kind| kind.name == append.kind).cloned();
        let seen = kind.as_ref().map_or(0, |kind| plan.seen(kind));
        let mut effect = match &kind {
            _ if plan.recorded.iter().any(|(_, id)| id == append.id) => Effect::Duplicate,
            _ if plan.recorded.len() >= EVENTS_PER_JOB_MAX => Effect::Full,
            _ if state != JobState::Planned => Effect::Late,
            None => Effect::Unexpected,
            Some(kind) if seen >= kind.count => Effect::Surplus,
            Some(_) => Effect::Counted,
        };
        if effect.is_recorded() {
            plan.recorded.push((event, append.id.to_vec()));
        }
        let mut status = plan.status(state);
        if let (Some(kind), Effect::Counted) = (kind, effect) {
            plan.counted.push(kind.name.clone());
            status = plan.status(state);
            if kind.need == Need::Failure && seen + 1 == kind.count {
                (effect, status) = (Effect::Failed, PlanStatus::Failed);
                self.plan_ends(job, status, event);
            } else if status == PlanStatus::Satisfied {
                effect = Effect::Completed;
                let job = self.remove(job);
                self.archive.completed.insert(job.view.id.seq().0, job.view.id);
                self.queues.get_mut(&job.view.class.queue).expect("it exists").1 += 1;
            } else {
                self.wait_for_events(job);
            }
        }
        Appended { effect, status: Some(status), event: EventSeq(event) }
    }
}
