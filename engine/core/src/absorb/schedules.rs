//! Events of schedules.

use jobbie_proto::event::{Blob, EnqueuedJob, Event, SetSchedule};
use jobbie_proto::reply::ScheduleDone;
use jobbie_proto::{Code, JobSeq, Micros, Reply};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::Mark;
use crate::class::hash_of;
use crate::state::State;

/// A firing of a schedule, as its event tells it.
struct Firing<'a> {
    queue: &'a str,
    name: &'a str,
    planned: Micros,
    next: Micros,
    skipped: u32,
    defined: u64,
    job: JobSeq,
    duplicate: bool,
}

impl State {
    /// Absorbs an event of this module.
    pub(super) fn absorb_schedule(&mut self, event: &Event, reply: &mut Reply) {
        let mut done =
            ScheduleDone { code: Code::Ok, next: Micros(0), job: JobSeq(0), created_ms: 0 };
        let (queue, name) = match event {
            Event::ScheduleSet(set) => {
                self.schedule_set(set);
                (&set.class.queue, &set.name)
            }
            Event::SchedulePaused { queue, name } => {
                self.mark_schedule(Mark::SchedulePaused, queue, name);
                self.schedules.change(queue, name, |schedule| schedule.paused = true);
                (queue, name)
            }
            Event::ScheduleResumed { queue, name, next, skipped } => {
                self.mark_schedule(Mark::ScheduleResumed, queue, name);
                self.schedule_passed(queue, name, *next, *skipped);
                (queue, name)
            }
            Event::ScheduleSkipped { queue, name, next, skipped } => {
                self.mark_schedule(Mark::ScheduleSkipped, queue, name);
                self.schedule_passed(queue, name, *next, *skipped);
                (queue, name)
            }
            Event::ScheduleDeleted { queue, name } => {
                self.mark_schedule(Mark::ScheduleDeleted, queue, name);
                self.schedules.delete(queue, name);
                return reply.schedule_controls.push(done);
            }
            Event::ScheduleFired {
                queue,
                name,
                planned,
                next,
                skipped,
                defined,
                job,
                duplicate,
            } => {
                let (planned, next, skipped) = (*planned, *next, *skipped);
                let (defined, job, duplicate) = (defined.0, *job, *duplicate);
                let firing =
                    Firing { queue, name, planned, next, skipped, defined, job, duplicate };
                self.fired(&firing);
                done.code = if duplicate { Code::Duplicate } else { Code::Ok };
                (done.job, done.created_ms) = (job, self.jobs.origin(job.0).created_ms);
                (queue, name)
            }
            other => unreachable!("{other:?} is absorbed elsewhere"),
        };
        let schedule = self.schedules.find(queue, name).expect("it was just changed");
        done.next = Micros(schedule.due().unwrap_or(0));
        self.digest.mix_all(&[schedule.next, schedule.fired, schedule.skipped]);
        reply.schedule_controls.push(done);
    }

    fn mark_schedule(&mut self, mark: Mark, queue: &str, name: &str) {
        self.number_event();
        let hash = xxh3_64_with_seed(name.as_bytes(), xxh3_64(queue.as_bytes()));
        self.digest.mix_all(&[mark as u64, hash]);
    }

    fn schedule_set(&mut self, set: &SetSchedule) {
        let defined = self.next_event;
        self.mark_schedule(Mark::ScheduleSet, &set.class.queue, &set.name);
        self.queues.find_or_insert(&set.class.queue);
        self.schedules.set(set, defined);
        let text = |text: &[u8]| xxh3_64(text);
        self.digest.mix_all(&[
            hash_of(&set.class, &set.limit_key),
            text(set.expression.as_bytes()),
            text(set.zone.as_bytes()),
            text(&set.unique),
            set.unique_ms,
            set.missed as u64,
        ]);
    }

    /// Planned times have passed without being run.
    fn schedule_passed(&mut self, queue: &str, name: &str, next: Micros, skipped: u32) {
        let time = self.time;
        self.schedules.change(queue, name, |schedule| {
            // One that was not paused may still have something to run.
            let stays = next.0 == schedule.next;
            assert!(stays || next.0 == 0 || next.0 > time, "a schedule is planned for the past");
            schedule.paused = false;
            schedule.next = next.0;
            schedule.skipped += u64::from(skipped);
        });
    }

    fn fired(&mut self, firing: &Firing<'_>) {
        let Firing { queue, name, planned, next, skipped, defined, job, duplicate } = *firing;
        let schedule = self.schedules.find(queue, name).expect("an unknown schedule fired");
        assert_eq!(schedule.defined, defined, "a schedule fired by an old definition");
        if planned.0 == 0 {
            assert_eq!(schedule.next, next.0, "a run on demand moved the plan");
        } else {
            let due = schedule.due().expect("a schedule fired without a plan");
            let fits = due <= planned.0 && schedule.last_planned < planned.0;
            assert!(fits, "a schedule fired again for {planned}");
            assert!(planned.0 <= self.time, "a schedule fired ahead of {planned}");
            assert!(next.0 == 0 || next > planned, "a schedule is planned for the past");
        }
        if duplicate {
            assert!(self.jobs.contains(job.0), "the job that a schedule found is not there");
            self.mark_schedule(Mark::ScheduleFired, queue, name);
        } else {
            self.make_scheduled(firing);
        }
        let created_ms = self.jobs.origin(job.0).created_ms;
        self.schedules.change(queue, name, |schedule| {
            schedule.fired += u64::from(!duplicate);
            schedule.skipped += u64::from(skipped) + u64::from(duplicate && planned.0 > 0);
            (schedule.last_job, schedule.last_created_ms) = (job.0, created_ms);
            if planned.0 > 0 && !crate::mutant!(ScheduleFiresTwice) {
                (schedule.last_planned, schedule.next) = (planned.0, next.0);
            }
        });
        self.digest.mix_all(&[planned.0, job.0, u64::from(duplicate)]);
    }

    /// The job of a firing. What it carries is in the event that defined the schedule.
    fn make_scheduled(&mut self, firing: &Firing<'_>) {
        let Firing { queue, name, defined, job, .. } = *firing;
        let schedule = self.schedules.find(queue, name).expect("it fires");
        let (class, limit_key) = (schedule.class.clone(), schedule.limit_key.clone());
        let id = self.intern(&class, &limit_key);
        if !limit_key.is_empty() {
            self.ensure_lanes(self.classes.get(id).queue);
        }
        let none = Blob::default();
        let made = EnqueuedJob { payload: none, tags: none, key: none, due: Micros(0) };
        self.make(id, job, &[made]);
        self.schedules.made(job.0, defined);
        let hash = xxh3_64_with_seed(name.as_bytes(), xxh3_64(queue.as_bytes()));
        self.digest.mix_all(&[Mark::ScheduleFired as u64, hash]);
    }
}
