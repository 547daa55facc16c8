//! What is done to schedules, and what they do. Only whoever decides evaluates an expression: events say what came of it.

mod due;
mod validate;

use std::hash::BuildHasherDefault;

use hashbrown::HashMap;
use jobbie_cron::{ScheduleError, Zone};
use jobbie_proto::event::{Event, SetSchedule, UniqueKey};
use jobbie_proto::limits::UNIQUE_MS_DEFAULT;
use jobbie_proto::request::{Definition, ScheduleAction, ScheduleControl};
use jobbie_proto::{EventSeq, JobSeq, Micros};

use super::BlobSink;
use super::draft::{Draft, JobHasher};
use super::enqueue::{class_of, key_hash};
use crate::schedules::Schedule;
use crate::state::State;
pub(super) use due::push_runs;
use due::skipped_between;
pub(super) use validate::check_schedules;

const MICROS_PER_SECOND: u64 = 1_000_000;

/// Zones that were read for one decision: many schedules are of one.
#[derive(Default)]
struct Zones(Vec<Zone>);

impl Zones {
    fn plan(
        &mut self,
        expression: &str,
        zone: &str,
    ) -> Result<jobbie_cron::Schedule, ScheduleError> {
        if let Some(known) = self.0.iter().find(|known| known.name() == zone) {
            return jobbie_cron::Schedule::in_zone(expression, known);
        }
        let zone = Zone::parse(zone)?;
        let plan = jobbie_cron::Schedule::in_zone(expression, &zone);
        self.0.push(zone);
        plan
    }
}

/// The first planned time after `time`; 0 is never.
fn next_after(plan: &jobbie_cron::Schedule, time: Micros) -> Micros {
    plan.next_after(time).unwrap_or_default()
}

/// Makes jobs of schedules, one after the other, on top of what the state has.
struct Firings<'a> {
    state: &'a State,
    now: Micros,
    next_job: u64,
    /// Unique keys of the jobs made so far.
    own: HashMap<u128, JobSeq, BuildHasherDefault<JobHasher>>,
    zones: Zones,
}

/// A run: its planned time, 0 if somebody asked for it; what is planned next; and what was skipped before it.
struct Run {
    planned: Micros,
    next: Micros,
    skipped: u32,
}

impl<'a> Firings<'a> {
    fn new(state: &'a State, now: Micros) -> Self {
        let next_job = state.next_job;
        Self { state, now, next_job, own: HashMap::default(), zones: Zones::default() }
    }

    /// The events of a run: the firing, and the unique key that its job takes.
    fn fire(
        &mut self,
        schedule: &Schedule,
        run: &Run,
        blob: &mut impl BlobSink,
        events: &mut Vec<Event>,
    ) {
        let &Run { planned, next, skipped } = run;
        let (queue, name) = (schedule.class.queue.clone(), schedule.name.to_string());
        let key = unique_key(schedule, planned);
        let hash = key_hash(&queue, &key);
        let taken = self.owner(&queue, hash).filter(|_| !key.is_empty());
        let (job, duplicate) = (taken.unwrap_or(JobSeq(self.next_job)), taken.is_some());
        let defined = EventSeq(schedule.defined);
        let fired =
            Event::ScheduleFired { queue, name, planned, next, skipped, defined, job, duplicate };
        events.push(fired);
        if duplicate {
            return;
        }
        self.next_job += 1;
        if !key.is_empty() {
            self.own.insert(hash, job);
            let ms = if schedule.unique_ms == 0 { UNIQUE_MS_DEFAULT } else { schedule.unique_ms };
            let (until, key) = (self.now.plus_ms(ms), blob.append(&key));
            events.push(Event::UniqueTaken { jobs: vec![UniqueKey { job, hash, until, key }] });
        }
    }

    /// The job that has a unique key.
    fn owner(&self, queue: &str, hash: u128) -> Option<JobSeq> {
        let (own, state) = (self.own.get(&hash).copied(), self.state);
        let taken = || state.uniques.find(hash, self.now.0).map(|taken| taken.job);
        own.or_else(|| taken().filter(|job| !state.unique_is_over(queue, *job)).map(JobSeq))
    }
}

/// Unless the schedule has a key for all its jobs, each planned time has one: name, `@`, and its seconds since 1970.
fn unique_key(schedule: &Schedule, planned: Micros) -> Vec<u8> {
    if schedule.unique.is_empty() && planned.0 > 0 {
        return format!("{}@{}", schedule.name, planned.0 / MICROS_PER_SECOND).into_bytes();
    }
    schedule.unique.to_vec()
}

impl Draft<'_> {
    pub(super) fn schedule_controls(
        &mut self,
        controls: &[ScheduleControl<'_>],
        blob: &mut impl BlobSink,
    ) {
        let mut firings = Firings::new(self.state, self.now);
        for &ScheduleControl { queue, name, action } in controls {
            if let ScheduleAction::Set(definition) = action {
                let set = set(queue, name, &definition, &mut firings, blob);
                self.events.push(Event::ScheduleSet(Box::new(set)));
                continue;
            }
            let schedule = self.state.schedules.find(queue, name).expect("it was checked");
            let (queue, name) = (queue.to_owned(), name.to_owned());
            self.events.push(match action {
                ScheduleAction::Set(_) => unreachable!("done above"),
                ScheduleAction::Pause => Event::SchedulePaused { queue, name },
                ScheduleAction::Delete => Event::ScheduleDeleted { queue, name },
                ScheduleAction::Resume => {
                    let (next, skipped) = resumed(schedule, &mut firings);
                    Event::ScheduleResumed { queue, name, next, skipped }
                }
                ScheduleAction::Run => {
                    let run = Run { planned: Micros(0), next: Micros(schedule.next), skipped: 0 };
                    firings.fire(schedule, &run, blob, &mut self.events);
                    continue;
                }
            });
        }
    }
}

fn set(
    queue: &str,
    name: &str,
    definition: &Definition<'_>,
    firings: &mut Firings<'_>,
    blob: &mut impl BlobSink,
) -> SetSchedule {
    let plan = firings.zones.plan(definition.expression, definition.zone).expect("it was checked");
    SetSchedule {
        name: name.to_owned(),
        class: class_of(&definition.job(queue)),
        limit_key: definition.limit_key.to_owned(),
        expression: definition.expression.to_owned(),
        zone: plan.zone().to_owned(),
        missed: definition.missed,
        payload: blob.append(definition.payload),
        tags: blob.append(definition.tags),
        unique: definition.unique.to_vec(),
        unique_ms: definition.unique_ms,
        next: next_after(&plan, firings.now),
    }
}

/// When a schedule fires next that is resumed, and how much it has not run meanwhile.
fn resumed(schedule: &Schedule, firings: &mut Firings<'_>) -> (Micros, u32) {
    let (now, next) = (firings.now, Micros(schedule.next));
    if !schedule.paused || next > now || next.0 == 0 {
        return (next, 0);
    }
    match firings.zones.plan(&schedule.expression, &schedule.zone) {
        Ok(plan) => (next_after(&plan, now), skipped_between(&plan, next, now)),
        // See `due`.
        Err(_) => (Micros(0), 1),
    }
}
