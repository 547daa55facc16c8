//! Schedules: all of them fire every minute.

use jobbie_proto::event::{Class, Event, SetSchedule};
use jobbie_proto::request::{Definition, ScheduleAction};
use jobbie_proto::{Code, JobId, JobSeq, Micros};

use super::absorb::{Made, Step};
use super::{Model, class_of};
use crate::check::{schedules, violated};

/// The expression that all clients use.
pub(crate) const EVERY_MINUTE: &str = "* * * * *";

/// A schedule.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) class: Class,
    pub(crate) limit_key: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) tags: Vec<u8>,
    /// The event that defined it.
    pub(crate) defined: u64,
    pub(crate) paused: bool,
    pub(crate) next: u64,
    /// The planned time that was run last.
    pub(crate) last_planned: u64,
}

impl Model {
    pub(super) fn schedule_event(&mut self, event: &Event, step: &mut Step<'_>) {
        let number = self.number();
        let (queue, name) = match event {
            Event::ScheduleSet(set) => {
                self.schedule_set(set, number, step);
                (&set.class.queue, &set.name)
            }
            Event::SchedulePaused { queue, name } => {
                self.schedule_mut(queue, name).paused = true;
                (queue, name)
            }
            Event::ScheduleResumed { queue, name, next, .. } => {
                let schedule = self.schedule_mut(queue, name);
                (schedule.paused, schedule.next) = (false, next.0);
                (queue, name)
            }
            // The newest planned time is never so late that it would be passed over.
            Event::ScheduleSkipped { name, .. } => {
                violated!("r14", "schedule {name} skips what it is in time for")
            }
            Event::ScheduleDeleted { queue, name } => {
                let key = (queue.clone(), name.clone());
                assert!(self.schedules.remove(&key).is_some(), "an unknown schedule was deleted");
                return step.outcome.schedule_controls.push((Code::Ok, Micros(0), None));
            }
            Event::ScheduleFired {
                queue, name, planned, next, defined, job, duplicate, ..
            } => {
                let time = step.fact.time;
                let schedule = self.schedule_mut(queue, name);
                schedules::fired(schedule, time, *planned, *next, defined.0);
                if planned.0 > 0 {
                    (schedule.last_planned, schedule.next) = (planned.0, next.0);
                }
                let made = schedule.clone();
                if !duplicate {
                    assert_eq!(job.0, self.jobs.len() as u64 + 1, "job numbers are not dense");
                    self.scheduled_job(&made, number, time);
                }
                (queue, name)
            }
            other => unreachable!("{other:?} is no event of a schedule"),
        };
        let (code, job) = match event {
            Event::ScheduleFired { job, duplicate: true, .. } => (Code::Duplicate, Some(*job)),
            Event::ScheduleFired { job, .. } => (Code::Ok, Some(*job)),
            _ => (Code::Ok, None),
        };
        let id: Option<JobId> = job.map(|JobSeq(job)| self.job(job).id);
        let schedule = self.schedule_mut(queue, name);
        let next = Micros(if schedule.paused { 0 } else { schedule.next });
        step.outcome.schedule_controls.push((code, next, id));
    }

    fn schedule_mut(&mut self, queue: &str, name: &str) -> &mut Schedule {
        let key = (queue.to_owned(), name.to_owned());
        self.schedules.get_mut(&key).expect("events are of schedules that were set")
    }

    fn schedule_set(&mut self, set: &SetSchedule, number: u64, step: &Step<'_>) {
        let request = step.fact.request.expect("only requests set schedules");
        let named = |queue: &str, name: &str| queue == set.class.queue && name == set.name;
        let asked = request.schedule_controls.iter().find(|one| named(one.queue, one.name));
        let Some(ScheduleAction::Set(definition)) = asked.map(|one| one.action) else {
            violated!("r10", "schedule {} was set, which nobody asked for", set.name);
        };
        let (payload, tags) = (step.fact.bytes(set.payload), step.fact.bytes(set.tags));
        let Definition { payload: asked_payload, tags: asked_tags, limit_key, .. } = definition;
        let class = class_of(&definition.job(&set.class.queue));
        let same = (asked_payload, asked_tags, limit_key) == (payload, tags, &*set.limit_key);
        if !same || class != set.class {
            violated!("r10", "schedule {} is another than was asked for", set.name);
        }
        self.queues.entry(set.class.queue.clone()).or_default();
        let key = (set.class.queue.clone(), set.name.clone());
        let before = self.schedules.get(&key);
        let schedule = Schedule {
            class,
            limit_key: set.limit_key.clone(),
            payload: payload.to_vec(),
            tags: tags.to_vec(),
            defined: number,
            paused: before.is_some_and(|old| old.paused),
            next: set.next.0,
            last_planned: before.map_or(0, |old| old.last_planned),
        };
        schedules::planned(step.fact.time, set.next.0);
        self.schedules.insert(key, schedule);
    }

    fn scheduled_job(&mut self, schedule: &Schedule, number: u64, time: u64) {
        let Schedule { class, limit_key, payload, tags, .. } = schedule;
        if !limit_key.is_empty() {
            self.laned.insert(class.queue.clone());
        }
        self.admit(number, time, &Made { class, payload, tags, limit_key, due: 0 });
    }
}
