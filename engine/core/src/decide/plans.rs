//! Plans of new jobs, and events for them.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use jobbie_proto::event::{AppendedEvent, Blob, Event, ExpectedKind, PlannedJob};
use jobbie_proto::plan::Effect;
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{Append, EnqueuePlan, Expected};
use jobbie_proto::{EventSeq, JobSeq};

use super::BlobSink;
use super::draft::{Draft, FixedState};
use crate::plans::{Outcome, Plan, hash_id};

/// The plans of jobs as the request will have left them; `None` when that completed the job.
type Drafts = HashMap<u64, Option<(Plan, JobState)>, FixedState>;

pub(super) fn planned(job: JobSeq, plan: &EnqueuePlan<'_>) -> Event {
    let kind = |expected: &Expected<'_>| {
        let Expected { name, need, count, deadline_ms } = *expected;
        ExpectedKind { name: name.to_owned(), need, count, deadline_ms }
    };
    let kinds = plan.kinds.iter().map(kind).collect();
    Event::Planned(Box::new(PlannedJob { job, deadline_ms: plan.deadline_ms, kinds }))
}

impl Draft<'_> {
    pub(super) fn appends(&mut self, appends: &[Append<'_>], blob: &mut impl BlobSink) {
        let mut drafts = Drafts::default();
        for append in appends {
            self.append(append, &mut drafts, blob);
        }
    }

    fn append(&mut self, append: &Append<'_>, drafts: &mut Drafts, blob: &mut impl BlobSink) {
        let (job, id_hash) = (append.job.seq(), hash_id(append.id));
        let mut event = AppendedEvent {
            job,
            id_hash,
            nth: None,
            effect: Effect::NotFound,
            id: Blob::default(),
            kind: Blob::default(),
            data: Blob::default(),
            source: Blob::default(),
            trace: Blob::default(),
            error: Blob::default(),
            previous: EventSeq(0),
        };
        if self.state.resolve(append.job).is_ok() {
            event.effect = Effect::Unplanned;
            self.draft_of(job, drafts);
            if let Some(draft) = drafts.get_mut(&job.0) {
                match draft {
                    Some((plan, state)) => {
                        (event.effect, event.nth) = plan.effect(*state, id_hash, append.kind);
                        event.previous = EventSeq(plan.newest);
                    }
                    None => event.effect = Effect::NotFound,
                }
                self.note(&event, draft);
            }
        }
        if event.effect.is_recorded() {
            event.kind = blob.append(append.kind.as_bytes());
            event.data = blob.append(append.data);
            event.source = blob.append(append.source.as_bytes());
            event.trace = blob.append(append.trace.as_bytes());
        }
        if event.effect == Effect::Failed {
            event.error = blob.append(format!("plan failed: {}", append.kind).as_bytes());
        }
        event.id = blob.append(append.id);
        self.events.push(Event::Appended(Box::new(event)));
    }

    /// The plan of a job that has one, which may be over although nobody has noticed.
    fn draft_of(&mut self, job: JobSeq, drafts: &mut Drafts) {
        let (Some(plan), Entry::Vacant(vacant)) =
            (self.state.plans.get(job.0), drafts.entry(job.0))
        else {
            return;
        };
        let (mut plan, mut state) = (plan.clone(), self.state.job_state(job.0));
        let is_due = plan.due() > 0 && plan.due() <= self.now.0;
        if state == JobState::Planned && self.state.is_expired(job.0, self.now.0) {
            self.events.push(Event::Expired { jobs: vec![job] });
            state = JobState::Dead;
        } else if state == JobState::Planned && is_due {
            self.events.push(Event::PlanTimedOut { jobs: vec![job] });
            (plan.outcome, state) = (Outcome::TimedOut, JobState::Dead);
        }
        vacant.insert(Some((plan, state)));
    }

    /// What comes later in the request sees what the event did.
    fn note(&self, event: &AppendedEvent, draft: &mut Option<(Plan, JobState)>) {
        let Some((plan, state)) = draft else { return };
        if !event.effect.is_recorded() {
            return;
        }
        let before: u64 = self.events.iter().map(Event::count).sum();
        plan.take(self.state.next_event + before, event);
        match event.effect {
            Effect::Failed => *state = JobState::Dead,
            Effect::Completed => *draft = None,
            _ => {}
        }
    }
}
